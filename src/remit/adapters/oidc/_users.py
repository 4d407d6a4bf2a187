"""The port `Users` over all issuers: access tokens (RFC 9068) and identity assertions (ID-JAG)."""

import hashlib
import hmac
import math
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

from remit.adapters.oidc._claims import (
    Bond,
    Times,
    audiences_of,
    bond_of,
    check_access,
    client_of,
    may_act_of,
    person_of,
    times_of,
)
from remit.adapters.oidc._issuers import Issuers, Proven
from remit.adapters.oidc._jwt import LOG_IN, SKEW_S, invalid
from remit.adapters.oidc._seen import Seen, is_jti
from remit.core import Json
from remit.identity import Presented, Proofs, TokenRefusedError, UserToken
from remit.pipeline import Clock

CACHE_MAX = 10_000  # verified tokens kept; emptied when full
ASSERTION_LIFE_MAX_S = 300  # from `iat` to `exp`

ACCESS = frozenset({"at+jwt", "jwt", ""})
"""The types of access tokens: RFC 9068, section 2.1, and what issuers write that are older than it."""

ASSERTION = frozenset({"oauth-id-jag+jwt"})
"""The type of identity assertion grants (draft-ietf-oauth-identity-assertion-authz-grant-04, section 3)."""

_ASSERT = "have the identity provider issue a new assertion for this client"


@dataclass(frozen=True, slots=True)
class _Known:
    """A token that was verified. Whether it still counts, here and for whoever presents it, is asked at every use."""

    proven: Proven
    says: UserToken
    audiences: frozenset[str]
    times: Times
    bond: Bond


class IssuerUsers:
    """Verifies what people bring from their issuers.

    A verified token is remembered until `epoch`, the count of revocations, or its issuer's keys change. `resources` are
    the addresses that an assertion may name as its resource: our own. `strict` are the audiences at which no issuer's
    further `audiences` count.

    Assertions issued before the start, rounded up to the next full second, are refused, for nobody remembers whether
    they were used then. No difference of clocks is allowed for there: one by an issuer whose clock is behind is refused
    for as long after the start; one by an issuer whose clock is ahead (30 s at most) and that was used may count once
    more, where the gateway started again within that time. What one issuer has asserted takes no room from another.
    """

    def __init__(  # noqa: PLR0913 - four ports, and two sets of addresses that are given by name
        self,
        issuers: Issuers,
        clock: Clock,
        proofs: Proofs,
        epoch: Callable[[], int],
        *,
        resources: frozenset[str] = frozenset(),
        strict: frozenset[str] = frozenset(),
    ) -> None:
        self._issuers = issuers
        self._clock = clock
        self._proofs = proofs
        self._epoch = epoch
        self._resources = resources
        self._strict = strict
        self._started_s = math.ceil(clock.now().timestamp())
        self._seen: defaultdict[str, Seen] = defaultdict(Seen)  # by issuer
        self._verified: dict[bytes, _Known] = {}
        self._verified_in = epoch()

    def knows(self, token: str) -> bool:
        """See `Users.knows`."""
        return _digest(token) in self._verified or self._issuers.knows(token)

    async def user(self, presented: Presented, audience: str) -> UserToken:
        """See `Users.user`.

        Raises:
            TokenRefusedError: `token_audience`, which says whose token it was, for its signature held; also
                `token_invalid`, `token_issuer`, `token_expired`, `issuer_unreachable`, `dpop_required`,
                `dpop_proof_invalid` and whatever else is wrong with a proof, `certificate_required`.
        """
        known = await self._known(presented.token)
        known.times.check(self._clock.now().timestamp())
        others = () if audience in self._strict else known.proven.issuer.audiences
        if audience not in known.audiences and known.audiences.isdisjoint(others):
            said = "the token was issued for another audience"
            raise TokenRefusedError("token_audience", said, LOG_IN, delegation=known.says.unattached())
        self._check_bond(known.bond, presented)
        return known.says

    async def assertion(self, token: str, audience: str, client_id: str) -> UserToken:
        """See `Users.assertion`.

        Raises:
            TokenRefusedError: `assertion_invalid`, whatever is wrong with it; `assertion_replayed`;
                `issuer_unreachable`.
        """
        try:
            known = _read(await self._issuers.proven(token, ASSERTION))
            now_s = self._clock.now().timestamp()
            known.times.check(now_s)
            jti = self._checked(known, audience, client_id)
        except TokenRefusedError as error:
            if error.code == "issuer_unreachable":
                raise
            said = f"the assertion does not count: {error.message}"
            raise TokenRefusedError("assertion_invalid", said, _ASSERT) from error
        if not self._seen[known.says.issuer].add(jti, known.times.expires_s + SKEW_S, now_s):
            said = "the assertion was used before, or too many are in use"
            raise TokenRefusedError("assertion_replayed", said, _ASSERT)
        return known.says

    async def _known(self, token: str) -> _Known:
        epoch = self._epoch()
        if epoch != self._verified_in or len(self._verified) >= CACHE_MAX:
            self._verified.clear()
            self._verified_in = epoch
        digest = _digest(token)
        known = self._verified.get(digest)
        if known is not None and known.proven.keys.counting() and known.proven.version == known.proven.keys.version:
            return known
        self._verified.pop(digest, None)
        known = _read(await self._issuers.proven(token, ACCESS))
        check_access(known.proven.kind, known.proven.claims)
        if self._epoch() == self._verified_in:  # (it may have changed while keys were fetched)
            self._verified[digest] = known
        return known

    def _check_bond(self, bond: Bond, presented: Presented) -> None:
        if bond.certificate and not hmac.compare_digest(bond.certificate, presented.certificate):
            said = "the token is bound to a TLS certificate that was not shown"
            raise TokenRefusedError("certificate_required", said, "connect with the certificate it was issued to")
        if not bond.dpop:
            if presented.scheme == "dpop":
                raise invalid("the token is bound to no key, yet it was presented as if it were")
            return
        if presented.scheme != "dpop":
            said = "the token is bound to a key, and no proof of it came along"
            raise TokenRefusedError("dpop_required", said, "send it as `Authorization: DPoP` with a `DPoP` proof")
        if not hmac.compare_digest(bond.dpop, self._proofs.thumbprint(presented)):
            said = "the proof is of another key than the token is bound to"
            raise TokenRefusedError("dpop_proof_invalid", said, "sign the proof with the key it was issued to")

    def _checked(self, known: _Known, audience: str, client_id: str) -> str:
        """Return the `jti` of an assertion that is for us and for this client."""
        claims, times = known.proven.claims, known.times
        if known.audiences != {audience}:
            raise invalid("`aud` is not this token service, and nothing else")
        if claims.get("client_id") != client_id:  # (which is never empty where it is one)
            raise invalid("it was issued to another client")
        if known.bond != Bond():
            raise invalid("it is bound to a key, which cannot be proven at this endpoint")
        if not self._are_ours(claims.get("resource")):
            raise invalid("`resource` is not served here")
        if times.expires_s - times.issued_s > ASSERTION_LIFE_MAX_S:
            raise invalid(f"it lives longer than {ASSERTION_LIFE_MAX_S} s")
        if times.issued_s < self._started_s:
            raise invalid("it was made before the gateway started")
        jti = claims.get("jti")
        if not is_jti(jti):
            raise invalid("`jti` is missing or too long")
        return str(jti)

    def _are_ours(self, resource: Json) -> bool:
        if resource is None:
            return True
        listed = resource if isinstance(resource, list) else [resource]
        return bool(listed) and all(isinstance(each, str) and each in self._resources for each in listed)


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()


def _read(proven: Proven) -> _Known:
    claims = proven.claims
    times, bond = times_of(claims), bond_of(claims)
    says = UserToken(
        person=person_of(proven.issuer, claims),
        issuer=proven.issuer.name,
        client_id=client_of(claims),
        issued_at=datetime.fromtimestamp(times.issued_s, UTC),
        expires_at=datetime.fromtimestamp(times.expires_s, UTC),
        may_act=may_act_of(claims),
        details=claims.get("authorization_details"),
        key=bond.dpop or bond.certificate,
    )
    return _Known(proven, says, audiences_of(claims), times, bond)
