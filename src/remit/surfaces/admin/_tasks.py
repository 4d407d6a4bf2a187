"""Tasks, cut off one by one. What they did is told by their records."""

from typing import Annotated

from fastapi import APIRouter, Depends

from remit.identity import Cut, Person
from remit.surfaces.admin._access import Access, Told
from remit.surfaces.admin._control import Control, Said, died
from remit.surfaces.admin._refusals import settled


def task_routes(control: Control, access: Access) -> APIRouter:
    """Return the routes that end tasks; operators only."""
    routes = APIRouter()
    operator = Annotated[Person, Depends(access.operator)]

    @routes.post("/v1/tasks/{task}/revoke")
    async def revoke(task: str, found: operator, body: Told) -> Said:
        done = settled(await control.controls.cut(Cut(task=task), found.name, body.why))
        return {"task": task, "revoked": True, **died(done)}

    return routes
