"""What runs: its state, deploying, going back, and stopping everything."""

from typing import Annotated

from fastapi import APIRouter, Depends
from pydantic import BaseModel, ConfigDict, Field

from remit.core import utc_text
from remit.identity import Person
from remit.pipeline import Deployed
from remit.surfaces.admin._access import Access, Told
from remit.surfaces.admin._control import Control, Said
from remit.surfaces.admin._refusals import settled

RELEASES_SHOWN = 50


class Rollback(BaseModel):
    """Where to go back to: a bundle's digest; empty: to the release before."""

    model_config = ConfigDict(extra="forbid")

    to: str = Field(pattern=r"^(sha256:[0-9a-f]{64})?$")


def release_routes(control: Control, access: Access) -> APIRouter:
    """Return the routes for what runs; operators only."""
    routes = APIRouter(dependencies=[Depends(access.operator)])
    operator = Annotated[Person, Depends(access.operator)]

    @routes.get("/v1/status")
    async def status() -> Said:
        return await control.status()

    @routes.get("/v1/releases")
    async def history() -> list[Said]:
        return [_release(each) for each in await control.store.releases(RELEASES_SHOWN)]

    @routes.post("/v1/releases")
    async def deploy(found: operator) -> Said:
        return await control.deploy(found)

    @routes.post("/v1/releases/rollback")
    async def rollback(found: operator, body: Rollback) -> Said:
        return await control.rollback(found, body.to)

    @routes.post("/v1/stop")
    async def stop(found: operator, body: Told) -> Said:
        settled(await control.controls.stop_all(found.name, body.why))
        return {"stopped": True}

    @routes.post("/v1/resume")
    async def resume(found: operator, body: Told) -> Said:
        settled(await control.controls.resume(found.name, body.why))
        return {"stopped": False}

    return routes


def _release(deployed: Deployed) -> Said:
    return {
        "number": deployed.number,
        "bundle": deployed.bundle,
        "at": utc_text(deployed.at),
        "by": deployed.by,
        "how": deployed.how,
    }
