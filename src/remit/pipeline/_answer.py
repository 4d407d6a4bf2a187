"""How a call ends, for the caller and for the record; each surface says it in its protocol's words."""

import json
from collections.abc import Iterable
from dataclasses import dataclass

from remit import records
from remit.core import JsonObject, Reason
from remit.pipeline._ports import Sent, UpstreamAnswer, UpstreamFailure

SAID_TO_AGENTS = frozenset({"tool_changed", "tool_unverified", "artefact_mismatch"})
"""Failures whose detail is our own finding and no word of the tool's."""

CREDENTIAL_CODES = frozenset({
    "secret_missing", "secret_exposed", "secret_invalid", "exchange_unreachable", "exchange_refused",
})  # fmt: skip
"""Failures for want of what the tool knows our calls by. Where that is kept is for the record, and not for agents."""

LOOK_FIRST = "look whether it happened before you try again"


@dataclass(frozen=True, slots=True)
class Done:
    """The tool answered. `result` is its CallToolResult, canonical.

    `repeated`: the same approved call was carried out before; `call` is that one, and nothing was done again.
    `edited`: a person changed the call while approving it; the arguments that it was made with, canonical JSON.
    """

    call: str
    result: bytes
    repeated: bool = False
    edited: str = ""


@dataclass(frozen=True, slots=True)
class Refused:
    """Nothing was forwarded. `held` tells a hold from a denial; `approval` names what a held call waits for."""

    call: str
    reason: Reason
    held: bool
    approval: str = ""


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
        case UpstreamFailure(code=code, sent=Sent.NOT_SENT) if code in CREDENTIAL_CODES:
            fix = "ask an operator: the tool's credential is missing"
            return Failed(call, Reason(code, "there is nothing to show the tool", fix), effect_possible=False)
        case UpstreamFailure(code=code, sent=Sent.NOT_SENT, detail=detail):
            said = detail if code in SAID_TO_AGENTS else "the tool could not be reached"
            reason = Reason(code, said, "tell the tool's owner")
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


def repeated(call: str, earlier: str, entries: Iterable[records.Entry]) -> Answer:
    """Answer `call`, which is the approved call `earlier` once more, with what became of that one."""
    for entry in entries:
        if entry.call != earlier or entry.kind not in ("outcome", "unknown"):
            continue
        leaf: JsonObject = json.loads(entry.leaf)
        bodies = {payload.name: payload.body for payload in entry.payloads}
        if "result" in bodies:
            return Done(earlier, bodies["result"], repeated=True)
        if leaf.get("status") == "failed":
            spent = Reason("approval_spent", "the approved call could not be sent", "open a new task and ask again")
            return Failed(earlier, spent, effect_possible=False)
        lost = Reason("outcome_unknown", "whether the approved call had its effect is not known", LOOK_FIRST)
        return Failed(earlier, lost, effect_possible=True)
    under_way = Reason("approved_call_under_way", f"the approved call {earlier} is under way", "ask again", 1)
    return Refused(call, under_way, held=False)
