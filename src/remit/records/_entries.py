"""What each kind of entry says. Pure: the caller gives the time and the random bytes for salts.

A leaf holds no argument and no result, only commitments (`sha256(salt || body)`): payloads sit apart and can be erased
without breaking a proof (R5.7).
"""

from collections.abc import Callable, Mapping
from datetime import datetime
from functools import lru_cache
from hashlib import sha256

from remit.core import (
    Allow,
    Decision,
    Delegation,
    Deny,
    GateAnswer,
    Hold,
    Json,
    JsonObject,
    Ruling,
    Task,
    ToolCall,
    canonical_bytes,
    task_json,
    utc_text,
)
from remit.records._model import Basis, Draft, Ending, Payload

Random = Callable[[int], bytes]

SALT_BYTES = 16

# (Tasks and tokens say the same in entry after entry.)
_lasting = lru_cache(maxsize=4_096)(utc_text)
_TASKS_KEPT = 4_096
_tasks: dict[int, tuple[Task, JsonObject]] = {}  # by identity: to hash a task costs more than to look it up


def commit(name: str, body: bytes, random: Random) -> tuple[Payload, JsonObject]:
    """Make a payload and the commitment that stands for it in a leaf."""
    salt = random(SALT_BYTES)
    payload = Payload(name=name, salt=salt, body=body)
    return payload, {"commitment": "sha256:" + sha256(salt + body).hexdigest(), "bytes": len(body)}


def ruled(kind: str, call: ToolCall, ruling: Ruling, basis: Basis, random: Random) -> Draft:
    """Write the entry of a ruling: an `intent`, a `denied` or a `held`, with every gate's answer.

    Together with the bundle it names, it holds all that the decision was made on, so it can be replayed.
    """
    payload, commitment = commit("arguments", call.canonical, random)
    leaf: JsonObject = {
        "v": 1,
        "kind": kind,
        "at": utc_text(basis.at),
        "call": call.id,
        "trace": call.trace.trace_id,
        "span": call.trace.span_id,
        **_parties(call.delegation),
        "token_expires": _lasting(call.delegation.expires_at),
        "task_found": None if basis.task is None else _task(basis.task),
        "operation": call.operation,
        "tool": basis.tool,
        "bundle": basis.bundle,
        "arguments": commitment,
        "decision": spoken(ruling.decision),
        "trail": [_answered(answer) for answer in ruling.trail],
        "mode": "observe" if basis.observed else "enforce",
        **basis.more,
    }
    if call.rationale:
        leaf["rationale"] = call.rationale
    if call.looked_up_for:
        leaf["looked_up_for"] = call.looked_up_for
    if call.confidence is not None:
        leaf["confidence"] = call.confidence
    payloads = [payload]
    for name, body in basis.payloads:
        kept, leaf[name] = commit(name, body, random)
        payloads.append(kept)
    kept_apart = tuple(payloads)
    return Draft(kind=kind, task=call.delegation.task, call=call.id, leaf=canonical_bytes(leaf), payloads=kept_apart)


def outcome(  # noqa: PLR0913 - each is a part of what became of it
    call: ToolCall,
    end: Ending,
    *,
    at: datetime,
    elapsed_us: int,
    random: Random,
    sequence: tuple[int, int] | None = None,
) -> Draft:
    """Write what became of an intent. `sequence` is (run, number) where the calls of the tool are numbered."""
    leaf: JsonObject = {
        "v": 1,
        "kind": "outcome",
        "at": utc_text(at),
        "call": call.id,
        "task": call.delegation.task,
        "trace": call.trace.trace_id,
        "span": call.trace.span_id,
        "status": end.status,
        "elapsed_us": elapsed_us,
    }
    if sequence is not None:
        leaf["sequence"] = [*sequence]
    payloads: tuple[Payload, ...] = ()
    if end.result is not None:
        payload, leaf["result"] = commit("result", end.result, random)
        payloads = (payload,)
    if end.code:
        leaf["code"] = end.code
        leaf["detail"] = end.detail
    return Draft(kind="outcome", task=call.delegation.task, call=call.id, leaf=canonical_bytes(leaf), payloads=payloads)


def evaluated(call: ToolCall, decision: Decision, basis: Basis, random: Random, asked_of: str = "") -> Draft:
    """Write that a decision was asked for, and which: nothing was sent, counted or used up (AuthZEN 1.0).

    `asked_of` is whom it was asked of, where that is somebody else than the one whom the token names.
    """
    payload, commitment = commit("arguments", call.canonical, random)
    leaf: JsonObject = {
        "v": 1,
        "kind": "evaluated",
        "at": utc_text(basis.at),
        "call": call.id,
        "trace": call.trace.trace_id,
        "span": call.trace.span_id,
        **_parties(call.delegation),
        "operation": call.operation,
        "tool": basis.tool,
        "bundle": basis.bundle,
        "arguments": commitment,
        "decision": spoken(decision),
    }
    if asked_of:
        leaf["asked_of"] = asked_of
    return Draft(
        kind="evaluated", task=call.delegation.task, call=call.id, leaf=canonical_bytes(leaf), payloads=(payload,)
    )


def refused(delegation: Delegation, *, at: datetime, surface: str, code: str, message: str) -> Draft:
    """Write that bytes of a known caller were refused before they became a call. The bytes themselves are not kept."""
    leaf: JsonObject = {
        "v": 1,
        "kind": "refused",
        "at": utc_text(at),
        **_parties(delegation),
        "surface": surface,
        "code": code,
        "message": message,
    }
    return Draft(kind="refused", task=delegation.task, call="", leaf=canonical_bytes(leaf))


def unknown(call: str, task: str, intent: int, *, at: datetime) -> Draft:
    """Write that an intent's outcome was lost: the effect may have happened and is never reported as done."""
    leaf: JsonObject = {
        "v": 1,
        "kind": "unknown",
        "at": utc_text(at),
        "call": call,
        "task": task,
        "intent": intent,
        "why": "no outcome was recorded before the gateway stopped",
    }
    return Draft(kind="unknown", task=task, call=call, leaf=canonical_bytes(leaf))


def task_opened(  # noqa: PLR0913 - each is a part of what was opened
    task: Task, *, at: datetime, by: str, random: Random, input_body: bytes, how: JsonObject | None = None
) -> Draft:
    """Write that a task was opened, and what it was given.

    `how` says what let `by` open it: `{"by": ...}`, and whatever belongs to it. The words are `channel`, `consent`,
    `may_act`, `assertion`, `handed_on` and `client`.
    """
    payload, commitment = commit("input", input_body, random)
    leaf: JsonObject = {"v": 1, "kind": "task_opened", "at": utc_text(at), "by": by, "input": commitment}
    leaf.update(task_json(task))
    leaf["task"] = task.id
    if how:
        leaf["how"] = how
    return Draft(kind="task_opened", task=task.id, call="", leaf=canonical_bytes(leaf), payloads=(payload,))


def task_closed(task: str, *, at: datetime, by: str, why: str) -> Draft:
    """Write that a task ended before its time."""
    leaf: JsonObject = {
        "v": 1,
        "kind": "task_closed",
        "at": utc_text(at),
        "by": by,
        "task": task,
        "why": why,
    }
    return Draft(kind="task_closed", task=task, call="", leaf=canonical_bytes(leaf))


def answered(approval: str, task: str, *, at: datetime, by: str, said: Mapping[str, object]) -> Draft:
    """Write what a person said to a held call, or what made an approval void."""
    leaf = {**said, "v": 1, "kind": "approval", "at": utc_text(at), "by": by, "task": task, "approval": approval}
    return Draft(kind="approval", task=task, call="", leaf=canonical_bytes(leaf))


def control(name: str, word: str, *, at: datetime, by: str, said: Mapping[str, object]) -> Draft:
    """Write that a control changed: `agent/refunds` was `revoked`, `operation/get_order` `quarantined`."""
    leaf = {**said, "v": 1, "kind": "control", "at": utc_text(at), "by": by, "control": name, "word": word}
    return Draft(kind="control", task="", call="", leaf=canonical_bytes(leaf))


def event(kind: str, *, at: datetime, by: str, said: Mapping[str, object]) -> Draft:
    """Write an event of the gateway itself: `started`, `stopped`, `release`."""
    return Draft(
        kind=kind, task="", call="", leaf=canonical_bytes({**said, "v": 1, "kind": kind, "at": utc_text(at), "by": by})
    )


def spoken(decision: Decision) -> list[Json]:
    """Say a decision as a short list: the word, then for a refusal its code and message."""
    match decision:
        case Allow():
            return ["allow"]
        case Hold(reason):
            return ["hold", reason.code, reason.message]
        case Deny(reason):
            return ["deny", reason.code, reason.message]


def _answered(answer: GateAnswer) -> list[Json]:
    return _passed(answer.gate) if isinstance(answer.decision, Allow) else [answer.gate, *spoken(answer.decision)]


@lru_cache(maxsize=64)  # (of the gates, which are few; nobody changes the list)
def _passed(gate: str) -> list[Json]:
    return [gate, "allow"]


def _task(task: Task) -> JsonObject:
    known = _tasks.get(id(task))
    if known is None or known[0] is not task:
        if len(_tasks) >= _TASKS_KEPT:
            _tasks.clear()
        known = _tasks[id(task)] = task, task_json(task)
    return known[1]


def _parties(delegation: Delegation) -> JsonObject:
    said: JsonObject = {
        "user": delegation.user,
        "agent": delegation.agent,
        "task": delegation.task,
        "use_case": delegation.use_case,
        "level": delegation.level.value,
    }
    if delegation.chain:
        said["chain"] = [*delegation.chain]
    if delegation.keys:
        said["keys"] = [*delegation.keys]
    if delegation.client:
        said["client"] = delegation.client
    return said
