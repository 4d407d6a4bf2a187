"""The enforcement point: the life of one call, top to bottom.

    gather facts -> decide -> [hold] -> reserve and intent, durable -> forward -> outcome, durable -> answer

1. Nothing leaves without an `Allow` and a durable intent. (In observe mode: without a durable intent that says so.)
2. Every way out leaves a record. After a crash, an intent without an outcome is the record, and the sweep at start-up
   reports it as `unknown`, never as done.
3. No step after `decide` may widen what it allowed. What changed in between is compared in the intent's own
   transaction, in which caps are reserved and an approval is used up; a mismatch decides again, and in the end denies.
4. A hold is lifted by nothing but our own record: the call is decided afresh, with the approval among its facts.
"""

import contextlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from remit import permissions, records
from remit.catalogue import Descriptor, LookUp, Minted, Tool
from remit.core import (
    Add,
    Allow,
    Deny,
    GateAnswer,
    Hold,
    JsonObject,
    Mark,
    Obligation,
    Reason,
    RemitError,
    Ruling,
    StoreUnavailableError,
    ToolCall,
    canonical_bytes,
    new_id,
)
from remit.permissions import Approval, State
from remit.pipeline._answer import LOOK_FIRST, Answer, Done, Failed, Refused, answer_of, ending_of, repeated
from remit.pipeline._basis import basis_of, consumed_by, limit_json, limited
from remit.pipeline._facts import Facts
from remit.pipeline._holding import held_json, known, opened, too_many, waiting
from remit.pipeline._live import approval_control
from remit.pipeline._past import look_for, structured, to_look_up
from remit.pipeline._ports import (
    NOTHING,
    Bell,
    Clock,
    Committed,
    Conflict,
    Credential,
    Credentials,
    CredentialUnavailableError,
    FactSource,
    Full,
    Ledger,
    Outside,
    Sent,
    Underway,
    Upstream,
    UpstreamAnswer,
    UpstreamFailure,
)
from remit.pipeline.decide import decide
from remit.pipeline.replay import recorded_call

DECISIONS_MAX = 3  # times a call is decided afresh because something changed under it

_CONFLICT = Deny(Reason("conflict", "what this call was decided on kept changing under it", "send the call again"))
_CUT_OFF = UpstreamFailure(code="cut_off", sent=Sent.UNKNOWN, detail="the call was cut off while the tool worked")
_REVOKED = UpstreamFailure(code="revoked", sent=Sent.UNKNOWN, detail="the authority was cut off while the tool worked")
_REVOKED_BEFORE = UpstreamFailure(
    code="revoked", sent=Sent.NOT_SENT, detail="the authority was cut off before the call left"
)
_NOT_FORWARDED = UpstreamFailure(
    code="not_forwarded", sent=Sent.NOT_SENT, detail="the call ended before its intent was confirmed"
)
_UNREAD = Reason("approval_unreadable", "the held call cannot be read back", "let the agent make the call again")
_EDITED = Hold(Reason("approval_edited", "a person changed the call"), ())
_NOWHERE = Reason("operation_not_listed", "there is no tool to forward to", "add its descriptor to the catalogue")


@dataclass(frozen=True, slots=True)
class Proposed:
    """An approval that an edited call needs, not yet kept, and the entry to keep with it, which shows that call."""

    approval: Approval
    entry: records.Draft


@dataclass(frozen=True, slots=True, kw_only=True)
class Gateway:
    """The policy enforcement point. All its I/O goes through these ports."""

    facts: FactSource
    ledger: Ledger
    upstream: Upstream
    credentials: Credentials
    underway: Underway
    bell: Bell
    clock: Clock
    random: records.Random
    on_fault: Callable[[Exception], None]
    hold_wait_s: float = 0.0  # how long a held call waits for persons before its answer says that it is held
    outside: Outside | None = None  # a decision point of the organisation's own, asked as one more gate
    observe: bool = False  # UNSAFE: record and decide, refuse nothing that can be forwarded; never attestable

    async def handle(self, call: ToolCall) -> Answer:
        """Take one call from request to answer. Never raises for what a caller, a tool or the store does."""
        waits_until_us = self.clock.elapsed_us() + int(self.hold_wait_s * 1e6)
        try:
            answer = await self._presented(call)
            while isinstance(answer, Refused) and answer.approval and await self._woken(call, answer, waits_until_us):
                answer = await self._presented(call)
        except RemitError as error:  # unrecorded, or what it is decided on could not be read: nothing has left
            return _failed_before(call, error)
        return answer

    async def propose(self, approval: Approval, arguments: JsonObject, editor: str) -> Proposed | Reason:
        """Decide a held call with other `arguments`, which `editor` wrote: the approval that it needs, or why not.

        Nothing is sent or kept; what the call would change is looked up.

        Raises:
            RemitError: the held call could not be read back, or `arguments` are none.
        """
        entries = await self.ledger.entries_of(approval.task)
        entry = next((each for each in entries if each.index == approval.entry), None)
        if entry is None:
            return _UNREAD
        call = recorded_call(entry, canonical_bytes(arguments))
        await self.facts.recall(call)
        facts, ruling = await self._ruled(call)
        if facts is None:
            return _UNREAD
        if isinstance(ruling.decision, Deny):
            return ruling.decision.reason
        if isinstance(ruling.decision, Hold):
            made = opened(call, facts, ruling.decision, self.random)
        else:  # (nobody need approve what it asks for now: it is made in place of the other one, once)
            made = replace(opened(call, facts, _EDITED, self.random), expires_at=approval.expires_at)
        edited = call.canonical.decode()
        made = replace(made, edited=edited, instead_of=approval.instead_of, editors=(*approval.editors, editor))
        said = {**held_json(made), "edited_by": editor, "edited_of": approval.id, "edited_entry": approval.entry}
        return Proposed(made, self._entry("held", call, facts, ruling, said))

    async def _presented(self, call: ToolCall) -> Answer:
        """Take a call as it is presented: a person's edit of it takes its place."""
        await self.facts.recall(call)
        edit = self.facts.edit_of(call)
        if edit is None:
            return await self._once(call)
        edited = replace(call, canonical=edit.edited.encode())
        await self.facts.recall(edited)
        answer = await self._once(edited, {"edited": edit.id})
        return replace(answer, edited=edit.edited) if isinstance(answer, Done) else answer

    async def _woken(self, call: ToolCall, held: Refused, until_us: int) -> bool:
        """Wait until somebody answers what `held` waits for; False when nobody did in time."""
        left_us = until_us - self.clock.elapsed_us()
        if left_us <= 0:
            return False
        # While the hold was being recorded nobody heard the bell: what rang then is seen by looking once more.
        if self.facts.edit_of(call) is not None:
            return True
        _, ruling = self._rule(call)
        return not isinstance(ruling.decision, Hold) or await self.bell.wait(held.approval, left_us / 1e6)

    async def _once(self, call: ToolCall, more: JsonObject | None = None) -> Answer:
        """Decide a call and carry it out, or refuse it; `more` is said in its entries."""
        for _ in range(DECISIONS_MAX):
            facts, ruling = await self._ruled(call)
            way = self._way_out(facts, ruling)
            if facts is None or way is None:
                refused = await self._refuse(call, facts, ruling, more)
                if isinstance(refused, Conflict):
                    continue
                return refused
            intent = self._entry("intent", call, facts, ruling, more)
            begun = await self._begin(call, facts, ruling, intent)
            if isinstance(begun, Full):
                ruling = limited(ruling, begun.reserve.key, begun.used, facts.now)
                more = {**(more or {}), **limit_json(begun)}
                if not self.observe:
                    return await self._deny(call, facts, ruling, more)
                intent = self._entry("intent", call, facts, ruling, more)
                begun = await self._begin(call, facts, ruling, intent)  # a denial owes nothing, so nothing is full
            if isinstance(begun, Committed):
                return await self._perform(call, facts, ruling, intent, *way)
            await self.facts.recall(call)
        return await self._deny(call, None, Ruling(_CONFLICT, ()))

    async def _ruled(self, call: ToolCall) -> tuple[Facts | None, Ruling]:
        """Decide, once everything is known that the decision asks for: facts, another's opinion, the state before.

        A look-up of our own looks nothing up in its turn.
        """
        facts, ruling = self._rule(call)
        looks = not call.looked_up_for
        if looks and facts is not None and facts.missing and _code(ruling) == "fact_missing":
            facts, ruling = self._rule(call, await self._look_up(call, facts))
        if self.outside is not None and facts is not None:
            facts, ruling = await self._ask_outside(self.outside, call, facts, ruling)
        if looks and facts is not None and _is_asked(ruling) and _before(facts) is not None:
            facts, ruling = await self._look_before(call, facts, ruling)
        return facts, ruling

    def _rule(self, call: ToolCall, looked: Mapping[str, bytes | str] = NOTHING) -> tuple[Facts | None, Ruling]:
        """Gather the facts and decide. Whatever goes wrong here is a denial: nothing has been sent."""
        try:
            facts = self.facts.gather(call, looked)
            return facts, decide(call, facts)
        except Exception as error:  # noqa: BLE001 - the one broad handler in the product: a fault while deciding denies
            self.on_fault(error)
            fault = Reason(
                "cannot_decide", f"the decision failed with {type(error).__name__}", "see the gateway's output"
            )
            return None, Ruling(Deny(fault), ())

    async def _look_up(self, call: ToolCall, facts: Facts) -> Mapping[str, bytes | str]:
        """Look up the facts that are missing; return the answers, or why there is none, by fact."""
        descriptor = facts.descriptor
        wanted = {} if descriptor is None else to_look_up(descriptor, (*facts.missing,))
        return {name: await self._look(call, look_up) for name, look_up in wanted.items()}

    async def _look_before(self, call: ToolCall, facts: Facts, ruling: Ruling) -> tuple[Facts, Ruling]:
        """Look at what a call would change that persons decide on, and decide with that: they see it, and it binds."""
        look_up = _before(facts)
        seen = "nothing says where to look" if look_up is None else await self._look(call, look_up)
        if isinstance(seen, str):
            said = f"what the call would change could not be looked up: {seen}"
            unread = Deny(Reason("before_unreadable", said, "ask for what exists, and may be read"))
            return facts, Ruling(unread, (*ruling.trail, GateAnswer("permissions.before_is_known", unread)))
        facts = replace(facts, before=seen)
        return facts, decide(call, facts)

    async def _look(self, call: ToolCall, look_up: LookUp) -> bytes | str:
        """Make a read of our own under the call's delegation, like any other call; return its answer, or why none came.

        The structured content is returned, canonical.
        """
        look = look_for(look_up, call)
        if look is None:
            return f"the call has not what `{look_up.operation}` is asked with"
        if look_up.operation == call.operation:
            return f"`{look_up.operation}` cannot look itself up"
        asked = replace(
            call,
            id=new_id("c", self.random(16)),
            operation=look.operation,
            canonical=look.canonical,
            rationale="",
            confidence=None,
            looked_up_for=call.id,
        )
        await self.facts.recall(asked)
        answer = await self._once(asked)
        match answer:
            case Done(result=result):
                found = structured(result)
                nothing = f"`{look.operation}` answered with an error, or with nothing"
                return nothing if found is None else canonical_bytes(found)
            case Refused(reason=reason) | Failed(reason=reason):
                return f"`{look.operation}` was not answered: {reason.code}"

    async def _ask_outside(
        self, outside: Outside, call: ToolCall, facts: Facts, ruling: Ruling
    ) -> tuple[Facts, Ruling]:
        """Ask the decision point outside about what we would not refuse ourselves, and decide with what it said."""
        if isinstance(ruling.decision, Deny):
            return facts, ruling
        facts = replace(facts, outside=await outside.opinion(call, facts))
        return facts, decide(call, facts)

    def _way_out(self, facts: Facts | None, ruling: Ruling) -> tuple[Tool, Descriptor] | None:
        """Return where the call may go, if it may go anywhere."""
        if facts is None or facts.tool is None or facts.descriptor is None:
            return None
        match ruling.decision:
            case Allow():
                return facts.tool, facts.descriptor
            case Hold() | Deny():
                return (facts.tool, facts.descriptor) if self.observe else None

    async def _refuse(
        self, call: ToolCall, facts: Facts | None, ruling: Ruling, more: JsonObject | None
    ) -> Answer | Conflict:
        """Record that the call does not happen now, then say it."""
        match ruling.decision:
            case Hold() as hold if facts is not None:
                return await self._hold(call, facts, ruling, hold, more)
            case Deny(instead=earlier) if earlier:
                await self._deny(call, facts, ruling, more)
                return await self._repeated(call, earlier)
            case Deny():
                return await self._deny(call, facts, ruling, more)
            case Hold() | Allow():
                return await self._deny(call, facts, Ruling(Deny(_NOWHERE), ruling.trail), more)

    async def _repeated(self, call: ToolCall, earlier: str) -> Answer:
        """Answer an approved call that was carried out before with what became of it."""
        try:
            return repeated(call.id, earlier, await self.ledger.entries_of(call.delegation.task))
        except RemitError as error:
            unread = Reason(error.code, "what became of the approved call could not be read", LOOK_FIRST)
            return Failed(earlier, unread, effect_possible=True)

    async def _deny(
        self, call: ToolCall, facts: Facts | None, ruling: Ruling, more: JsonObject | None = None
    ) -> Answer:
        await self.ledger.append(self._entry("denied", call, facts, ruling, more))
        reason = ruling.decision.reason if isinstance(ruling.decision, Deny) else _NOWHERE
        return Refused(call.id, reason, held=False)

    async def _hold(
        self, call: ToolCall, facts: Facts, ruling: Ruling, hold: Hold, more: JsonObject | None
    ) -> Answer | Conflict:
        """Record the hold. The first time, an approval is opened with it, in the same transaction."""
        waits = known(call, facts)
        if waits is not None:
            said = {**(more or {}), **held_json(waits)}
            await self.ledger.append(self._entry("held", call, facts, ruling, said))
            return Refused(call.id, hold.reason, held=True, approval=waits.id)
        ruling = too_many(ruling, facts)
        if isinstance(ruling.decision, Deny):
            return await self._deny(call, facts, ruling, more)
        approval = opened(call, facts, hold, self.random)
        entry = self._entry("held", call, facts, ruling, {**(more or {}), **held_json(approval)})
        self.facts.put(approval)  # from here on, so that the same call at the same time does not open another one
        kept = None
        try:
            kept = await self.ledger.keep(approval, entry, facts.versions)
        finally:
            if not isinstance(kept, Committed):
                self.facts.drop(approval.id)
                self.bell.ring(approval.id)  # who waits for it already, waits for nothing
        if isinstance(kept, Conflict):
            return kept
        self.facts.put(replace(approval, entry=kept.index))
        await self._outdate(approval, facts)
        return Refused(call.id, hold.reason, held=True, approval=approval.id)

    async def _outdate(self, approval: Approval, facts: Facts) -> None:
        """Void what waited for the same call while it would have changed something else: nobody can use it any more."""
        for old in waiting(facts) if facts.before is not None else ():
            if old.instead_of != approval.instead_of or old.edited or old.id == approval.id:
                continue
            why = f"what it would change is not what it was; {approval.id} waits instead"
            void = replace(old, state=State.VOID, by=why, version=old.version + 1)
            said = {"answer": "void", "why": why, "call_digest": old.digest}
            entry = records.answered(old.id, old.task, at=facts.now, by="gateway", said=said)
            kept = await self.ledger.keep(void, entry, ((approval_control(old.id), old.version),))
            if isinstance(kept, Committed):
                self.facts.put(void)
                self.bell.ring(old.id)

    async def _begin(
        self, call: ToolCall, facts: Facts, ruling: Ruling, intent: records.Draft
    ) -> Committed | Conflict | Full:
        """Make the intent durable. Cut off or unconfirmed, it may stand all the same: then it gets its outcome here."""
        begun: Committed | Conflict | Full | None = None
        used = consumed_by(ruling)
        needs = ruling.decision.obligations if isinstance(ruling.decision, Allow) else ()
        read = facts.versions
        if used:
            version = next(each.version for each in facts.approvals if each.id == used)
            read = (*read, (approval_control(used), version))
        adds = [need for need in needs if isinstance(need, Add)]
        self.facts.count(adds)  # from here on, so that the next call is decided on what will be
        try:
            begun = await self.ledger.begin(intent, read, needs)
        finally:
            if begun is None:
                self.facts.uncertain(add.key for add in adds)
                self.facts.mark(_marks(needs))  # it may stand: a mark too many only holds more
                with contextlib.suppress(StoreUnavailableError):  # no intent stands, or the next sweep finds it
                    await self._settle(call, facts, ruling, _NOT_FORWARDED, 0)
                    self._use_up(call, facts, ruling)  # it stood, and with it the use
        if isinstance(begun, Committed):
            self.facts.mark(_marks(needs))
        else:
            self.facts.count(adds, -1)
            if isinstance(begun, Conflict):
                self.facts.uncertain([begun.name])
        return begun

    async def _perform(  # noqa: PLR0913, PLR0917 - what was decided, what stands in the log, and where it goes
        self, call: ToolCall, facts: Facts, ruling: Ruling, intent: records.Draft, tool: Tool, descriptor: Descriptor
    ) -> Answer:
        """Forward a call whose intent is durable. Whatever happens, its outcome is recorded before anyone hears."""
        started = self.clock.elapsed_us()
        self._use_up(call, facts, ruling)
        answer: UpstreamAnswer | UpstreamFailure = _CUT_OFF
        shown: Credential | None = None
        try:
            try:
                shown = await self.credentials.credential(tool, call, _hash_for(tool, intent), facts.now)
                answer = await self._forward(call, tool, descriptor, shown)
            except CredentialUnavailableError as error:
                answer = UpstreamFailure(code=error.code, sent=Sent.NOT_SENT, detail=error.message)
            finally:
                if isinstance(answer, UpstreamAnswer):  # (first: what the log has, a repeat of the call may tell)
                    self.facts.remember(call, facts, answer.result)
                if facts.flow is None or facts.flow.consequential:
                    self.facts.changed()
                await self._settle(call, facts, ruling, answer, self.clock.elapsed_us() - started, shown)
        except StoreUnavailableError as error:  # the intent stays open in the log and will be listed as unknown
            return Failed(
                call.id, Reason(error.code, "the outcome could not be recorded", LOOK_FIRST), effect_possible=True
            )
        return answer_of(call.id, answer)

    async def _forward(
        self, call: ToolCall, tool: Tool, descriptor: Descriptor, shown: Credential
    ) -> UpstreamAnswer | UpstreamFailure:
        """Send a call, unless somebody cut off what it rests on while its intent was written; cut it off if they do."""
        if self.facts.revocation(call.delegation) is not None:
            return _REVOKED_BEFORE
        answer = await self.underway.run(call.delegation, self.upstream.invoke(tool, descriptor, call, shown))
        return _REVOKED if answer is None else answer

    def _use_up(self, call: ToolCall, facts: Facts, ruling: Ruling) -> None:
        """Say to those who look at the facts that the approval is used: the store knows it already."""
        used = consumed_by(ruling)
        for approval in facts.approvals if used else ():
            if approval.id == used:
                self.facts.put(replace(approval, state=State.USED, call=call.id, version=approval.version + 1))
                self.bell.ring(used)

    def _entry(
        self, kind: str, call: ToolCall, facts: Facts | None, ruling: Ruling, more: JsonObject | None = None
    ) -> records.Draft:
        basis = basis_of(facts, self.clock.now() if facts is None else facts.now, observed=self.observe, more=more)
        return records.ruled(kind, call, ruling, basis, self.random)

    async def _settle(  # noqa: PLR0913, PLR0917 - what was decided, what came of it, and how
        self,
        call: ToolCall,
        facts: Facts,
        ruling: Ruling,
        answer: UpstreamAnswer | UpstreamFailure,
        elapsed_us: int,
        shown: Credential | None = None,
    ) -> None:
        entry = records.outcome(
            call,
            ending_of(answer),
            at=self.clock.now(),
            elapsed_us=elapsed_us,
            random=self.random,
            sequence=None if shown is None else shown.sequence,
        )
        void = isinstance(answer, UpstreamFailure) and answer.sent is Sent.NOT_SENT
        needs = ruling.decision.obligations if isinstance(ruling.decision, Allow) else ()
        done = isinstance(answer, UpstreamAnswer) and not answer.is_error and not call.looked_up_for
        later = permissions.adds_later(facts.history) if done and facts.history else ()
        await self.ledger.finish(entry, void=void, adds=later)
        self.facts.count(later)
        if void:
            self.facts.count([need for need in needs if isinstance(need, Add)], -1)


def _hash_for(tool: Tool, intent: records.Draft) -> bytes:
    """Return what ties the token of a numbered call to the log: the leaf hash of its intent."""
    numbered = isinstance(tool.credential, Minted) and tool.credential.sequence
    return records.leaf_hash(intent.leaf) if numbered else b""


def _marks(needs: Sequence[Obligation]) -> list[bytes]:
    return [each for need in needs if isinstance(need, Mark) for each in need.hashes]


def _code(ruling: Ruling) -> str:
    return ruling.decision.reason.code if isinstance(ruling.decision, Deny) else ""


def _is_asked(ruling: Ruling) -> bool:
    """Say whether persons decide on the call: it is held, or would be without their word."""
    return not isinstance(ruling.decision, Deny) and any(isinstance(each.decision, Hold) for each in ruling.trail)


def _before(facts: Facts) -> LookUp | None:
    return None if facts.descriptor is None else facts.descriptor.controls.before


def _failed_before(call: ToolCall, error: RemitError) -> Failed:
    return Failed(call.id, Reason(error.code, error.message, error.fix), effect_possible=False)
