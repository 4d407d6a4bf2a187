"""Users: for whom agents act at the moment, who was cut off, and cutting one off."""

from typing import Annotated

from fastapi import APIRouter, Depends
from pydantic import Field, JsonValue

from remit.core import Task, utc_text
from remit.identity import Cut, Person, UserCuts
from remit.surfaces.admin._access import Access, Told
from remit.surfaces.admin._control import Control, Said, died
from remit.surfaces.admin._refusals import settled

USER_CHARS_MAX = 320
UserName = Annotated[str, Field(min_length=1, max_length=USER_CHARS_MAX)]


class OfUser(Told):
    """A body that says which user, and with which agent, if not with all."""

    user: UserName
    agent: Annotated[str, Field(max_length=64)] = ""


def user_routes(control: Control, access: Access) -> APIRouter:
    """Return the routes for users; operators only."""
    routes = APIRouter(dependencies=[Depends(access.operator)])
    operator = Annotated[Person, Depends(access.operator)]

    @routes.get("/v1/users")
    async def users() -> list[Said]:
        control.live.forget_expired(control.clock.now())
        acting: dict[str, list[Task]] = {}
        for task in control.live.tasks():
            acting.setdefault(task.user, []).append(task)
        cuts = control.live.user_cuts()
        return [_user(name, acting.get(name, []), cuts.get(name, {})) for name in sorted(acting.keys() | cuts.keys())]

    @routes.post("/v1/users/revoke")
    async def revoke(found: operator, body: OfUser) -> Said:
        cut = Cut(user=body.user, agent=body.agent)
        done = settled(await control.controls.cut(cut, found.name, body.why))
        return {"user": body.user, "agent": body.agent, "revoked": True, **died(done)}

    @routes.post("/v1/users/restore")
    async def restore(found: operator, body: OfUser) -> Said:
        settled(await control.controls.restore(Cut(user=body.user, agent=body.agent), found.name, body.why))
        return {"user": body.user, "agent": body.agent, "revoked": False}

    return routes


def _user(name: str, tasks: list[Task], cuts: UserCuts) -> Said:
    return {
        "user": name,
        "tasks": len(tasks),
        "agents": list[JsonValue](sorted({task.agent for task in tasks})),
        "revoked": [
            {"agent": agent, "why": cut.why, "before": None if cut.before is None else utc_text(cut.before)}
            for agent, cut in sorted(cuts.items())
        ],
    }
