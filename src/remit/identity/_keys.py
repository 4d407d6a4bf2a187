"""Agents' public keys, as they are kept: a JWK set (RFC 7517), each key named by its thumbprint (RFC 7638).

    {"kty": "OKP", "crv": "Ed25519", "x": "..."}              # signs assertions (RFC 8037)
    {"kty": "EC", "crv": "P-256", "x": "...", "y": "..."}     # signs assertions, ES256 (RFC 7518, section 6.2)
    {"kty": "X509", "x5t#S256": "..."}                        # a TLS certificate, by its SHA-256 (RFC 8705)

An agent has up to `KEYS_MAX` of them, so that a new one is registered before the old one is taken away.
"""

import binascii
import hashlib
from base64 import b64decode, urlsafe_b64encode
from collections.abc import Mapping

from remit.core import InputRefusedError, Json, JsonObject, canonical_bytes, parse_strict

KEYS_MAX = 4  # keys and certificates of one agent

X509 = "X509"
"""The `kty` of a certificate among an agent's keys. (Ours: a JWK can hold a certificate only beside its key.)"""

_PRIVATE = frozenset({"d", "p", "q", "dp", "dq", "qi", "oth", "k", "priv"})
_FOR_SIGNATURES: Mapping[str, tuple[Json, ...]] = {"use": ("sig",), "key_ops": (["verify"],)}
_MAY_SAY: Mapping[str, Mapping[str, tuple[Json, ...]]] = {
    "OKP": {"crv": ("Ed25519",), "alg": ("Ed25519", "EdDSA"), **_FOR_SIGNATURES},
    "EC": {"crv": ("P-256",), "alg": ("ES256",), **_FOR_SIGNATURES},
    X509: {},
}
_VALUES: Mapping[str, frozenset[str]] = {
    "OKP": frozenset({"x"}),
    "EC": frozenset({"x", "y"}),
    X509: frozenset({"x5t#S256"}),
}
_FIX = 'register the public part: {"kty": "OKP", "crv": "Ed25519", "x": "..."}'

# The curve P-256 (FIPS 186-4, D.1.2.3): y^2 = x^3 - 3x + b modulo p. Its order is prime: it has no weak points.
_P = 2**256 - 2**224 + 2**192 + 2**96 - 1
_B = 0x5AC635D8AA3A93E7B3EBBD55769886BC651D06B0CC53B0F63BCE3C3E27D2604B

# Points of small order, sign bit cleared: as a public key, each of them verifies signatures that anybody can make.
_WEAK = frozenset(
    map(
        bytes.fromhex,
        (
            "0000000000000000000000000000000000000000000000000000000000000000",
            "0100000000000000000000000000000000000000000000000000000000000000",
            "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
            "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
            "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
            "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
            "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        ),
    )
)


def is_private(jwk: JsonObject) -> bool:
    """Whether a JWK holds a private part, or is a shared secret."""
    return bool(jwk.keys() & _PRIVATE)


def read_agent_key(jwk: JsonObject) -> JsonObject:
    """Return the key to register: a public key for Ed25519 or ES256, or a certificate, with its thumbprint as `kid`.

    Raises:
        InputRefusedError: `key_private` when a private part was sent, of which nothing is repeated; `key_invalid`.
    """
    if is_private(jwk):
        fix = "make a new key pair, this one has been seen; register its public part"
        raise InputRefusedError("key_private", "that is a private key, or a shared one", fix)
    kty = jwk.get("kty")
    if not isinstance(kty, str) or kty not in _VALUES:
        raise _invalid("`kty` is not `OKP`, `EC` or `X509`")
    may_say, values = _MAY_SAY[kty], _VALUES[kty]
    needed = {"kty", *values, *(may_say.keys() & {"crv"})}
    if jwk.keys() - may_say.keys() - values - {"kty", "kid"} or not needed <= jwk.keys():
        raise _invalid(f"not the members of a public key of `kty` {kty}")
    wrong = next((name for name, right in may_say.items() if name in jwk and jwk[name] not in right), None)
    if wrong is not None:
        raise _invalid(f"`{wrong}` is not that of a key for signatures with Ed25519 or ES256")
    return _named(_READ[kty](jwk), jwk)


def agent_keys(jwks_text: str) -> Mapping[str, JsonObject]:
    """Return the keys in the text of a JWK set, by `kid`; none when it is empty.

    Raises:
        InputRefusedError: it is not what `with_key` wrote.
    """
    if not jwks_text:
        return {}
    jwks = parse_strict(jwks_text.encode("utf-8", "surrogatepass"))
    keys = jwks.get("keys") if isinstance(jwks, dict) else None
    if not isinstance(keys, list) or not 0 < len(keys) <= KEYS_MAX:
        raise InputRefusedError("keys_invalid", "not a set of an agent's keys", "register the agent's keys again")
    read = [read_agent_key(key if isinstance(key, dict) else {}) for key in keys]
    return {str(key["kid"]): key for key in read}


def with_key(jwks_text: str, jwk: JsonObject) -> str:
    """Return the text of the set with one key more.

    Raises:
        InputRefusedError: as `read_agent_key` does; `key_registered`; `keys_too_many` over `KEYS_MAX`.
    """
    keys, key = dict(agent_keys(jwks_text)), read_agent_key(jwk)
    kid = str(key["kid"])
    if kid in keys:
        raise InputRefusedError("key_registered", f"the key `{kid}` is registered already", "use it, or make a new one")
    if len(keys) >= KEYS_MAX:
        raise InputRefusedError("keys_too_many", f"the agent has {KEYS_MAX} keys", "take an old one away first")
    return _text({**keys, kid: key})


def without_key(jwks_text: str, kid: str) -> str:
    """Return the text of the set with one key less; empty when that was the last.

    Raises:
        InputRefusedError: `key_unknown`.
    """
    keys = dict(agent_keys(jwks_text))
    if keys.pop(kid, None) is None:
        raise InputRefusedError("key_unknown", "the agent has no such key", "name one of its keys by `kid`")
    return _text(keys) if keys else ""


def _text(keys: Mapping[str, JsonObject]) -> str:
    return canonical_bytes({"keys": list(keys.values())}).decode("ascii")


def _named(key: JsonObject, jwk: JsonObject) -> JsonObject:
    kid = key["kid"]
    if jwk.get("kid", kid) != kid:
        fix = f'leave `kid` out, and name the key "{kid}" in assertions'
        raise InputRefusedError("key_invalid", "`kid` is not the key's thumbprint", fix)
    return key


def _ed25519(jwk: JsonObject) -> JsonObject:
    raw = _bytes(jwk, "x")
    if raw[:31] + bytes([raw[31] & 0x7F]) in _WEAK:
        raise InputRefusedError("key_invalid", "`x` is a key that anybody can sign for", "make a new key pair")
    key: JsonObject = {"kty": "OKP", "crv": "Ed25519", "x": jwk["x"]}
    return {**key, "use": "sig", "kid": _thumbprint(key)}


def _p256(jwk: JsonObject) -> JsonObject:
    x, y = (int.from_bytes(_bytes(jwk, name)) for name in ("x", "y"))
    if max(x, y) >= _P or (y * y - x * x * x + 3 * x - _B) % _P:
        raise _invalid("`x` and `y` are no point of the curve P-256")
    key: JsonObject = {"kty": "EC", "crv": "P-256", "x": jwk["x"], "y": jwk["y"]}
    return {**key, "use": "sig", "kid": _thumbprint(key)}


def _certificate(jwk: JsonObject) -> JsonObject:
    _bytes(jwk, "x5t#S256")
    return {"kty": X509, "x5t#S256": jwk["x5t#S256"], "kid": jwk["x5t#S256"]}


_READ = {"OKP": _ed25519, "EC": _p256, X509: _certificate}


def _bytes(jwk: JsonObject, name: str) -> bytes:
    """Read 32 bytes in base64url without padding, written in the one way (RFC 7518, section 6.2.1.2; RFC 8037)."""
    wrong, text = _invalid(f"`{name}` is not 32 bytes in base64url"), jwk[name]
    if not isinstance(text, str) or len(text) != 43 or not text.isascii():
        raise wrong
    try:
        raw = b64decode(f"{text}=", b"-_", validate=True)
    except (binascii.Error, ValueError) as error:
        raise wrong from error
    if _base64url(raw) != text:
        raise wrong
    return raw


def _thumbprint(key: JsonObject) -> str:
    """Name a key by its thumbprint, made of the members it needs and no others (RFC 7638, section 3)."""
    return _base64url(hashlib.sha256(canonical_bytes(key)).digest())


def _invalid(message: str) -> InputRefusedError:
    return InputRefusedError("key_invalid", message, _FIX)


def _base64url(raw: bytes) -> str:
    return urlsafe_b64encode(raw).rstrip(b"=").decode("ascii")
