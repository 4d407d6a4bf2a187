"""The whole store in memory, with the adapters' semantics."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime

from remit.core import Add, Consume, Mark, Obligation, RemitError, Reserve, StoreUnavailableError, Task
from remit.permissions import Approval, State
from remit.pipeline import (
    RELEASE,
    Committed,
    Conflict,
    Deployed,
    Full,
    OpenCall,
    Signer,
    StoredState,
    Versions,
    approval_control,
)
from remit.records import Draft, Entry, leaf_hash, root_of

TALLIES_MAX = 1_000  # keys in one question
TALLY_MAX = (1 << 62) - 1  # what a tally holds at most; one that is full stays so


class MemoryStore:
    """The `Store` port over lists and dicts. Every write happens at once, then lets others run before it returns.

    `log`, `open_calls`, `versions`, `counters`, `added`, `marks` and `approvals` are there for tests to look at.
    """

    def __init__(self) -> None:
        self.log: list[Entry] = []
        self.open_calls: dict[str, OpenCall] = {}
        self.versions: dict[str, int] = {}
        self.counters: dict[str, int] = {}
        self.added: dict[str, int] = {}  # the tallies
        self.marks: set[bytes] = set()
        self.approvals: dict[str, Approval] = {}
        self._says: dict[str, str] = {}
        self._counted: dict[str, tuple[Reserve | Add, ...]] = {}  # by open call
        self._confirmed = True
        self._tasks: dict[str, Task] = {}
        self._closed: set[str] = set()
        self._notes: dict[int, str] = {}
        self._bundles: dict[str, dict[str, bytes]] = {}
        self._releases: list[Deployed] = []

    @property
    def healthy(self) -> bool:
        """See `Store.healthy`."""
        return self._confirmed

    async def begin(
        self, intent: Draft, read: Versions, obligations: Sequence[Obligation] = ()
    ) -> Committed | Conflict | Full:
        """See `Ledger.begin`."""
        answer = self._begin(intent, read, obligations)
        await asyncio.sleep(0)
        return answer

    async def finish(self, outcome: Draft, *, void: bool = False, adds: Sequence[Add] = ()) -> Committed:
        """See `Ledger.finish`."""
        if outcome.call not in self.open_calls:
            raise StoreUnavailableError(
                "call_not_open", f"call {outcome.call} has no intent without outcome", "begin it"
            )
        self._close(outcome.call, void=void)
        self._add(adds)
        return await self.append(outcome)

    async def tallies(self, keys: Sequence[str]) -> Mapping[str, int]:
        """See `Ledger.tallies`.

        Raises:
            RemitError: `tallies_too_many` for more than `TALLIES_MAX` keys.
        """
        if len(keys) > TALLIES_MAX:
            raise RemitError("tallies_too_many", f"{len(keys)} tallies at once", f"ask for {TALLIES_MAX} at most")
        return {key: self.added[key] for key in keys if self.added.get(key)}

    async def append(self, entry: Draft) -> Committed:
        """See `Ledger.append`."""
        index = self._append(entry)
        await asyncio.sleep(0)
        return Committed(index)

    async def state(self, now: datetime) -> StoredState:
        """See `Store.state`."""
        tasks = {
            task.id: task for task in self._tasks.values() if now < task.expires_at and task.id not in self._closed
        }
        return StoredState(
            controls={name: (version, self._says.get(name, "")) for name, version in self.versions.items()},
            tasks=tuple(tasks.values()),
            approvals=tuple(each for _, each in sorted(self.approvals.items()) if each.task in tasks),
            size=len(self.log),
            checkpointed=max(self._notes, default=0),
            marks=frozenset(self.marks),
        )

    async def open_task(self, task: Task, entry: Draft) -> Committed:
        """See `Store.open_task`."""
        if task.id in self._tasks:
            raise self._refused(f"task {task.id} exists already")
        self._tasks[task.id] = task
        return await self.append(entry)

    async def deploy(self, release: Deployed, sources: Mapping[str, bytes], entry: Draft) -> int:
        """See `Store.deploy`."""
        kept = self._bundles.setdefault(release.bundle, {})
        for path, body in sources.items():
            kept.setdefault(path, body)
        number = self._raise(RELEASE, release.bundle)
        self._releases.append(replace(release, number=number))
        await self.append(entry)
        return number

    async def releases(self, count: int) -> tuple[Deployed, ...]:
        """See `Store.releases`."""
        return tuple(reversed(self._releases))[:count]

    async def control(
        self, name: str, says: str, entry: Draft, *, approvals: Sequence[Approval] = (), tasks: Sequence[str] = ()
    ) -> Mapping[str, int]:
        """See `Store.control`. An approval that no longer waits stays what it became, and is not among the answer."""
        raised = {name: self._raise(name, says)}
        for approval in approvals:
            version = self._keep(approval, len(self.log))
            if version is not None:
                raised[approval_control(approval.id)] = version
        self._closed.update(tasks)
        await self.append(entry)
        return raised

    async def keep(self, approval: Approval, entry: Draft, read: Versions = ()) -> Committed | Conflict:
        """See `Store.keep`. An approval that no longer waits has changed for ever: a conflict."""
        changed = self._changed(read)
        if changed is None and self._keep(approval, len(self.log)) is None:
            changed = approval_control(approval.id)
        answer = Committed(self._append(entry)) if changed is None else Conflict(changed)
        await asyncio.sleep(0)
        return answer

    async def sweep(self, entry_for: Callable[[OpenCall], Draft]) -> int:
        """See `Store.sweep`."""
        ended = {entry.call for entry in self.log if entry.kind in {"outcome", "unknown"}}
        still = sorted(self.open_calls.values(), key=lambda call: call.intent)
        lost = [call for call in still if call.call not in ended]
        drafts = [entry_for(call) for call in lost]
        for call in still:
            self._close(call.call, void=False)
        for draft in drafts:
            self._append(draft)
        await asyncio.sleep(0)
        return len(lost)

    async def checkpoint(self, sign: Signer) -> str:
        """See `Store.checkpoint`."""
        size = len(self.log)
        if size not in self._notes:
            self._notes[size] = sign(size, self._root(size))
            self._confirmed = True
        return self._notes[size]

    async def root_at(self, size: int) -> bytes | None:
        """See `Store.root_at`."""
        return self._root(size) if size <= len(self.log) else None

    async def entries(self, start: int, stop: int, *, payloads: bool = True) -> tuple[Entry, ...]:
        """See `Store.entries`."""
        found = self.log[start:stop]
        return tuple(found if payloads else (replace(entry, payloads=()) for entry in found))

    async def entries_of(self, task: str) -> tuple[Entry, ...]:
        """See `Store.entries_of`."""
        return tuple(entry for entry in self.log if task and entry.task == task)

    async def recent_tasks(self, count: int) -> tuple[Task, ...]:
        """See `Store.recent_tasks`."""
        return tuple(sorted(self._tasks.values(), key=lambda task: task.opened_at, reverse=True)[:count])

    async def bundle(self, digest: str) -> Mapping[str, bytes] | None:
        """See `Store.bundle`."""
        return self._bundles.get(digest) or None

    def _begin(self, intent: Draft, read: Versions, obligations: Sequence[Obligation]) -> Committed | Conflict | Full:
        changed = self._changed(read)
        if changed is not None:
            return Conflict(changed)
        if intent.call in self.open_calls:
            raise self._refused(f"call {intent.call} is open already")
        unmet = self._meet(obligations, intent.call)
        if unmet is not None:
            return unmet
        index = self._append(intent)
        self.open_calls[intent.call] = OpenCall(intent.call, intent.task, index)
        self._counted[intent.call] = tuple(need for need in obligations if isinstance(need, Reserve | Add))
        return Committed(index)

    def _meet(self, obligations: Sequence[Obligation], call: str) -> Conflict | Full | None:
        """Meet every obligation, or none and say which cannot be met."""
        approvals = dict(self.approvals)
        for need in obligations:
            if isinstance(need, Consume):
                found = approvals.get(need.approval)
                if found is None or found.state is not State.WAITING:
                    return Conflict(approval_control(need.approval))
                approvals[need.approval] = replace(found, state=State.USED, call=call)
        adds = [need for need in obligations if isinstance(need, Add)]
        moved = next((each.key for each in adds if self.added.get(each.key, 0) != each.seen), None)
        if moved is not None:
            return Conflict(moved)
        reserved = self._reserved(obligations)
        if isinstance(reserved, Full):
            return reserved
        self.counters = reserved
        self._add(adds)
        self.marks.update(*(need.hashes for need in obligations if isinstance(need, Mark)))
        for name, approval in approvals.items():
            if approval is not self.approvals[name]:
                self._keep(approval, approval.entry)
        return None

    def _reserved(self, obligations: Sequence[Obligation]) -> dict[str, int] | Full:
        """Return the counters as they are with what is reserved."""
        counters = dict(self.counters)
        for need in obligations:
            if isinstance(need, Reserve):
                used = counters.get(need.key, 0)
                if used >= need.max:
                    return Full(need, used)
                counters[need.key] = used + 1
        return counters

    def _close(self, call: str, *, void: bool) -> None:
        del self.open_calls[call]
        for need in self._counted.pop(call, ()):
            if isinstance(need, Add):
                used = self.added.get(need.key, 0)
                if void and used < TALLY_MAX:
                    self.added[need.key] = max(0, used - need.by)
            elif void or need.resets_at is None:
                self.counters[need.key] -= 1

    def _add(self, adds: Sequence[Add]) -> None:
        for each in adds:
            self.added[each.key] = min(self.added.get(each.key, 0) + each.by, TALLY_MAX)

    def _keep(self, approval: Approval, entry: int) -> int | None:
        """Keep a new or changed approval under its next version, which is returned; None: it no longer waits."""
        before = self.approvals.get(approval.id)
        if before is not None and before.state is not State.WAITING:
            return None
        version = self._raise(approval_control(approval.id), approval.state.value)
        opened_by = entry if before is None else before.entry
        self.approvals[approval.id] = replace(approval, version=version, entry=opened_by)
        return version

    def _changed(self, read: Versions) -> str | None:
        return next((name for name, version in read if self.versions.get(name, 0) != version), None)

    def _raise(self, name: str, says: str) -> int:
        self._says[name] = says
        version = self.versions[name] = self.versions.get(name, 0) + 1
        return version

    def _append(self, draft: Draft) -> int:
        self._confirmed = True
        index = len(self.log)
        payloads = tuple(sorted(draft.payloads, key=lambda payload: payload.name))
        self.log.append(
            Entry(index=index, kind=draft.kind, task=draft.task, call=draft.call, leaf=draft.leaf, payloads=payloads)
        )
        return index

    def _root(self, size: int) -> bytes:
        return root_of(leaf_hash(entry.leaf) for entry in self.log[:size])

    def _refused(self, why: str) -> StoreUnavailableError:
        self._confirmed = False
        said = f"the store did not confirm a write: {why}"
        return StoreUnavailableError("store_unavailable", said, "mend the caller")
