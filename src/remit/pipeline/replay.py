"""Replay: the decision made again from what the log holds. It must come out the same, for ever (R3.7)."""

import json
from collections.abc import Callable
from dataclasses import replace

from remit.core import Delegation, Hold, Json, JsonObject, Level, Ruling, Task, ToolCall, Trace, parse_utc, task_of_json
from remit.permissions import Approval
from remit.pipeline._basis import cut_off, limited, looked_at, looked_up, said_outside
from remit.pipeline._digest import digest_of
from remit.pipeline._facts import Facts, Snapshot
from remit.pipeline._holding import too_many
from remit.pipeline._live import facts_for
from remit.pipeline.decide import decide
from remit.records import Entry, spoken

Recorded = list[Json]
"""A decision and its trail as the log says them: `[decision, trail]`."""


def recorded(entry: Entry) -> Recorded:
    """Return what the log says was decided in an `intent`, `denied` or `held` entry."""
    leaf: JsonObject = json.loads(entry.leaf)
    return [leaf["decision"], leaf["trail"]]


def replay(entry: Entry, snapshot_of: Callable[[str], Snapshot | None], tenant: str) -> Recorded | None:
    """Decide `entry` again from its own facts; None where what it rests on is gone: arguments, look-ups, bundle.

    `snapshot_of` returns the compiled bundle of a digest; `tenant` is the project's name. A decision that was never
    reached by the gates (a fault while deciding, a conflict) has no trail and cannot be replayed.
    """
    leaf: JsonObject = json.loads(entry.leaf)
    snapshot = snapshot_of(str(leaf["bundle"]))
    arguments = next((payload.body for payload in entry.payloads if payload.name == "arguments"), None)
    if snapshot is None or arguments is None or not leaf["trail"]:
        return None
    call, seen = recorded_call(entry, arguments), looked_up(entry)
    if seen is None:
        return None
    origins, history, approvals = looked_at(leaf)
    known, missing, before = seen
    facts = facts_for(
        call,
        snapshot,
        _task(str(leaf["task"]), leaf["task_found"]),
        parse_utc(str(leaf["at"])),
        tenant=tenant,
        stopped=str(leaf.get("stopped", "")),
        revoked=cut_off(leaf),
        quarantined=str(leaf.get("quarantined", "")),
        origins=origins,
        history=history,
        known=known,
        missing=missing,
        approvals=approvals,
    )
    facts = replace(facts, before=before, outside=said_outside(leaf))
    facts = replace(facts, approvals=_typed_again(call, facts))
    ruling = _after(decide(call, facts), facts, leaf)
    return [spoken(ruling.decision), [[answer.gate, *spoken(answer.decision)] for answer in ruling.trail]]


def recorded_call(entry: Entry, arguments: bytes) -> ToolCall:
    """Return the call of an `intent`, `denied` or `held` entry, with its `arguments`."""
    leaf: JsonObject = json.loads(entry.leaf)
    confidence = leaf.get("confidence")
    return ToolCall(
        id=entry.call,
        trace=Trace(str(leaf["trace"]), str(leaf["span"])),
        delegation=Delegation(
            user=str(leaf["user"]),
            agent=str(leaf["agent"]),
            task=str(leaf["task"]),
            use_case=str(leaf["use_case"]),
            expires_at=parse_utc(str(leaf["token_expires"])),
            level=Level(str(leaf["level"])),
            chain=_texts(leaf.get("chain")),
            keys=_texts(leaf.get("keys")),
            client=str(leaf.get("client", "")),
        ),
        operation=str(leaf["operation"]),
        canonical=arguments,
        rationale=str(leaf.get("rationale", "")),
        confidence=confidence if isinstance(confidence, int) else None,
    )


def _typed_again(call: ToolCall, facts: Facts) -> tuple[Approval, ...]:
    """Give this very call's approvals back what was to be typed, which no leaf holds: it stands in the arguments."""
    held = decide(call, replace(facts, approvals=())).decision if facts.approvals else None
    if not isinstance(held, Hold):
        return facts.approvals
    typed = {(need.kind, need.approvers, need.quorum): need.typed for need in held.requirements}
    digest = digest_of(call, facts)
    return tuple(
        replace(
            each,
            requirements=tuple(
                replace(need, typed=typed.get((need.kind, need.approvers, need.quorum), ""))
                for need in each.requirements
            ),
        )
        if each.digest == digest
        else each
        for each in facts.approvals
    )


def _after(ruling: Ruling, facts: Facts, leaf: JsonObject) -> Ruling:
    """Follow a ruling through what the transaction before the effect, or a full inbox, made of it."""
    limit = leaf.get("limit")
    if isinstance(limit, dict) and isinstance(used := limit.get("used"), int):
        return limited(ruling, str(limit.get("key")), used, facts.now)
    if isinstance(ruling.decision, Hold) and leaf["kind"] == "denied":
        return too_many(ruling, facts)
    return ruling


def _task(task_id: str, found: Json) -> Task | None:
    return task_of_json(task_id, found) if isinstance(found, dict) else None


def _texts(said: Json) -> tuple[str, ...]:
    return tuple(map(str, said)) if isinstance(said, list) else ()
