"""The catalogue as it runs: who reviewed what, which agents are pinned to it, and what tool servers show now."""

import json
from typing import Annotated

from fastapi import APIRouter, Depends
from pydantic import JsonValue

from remit.catalogue import DEVELOPMENT_ROLE, Descriptor, Pin
from remit.core import JsonObject, RemitError
from remit.identity import Person
from remit.pipeline import operation_control
from remit.surfaces.admin._access import Access, Told
from remit.surfaces.admin._control import Control, Said
from remit.surfaces.admin._refusals import settled


def tool_routes(control: Control, access: Access) -> APIRouter:
    """Return the routes for the catalogue; operators only."""
    routes = APIRouter(dependencies=[Depends(access.operator)])
    operator = Annotated[Person, Depends(access.operator)]

    @routes.get("/v1/tools")
    async def tools() -> list[Said]:
        return [_operation(control, found) for _, found in sorted(control.live.snapshot.descriptors.items())]

    @routes.post("/v1/tools/check")
    async def check() -> list[Said]:
        return await control.check_tools()

    @routes.post("/v1/tools/{operation}/release")
    async def release(operation: str, found: operator, body: Told) -> Said:
        if operation not in control.live.snapshot.descriptors:
            raise RemitError("operation_unknown", "the catalogue has no such operation", "see `remit tools list`")
        _refuse_changed(operation, await control.check_tools())
        settled(await control.controls.release_operation(operation, found.name, body.why))
        return {"operation": operation, "quarantined": False}

    return routes


def _refuse_changed(operation: str, checked: list[Said]) -> None:
    """Refuse unless the operation was seen, just now, to be served as it was reviewed."""
    state = next((each["state"] for each in checked if each["operation"] == operation), "unverified")
    if state == "changed":
        raise RemitError(
            "still_changed",
            f"`{operation}` is still served otherwise than it was reviewed",
            "see `remit tools diff`; have the old definition served again, or review the new one and deploy it",
        )
    if state != "reviewed":
        raise RemitError(
            "not_verified",
            f"nobody could see how `{operation}` is served now: {state}",
            "start its tool server, or keep its definition with `remit tools import`; then release it",
        )


def _operation(control: Control, found: Descriptor) -> Said:
    snapshot = control.live.snapshot
    review = snapshot.reviews.get(found.operation)
    signers = () if review is None else review.signers
    pins = {agent: pins[found.operation] for agent, pins in snapshot.manifests.items() if found.operation in pins}
    deployed = Pin(found.version, found.digest)
    return {
        "operation": found.operation,
        "tool": found.tool,
        "version": found.version,
        "digest": found.digest,
        "effect": found.effect.value,
        "signers": [{"person": person, "role": role} for person, role in signers],
        "missing": "its signatures were never checked" if review is None else review.missing,
        "development": {role for _, role in signers} == {DEVELOPMENT_ROLE},
        "pinned_by": [agent for agent, pin in sorted(pins.items()) if pin == deployed],
        "pinned_otherwise_by": [agent for agent, pin in sorted(pins.items()) if pin != deployed],
        "served_pinned": bool(found.served),
        "differences": _differences(control, found.operation),
    }


def _differences(control: Control, operation: str) -> list[JsonValue]:
    """Return the lines for which an operation is in quarantine; none where it is not."""
    if not control.live.quarantined(operation):
        return []
    said: JsonObject = json.loads(control.live.says(operation_control(operation)))
    lines = said.get(control.live.snapshot.descriptors[operation].digest)
    return list[JsonValue](lines) if isinstance(lines, list) and lines else ["it differs from what was reviewed"]
