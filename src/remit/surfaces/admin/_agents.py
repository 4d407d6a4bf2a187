"""Agents: who they are by charter, what they hold, their keys, and cutting one off."""

from typing import Annotated

from fastapi import APIRouter, Depends
from pydantic import BaseModel, ConfigDict, JsonValue

from remit.charter import Charter
from remit.core import RemitError
from remit.identity import Person, agent_keys
from remit.pipeline import agent_control
from remit.pipeline.control import keys_control
from remit.surfaces.admin._access import Access, Told
from remit.surfaces.admin._control import Control, Said
from remit.surfaces.admin._refusals import settled


class Key(BaseModel):
    """An agent's public key, as a JWK (RFC 7517)."""

    model_config = ConfigDict(extra="forbid")

    jwk: dict[str, JsonValue]


class Kid(BaseModel):
    """The name of one of an agent's keys: its thumbprint (RFC 7638)."""

    model_config = ConfigDict(extra="forbid")

    kid: str


def agent_routes(control: Control, access: Access) -> APIRouter:
    """Return the routes for agents: the list for everybody who has logged in, the rest for operators."""
    routes = APIRouter()
    operator = Annotated[Person, Depends(access.operator)]

    @routes.get("/v1/agents", dependencies=[Depends(access.person)])
    async def agents() -> list[Said]:
        return [_agent(control, charter) for _, charter in sorted(control.live.snapshot.charters.items())]

    @routes.get("/v1/agents/{name}", dependencies=[Depends(access.operator)])
    async def agent(name: str) -> Said:
        return _whole(control, _known(control, name))

    @routes.post("/v1/agents/{name}/revoke")
    async def revoke(name: str, found: operator, body: Told) -> Said:
        done = settled(await control.controls.revoke_agent(name, found.name, body.why))
        return {
            "agent": done.agent,
            "revoked": True,
            "tasks": done.tasks,
            "approvals": done.approvals,
            "elapsed_us": done.elapsed_us,
        }

    @routes.post("/v1/agents/{name}/restore")
    async def restore(name: str, found: operator, body: Told) -> Said:
        settled(await control.controls.restore_agent(name, found.name, body.why))
        return {"agent": name, "revoked": False}

    @routes.post("/v1/agents/{name}/keys")
    async def register(name: str, found: operator, body: Key) -> Said:
        return await control.register_key(found, _known(control, name).agent, body.jwk)

    @routes.post("/v1/agents/{name}/keys/remove")
    async def remove(name: str, found: operator, body: Kid) -> Said:
        return await control.remove_key(found, _known(control, name).agent, body.kid)

    return routes


def _known(control: Control, name: str) -> Charter:
    found = control.live.snapshot.charters.get(name)
    if found is None:
        raise RemitError("agent_unknown", "there is no such agent", "see `remit agents list`")
    return found


def _agent(control: Control, charter: Charter) -> Said:
    return {
        "agent": charter.agent,
        "owner": charter.owner,
        "purpose": charter.purpose,
        "use_cases": {name: list[JsonValue](sorted(case.operations)) for name, case in charter.use_cases.items()},
        "revoked": bool(control.live.says(agent_control(charter.agent))),
    }


def _whole(control: Control, charter: Charter) -> Said:
    control.live.forget_expired(control.clock.now())
    return {
        **_agent(control, charter),
        "process": charter.process,
        "revoked_why": control.live.says(agent_control(charter.agent)),
        "keys": list[JsonValue](agent_keys(control.live.says(keys_control(charter.agent)))),
        "open_tasks": list[JsonValue](control.live.tasks_of(charter.agent)),
        "waiting_approvals": [each.id for each in control.live.waiting_for(charter.agent)],
    }
