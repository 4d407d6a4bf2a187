"""Token exchange (RFC 8693) at the authorization servers of tools.

1. We show a token of ours that names user and agents, made out to that server, and prove who we are with our tool key
   (`private_key_jwt`, RFC 7523).
2. It answers with a bearer token for the tool, and says for how long.
3. That is kept for the same user, agents and task, until shortly before its end, and never long.

No redirect is followed. What the server says of an error is a stranger's text: of it only the known codes are repeated.
"""

import asyncio
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import partial
from ipaddress import ip_address
from typing import NamedTuple, Protocol
from urllib.parse import urlencode

from remit.adapters.credentials._shared import Shared
from remit.adapters.http1 import Bounds, Pool, Response, header_block, prepare_target
from remit.catalogue import Exchanged
from remit.core import Delegation, InputRefusedError, JsonObject, RemitError, parse_strict
from remit.identity import Cut
from remit.pipeline import Clock, CredentialUnavailableError, UpstreamFailure

ANSWER_S = 5.0  # seconds, from asking to the answer's last byte
ANSWER_BYTES_MAX = 65_536  # one answer
TOKEN_CHARS_MAX = 8_192  # one token: what servers take as one header
KEPT_S = 120  # seconds that a token is used at most
LEFT_S = 30  # seconds of its life that a token used again has left at least
CACHE_MAX = 10_000  # tokens kept; the oldest goes when there are more

_ACCESS_TOKEN = "urn:ietf:params:oauth:token-type:access_token"  # noqa: S105 - a name (RFC 8693, section 3)
_JWT = "urn:ietf:params:oauth:token-type:jwt"
_ERRORS = frozenset({
    "invalid_request", "invalid_client", "invalid_grant", "unauthorized_client", "unsupported_grant_type",
    "invalid_scope", "invalid_target",
})  # fmt: skip
_BEARER = re.compile(r"[A-Za-z0-9\-._~+/]+=*")  # RFC 6750, section 2.1
_ABSOLUTE = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:.+")  # RFC 3986, section 4.3
_FIX = "look at the tool's `credential` in the catalogue and at what its authorization server logged"

Post = Callable[[str, bytes], Awaitable[Response | UpstreamFailure]]
"""Posts a form to an address, once, within bounds of time and size. A peer's faults are values."""


class Proving(Protocol):
    """Makes what we show an authorization server (see `ToolTokens`)."""

    def subject_token(self, audience: str, by: Delegation, now: datetime) -> str:
        """Return a token of ours for `audience` that names whom it is for."""
        ...

    def assertion(self, client_id: str, audience: str, now: datetime) -> str:
        """Return the proof of who we are."""
        ...


@dataclass(frozen=True, slots=True)
class Unavailable:
    """Why a credential could not be had: a stable code, and one line of our own."""

    code: str
    message: str
    fix: str = _FIX

    def error(self) -> CredentialUnavailableError:
        """Return it to be raised; everybody who waited gets one of their own."""
        return CredentialUnavailableError(self.code, self.message, self.fix)


class _Use(NamedTuple):
    tool: str
    how: Exchanged
    user: str
    agent: str
    task: str
    chain: tuple[str, ...]
    keys: tuple[str, ...]


class _Kept(NamedTuple):
    token: str
    since: datetime
    until: datetime


def form_post(pool: Pool) -> Post:
    """Return what posts forms through `pool`, in 5 s and up to 64 KiB."""
    headers = header_block(
        (
            ("content-type", "application/x-www-form-urlencoded"),
            ("accept", "application/json"),
            ("accept-encoding", "identity"),
        )
    )
    bounds = Bounds(ANSWER_S, ANSWER_BYTES_MAX)

    async def post(url: str, form: bytes) -> Response | UpstreamFailure:
        return await pool.post(prepare_target(url), headers, form, bounds)

    return post


class Exchanges:
    """Exchanges tokens, and keeps what it got for a while."""

    def __init__(self, proving: Proving, post: Post, clock: Clock) -> None:
        self._proving = proving
        self._post = post
        self._clock = clock
        self._kept: dict[_Use, _Kept] = {}
        self._shared: Shared[_Use, _Kept | Unavailable] = Shared()
        self._cuts = 0  # how often something was cut off

    async def token(self, tool: str, how: Exchanged, by: Delegation, now: datetime) -> str:
        """Return the token for a call of `tool`.

        Raises:
            CredentialUnavailableError: `exchange_refused` when the server said no, or gave what is of no use;
                `exchange_unreachable`. Each names the token endpoint.
        """
        use = _Use(tool, how, by.user, by.agent, by.task, by.chain, by.keys)
        kept = self._kept.get(use)
        # (The lower end: nothing is known of a token's age after the clock was set back.)
        if kept is not None and kept.since <= now < kept.until:
            return kept.token
        ending = await self._shared.join(use, partial(self._exchanged, use, by))
        if isinstance(ending, Unavailable):
            raise replace(ending, message=f"{ending.message} (`{how.token_endpoint}`)").error()
        return ending.token

    def forget(self, cut: Cut) -> int:
        """Use no token again whose delegation `cut` concerns, also none under way; say how many were kept."""
        self._cuts += 1
        self._shared.part(partial(_concerns, cut))
        gone = [use for use in self._kept if _concerns(cut, use)]
        now = self._clock.now()
        return sum(now < self._kept.pop(use).until for use in gone)

    async def close(self) -> None:
        """End what is under way."""
        await self._shared.close()

    async def _exchanged(self, use: _Use, by: Delegation) -> _Kept | Unavailable:
        cuts, now = self._cuts, self._clock.now()
        insecure = _endpoint_wrong(use.how.token_endpoint)
        if insecure:
            return Unavailable("exchange_unreachable", insecure)
        ending = await self._asked(use.how, self._form(use.how, by, now))
        if isinstance(ending, Unavailable):
            return ending
        answer = read_answer(ending, use.how)
        if isinstance(answer, Unavailable):
            return answer
        token, life_s = answer
        # (From the full second, for those who took the time just before.)
        kept = _Kept(token, now.replace(microsecond=0), now + timedelta(seconds=min(KEPT_S, life_s - LEFT_S)))
        # What came after something was cut off goes to those who wait, who are asked again before they send; to others
        # it might be given that are not.
        if cuts == self._cuts:
            self._keep(use, kept)
        return kept

    def _form(self, how: Exchanged, by: Delegation, now: datetime) -> bytes:
        said = {
            "grant_type": "urn:ietf:params:oauth:grant-type:token-exchange",
            "subject_token": self._proving.subject_token(how.token_endpoint, by, now),
            # (Not `access_token`, which would say that the server itself had issued it; RFC 8693, section 3.)
            "subject_token_type": _JWT,
            "requested_token_type": _ACCESS_TOKEN,
            "client_id": how.client_id,
            "client_assertion_type": "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
            "client_assertion": self._proving.assertion(how.client_id, how.token_endpoint, now),
        }
        # A resource is an absolute URI (RFC 8707, section 2), any other name an audience (RFC 8693, section 2.1).
        said["resource" if _ABSOLUTE.fullmatch(how.audience) else "audience"] = how.audience
        if how.scopes:
            said["scope"] = " ".join(how.scopes)
        return urlencode(said).encode("ascii")

    async def _asked(self, how: Exchanged, form: bytes) -> Response | Unavailable:
        try:
            async with asyncio.timeout(ANSWER_S):
                answer = await self._post(how.token_endpoint, form)
        except TimeoutError:
            return Unavailable("exchange_unreachable", "the tool's authorization server did not answer in time")
        except RemitError as error:
            return Unavailable("exchange_unreachable", f"the tool's authorization server: {error.message}")
        if isinstance(answer, UpstreamFailure):
            return Unavailable("exchange_unreachable", f"the tool's authorization server: {answer.detail}")
        return answer

    def _keep(self, use: _Use, kept: _Kept) -> None:
        if kept.until <= kept.since:
            return
        self._kept.pop(use, None)
        now = self._clock.now()
        while self._kept:
            oldest, its = next(iter(self._kept.items()))
            if now < its.until and len(self._kept) < CACHE_MAX:
                break
            del self._kept[oldest]
        self._kept[use] = kept


def read_answer(response: Response, how: Exchanged) -> tuple[str, int] | Unavailable:
    """Return the token in an answer and its life in seconds (RFC 8693, section 2.2)."""
    said = _object(response)
    if response.status != 200:
        return _refusal(response.status, said)
    token, life_s, scope = said.get("access_token"), said.get("expires_in"), said.get("scope", "")
    if not isinstance(token, str) or len(token) > TOKEN_CHARS_MAX or not _BEARER.fullmatch(token):
        return _useless("no token that fits a header")
    if type(life_s) is not int or life_s <= 0:
        return _useless("a token that does not say how long it is good")
    if str(said.get("token_type")).lower() != "bearer":  # (without case: RFC 6749, section 5.1)
        return _useless("a token that is not a bearer token")
    another = said.get("issued_token_type") not in (_ACCESS_TOKEN, _JWT)
    wider = how.scopes and not (isinstance(scope, str) and set(scope.split(" ")) - {""} <= set(how.scopes))
    if another or wider:
        return _useless(f"a token of {'another type' if another else 'wider scope'} than was asked for")
    return token, life_s


def _object(response: Response) -> JsonObject:
    kind = (response.header(b"content-type") or b"").split(b";", 1)[0].strip().lower()
    try:
        said = parse_strict(response.body) if kind == b"application/json" else None
    except InputRefusedError:
        return {}
    return said if isinstance(said, dict) else {}


def _refusal(status: int, said: JsonObject) -> Unavailable:
    if status >= 500 or status == 429:
        return Unavailable("exchange_unreachable", f"the tool's authorization server answered with http {status}")
    error = said.get("error")
    named = f"`{error}`" if isinstance(error, str) and error in _ERRORS else f"http {status}"
    return Unavailable("exchange_refused", f"the tool's authorization server refused the exchange: {named}")


def _useless(what: str) -> Unavailable:
    return Unavailable("exchange_refused", f"the tool's authorization server answered with {what}")


def _endpoint_wrong(url: str) -> str:
    """Say why no token may be sent to `url`; empty when one may."""
    try:
        scheme, host, _ = prepare_target(url).origin
    except RemitError as error:
        return f"the token endpoint: {error.message}"
    if scheme == "https" or host == "localhost":
        return ""
    try:
        loopback = ip_address(host).is_loopback
    except ValueError:
        loopback = False
    return "" if loopback else "the token endpoint is neither https nor on this machine"


def _concerns(cut: Cut, use: _Use) -> bool:
    return cut.concerns(user=use.user, agent=use.agent, task=use.task, chain=use.chain, keys=use.keys)
