"""Tokens: what Remit mints for a task, and what the development issuer mints for people.

Access tokens follow RFC 9068 (`typ: at+jwt`), signed with Ed25519 (RFC 9864). A task token names the user in `sub`, the
agent in `act`, and in it those that handed the work on, the nearest first (RFC 8693, section 4.1), the task in `txn`,
what it may do in `authorization_details` (RFC 9396), and in `cnf` the key that must be proven with it (RFC 9449,
section 6.1; RFC 8705, section 3.1). A delegation token, `typ: delegation+jwt`, names in `may_act` (section 4.4) who may
exchange it for the task token, and counts nowhere else. One audience each: a person's token opens nothing at `/mcp`, a
task token opens no task.
"""

import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from remit.adapters.oauth._dpop import DpopProofs
from remit.adapters.oauth._jose import (
    ACCESS,
    DELEGATION,
    TOKEN_BYTES_MAX,
    Claims,
    Expected,
    digest_of,
    header_of,
    is_moment,
    is_name_text,
    is_thumbprint,
    is_user_text,
    mint,
    own_key,
    signed_claims,
    verify,
)
from remit.core import Delegation, InputRefusedError, Json, JsonObject, Level, Task
from remit.identity import (
    CHAIN_MAX,
    Person,
    Presented,
    TokenRefusedError,
    Users,
    UserToken,
    details_json,
    token_endpoint,
)
from remit.pipeline import Clock

CACHE_MAX = 10_000  # verified task tokens kept; emptied when full, and when the epoch rises
JTI_BYTES = 16  # of chance in a task token's `jti`
KEYS_MAX = 16  # keys that one token may say it rests on
SKEW_S = 30  # seconds that our clock may have been set back since a token was made

_JKT, _X5T = "jkt", "x5t#S256"

_ASK = "send the delegation token that came with the task"
_EXCHANGE = "exchange it: POST /oauth/token"
_HAND = "send the task token of the work that is handed on"
_LOG_IN = "log in again"
_PROVE = "send `Authorization: DPoP` and a proof with the token's key in the header `DPoP`"
_REOPEN = "open a new task"


@dataclass(frozen=True, slots=True)
class _Verified:
    """A task token whose signature held, with the key and the certificate it is bound to; empty where it is to none."""

    delegation: Delegation
    key: str
    certificate: str
    bound: bool


class TaskTokens:
    """Mints and verifies task tokens and delegation tokens.

    A verified task token is remembered while `epoch` stays, its expiry asked every time, and the proof of the key it is
    bound to as well. Without `proofs` no bound token counts.
    """

    def __init__(  # noqa: PLR0913 - what tokens are made with, and what they are made out to
        self,
        key: Ed25519PrivateKey,
        issuer: str,
        audience: str,
        clock: Clock,
        *,
        proofs: DpopProofs | None = None,
        epoch: Callable[[], int] = int,
    ) -> None:
        self._key = own_key(key)
        self._issuer = issuer
        self._at_tools = Expected(ACCESS, issuer, audience)
        self._at_exchange = Expected(DELEGATION, issuer, token_endpoint(issuer))
        self._clock = clock
        self._proofs = proofs
        self._epoch = epoch
        self._verified_in = epoch()
        self._verified: dict[bytes, _Verified] = {}

    def mint(self, task: Task, *, keys: tuple[str, ...] = (), bound: str = "", certificate: str = "") -> str:
        """See `Hands.mint`.

        Raises:
            InputRefusedError: `authority_too_long`, where the token would be longer than we take.
        """
        said: JsonObject = {**self._claims(task), "aud": self._at_tools.audience, "client_id": task.agent}
        said["act"] = _nest((task.agent, *task.chain))
        said["jti"] = secrets.token_urlsafe(JTI_BYTES)  # (RFC 9068, section 2.2)
        if keys:
            said["remit_keys"] = [*keys]
        confirmed: JsonObject = {name: value for name, value in ((_JKT, bound), (_X5T, certificate)) if value}
        if confirmed:
            said["cnf"] = confirmed
        return _short(mint(self._key, said))

    def delegate(self, task: Task) -> str:
        """Return the token that the task's agent, once it has proven that it is itself, exchanges for the other.

        Raises:
            InputRefusedError: `authority_too_long`.
        """
        said: JsonObject = {**self._claims(task), "aud": self._at_exchange.audience, "may_act": {"sub": task.agent}}
        if task.chain:
            said["act"] = _nest(task.chain)
        return _short(mint(self._key, said, DELEGATION))

    def _claims(self, task: Task) -> JsonObject:
        return {
            "iss": self._issuer,
            "sub": task.user,
            "txn": task.id,
            "use_case": task.use_case,
            "authorization_details": details_json(task.use_case, task.authority, task.expires_at),
            "iat": int(task.opened_at.timestamp()),
            "exp": int(task.expires_at.timestamp()),
        }

    async def delegation(self, presented: Presented) -> Delegation:
        """See `Authenticator.delegation`: for our own task tokens."""
        known = self._known(presented.token)
        delegation = known.delegation
        if self._clock.now() >= delegation.expires_at:
            raise _expired(delegation)
        if known.bound or presented.scheme != "bearer":
            self._prove(known, presented)
        return delegation

    def _known(self, token: str) -> _Verified:
        epoch = self._epoch()
        if epoch != self._verified_in:
            self._verified, self._verified_in = {}, epoch
        key = digest_of(token)
        known = self._verified.get(key)
        if known is None:
            known = self._verified_anew(token)
            if len(self._verified) >= CACHE_MAX:
                self._verified.clear()
            self._verified[key] = known
        return known

    def _prove(self, known: _Verified, presented: Presented) -> None:
        """Ask for the proofs that `cnf` demands; they are never remembered."""
        by = known.delegation
        if known.certificate and presented.certificate != known.certificate:
            said = "the token counts only with the TLS certificate it is bound to"
            raise TokenRefusedError("certificate_required", said, "connect with that certificate", by)
        if not known.key and presented.scheme != "bearer":
            said = "the token is bound to no key, so no DPoP proof makes it count"
            raise TokenRefusedError("token_invalid", said, "send it as `Authorization: Bearer`", by)
        if not known.key:
            return
        if presented.scheme != "dpop" or not presented.proof or self._proofs is None:
            raise TokenRefusedError("dpop_required", "the token counts only with proof of its key", _PROVE, by)
        try:
            self._proofs.thumbprint(presented, only=known.key)
        except TokenRefusedError as error:
            raise TokenRefusedError(error.code, error.message, error.fix, by, error.nonce) from error

    def _verified_anew(self, token: str) -> _Verified:
        try:
            return _task_token(self._begun(verify(self._key, token, self._at_tools, _REOPEN)))
        except TokenRefusedError as error:
            if error.code != "token_audience":
                raise
            fix = _EXCHANGE if header_of(token) == DELEGATION else error.fix
            raise TokenRefusedError(error.code, error.message, fix, self._named(token)) from error

    def _begun(self, claims: Claims) -> Claims:
        issued = claims.rest.get("iat")
        if not is_moment(issued) or issued > self._clock.now().timestamp() + SKEW_S:
            raise TokenRefusedError(
                "token_invalid", "the token does not say when it was made, or is from later", _REOPEN
            )
        return claims

    def _named(self, token: str) -> Delegation | None:
        """Say whom a token of ours names that was made for something else: a stolen one is worth a record."""
        claims = signed_claims(self._key, token) or {}
        subject, expires = claims.get("sub"), claims.get("exp")
        if not is_user_text(subject) or not is_moment(expires):
            return None
        said = Claims(subject, datetime.fromtimestamp(expires, UTC), claims)
        try:
            return _delegation_token(said) if "may_act" in claims else _task_token(said).delegation
        except TokenRefusedError:
            return None

    def exchanged(self, subject_token: str) -> Delegation:
        """See `Exchange.exchanged`."""
        try:
            known = _delegation_token(self._begun(verify(self._key, subject_token, self._at_exchange, _ASK)))
        except TokenRefusedError as error:
            raise TokenRefusedError("subject_token_invalid", f"the subject token: {error.message}", _ASK) from error
        return self._unexpired(known)

    def handed_on(self, subject_token: str) -> Delegation:
        """See `Exchange.handed_on`."""
        try:
            known = self._known(subject_token)
        except TokenRefusedError as error:
            raise TokenRefusedError("subject_token_invalid", f"the subject token: {error.message}", _HAND) from error
        return self._unexpired(known.delegation)

    def _unexpired(self, known: Delegation) -> Delegation:
        if self._clock.now() >= known.expires_at:
            raise _expired(known)
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

    def user(self, token: str, audience: str) -> UserToken:
        """Return what a token of this issuer says, with the roles it was minted with.

        Raises:
            TokenRefusedError: `token_invalid`, `token_audience` or `token_expired`.
        """
        claims = verify(self._key, token, Expected(ACCESS, self._issuer, audience), _LOG_IN)
        roles, issued = claims.rest.get("roles"), claims.rest.get("iat")
        if not isinstance(roles, list) or not all(isinstance(role, str) for role in roles):
            raise TokenRefusedError("token_invalid", "the token names no roles", _LOG_IN)
        now = self._clock.now()
        if not is_name_text(claims.subject) or not is_moment(issued) or issued > now.timestamp() + SKEW_S:
            raise TokenRefusedError("token_invalid", "the token names nobody of here, or not when it was made", _LOG_IN)
        if now >= claims.expires_at:
            raise TokenRefusedError("token_expired", "the login has expired", _LOG_IN)
        person = Person(claims.subject, frozenset(map(str, roles)))
        issued_at = datetime.fromtimestamp(issued, UTC)
        return UserToken(person=person, issuer="", client_id="", issued_at=issued_at, expires_at=claims.expires_at)

    def person(self, token: str, audience: str) -> Person:
        """Return whom a token of this issuer names; see `user`."""
        return self.user(token, audience).person


class Tokens:
    """Every kind of token behind one port, `Authenticator`: our own task tokens, and the tokens of people.

    Who is `known` to the development issuer, and in which roles and groups, is asked at every use: a login outlives
    neither a person's leave nor a role's. People of the organisation's own issuers, `users`, are who their token says.
    """

    def __init__(
        self, tasks: TaskTokens, people: DevelopmentIssuer, known: Mapping[str, Person], users: Users | None = None
    ) -> None:
        self._tasks = tasks
        self._people = people
        self._known = known
        self._users = users

    def is_own(self, token: str) -> bool:
        """Whether `token` is for us to verify, not for one of the organisation's issuers. Nothing is proven yet."""
        return self._users is None or not self._users.knows(token)

    async def delegation(self, presented: Presented) -> Delegation:
        """Return what one of our own task tokens says.

        Raises:
            TokenRefusedError: also `token_foreign`, which carries nothing, for a token of one of the issuers: `user`
                says whose it is.
        """
        try:
            return await self._tasks.delegation(presented)
        except TokenRefusedError as error:
            # (Asked this late, it costs a token of ours nothing. Where our signature held, the refusal stands.)
            if error.code != "token_invalid" or error.delegation is not None or self.is_own(presented.token):
                raise
            said = "the token is of an issuer of the organisation"
            raise TokenRefusedError("token_foreign", said, _REOPEN) from error

    async def user(self, presented: Presented, audience: str) -> UserToken:
        """See `Authenticator.user`."""
        if self._users is not None and self._users.knows(presented.token):
            return await self._users.user(presented, audience)
        if presented.scheme != "bearer":
            said = "the login is bound to no key, so no DPoP proof makes it count"
            raise TokenRefusedError("token_invalid", said, "send it as `Authorization: Bearer`")
        said_by = self._people.user(presented.token, audience)
        known = self._known.get(said_by.person.name)
        if known is None:
            raise TokenRefusedError("token_invalid", "the login is of somebody who is not known here", _LOG_IN)
        return replace(said_by, person=known)

    async def person(self, token: str, audience: str) -> Person:
        """See `Authenticator.person`."""
        return (await self.user(Presented(token), audience)).person


def _short(token: str) -> str:
    if len(token) > TOKEN_BYTES_MAX:
        said = f"the task's authority makes a token of over {TOKEN_BYTES_MAX} bytes"
        raise InputRefusedError("authority_too_long", said, "ask for fewer operations and locations")
    return token


def _expired(known: Delegation) -> TokenRefusedError:
    return TokenRefusedError("token_expired", "the token has expired, with its task", _REOPEN, known)


def _nest(actors: tuple[str, ...]) -> JsonObject:
    """Write actors, the present one first (RFC 8693, section 4.1)."""
    said: JsonObject = {}
    for actor in reversed(actors):
        said = {"sub": actor, "act": said} if said else {"sub": actor}
    return said


def _actors(act: Json, most: int) -> tuple[str, ...]:
    """Read back what `_nest` wrote; nothing where it is not that, or is deeper than `most`."""
    names: list[str] = []
    while isinstance(act, dict) and act.keys() - {"act"} == {"sub"} and len(names) < most:
        if not is_name_text(act["sub"]):
            return ()
        names.append(act["sub"])
        if "act" not in act:
            return tuple(names)
        act = act["act"]
    return ()


def _task_token(claims: Claims) -> _Verified:
    said = claims.rest
    agent, *chain = _actors(said.get("act"), 1 + CHAIN_MAX) or ("",)
    if not agent or said.get("client_id") != agent or "may_act" in said:
        raise TokenRefusedError("token_invalid", "the token does not name one agent that acts", _REOPEN)
    key, certificate = _confirmed(said)
    bound = bool(key or certificate)
    rests_on = said.get("remit_keys", [])
    if not isinstance(rests_on, list) or len(rests_on) > KEYS_MAX or not all(map(is_thumbprint, rests_on)):
        raise TokenRefusedError("token_invalid", "the token does not say which keys it rests on", _REOPEN)
    keys = (*map(str, rests_on), key, certificate)
    delegation = replace(
        _delegation(claims, agent, tuple(chain)),
        level=Level.BOUND if bound else Level.TASK,
        keys=tuple(dict.fromkeys(each for each in keys if each)),
    )
    return _Verified(delegation, key, certificate, bound)


def _delegation_token(claims: Claims) -> Delegation:
    said = claims.rest
    agents = _actors(said.get("may_act"), 1)
    chain = _actors(said["act"], CHAIN_MAX) if "act" in said else ()
    if not agents or ("act" in said and not chain):
        raise TokenRefusedError("token_invalid", "the token does not name one agent that may act", _REOPEN)
    return _delegation(claims, agents[0], chain)


def _confirmed(said: JsonObject) -> tuple[str, str]:
    """Return the thumbprints of the key and the certificate that a token is bound to, empty where it is not."""
    if "cnf" not in said:
        return "", ""
    cnf = said["cnf"]
    good = isinstance(cnf, dict) and cnf and not cnf.keys() - {_JKT, _X5T} and all(map(is_thumbprint, cnf.values()))
    if not good or not isinstance(cnf, dict):
        raise TokenRefusedError("token_invalid", "the token is bound to something that is no key", _REOPEN)
    return str(cnf.get(_JKT, "")), str(cnf.get(_X5T, ""))


def _delegation(claims: Claims, agent: str, chain: tuple[str, ...]) -> Delegation:
    task, use_case = claims.rest.get("txn"), claims.rest.get("use_case")
    if not (is_name_text(use_case) and isinstance(task, str) and task):
        raise TokenRefusedError("token_invalid", "the token names no task and use case", _REOPEN)
    return Delegation(
        user=claims.subject,
        agent=agent,
        task=task,
        use_case=use_case,
        expires_at=claims.expires_at,
        chain=chain,
    )
