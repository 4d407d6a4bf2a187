"""Tokens: what Remit mints for a task, and what the development issuer mints for people.

Access tokens follow RFC 9068 (`typ: at+jwt`), signed with Ed25519 (RFC 9864). A task token names the user in `sub`, the
agent in `act` (RFC 8693, section 4.1) and the task in `txn`. A delegation token, `typ: delegation+jwt`, names in
`may_act` (section 4.4) who may exchange it for the task token, and counts nowhere else. One audience each: a person's
token opens nothing at `/mcp`, a task token opens no task.
"""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from remit.adapters.oauth._jose import (
    ACCESS,
    DELEGATION,
    Claims,
    Expected,
    digest_of,
    is_moment,
    is_name_text,
    mint,
    own_key,
    signed_claims,
    verify,
)
from remit.core import Delegation, JsonObject, Task
from remit.identity import Person, TokenRefusedError, token_endpoint
from remit.pipeline import Clock

CACHE_MAX = 10_000  # verified task tokens kept; emptied when full

_ASK = "send the delegation token that came with the task"
_LOG_IN = "log in again"
_REOPEN = "open a new task"


class TaskTokens:
    """Mints and verifies task tokens and delegation tokens.

    A verified task token is remembered, its expiry asked every time.
    """

    def __init__(self, key: Ed25519PrivateKey, issuer: str, audience: str, clock: Clock) -> None:
        self._key = own_key(key)
        self._issuer = issuer
        self._at_tools = Expected(ACCESS, issuer, audience)
        self._at_exchange = Expected(DELEGATION, issuer, token_endpoint(issuer))
        self._clock = clock
        self._verified: dict[bytes, Delegation] = {}

    def mint(self, task: Task) -> str:
        """Return the token that lets the task's agent act in it until the task's end."""
        return mint(self._key, {**self._claims(task), "aud": self._at_tools.audience, "act": {"sub": task.agent}})

    def delegate(self, task: Task) -> str:
        """Return the token that the task's agent, once it has proven that it is itself, exchanges for the other."""
        said: JsonObject = {**self._claims(task), "aud": self._at_exchange.audience, "may_act": {"sub": task.agent}}
        return mint(self._key, said, DELEGATION)

    def _claims(self, task: Task) -> JsonObject:
        return {
            "iss": self._issuer,
            "sub": task.user,
            "txn": task.id,
            "use_case": task.use_case,
            "iat": int(task.opened_at.timestamp()),
            "exp": int(task.expires_at.timestamp()),
        }

    def delegation(self, token: str) -> Delegation:
        """See `Authenticator.delegation`."""
        key = digest_of(token)
        known = self._verified.get(key)
        if known is None:
            known = self._verified_anew(token)
            if len(self._verified) >= CACHE_MAX:
                self._verified.clear()
            self._verified[key] = known
        return self._unexpired(known, "the task token has expired")

    def _verified_anew(self, token: str) -> Delegation:
        try:
            return _delegation(verify(self._key, token, self._at_tools, _REOPEN), "act")
        except TokenRefusedError as error:
            if error.code != "token_audience":
                raise
            raise TokenRefusedError(error.code, error.message, error.fix, self._named(token)) from error

    def _named(self, token: str) -> Delegation | None:
        """Say whom a token of ours names that was made for something else: a stolen one is worth a record."""
        claims = signed_claims(self._key, token) or {}
        subject, expires = claims.get("sub"), claims.get("exp")
        if not is_name_text(subject) or not is_moment(expires):
            return None
        try:
            return _delegation(
                Claims(subject, datetime.fromtimestamp(expires, UTC), claims), "act" if "act" in claims else "may_act"
            )
        except TokenRefusedError:
            return None

    def exchanged(self, subject_token: str) -> Delegation:
        """See `Exchange.exchanged`."""
        try:
            claims = verify(self._key, subject_token, self._at_exchange, _ASK)
            known = _delegation(claims, "may_act")
        except TokenRefusedError as error:
            raise TokenRefusedError("subject_token_invalid", f"the subject token: {error.message}", _ASK) from error
        return self._unexpired(known, "the delegation token has expired")

    def _unexpired(self, known: Delegation, otherwise: str) -> Delegation:
        if self._clock.now() >= known.expires_at:
            raise TokenRefusedError("token_expired", otherwise, _REOPEN, known)
        return known


class DevelopmentIssuer:
    """Vouches for people who prove that they can read a secret file on this machine.

    DANGER: FOR DEVELOPMENT ONLY. It must not be served beyond loopback; who starts it sees to that.
    """

    LIFE = timedelta(hours=12)

    def __init__(self, key: Ed25519PrivateKey, issuer: str, clock: Clock) -> None:
        self._key = own_key(key)
        self._issuer = issuer
        self._clock = clock

    def mint(self, person: Person, audience: str) -> str:
        """Return a token for `person` that counts at `audience` alone."""
        now = self._clock.now()
        return mint(
            self._key,
            {
                "iss": self._issuer,
                "aud": audience,
                "sub": person.name,
                "roles": [*sorted(person.roles)],
                "iat": int(now.timestamp()),
                "exp": int((now + self.LIFE).timestamp()),
            },
        )

    def person(self, token: str, audience: str) -> Person:
        """See `Authenticator.person`."""
        claims = verify(self._key, token, Expected(ACCESS, self._issuer, audience), _LOG_IN)
        roles = claims.rest.get("roles")
        if not isinstance(roles, list) or not all(isinstance(role, str) for role in roles):
            raise TokenRefusedError("token_invalid", "the token names no roles", _LOG_IN)
        if self._clock.now() >= claims.expires_at:
            raise TokenRefusedError("token_expired", "the login has expired", _LOG_IN)
        return Person(claims.subject, frozenset(map(str, roles)))


class Tokens:
    """Both kinds of token behind one port, `Authenticator`.

    Who is `known`, and in which roles, is asked at every use: a login outlives neither a person's leave nor a role's.
    """

    def __init__(self, tasks: TaskTokens, people: DevelopmentIssuer, known: Mapping[str, Person]) -> None:
        self.delegation = tasks.delegation
        self._people = people
        self._known = known

    def person(self, token: str, audience: str) -> Person:
        """See `Authenticator.person`."""
        found = self._people.person(token, audience)
        known = self._known.get(found.name)
        if known is None:
            raise TokenRefusedError("token_invalid", "the login is of somebody who is not known here", _LOG_IN)
        return known


def _delegation(claims: Claims, actor: str) -> Delegation:
    act, task, use_case = claims.rest.get(actor), claims.rest.get("txn"), claims.rest.get("use_case")
    agent = act.get("sub") if isinstance(act, dict) else None
    if not (is_name_text(agent) and is_name_text(use_case) and isinstance(task, str) and task):
        raise TokenRefusedError("token_invalid", "the token names no agent, task and use case", _REOPEN)
    return Delegation(user=claims.subject, agent=agent, task=task, use_case=use_case, expires_at=claims.expires_at)
