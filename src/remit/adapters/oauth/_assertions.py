"""How an agent proves that it is itself: an assertion signed with its own key (RFC 7523, `private_key_jwt`).

1. The header is one of the few there are, and names a key of the agent that the assertion speaks of.
2. That key signed it.
3. It is the agent's own, made out to our token endpoint, made since we started, and short-lived.
4. It was never seen before.

Whatever is wrong, the code is `assertion_invalid`: an attacker learns no more from it.
"""

import heapq
from collections.abc import Callable

from joserfc.jwk import OKPKey

from remit.adapters.oauth._jose import header_of, is_moment, is_name_text, signed_claims, unproven_claims
from remit.core import InputRefusedError, Json, JsonObject
from remit.identity import TokenRefusedError, agent_keys
from remit.pipeline import Clock

LIFE_MAX_S = 300  # seconds from `iat` to `exp`
SKEW_S = 30  # seconds that an agent's clock may be ahead of ours
JTI_MAX = 128  # characters
REPLAYS_MAX = 1_000  # unexpired assertions remembered of one agent

_FIX = "sign a new assertion for the token endpoint with a registered key: iss, sub, aud, jti, iat, exp <= iat + 300"


class AgentKeys:
    """Agents' registered keys. `lookup` returns the text of an agent's JWK set, empty when it has none."""

    def __init__(self, lookup: Callable[[str], str]) -> None:
        self._lookup = lookup

    def has_key(self, agent: str) -> bool:
        """See `Hands.has_key`."""
        return bool(self._lookup(agent))

    def find(self, agent: str, kid: str) -> OKPKey | None:
        """Return one of an agent's keys, read afresh: one that was taken away is gone at once."""
        try:
            key = agent_keys(self._lookup(agent)).get(kid)
        except InputRefusedError:
            return None  # what is not a set of keys has no key in it
        return None if key is None else OKPKey.import_key({"kty": "OKP", "crv": "Ed25519", "x": str(key["x"])})


class ClientAssertions:
    """Authenticates agents at `audience`, the token endpoint's URL. Remembers in memory what it has seen, bounded.

    An assertion from before the start is refused, for nobody remembers whether it was used then.
    """

    def __init__(self, keys: AgentKeys, audience: str, clock: Clock) -> None:
        self._keys = keys
        self._audience = audience
        self._clock = clock
        self._started_s = int(clock.now().timestamp())
        self._seen: dict[str, _Seen] = {}

    def agent(self, assertion: str) -> str:
        """See `Exchange.agent`."""
        agent, kid = _agent_of(unproven_claims(assertion)), _kid_of(header_of(assertion))  # (1)
        key = self._keys.find(agent, kid) if agent and kid else None
        if key is None:
            raise _refused("no key of that agent signs it")
        claims = signed_claims(key, assertion)  # (2)
        if claims is None:
            raise _refused("its signature does not hold")
        now_s = self._clock.now().timestamp()
        wrong = self._wrong(claims, agent, now_s)  # (3)
        if wrong:
            raise _refused(wrong)
        if not self._seen.setdefault(agent, _Seen()).is_new(str(claims["jti"]), claims["exp"], now_s):  # (4)
            raise _refused("it was used before, or too many are in use")
        return agent

    def _wrong(self, claims: JsonObject, agent: str, now_s: float) -> str:
        if (claims.get("iss"), claims.get("sub")) != (agent, agent):
            return "`iss` and `sub` are not both the agent"
        if claims.get("aud") not in (self._audience, [self._audience]):
            return "`aud` is not the token endpoint's URL, and nothing else"
        return self._wrong_time(claims, now_s) or _wrong_jti(claims.get("jti"))

    def _wrong_time(self, claims: JsonObject, now_s: float) -> str:
        issued, expires, begins = claims.get("iat"), claims.get("exp"), claims.get("nbf", 0)
        if not (is_moment(issued) and is_moment(expires) and is_moment(begins)):
            return "`iat` and `exp` are not times in whole seconds"
        if max(issued, begins) > now_s + SKEW_S:
            return "it is from the future"
        if not now_s < expires <= issued + LIFE_MAX_S:
            return f"it has expired, or lives longer than {LIFE_MAX_S} s"
        return "it was made before the gateway started" if issued < self._started_s else ""


class _Seen:
    """The unexpired assertions of one agent, the first to expire on top."""

    def __init__(self) -> None:
        self._ids: set[str] = set()
        self._expiries: list[tuple[int, str]] = []

    def is_new(self, jti: str, expires_s: Json, now_s: float) -> bool:
        """Remember an assertion; False when it is known, or when there is no room to remember it."""
        while self._expiries and self._expiries[0][0] <= now_s:
            self._ids.discard(heapq.heappop(self._expiries)[1])
        if jti in self._ids or len(self._ids) >= REPLAYS_MAX or not isinstance(expires_s, int):
            return False
        self._ids.add(jti)
        heapq.heappush(self._expiries, (expires_s, jti))
        return True


def _agent_of(claims: Json) -> str:
    said = claims.get("sub") if isinstance(claims, dict) else None
    return said if is_name_text(said) else ""


def _kid_of(header: Json) -> str:
    """Return the `kid` of a header that has the very form we take; empty for any other."""
    kid = header.get("kid") if isinstance(header, dict) else None
    if not isinstance(kid, str):
        return ""
    forms = [{"alg": alg, "kid": kid, **typ} for alg in ("Ed25519", "EdDSA") for typ in ({}, {"typ": "JWT"})]
    return kid if header in forms else ""


def _wrong_jti(jti: Json) -> str:
    good = isinstance(jti, str) and 0 < len(jti) <= JTI_MAX and jti.isascii() and jti.isprintable()
    return "" if good else f"`jti` is not 1 to {JTI_MAX} printable characters"


def _refused(why: str) -> TokenRefusedError:
    return TokenRefusedError("assertion_invalid", f"the client assertion does not count: {why}", _FIX)
