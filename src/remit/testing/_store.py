"""The whole store in memory, with the adapters' semantics."""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime

from remit.core import StoreUnavailableError, Task
from remit.pipeline import RELEASE, Committed, Conflict, OpenCall, Signer, StoredState, Versions
from remit.records import Draft, Entry, leaf_hash, root_of


class MemoryStore:
    """The `Store` port over lists and dicts. Every write happens at once, then lets others run before it returns.

    `log`, `open_calls` and `versions` are there for tests to look at.
    """

    def __init__(self) -> None:
        self.log: list[Entry] = []
        self.open_calls: dict[str, OpenCall] = {}
        self.versions: dict[str, int] = {}
        self._confirmed = True
        self._digest = ""
        self._tasks: dict[str, Task] = {}
        self._notes: dict[int, str] = {}
        self._bundles: dict[str, dict[str, bytes]] = {}

    @property
    def healthy(self) -> bool:
        """See `Store.healthy`."""
        return self._confirmed

    async def begin(self, intent: Draft, read: Versions) -> Committed | Conflict:
        """See `Ledger.begin`."""
        for name, version in read:
            if self.versions.get(name, 0) != version:
                await asyncio.sleep(0)
                return Conflict(name)
        if intent.call in self.open_calls:
            raise self._refused(f"call {intent.call} is open already")
        index = self._append(intent)
        self.open_calls[intent.call] = OpenCall(intent.call, intent.task, index)
        await asyncio.sleep(0)
        return Committed(index)

    async def finish(self, outcome: Draft) -> Committed:
        """See `Ledger.finish`."""
        if self.open_calls.pop(outcome.call, None) is None:
            raise StoreUnavailableError(
                "call_not_open", f"call {outcome.call} has no intent without outcome", "begin it"
            )
        return await self.append(outcome)

    async def append(self, entry: Draft) -> Committed:
        """See `Ledger.append`."""
        index = self._append(entry)
        await asyncio.sleep(0)
        return Committed(index)

    async def state(self, now: datetime) -> StoredState:
        """See `Store.state`."""
        open_tasks = tuple(task for task in self._tasks.values() if now < task.expires_at)
        version = self.versions.get(RELEASE, 0)
        return StoredState(
            version=version,
            digest=self._digest,
            tasks=open_tasks,
            size=len(self.log),
            checkpointed=max(self._notes, default=0),
        )

    async def open_task(self, task: Task, entry: Draft) -> Committed:
        """See `Store.open_task`."""
        if task.id in self._tasks:
            raise self._refused(f"task {task.id} exists already")
        self._tasks[task.id] = task
        return await self.append(entry)

    async def deploy(self, digest: str, sources: Mapping[str, bytes], entry: Draft) -> int:
        """See `Store.deploy`."""
        kept = self._bundles.setdefault(digest, {})
        for path, body in sources.items():
            kept.setdefault(path, body)
        self._digest = digest
        version = self.versions[RELEASE] = self.versions.get(RELEASE, 0) + 1
        await self.append(entry)
        return version

    async def sweep(self, entry_for: Callable[[OpenCall], Draft]) -> int:
        """See `Store.sweep`."""
        ended = {entry.call for entry in self.log if entry.kind in {"outcome", "unknown"}}
        still = (call for call in self.open_calls.values() if call.call not in ended)
        lost = sorted(still, key=lambda call: call.intent)
        drafts = [entry_for(call) for call in lost]
        self.open_calls.clear()
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
