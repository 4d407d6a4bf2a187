"""Deciding a held call: a named person says yes or no to exactly what they saw."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from remit import permissions, records
from remit.core import Deny, Reason
from remit.identity import Person
from remit.permissions import Approval, Grant, State
from remit.pipeline._live import Live, approval_control
from remit.pipeline._ports import Bell, Clock, Conflict, Store

TRIES_MAX = 3  # times an answer is looked at afresh because somebody else answered at the same moment

_UNKNOWN = Reason("approval_unknown", "no open task waits for such an approval", "see `remit approvals list`")
_OVER = Reason("approval_closed", "the task that asked for it is over", "nothing is left to decide")
_CONFLICT = Reason("conflict", "others keep answering at the same moment", "look at it again, then answer again")


@dataclass(frozen=True, slots=True, kw_only=True)
class ApprovalDesk:
    """Takes people's answers. Nothing is executed here: the call goes on when the agent presents it again."""

    live: Live
    store: Store
    clock: Clock
    bell: Bell

    async def approve(self, person: Person, approval: str, digest: str, typed: str) -> Approval | Reason:
        """Take a yes to the call with `digest`, which the person saw; `typed` confirms what cannot be undone.

        Raises:
            StoreUnavailableError: nothing was approved.
        """

        def change(found: Approval) -> tuple[Approval, Mapping[str, object]] | Reason:
            now = self.clock.now()
            grants = permissions.may_grant(found, person.name, person.roles, digest, typed, now)
            if isinstance(grants, Deny):
                return grants.reason
            changed = replace(found, grants=(*found.grants, *grants), version=found.version + 1)
            return changed, _granted(changed, grants)

        return await self._answer(person, approval, change)

    async def deny(self, person: Person, approval: str, why: str) -> Approval | Reason:
        """Take a no. It sticks to the task, the operation and the arguments that steer it.

        Raises:
            StoreUnavailableError: nothing was denied.
        """

        def change(found: Approval) -> tuple[Approval, Mapping[str, object]] | Reason:
            refused = permissions.may_deny(found, person.name, person.roles, self.clock.now())
            if isinstance(refused, Deny):
                return refused.reason
            changed = replace(found, state=State.DENIED, by=person.name, version=found.version + 1)
            return changed, {"answer": "denied", "why": why, "call_digest": found.digest}

        return await self._answer(person, approval, change)

    def _goes_on(self, found: Approval) -> bool:
        """Whether a yes could still lead to anything; of what is decided already, the rules say what became of it."""
        task = self.live.task(found.task)
        return found.state is not State.WAITING or (task is not None and self.clock.now() < task.expires_at)

    async def _answer(
        self,
        person: Person,
        approval: str,
        change: Callable[[Approval], tuple[Approval, Mapping[str, object]] | Reason],
    ) -> Approval | Reason:
        for _ in range(TRIES_MAX):
            found = self.live.approval(approval)
            if found is None:
                return _UNKNOWN
            made = change(found) if self._goes_on(found) else _OVER
            if isinstance(made, Reason):
                return made
            changed, said = made
            entry = records.answered(found.id, found.task, at=self.clock.now(), by=person.name, said=said)
            kept = await self.store.keep(changed, entry, ((approval_control(found.id), found.version),))
            if not isinstance(kept, Conflict):
                self.live.put(changed)
                self.bell.ring(changed.id)
                return changed
        return _CONFLICT


def _granted(changed: Approval, grants: tuple[Grant, ...]) -> Mapping[str, object]:
    return {
        "answer": "approved",
        "call_digest": changed.digest,
        "grants": [{"kind": grant.kind, "role": grant.role} for grant in grants],
        "missing": len(permissions.missing(changed)),
    }
