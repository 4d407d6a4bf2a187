"""`POST /v1/tasks`: the user's channel opens a task and gets the token to hand to the agent.

endpoint = TasksEndpoint(desk, authenticator, mint, audience, Bounds())
await endpoint.serve("POST", headers, receive, send)
"""

from collections.abc import Callable

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
from remit.identity import Authenticator, TokenRefusedError
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

_FORM = 'send {"agent": "...", "use_case": "...", "input": ...}'


class TasksEndpoint:
    """Opens tasks for the person whose token comes with the request, and for nobody else."""

    def __init__(
        self, desk: TaskDesk, authenticator: Authenticator, mint: Callable[[Task], str], audience: str, bounds: Bounds
    ) -> None:
        self._desk = desk
        self._authenticator = authenticator
        self._mint = mint
        self._audience = audience
        self._bounds = bounds

    async def serve(self, method: str, headers: Headers, receive: Receive, send: Send) -> None:
        """Answer one HTTP request."""
        if method != "POST":
            reason = Reason("method_not_allowed", "tasks are opened by POST", "send POST /v1/tasks")
            return await problem(send, 405, reason, (b"allow", b"POST"))
        try:
            person = self._authenticator.person(bearer(headers), self._audience)
            agent, use_case, given = _read(await read_body(headers, receive, self._bounds))
            opened = await self._desk.open(person, agent, use_case, given)
        except BodyRefusedError as error:
            return await problem(send, error.status, error.reason, (b"connection", b"close"))
        except RemitError as error:
            reason = Reason(error.code, error.message, error.fix)
            extra = (challenge(reason),) if isinstance(error, TokenRefusedError) else ()
            return await problem(send, _status(error), reason, *extra)
        if isinstance(opened, Reason):
            return await problem(send, 403, opened)
        body = {"task": opened.id, "token": self._mint(opened), "expires_at": utc_text(opened.expires_at)}
        return await reply(send, 201, canonical_bytes(body))


def _status(error: RemitError) -> int:
    match error:
        case TokenRefusedError():
            return 401
        case InputRefusedError():
            return 400
        case _:
            return 503


def _read(body: bytes) -> tuple[str, str, bytes]:
    given = parse_strict(body)
    if not isinstance(given, dict) or given.keys() - {"agent", "use_case", "input"}:
        raise InputRefusedError("task_request_invalid", "not a request for a task", _FORM)
    agent, use_case = given.get("agent"), given.get("use_case")
    if not (isinstance(agent, str) and isinstance(use_case, str) and is_name(agent) and is_name(use_case)):
        raise InputRefusedError("task_request_invalid", "`agent` and `use_case` are names", _FORM)
    said: JsonObject = {"input": given.get("input")}
    return agent, use_case, canonical_bytes(said)
