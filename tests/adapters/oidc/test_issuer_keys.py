"""An issuer's keys: found, renewed and forgotten in time; what is wrong with the issuer is said, and known keys count.

What goes over the network does so to a real server on a loopback port.
"""

import asyncio
import json
from typing import Any

import pytest
from tests.adapters.oidc.foreign import (
    CORP,
    ISSUER,
    KEYS,
    MCP,
    OTHER_RSA,
    RS,
    RSA,
    Clock,
    Desk,
    Proofs,
    Published,
    claims,
    good,
    jwk,
    serving,
    sign,
)

from remit.adapters.oidc import FetchFailedError, HttpFetch, Issuer, Issuers, IssuerUsers, may_be_fetched
from remit.adapters.oidc._discovery import well_known
from remit.identity import Presented, TokenRefusedError

OPENID = "/.well-known/openid-configuration"
OAUTH = "/.well-known/oauth-authorization-server"
NEW_KEYS = {"keys": [jwk(OTHER_RSA, "new")]}


def new_token(kid: str = "new") -> str:
    return sign(claims(), {**RS, "kid": kid}, OTHER_RSA)


async def renewal(desk: Desk) -> None:
    """Wait until the fetch under way is over."""
    (keys,) = desk.issuers._keys.values()
    assert keys._renewal is not None
    await keys._renewal


def test_metadata_is_looked_for_where_both_standards_put_it() -> None:
    assert well_known("https://id.example.org") == (f"https://id.example.org{OPENID}", f"https://id.example.org{OAUTH}")
    assert well_known("https://id.example.org/a/b/") == (
        f"https://id.example.org/a/b{OPENID}",
        f"https://id.example.org{OAUTH}/a/b",
    )


@pytest.mark.requirement("R2.1")
def test_keys_are_fetched_once_for_any_number_of_tokens_at_once() -> None:
    async def scenario() -> None:
        desk = Desk()
        desk.published.hold = asyncio.Event()
        asking = [asyncio.create_task(desk.code(good(jti=str(n)))) for n in range(20)]
        await asyncio.sleep(0)
        desk.published.hold.set()
        assert await asyncio.gather(*asking) == [""] * 20
        assert desk.published.asked == [desk.published.at, desk.published.keys_at]

    asyncio.run(scenario())


@pytest.mark.requirement("R2.1")
def test_a_new_key_counts_at_its_first_token_and_unknown_ones_fetch_at_most_every_thirty_seconds() -> None:
    async def scenario() -> None:
        desk = Desk()
        assert not await desk.code(good())
        desk.clock.advance(seconds=30)
        desk.published.keys = {"keys": [*KEYS["keys"], *NEW_KEYS["keys"]]}
        assert not await desk.code(new_token())
        assert desk.published.times == 2
        for n in range(50):
            assert await desk.code(new_token(f"unknown{n}")) == "token_invalid"
        assert desk.published.times == 2
        desk.clock.advance(seconds=30)
        assert await desk.code(new_token("unknown")) == "token_invalid"
        assert desk.published.times == 3
        assert not await desk.code(good()), "and the others count as before"

    asyncio.run(scenario())


def test_a_key_that_was_replaced_under_the_same_name_is_found() -> None:
    async def scenario() -> None:
        desk = Desk()
        assert not await desk.code(good())
        desk.clock.advance(seconds=30)
        desk.published.keys = {"keys": [jwk(OTHER_RSA, "r")]}
        assert not await desk.code(new_token("r"))
        assert await desk.code(good()) == "token_invalid"

    asyncio.run(scenario())


@pytest.mark.requirement("R2.1")
def test_old_keys_are_renewed_in_passing_and_nobody_waits_for_it() -> None:
    async def scenario() -> None:
        desk = Desk()
        assert not await desk.code(good(exp=claims()["exp"] + 9_000))
        desk.clock.advance(seconds=1799)
        assert not await desk.code(good(exp=claims()["exp"] + 9_000))
        assert desk.published.times == 1
        desk.clock.advance(seconds=1)
        desk.published.keys, desk.published.hold = NEW_KEYS, asyncio.Event()
        long = good(exp=claims()["exp"] + 9_000)
        for _ in range(10):
            assert not await desk.code(long)  # nothing has arrived, and nobody waited
        desk.published.hold.set()
        await renewal(desk)
        assert await desk.code(long) == "token_invalid"
        assert desk.published.times == 2

    asyncio.run(scenario())


@pytest.mark.requirement("R2.1", "R2.6")
def test_known_keys_count_until_their_age_and_then_nothing_does_until_the_issuer_is_back() -> None:
    long = good(exp=claims()["exp"] + 9_000)

    async def scenario() -> None:
        desk = Desk()
        assert not await desk.code(long)
        desk.published.down = True
        desk.clock.advance(seconds=3599)
        assert not await desk.code(long)
        assert not await desk.code(good(exp=claims()["exp"] + 9_001))
        desk.clock.advance(seconds=1)
        assert await desk.code(long) == "issuer_unreachable", "though the token itself is remembered"
        with pytest.raises(TokenRefusedError, match="`corp` count: http 503"):
            await desk.users.user(Presented(long), MCP)
        desk.published.down = False
        desk.clock.advance(seconds=5)
        assert not await desk.code(long)

    asyncio.run(scenario())


def test_an_issuer_that_is_down_is_asked_at_most_every_five_seconds() -> None:
    async def scenario() -> None:
        desk = Desk(published=Published(down=True))
        for _ in range(20):
            assert await desk.code(good()) == "issuer_unreachable"
        assert desk.published.times == 1
        desk.clock.advance(seconds=5)
        desk.published.down = False
        assert not await desk.code(good())

    asyncio.run(scenario())


def test_a_request_waits_for_keys_within_its_bound_and_the_fetch_ends_with_it() -> None:
    async def scenario() -> None:
        desk = Desk(wait_s=0.05)
        desk.published.hold = asyncio.Event()
        async with asyncio.timeout(10):
            assert await desk.code(good()) == "issuer_unreachable"
        desk.clock.advance(seconds=5)
        desk.published.hold.set()
        assert not await desk.code(good())

    asyncio.run(scenario())


def test_one_who_leaves_does_not_take_the_keys_from_those_who_wait() -> None:
    async def scenario() -> None:
        desk = Desk()
        desk.published.hold = asyncio.Event()
        leaving, staying = (asyncio.create_task(desk.code(good(jti=str(n)))) for n in range(2))
        await asyncio.sleep(0)
        leaving.cancel()
        await asyncio.sleep(0)
        desk.published.hold.set()
        assert await staying == ""
        assert leaving.cancelled()

    asyncio.run(scenario())


def test_closing_ends_a_fetch_under_way() -> None:
    async def scenario() -> None:
        desk = Desk()
        desk.published.hold = asyncio.Event()
        asking = asyncio.create_task(desk.code(good()))
        await asyncio.sleep(0)
        await desk.issuers.close()
        with pytest.raises(asyncio.CancelledError):
            await asking

    asyncio.run(scenario())


@pytest.mark.parametrize(
    ("metadata", "said"),
    [
        ({"issuer": "https://evil.example"}, "another issuer"),
        ({"issuer": f"{ISSUER}/"}, "another issuer"),
        ({"issuer": None}, "another issuer"),
        ({"jwks_uri": None}, "`jwks_uri`"),
        ({"jwks_uri": ["https://id.example.org/jwks"]}, "`jwks_uri`"),
        ({"jwks_uri": "http://id.example.org/jwks"}, "`jwks_uri`"),
        ({"jwks_uri": "file:///etc/passwd"}, "`jwks_uri`"),
        ({"jwks_uri": "https://user:word@id.example.org/jwks"}, "`jwks_uri`"),
        ({"jwks_uri": "http://127.0.0.1/jwks"}, "less well protected"),
    ],
)
@pytest.mark.requirement("R2.6")
def test_metadata_that_is_wrong_is_not_followed(metadata: dict[str, Any], said: str) -> None:
    async def scenario() -> None:
        desk = Desk(published=Published(metadata=metadata))
        with pytest.raises(TokenRefusedError, match=said) as refused:
            await desk.users.user(Presented(good()), MCP)
        assert refused.value.code == "issuer_unreachable"
        assert desk.published.asked == [desk.published.at], "no other address was asked"
        assert not await Desk(published=Published(metadata={"more": 1})).code(good())  # the control

    asyncio.run(scenario())


@pytest.mark.parametrize(
    "keys",
    [
        b"{",
        b"\xff",
        [],
        {},
        {"keys": {}},
        {"keys": []},
        {"keys": [*KEYS["keys"], *[{}] * 98]},
        b'{"keys": [], "keys": []}',
    ],
    ids=range(8),
)
def test_a_key_set_that_is_none_changes_nothing_and_is_said(keys: Any) -> None:
    async def scenario() -> None:
        assert await Desk(published=Published(keys=keys)).code(good()) == "issuer_unreachable"
        desk = Desk()
        assert not await desk.code(good())
        desk.published.keys = keys
        desk.clock.advance(seconds=30)
        assert await desk.code(new_token()) == "token_invalid"
        assert not await desk.code(good(jti="x")), "the known ones count"

    asyncio.run(scenario())


# Over the network.


def published_at(address: str) -> dict[str, tuple[int, bytes]]:
    """Return what an issuer at `address` answers; it publishes its metadata only where RFC 8414 has it."""
    metadata = {"issuer": f"{address}/corp", "jwks_uri": f"{address}/keys"}
    return {f"{OAUTH}/corp": (200, json.dumps(metadata).encode()), "/keys": (200, json.dumps(KEYS).encode())}


@pytest.mark.requirement("R2.1")
def test_a_token_is_verified_with_keys_found_over_the_network(run: Any) -> None:
    async def scenario() -> None:
        said: dict[str, Any] = {}
        async with serving(lambda path: said.get(path, (404, b""))) as (address, asked):
            said |= published_at(address)
            issuers = Issuers([Issuer(name="corp", issuer=f"{address}/corp")], HttpFetch(), Clock())
            users = IssuerUsers(issuers, Clock(), Proofs(), lambda: 0)
            found = await users.user(Presented(sign(claims(iss=f"{address}/corp"), RS, RSA)), MCP)
            assert found.person.name == "corp:alice"
            assert asked == [f"/corp{OPENID}", f"{OAUTH}/corp", "/keys"]

    run(scenario())


def test_an_issuer_that_nobody_answers_for_is_unreachable() -> None:
    async def scenario() -> None:
        async with serving(lambda _: (404, b"")) as (address, _):
            pass  # from here on nobody listens there
        issuers = Issuers([Issuer(name="corp", issuer=address)], HttpFetch(), Clock())
        users = IssuerUsers(issuers, Clock(), Proofs(), lambda: 0)
        with pytest.raises(TokenRefusedError, match=r"issuer_unreachable: .*no answer: ConnectError"):
            await users.user(Presented(sign(claims(iss=address), RS, RSA)), MCP)

    asyncio.run(scenario())


@pytest.mark.parametrize(
    ("answer", "headers", "said"),
    [
        ((200, b"x" * 65_537), "", "over 65536 bytes"),
        (None, "", "within 0.5 s"),
        ((302, b""), "location: /elsewhere\r\n", "http 302"),
        ((500, b"{}"), "", "http 500"),
        ((206, b"{}"), "", "http 206"),
        ((200, b"{}"), "content-encoding: gzip\r\n", "content coding"),
        ((99, b"{}"), "", "no answer"),
    ],
)
def test_answers_that_are_huge_slow_or_lead_elsewhere_are_not_taken(
    answer: tuple[int, bytes] | None, headers: str, said: str, run: Any
) -> None:
    async def scenario() -> None:
        async with serving(lambda _: answer, headers) as (address, asked):
            with pytest.raises(FetchFailedError, match=said):
                await HttpFetch(wait_s=0.5)(f"{address}/document")
            assert asked == ["/document"], "nothing was followed"
        async with serving(lambda _: (200, b"x" * 65_536)) as (address, _):
            assert len(await HttpFetch()(f"{address}/document")) == 65_536  # the control

    run(scenario())


@pytest.mark.parametrize(
    ("url", "may"),
    [
        ("https://id.example.org/jwks?x=1", True),
        ("http://127.0.0.1:9/jwks", True),
        ("http://localhost/jwks", True),
        ("http://[::1]:9/jwks", True),
        ("http://id.example.org/jwks", False),
        ("http://127.0.0.1.evil.example/jwks", False),
        ("http://127.0.0.1@evil.example/jwks", False),
        ("https://user@id.example.org/jwks", False),
        ("https://id.example.org/jwks#x", False),
        ("https://id.example.org:0/jwks", False),
        ("https://id.example.org:99999/jwks", False),
        ("https:///jwks", False),
        ("https://id.example.org/a b\n", False),
        ("ftp://127.0.0.1/jwks", False),
        ("file:///etc/passwd", False),
        ("", False),
    ],
)
def test_only_https_and_this_machine_are_fetched_from(url: str, may: bool) -> None:
    assert may_be_fetched(url) is may
    if not may:
        with pytest.raises(FetchFailedError, match="neither https"):
            asyncio.run(HttpFetch()(url))


def test_the_settings_of_an_issuer_have_safe_defaults() -> None:
    plain = Issuer(name="corp", issuer=ISSUER)
    assert (plain.audiences, plain.events, plain.jwks_age_max_s, plain.claims.roles) == ((), False, 3600, {})
    assert CORP.events
