"""Signed tokens (RFC 7519) on joserfc, with headers that are compared, and never steer what happens to them.

We sign with Ed25519 (RFC 9864) alone. Others may prove themselves with ES256 or RS256, too: which of them counts is
said by the key that is known before, not by the token.
"""

import binascii
import hashlib
import re
from base64 import b64decode, urlsafe_b64encode
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TypeGuard

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from joserfc import jws, jwt
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, OKPKey, RSAKey

from remit.core import InputRefusedError, Json, JsonObject, canonical_bytes, is_name, is_user, parse_strict
from remit.identity import TokenRefusedError, is_private, read_agent_key

ALGORITHM = "Ed25519"
TOKEN_BYTES_MAX = 8_192  # one token
RSA_BITS_MIN = 2_048  # (RFC 7518, section 3.3)
RSA_BITS_MAX = 4_096
EXPIRY_MAX = 253_402_300_799  # seconds since 1970: the last of the year 9999

Header = Mapping[str, str]
ACCESS: Header = {"alg": ALGORITHM, "typ": "at+jwt"}  # RFC 9068
DELEGATION: Header = {"alg": ALGORITHM, "typ": "delegation+jwt"}


Key = OKPKey | ECKey | RSAKey


def _registry(*algorithms: str) -> jws.JWSRegistry:
    """Take Ed25519 also by its old name EdDSA, by which joserfc itself would take any curve, and warn."""
    known = jws.JWSRegistry.algorithms
    registry = jws.JWSRegistry(algorithms=[*algorithms])
    registry.algorithms = {name: known[ALGORITHM if name == "EdDSA" else name] for name in algorithms}
    registry.max_header_length = 2_048  # bytes; a header may hold an RSA key
    return registry


ALGORITHMS: Mapping[str, tuple[str, ...]] = {"OKP": (ALGORITHM, "EdDSA"), "EC": ("ES256",), "RSA": ("RS256",)}
"""What may be signed with, by the `kty` of the key. The first name is the one to use."""

_REGISTRIES = {kty: _registry(*names) for kty, names in ALGORITHMS.items()}
_THUMBPRINT = re.compile(r"[A-Za-z0-9_-]{42}[AEIMQUYcgkosw048]")  # 32 bytes, written in the one way
_EXPONENT = 65_537  # the one in use: a small one forgives bad padding, a large one makes checking a signature dear
_MEMBERS = {"OKP": ("crv", "kty", "x"), "EC": ("crv", "kty", "x", "y"), "RSA": ("e", "kty", "n")}


@dataclass(frozen=True, slots=True)
class PublicKey:
    """Somebody's public key, with its thumbprint (RFC 7638)."""

    key: Key
    thumbprint: str


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
    if not is_user_text(subject) or not is_moment(expires):
        raise TokenRefusedError("token_invalid", "the token names no subject or no expiry", fix)
    return Claims(subject, datetime.fromtimestamp(expires, UTC), claims)


def header_of(token: str) -> Json:
    """Return a token's header, to be compared; None for what is no token."""
    return _part(token, 0)


def unproven_claims(token: str) -> Json:
    """Return what a token says before anything is proven: good for finding the key to prove it with, and no more."""
    return _part(token, 1)


def public_key(jwk: Json) -> PublicKey | None:
    """Read a public key for one of `ALGORITHMS`; None for any other, for a private one, and for a weak one.

    Members that are no part of the key are left out, but for `alg`, which must fit.
    """
    kty = jwk.get("kty") if isinstance(jwk, dict) else None
    if not isinstance(jwk, dict) or not isinstance(kty, str) or kty not in _MEMBERS or is_private(jwk):
        return None
    core = {name: jwk.get(name) for name in _MEMBERS[kty]}
    if jwk.get("alg", ALGORITHMS[kty][0]) not in ALGORITHMS[kty]:
        return None
    if kty == "RSA":
        return _rsa(core)
    try:
        kept = read_agent_key(core)
    except InputRefusedError:
        return None
    return PublicKey(key_of(kept), str(kept["kid"]))


def key_of(kept: JsonObject) -> OKPKey | ECKey:
    """Return a key that `read_agent_key` returned, and that is no certificate, in joserfc's form."""
    core: dict[str, str | list[str]] = {name: str(kept[name]) for name in _MEMBERS[str(kept["kty"])]}
    return OKPKey.import_key(core) if core["kty"] == "OKP" else ECKey.import_key(core)


def signed_claims(key: Key, token: str) -> JsonObject | None:
    """Return what a token says that `key` signed; None when it did not, or when that is no object.

    The caller has compared the header. Its `alg` counts only where it is one of the key's own.
    """
    try:
        claims = parse_strict(jws.deserialize_compact(token, key, registry=_REGISTRIES[key.key_type]).payload)
    except (JoseError, ValueError, InputRefusedError):
        return None
    return claims if isinstance(claims, dict) else None


def is_name_text(value: object) -> TypeGuard[str]:
    """Whether a claim is a name."""
    return is_name(value)


def is_user_text(value: object) -> TypeGuard[str]:
    """Whether a claim names a user."""
    return is_user(value)


def is_moment(value: object) -> TypeGuard[int]:
    """Whether a claim is a time in whole seconds (a bool is none)."""
    return type(value) is int and 0 <= value <= EXPIRY_MAX


def digest_of(token: str) -> bytes:
    """Return what a token is remembered by."""
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()


def thumbprint_of(raw: bytes) -> str:
    """Return a SHA-256 digest in base64url: of a certificate (RFC 8705, section 3.1), of a token (RFC 9449, `ath`)."""
    return urlsafe_b64encode(hashlib.sha256(raw).digest()).rstrip(b"=").decode("ascii")


def is_thumbprint(value: object) -> TypeGuard[str]:
    """Whether a claim is a SHA-256 digest in base64url."""
    return isinstance(value, str) and _THUMBPRINT.fullmatch(value) is not None


def _rsa(core: JsonObject) -> PublicKey | None:
    n, e = _integer(core["n"]), _integer(core["e"])
    if not RSA_BITS_MIN <= n.bit_length() <= RSA_BITS_MAX or not n % 2 or e != _EXPONENT:
        return None
    key = RSAKey.import_key({name: str(value) for name, value in core.items()})
    return PublicKey(key, thumbprint_of(canonical_bytes(core)))


def _integer(text: Json) -> int:
    """Read a number in base64url, written in the one way (RFC 7518, section 2); 0 for what is none."""
    if not isinstance(text, str) or not text.isascii() or len(text) > RSA_BITS_MAX // 6 + 1:
        return 0
    try:
        raw = b64decode(text + "=" * (-len(text) % 4), b"-_", validate=True)
    except (binascii.Error, ValueError):
        return 0
    once = urlsafe_b64encode(raw).rstrip(b"=").decode("ascii") == text and raw[:1] != b"\0"
    return int.from_bytes(raw) if once else 0


def _part(token: str, at: int) -> Json:
    if len(token) > TOKEN_BYTES_MAX or not token.isascii() or token.count(".") != 2:
        return None
    part = token.split(".")[at]
    try:
        return parse_strict(b64decode(part + "=" * (-len(part) % 4), b"-_", validate=True))
    except (binascii.Error, ValueError, InputRefusedError):
        return None
