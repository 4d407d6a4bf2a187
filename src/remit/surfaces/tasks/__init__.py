"""`POST /v1/tasks`: the user's channel opens a task and gets what to hand to the agent.

An agent with a key of its own is handed a delegation, of no use to anybody else; an agent without one the task token,
which counts for whoever bears it.

endpoint = TasksEndpoint(desk, door, hands, audience, Bounds(), registrations=registrations)
await endpoint.serve("POST", headers, receive, send)
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from remit.core import (
    InputRefusedError,
    Json,
    JsonObject,
    Reason,
    RemitError,
    Task,
    canonical_bytes,
    is_name,
    parse_strict,
    utc_text,
)
from remit.identity import Hands, Registration, TokenRefusedError
from remit.pipeline import TaskDesk
from remit.surfaces._http import (
    BodyRefusedError,
    Bounds,
    Headers,
    Receive,
    Send,
    challenge,
    presented,
    problem,
    read_body,
    refusal_status,
    reply,
)
from remit.surfaces._people import LoginRefusedError, PeopleDoor

__all__ = ["TasksEndpoint"]

BEARER = "bearer"
DELEGATION = "delegation"

_FORM = (
    'send {"agent": "...", "use_case": "...", "input": ...}, and if you must choose "hand": "bearer" or "delegation", '
    'and to narrow it "authorization_details": [{"type": "agent_task", ...}]'
)


@dataclass(frozen=True, slots=True)
class _Wanted:
    agent: str
    use_case: str
    given: bytes
    details: Json
    hand: str  # empty: what suits the agent


class _NotHandedError(RemitError):
    """The agent could not use what it would be handed, or may not have it."""


class TasksEndpoint:
    """Opens tasks for the person whose token comes with the request, and for nobody else."""

    def __init__(  # noqa: PLR0913 - each is a part of its own, joined once in app
        self,
        desk: TaskDesk,
        door: PeopleDoor,
        hands: Hands,
        audience: str,
        bounds: Bounds,
        *,
        registrations: Callable[[], Mapping[str, Registration]],
        metadata_url: str = "",
    ) -> None:
        self._desk = desk
        self._door = door
        self._hands = hands
        self._audience = audience
        self._url = f"{audience}/v1/tasks"
        self._registrations = registrations
        self._metadata_url = metadata_url
        self._bounds = bounds

    async def serve(self, method: str, headers: Headers, receive: Receive, send: Send) -> None:
        """Answer one HTTP request."""
        if method != "POST":
            reason = Reason("method_not_allowed", "tasks are opened by POST", "send POST /v1/tasks")
            return await problem(send, 405, reason, (b"allow", b"POST"))
        try:
            login = await self._door.login(presented(headers, method, self._url), self._audience)
            wanted = _read(await read_body(headers, receive, self._bounds))
            self._check_hand(wanted)
            opened = await self._desk.open(
                login.person, wanted.agent, wanted.use_case, wanted.given, wanted.details, login
            )
        except BodyRefusedError as error:
            return await problem(send, error.status, error.reason, (b"connection", b"close"))
        except RemitError as error:
            reason = Reason(error.code, error.message, error.fix)
            extra = challenge(error, self._metadata_url) if isinstance(error, TokenRefusedError) else ()
            return await problem(send, _status(error), reason, *extra)
        if isinstance(opened, Reason):
            return await problem(send, 403, opened)
        body = self._handed(opened, wanted.hand or (DELEGATION if self._hands.has_key(wanted.agent) else BEARER))
        return await reply(send, 201, canonical_bytes(body), (b"cache-control", b"no-store"))

    def _check_hand(self, wanted: _Wanted) -> None:
        """Check that the agent can use what it will be handed, and may have it."""
        keyed, registered = self._hands.has_key(wanted.agent), self._registrations().get(wanted.agent)
        if wanted.hand == DELEGATION and not keyed:
            fix = 'register a key of the agent, or ask for "hand": "bearer"'
            raise _NotHandedError("agent_has_no_key", f"`{wanted.agent}` could not exchange a delegation", fix)
        bears = wanted.hand == BEARER or not (wanted.hand or keyed)
        if bears and registered is not None and not registered.bearer:
            first = 'ask for "hand": "delegation"' if keyed else "register a key of it (`remit agents register`)"
            fix = f"{first}, or allow it in agent.yaml: `identity: {{bearer: true}}`"
            said = f"`{wanted.agent}` may not have a token that counts for whoever bears it"
            raise _NotHandedError("bearer_refused", said, fix)

    def _handed(self, task: Task, hand: str) -> JsonObject:
        said: JsonObject = {"task": task.id, "expires_at": utc_text(task.expires_at)}
        if hand == DELEGATION:
            return {**said, "delegation": self._hands.delegate(task)}
        return {**said, "token": self._hands.mint(task)}


def _status(error: RemitError) -> int:
    match error:
        case TokenRefusedError():
            return refusal_status(error)
        case InputRefusedError():
            return 400
        case _NotHandedError() | LoginRefusedError():
            return 403
        case _:
            return 503


def _read(body: bytes) -> _Wanted:
    given = parse_strict(body)
    if not isinstance(given, dict) or given.keys() - {"agent", "use_case", "input", "hand", "authorization_details"}:
        raise InputRefusedError("task_request_invalid", "not a request for a task", _FORM)
    agent, use_case, hand = given.get("agent"), given.get("use_case"), given.get("hand", "")
    if not (isinstance(agent, str) and isinstance(use_case, str) and is_name(agent) and is_name(use_case)):
        raise InputRefusedError("task_request_invalid", "`agent` and `use_case` are names", _FORM)
    if "hand" in given and hand not in (BEARER, DELEGATION):
        raise InputRefusedError("task_request_invalid", "`hand` is `bearer` or `delegation`", _FORM)
    said: JsonObject = {"input": given.get("input")}
    return _Wanted(agent, use_case, canonical_bytes(said), given.get("authorization_details"), str(hand))
