"""Tokens of a foreign, certified provider, as our own verification sees them: algorithms, rotation, proofs, outages."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from datetime import UTC, datetime, timedelta

import pytest
from joserfc.jwk import ECKey
from tests.foreign.provider import BATCH, DESK, PORTAL, PORTAL_SECRET, Provider, dpop_proof, provider

from remit.adapters.oauth import DpopProofs
from remit.adapters.oidc import HttpFetch, Issuer, Issuers, IssuerUsers
from remit.identity import ClaimsMap, Presented, TokenRefusedError, UserToken
from remit.testing import ManualClock

OURS = "http://127.0.0.1:8700/mcp"
CLAIMS = ClaimsMap(attributes={"department": "department"}, roles={"user": frozenset({"support"})})
AGE_MAX_S = 600
RENEWABLE = timedelta(seconds=31)  # after which an unknown key has the keys renewed


@pytest.fixture
def corp(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Provider]:
    with provider(tmp_path_factory.mktemp("corp")) as one:
        yield one


class Door:
    """Where tokens of one issuer are presented. Its clock begins now, for the provider's is the machine's."""

    def __init__(self, corp: Provider) -> None:
        self.clock = ManualClock(datetime.now(UTC))
        issuer = Issuer(name="corp", issuer=corp.issuer, claims=CLAIMS, jwks_age_max_s=AGE_MAX_S)
        self.issuers = Issuers([issuer], HttpFetch(), self.clock)
        self.users = IssuerUsers(self.issuers, self.clock, DpopProofs(self.clock), epoch=lambda: 0)

    async def says(self, presented: Presented | str, audience: str = OURS) -> UserToken:
        shown = Presented(presented) if isinstance(presented, str) else presented
        return await self.users.user(shown, audience)

    async def code(self, presented: Presented | str, audience: str = OURS) -> str:
        """Return the code of the refusal; empty where there is none."""
        try:
            await self.says(presented, audience)
        except TokenRefusedError as error:
            return error.code
        return ""


def at_door(corp: Provider, act: Callable[[Door], Awaitable[None]]) -> None:
    async def go() -> None:
        door = Door(corp)
        try:
            await act(door)
        finally:
            await door.issuers.close()

    asyncio.run(go())


@pytest.mark.requirement("R2.1")
@pytest.mark.parametrize("algorithm", ["RS256", "ES256", "EdDSA", "Ed25519"])
def test_a_token_of_each_algorithm_says_who_it_is(corp: Provider, algorithm: str) -> None:
    corp.settings(algorithm=algorithm)
    token = corp.login("carol", PORTAL, OURS, secret=PORTAL_SECRET)

    async def act(door: Door) -> None:
        said = await door.says(token)
        assert (said.person.name, said.issuer, said.client_id) == ("corp:carol", "corp", PORTAL)
        assert (said.person.groups, said.person.roles) == (frozenset({"support"}), frozenset({"user"}))
        assert said.person.attributes == (("department", "returns"),)
        assert (said.may_act, said.key) == (frozenset({"refunds"}), "")

    at_door(corp, act)


def test_an_algorithm_that_is_not_allowed_is_refused_though_the_signature_is_good(corp: Provider) -> None:
    corp.settings(algorithm="PS256")
    token = corp.login("alice", DESK, OURS)

    async def act(door: Door) -> None:
        assert await door.code(token) == "token_invalid"

    at_door(corp, act)


@pytest.mark.requirement("R2.6")
def test_a_token_for_another_audience_or_of_another_provider_is_refused(
    corp: Provider, tmp_path_factory: pytest.TempPathFactory
) -> None:
    with provider(tmp_path_factory.mktemp("elsewhere")) as elsewhere:
        foreign = elsewhere.login("alice", DESK, OURS)
    other = corp.login("alice", DESK, "https://elsewhere.example/mcp")

    async def act(door: Door) -> None:
        assert await door.code(other) == "token_audience"
        assert await door.code(other, "https://elsewhere.example/mcp") == ""
        assert await door.code(foreign) == "token_issuer"

    at_door(corp, act)


@pytest.mark.requirement("R2.1")
def test_keys_that_rotate_while_it_runs_are_followed_and_retired_ones_end(corp: Provider) -> None:
    first = corp.login("alice", DESK, OURS)

    async def act(door: Door) -> None:
        assert await door.code(first) == ""
        corp.rotate()
        second = corp.login("alice", DESK, OURS)
        assert await door.code(second) == "token_invalid"  # (the keys were fetched just now: nobody makes us ask often)
        door.clock.advance(RENEWABLE)
        assert [await door.code(each) for each in (second, first)] == ["", ""]
        corp.rotate(retire=True)
        door.clock.advance(RENEWABLE)
        third = corp.login("bob", DESK, OURS)
        assert await door.code(third) == ""
        assert [await door.code(each) for each in (second, first)] == ["token_invalid"] * 2

    at_door(corp, act)


@pytest.mark.requirement("R2.1")
def test_known_keys_count_through_an_outage_until_they_are_too_old_and_it_is_said(corp: Provider) -> None:
    corp.settings(token_age_s=100 * AGE_MAX_S)
    token = corp.login("alice", DESK, OURS)

    async def act(door: Door) -> None:
        assert await door.code(token) == ""
        corp.settings(keys_fail=True)
        door.clock.advance(timedelta(seconds=AGE_MAX_S - 1))
        assert await door.code(token) == ""
        door.clock.advance(timedelta(seconds=10))
        with pytest.raises(TokenRefusedError, match=r"`corp` count: http 500") as caught:
            await door.says(token)
        assert caught.value.code == "issuer_unreachable"
        corp.settings(keys_fail=False)
        door.clock.advance(timedelta(seconds=10))
        assert await door.code(token) == ""

    at_door(corp, act)


@pytest.mark.requirement("R2.6")
def test_a_token_that_the_provider_bound_to_a_key_counts_with_its_proof_alone(corp: Provider) -> None:
    key, thief = ECKey.generate_key("P-256"), ECKey.generate_key("P-256")
    token = corp.login("alice", DESK, OURS, dpop=key)
    early = dpop_proof(key, "POST", OURS, token)

    def shown(by: ECKey, nonce: str, url: str = OURS) -> Presented:
        return Presented(token, "dpop", dpop_proof(by, "POST", url, token, nonce), "POST", OURS)

    async def act(door: Door) -> None:
        with pytest.raises(TokenRefusedError) as caught:  # (a proof from before the start may have been used before)
            await door.says(Presented(token, "dpop", early, "POST", OURS))
        assert caught.value.code == "dpop_nonce_required"
        nonce = caught.value.nonce
        once = shown(key, nonce)
        assert (await door.says(once)).key == key.thumbprint()
        assert await door.code(once) == "dpop_proof_replayed"
        assert await door.code(token) == "dpop_required"
        assert await door.code(shown(thief, nonce)) == "dpop_proof_invalid"
        assert await door.code(shown(key, nonce, f"{OURS}/elsewhere")) == "dpop_proof_invalid"

    at_door(corp, act)


@pytest.mark.requirement("R2.2")
def test_a_machines_own_token_names_no_person_whatever_it_proves(corp: Provider) -> None:
    key = ECKey.generate_key("P-256")
    token = corp.client_credentials(OURS, dpop=key)
    shown = Presented(token, "dpop", dpop_proof(key, "POST", OURS, token), "POST", OURS)

    async def act(door: Door) -> None:
        with pytest.raises(TokenRefusedError, match="a client's own and names no person") as caught:
            await door.says(shown)
        assert (caught.value.code, BATCH in caught.value.message) == ("token_invalid", False)

    at_door(corp, act)
