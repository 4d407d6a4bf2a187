"""Cutting off: an agent, a user, a task or a key revoked, an operation quarantined, everything stopped; and undone.

A control is durable before anybody hears of it, and every call compares the controls it was decided on in the
transaction before its effect: what was decided before the change and has not left by then does not leave.
"""

import contextlib
import json
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

from remit import records
from remit.core import InputRefusedError, JsonObject, Reason, StoreUnavailableError, is_user, utc_text
from remit.identity import (
    EVERY_AGENT,
    Cut,
    UserCut,
    agent_keys,
    read_agent_key,
    read_user_cuts,
    with_key,
    with_user_cut,
    without_key,
    without_user_cut,
)
from remit.permissions import Approval, State
from remit.pipeline._live import (
    STOP,
    Live,
    agent_control,
    approval_control,
    key_control,
    keys_control,
    operation_control,
    task_control,
    user_control,
)
from remit.pipeline._ports import Bell, Clock, Conflict, Store, Underway

DIFFERENCES_KEPT_MAX = 50  # lines of how an operation differs from what was reviewed
REVIEWS_KEPT_MAX = 20  # of one operation, whose quarantine is remembered
WHY_CHARS_MAX = 500

_KEYS = "keys"  # the turn of those who change any agent's keys
_AGAIN = "; again by "  # between the first revocation and the newest
_TURN_WAIT_S = 60.0  # for the bell to say that a turn has come; then it is looked at once more
_LONG_AGO = datetime(1, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class Cutoff:
    """What died with a revocation, and how long it took from the command to the last of it, in microseconds.

    `calls` were with their tools, and end with their outcome unknown; `tokens` were minted for tools and kept.
    """

    tasks: int
    approvals: int
    calls: int
    tokens: int
    elapsed_us: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ControlDesk:
    """Changes controls. Every method raises `StoreUnavailableError` when nothing was changed."""

    live: Live
    store: Store
    clock: Clock
    bell: Bell
    underway: Underway
    forget: Callable[[Cut], int]  # drop the tokens minted for whom it concerns, and say how many
    turns: set[str] = field(default_factory=set)  # what somebody is changing at the moment; for one event loop

    async def cut(self, cut: Cut, by: str, why: str, *, before: datetime | None = None) -> Cutoff | Reason:
        """Cut off at once an agent, a user (with one agent, or all), a task or a key. Others notice nothing.

        Every next call under it is denied; its open tasks end, and those they were handed on to; what waits for
        approval there is void; the tokens minted for it are dropped; its calls with their tools end, unknown.
        `before`, for a user: only what was opened before then. A key ends no task, but whatever rests on it.
        """
        refused = self._refused(cut, before)
        if refused is not None:
            return refused
        started = self.clock.elapsed_us()
        async with self._turn(cut_control(cut)):
            tasks, void = await self._raise(cut, by, why, before)
        # A task that was being opened meanwhile was admitted before this was heard of: it ends with the others.
        late = tuple(task for task in self._tasks_for(cut, before) if task not in tasks)
        ends = self._ends(cut, before, (*tasks, *late))
        tokens, calls = sum(map(self.forget, ends)), sum(map(self.underway.cut, ends))
        self._let_die((*tasks, *late), void)
        done = Cutoff(
            tasks=len(tasks) + len(late),
            approvals=len(void),
            calls=calls,
            tokens=tokens,
            elapsed_us=self.clock.elapsed_us() - started,
        )
        # The revocation is durable, and its entry names all that it ended: whoever gave the command hears that it
        # stands, also where the store takes no more of the story.
        with contextlib.suppress(StoreUnavailableError):
            await self._complete(cut, late, done)
            await self._tell(cut, (*tasks, *late), void, by)
        return done

    async def restore(self, cut: Cut, by: str, why: str, *, own: bool = False) -> Reason | None:
        """Let an agent or a user act again, in new tasks: what died stays dead. A task or a key never comes back.

        A user is restored with one agent, or with those that were not cut off one by one. With `own`, only what `by`
        cut off itself is restored.
        """
        if cut.task:
            return Reason("task_over", "a task that was revoked stays so", "open a new task")
        if cut.key:
            return Reason("key_dead", "a key that was revoked counts no more", "register a new one: agents register")
        if not cut.user and cut.agent not in self.live.snapshot.charters:
            return _unknown_agent(cut.agent)
        name = cut_control(cut)
        async with self._turn(name):
            now_says = self.live.says(name)
            stands = self._stands(cut)
            if not stands:
                return _not_revoked(cut)
            if own and not stands.startswith(f"by {by} at "):
                return Reason("revoked_by_others", f"others have revoked the {_noun(cut)}", "have them restore it")
            says = without_user_cut(now_says, cut.agent) if cut.user else ""
            said: JsonObject = {"why": why[:WHY_CHARS_MAX]}
            if cut.user:
                said["agent"] = cut.agent
            await self._say(name, "restored", says, by, said)
        return None

    async def heard(self, issuer: str, kind: str, by: str, said: JsonObject) -> None:
        """Record what an issuer told of a user, whatever comes of it."""
        entry = records.control(f"issuer/{issuer}", kind, at=self.clock.now(), by=by, said=said)
        await self.store.append(entry)

    async def void_waiting(self, why: str) -> None:
        """Say of every approval that waits that it can lead to nothing any more: it was for a release that is over."""
        for each in self.live.approvals():
            if each.state is State.WAITING:
                void = replace(each, state=State.VOID, by=why, version=each.version + 1)
                said = {"answer": "void", "why": why, "call_digest": each.digest}
                entry = records.answered(each.id, each.task, at=self.clock.now(), by="gateway", said=said)
                read = ((approval_control(each.id), each.version),)
                if not isinstance(await self.store.keep(void, entry, read), Conflict):
                    self.live.put(void)
                    self.bell.ring(each.id)

    async def stop_all(self, by: str, why: str) -> Reason | None:
        """Let nothing leave any more, for any agent."""
        says = _says(by, why, utc_text(self.clock.now()))
        await self._say(STOP, "stopped", says, by, {"why": why[:WHY_CHARS_MAX]})
        return None

    async def resume(self, by: str, why: str) -> Reason | None:
        """Undo `stop_all`."""
        if not self.live.says(STOP):
            return Reason("not_stopped", "nothing is stopped", "see `remit release status`")
        await self._say(STOP, "resumed", "", by, {"why": why[:WHY_CHARS_MAX]})
        return None

    async def quarantine(self, operation: str, differences: Sequence[str]) -> None:
        """Let nobody call an operation that is no longer served as it was reviewed (R4.7)."""
        kept = list(differences[:DIFFERENCES_KEPT_MAX])
        before = json.loads(self.live.says(operation_control(operation)) or "{}")
        others = list(before.items())[-REVIEWS_KEPT_MAX:]  # reviews that may come back by a rollback
        says = json.dumps({**dict(others), self._digest(operation): kept})
        if self.live.says(operation_control(operation)) != says:
            await self._say(operation_control(operation), "quarantined", says, "gateway", {"differences": [*kept]})

    async def release_operation(self, operation: str, by: str, why: str) -> Reason | None:
        """Let an operation be called again, which is served as reviewed once more; the caller has looked."""
        if not self.live.says(operation_control(operation)):
            return Reason("not_quarantined", f"`{operation}` is not in quarantine", "see `remit tools list`")
        await self._say(operation_control(operation), "released", "", by, {"why": why[:WHY_CHARS_MAX]})
        return None

    async def register_key(self, agent: str, key: JsonObject, by: str) -> str | Reason:
        """Let an agent prove who it is with one more key of its own, a JWK; return the key's thumbprint.

        Raises:
            InputRefusedError: what is wrong with the key (`identity.with_key`).
        """
        if agent not in self.live.snapshot.charters:
            return _unknown_agent(agent)
        kid = str(read_agent_key(key)["kid"])
        async with self._turn(_KEYS):
            if self.live.says(key_control(kid)):
                return Reason("key_revoked", "this key was revoked, for good", "make a new key pair")
            holder = self.holder(kid)
            if holder not in (None, agent):
                return Reason("key_shared", f"`{holder}` has this key already", "give each agent a key of its own")
            keys = with_key(self.live.says(keys_control(agent)), key)
            await self._say(keys_control(agent), "keys_changed", keys, by, {"kid": kid})
        return kid

    async def remove_key(self, agent: str, kid: str, by: str) -> None:
        """Let an agent no longer prove who it is with one of its keys; what it began with it goes on.

        Raises:
            InputRefusedError: `key_unknown`.
        """
        async with self._turn(_KEYS):
            keys = without_key(self.live.says(keys_control(agent)), kid)
            await self._say(keys_control(agent), "keys_changed", keys, by, {"removed": kid})

    # --- what a revocation is made of --------------------------------------------------------------------------------

    def _refused(self, cut: Cut, before: datetime | None) -> Reason | None:
        """Say why there is no such thing to cut off. A user need not have been seen: they are kept from coming."""
        if cut.agent and cut.agent not in self.live.snapshot.charters:
            return _unknown_agent(cut.agent)
        named = [bool(part) for part in (cut.user, cut.task, cut.key)]
        if sum(named) + bool(cut.agent and not cut.user) != 1 or (before is not None and not cut.user):
            return Reason("cut_unclear", "not one thing to revoke", "name an agent, a user, a task or a key")
        if cut.user and not is_user(cut.user):
            return Reason("user_invalid", "that names no user", "give a name, or ISSUER:SUBJECT")
        if cut.task and self.live.task(cut.task) is None:
            return Reason("task_unknown", "no such task is open", "see `remit tasks list`")
        if cut.key and not self.live.says(key_control(cut.key)) and self.holder(cut.key) is None:
            fix = "see `remit agents show`; of a key that was taken away, revoke the tasks or the agent"
            return Reason("key_unknown", "no agent has such a key", fix)
        return None

    def holder(self, key: str) -> str | None:
        """Return the agent that has the key with this thumbprint."""
        agents = self.live.snapshot.charters
        return next((agent for agent in agents if key in agent_keys(self.live.says(keys_control(agent)))), None)

    def _stands(self, cut: Cut) -> str:
        says = self.live.says(cut_control(cut))
        if not cut.user:
            return says
        found = read_user_cuts(says).get(cut.agent)
        return found.why if found is not None and found.out else ""

    def _tasks_for(self, cut: Cut, before: datetime | None) -> tuple[str, ...]:
        """Return the open tasks that end: of those a key opened none is known, so a key ends none."""
        return tuple(
            task.id
            for task in map(self.live.task, self.live.tasks_for(cut))
            if task is not None and (before is None or task.since < before)
        )

    def _ends(self, cut: Cut, before: datetime | None, tasks: Iterable[str]) -> tuple[Cut, ...]:
        """Return whose calls and tokens end: the cut's, and those of tasks that it ends without naming them."""
        if before is not None:
            return tuple(Cut(task=task) for task in tasks)
        found = filter(None, map(self.live.task, tasks))
        return cut, *(
            Cut(task=task.id)
            for task in found
            if not cut.concerns(user=task.user, agent=task.agent, task=task.id, chain=task.chain)
        )

    async def _raise(
        self, cut: Cut, by: str, why: str, before: datetime | None
    ) -> tuple[tuple[str, ...], tuple[Approval, ...]]:
        """Say durably what is cut off, and with it end its open tasks and make void what waits there."""
        now, name = self.clock.now(), cut_control(cut)
        said = _says(by, why, utc_text(now))
        made = UserCut(said, before, out=before is None)
        says = with_user_cut(self.live.says(name), cut.agent, made) if cut.user else _again(self.live.says(name), said)
        tasks, voided = self._tasks_for(cut, before), f"{_noun(cut)} revoked by {by}"
        void = tuple(
            replace(each, state=State.VOID, by=voided, version=each.version + 1) for each in self.live.waiting_in(tasks)
        )
        entry = records.control(name, "revoked", at=now, by=by, said=_told(cut, why, before, tasks, void))
        raised = await self.store.control(name, says, entry, approvals=void, tasks=tasks)
        self.live.set_control(name, raised[name], says)
        # (One that was used or answered in the meantime is not among what was raised.)
        versions = [(each, raised.get(approval_control(each.id))) for each in void]
        return tasks, tuple(replace(each, version=version) for each, version in versions if version is not None)

    def _let_die(self, tasks: Sequence[str], void: Sequence[Approval]) -> None:
        for each in void:
            self.live.put(each)
        for task in tasks:
            self.live.dismiss(task)
        for each in void:
            self.bell.ring(each.id)

    async def _complete(self, cut: Cut, late: Sequence[str], done: Cutoff) -> None:
        """Record how much died, and how soon; close the tasks that were being opened meanwhile."""
        name = cut_control(cut)
        told: JsonObject = {
            "tasks": done.tasks,
            "approvals": done.approvals,
            "calls": done.calls,
            "tokens": done.tokens,
            "elapsed_us": done.elapsed_us,
            **({"agent": cut.agent} if cut.user else {}),
        }
        entry = records.control(name, "revocation_complete", at=self.clock.now(), by="gateway", said=told)
        if not late:
            await self.store.append(entry)
            return
        async with self._turn(name):
            says = self.live.says(name)
            raised = await self.store.control(name, says, entry, tasks=late)
            self.live.set_control(name, raised[name], says)

    async def _tell(self, cut: Cut, tasks: Sequence[str], void: Sequence[Approval], by: str) -> None:
        """Say in each task's own record that it is over, and take a dead key from the agent that had it."""
        holder = self.holder(cut.key) if cut.key else None
        if holder is not None:
            with contextlib.suppress(InputRefusedError):  # somebody was faster
                await self.remove_key(holder, cut.key, by)
        for each in void:
            said = {"answer": "void", "why": each.by, "call_digest": each.digest}
            await self.store.append(records.answered(each.id, each.task, at=self.clock.now(), by=by, said=said))
        why = "it was revoked" if cut.task else f"its {_noun(cut)} was revoked"
        for task in tasks:
            await self.store.append(records.task_closed(task, at=self.clock.now(), by=by, why=why))

    @contextlib.asynccontextmanager
    async def _turn(self, name: str) -> AsyncIterator[None]:
        """Let one change of a control follow the other, so that none is lost that was made at the same moment."""
        while name in self.turns:
            await self.bell.wait(name, _TURN_WAIT_S)
        self.turns.add(name)
        try:
            yield
        finally:
            self.turns.discard(name)
            self.bell.ring(name)

    async def _say(self, name: str, word: str, says: str, by: str, said: JsonObject) -> None:
        entry = records.control(name, word, at=self.clock.now(), by=by, said=said)
        raised = await self.store.control(name, says, entry)
        self.live.set_control(name, raised[name], says)

    def _digest(self, operation: str) -> str:
        found = self.live.snapshot.descriptors.get(operation)
        return "" if found is None else found.digest


def cut_control(cut: Cut) -> str:
    """Name the control that says what `cut` cuts off."""
    if cut.user:
        return user_control(cut.user)
    if cut.task:
        return task_control(cut.task)
    return key_control(cut.key) if cut.key else agent_control(cut.agent)


def _noun(cut: Cut) -> str:
    return cut_control(cut).partition("/")[0]


def _told(cut: Cut, why: str, before: datetime | None, tasks: Sequence[str], void: Sequence[Approval]) -> JsonObject:
    said: JsonObject = {
        "why": why[:WHY_CHARS_MAX],
        "tasks": [*tasks],
        "approvals": [each.id for each in void],
    }
    if cut.user:
        said["agent"] = cut.agent
    if before is not None:
        said["before"] = utc_text(before)
    return said


def _says(by: str, why: str, at: str) -> str:
    return f"by {by} at {at}: {why[:WHY_CHARS_MAX]}"


def _again(stands: str, said: str) -> str:
    """Say a revocation that comes on top of one: the first stays to be seen, and the newest."""
    return f"{stands.partition(_AGAIN)[0]}; again {said}" if stands else said


def _unknown_agent(agent: str) -> Reason:
    return Reason("agent_unknown", f"there is no agent `{agent[:64]}`", "see `remit agents list`")


def _not_revoked(cut: Cut) -> Reason:
    if not cut.user:
        return Reason("agent_not_revoked", f"`{cut.agent}` is not revoked", "see `remit agents list`")
    with_whom = "for every agent" if cut.agent == EVERY_AGENT else f"with `{cut.agent[:64]}`"
    return Reason("user_not_revoked", f"`{cut.user[:64]}` is not revoked {with_whom}", "see `remit users list`")
