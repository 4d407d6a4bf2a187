"""What the claims of a verified token mean. Whatever is there and is not what it must be refuses the whole token."""

from base64 import urlsafe_b64decode
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeGuard

from remit.adapters.oidc._issuer import Issuer
from remit.adapters.oidc._jwt import LOG_IN, SKEW_S, invalid, is_moment
from remit.core import Attribute, Json, JsonObject, is_name, is_user
from remit.identity import Person, TokenRefusedError

AUDIENCES_MAX = 50
GROUPS_MAX = 500
TEXT_MAX = 512  # characters of a group, an attribute, a client

# What only other tokens have: an ID token (OpenID Connect Core, sections 2, 3.1.3.6 and 3.3.2.11; `s_hash`: Financial-
# grade API 1.0, part 2, section 5.1.1), a security event (RFC 8417).
_OF_OTHERS = frozenset({"at_hash", "c_hash", "events", "nonce", "s_hash"})
_ACTORS = frozenset({"client_id", "iss", "sub"})  # (what a `may_act` may say of somebody and be understood)

SOMEBODY = frozenset({""})
"""Who may act where that is said in a way that is not understood: the name of no agent, and yet not nobody."""


@dataclass(frozen=True, slots=True)
class Times:
    """When a token counts, in seconds since 1970, the skew not yet added."""

    issued_s: int
    begins_s: int
    expires_s: int

    def check(self, now_s: float) -> None:
        """Refuse what has expired or comes from the future.

        Raises:
            TokenRefusedError: `token_expired`, `token_invalid`.
        """
        if now_s >= self.expires_s + SKEW_S:
            raise TokenRefusedError("token_expired", "the token has expired", LOG_IN)
        if max(self.issued_s, self.begins_s) > now_s + SKEW_S:
            raise invalid("the token is from the future")


@dataclass(frozen=True, slots=True)
class Bond:
    """What a token is bound to (RFC 7800): a DPoP key (RFC 9449), a TLS certificate (RFC 8705). Empty: to nothing."""

    dpop: str = ""
    certificate: str = ""


def times_of(claims: JsonObject) -> Times:
    """Return when a token counts: `iat` and `exp` must be there."""
    issued, expires, begins = claims.get("iat"), claims.get("exp"), claims.get("nbf", 0)
    if not (is_moment(issued) and is_moment(expires) and is_moment(begins)) or expires <= issued:
        raise invalid("`iat`, `exp` or `nbf` is no time in whole seconds, or the token ends before it begins")
    return Times(issued, begins, expires)


def audiences_of(claims: JsonObject) -> frozenset[str]:
    """Return whom a token is made out to."""
    said = claims.get("aud")
    listed = said if isinstance(said, list) else [said]
    found = frozenset(each for each in listed if isinstance(each, str) and each)
    if not 0 < len(listed) <= AUDIENCES_MAX or len(found) != len(listed):
        raise invalid("`aud` names no audience, or one twice")
    return found


EVERYBODY = "*"
"""Among the groups that a role goes with: whoever the issuer vouches for."""


def client_of(claims: JsonObject) -> str:
    """Return the client that a token was issued to: `client_id` (RFC 9068, section 2.2), else `azp`."""
    said = [claims[name] for name in ("client_id", "azp") if name in claims]
    texts = [each for each in said if _is_text(each)]
    if len(texts) != len(said) or len(set(texts)) > 1:
        raise invalid("`client_id` and `azp` name no client, or two")
    return texts[0] if texts else ""


def check_access(kind: str, claims: JsonObject) -> None:
    """Refuse an ID token: it is made out to the client that it was issued to (OpenID Connect Core, section 2).

    A token of the type `at+jwt` says itself that it is none (RFC 9068, section 2.1).

    Raises:
        TokenRefusedError: `token_invalid`.
    """
    if kind != "at+jwt" and client_of(claims) in audiences_of(claims):
        raise invalid("the token is made out to its own client, as an id token is")


def person_of(issuer: Issuer, claims: JsonObject) -> Person:
    """Return whom a token is of, with what its issuer says of them."""
    if claims.keys() & _OF_OTHERS:
        raise invalid("that is a token for something else than access")
    if "act" in claims:
        raise invalid("somebody acts with that token already (`act`): it is not the person's own")
    if claims.get("sub") is not None and claims.get("sub") in (claims.get("client_id"), claims.get("azp")):
        raise invalid("the token is a client's own and names no person")
    _check_distributed(issuer, claims)
    groups = _groups(claims.get(issuer.claims.groups))
    roles = frozenset(role for role, among in issuer.claims.roles.items() if among & groups or EVERYBODY in among)
    name = user_of(issuer, claims.get(issuer.claims.subject))
    if name is None:
        raise invalid(f"`{issuer.claims.subject}` names no person: 1 to 255 visible ascii characters")
    return Person(name, roles, groups, tuple(_attributes(issuer, claims)))


def user_of(issuer: Issuer, said: Json) -> str | None:
    """Return the name here of whom an issuer calls `said`; None where that is no name."""
    name = f"{issuer.name}:{said}"
    return name if isinstance(said, str) and is_user(name) else None


def _check_distributed(issuer: Issuer, claims: JsonObject) -> None:
    """Refuse a token whose groups or attributes are elsewhere (OpenID Connect Core, section 5.6.2).

    Issuers do so where there are too many. A rule that forbids something to a group would not see them.
    """
    elsewhere = claims.get("_claim_names", {})
    ours = {issuer.claims.subject, issuer.claims.groups, *issuer.claims.attributes.values()}
    if not isinstance(elsewhere, dict) or elsewhere.keys() & ours:
        raise invalid("the issuer keeps claims elsewhere that are needed here")


def _groups(said: Json) -> frozenset[str]:
    if said is None:
        return frozenset()
    groups = [each for each in said if _is_text(each)] if isinstance(said, list) else []
    if not isinstance(said, list) or len(groups) != len(said) or len(said) > GROUPS_MAX:
        raise invalid(f"the groups are no list of at most {GROUPS_MAX} names")
    return frozenset(groups)


def _attributes(issuer: Issuer, claims: JsonObject) -> Iterator[tuple[str, Attribute]]:
    for name, claim in sorted(issuer.claims.attributes.items()):
        said = claims.get(claim)
        if said is None:
            continue
        if not isinstance(said, bool | int) and not _is_text(said):
            raise invalid(f"`{claim}` is neither text nor a whole number nor a yes or no")
        yield name, said


def _is_text(said: Json) -> TypeGuard[str]:
    return isinstance(said, str) and 0 < len(said) <= TEXT_MAX and said.isprintable()


def may_act_of(claims: JsonObject) -> frozenset[str]:
    """Return which agents may act for the person (RFC 8693, section 4.4); empty where the token does not say.

    What is not understood permits no agent, yet it is not the login of a person alone either: it is `SOMEBODY`. So are
    members that are unknown, another issuer's actor, and a name that no agent can have.
    """
    if "may_act" not in claims:
        return frozenset()
    said = claims["may_act"]
    if not isinstance(said, dict) or said.keys() - _ACTORS or said.get("iss", claims.get("iss")) != claims.get("iss"):
        return SOMEBODY
    named = [said[member] for member in ("sub", "client_id") if member in said]
    names = frozenset(each for each in named if isinstance(each, str) and is_name(each))
    # (Two names that differ are a pair that one agent would have to be both of.)
    return names if len(names) == 1 and all(each in names for each in named) else SOMEBODY


def bond_of(claims: JsonObject) -> Bond:
    """Return what a token is bound to; a way of binding that is not known here cannot be checked, so it refuses."""
    if "cnf" not in claims:
        return Bond()
    said = claims["cnf"]
    if not isinstance(said, dict) or not said or said.keys() - {"jkt", "x5t#S256"}:
        raise invalid("the token is bound in a way that is not known here")
    if not all(map(_is_thumbprint, said.values())):
        raise invalid("the token is bound to something that is no sha-256 thumbprint")
    return Bond(str(said.get("jkt", "")), str(said.get("x5t#S256", "")))


def _is_thumbprint(said: Json) -> bool:
    if not isinstance(said, str) or len(said) != 43 or not said.isascii():
        return False
    return all(each.isalnum() or each in "-_" for each in said) and len(urlsafe_b64decode(f"{said}=")) == 32
