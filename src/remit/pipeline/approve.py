"""Deciding a held call: a named person says yes or no to exactly what they saw, or changes it for others to decide."""

import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from remit import permissions, records
from remit.core import Deny, InputRefusedError, JsonObject, Reason, canonical_bytes
from remit.identity import Person
from remit.permissions import Approval, Grant, State
from remit.pipeline._live import Live, approval_control, directory_control
from remit.pipeline._ports import Bell, Clock, Committed, Conflict, Store
from remit.pipeline._trusting import (
    Held,
    Trust,
    Trusted,
    extended,
    held_call,
    refused_trust,
    trusted_in,
    with_trusted,
    without_trusted,
)
from remit.pipeline.handle import Proposed

TRIES_MAX = 3  # times an answer is looked at afresh because somebody else answered at the same moment

Propose = Callable[[Approval, JsonObject, str], Awaitable[Proposed | Reason]]
"""Decides a held call afresh with other arguments, which a person wrote: the approval it needs, or why not."""

_UNKNOWN = Reason("approval_unknown", "no open task waits for such an approval", "see `remit approvals list`")
_OVER = Reason("approval_closed", "the task that asked for it is over", "nothing is left to decide")
_CONFLICT = Reason("conflict", "others keep answering at the same moment", "look at it again, then answer again")
_NO_EDITS = Reason("edit_not_offered", "nothing here decides an edited call afresh", "deny it, and say what to change")
_UNCHANGED = Reason("edit_unchanged", "these are the arguments that the call has already", "change one of them")
_NOTHING_HELD = Held(arguments={}, refused=frozenset(), links=frozenset())
_TURN_WAIT_S = 1.0  # that somebody looks again whether it is their turn: the bell rings sooner


@dataclass(frozen=True, slots=True, kw_only=True)
class ApprovalDesk:
    """Takes people's answers. Nothing is executed here: the call goes on when the agent presents it again."""

    live: Live
    store: Store
    clock: Clock
    bell: Bell
    propose: Propose | None = None  # None: nobody can edit here
    turns: set[str] = field(default_factory=set)  # directories that somebody is changing

    async def approve(
        self, person: Person, approval: str, digest: str, typed: str, trust: Sequence[Trust] = ()
    ) -> Approval | Reason:
        """Take a yes to the call with `digest`, which the person saw; `typed` confirms what cannot be undone.

        With `trust`, values that the call is held for are trusted from now on, each by the person's own signature. One
        that may not be is a refusal of the whole answer. The yes is kept first: what fails between the two leaves a
        yes to one call, and no value trusted without one.

        Raises:
            StoreUnavailableError: nothing was approved, or not every value is trusted.
        """
        held = await self._held(approval) if trust else _NOTHING_HELD

        def change(found: Approval) -> tuple[Approval, Mapping[str, object]] | Reason:
            now = self.clock.now()
            grants = permissions.may_grant(found, person.name, person.roles, digest, typed, now)
            if isinstance(grants, Deny):
                return grants.reason
            refused = self._refused_trust(found, held, person.name, grants, trust)
            if refused is not None:
                return refused
            changed = replace(found, grants=(*found.grants, *grants), version=found.version + 1)
            return changed, _granted(changed, grants, trust)

        answered = await self._answer(person, approval, change)
        if isinstance(answered, Approval):
            for each in trust:
                await self._extend(each, answered.id, person.name)
        return answered

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

    async def edit(
        self, person: Person, approval: str, digest: str, arguments: JsonObject, why: str
    ) -> Approval | Reason:
        """Change the arguments of the call with `digest`, which the person saw; return what it waits for now.

        What others said of the call before was said of another one: it is void, and the person who edits counts for
        nothing in the new one or in what others make of it, also where the agent's own arguments come back. Void first:
        between the two, nothing that was given lets either call through.

        Raises:
            RemitError: the held call could not be read, or `arguments` are none.
            StoreUnavailableError: nothing was edited; it may be void.
        """
        for _ in range(TRIES_MAX):
            found = self.live.approval(approval)
            refused = _UNKNOWN if found is None else self._refused_edit(found, person, digest)
            if found is None or refused is not None:
                return refused or _UNKNOWN
            made = await self._proposed(found, arguments, person.name)
            if isinstance(made, Reason):
                return made
            kept = await self._put_in_place(found, made, person.name, why)
            if not isinstance(kept, Conflict):
                return kept
        return _CONFLICT

    async def distrust(self, person: Person, directory: str, value: str, why: str) -> Reason | None:
        """Take a value out of a directory that an approver added to it.

        Raises:
            StoreUnavailableError: it is still there.
        """
        name = directory_control(directory)
        async with self._turn(name):
            says = self.live.says(name)
            found = next((each for each in trusted_in(says) if each.value == value), None)
            if found is None:
                message = f"no approver has added that value to `{directory}`"
                return Reason("trusted_unknown", message, "see `remit directories list`")
            said = {"why": why, "added_by": found.person}
            entry = records.control(name, "reduced", at=self.clock.now(), by=person.name, said=said)
            await self._say(name, without_trusted(says, value), entry)
        return None

    # --- what an answer is made of -----------------------------------------------------------------------------------

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

    # --- an edit -----------------------------------------------------------------------------------------------------

    def _refused_edit(self, found: Approval, person: Person, digest: str) -> Reason | None:
        if not self._goes_on(found):
            return _OVER
        for answer in (
            permissions.may_edit(found, person.name, person.roles, self.clock.now()),
            permissions.was_shown(found, digest),
        ):
            if isinstance(answer, Deny):
                return answer.reason
        return None

    async def _proposed(self, found: Approval, arguments: JsonObject, editor: str) -> Proposed | Reason:
        """Have the edited call decided afresh. Whatever comes back, nobody has approved it yet."""
        if self.propose is None:
            return _NO_EDITS
        now = permissions.edit_bare(found) or found.instead_of
        if permissions.same_call(found.operation, canonical_bytes(arguments)) == now:
            return _UNCHANGED
        made = await self.propose(found, arguments, editor)
        if isinstance(made, Reason):
            return made
        editors = (*found.editors, editor)
        new = replace(made.approval, editors=editors, state=State.WAITING, grants=(), by="", call="", version=1)
        return Proposed(new, made.entry)

    async def _put_in_place(self, old: Approval, made: Proposed, editor: str, why: str) -> Approval | Reason | Conflict:
        new = made.approval
        void = replace(old, state=State.VOID, by=f"edited by {editor}: {new.id}", version=old.version + 1)
        said: JsonObject = {"answer": "edited", "into": new.id, "why": why, "call_digest": old.digest}
        entry = records.answered(old.id, old.task, at=self.clock.now(), by=editor, said=said)
        kept = await self.store.keep(void, entry, ((approval_control(old.id), old.version),))
        if isinstance(kept, Conflict):
            return kept
        self.live.put(void)
        try:
            opened = await self.store.keep(new, made.entry)
            if not isinstance(opened, Committed):
                return _CONFLICT
            new = replace(new, entry=opened.index)
            self.live.put(new)
            return new
        finally:  # also when it was not kept: who waits for the old one waits for nothing
            self.bell.ring(old.id)
            self.bell.ring(new.id)

    # --- trust -------------------------------------------------------------------------------------------------------

    async def _held(self, approval: str) -> Held:
        found = self.live.approval(approval)
        for entry in () if found is None else await self.store.entries(found.entry, found.entry + 1):
            return held_call(entry)
        return _NOTHING_HELD

    def _refused_trust(
        self, found: Approval, held: Held, person: str, grants: tuple[Grant, ...], trust: Sequence[Trust]
    ) -> Reason | None:
        if not trust:
            return None
        snapshot, now = self.live.snapshot, self.clock.now()
        flow = snapshot.flows.get((found.agent, found.operation))
        lifts = permissions.may_extend(grants, flow)
        if isinstance(lifts, Deny):
            return lifts.reason
        for each in trust:
            refused = refused_trust(
                each,
                found,
                held,
                person=person,
                flow=flow,
                directories=snapshot.directories,
                sources=snapshot.sources,
                now=now,
            ) or self._full(each, person)
            if refused is not None:
                return refused
        return None

    def _full(self, trust: Trust, person: str) -> Reason | None:
        try:
            with_trusted(self.live.says(directory_control(trust.directory)), [_by(trust, person)], self.clock.now())
        except InputRefusedError as error:
            return Reason(error.code, error.message, error.fix)
        return None

    async def _extend(self, trust: Trust, approval: str, person: str) -> None:
        name, now = directory_control(trust.directory), self.clock.now()
        async with self._turn(name):
            says = with_trusted(self.live.says(name), [_by(trust, person)], now)
            await self._say(name, says, extended(trust, approval, at=now, by=person))

    async def _say(self, name: str, says: str, entry: records.Draft) -> None:
        raised = await self.store.control(name, says, entry)
        self.live.set_control(name, raised[name], says)

    @contextlib.asynccontextmanager
    async def _turn(self, name: str) -> AsyncIterator[None]:
        """Let one change of a directory follow the other, so that none is lost that was made at the same moment."""
        while name in self.turns:
            await self.bell.wait(name, _TURN_WAIT_S)
        self.turns.add(name)
        try:
            yield
        finally:
            self.turns.discard(name)
            self.bell.ring(name)


def _by(trust: Trust, person: str) -> Trusted:
    return Trusted(value=trust.value, until=trust.until, person=person)


def _granted(changed: Approval, grants: tuple[Grant, ...], trust: Sequence[Trust]) -> Mapping[str, object]:
    said: dict[str, object] = {
        "answer": "approved",
        "call_digest": changed.digest,
        "grants": [{"kind": grant.kind, "role": grant.role} for grant in grants],
        "missing": len(permissions.missing(changed)),
    }
    return {**said, "trusts": [each.directory for each in trust]} if trust else said
