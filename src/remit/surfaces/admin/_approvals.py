"""Held calls: shown on one screen to those who may decide them, and decided or changed there.

A person sees the approvals that ask for one of their roles and those of calls made for them; operators see all. One
that a person may not see is, to them, none.
"""

import json
import re
from typing import Annotated

from fastapi import APIRouter, Depends
from fastapi.responses import HTMLResponse
from pydantic import BaseModel, ConfigDict, Field, JsonValue
from starlette.exceptions import HTTPException

from remit.core import (
    NAME_PATTERN,
    REQUESTER,
    InputRefusedError,
    JsonObject,
    RemitError,
    Requirement,
    parse_utc,
    read_canonical,
    utc_text,
)
from remit.identity import Person
from remit.permissions import Approval, State, missing, still_needed
from remit.pipeline import Trust
from remit.records import Entry
from remit.surfaces.admin._access import OPERATOR, Access, Told, Why
from remit.surfaces.admin._control import Control, Said
from remit.surfaces.admin._refusals import settled

TYPED_CHARS_MAX = 4_096
VALUE_CHARS_MAX = 4_096  # of a value that is to be trusted
ENVELOPE_CHARS_MAX = 8_192
TRUST_MAX = 5  # values trusted with one yes

_ID = re.compile(r"a_[0-9a-f]{24}", re.ASCII)
_EDITED = re.compile(rf"edited by .+: ({_ID.pattern})", re.ASCII)  # why an approval is void that somebody edited
_PAGE = """<!doctype html>
<html lang="en"><meta charset="utf-8"><title>A call waits for approval</title>
<h1>A call waits for approval</h1>
<p>Whoever may decide it looks at it, and approves or denies it, on the command line:</p>
<pre>remit approvals show {id}
remit approvals approve {id}
remit approvals deny {id}</pre>
<p>This page knows nothing of the call, and nothing on it approves anything.</p>
</html>
"""
_PAGE_HEADERS = {
    "content-security-policy": "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "cache-control": "no-store",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
}


Digest = Annotated[str, Field(pattern=r"^sha256:[0-9a-f]{64}$")]


class Trusting(BaseModel):
    """A value that the call is held for, to be in `directory` `until` then, by the approver's own signature."""

    model_config = ConfigDict(extra="forbid")

    directory: str = Field(pattern=NAME_PATTERN)
    value: str = Field(min_length=1, max_length=VALUE_CHARS_MAX)
    until: str = Field(max_length=27)
    envelope: str = Field(max_length=ENVELOPE_CHARS_MAX)

    def read(self) -> Trust:
        """Return it as a value.

        Raises:
            InputRefusedError: `until_invalid`.
        """
        try:
            until = parse_utc(self.until)
        except ValueError as error:
            message = "`until` is not a time like 2026-11-22T09:30:00.000000Z"
            raise InputRefusedError("until_invalid", message, "give it in UTC, with microseconds") from error
        return Trust(directory=self.directory, value=self.value, until=until, envelope=self.envelope.encode())


class Yes(BaseModel):
    """A yes to the call with `digest`, which is the one that was shown; `typed` confirms it where that is asked."""

    model_config = ConfigDict(extra="forbid")

    digest: Digest
    typed: str = Field(default="", max_length=TYPED_CHARS_MAX)
    trust: list[Trusting] = Field(default=[], max_length=TRUST_MAX)


class Edit(BaseModel):
    """Other arguments for the call with `digest`, the one that was shown: all of them, not only what changes."""

    model_config = ConfigDict(extra="forbid")

    digest: Digest
    arguments: dict[str, JsonValue]
    why: Why


def approval_routes(control: Control, access: Access) -> APIRouter:
    """Return the routes for held calls, for everybody who has logged in, and the page for those who have not."""
    routes = APIRouter()
    person = Annotated[Person, Depends(access.person)]

    @routes.get("/approvals/{approval}", include_in_schema=False)
    async def page(approval: str) -> HTMLResponse:
        if not _ID.fullmatch(approval):
            raise HTTPException(404)
        return HTMLResponse(_PAGE.format(id=approval), headers=_PAGE_HEADERS)

    @routes.get("/v1/approvals")
    async def approvals(found: person, *, all: bool = False) -> list[Said]:  # noqa: A002 - the query's own word
        control.live.forget_expired(control.clock.now())
        seen = [each for each in control.live.approvals() if _may_see(found, each)]
        seen.sort(key=lambda each: not missing(each))  # what still needs somebody comes first
        return [_brief(control, each) for each in seen if all or _state(control, each) in _OPEN]

    @routes.get("/v1/approvals/{approval}")
    async def show(approval: str, found: person) -> Said:
        return await _whole(control, _seen(control, found, approval))

    @routes.post("/v1/approvals/{approval}/approve")
    async def approve(approval: str, found: person, body: Yes) -> Said:
        seen = _seen(control, found, approval)
        trust = [each.read() for each in body.trust]
        answer = await control.approvals.approve(found, seen.id, body.digest, body.typed, trust)
        return await _whole(control, settled(answer))

    @routes.post("/v1/approvals/{approval}/edit")
    async def edit(approval: str, found: person, body: Edit) -> Said:
        seen = _seen(control, found, approval)
        answer = await control.approvals.edit(found, seen.id, body.digest, body.arguments, body.why)
        return await _whole(control, settled(answer))

    @routes.post("/v1/approvals/{approval}/deny")
    async def deny(approval: str, found: person, body: Told) -> Said:
        seen = _seen(control, found, approval)
        return await _whole(control, settled(await control.approvals.deny(found, seen.id, body.why)))

    return routes


_OPEN = frozenset({"waiting", "approved"})


def _may_see(person: Person, approval: Approval) -> bool:
    asked = {name for need in approval.requirements for name in need.approvers} - {REQUESTER}
    return OPERATOR in person.roles or person.name == approval.user or bool(asked & person.roles)


def _seen(control: Control, person: Person, approval: str) -> Approval:
    """Return the approval, in one and the same way absent where there is none and where `person` may not see it."""
    found = control.live.approval(approval)
    if found is None or not _may_see(person, found):
        raise _unknown()
    return found


def _unknown() -> RemitError:
    return RemitError("approval_unknown", "no open task waits for such an approval", "see `remit approvals list`")


def _state(control: Control, approval: Approval) -> str:
    """Say what became of it: `approved` waits for nobody but the agent, which has to make the call again."""
    if approval.state is not State.WAITING:
        return approval.state.value
    if control.clock.now() >= approval.expires_at:
        return "expired"
    return "waiting" if missing(approval) else "approved"


def _brief(control: Control, approval: Approval) -> Said:
    lacking = missing(approval)
    return {
        "id": approval.id,
        "state": _state(control, approval),
        "operation": approval.operation,
        "agent": approval.agent,
        "owner": approval.owner,
        "user": approval.user,
        "use_case": approval.use_case,
        "task": approval.task,
        "code": approval.code,
        "message": approval.message,
        "requirements": [_requirement(need, need in lacking) for need in approval.requirements],
        "opened_at": utc_text(approval.opened_at),
        "expires_at": utc_text(approval.expires_at),
        "edited_by": approval.editor,
        "edited_into": _edited_into(approval),
    }


def _edited_into(approval: Approval) -> str:
    """Return the approval that took the place of one that a person edited; empty: none did."""
    found = _EDITED.fullmatch(approval.by) if approval.state is State.VOID else None
    return "" if found is None else found[1]


def _requirement(need: Requirement, lacking: bool) -> JsonValue:
    said: Said = {
        "kind": need.kind,
        "approvers": list[JsonValue](need.approvers),
        "quorum": need.quorum,
        "within_s": need.within_s,
        "typed": need.typed,
        "missing": lacking,
    }
    return {**said, "apart": need.apart} if need.apart else said


async def _whole(control: Control, approval: Approval) -> Said:
    entry = await _opening(control, approval)
    leaf: JsonObject = json.loads(entry.leaf)
    bodies = {payload.name: payload.body for payload in entry.payloads}
    arguments = read_canonical(bodies["arguments"]) if "arguments" in bodies else None
    before = read_canonical(bodies["before"]) if "before" in bodies else None
    return {
        **_brief(control, approval),
        "digest": approval.digest,
        "arguments": arguments,
        "agents_arguments": await _agents_own(control, leaf) if approval.edited else None,
        "before": before,
        "before_at": leaf.get("at") if before is not None else None,
        "effect": _effect(before, arguments),
        "sources": _told(leaf, "sources", _SOURCE),
        "links": _told(leaf, "links", _LINK),
        "exposed": _told(leaf, "exposed", _EXPOSED),
        "strangers": leaf.get("strangers") is True,
        "types": _types(control, approval.operation),
        "agents_own_words": approval.rationale,
        "still_needed": list[JsonValue](still_needed(approval)),
        "grants": [
            {"person": grant.person, "role": grant.role, "kind": grant.kind, "at": utc_text(grant.at)}
            for grant in approval.grants
        ],
        "by": approval.by,
        "call": approval.call,
        "entry": approval.entry,
        "now": utc_text(control.clock.now()),
    }


async def _opening(control: Control, approval: Approval) -> Entry:
    """Return the entry that opened it. While the store has not confirmed it there is none, and nothing to decide."""
    for entry in await control.store.entries(approval.entry, approval.entry + 1):
        leaf: JsonObject = json.loads(entry.leaf)
        if entry.kind == "held" and leaf.get("approval") == approval.id:
            return entry
    raise _unknown()


async def _agents_own(control: Control, leaf: JsonObject) -> JsonValue:
    """Return the arguments that were there before the edit which `leaf` shows; None where they were erased."""
    at = leaf.get("edited_entry")
    for entry in await control.store.entries(at, at + 1) if isinstance(at, int) else ():
        body = next((payload.body for payload in entry.payloads if payload.name == "arguments"), None)
        return None if body is None else read_canonical(body)
    return None


def _effect(before: JsonValue, arguments: JsonValue) -> list[JsonValue]:
    """Set what is there beside what the call would make of it, for each argument that names a field of it."""
    if not isinstance(before, dict) or not isinstance(arguments, dict):
        return []
    return [
        {"name": name, "before": before[name], "after": value, "changes": before[name] != value}
        for name, value in arguments.items()
        if name in before
    ]


def _types(control: Control, operation: str) -> Said:
    """Return what kinds of value the arguments may have, by name: for whoever types an edit."""
    found = control.live.snapshot.descriptors.get(operation)
    properties = None if found is None else found.input_schema.get("properties")
    if not isinstance(properties, dict):
        return {}
    kinds = {name: each.get("type") for name, each in properties.items() if isinstance(each, dict)}
    return {name: [kind] if isinstance(kind, str) else kind for name, kind in kinds.items() if kind is not None}


_PLACE = ("label", "operation", "call", "field")
_SOURCE = ("pointer", *_PLACE, "accepted")
_LINK = ("pointer", "kind", *_PLACE)
_EXPOSED = ("data_class", "pointer", *_PLACE)


def _told(leaf: JsonObject, name: str, names: tuple[str, ...]) -> list[JsonValue]:
    """Say of each value, address or receiver where the gateway saw it first, and what was refused of it."""
    said = leaf.get(name)
    return [
        dict(zip(names, line, strict=True))
        for line in (said if isinstance(said, list) else [])
        if isinstance(line, list) and len(line) == len(names)
    ]
