"""Signed tokens (RFC 7519) on joserfc, with one algorithm, Ed25519 (RFC 9864), and headers that are compared."""

import binascii
import hashlib
from base64 import b64decode, urlsafe_b64encode
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TypeGuard

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from joserfc import jws, jwt
from joserfc.errors import JoseError
from joserfc.jwk import OKPKey

from remit.core import InputRefusedError, Json, JsonObject, is_name, parse_strict
from remit.identity import TokenRefusedError, read_agent_key

ALGORITHM = "Ed25519"
TOKEN_BYTES_MAX = 4_096  # one token
EXPIRY_MAX = 253_402_300_799  # seconds since 1970: the last of the year 9999

Header = Mapping[str, str]
ACCESS: Header = {"alg": ALGORITHM, "typ": "at+jwt"}  # RFC 9068
DELEGATION: Header = {"alg": ALGORITHM, "typ": "delegation+jwt"}


def _registry() -> jws.JWSRegistry:
    """Take Ed25519, also by its old name EdDSA, by which joserfc itself would take any curve, and warn."""
    registry = jws.JWSRegistry(algorithms=[ALGORITHM, "EdDSA"])
    registry.algorithms = dict.fromkeys((ALGORITHM, "EdDSA"), jws.JWSRegistry.algorithms[ALGORITHM])
    return registry


_REGISTRY = _registry()


@dataclass(frozen=True, slots=True)
class Expected:
    """What a token of ours must say to count in one place."""

    header: Header
    issuer: str
    audience: str


@dataclass(frozen=True, slots=True)
class Claims:
    """What a token says whose signature, issuer and audience held. Its expiry is asked at every use."""

    subject: str
    expires_at: datetime
    rest: JsonObject


def own_key(key: Ed25519PrivateKey) -> OKPKey:
    """Return one of our keys in joserfc's form."""
    return OKPKey.import_key(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))


def public_jwk(key: Ed25519PrivateKey) -> JsonObject:
    """Return the public part of one of our keys as a JWK."""
    raw = key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
    x = urlsafe_b64encode(raw).rstrip(b"=").decode("ascii")
    return {**read_agent_key({"kty": "OKP", "crv": "Ed25519", "x": x}), "alg": ALGORITHM}


def mint(key: OKPKey, claims: Mapping[str, Json], header: Header = ACCESS) -> str:
    """Sign `claims`."""
    return jwt.encode(dict(header), dict(claims), key, algorithms=[ALGORITHM])


def verify(key: OKPKey, token: str, expected: Expected, fix: str) -> Claims:
    """Check everything but the expiry.

    Raises:
        TokenRefusedError: `token_audience` for a good token of ours that was made for something else; else
            `token_invalid`.
    """
    # The header is compared, never interpreted: before the signature holds, nothing in a token steers anything.
    kind = header_of(token)
    if kind not in (ACCESS, DELEGATION):
        raise TokenRefusedError("token_invalid", "the token is not of this issuer", fix)
    claims = signed_claims(key, token)
    if claims is None:
        raise TokenRefusedError("token_invalid", "the token's signature does not hold", fix)
    if claims.get("iss") != expected.issuer:
        raise TokenRefusedError("token_invalid", "the token is not of this issuer", fix)
    if claims.get("aud") != expected.audience or kind != expected.header:
        raise TokenRefusedError("token_audience", "the token was issued for another audience", fix)
    subject, expires = claims.get("sub"), claims.get("exp")
    if not is_name_text(subject) or not is_moment(expires):
        raise TokenRefusedError("token_invalid", "the token names no subject or no expiry", fix)
    return Claims(subject, datetime.fromtimestamp(expires, UTC), claims)


def header_of(token: str) -> Json:
    """Return a token's header, to be compared; None for what is no token."""
    return _part(token, 0)


def unproven_claims(token: str) -> Json:
    """Return what a token says before anything is proven: good for finding the key to prove it with, and no more."""
    return _part(token, 1)


def signed_claims(key: OKPKey, token: str) -> JsonObject | None:
    """Return what a token says that `key` signed; None when it did not, or when that is no object.

    The caller has compared the header.
    """
    try:
        claims = parse_strict(jws.deserialize_compact(token, key, registry=_REGISTRY).payload)
    except (JoseError, ValueError, InputRefusedError):
        return None
    return claims if isinstance(claims, dict) else None


def is_name_text(value: object) -> TypeGuard[str]:
    """Whether a claim is a name."""
    return is_name(value)


def is_moment(value: object) -> TypeGuard[int]:
    """Whether a claim is a time in whole seconds (a bool is none)."""
    return type(value) is int and 0 <= value <= EXPIRY_MAX


def digest_of(token: str) -> bytes:
    """Return what a token is remembered by."""
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()


def _part(token: str, at: int) -> Json:
    if len(token) > TOKEN_BYTES_MAX or not token.isascii() or token.count(".") != 2:
        return None
    part = token.split(".")[at]
    try:
        return parse_strict(b64decode(part + "=" * (-len(part) % 4), b"-_", validate=True))
    except (binascii.Error, ValueError, InputRefusedError):
        return None
