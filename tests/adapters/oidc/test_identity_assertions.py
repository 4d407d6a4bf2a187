"""Identity assertions (ID-JAG): one counts once, for one client, at one token service."""

import asyncio
from datetime import timedelta
from typing import Any

import pytest
from tests.adapters.oidc.foreign import (
    EC,
    ISSUER,
    MCP,
    NOW_S,
    OTHER,
    OTHER_RSA,
    RS,
    RSA,
    SERVICE,
    THUMBPRINT,
    Clock,
    Desk,
    claims,
    sign,
)

from remit.identity import TokenRefusedError

HEADER = {**RS, "typ": "oauth-id-jag+jwt"}


def assertion(header: Any = HEADER, key: Any = RSA, **changes: Any) -> str:
    said = {"aud": SERVICE, "jti": "one", "iat": NOW_S, "exp": NOW_S + 300, "resource": MCP, **changes}
    return sign(claims(**said), header, key)


async def code(desk: Desk, token: str, client_id: str = "desk-app") -> str:
    try:
        await desk.users.assertion(token, SERVICE, client_id)
    except TokenRefusedError as error:
        return error.code
    return ""


GOOD = assertion()
MUTANTS = {
    "an access token": assertion(header=RS),
    "no typ": assertion(header={"alg": "RS256", "kid": "r"}),
    "another key": assertion(key=OTHER_RSA),
    "another algorithm": assertion(key=EC),
    "another issuer": assertion(iss="https://evil.example"),
    "another audience": assertion(aud="https://other.example"),
    "our resource as audience": assertion(aud=MCP),
    "two audiences": assertion(aud=[SERVICE, "https://other.example"]),
    "no audience": assertion(aud=None),
    "another client": assertion(client_id="other-app"),
    "no client": assertion(client_id=None),
    "azp instead of client": assertion(client_id=None, azp="desk-app"),
    "another resource": assertion(resource="https://other.example/mcp"),
    "one resource more": assertion(resource=[MCP, "https://other.example/mcp"]),
    "resources empty": assertion(resource=[]),
    "resource an object": assertion(resource={}),
    "no jti": assertion(jti=None),
    "jti empty": assertion(jti=""),
    "jti a number": assertion(jti=1),
    "jti too long": assertion(jti="j" * 257),
    "lives too long": assertion(exp=NOW_S + 301),
    "expired": assertion(iat=NOW_S - 300, exp=NOW_S - 30),
    "from the future": assertion(iat=NOW_S + 31, exp=NOW_S + 60),
    "from before the start": assertion(iat=NOW_S - 1, exp=NOW_S + 60),
    "no exp": assertion(exp=None),
    "no sub": assertion(sub=None),
    "a client's own": assertion(sub="desk-app"),
    "bound": assertion(cnf={"jkt": THUMBPRINT}),
    "rubbish": "a.b.c",
}


@pytest.mark.requirement("R2.6")
@pytest.mark.parametrize("name", MUTANTS)
def test_a_changed_assertion_is_refused_and_uses_up_nothing(name: str) -> None:
    async def scenario() -> None:
        desk = Desk()
        assert await code(desk, MUTANTS[name]) == "assertion_invalid"
        assert not await code(desk, GOOD)

    asyncio.run(scenario())


@pytest.mark.requirement("R2.4")
@pytest.mark.parametrize(
    "token",
    [
        GOOD,
        assertion(resource=None),
        assertion(resource=[MCP]),
        assertion(aud=[SERVICE]),
        assertion(iat=NOW_S + 30, exp=NOW_S + 330),
    ],
)
def test_a_good_assertion_names_its_person_once(token: str) -> None:
    async def scenario() -> None:
        desk = Desk()
        found = await desk.users.assertion(token, SERVICE, "desk-app")
        assert (found.person.name, found.issuer, found.client_id) == ("corp:alice", "corp", "desk-app")
        assert found.person.groups == {"staff", "payments"}
        assert found.expires_at - found.issued_at == timedelta(minutes=5)
        assert await code(desk, token) == "assertion_replayed"
        assert await code(desk, assertion(jti="two")) == ""

    asyncio.run(scenario())


def test_an_assertion_is_nobodys_access_token_and_the_other_way_round() -> None:
    async def scenario() -> None:
        desk = Desk()
        assert await desk.code(assertion(aud=MCP)) == "token_invalid"
        assert not await desk.code(sign(claims(), RS, RSA))

    asyncio.run(scenario())


def test_another_client_cannot_use_up_an_assertion_and_nobody_is_no_client() -> None:
    async def scenario() -> None:
        desk = Desk()
        assert await code(desk, GOOD, "other-app") == "assertion_invalid"
        assert await code(desk, assertion(client_id=""), "") == "assertion_invalid"
        assert not await code(desk, GOOD)

    asyncio.run(scenario())


def test_what_was_used_is_remembered_until_it_would_not_count_and_no_longer() -> None:
    async def scenario() -> None:
        desk = Desk()
        assert not await code(desk, GOOD)
        desk.clock.advance(seconds=329)
        assert await code(desk, GOOD) == "assertion_replayed"
        desk.clock.advance(seconds=1)
        assert await code(desk, GOOD) == "assertion_invalid", "it has expired"
        fresh = assertion(iat=NOW_S + 330, exp=NOW_S + 600)
        assert not await code(desk, fresh)

    asyncio.run(scenario())


def test_where_there_is_no_room_to_remember_one_it_does_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("remit.adapters.oidc._seen.SEEN_MAX", 2)

    async def scenario() -> None:
        desk = Desk()
        seen = [await code(desk, assertion(jti=str(n))) for n in range(3)]
        assert seen == ["", "", "assertion_replayed"]

    asyncio.run(scenario())


@pytest.mark.requirement("R2.6")
def test_an_assertion_that_was_used_does_not_count_after_a_restart() -> None:
    async def scenario() -> None:
        clock = Clock()
        assert not await code(Desk(clock=clock), GOOD)
        clock.advance(seconds=1)
        restarted = Desk(clock=clock)
        assert await code(restarted, GOOD) == "assertion_invalid"
        assert not await code(restarted, assertion(iat=NOW_S + 1)), "(issued since)"

    asyncio.run(scenario())


@pytest.mark.requirement("R2.6")
@pytest.mark.parametrize(("started", "first"), [(0.0, 0), (0.001, 1), (0.999, 1), (1.0, 1)])
def test_assertions_count_from_the_first_full_second_of_the_gateway_on(started: float, first: int) -> None:
    async def scenario() -> None:
        desk = Desk(clock=Clock(timedelta(seconds=started)))
        assert await code(desk, assertion(iat=NOW_S + first - 1)) == "assertion_invalid"
        assert not await code(desk, assertion(iat=NOW_S + first))

    asyncio.run(scenario())


@pytest.mark.requirement("R2.6")
def test_what_one_issuer_has_asserted_takes_no_room_from_another(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("remit.adapters.oidc._seen.SEEN_MAX", 2)

    async def scenario() -> None:
        desk = Desk(also=(OTHER,))
        others = [await code(desk, assertion(iss=OTHER.issuer, jti=jti)) for jti in ("one", "two", "three")]
        assert others == ["", "", "assertion_replayed"], "its own room is full"
        assert not await code(desk, GOOD), "the same `jti`, of another issuer"
        assert await code(desk, GOOD) == "assertion_replayed"

    asyncio.run(scenario())


def test_an_issuer_that_cannot_be_reached_is_said_as_such() -> None:
    async def scenario() -> None:
        desk = Desk()
        desk.published.down = True
        assert await code(desk, GOOD) == "issuer_unreachable"
        assert desk.published.asked[0].startswith(ISSUER)

    asyncio.run(scenario())
