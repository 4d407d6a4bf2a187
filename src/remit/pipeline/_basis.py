"""What a ruling was made on, for its entry: enough to make it again, and nothing that the bundle says already."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import datetime

from remit import permissions, records
from remit.core import (
    Allow,
    Consume,
    Deny,
    GateAnswer,
    Json,
    JsonObject,
    Requirement,
    Reserve,
    Revocation,
    Ruling,
    canonical_bytes,
    parse_utc,
    utc_text,
)
from remit.limits import refused
from remit.permissions import Approval, Exposed, Label, Link, Opinion, Origins, Source, Sourced, Tally
from remit.pipeline._facts import Facts
from remit.pipeline._ports import Full
from remit.records import Entry

FACTS, BEFORE = "facts", "before"
"""The payloads of an entry that hold what was looked up."""

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
        payloads=() if facts is None else _kept_apart(facts),
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
    more.update(_origins_json(facts.origins))
    if facts.history:
        more["history"] = [_tally_json(each) for each in facts.history]
    if facts.approvals:
        more["approvals"] = [permissions.approval_json(_bare(each)) for each in facts.approvals]
    return more


def _kept_apart(facts: Facts) -> tuple[tuple[str, bytes], ...]:
    """Return what was looked at and must be erasable: facts of whatever the call is about, and what it would change."""
    kept: list[tuple[str, bytes]] = []
    if facts.known or facts.missing:
        said: JsonObject = {"known": dict(facts.known), "missing": dict(facts.missing)}
        kept.append((FACTS, canonical_bytes(said)))
    if facts.before is not None:
        kept.append((BEFORE, facts.before))
    return tuple(kept)


def _origins_json(origins: Origins) -> JsonObject:
    said: JsonObject = {}
    if origins.sourced:
        said["sources"] = [_source_json(each) for each in origins.sourced]
    if origins.links:
        said["links"] = [[each.pointer, each.kind, *_place(each.source)] for each in origins.links]
    if origins.exposed:
        said["exposed"] = [[each.data_class, each.pointer, *_place(each.read_from)] for each in origins.exposed]
    if origins.strangers:
        said["strangers"] = True
    if origins.unkept:
        said["unkept"] = True
    return said


def _place(source: Source) -> list[Json]:
    return [source.label.value, source.operation, source.call, source.field]


def _placed(said: list[Json]) -> Source:
    label, operation, call, field = map(str, said)
    return Source(Label(label), operation, call, field)


def _tally_json(tally: Tally) -> Json:
    resets = None if tally.resets_at is None else utc_text(tally.resets_at)
    return [tally.name, tally.key, tally.seen, tally.by, resets, tally.later]


def _tally(said: list[Json]) -> Tally:
    name, key, seen, by, resets, later = said
    resets_at = parse_utc(resets) if isinstance(resets, str) else None
    return Tally(str(name), str(key), int(str(seen)), int(str(by)), resets_at, later is True)


def _bare(approval: Approval) -> Approval:
    """Leave out what a leaf must not hold, because it could never be erased (R5.7), and what no decision looks at."""
    needs = tuple(replace(need, typed="") for need in approval.requirements)
    return replace(approval, requirements=needs, message="", rationale="", edited=permissions.edit_bare(approval))


def cut_off(leaf: JsonObject) -> Revocation | None:
    """Read back who an entry says was cut off."""
    said = leaf.get("revoked")
    if not isinstance(said, list) or len(said) not in (3, 4):
        return None
    what, name, why = map(str, said[:3])
    return Revocation(what, name, why, again=said[3:] == [True])


def looked_up(entry: Entry) -> tuple[Mapping[str, JsonObject], Mapping[str, str], bytes | None] | None:
    """Read back the facts an entry rests on, those that were missing, and the state before; None: they were erased."""
    leaf: JsonObject = json.loads(entry.leaf)
    bodies = {payload.name: payload.body for payload in entry.payloads}
    if (FACTS in leaf and FACTS not in bodies) or (BEFORE in leaf and BEFORE not in bodies):
        return None
    said = json.loads(bodies.get(FACTS, b'{"known":{},"missing":{}}'))
    return said["known"], said["missing"], bodies.get(BEFORE)


def said_outside(leaf: JsonObject) -> Opinion | None:
    """Read back what an entry says a decision point outside said."""
    said = leaf.get("outside")
    return Opinion(said[0] is True, str(said[1]), str(said[2])) if isinstance(said, list) and len(said) == 3 else None


def looked_at(leaf: JsonObject) -> tuple[Origins, tuple[Tally, ...], tuple[Approval, ...]]:
    """Read back the origins, counters and approvals that an entry says were looked at."""
    origins = Origins(
        sourced=tuple(map(_sourced, _lists(leaf, "sources"))),
        links=tuple(Link(str(said[0]), str(said[1]), _placed(said[2:])) for said in _lists(leaf, "links")),
        exposed=tuple(Exposed(str(said[0]), str(said[1]), _placed(said[2:])) for said in _lists(leaf, "exposed")),
        strangers=leaf.get("strangers") is True,
        unkept=leaf.get("unkept") is True,
    )
    approvals = leaf.get("approvals")
    return (
        origins,
        tuple(map(_tally, _lists(leaf, "history"))),
        tuple(permissions.approval_of_json(each) for each in approvals if isinstance(each, dict))
        if isinstance(approvals, list)
        else (),
    )


def _lists(leaf: JsonObject, name: str) -> Iterator[list[Json]]:
    said = leaf.get(name)
    return (each for each in (said if isinstance(said, list) else ()) if isinstance(each, list))


def requirements_json(requirements: tuple[Requirement, ...]) -> list[Json]:
    """Write what a hold waits for."""
    return [
        {
            "kind": each.kind,
            "approvers": list(each.approvers),
            "quorum": each.quorum,
            "within_s": each.within_s,
            **({"apart": each.apart} if each.apart else {}),
        }
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
    return [sourced.pointer, *_place(sourced.source), sourced.accepted]


def _sourced(said: list[Json]) -> Sourced:
    pointer, *place, accepted = said
    return Sourced(str(pointer), _placed(place), accepted is True)
