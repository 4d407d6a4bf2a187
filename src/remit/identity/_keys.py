"""Agents' public keys, as they are kept: a JWK set (RFC 7517) of Ed25519 keys, each named by its thumbprint (RFC 7638).

An agent has up to `KEYS_MAX` keys, so that a new one is registered before the old one is taken away.
"""

import binascii
import hashlib
from base64 import b64decode, urlsafe_b64encode
from collections.abc import Mapping

from remit.core import InputRefusedError, Json, JsonObject, canonical_bytes, parse_strict

KEYS_MAX = 4  # keys of one agent

_PRIVATE = frozenset({"d", "p", "q", "dp", "dq", "qi", "oth", "k", "priv"})
_MAY_SAY: Mapping[str, tuple[Json, ...]] = {
    "kty": ("OKP",),
    "crv": ("Ed25519",),
    "alg": ("Ed25519", "EdDSA"),
    "use": ("sig",),
    "key_ops": (["verify"],),
}
_FIX = 'register the public part: {"kty": "OKP", "crv": "Ed25519", "x": "..."}'

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


def read_agent_key(jwk: JsonObject) -> JsonObject:
    """Return the key to register: an Ed25519 public key (RFC 8037) with its thumbprint as `kid`.

    Raises:
        InputRefusedError: `key_private` when a private part was sent, of which nothing is repeated; `key_invalid`.
    """
    if jwk.keys() & _PRIVATE:
        fix = "make a new key pair, this one has been seen; register its public part"
        raise InputRefusedError("key_private", "that is a private key, or a shared one", fix)
    if jwk.keys() - _MAY_SAY.keys() - {"x", "kid"} or not {"kty", "crv", "x"} <= jwk.keys():
        raise InputRefusedError("key_invalid", "not the members of an Ed25519 public key", _FIX)
    wrong = next((name for name, right in _MAY_SAY.items() if name in jwk and jwk[name] not in right), None)
    if wrong is not None:
        raise InputRefusedError("key_invalid", f"`{wrong}` is not that of an Ed25519 key for signatures", _FIX)
    x = _point(jwk["x"])
    kid = _thumbprint(x)
    if jwk.get("kid", kid) != kid:
        fix = f'leave `kid` out, and name the key "{kid}" in assertions'
        raise InputRefusedError("key_invalid", "`kid` is not the key's thumbprint", fix)
    return {"kty": "OKP", "crv": "Ed25519", "use": "sig", "x": x, "kid": kid}


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


def _point(x: Json) -> str:
    """Check `x`: 32 bytes in base64url without padding, written in the one way (RFC 8037, section 2)."""
    if not isinstance(x, str) or len(x) != 43 or not x.isascii():
        raise InputRefusedError("key_invalid", "`x` is not 32 bytes in base64url", _FIX)
    try:
        raw = b64decode(f"{x}=", b"-_", validate=True)
    except (binascii.Error, ValueError) as error:
        raise InputRefusedError("key_invalid", "`x` is not 32 bytes in base64url", _FIX) from error
    if _base64url(raw) != x:
        raise InputRefusedError("key_invalid", "`x` is not 32 bytes in base64url", _FIX)
    if raw[:31] + bytes([raw[31] & 0x7F]) in _WEAK:
        raise InputRefusedError("key_invalid", "`x` is a key that anybody can sign for", "make a new key pair")
    return x


def _thumbprint(x: str) -> str:
    """Name a key by its thumbprint (RFC 7638, section 3; RFC 8037, section 2)."""
    return _base64url(hashlib.sha256(canonical_bytes({"crv": "Ed25519", "kty": "OKP", "x": x})).digest())


def _base64url(raw: bytes) -> str:
    return urlsafe_b64encode(raw).rstrip(b"=").decode("ascii")
