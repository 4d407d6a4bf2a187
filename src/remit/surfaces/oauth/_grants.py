"""What an agent may show to get a task token, and the task that each of them leads to. `GRANTS` is the table.

1. Our delegation token, made out to this agent: the task that the user's channel opened.
2. Another agent's task token: a task below that one, handed on (RFC 8693, section 4.1).
3. A user's access token: a task for that user, who lets this agent act (`may_act`, RFC 8693, section 4.4; or consent).
4. An identity assertion (ID-JAG), which the organisation's identity provider issued to this agent for a user.

A tool's token is none of these. Nothing here widens anything: what a task may do is for the desk that opens it.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace

from remit.core import Allow, Decision, Delegation, Deny, Hold, InputRefusedError, Reason, Task
from remit.identity import (
    AuthenticatedAgent,
    Presented,
    TokenRefusedError,
    UserToken,
    delegation_is_live,
    narrowed,
    read_details,
    token_endpoint,
)
from remit.surfaces.oauth._binding import Binding
from remit.surfaces.oauth._form import ACCESS_TOKEN, JWT, Asked
from remit.surfaces.oauth._ports import TokenPorts

TOKEN_EXCHANGE = "urn:ietf:params:oauth:grant-type:token-exchange"  # noqa: S105 - a name (RFC 8693, section 2.1)
ASSERTION = "urn:ietf:params:oauth:grant-type:jwt-bearer"  # (RFC 7523, section 2.1)

_OPEN_ANEW = "have the user's channel open another task, with these authorization_details"

Own = Delegation | TokenRefusedError | None
"""What a token of ours in the request says, or why it is none; None where the request can have none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """A request of `agent`, which proved that it is itself, and what the token will be bound to."""

    ports: TokenPorts
    asked: Asked
    agent: AuthenticatedAgent
    binding: Binding
    own: Own

    @property
    def keys(self) -> tuple[str, ...]:
        """Return the keys that this request was proven with."""
        return (self.agent.key, *self.binding.keys)


@dataclass(frozen=True, slots=True)
class Granted:
    """The task, and the keys that it rests on besides the agent's."""

    task: Task
    keys: tuple[str, ...] = ()


Grant = Callable[[Request], Awaitable[Granted]]


def own(ports: TokenPorts, asked: Asked) -> Own:
    """Read a token of ours, if it is one. It is looked at before the agent is known, to name it in a record."""
    read = {JWT: ports.exchange.exchanged, ACCESS_TOKEN: ports.exchange.handed_on}.get(
        asked.form.get("subject_token_type", "")
    )
    if read is None:
        return None
    try:
        asked.delegation = read(asked.form.get("subject_token", ""))
    except TokenRefusedError as error:
        asked.delegation = error.delegation
        return error
    return asked.delegation


def demand(decision: Decision) -> None:
    """Refuse what a gate does not allow.

    Raises:
        TokenRefusedError: with the gate's code.
    """
    match decision:
        case Allow():
            return
        case Deny(reason) | Hold(reason):
            raise _refused(reason)


async def _delegated(request: Request) -> Granted:
    """Find the task of a delegation token (1)."""
    ports, subject = request.ports, _proven(request.own)
    if subject.agent != request.agent.name:
        fix = "let the agent exchange it that the task was opened for"
        raise TokenRefusedError("delegation_other_agent", "the delegation is to another agent", fix)
    task = _live(ports, subject)
    wanted = read_details(request.asked.details)
    if wanted is not None and not (
        wanted.use_case in ("", task.use_case)
        and narrowed(task.authority, wanted.authority) == task.authority
        and (wanted.expires_at is None or task.expires_at <= wanted.expires_at)
    ):
        # (What a token says less than its task would not be kept to: it is the task that calls are decided on.)
        said = "the task is open already, and may do more than these details say"
        raise InputRefusedError("authorization_details_fixed", said, _OPEN_ANEW)
    return Granted(task)


async def _by_access_token(request: Request) -> Granted:
    """Open a task by a task token (2), else by a user's token (3)."""
    if isinstance(request.own, TokenRefusedError) and request.own.code == "subject_token_invalid":
        login = await _login(request.ports, request.asked.form["subject_token"])
        return await _opened(request, login, asserted=False)
    return await _handed_on(request, _proven(request.own))


async def _handed_on(request: Request, subject: Delegation) -> Granted:
    ports, agent = request.ports, request.agent.name
    if subject.agent != agent:
        request.asked.delegation = replace(subject, agent=agent, chain=(subject.agent, *subject.chain))
    _live(ports, subject)
    return Granted(_task(await ports.opening.hand_on(subject, agent, request.asked.details)), subject.keys)


async def _login(ports: TokenPorts, token: str) -> UserToken:
    # (A login for the data port itself is the user's channel's, and what an agent holds must not be one.)
    return await ports.logins.user(Presented(token), token_endpoint(ports.issuer))


async def _by_assertion(request: Request) -> Granted:
    """Open a task by an identity assertion (4): that it was issued to this agent is the organisation's consent."""
    request.asked.error = "invalid_grant"
    ports, agent = request.ports, request.agent.name
    if ports.assertions is None:
        raise _no_such_grant()
    login = await ports.assertions.assertion(request.asked.form["assertion"], ports.issuer, agent)
    return await _opened(request, login, asserted=True)


async def _opened(request: Request, login: UserToken, *, asserted: bool) -> Granted:
    asked, opening = request.asked, request.ports.opening
    asked.user = login.person.name
    return Granted(_task(await opening.open_for(login, request.agent.name, asked.details, asserted=asserted)))


def _proven(own: Own) -> Delegation:
    if isinstance(own, Delegation):
        return own
    raise own or TokenRefusedError("subject_token_invalid", "there is no subject token", "send subject_token")


def _live(ports: TokenPorts, delegation: Delegation) -> Task:
    task = ports.task_of(delegation.task)
    demand(delegation_is_live(delegation, task, ports.revoked(delegation), ports.clock.now()))
    if task is None:  # (the gate denies it; said again for whoever changes that)
        raise TokenRefusedError("task_unknown", "the token names a task that is not open", "open a new task")
    return task


def _task(opened: Task | Reason) -> Task:
    if isinstance(opened, Reason):
        raise _refused(opened)
    return opened


def _refused(reason: Reason) -> TokenRefusedError:
    return TokenRefusedError(reason.code, reason.message, reason.fix)


def _no_such_grant() -> InputRefusedError:
    said = "no issuer is configured whose assertions could count"
    return InputRefusedError("grant_type_unsupported", said, "name the organisation's issuer: `issuers` in remit.yaml")


GRANTS: Mapping[tuple[str, str], Grant] = {
    (TOKEN_EXCHANGE, JWT): _delegated,
    (TOKEN_EXCHANGE, ACCESS_TOKEN): _by_access_token,
    (ASSERTION, ""): _by_assertion,
}
"""By grant type and subject token type."""
