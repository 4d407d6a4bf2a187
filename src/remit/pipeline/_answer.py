"""How a call ends, for the caller and for the record; each surface says it in its protocol's words."""

from dataclasses import dataclass

from remit import records
from remit.core import Reason
from remit.pipeline._ports import Sent, UpstreamAnswer, UpstreamFailure

LOOK_FIRST = "look whether it happened before you try again"


@dataclass(frozen=True, slots=True)
class Done:
    """The tool answered. `result` is its CallToolResult, canonical."""

    call: str
    result: bytes


@dataclass(frozen=True, slots=True)
class Refused:
    """Nothing was forwarded. `held` tells a hold from a denial."""

    call: str
    reason: Reason
    held: bool


@dataclass(frozen=True, slots=True)
class Failed:
    """The call was allowed and did not end well. `effect_possible` says whether the tool may have acted."""

    call: str
    reason: Reason
    effect_possible: bool


Answer = Done | Refused | Failed


def answer_of(call: str, answer: UpstreamAnswer | UpstreamFailure) -> Answer:
    """Say to the caller what the tool's answer, or the lack of one, means."""
    match answer:
        case UpstreamAnswer(result=result):
            return Done(call, result)
        case UpstreamFailure(code=code, sent=Sent.NOT_SENT):
            reason = Reason(code, "the tool could not be reached", "tell the tool's owner")
            return Failed(call, reason, effect_possible=False)
        case UpstreamFailure(code=code, sent=Sent.UNKNOWN):
            return Failed(call, Reason(code, "whether the tool acted is not known", LOOK_FIRST), effect_possible=True)
        case UpstreamFailure(code=code):
            return Failed(call, Reason(code, "the tool did not answer as it must", LOOK_FIRST), effect_possible=True)


def ending_of(answer: UpstreamAnswer | UpstreamFailure) -> records.Ending:
    """Say for the record what became of the intent. An answer that is none leaves the effect unknown."""
    match answer:
        case UpstreamAnswer(result=result, is_error=is_error):
            return records.Ending("tool_error" if is_error else "done", result=result)
        case UpstreamFailure(code=code, sent=Sent.NOT_SENT, detail=detail):
            return records.Ending("failed", code=code, detail=detail)
        case UpstreamFailure(code=code, detail=detail):
            return records.Ending("unknown", code=code, detail=detail)
