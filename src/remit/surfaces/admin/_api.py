"""The admin API: people look at records and change what runs. FastAPI, on its own port, never on the call path.

Every request but a login authenticates a named person, on loopback too; each route names the role it needs.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Annotated

from fastapi import APIRouter, Depends, FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, StreamingResponse
from pydantic import BaseModel, ConfigDict, JsonValue
from starlette.exceptions import HTTPException

from remit.charter import Charter
from remit.core import ProjectInvalidError, Reason, RemitError, StoreUnavailableError, Task, utc_text
from remit.identity import Authenticator, Person, TokenRefusedError
from remit.pipeline import Clock, Store
from remit.records import Entry, explain, refusals
from remit.surfaces._http import Door, Headers, Receive, Scope, Send, bearer, challenge, problem
from remit.surfaces.admin._export import export_lines

OPERATOR = "operator"
TASKS_SHOWN = 50
BODY_BYTES_MAX = 1 << 16  # of a request; none needs more
ENTRIES_SUMMARISED = 20_000  # the newest ones

_STATUS = {
    "login_refused": 401,
    "token_missing": 401,
    "token_invalid": 401,
    "token_audience": 401,
    "token_expired": 401,
    "role_missing": 403,
    "not_found": 404,
    "project_invalid": 422,
    "store_unavailable": 503,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Control:
    """What the admin API can do, given by who composes the gateway."""

    store: Store
    clock: Clock
    authenticator: Authenticator
    audience: str  # of the tokens it takes
    log_in: Callable[[str, str, str], tuple[str, str]]  # person, secret, audience -> token, expiry
    status: Callable[[], Awaitable[dict[str, JsonValue]]]
    deploy: Callable[[Person], Awaitable[dict[str, JsonValue]]]
    checkpoint: Callable[[], Awaitable[str]]
    replayed: Callable[[tuple[Entry, ...]], Awaitable[dict[int, str]]]
    charters: Callable[[], Mapping[str, Charter]]  # of the running release
    origin: str  # the log's name


class Login(BaseModel):
    """A development login."""

    model_config = ConfigDict(extra="forbid")

    person: str
    secret: str
    audience: str


class _Access:
    """Who may: every route but the login depends on one of these."""

    def __init__(self, control: Control) -> None:
        self._control = control

    def person(self, request: Request) -> Person:
        """Return the person whose login came with the request."""
        return self._control.authenticator.person(bearer(Headers.of(request.scope)), self._control.audience)

    def operator(self, request: Request) -> Person:
        """Return that person if they operate the gateway."""
        found = self.person(request)
        if OPERATOR not in found.roles:
            raise RemitError("role_missing", f"`{found.name}` is not an {OPERATOR}", "ask one who is")
        return found


def admin_app(control: Control, door: Door) -> Callable[[Scope, Receive, Send], Awaitable[None]]:
    """Build the admin API behind its door."""
    api = FastAPI(title="Remit admin API", docs_url=None, redoc_url=None, openapi_url=None)
    access = _Access(control)
    for refusal in (RemitError, TokenRefusedError, ProjectInvalidError, StoreUnavailableError):
        api.exception_handler(refusal)(_refuse)
    api.exception_handler(RequestValidationError)(_refuse_shape)
    api.exception_handler(HTTPException)(_refuse_route)

    @api.get("/openapi.json", dependencies=[Depends(access.person)], include_in_schema=False)
    async def openapi() -> dict[str, JsonValue]:
        return api.openapi()

    api.include_router(_people(control, access))
    api.include_router(_releases(control, access))
    api.include_router(_records(control, access))

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


async def _refuse_shape(_request: Request, error: RequestValidationError) -> JSONResponse:
    """Say which fields are wrong, and never what they held: one of them is a secret."""
    wrong: list[JsonValue] = [f"{'.'.join(map(str, each['loc']))[:128]}: {each['type']}" for each in error.errors()]
    body: dict[str, JsonValue] = {
        "title": "the request does not have the form of this route",
        "code": "request_invalid",
        "fix": "mend the fields named under `problems`",
        "problems": wrong,
    }
    return JSONResponse(body, 422, media_type="application/problem+json")


async def _refuse_route(_request: Request, error: HTTPException) -> JSONResponse:
    code = {404: "path_unknown", 405: "method_not_allowed"}.get(error.status_code, "request_invalid")
    body = {"title": error.detail.lower(), "code": code, "fix": "see /openapi.json for what this port serves"}
    return JSONResponse(body, error.status_code, error.headers, media_type="application/problem+json")


async def _refuse(_request: Request, error: RemitError) -> JSONResponse:
    body: dict[str, JsonValue] = {"title": error.message, "code": error.code, "fix": error.fix}
    if isinstance(error, ProjectInvalidError):
        body["problems"] = [asdict(problem) for problem in error.problems]
    status = _STATUS.get(error.code, 400)
    name, value = challenge(Reason(error.code, error.message, error.fix))
    headers = {name.decode("ascii"): value.decode("ascii")} if isinstance(error, TokenRefusedError) else None
    return JSONResponse(body, status, headers, media_type="application/problem+json")


def _people(control: Control, access: _Access) -> APIRouter:
    routes = APIRouter()

    @routes.post("/development/token")
    async def development_token(login: Login) -> dict[str, str]:
        token, expires_at = control.log_in(login.person, login.secret, login.audience)
        return {"token": token, "expires_at": expires_at}

    @routes.get("/v1/whoami")
    async def whoami(found: Annotated[Person, Depends(access.person)]) -> dict[str, JsonValue]:
        return {"person": found.name, "roles": list[JsonValue](sorted(found.roles))}

    return routes


def _releases(control: Control, access: _Access) -> APIRouter:
    routes = APIRouter()

    @routes.get("/v1/agents", dependencies=[Depends(access.person)])
    async def agents() -> list[dict[str, JsonValue]]:
        return [_agent(charter) for _, charter in sorted(control.charters().items())]

    @routes.get("/v1/status", dependencies=[Depends(access.operator)])
    async def status() -> dict[str, JsonValue]:
        return await control.status()

    @routes.post("/v1/releases")
    async def deploy(found: Annotated[Person, Depends(access.operator)]) -> dict[str, JsonValue]:
        return await control.deploy(found)

    return routes


def _records(control: Control, access: _Access) -> APIRouter:
    routes = APIRouter(dependencies=[Depends(access.operator)])

    @routes.get("/v1/tasks")
    async def tasks() -> list[dict[str, str]]:
        return [_task(task) for task in await control.store.recent_tasks(TASKS_SHOWN)]

    @routes.get("/v1/tasks/{task}/records")
    async def task_records(task: str) -> dict[str, JsonValue]:
        entries = await control.store.entries_of(task)
        if not entries:
            raise RemitError("not_found", "the log has no such task", "see `remit tasks list`")
        replayed = await control.replayed(entries)
        return {
            "task": task,
            "told": list[JsonValue](explain(entries)),
            "entries": [{"index": entry.index, "leaf": entry.leaf.decode("utf-8")} for entry in entries],
            "replayed": {str(index): word for index, word in replayed.items()},
        }

    @routes.get("/v1/records/refusals")
    async def refused() -> list[dict[str, JsonValue]]:
        size = (await control.store.state(control.clock.now())).size
        entries = await control.store.entries(max(0, size - ENTRIES_SUMMARISED), size, payloads=False)
        return [asdict(refusal) for refusal in refusals(entries)]

    @routes.get("/v1/records/export")
    async def export() -> StreamingResponse:
        note = await control.checkpoint()
        lines: AsyncIterator[str] = export_lines(control.store, control.origin, note)
        return StreamingResponse(lines, media_type="application/jsonl")

    return routes


def _agent(charter: Charter) -> dict[str, JsonValue]:
    return {
        "agent": charter.agent,
        "owner": charter.owner,
        "purpose": charter.purpose,
        "use_cases": {name: list[JsonValue](sorted(case.operations)) for name, case in charter.use_cases.items()},
    }


def _task(task: Task) -> dict[str, str]:
    return {
        "task": task.id,
        "user": task.user,
        "agent": task.agent,
        "use_case": task.use_case,
        "opened_at": utc_text(task.opened_at),
        "expires_at": utc_text(task.expires_at),
    }
