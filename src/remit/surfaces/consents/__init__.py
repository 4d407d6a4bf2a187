"""`POST /v1/consents`: a user lets an agent open tasks for them; `POST /v1/consents/withdraw` takes it back.

It is for the user's own channel: a login that was issued to an agent, or that lets one act, gives no consent.

consents = ConsentsEndpoint(desk=desk, logins=authenticator, registrations=..., clock=clock, audience=data_url)
routes = consents.routes()
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

from remit.core import (
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
from remit.identity import Person, TokenRefusedError, UserToken, read_details
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
    refusal_status,
    reply,
)
from remit.surfaces._people import LoginRefusedError, PeopleDoor

__all__ = ["CONSENTS_PATH", "WITHDRAW_PATH", "ConsentsEndpoint"]

CONSENTS_PATH = "/v1/consents"
WITHDRAW_PATH = "/v1/consents/withdraw"
LIFE = timedelta(days=30)  # of a consent that names no other
LIFE_MAX = timedelta(days=90)

_NOT_THERE = frozenset({"agent_unknown", "consent_missing"})
_BOUNDS = Bounds(body_bytes_max=64 << 10)
_GIVE = 'send {"agent": "..."}, and to narrow it "authorization_details": [...] or "expires_in": seconds, up to 7776000'
_WITHDRAW = 'send {"agent": "..."}'

_Serve = Callable[[str, Headers, Receive, Send], Awaitable[None]]
_Act = Callable[[UserToken, JsonObject], Awaitable[JsonObject | Reason]]


class Desk(Protocol):
    """What is asked of `ConsentDesk` here."""

    async def give(self, login: UserToken, agent: str, details: Json, until: datetime, /) -> Reason | None:
        """See `ConsentDesk.give`."""
        ...

    async def withdraw(self, person: Person, agent: str, /) -> Reason | None:
        """See `ConsentDesk.withdraw`."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class ConsentsEndpoint:
    """Keeps what users agree to. `audience` is that of users' logins, the data port's address.

    `metadata_url` says where a client learns at whom to log in.
    """

    desk: Desk
    door: PeopleDoor
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
                login = await self.door.login(presented(headers, method, f"{self.audience}{path}"), self.audience)
                said = _object(await read_body(headers, receive, self.bounds))
                done = await act(login, said)
            except BodyRefusedError as error:
                return await problem(send, error.status, error.reason, (b"connection", b"close"))
            except RemitError as error:
                reason = Reason(error.code, error.message, error.fix)
                extra = challenge(error, self.metadata_url) if isinstance(error, TokenRefusedError) else ()
                return await problem(send, _status(error), reason, *extra)
            if isinstance(done, Reason):
                return await problem(send, 404 if done.code in _NOT_THERE else 403, done)
            return await reply(send, 200, canonical_bytes(done), (b"cache-control", b"no-store"))

        return serve

    async def _give(self, login: UserToken, said: JsonObject) -> JsonObject | Reason:
        agent = _agent(said, {"authorization_details", "expires_in"}, _GIVE)
        details = said.get("authorization_details")
        if "authorization_details" in said and read_details(details) is None:
            raise InputRefusedError("consent_request_invalid", "`authorization_details` is null", _GIVE)
        until = self.clock.now() + _life(said)
        refused = await self.desk.give(login, agent, details, until)
        kept: JsonObject = {"agent": agent, "authorization_details": details, "until": utc_text(until)}
        return refused or kept

    async def _withdraw(self, login: UserToken, said: JsonObject) -> JsonObject | Reason:
        agent = _agent(said, set(), _WITHDRAW)
        return await self.desk.withdraw(login.person, agent) or {"agent": agent}


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
            return refusal_status(error)
        case LoginRefusedError():
            return 403
        case InputRefusedError():
            return 400
        case _:
            return 503
