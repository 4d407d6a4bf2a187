"""Held calls: shown on one screen to those who may decide them, and decided there.

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

from remit.core import REQUESTER, JsonObject, RemitError, Requirement, read_canonical, utc_text
from remit.identity import Person
from remit.permissions import Approval, State, missing
from remit.records import Entry
from remit.surfaces.admin._access import OPERATOR, Access, Told
from remit.surfaces.admin._control import Control, Said
from remit.surfaces.admin._refusals import settled

TYPED_CHARS_MAX = 4_096

_ID = re.compile(r"a_[0-9a-f]{24}", re.ASCII)
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


class Yes(BaseModel):
    """A yes to the call with `digest`, which is the one that was shown; `typed` confirms it where that is asked."""

    model_config = ConfigDict(extra="forbid")

    digest: str = Field(pattern=r"^sha256:[0-9a-f]{64}$")
    typed: str = Field(default="", max_length=TYPED_CHARS_MAX)


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
        return await _whole(control, settled(await control.approvals.approve(found, seen.id, body.digest, body.typed)))

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
    }


def _requirement(need: Requirement, lacking: bool) -> JsonValue:
    return {
        "kind": need.kind,
        "approvers": list[JsonValue](need.approvers),
        "quorum": need.quorum,
        "within_s": need.within_s,
        "typed": need.typed,
        "missing": lacking,
    }


async def _whole(control: Control, approval: Approval) -> Said:
    entry = await _held(control, approval)
    leaf: JsonObject = json.loads(entry.leaf)
    bodies = {payload.name: payload.body for payload in entry.payloads}
    return {
        **_brief(control, approval),
        "digest": approval.digest,
        "arguments": read_canonical(bodies["arguments"]) if "arguments" in bodies else None,
        "sources": _sources(leaf),
        "agents_own_words": approval.rationale,
        "grants": [
            {"person": grant.person, "role": grant.role, "kind": grant.kind, "at": utc_text(grant.at)}
            for grant in approval.grants
        ],
        "by": approval.by,
        "call": approval.call,
        "entry": approval.entry,
    }


async def _held(control: Control, approval: Approval) -> Entry:
    """Return the entry of the hold. While the store has not confirmed it there is none, and nothing to decide."""
    for entry in await control.store.entries(approval.entry, approval.entry + 1):
        leaf: JsonObject = json.loads(entry.leaf)
        if entry.kind == "held" and leaf.get("approval") == approval.id:
            return entry
    raise _unknown()


def _sources(leaf: JsonObject) -> list[JsonValue]:
    """Say of each value in a control argument where the gateway saw it first, and whether its controls accept that."""
    names = ("pointer", "label", "operation", "call", "field", "accepted")
    said = leaf.get("sources")
    return [
        dict(zip(names, line, strict=True))
        for line in (said if isinstance(said, list) else [])
        if isinstance(line, list) and len(line) == len(names)
    ]
