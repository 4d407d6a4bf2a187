"""Security events (RFC 8417): what an issuer tells of its users' sessions and accounts, as CAEP and RISC say it."""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum

from remit.adapters.oidc._claims import audiences_of, user_of
from remit.adapters.oidc._issuer import Issuer
from remit.adapters.oidc._issuers import Issuers, Proven
from remit.adapters.oidc._jwt import SKEW_S, SignatureRefusedError, is_moment
from remit.adapters.oidc._seen import Seen, is_jti
from remit.core import Json, JsonObject, RemitError
from remit.identity import TokenRefusedError
from remit.pipeline import Clock

AGE_MAX_S = 600  # from `iat` to its arrival
EVENTS_MAX = 20  # in one token
IDENTIFIERS_MAX = 20  # aliases of one subject
REASON_MAX = 200  # characters
STATE_MAX = 1_024  # characters

_KINDS = frozenset({"secevent+jwt"})
_CAEP = "https://schemas.openid.net/secevent/caep/event-type/"
_RISC = "https://schemas.openid.net/secevent/risc/event-type/"
_SSF = "https://schemas.openid.net/secevent/ssf/event-type/"


class EventKind(StrEnum):
    """What happened."""

    SESSION_REVOKED = "session-revoked"  # (CAEP 1.0, section 3.1)
    CLAIMS_CHANGED = "token-claims-change"  # (section 3.2)
    CREDENTIAL_CHANGED = "credential-change"  # (section 3.3)
    ACCOUNT_PURGED = "account-purged"  # (RISC 1.0, section 2.2)
    ACCOUNT_DISABLED = "account-disabled"  # (section 2.3)
    ACCOUNT_ENABLED = "account-enabled"  # (section 2.4)
    VERIFICATION = "verification"  # of the stream, about nobody (SSF 1.0, section 8.1.4)


_TYPES = {
    f"{_CAEP}session-revoked": EventKind.SESSION_REVOKED,
    f"{_CAEP}token-claims-change": EventKind.CLAIMS_CHANGED,
    f"{_CAEP}credential-change": EventKind.CREDENTIAL_CHANGED,
    f"{_RISC}account-purged": EventKind.ACCOUNT_PURGED,
    f"{_RISC}account-disabled": EventKind.ACCOUNT_DISABLED,
    f"{_RISC}account-enabled": EventKind.ACCOUNT_ENABLED,
    f"{_SSF}verification": EventKind.VERIFICATION,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class SecurityEvent:
    """One thing that an issuer told.

    `issuer` is its name in the settings, `jti` of the token it came in. `user` is the user's name here; None where the
    subject is nobody we could know. `happened_at` is never later than `issued_at`, when the token was made. `reason` is
    the issuer's word to administrators, `state` that of a verification; both may be empty.
    """

    issuer: str
    jti: str
    kind: EventKind
    user: str | None
    issued_at: datetime
    happened_at: datetime
    reason: str = ""
    state: str = ""


class EventRefusedError(RemitError):
    """A security event token that does not count.

    `err` and `description` are what RFC 8935, section 2.4 answers with. `again`: the sender should try again later,
    for it was we who could not verify it.
    """

    def __init__(self, err: str, description: str, *, again: bool = False) -> None:
        super().__init__(f"event_{err}", description, "see the stream's settings at the issuer: its keys and audience")
        self.err = err
        self.description = description
        self.again = again


class SecurityEvents:
    """Verifies security event tokens made out to `audience`.

    One that came before is read as one without events, for its sender must hear that it arrived (RFC 8935, section
    2.2), and nothing happens twice. Tokens without an event that is known here are not remembered: they do nothing, as
    often as they come. What one issuer sends takes no room from another.
    """

    def __init__(self, issuers: Issuers, clock: Clock, audience: str) -> None:
        self._issuers = issuers
        self._clock = clock
        self._audience = audience
        self._seen: defaultdict[str, Seen] = defaultdict(Seen)  # by issuer

    async def read(self, body: bytes) -> tuple[SecurityEvent, ...]:
        """Return the events of a token that are known here; none where all are of kinds that are not.

        Raises:
            EventRefusedError: `invalid_request`, `invalid_key`, `invalid_issuer`, `invalid_audience`, `access_denied`.
        """
        proven = await self._proven(body)
        issued_s, jti = self._checked(proven)
        read = tuple(_events(proven, jti, issued_s))
        if not read:
            return ()
        now_s, seen = self._clock.now().timestamp(), self._seen[proven.issuer.name]
        if seen.add(jti, issued_s + AGE_MAX_S, now_s):
            return read
        if jti in seen:
            return ()
        raise EventRefusedError("invalid_request", "too many events at once", again=True)

    def forget(self, events: tuple[SecurityEvent, ...]) -> None:
        """Let tokens come again whose events could not be acted on."""
        for event in events:
            self._seen[event.issuer].discard(event.jti)

    async def _proven(self, body: bytes) -> Proven:
        try:
            return await self._issuers.proven(body.strip().decode("ascii", "replace"), _KINDS)
        except SignatureRefusedError as error:
            raise EventRefusedError("invalid_key", error.message) from error
        except TokenRefusedError as error:
            match error.code:
                case "issuer_unreachable":
                    raise EventRefusedError("invalid_key", error.message, again=True) from error
                case "token_issuer":
                    raise EventRefusedError("invalid_issuer", error.message) from error
                case _:
                    raise EventRefusedError("invalid_request", error.message) from error

    def _checked(self, proven: Proven) -> tuple[int, str]:
        """Return when a token was made, and its `jti`, where it is for us and of now."""
        claims, now_s = proven.claims, self._clock.now().timestamp()
        if not proven.issuer.events:
            raise EventRefusedError("access_denied", "the events of this issuer are not believed here")
        try:
            audiences = audiences_of(claims)
        except TokenRefusedError as error:
            raise EventRefusedError("invalid_audience", error.message) from error
        if self._audience not in audiences:
            raise EventRefusedError("invalid_audience", "the token is made out to somebody else")
        issued, expires, jti = claims.get("iat"), claims.get("exp", now_s), claims.get("jti")
        if not is_moment(issued) or not now_s - AGE_MAX_S < issued <= now_s + SKEW_S:
            raise EventRefusedError("invalid_request", f"`iat` is no time of the last {AGE_MAX_S} s")
        if not isinstance(expires, int | float) or expires + SKEW_S <= now_s:
            raise EventRefusedError("invalid_request", "the token has expired")
        if not is_jti(jti):
            raise EventRefusedError("invalid_request", "`jti` is missing or too long")
        return issued, str(jti)


def _events(proven: Proven, jti: str, issued_s: int) -> Iterator[SecurityEvent]:
    events = proven.claims.get("events")
    if not isinstance(events, dict) or not 0 < len(events) <= EVENTS_MAX:
        raise EventRefusedError("invalid_request", f"`events` is no object of 1 to {EVENTS_MAX} members")
    for address, said in events.items():
        if not isinstance(said, dict):
            raise EventRefusedError("invalid_request", "an event is no object")
        kind = _TYPES.get(address)
        if kind is not None and not (kind is EventKind.CREDENTIAL_CHANGED and said.get("change_type") == "create"):
            # (One credential more takes nothing from what was done with the others: CAEP 1.0, section 3.3.)
            yield _event(proven, jti, issued_s, kind, said)


def _event(proven: Proven, jti: str, issued_s: int, kind: EventKind, said: JsonObject) -> SecurityEvent:
    happened = said.get("event_timestamp", issued_s)
    if not is_moment(happened):
        raise EventRefusedError("invalid_request", "`event_timestamp` is no time in whole seconds")
    # (SSF 1.0, section 4.1 has the subject beside the events; drafts before it, inside each.)
    subject = proven.claims.get("sub_id", said.get("subject"))
    return SecurityEvent(
        issuer=proven.issuer.name,
        jti=jti,
        kind=kind,
        user=None if kind is EventKind.VERIFICATION else _user(proven.issuer, subject),
        issued_at=datetime.fromtimestamp(issued_s, UTC),
        happened_at=datetime.fromtimestamp(min(happened, issued_s), UTC),
        reason=_reason(said.get("reason_admin")),
        state=_line(said.get("state"), STATE_MAX),
    )


def _user(issuer: Issuer, subject: Json) -> str | None:
    """Return whom a subject identifier names (RFC 9493, section 3); None for whoever we could not know."""
    if not isinstance(subject, dict):
        return None
    match subject.get("format"):
        case "complex":  # (SSF 1.0, section 3.2: a user's device or session is the user's)
            return _simple(issuer, subject.get("user"))
        case "aliases":
            listed = subject.get("identifiers")
            named = (_simple(issuer, each) for each in (listed[:IDENTIFIERS_MAX] if isinstance(listed, list) else ()))
            return next((name for name in named if name is not None), None)
        case _:
            return _simple(issuer, subject)


def _simple(issuer: Issuer, subject: Json) -> str | None:
    if not isinstance(subject, dict):
        return None
    by = issuer.claims.subject
    match subject.get("format"):
        case "iss_sub" if by == "sub" and subject.get("iss") == issuer.issuer:  # an issuer speaks of its own users
            return user_of(issuer, subject.get("sub"))
        case "opaque" if by == "sub":
            return user_of(issuer, subject.get("id"))
        case "email" if by == "email":
            return user_of(issuer, subject.get("email"))
        case _:
            return None


def _reason(said: Json) -> str:
    if not isinstance(said, dict) or not said:
        return ""
    return _line(said.get("en", next(iter(said.values()))), REASON_MAX)


def _line(said: Json, length_max: int) -> str:
    """Return what can be shown of a text, in one line."""
    text = said if isinstance(said, str) else ""
    return "".join(each if each.isprintable() else " " for each in text[:length_max])
