"""Cutting off: an agent revoked, an operation quarantined, everything stopped; and each of them undone, on record.

A control is durable before anybody hears of it, and every call compares the controls it was decided on in the
transaction before its effect: what was decided before the change and has not left by then does not leave.
"""

import contextlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from remit import records
from remit.core import JsonObject, Reason, StoreUnavailableError, utc_text
from remit.permissions import Approval, State
from remit.pipeline._live import STOP, Live, agent_control, approval_control, operation_control
from remit.pipeline._ports import Bell, Clock, Conflict, Store

DIFFERENCES_KEPT_MAX = 50  # lines of how an operation differs from what was reviewed
REVIEWS_KEPT_MAX = 20  # of one operation, whose quarantine is remembered
WHY_CHARS_MAX = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class Revoked:
    """What died with an agent's authority, and how long it took from the command to the last of it, in microseconds."""

    agent: str
    tasks: int
    approvals: int
    elapsed_us: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ControlDesk:
    """Changes controls. Every method raises `StoreUnavailableError` when nothing was changed."""

    live: Live
    store: Store
    clock: Clock
    bell: Bell
    forget_agent: Callable[[str], None]  # drop the tokens minted for an agent

    async def revoke_agent(self, agent: str, by: str, why: str) -> Revoked | Reason:
        """Cut an agent off at once: its next call, its tasks, what waits for approval. Others notice nothing."""
        if agent not in self.live.snapshot.charters:
            return _unknown_agent(agent)
        started = self.clock.elapsed_us()
        name, says = agent_control(agent), _says(by, why, utc_text(self.clock.now()))
        tasks = self.live.tasks_of(agent)
        void = [
            replace(each, state=State.VOID, by=f"agent revoked by {by}", version=each.version + 1)
            for each in self.live.waiting_for(agent)
        ]
        said: JsonObject = {"why": why[:WHY_CHARS_MAX], "tasks": [*tasks], "approvals": [each.id for each in void]}
        entry = records.control(name, "revoked", at=self.clock.now(), by=by, said=said)
        raised = await self.store.control(name, says, entry, approvals=void, tasks=tasks)
        self.live.set_control(name, raised[name], says)
        self.forget_agent(agent)
        for each in void:
            self.live.put(replace(each, version=raised.get(approval_control(each.id), each.version)))
        for task in tasks:
            self.live.dismiss(task)
        for each in void:
            self.bell.ring(each.id)
        done = Revoked(agent=agent, tasks=len(tasks), approvals=len(void), elapsed_us=self.clock.elapsed_us() - started)
        # The revocation is durable, and its entry names all that it ended: whoever gave the command hears that it
        # stands, also where the store takes no more of the story.
        with contextlib.suppress(StoreUnavailableError):
            await self._tell(tasks, void, by)
            told = {"tasks": done.tasks, "approvals": done.approvals, "elapsed_us": done.elapsed_us}
            complete = records.control(name, "revocation_complete", at=self.clock.now(), by="gateway", said=told)
            await self.store.append(complete)
        return done

    async def restore_agent(self, agent: str, by: str, why: str) -> Reason | None:
        """Let an agent act again, in new tasks: what died with its revocation stays dead."""
        if agent not in self.live.snapshot.charters:
            return _unknown_agent(agent)
        if not self.live.says(agent_control(agent)):
            return Reason("agent_not_revoked", f"`{agent}` is not revoked", "see `remit agents list`")
        await self._say(agent_control(agent), "restored", "", by, {"why": why[:WHY_CHARS_MAX]})
        return None

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

    async def set_keys(self, agent: str, keys: str, by: str, said: JsonObject) -> None:
        """Keep an agent's public keys, as a JWK set."""
        await self._say(keys_control(agent), "keys_changed", keys, by, said)

    async def _tell(self, tasks: Sequence[str], void: Sequence[Approval], by: str) -> None:
        """Say in each task's own record that it is over."""
        for each in void:
            said = {"answer": "void", "why": each.by, "call_digest": each.digest}
            await self.store.append(records.answered(each.id, each.task, at=self.clock.now(), by=by, said=said))
        for task in tasks:
            await self.store.append(records.task_closed(task, at=self.clock.now(), by=by, why="its agent was revoked"))

    async def _say(self, name: str, word: str, says: str, by: str, said: JsonObject) -> None:
        entry = records.control(name, word, at=self.clock.now(), by=by, said=said)
        raised = await self.store.control(name, says, entry)
        self.live.set_control(name, raised[name], says)

    def _digest(self, operation: str) -> str:
        found = self.live.snapshot.descriptors.get(operation)
        return "" if found is None else found.digest


def keys_control(agent: str) -> str:
    """Name the control that keeps an agent's public keys."""
    return f"keys/{agent}"


def _says(by: str, why: str, at: str) -> str:
    return f"by {by} at {at}: {why[:WHY_CHARS_MAX]}"


def _unknown_agent(agent: str) -> Reason:
    return Reason("agent_unknown", f"there is no agent `{agent[:64]}`", "see `remit agents list`")
