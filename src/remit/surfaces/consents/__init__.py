"""`POST /v1/consents`: a user lets an agent open tasks for them; `POST /v1/consents/withdraw` takes it back.

It is for the user's own channel: a login that was issued to an agent, or that lets one act, gives no consent.

consents = ConsentsEndpoint(desk=desk, logins=authenticator, registrations=..., clock=clock, audience=data_url)
routes = consents.routes()
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

from remit.core import (
    Allow,
    Deny,
    Hold,
    InputRefusedError,
    Json,
    JsonObject,
    Reason,
    RemitError,
    canonical_bytes,
    is_name,
    parse_strict,
    utc_text,
)
from remit.identity import Person, Presented, Registration, TokenRefusedError, UserToken, is_users_channel, read_details
from remit.pipeline import Clock
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
    reply,
)

__all__ = ["CONSENTS_PATH", "WITHDRAW_PATH", "ConsentsEndpoint"]

CONSENTS_PATH = "/v1/consents"
WITHDRAW_PATH = "/v1/consents/withdraw"
LIFE = timedelta(days=30)  # of a consent that names no other
LIFE_MAX = timedelta(days=90)

_BOUNDS = Bounds(body_bytes_max=64 << 10)
_GIVE = 'send {"agent": "..."}, and to narrow it "authorization_details": [...] or "expires_in": seconds, up to 7776000'
_WITHDRAW = 'send {"agent": "..."}'

_Serve = Callable[[str, Headers, Receive, Send], Awaitable[None]]
_Act = Callable[[Person, JsonObject], Awaitable[JsonObject | Reason]]


class Logins(Protocol):
    """What is asked of `Authenticator` here."""

    async def user(self, presented: Presented, audience: str, /) -> UserToken:
        """See `Authenticator.user`."""
        ...


class Desk(Protocol):
    """What is asked of `ConsentDesk` here."""

    async def give(self, person: Person, agent: str, details: Json, until: datetime, /) -> Reason | None:
        """See `ConsentDesk.give`."""
        ...

    async def withdraw(self, person: Person, agent: str, /) -> Reason | None:
        """See `ConsentDesk.withdraw`."""
        ...


class _NotTheUsersError(RemitError):
    """The login is one that an agent holds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ConsentsEndpoint:
    """Keeps what users agree to. `audience` is that of users' logins, the data port's address.

    `registrations` are the agents', by name; `metadata_url` says where a client learns at whom to log in.
    """

    desk: Desk
    logins: Logins
    registrations: Callable[[], Mapping[str, Registration]]
    clock: Clock
    audience: str
    metadata_url: str = ""
    bounds: Bounds = _BOUNDS

    def routes(self) -> dict[str, _Serve]:
        """Return the routes, for the data plane."""
        return {
            CONSENTS_PATH: self._route(CONSENTS_PATH, self._give),
            WITHDRAW_PATH: self._route(WITHDRAW_PATH, self._withdraw),
        }

    def _route(self, path: str, act: _Act) -> _Serve:
        async def serve(method: str, headers: Headers, receive: Receive, send: Send) -> None:
            if method != "POST":
                reason = Reason("method_not_allowed", "consents are given and withdrawn by POST", f"send POST {path}")
                return await problem(send, 405, reason, (b"allow", b"POST"))
            try:
                login = await self.logins.user(presented(headers, method, f"{self.audience}{path}"), self.audience)
                self._check_channel(login)
                said = _object(await read_body(headers, receive, self.bounds))
                done = await act(login.person, said)
            except BodyRefusedError as error:
                return await problem(send, error.status, error.reason, (b"connection", b"close"))
            except RemitError as error:
                reason = Reason(error.code, error.message, error.fix)
                extra = challenge(error, self.metadata_url) if isinstance(error, TokenRefusedError) else ()
                return await problem(send, _status(error), reason, *extra)
            if isinstance(done, Reason):
                return await problem(send, 404, done)
            return await reply(send, 200, canonical_bytes(done), (b"cache-control", b"no-store"))

        return serve

    async def _give(self, person: Person, said: JsonObject) -> JsonObject | Reason:
        agent = _agent(said, {"authorization_details", "expires_in"}, _GIVE)
        details = said.get("authorization_details")
        if "authorization_details" in said and read_details(details) is None:
            raise InputRefusedError("consent_request_invalid", "`authorization_details` is null", _GIVE)
        until = self.clock.now() + _life(said)
        refused = await self.desk.give(person, agent, details, until)
        kept: JsonObject = {"agent": agent, "authorization_details": details, "until": utc_text(until)}
        return refused or kept

    async def _withdraw(self, person: Person, said: JsonObject) -> JsonObject | Reason:
        agent = _agent(said, set(), _WITHDRAW)
        return await self.desk.withdraw(person, agent) or {"agent": agent}

    def _check_channel(self, login: UserToken) -> None:
        """Check that no agent consents to itself with a login that it was given to act by.

        Raises:
            RemitError: `login_of_agent`.
        """
        match is_users_channel(login, self.registrations()):
            case Deny(reason) | Hold(reason):
                raise _NotTheUsersError(reason.code, reason.message, reason.fix)
            case Allow():
                return


def _object(body: bytes) -> JsonObject:
    said = parse_strict(body)
    if not isinstance(said, dict):
        raise InputRefusedError("consent_request_invalid", "the body is no object", _GIVE)
    return said


def _agent(said: JsonObject, optional: set[str], fix: str) -> str:
    agent = said.get("agent")
    if said.keys() - {"agent", *optional}:
        raise InputRefusedError("consent_request_invalid", "there are members that are not known here", fix)
    if not isinstance(agent, str) or not is_name(agent):
        raise InputRefusedError("consent_request_invalid", "`agent` is a name", fix)
    return agent


def _life(said: JsonObject) -> timedelta:
    seconds = said.get("expires_in", int(LIFE.total_seconds()))
    if type(seconds) is not int or not 0 < seconds <= LIFE_MAX.total_seconds():
        raise InputRefusedError("consent_request_invalid", "`expires_in` is 1 second to 90 days, in seconds", _GIVE)
    return timedelta(seconds=seconds)


def _status(error: RemitError) -> int:
    match error:
        case TokenRefusedError():
            return 401
        case _NotTheUsersError():
            return 403
        case InputRefusedError():
            return 400
        case _:
            return 503
