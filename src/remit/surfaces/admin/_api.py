"""The admin API: people look at records, decide held calls and change what runs.

FastAPI, on its own port, never on the call path. Every request authenticates a named person, on loopback too, but a
login and the page that says how to decide, which knows nothing; each route names the role it needs.
"""

from collections.abc import Awaitable, Callable
from typing import Annotated

from fastapi import APIRouter, Depends, FastAPI
from pydantic import BaseModel, ConfigDict, JsonValue

from remit.core import Reason
from remit.identity import Person
from remit.surfaces._http import Door, Headers, Receive, Scope, Send, problem
from remit.surfaces.admin._access import Access
from remit.surfaces.admin._activity import activity_routes
from remit.surfaces.admin._agents import agent_routes
from remit.surfaces.admin._approvals import approval_routes
from remit.surfaces.admin._control import Control, Said
from remit.surfaces.admin._directories import directory_routes
from remit.surfaces.admin._records import record_routes
from remit.surfaces.admin._refusals import refuse_in_one_form
from remit.surfaces.admin._releases import release_routes
from remit.surfaces.admin._tasks import task_routes
from remit.surfaces.admin._tools import tool_routes
from remit.surfaces.admin._users import user_routes

BODY_BYTES_MAX = 1 << 16  # of a request; none needs more


class Login(BaseModel):
    """A development login."""

    model_config = ConfigDict(extra="forbid")

    person: str
    secret: str
    audience: str


def admin_app(control: Control, door: Door) -> Callable[[Scope, Receive, Send], Awaitable[None]]:
    """Build the admin API behind its door."""
    api = FastAPI(title="Remit admin API", docs_url=None, redoc_url=None, openapi_url=None)
    access = Access(control)
    refuse_in_one_form(api)

    @api.get("/openapi.json", dependencies=[Depends(access.person)], include_in_schema=False)
    async def openapi() -> dict[str, JsonValue]:
        return api.openapi()

    of_people = (_people, user_routes, approval_routes, activity_routes)
    for routes in (*of_people, agent_routes, task_routes, tool_routes, directory_routes, release_routes, record_routes):
        api.include_router(routes(control, access))

    async def behind_the_door(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            headers = Headers.of(scope)
            refusal = door.refusal(headers) or _oversize(headers)
            if refusal is not None:
                return await problem(send, *refusal, (b"connection", b"close"))
        return await api(scope, receive, send)

    return behind_the_door


def _oversize(headers: Headers) -> tuple[int, Reason] | None:
    """Turn away a body before it is read: here everybody is heard who has not yet logged in."""
    if b"transfer-encoding" in headers.values:
        return 411, Reason("length_required", "the body's length is not given", "send Content-Length")
    length = headers.values.get(b"content-length", b"0")
    if not length.isdigit() or len(length) > 12 or int(length) > BODY_BYTES_MAX:
        return 413, Reason("body_too_large", f"the body is over {BODY_BYTES_MAX} bytes", "send less at once")
    return None


def _people(control: Control, access: Access) -> APIRouter:
    routes = APIRouter()

    @routes.post("/development/token")
    async def development_token(login: Login) -> dict[str, str]:
        token, expires_at = control.log_in(login.person, login.secret, login.audience)
        return {"token": token, "expires_at": expires_at}

    @routes.get("/v1/whoami")
    async def whoami(found: Annotated[Person, Depends(access.person)]) -> Said:
        return {"person": found.name, "roles": list[JsonValue](sorted(found.roles))}

    return routes
