"""An issuer's public keys (RFC 7517): the ones that verify signatures here. Whatever else is in its set is skipped."""

import re
from base64 import urlsafe_b64decode
from collections.abc import Mapping
from dataclasses import dataclass, field

from joserfc import jws
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, OKPKey, RSAKey

from remit.adapters.oidc._fetch import FetchFailedError
from remit.core import InputRefusedError, Json, JsonObject, parse_strict
from remit.identity import read_agent_key

KEYS_MAX = 100  # keys in one set
KID_MAX = 256  # characters
RSA_BITS = range(2048, 8192 + 1)
EXPONENT_BYTES_MAX = 4  # of an RSA key: a longer one only makes every check slow

FAMILIES: Mapping[str, str] = {"EdDSA": "Ed25519", "Ed25519": "Ed25519", "ES256": "ES256", "RS256": "RS256"}
"""The algorithms that count (RFC 9864 for the first two, which are one; RFC 7518, section 3.1), by their names."""

_MEMBERS = {"OKP": ("crv", "x"), "EC": ("crv", "x", "y"), "RSA": ("n", "e")}
_KINDS = {("OKP", "Ed25519"): "Ed25519", ("EC", "P-256"): "ES256", ("RSA", ""): "RS256"}
_BASE64URL = re.compile(r"[A-Za-z0-9_-]+", re.ASCII)


@dataclass(frozen=True, slots=True)
class PublicKey:
    """One key. `family` is the only algorithm it is good for, `said` what makes it this key."""

    kid: str
    family: str
    said: tuple[str, ...]
    key: OKPKey | ECKey | RSAKey = field(compare=False)

    def signed(self, message: bytes, signature: bytes) -> bool:
        """Whether this key made `signature` over `message`."""
        return jws.JWSRegistry.algorithms[self.family].verify(message, signature, self.key)


@dataclass(frozen=True, slots=True)
class KeySet:
    """The keys of one issuer that are good for verifying signatures."""

    keys: tuple[PublicKey, ...]

    def find(self, family: str, kid: str | None) -> PublicKey | None:
        """Return the key that a token names; where it names none, the only one there is."""
        if kid is None:
            only = self.keys[0] if len(self.keys) == 1 else None
            return only if only is not None and only.family == family else None
        return next((key for key in self.keys if (key.kid, key.family) == (kid, family)), None)


def read_key_set(body: bytes) -> KeySet:
    """Read a JWK set.

    Raises:
        FetchFailedError: it is none, or no key in it is good for anything here.
    """
    try:
        said = parse_strict(body)
    except InputRefusedError as error:
        raise FetchFailedError(f"the key set is {error.message}") from error
    listed = said.get("keys") if isinstance(said, dict) else None
    if not isinstance(listed, list) or len(listed) > KEYS_MAX:
        raise FetchFailedError(f"the key set is no list of at most {KEYS_MAX} `keys`")
    keys = tuple(key for each in listed if isinstance(each, dict) and (key := _key(each)) is not None)
    if not keys:
        raise FetchFailedError("the key set has no key of EdDSA, ES256 or RS256 for signatures")
    return KeySet(keys)


def _key(jwk: JsonObject) -> PublicKey | None:
    """Read one key; None for what is not one that counts here."""
    kind, kid = jwk.get("kty"), jwk.get("kid", "")
    members = _MEMBERS.get(kind) if isinstance(kind, str) else None
    # (A private part that is published: whoever read it signs as the issuer does.)
    if members is None or "d" in jwk or not isinstance(kid, str) or len(kid) > KID_MAX:
        return None
    said = tuple(value for name in members if isinstance(value := jwk.get(name), str))
    family = _KINDS.get((str(kind), said[0] if said and "crv" in members else ""))
    if family is None or len(said) != len(members) or not all(map(_BASE64URL.fullmatch, said)):
        return None
    if not _is_for_signatures(jwk, family):
        return None
    key = _imported(str(kind), dict(zip(members, said, strict=True)))
    return None if key is None else PublicKey(kid, family, said, key)


def _is_for_signatures(jwk: JsonObject, family: str) -> bool:
    operations = jwk.get("key_ops", ["verify"])
    return (
        jwk.get("use", "sig") == "sig"
        and isinstance(operations, list)
        and "verify" in operations
        and _family(jwk.get("alg", family)) == family
    )


def _family(alg: Json) -> str | None:
    return FAMILIES.get(alg) if isinstance(alg, str) else None


def _imported(kind: str, said: dict[str, str]) -> OKPKey | ECKey | RSAKey | None:
    try:
        if kind == "OKP":
            read_agent_key({"kty": kind, **said})  # (refuses the points that anybody can sign for)
            return OKPKey.import_key({"kty": kind, **said})
        if kind == "EC":
            return ECKey.import_key({"kty": kind, **said})
        return RSAKey.import_key({"kty": kind, **said}) if _is_sound_rsa(said) else None
    except (InputRefusedError, JoseError, ValueError, TypeError):
        return None


def _is_sound_rsa(said: Mapping[str, str]) -> bool:
    modulus, exponent = (urlsafe_b64decode(said[name] + "=" * (-len(said[name]) % 4)) for name in ("n", "e"))
    return int.from_bytes(modulus).bit_length() in RSA_BITS and 0 < len(exponent) <= EXPONENT_BYTES_MAX
