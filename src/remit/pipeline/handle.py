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
from collections.abc import Callable
from dataclasses import dataclass, replace

from remit import records
from remit.catalogue import Descriptor, Minted, Tool
from remit.core import Allow, Deny, Hold, JsonObject, Reason, RemitError, Ruling, StoreUnavailableError, ToolCall
from remit.permissions import State
from remit.pipeline._answer import LOOK_FIRST, Answer, Failed, Refused, answer_of, ending_of, repeated
from remit.pipeline._basis import basis_of, consumed_by, limit_json, limited
from remit.pipeline._facts import Facts
from remit.pipeline._holding import held_json, known, opened, too_many
from remit.pipeline._live import approval_control
from remit.pipeline._ports import (
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
_NOWHERE = Reason("operation_not_listed", "there is no tool to forward to", "add its descriptor to the catalogue")


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
            await self.facts.recall(call.delegation.task)
        except RemitError as error:  # (a log that cannot be read says nothing of whether it can be written)
            return _failed_before(call, error)
        try:
            answer = await self._once(call)
            while isinstance(answer, Refused) and answer.approval and await self._woken(call, answer, waits_until_us):
                answer = await self._once(call)
        except StoreUnavailableError as error:  # unrecorded, so nothing has left
            return _failed_before(call, error)
        return answer

    async def _woken(self, call: ToolCall, held: Refused, until_us: int) -> bool:
        """Wait until somebody answers what `held` waits for; False when nobody did in time."""
        left_us = until_us - self.clock.elapsed_us()
        if left_us <= 0:
            return False
        # While the hold was being recorded nobody heard the bell: what rang then is seen by looking once more.
        _, ruling = self._rule(call)
        return not isinstance(ruling.decision, Hold) or await self.bell.wait(held.approval, left_us / 1e6)

    async def _once(self, call: ToolCall) -> Answer:
        for _ in range(DECISIONS_MAX):
            facts, ruling = self._rule(call)
            if self.outside is not None and facts is not None:
                facts, ruling = await self._ask_outside(self.outside, call, facts, ruling)
            way = self._way_out(facts, ruling)
            if facts is None or way is None:
                refused = await self._refuse(call, facts, ruling)
                if isinstance(refused, Conflict):
                    continue
                return refused
            intent = self._entry("intent", call, facts, ruling)
            begun = await self._begin(call, facts, ruling, intent)
            if isinstance(begun, Full):
                ruling, more = limited(ruling, begun.reserve.key, begun.used, facts.now), limit_json(begun)
                if not self.observe:
                    return await self._deny(call, facts, ruling, more)
                intent = self._entry("intent", call, facts, ruling, more)
                begun = await self._begin(call, facts, ruling, intent)  # a denial owes nothing, so nothing is full
            if isinstance(begun, Committed):
                return await self._perform(call, facts, ruling, intent, *way)
        return await self._deny(call, None, Ruling(_CONFLICT, ()))

    def _rule(self, call: ToolCall) -> tuple[Facts | None, Ruling]:
        """Gather the facts and decide. Whatever goes wrong here is a denial: nothing has been sent."""
        try:
            facts = self.facts.gather(call)
            return facts, decide(call, facts)
        except Exception as error:  # noqa: BLE001 - the one broad handler in the product: a fault while deciding denies
            self.on_fault(error)
            fault = Reason(
                "cannot_decide", f"the decision failed with {type(error).__name__}", "see the gateway's output"
            )
            return None, Ruling(Deny(fault), ())

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

    async def _refuse(self, call: ToolCall, facts: Facts | None, ruling: Ruling) -> Answer | Conflict:
        """Record that the call does not happen now, then say it."""
        match ruling.decision:
            case Hold() as hold if facts is not None:
                return await self._hold(call, facts, ruling, hold)
            case Deny(instead=earlier) if earlier:
                await self._deny(call, facts, ruling)
                return await self._repeated(call, earlier)
            case Deny():
                return await self._deny(call, facts, ruling)
            case Hold() | Allow():
                return await self._deny(call, facts, Ruling(Deny(_NOWHERE), ruling.trail))

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

    async def _hold(self, call: ToolCall, facts: Facts, ruling: Ruling, hold: Hold) -> Answer | Conflict:
        """Record the hold. The first time, an approval is opened with it, in the same transaction."""
        waits = known(call, facts)
        if waits is not None:
            await self.ledger.append(self._entry("held", call, facts, ruling, held_json(waits)))
            return Refused(call.id, hold.reason, held=True, approval=waits.id)
        ruling = too_many(ruling, facts)
        if isinstance(ruling.decision, Deny):
            return await self._deny(call, facts, ruling)
        approval = opened(call, facts, hold, self.random)
        entry = self._entry("held", call, facts, ruling, held_json(approval))
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
        return Refused(call.id, hold.reason, held=True, approval=approval.id)

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
        try:
            begun = await self.ledger.begin(intent, read, needs)
        finally:
            if begun is None:
                with contextlib.suppress(StoreUnavailableError):  # no intent stands, or the next sweep finds it
                    await self._settle(call, _NOT_FORWARDED, 0)
                    self._use_up(call, facts, ruling)  # it stood, and with it the use
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
                await self._settle(call, answer, self.clock.elapsed_us() - started, shown)
        except StoreUnavailableError as error:  # the intent stays open in the log and will be listed as unknown
            return Failed(
                call.id, Reason(error.code, "the outcome could not be recorded", LOOK_FIRST), effect_possible=True
            )
        if isinstance(answer, UpstreamAnswer):
            self.facts.remember(call, facts, answer.result)
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

    async def _settle(
        self,
        call: ToolCall,
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
        await self.ledger.finish(entry, void=void)


def _hash_for(tool: Tool, intent: records.Draft) -> bytes:
    """Return what ties the token of a numbered call to the log: the leaf hash of its intent."""
    numbered = isinstance(tool.credential, Minted) and tool.credential.sequence
    return records.leaf_hash(intent.leaf) if numbered else b""


def _failed_before(call: ToolCall, error: RemitError) -> Failed:
    return Failed(call.id, Reason(error.code, error.message, error.fix), effect_possible=False)
