"""The enforcement point: the life of one call, top to bottom.

    gather facts -> decide -> intent, durable -> forward -> outcome, durable -> answer

1. Nothing leaves without an `Allow` and a durable intent. (In observe mode: without a durable intent that says so.)
2. Every way out leaves a record. After a crash, an intent without an outcome is the record, and the sweep at start-up
   reports it as `unknown`, never as done.
3. No step after `decide` may widen what it allowed. What changed in between is compared in the intent's own
   transaction; a mismatch decides again, and in the end denies.
"""

import contextlib
from collections.abc import Callable
from dataclasses import dataclass

from remit import records
from remit.catalogue import Descriptor, Tool
from remit.core import Allow, Deny, Hold, Reason, Ruling, StoreUnavailableError, ToolCall
from remit.pipeline._answer import LOOK_FIRST, Answer, Failed, Refused, answer_of, ending_of
from remit.pipeline._facts import Facts
from remit.pipeline._ports import (
    Clock,
    Committed,
    Conflict,
    FactSource,
    Ledger,
    Sent,
    Upstream,
    UpstreamAnswer,
    UpstreamFailure,
)
from remit.pipeline.decide import decide

DECISIONS_MAX = 3  # times a call is decided afresh because something changed under it

_CONFLICT = Deny(Reason("conflict", "the bundle kept changing under this call", "send the call again"))
_CUT_OFF = UpstreamFailure(code="cut_off", sent=Sent.UNKNOWN, detail="the call was cut off while the tool worked")
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
    clock: Clock
    random: records.Random
    on_fault: Callable[[Exception], None]
    observe: bool = False  # UNSAFE: record and decide, refuse nothing that can be forwarded; never attestable

    async def handle(self, call: ToolCall) -> Answer:
        """Take one call from request to answer. Never raises for what a caller, a tool or the store does."""
        try:
            for _ in range(DECISIONS_MAX):
                facts, ruling = self._rule(call)
                way = self._way_out(facts, ruling)
                if facts is None or way is None:
                    return await self._refuse(call, facts, ruling)
                begun = await self._begin(call, facts, ruling)
                if isinstance(begun, Committed):
                    return await self._perform(call, *way)
            return await self._refuse(call, None, Ruling(_CONFLICT, ()))
        except StoreUnavailableError as error:  # unrecorded, so nothing has left
            return Failed(call.id, Reason(error.code, error.message, error.fix), effect_possible=False)

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

    def _way_out(self, facts: Facts | None, ruling: Ruling) -> tuple[Tool, Descriptor] | None:
        """Return where the call may go, if it may go anywhere."""
        if facts is None or facts.tool is None or facts.descriptor is None:
            return None
        match ruling.decision:
            case Allow():
                return facts.tool, facts.descriptor
            case Hold() | Deny():
                return (facts.tool, facts.descriptor) if self.observe else None

    async def _refuse(self, call: ToolCall, facts: Facts | None, ruling: Ruling) -> Answer:
        """Record the refusal, then say it."""
        held = isinstance(ruling.decision, Hold)
        await self.ledger.append(self._entry("held" if held else "denied", call, facts, ruling))
        match ruling.decision:
            case Hold(reason) | Deny(reason):
                return Refused(call.id, reason, held=held)
            case Allow():
                return Refused(call.id, _NOWHERE, held=False)

    async def _begin(self, call: ToolCall, facts: Facts, ruling: Ruling) -> Committed | Conflict:
        """Make the intent durable. Cut off or unconfirmed, it may stand all the same: then it gets its outcome here."""
        begun: Committed | Conflict | None = None
        try:
            begun = await self.ledger.begin(self._entry("intent", call, facts, ruling), facts.versions)
        finally:
            if begun is None:
                with contextlib.suppress(StoreUnavailableError):  # no intent stands, or the next sweep finds it
                    await self._settle(call, _NOT_FORWARDED, 0)
        return begun

    async def _perform(self, call: ToolCall, tool: Tool, descriptor: Descriptor) -> Answer:
        """Forward a call whose intent is durable. Whatever happens, its outcome is recorded before anyone hears."""
        started = self.clock.elapsed_us()
        answer: UpstreamAnswer | UpstreamFailure = _CUT_OFF
        try:
            try:
                answer = await self.upstream.invoke(tool, descriptor, call)
            finally:
                await self._settle(call, answer, self.clock.elapsed_us() - started)
        except StoreUnavailableError as error:  # the intent stays open in the log and will be listed as unknown
            return Failed(
                call.id, Reason(error.code, "the outcome could not be recorded", LOOK_FIRST), effect_possible=True
            )
        return answer_of(call.id, answer)

    def _entry(self, kind: str, call: ToolCall, facts: Facts | None, ruling: Ruling) -> records.Draft:
        basis = records.Basis(
            at=self.clock.now() if facts is None else facts.now,
            task=None if facts is None else facts.task,
            bundle="" if facts is None else facts.bundle,
            tool="" if facts is None or facts.tool is None else facts.tool.name,
            observed=self.observe,
        )
        return records.ruled(kind, call, ruling, basis, self.random)

    async def _settle(self, call: ToolCall, answer: UpstreamAnswer | UpstreamFailure, elapsed_us: int) -> None:
        entry = records.outcome(call, ending_of(answer), at=self.clock.now(), elapsed_us=elapsed_us, random=self.random)
        await self.ledger.finish(entry)
