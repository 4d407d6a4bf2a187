"""What a ruling was made on, for its entry: enough to make it again, and nothing that the bundle says already."""

from dataclasses import replace
from datetime import datetime

from remit import permissions, records
from remit.core import Allow, Consume, Deny, GateAnswer, Json, JsonObject, Requirement, Reserve, Revocation, Ruling
from remit.limits import refused
from remit.permissions import Approval, Label, Opinion, Source, Sourced
from remit.pipeline._facts import Facts
from remit.pipeline._ports import Full

REQUIREMENTS_TOLD_MAX = 20  # of a hold, in its entry


def basis_of(facts: Facts | None, now: datetime, *, observed: bool, more: JsonObject | None = None) -> records.Basis:
    """Say what `facts` were; without them, that nothing could be gathered at `now`."""
    return records.Basis(
        at=now if facts is None else facts.now,
        task=None if facts is None else facts.task,
        bundle="" if facts is None else facts.bundle,
        tool="" if facts is None or facts.tool is None else facts.tool.name,
        observed=observed,
        more={**({} if facts is None else _looked_at(facts)), **(more or {})},
    )


def _looked_at(facts: Facts) -> JsonObject:
    """Return the facts that no bundle holds, where there were any."""
    more: JsonObject = {}
    for name, says in (("stopped", facts.stopped), ("quarantined", facts.quarantined)):
        if says:
            more[name] = says
    if facts.revoked is not None:
        said = [facts.revoked.what, facts.revoked.name, facts.revoked.why]
        more["revoked"] = [*said, True] if facts.revoked.again else [*said]
    if facts.outside is not None:
        more["outside"] = [facts.outside.permits, facts.outside.why, facts.outside.failed]
    if facts.sourced:
        more["sources"] = [_source_json(each) for each in facts.sourced]
    if facts.approvals:
        more["approvals"] = [permissions.approval_json(_bare(each)) for each in facts.approvals]
    return more


def _bare(approval: Approval) -> Approval:
    """Leave out what a leaf must not hold, because it could never be erased (R5.7), and what no decision looks at."""
    needs = tuple(replace(need, typed="") for need in approval.requirements)
    return replace(approval, requirements=needs, message="", rationale="")


def cut_off(leaf: JsonObject) -> Revocation | None:
    """Read back who an entry says was cut off."""
    said = leaf.get("revoked")
    if not isinstance(said, list) or len(said) not in (3, 4):
        return None
    what, name, why = map(str, said[:3])
    return Revocation(what, name, why, again=said[3:] == [True])


def said_outside(leaf: JsonObject) -> Opinion | None:
    """Read back what an entry says a decision point outside said."""
    said = leaf.get("outside")
    return Opinion(said[0] is True, str(said[1]), str(said[2])) if isinstance(said, list) and len(said) == 3 else None


def looked_at(leaf: JsonObject) -> tuple[tuple[Sourced, ...], tuple[Approval, ...]]:
    """Read back the sources and approvals that an entry says were looked at."""
    sources, approvals = leaf.get("sources"), leaf.get("approvals")
    return (
        tuple(_sourced(each) for each in sources) if isinstance(sources, list) else (),
        tuple(permissions.approval_of_json(each) for each in approvals if isinstance(each, dict))
        if isinstance(approvals, list)
        else (),
    )


def requirements_json(requirements: tuple[Requirement, ...]) -> list[Json]:
    """Write what a hold waits for."""
    return [
        {"kind": each.kind, "approvers": list(each.approvers), "quorum": each.quorum, "within_s": each.within_s}
        for each in requirements[:REQUIREMENTS_TOLD_MAX]
    ]


def consumed_by(ruling: Ruling) -> str:
    """Return the approval that a permission uses up; empty where it needs none."""
    if not isinstance(ruling.decision, Allow):
        return ""
    return next((need.approval for need in ruling.decision.obligations if isinstance(need, Consume)), "")


def limit_json(full: Full) -> JsonObject:
    """Write which cap was full when a call came, and how full."""
    return {"limit": {"key": full.reserve.key, "used": full.used}}


def limited(ruling: Ruling, key: str, used: int, now: datetime) -> Ruling:
    """Turn a permission into the refusal that it became because the cap with `key` was full."""
    needs = ruling.decision.obligations if isinstance(ruling.decision, Allow) else ()
    for need in needs:
        if isinstance(need, Reserve) and need.key == key:
            full: Deny = refused(need, used, now)
            return Ruling(full, (*ruling.trail, GateAnswer("limits.has_room", full)))
    return ruling


def _source_json(sourced: Sourced) -> Json:
    source = sourced.source
    return [sourced.pointer, source.label.value, source.operation, source.call, source.field, sourced.accepted]


def _sourced(said: Json) -> Sourced:
    pointer, label, operation, call, field, accepted = said if isinstance(said, list) else [""] * 6
    source = Source(Label(str(label)), str(operation), str(call), str(field))
    return Sourced(str(pointer), source, accepted is True)
