"""Proofs that a request comes from the holder of a key (RFC 9449), checked in the order of its section 4.3.

A proof counts for one request, once, and soon. What cannot be known to be the first use is asked for again with a
nonce of ours (section 8): a proof from before the gateway started, or from a clock ahead of ours.
"""

import hmac
import math
import secrets
from base64 import urlsafe_b64encode
from collections.abc import Callable
from functools import lru_cache
from urllib.parse import urlsplit

from remit.adapters.oauth._jose import (
    ALGORITHMS,
    PublicKey,
    header_of,
    is_moment,
    public_key,
    signed_claims,
    thumbprint_of,
)
from remit.adapters.oauth._once import Once
from remit.core import Json, JsonObject
from remit.identity import Presented, TokenRefusedError
from remit.pipeline import Clock

TYP = "dpop+jwt"
SIGNED_WITH = tuple(name for names in ALGORITHMS.values() for name in names)
"""What proofs may be signed with (`dpop_signing_alg_values_supported`, section 5.1)."""

PROOF_BYTES_MAX = 4_096
URL_CHARACTERS_MAX = 2_048
JTI_MAX = 128  # characters
SKEW_S = 30  # seconds that a client's clock may be ahead of ours, with a nonce
LEAD_S = 1  # seconds that it may be ahead without one
NONCE_WINDOW_S = 150  # a nonce counts in the window it was made in, and the next
REPLAYS_EACH_MAX = 50_000  # proofs of one key that could still come again
REPLAYS_MAX = 200_000
KEYS_MAX = 1_000  # keys kept ready; emptied when full

_PORTS = {"http": 80, "https": 443}
_FIX = (
    "sign a new proof for this request: typ dpop+jwt, alg, jwk; htm, htu, iat now, a new jti, and ath where a token is"
)


class DpopProofs:
    """Verifies proofs (`identity.Proofs`). Remembers in memory what it has seen, and makes its own nonces.

    `random` gives the key that nonces are made with, so those of another process never count.
    """

    def __init__(
        self,
        clock: Clock,
        *,
        random: Callable[[int], bytes] = secrets.token_bytes,
        proof_age_max_s: int = 60,
        nonce_required: bool = False,
    ) -> None:
        self._clock = clock
        self._age_max_s = proof_age_max_s
        self._nonce_required = nonce_required
        self._secret = random(32)
        self._started_s = math.ceil(clock.now().timestamp())
        self._once = Once(REPLAYS_EACH_MAX, REPLAYS_MAX)
        self._keys: dict[str, PublicKey] = {}

    def thumbprint(self, presented: Presented, *, only: str = "") -> str:
        """See `Proofs.thumbprint`. With `only`, the proof of any other key is refused before it costs anything."""
        proof = presented.proof
        header = proof.partition(".")[0]
        key = self._key(proof, header)  # (2), (4), (5), (7)
        if only and key.thumbprint != only:
            raise _invalid("it is of another key than the token")
        claims = signed_claims(key.key, proof)  # (6)
        if claims is None:
            raise _invalid("its signature does not hold")
        self._keep(header, key)
        wrong = _wrong_request(claims, presented) or _wrong_jti(claims.get("jti"))  # (3), (8), (9), (12)
        if wrong:
            raise _invalid(wrong)
        now_s = self._clock.now().timestamp()
        issued_s = self._issued_s(claims, now_s)  # (10), (11)
        if not self._once.is_new(key.thumbprint, str(claims["jti"]), issued_s + self._age_max_s + 1, now_s):
            raise TokenRefusedError("dpop_proof_replayed", "the DPoP proof was used before, or too many are", _FIX)
        return key.thumbprint

    def nonce(self) -> str:
        """Return a nonce that counts for the next 150 to 300 seconds."""
        return self._nonce(self._window())

    def _key(self, proof: str, header: str) -> PublicKey:
        if len(proof) > PROOF_BYTES_MAX or not proof.isascii():
            raise _invalid("it is missing, or not a signed token of at most 4 KiB")
        known = self._keys.get(header)
        if known is not None:
            return known
        said = header_of(proof)
        if not isinstance(said, dict) or said.keys() != {"typ", "alg", "jwk"} or said["typ"] != TYP:
            raise _invalid("its header is not `typ` dpop+jwt, `alg` and `jwk`, and nothing else")
        key = public_key(said["jwk"])
        # (The list is asked so that `alg` fits the key; joserfc would refuse it too, as a signature that fails.)
        if key is None or said["alg"] not in ALGORITHMS[key.key.key_type]:
            raise _invalid("`jwk` is not the public key of `alg`: Ed25519, ES256, or RS256 with 2048 bits or more")
        return key

    def _keep(self, header: str, key: PublicKey) -> None:
        """Keep ready the key of a header that was proven: the same one comes with every request of a client."""
        if header not in self._keys:
            if len(self._keys) >= KEYS_MAX:
                self._keys.clear()
            self._keys[header] = key

    def _issued_s(self, claims: JsonObject, now_s: float) -> int:
        issued, nonce = claims.get("iat"), claims.get("nonce")
        if not is_moment(issued) or not now_s - self._age_max_s <= issued <= now_s + SKEW_S:
            raise _invalid(f"`iat` is not a time within the last {self._age_max_s} s")
        unsure = not self._started_s <= issued <= now_s + LEAD_S
        if (nonce is None and "nonce" not in claims and not unsure and not self._nonce_required) or self._is_ours(
            nonce
        ):
            return issued
        said = "a DPoP proof with a nonce of this gateway is asked for"
        fix = "sign a new proof with the nonce in the answer's `DPoP-Nonce`"
        raise TokenRefusedError("dpop_nonce_required", said, fix, nonce=self.nonce())

    def _is_ours(self, nonce: Json) -> bool:
        if not isinstance(nonce, str) or not nonce.isascii():
            return False
        window = self._window()
        good = [hmac.compare_digest(nonce, self._nonce(each)) for each in (window, window - 1)]
        return any(good)

    def _window(self) -> int:
        return int(self._clock.now().timestamp()) // NONCE_WINDOW_S

    def _nonce(self, window: int) -> str:
        made = hmac.digest(self._secret, b"dpop-nonce:%d" % window, "sha256")
        return urlsafe_b64encode(made[:24]).decode("ascii")


def _wrong_request(claims: JsonObject, presented: Presented) -> str:
    htu = claims.get("htu")
    if claims.get("htm") != presented.method:
        return "`htm` is not the method of this request"
    if not isinstance(htu, str) or not htu or _target(htu) != _target(presented.url) or not _target(htu):
        return "`htu` is not the address of this request"
    if not presented.token:
        return "`ath` is of a token that did not come along" if "ath" in claims else ""
    if claims.get("ath") != thumbprint_of(presented.token.encode("utf-8", "surrogatepass")):
        return "`ath` is not the digest of the token"
    return ""


def _wrong_jti(jti: Json) -> str:
    good = isinstance(jti, str) and 0 < len(jti) <= JTI_MAX and jti.isascii() and jti.isprintable()
    return "" if good else f"`jti` is not 1 to {JTI_MAX} printable characters"


@lru_cache(maxsize=256)
def _target(url: str) -> str:
    """Return an address without query and fragment, scheme and host in lower case, the port only where it is unusual.

    Empty for what is no http address (RFC 9449, section 4.3, number 9; RFC 3986, sections 6.2.2 and 6.2.3).
    """
    if len(url) > URL_CHARACTERS_MAX or not url.isascii() or not url.isprintable() or " " in url:
        return ""  # (the parser would take some of these out, and make two addresses one)
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        return ""
    usual = _PORTS.get(parts.scheme)
    if usual is None or not host or "@" in parts.netloc:
        return ""
    named = f"[{host}]" if ":" in host else host
    where = named if port in (None, usual) else f"{named}:{port}"
    return f"{parts.scheme}://{where}{parts.path or '/'}"


def _invalid(why: str) -> TokenRefusedError:
    return TokenRefusedError("dpop_proof_invalid", f"the DPoP proof does not count: {why}", _FIX)
