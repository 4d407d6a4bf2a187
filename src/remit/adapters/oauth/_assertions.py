"""How an agent proves that it is itself: an assertion signed with its own key (RFC 7523, `private_key_jwt`).

1. The header is one of the few there are, and names a key of the agent that the assertion speaks of.
2. That key signed it.
3. It is the agent's own, made out to us (our issuer, or our token endpoint), made since we started, and short-lived.
4. It was never seen before.

Whatever is wrong, the code is `assertion_invalid`: an attacker learns no more from it.
"""

from collections.abc import Callable, Mapping

from remit.adapters.oauth._jose import (
    ALGORITHMS,
    Key,
    header_of,
    is_moment,
    is_name_text,
    key_of,
    signed_claims,
    unproven_claims,
)
from remit.adapters.oauth._once import Once
from remit.core import InputRefusedError, Json, JsonObject
from remit.identity import X509, AuthenticatedAgent, TokenRefusedError, agent_keys
from remit.pipeline import Clock

METHOD = "private_key_jwt"
LIFE_MAX_S = 300  # seconds from `iat` to `exp`
SKEW_S = 30  # seconds that an agent's clock may be ahead of ours
JTI_MAX = 128  # characters
REPLAYS_EACH_MAX = 1_000  # unexpired assertions remembered of one agent
REPLAYS_MAX = 100_000

_FIX = (
    "sign a new assertion with a registered key: iss, sub, aud (the issuer, or the token endpoint), jti, iat, "
    "exp <= iat + 300"
)


class AgentKeys:
    """Agents' registered keys and certificates. `lookup` returns the text of an agent's JWK set, empty without one.

    They are read afresh at every use: one that was taken away is gone at once.
    """

    def __init__(self, lookup: Callable[[str], str]) -> None:
        self._lookup = lookup

    def has_key(self, agent: str) -> bool:
        """Whether `agent` has a key or a certificate."""
        return bool(self._lookup(agent))

    def find(self, agent: str, kid: str) -> Key | None:
        """Return one of an agent's keys."""
        kept = self._kept(agent).get(kid)
        return None if kept is None or kept["kty"] == X509 else key_of(kept)

    def has_certificate(self, agent: str, thumbprint: str) -> bool:
        """Whether a certificate is registered for `agent`."""
        kept = self._kept(agent).get(thumbprint)
        return kept is not None and kept["kty"] == X509

    def _kept(self, agent: str) -> Mapping[str, JsonObject]:
        try:
            return agent_keys(self._lookup(agent))
        except InputRefusedError:
            return {}  # what is not a set of keys has no key in it


class ClientAssertions:
    """Authenticates agents. Remembers in memory what it has seen, bounded.

    One of `audiences` is the one an assertion must be made out to: our issuer, or the token endpoint's URL (RFC 7523,
    section 3). The issuer is the better one: another server may name our endpoint as its own, and not our issuer.

    An assertion from before the start is refused, for nobody remembers whether it was used then.
    """

    def __init__(self, keys: AgentKeys, audiences: tuple[str, ...], clock: Clock) -> None:
        self._keys = keys
        self._audiences = audiences
        self._clock = clock
        self._started_s = int(clock.now().timestamp())
        self._once = Once(REPLAYS_EACH_MAX, REPLAYS_MAX)

    def proven(self, assertion: str) -> AuthenticatedAgent:
        """Return the agent that signed `assertion`.

        Raises:
            TokenRefusedError: `assertion_invalid`.
        """
        agent, kid = _agent_of(unproven_claims(assertion)), _kid_of(header_of(assertion))  # (1)
        key = self._keys.find(agent, kid) if agent and kid else None
        if key is None:
            raise refused("no key of that agent signs it", _FIX)
        claims = signed_claims(key, assertion)  # (2)
        if claims is None:
            raise refused("its signature does not hold", _FIX)
        now_s = self._clock.now().timestamp()
        wrong = self._wrong(claims, agent, now_s)  # (3)
        if wrong:
            raise refused(wrong, _FIX)
        expires = claims["exp"]
        if not (is_moment(expires) and self._once.is_new(agent, str(claims["jti"]), expires, now_s)):  # (4)
            raise refused("it was used before, or too many are in use", _FIX)
        return AuthenticatedAgent(agent, kid, METHOD)

    def _wrong(self, claims: JsonObject, agent: str, now_s: float) -> str:
        if (claims.get("iss"), claims.get("sub")) != (agent, agent):
            return "`iss` and `sub` are not both the agent"
        if claims.get("aud") not in (*self._audiences, *([each] for each in self._audiences)):
            return "`aud` is neither our issuer nor our token endpoint, or more than that"
        return wrong_time(claims, now_s, LIFE_MAX_S, self._started_s) or _wrong_jti(claims.get("jti"))


def wrong_time(claims: JsonObject, now_s: float, life_max_s: int, started_s: int) -> str:
    """Return what is wrong with the times of an assertion; empty where nothing is."""
    issued, expires, begins = claims.get("iat"), claims.get("exp"), claims.get("nbf", 0)
    if not (is_moment(issued) and is_moment(expires) and is_moment(begins)):
        return "`iat` and `exp` are not times in whole seconds"
    if max(issued, begins) > now_s + SKEW_S:
        return "it is from the future"
    if not now_s < expires <= issued + life_max_s:
        return f"it has expired, or lives longer than {life_max_s} s"
    return "it was made before the gateway started" if issued < started_s else ""


def refused(why: str, fix: str) -> TokenRefusedError:
    """Return the one refusal of assertions."""
    return TokenRefusedError("assertion_invalid", f"the client assertion does not count: {why}", fix)


def _agent_of(claims: Json) -> str:
    said = claims.get("sub") if isinstance(claims, dict) else None
    return said if is_name_text(said) else ""


def _kid_of(header: Json) -> str:
    """Return the `kid` of a header that has the very form we take; empty for any other."""
    kid = header.get("kid") if isinstance(header, dict) else None
    if not isinstance(kid, str):
        return ""
    names = (*ALGORITHMS["OKP"], *ALGORITHMS["EC"])
    forms = [{"alg": alg, "kid": kid, **typ} for alg in names for typ in ({}, {"typ": "JWT"})]
    return kid if header in forms else ""


def _wrong_jti(jti: Json) -> str:
    good = isinstance(jti, str) and 0 < len(jti) <= JTI_MAX and jti.isascii() and jti.isprintable()
    return "" if good else f"`jti` is not 1 to {JTI_MAX} printable characters"
