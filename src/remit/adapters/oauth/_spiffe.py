"""Workload identities: JWT-SVIDs as client assertions (SPIFFE JWT-SVID; draft-ietf-oauth-spiffe-client-auth).

1. The header is `alg`, `kid` and at most `typ`, and `sub` is a SPIFFE ID that is registered for one agent alone.
2. The key of that name in the bundle of the ID's own trust domain signed it, with ES256 or RS256.
3. It is made out to our token endpoint or issuer alone, made since we started, and lives an hour at most.
4. It was never seen before: an SVID has no `jti`, so it is known by what was signed.
"""

import hashlib
import re
from collections.abc import Callable, Collection, Mapping

from remit.adapters.oauth._assertions import REPLAYS_EACH_MAX, REPLAYS_MAX, refused, wrong_time
from remit.adapters.oauth._jose import PublicKey, header_of, is_moment, public_key, signed_claims, unproven_claims
from remit.adapters.oauth._once import Once
from remit.core import Json
from remit.identity import AuthenticatedAgent, Registration
from remit.pipeline import Clock

METHOD = "spiffe_jwt"
LIFE_MAX_S = 3_600  # seconds
ID_CHARACTERS_MAX = 2_048  # (SPIFFE-ID, section 2.3)
BUNDLE_KEYS_MAX = 64  # keys looked at in one trust domain's bundle

Registrations = Callable[[], Mapping[str, Registration]]

_ID = re.compile(r"spiffe://(?P<domain>[a-z0-9._-]{1,255})(/(?!\.{1,2}(/|$))[A-Za-z0-9._-]+)+", re.ASCII)
_FIX = "fetch a new JWT-SVID for the token endpoint alone; its ID is registered in the agent's agent.yaml"


class Workloads:
    """Which agent a SPIFFE ID is: the only one that it is registered for."""

    def __init__(self, registrations: Registrations) -> None:
        self._registrations = registrations

    def agent(self, spiffe_id: str) -> str:
        """Return the agent; empty where the ID is nobody's, or more than one agent's."""
        agents = [name for name, each in self._registrations().items() if spiffe_id in each.spiffe]
        return agents[0] if len(agents) == 1 else ""

    def has_any(self, agent: str) -> bool:
        """Whether a SPIFFE ID is registered for `agent`."""
        registration = self._registrations().get(agent)
        return registration is not None and bool(registration.spiffe)


class JwtSvids:
    """Authenticates agents by their JWT-SVIDs. `trust` is each trust domain's JWK set (SPIFFE Trust Domain and Bundle).

    `audiences` are the token endpoint's URL and the issuer's.
    """

    def __init__(
        self, workloads: Workloads, trust: Mapping[str, Json], audiences: Collection[str], clock: Clock
    ) -> None:
        self._workloads = workloads
        self._trust = trust
        self._audiences = [form for each in audiences for form in (each, [each])]
        self._clock = clock
        self._started_s = int(clock.now().timestamp())
        self._once = Once(REPLAYS_EACH_MAX, REPLAYS_MAX)

    def proven(self, svid: str) -> AuthenticatedAgent:
        """Return the agent whose workload `svid` identifies.

        Raises:
            TokenRefusedError: `assertion_invalid`.
        """
        said = unproven_claims(svid)
        spiffe_id = said.get("sub") if isinstance(said, dict) else None
        found = _ID.fullmatch(spiffe_id) if isinstance(spiffe_id, str) and len(spiffe_id) <= ID_CHARACTERS_MAX else None
        agent = self._workloads.agent(found[0]) if found else ""  # (1)
        key = _named(self._trust.get(found["domain"]), header_of(svid)) if found and agent else None
        if key is None:
            raise refused("no agent has that workload identity, or no key of its trust domain signs it", _FIX)
        claims = signed_claims(key.key, svid)  # (2)
        if claims is None:
            raise refused("its signature does not hold", _FIX)
        now_s = self._clock.now().timestamp()
        if claims.get("aud") not in self._audiences:  # (3)
            raise refused("`aud` is not the token endpoint's URL or the issuer's, and nothing else", _FIX)
        wrong = wrong_time(claims, now_s, LIFE_MAX_S, self._started_s)
        if wrong:
            raise refused(wrong, _FIX)
        if not self._is_new(agent, svid, claims["exp"], now_s):  # (4)
            raise refused("it was used before, or too many are in use", _FIX)
        return AuthenticatedAgent(agent, key.thumbprint, METHOD)

    def _is_new(self, agent: str, svid: str, expires: Json, now_s: float) -> bool:
        # The signature is left out: an ECDSA signature can be written in two ways by anybody who has seen one.
        signed = svid.rpartition(".")[0].encode("ascii")
        return is_moment(expires) and self._once.is_new(agent, hashlib.sha256(signed).hexdigest(), expires, now_s)


def is_spiffe_id(text: str) -> bool:
    """Whether `text` is a workload's SPIFFE ID (SPIFFE-ID, section 2)."""
    return len(text) <= ID_CHARACTERS_MAX and _ID.fullmatch(text) is not None


def _named(jwks: Json, header: Json) -> PublicKey | None:
    """Return the one key of a bundle that a header of the form we take names, to sign JWT-SVIDs with."""
    if not isinstance(header, dict) or header.keys() - {"typ"} != {"alg", "kid"}:
        return None
    if header.get("typ", "JWT") not in ("JWT", "JOSE"):
        return None
    keys = jwks.get("keys") if isinstance(jwks, dict) else None
    named = [
        each
        for each in (keys[:BUNDLE_KEYS_MAX] if isinstance(keys, list) else ())
        if isinstance(each, dict) and each.get("kid") == header["kid"] and each.get("use") in ("jwt-svid", "sig")
    ]
    return public_key(named[0]) if len(named) == 1 and named[0].get("kty") in ("EC", "RSA") else None
