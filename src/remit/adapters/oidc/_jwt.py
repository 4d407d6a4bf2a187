"""Signed tokens of others (RFC 7515, RFC 7519, RFC 8725): read strictly, nothing in them steering how they are read."""

import binascii
import re
from base64 import b64decode, urlsafe_b64encode
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import TypeGuard

from remit.adapters.oidc._key_set import FAMILIES, KID_MAX
from remit.core import InputRefusedError, Json, JsonObject, parse_strict
from remit.identity import TokenRefusedError

TOKEN_BYTES_MAX = 16 * 1024  # one token: some issuers put every group of a person in
SKEW_S = 30  # seconds that an issuer's clock may differ from ours
MOMENT_MAX = 253_402_300_799  # seconds since 1970: the last of the year 9999
LOG_IN = "log in again at the issuer, for this audience"

# What would say how to verify a token, or where with which key, is for us to know and not for the token to say.
_STEERING = frozenset({"b64", "crit", "enc", "jku", "jwk", "x5c", "x5u", "zip"})
_FORM = re.compile(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+", re.ASCII)


class SignatureRefusedError(TokenRefusedError):
    """No key of its issuer signed the token."""

    def __init__(self, message: str) -> None:
        super().__init__("token_invalid", message, LOG_IN)


@dataclass(frozen=True, slots=True)
class Unproven:
    """A token taken apart. Nothing it says counts before `signature` over `signed` is verified."""

    header: JsonObject
    claims: JsonObject
    signed: bytes
    signature: bytes


def invalid(message: str) -> TokenRefusedError:
    """Return the refusal of a token that is not what it must be."""
    return TokenRefusedError("token_invalid", message, LOG_IN)


def read_token(token: str) -> Unproven:
    """Take a token apart.

    Raises:
        TokenRefusedError: `token_invalid`.
    """
    if len(token) > TOKEN_BYTES_MAX or not _FORM.fullmatch(token):
        raise invalid("that is not a signed token")
    head, body, signature = token.split(".")
    try:
        header, claims = parse_strict(_decoded(head)), parse_strict(_decoded(body))
        made = _decoded(signature)
    except (binascii.Error, ValueError, InputRefusedError) as error:
        raise invalid("that is not a signed token") from error
    if not isinstance(header, dict) or not isinstance(claims, dict):
        raise invalid("that is not a signed token")
    return Unproven(header, claims, f"{head}.{body}".encode("ascii"), made)


def _decoded(part: str) -> bytes:
    raw = b64decode(part + "=" * (-len(part) % 4), b"-_", validate=True)
    if urlsafe_b64encode(raw).rstrip(b"=") != part.encode("ascii"):
        raise ValueError("written in another way than the one")  # (bits that no byte has: one token, many texts)
    return raw


def kind_of(header: JsonObject) -> str:
    """Return the type that a header names (RFC 7515, section 4.1.9), in small letters; "" for none.

    Raises:
        TokenRefusedError: `token_invalid`.
    """
    kind = header.get("typ", "")
    if not isinstance(kind, str):
        raise invalid("the token is of another type")
    return kind.lower().removeprefix("application/")


def family_and_kid(header: JsonObject, kinds: AbstractSet[str]) -> tuple[str, str | None]:
    """Return the algorithm and the key that a header names. Its `typ` must be among `kinds`, "" for none.

    Raises:
        TokenRefusedError: `token_invalid`.
    """
    if header.keys() & _STEERING:
        raise invalid("the token's header says how it is to be verified")
    if kind_of(header) not in kinds:
        raise invalid("the token is of another type")
    alg, kid = header.get("alg"), header.get("kid")
    family = FAMILIES.get(alg) if isinstance(alg, str) else None
    if family is None:
        raise invalid("the token's algorithm is none of EdDSA, ES256 and RS256")
    if "kid" in header and not (isinstance(kid, str) and len(kid) <= KID_MAX):
        raise invalid("the token names its key in another way than by text")
    return family, kid if isinstance(kid, str) else None


def is_moment(value: Json) -> TypeGuard[int]:
    """Whether a claim is a time in whole seconds (a bool is none)."""
    return type(value) is int and 0 <= value <= MOMENT_MAX
