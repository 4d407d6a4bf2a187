"""Tokens: what Remit mints for a task, and what the development issuer mints for people.

Access tokens follow RFC 9068 (`typ: at+jwt`), signed with Ed25519 (RFC 9864). A task token names the user in `sub`, the
agent in `act` (RFC 8693, section 4.1) and the task in `txn`. One audience each: a person's token opens nothing at
`/mcp`, a task token opens no task.
"""

import hashlib
from base64 import urlsafe_b64decode
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TypeGuard

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from joserfc import jws, jwt
from joserfc.errors import JoseError
from joserfc.jwk import OKPKey

from remit.core import Delegation, InputRefusedError, Task, is_name, parse_strict
from remit.identity import Person, TokenRefusedError
from remit.pipeline import Clock

ALGORITHM = "Ed25519"
TOKEN_BYTES_MAX = 4_096  # one token
EXPIRY_MAX = 253_402_300_799  # seconds since 1970: the last of the year 9999
CACHE_MAX = 10_000  # verified task tokens kept; emptied when full

_HEADER = {"alg": ALGORITHM, "typ": "at+jwt"}
_LOG_IN = "log in again"
_REOPEN = "open a new task"


@dataclass(frozen=True, slots=True)
class _Claims:
    issuer: str
    audience: str
    subject: str
    expires_at: datetime
    rest: dict[str, object]


class TaskTokens:
    """Mints and verifies task tokens. A verified token is remembered, its expiry asked every time."""

    def __init__(self, key: Ed25519PrivateKey, issuer: str, audience: str, clock: Clock) -> None:
        self._key = _jwk(key)
        self._issuer = issuer
        self._audience = audience
        self._clock = clock
        self._verified: dict[bytes, Delegation] = {}

    def mint(self, task: Task) -> str:
        """Return the token that lets the task's agent act in it until the task's end."""
        return _mint(
            self._key,
            {
                "iss": self._issuer,
                "aud": self._audience,
                "sub": task.user,
                "act": {"sub": task.agent},
                "txn": task.id,
                "use_case": task.use_case,
                "iat": int(task.opened_at.timestamp()),
                "exp": int(task.expires_at.timestamp()),
            },
        )

    def delegation(self, token: str) -> Delegation:
        """See `Authenticator.delegation`."""
        key = hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()
        known = self._verified.get(key)
        if known is None:
            known = self._read(token)
            if len(self._verified) >= CACHE_MAX:
                self._verified.clear()
            self._verified[key] = known
        if self._clock.now() >= known.expires_at:
            raise TokenRefusedError("token_expired", "the task token has expired", _REOPEN, known)
        return known

    def _read(self, token: str) -> Delegation:
        claims = _verify(self._key, token, self._issuer, self._audience, _REOPEN)
        act, task, use_case = claims.rest.get("act"), claims.rest.get("txn"), claims.rest.get("use_case")
        agent = act.get("sub") if isinstance(act, dict) else None
        if not (_is_name(agent) and _is_name(use_case) and isinstance(task, str) and task):
            raise TokenRefusedError("token_invalid", "the token names no agent, task and use case", _REOPEN)
        return Delegation(user=claims.subject, agent=agent, task=task, use_case=use_case, expires_at=claims.expires_at)


class DevelopmentIssuer:
    """Vouches for people who prove that they can read a secret file on this machine.

    DANGER: FOR DEVELOPMENT ONLY. It must not be served beyond loopback; who starts it sees to that.
    """

    LIFE = timedelta(hours=12)

    def __init__(self, key: Ed25519PrivateKey, issuer: str, clock: Clock) -> None:
        self._key = _jwk(key)
        self._issuer = issuer
        self._clock = clock

    def mint(self, person: Person, audience: str) -> str:
        """Return a token for `person` that counts at `audience` alone."""
        now = self._clock.now()
        return _mint(
            self._key,
            {
                "iss": self._issuer,
                "aud": audience,
                "sub": person.name,
                "roles": sorted(person.roles),
                "iat": int(now.timestamp()),
                "exp": int((now + self.LIFE).timestamp()),
            },
        )

    def person(self, token: str, audience: str) -> Person:
        """See `Authenticator.person`."""
        claims = _verify(self._key, token, self._issuer, audience, _LOG_IN)
        roles = claims.rest.get("roles")
        if not isinstance(roles, list) or not all(isinstance(role, str) for role in roles):
            raise TokenRefusedError("token_invalid", "the token names no roles", _LOG_IN)
        if self._clock.now() >= claims.expires_at:
            raise TokenRefusedError("token_expired", "the login has expired", _LOG_IN)
        return Person(claims.subject, frozenset(roles))


class Tokens:
    """Both kinds of token behind one port, `Authenticator`."""

    def __init__(self, tasks: TaskTokens, people: DevelopmentIssuer) -> None:
        self.delegation = tasks.delegation
        self.person = people.person


def _jwk(key: Ed25519PrivateKey) -> OKPKey:
    return OKPKey.import_key(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))


def _mint(key: OKPKey, claims: dict[str, object]) -> str:
    return jwt.encode(dict(_HEADER), claims, key, algorithms=[ALGORITHM])


def _verify(key: OKPKey, token: str, issuer: str, audience: str, fix: str) -> _Claims:
    """Check everything but the expiry, which is asked at every use."""
    if len(token) > TOKEN_BYTES_MAX or not token.isascii():
        raise TokenRefusedError("token_invalid", "not a token", fix)
    # The header is compared, never interpreted: before the signature holds, nothing in a token steers anything.
    if not _is_header(token.partition(".")[0]):
        raise TokenRefusedError("token_invalid", "the token is not of this issuer", fix)
    try:
        claims = parse_strict(jws.deserialize_compact(token, key, algorithms=[ALGORITHM]).payload)
    except (JoseError, ValueError, InputRefusedError) as error:
        raise TokenRefusedError("token_invalid", "the token's signature does not hold", fix) from error
    if not isinstance(claims, dict) or claims.get("iss") != issuer:
        raise TokenRefusedError("token_invalid", "the token is not of this issuer", fix)
    if claims.get("aud") != audience:
        raise TokenRefusedError("token_audience", "the token was issued for another audience", fix)
    subject, expires = claims.get("sub"), claims.get("exp")
    if not _is_name(subject) or type(expires) is not int or not 0 <= expires <= EXPIRY_MAX:
        raise TokenRefusedError("token_invalid", "the token names no subject or no expiry", fix)
    return _Claims(issuer, audience, subject, datetime.fromtimestamp(expires, UTC), dict[str, object](claims))


def _is_header(part: str) -> bool:
    try:
        return parse_strict(urlsafe_b64decode(part + "=" * (-len(part) % 4))) == _HEADER
    except (ValueError, InputRefusedError):
        return False


def _is_name(value: object) -> TypeGuard[str]:
    return is_name(value)
