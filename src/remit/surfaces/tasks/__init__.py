"""`POST /v1/tasks`: the user's channel opens a task and gets what to hand to the agent.

An agent with a key of its own is handed a delegation, of no use to anybody else; an agent without one the task token,
which counts for whoever bears it.

endpoint = TasksEndpoint(desk, authenticator, hands, audience, Bounds())
await endpoint.serve("POST", headers, receive, send)
"""

from dataclasses import dataclass

from remit.core import (
    InputRefusedError,
    JsonObject,
    Reason,
    RemitError,
    Task,
    canonical_bytes,
    is_name,
    parse_strict,
    utc_text,
)
from remit.identity import Authenticator, Hands, TokenRefusedError
from remit.pipeline import TaskDesk
from remit.surfaces._http import (
    BodyRefusedError,
    Bounds,
    Headers,
    Receive,
    Send,
    bearer,
    challenge,
    problem,
    read_body,
    reply,
)

__all__ = ["TasksEndpoint"]

BEARER = "bearer"
DELEGATION = "delegation"

_FORM = (
    'send {"agent": "...", "use_case": "...", "input": ...}, and "hand": "bearer" or "delegation" if you must choose'
)


@dataclass(frozen=True, slots=True)
class _Wanted:
    agent: str
    use_case: str
    given: bytes
    hand: str  # empty: what suits the agent


class TasksEndpoint:
    """Opens tasks for the person whose token comes with the request, and for nobody else."""

    def __init__(
        self, desk: TaskDesk, authenticator: Authenticator, hands: Hands, audience: str, bounds: Bounds
    ) -> None:
        self._desk = desk
        self._authenticator = authenticator
        self._hands = hands
        self._audience = audience
        self._bounds = bounds

    async def serve(self, method: str, headers: Headers, receive: Receive, send: Send) -> None:
        """Answer one HTTP request."""
        if method != "POST":
            reason = Reason("method_not_allowed", "tasks are opened by POST", "send POST /v1/tasks")
            return await problem(send, 405, reason, (b"allow", b"POST"))
        try:
            person = self._authenticator.person(bearer(headers), self._audience)
            wanted = _read(await read_body(headers, receive, self._bounds))
            keyed = self._hands.has_key(wanted.agent)
            if wanted.hand == DELEGATION and not keyed:
                fix = 'register a key of the agent, or ask for "hand": "bearer"'
                reason = Reason("agent_has_no_key", f"`{wanted.agent}` could not exchange a delegation", fix)
                return await problem(send, 403, reason)
            opened = await self._desk.open(person, wanted.agent, wanted.use_case, wanted.given)
        except BodyRefusedError as error:
            return await problem(send, error.status, error.reason, (b"connection", b"close"))
        except RemitError as error:
            reason = Reason(error.code, error.message, error.fix)
            extra = (challenge(reason),) if isinstance(error, TokenRefusedError) else ()
            return await problem(send, _status(error), reason, *extra)
        if isinstance(opened, Reason):
            return await problem(send, 403, opened)
        body = self._handed(opened, wanted.hand or (DELEGATION if keyed else BEARER))
        return await reply(send, 201, canonical_bytes(body), (b"cache-control", b"no-store"))

    def _handed(self, task: Task, hand: str) -> JsonObject:
        said: JsonObject = {"task": task.id, "expires_at": utc_text(task.expires_at)}
        if hand == DELEGATION:
            return {**said, "delegation": self._hands.delegate(task)}
        return {**said, "token": self._hands.mint(task)}


def _status(error: RemitError) -> int:
    match error:
        case TokenRefusedError():
            return 401
        case InputRefusedError():
            return 400
        case _:
            return 503


def _read(body: bytes) -> _Wanted:
    given = parse_strict(body)
    if not isinstance(given, dict) or given.keys() - {"agent", "use_case", "input", "hand"}:
        raise InputRefusedError("task_request_invalid", "not a request for a task", _FORM)
    agent, use_case, hand = given.get("agent"), given.get("use_case"), given.get("hand", "")
    if not (isinstance(agent, str) and isinstance(use_case, str) and is_name(agent) and is_name(use_case)):
        raise InputRefusedError("task_request_invalid", "`agent` and `use_case` are names", _FORM)
    if "hand" in given and hand not in (BEARER, DELEGATION):
        raise InputRefusedError("task_request_invalid", "`hand` is `bearer` or `delegation`", _FORM)
    said: JsonObject = {"input": given.get("input")}
    return _Wanted(agent, use_case, canonical_bytes(said), str(hand))
