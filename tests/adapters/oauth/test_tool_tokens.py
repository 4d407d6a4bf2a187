"""Tool tokens: for one tool, soon over, verified by anybody with the published keys, and good at none of our doors."""

import asyncio
import json
from base64 import urlsafe_b64decode
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from joserfc import jwt
from joserfc.jwk import KeySet

from remit.adapters.oauth import TaskTokens, ToolTokens, _tool_tokens
from remit.catalogue import Minted, Tool
from remit.core import Delegation, ToolCall
from remit.identity import Cut, Presented, TokenRefusedError
from remit.pipeline import CredentialUnavailableError
from remit.testing import NOON, ManualClock, desk_call, desk_delegation, seeded

ISSUER = "http://127.0.0.1:8700"
TASK_KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
TOOL_KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(1, 33)))
ORDERS = Tool(name="orders", url="http://127.0.0.1:9301/mcp", timeout_s=1, response_bytes_max=1_000)
MAIL = Tool(name="mail", url="http://127.0.0.1:9302/mcp", timeout_s=1, response_bytes_max=1_000)
FILES = Tool(name="files", url="", timeout_s=1, response_bytes_max=1_000, command=("files", "--stdio"))
NUMBERED = replace(ORDERS, credential=Minted(sequence=True))
INTENT = bytes(range(32))
SECOND = timedelta(seconds=1)


def service(key: Ed25519PrivateKey = TOOL_KEY, clock: ManualClock | None = None) -> ToolTokens:
    return ToolTokens(key, ISSUER, random=seeded(1), clock=clock or ManualClock())


def minted(tokens: ToolTokens, tool: Tool, call: ToolCall, now: datetime = NOON, intent: bytes = INTENT) -> str:
    """Mint as the gateway does; return the token itself."""
    credential = tokens.mint(tool, call, intent, now)
    scheme, _, token = credential.value.partition(" ")
    assert (credential.header, scheme) == ("authorization", "Bearer")
    assert token not in repr(credential)
    return token


def header_of(token: str) -> Any:
    return json.loads(urlsafe_b64decode(token.partition(".")[0] + "=="))


def published(tokens: ToolTokens) -> Any:
    [key] = json.loads(json.dumps(tokens.jwks()))["keys"]
    return key


def claims_of(token: str, tokens: ToolTokens) -> dict[str, Any]:
    """Verify as a tool would: with a library of its own and the published keys."""
    return jwt.decode(
        token, KeySet.import_key_set(json.loads(json.dumps(tokens.jwks()))), algorithms=["Ed25519"]
    ).claims


@pytest.mark.requirement("R2.3", "R2.10")
def test_a_tool_verifies_with_the_published_keys_who_asks_who_acts_and_in_what_task() -> None:
    tokens = service()
    token = minted(tokens, ORDERS, desk_call("look"))
    assert header_of(token) == {"alg": "Ed25519", "typ": "at+jwt", "kid": published(tokens)["kid"]}
    claims = claims_of(token, tokens)
    assert len(claims.pop("jti")) == 32
    assert claims == {
        "iss": ISSUER,
        "aud": ORDERS.url,
        "sub": "tom",
        "client_id": "clerk",
        "act": {"sub": "clerk"},
        "txn": "t_desk",
        "operation": "look",
        "iat": int(NOON.timestamp()),
        "exp": int(NOON.timestamp()) + 120,
    }


@pytest.mark.requirement("R2.4", "R2.10")
def test_agents_that_handed_the_work_on_are_nested_the_nearest_first() -> None:
    tokens = service()
    chained = replace(desk_delegation(), user="corp:alice", chain=("tracker", "front"))
    claims = claims_of(minted(tokens, ORDERS, desk_call("look", delegation=chained)), tokens)
    assert claims["sub"] == "corp:alice"
    assert claims["client_id"] == "clerk"
    assert claims["act"] == {"sub": "clerk", "act": {"sub": "tracker", "act": {"sub": "front"}}}


def test_only_the_public_part_of_the_key_is_published() -> None:
    assert sorted(published(service())) == ["alg", "crv", "kid", "kty", "use", "x"]


def test_a_tool_over_stdio_is_named_instead_of_its_address() -> None:
    tokens = service()
    assert claims_of(minted(tokens, FILES, desk_call("look")), tokens)["aud"] == "remit:tool:files"


@pytest.mark.requirement("R2.3")
def test_a_token_is_used_again_while_enough_of_its_life_is_left() -> None:
    tokens = service()
    first = minted(tokens, ORDERS, desk_call("look"), NOON)
    assert minted(tokens, ORDERS, desk_call("look"), NOON + 89 * SECOND) == first
    second = minted(tokens, ORDERS, desk_call("look"), NOON + 90 * SECOND)
    assert second != first
    assert claims_of(second, tokens)["exp"] == int(NOON.timestamp()) + 210
    assert minted(tokens, ORDERS, desk_call("look"), NOON) != second  # the clock went back: no token from the future


@pytest.mark.requirement("R2.3", "R2.6")
def test_another_tool_operation_user_agent_chain_key_or_task_gets_another_token() -> None:
    tokens = service()
    base = desk_delegation()
    others = [
        replace(base, user="eve"),
        replace(base, agent="other"),
        replace(base, task="t_2"),
        replace(base, chain=("front",)),
        replace(base, keys=("thumb",)),
    ]
    calls = [desk_call("look"), desk_call("pay"), *(desk_call("look", delegation=each) for each in others)]
    made = [minted(tokens, tool, call) for tool in (ORDERS, MAIL, FILES) for call in calls]
    assert len(set(made)) == len(made) == 21
    assert [minted(tokens, tool, call) for tool in (ORDERS, MAIL, FILES) for call in calls] == made
    assert [claims_of(token, tokens)["operation"] for token in made[:2]] == ["look", "pay"]
    moved = Tool(name="orders", url=MAIL.url, timeout_s=1, response_bytes_max=1_000)
    assert claims_of(minted(tokens, moved, calls[0]), tokens)["aud"] == MAIL.url  # not the kept one for elsewhere


# --- numbered calls --------------------------------------------------------------------------------------------------


@pytest.mark.requirement("R2.3", "R2.10")
def test_numbered_calls_each_have_a_token_that_names_its_entry_in_the_log() -> None:
    tokens = service()
    tokens.begin(41)
    credentials = [tokens.mint(NUMBERED, desk_call("look"), bytes([number]) * 32, NOON) for number in range(3)]
    assert [credential.sequence for credential in credentials] == [(41, 1), (41, 2), (41, 3)]
    claims = [claims_of(credential.value.removeprefix("Bearer "), tokens) for credential in credentials]
    assert [each["seq"] for each in claims] == [[41, 1], [41, 2], [41, 3]]
    assert [urlsafe_b64decode(each["intent"] + "=") for each in claims] == [bytes([number]) * 32 for number in range(3)]
    assert len({each["jti"] for each in claims}) == 3
    assert all(each["operation"] == "look" and each["exp"] - each["iat"] == 120 for each in claims)
    assert tokens.forget(Cut(agent="clerk")) == 0  # none of them would have been handed out again


@pytest.mark.requirement("R2.3")
def test_each_tool_is_numbered_by_itself_and_each_run_from_1() -> None:
    tokens = service()
    tokens.begin(41)
    other = replace(MAIL, credential=Minted(sequence=True))
    made = [tokens.mint(tool, desk_call("look"), INTENT, NOON).sequence for tool in (NUMBERED, other, NUMBERED, ORDERS)]
    assert made == [(41, 1), (41, 1), (41, 2), None]
    tokens.begin(97)
    assert tokens.mint(NUMBERED, desk_call("look"), INTENT, NOON).sequence == (97, 1)


def test_nothing_is_numbered_before_the_run_is_known() -> None:
    with pytest.raises(CredentialUnavailableError) as refused:
        service().mint(NUMBERED, desk_call("look"), INTENT, NOON)
    assert refused.value.code == "sequence_unknown"


# --- what a tool's authorization server is shown ---------------------------------------------------------------------


@pytest.mark.requirement("R2.4")
def test_an_authorization_server_is_shown_whom_it_is_for_and_who_we_are() -> None:
    tokens, endpoint = service(), "https://as.example.org/token"
    shown = tokens.subject_token(endpoint, replace(desk_delegation(), chain=("front",)), NOON)
    claims = claims_of(shown, tokens)
    assert len(claims.pop("jti")) == 32
    now_s = int(NOON.timestamp())
    assert claims == {
        "iss": ISSUER,
        "aud": endpoint,
        "sub": "tom",
        "client_id": "clerk",
        "act": {"sub": "clerk", "act": {"sub": "front"}},
        "txn": "t_desk",
        "iat": now_s,
        "exp": now_s + 60,
    }
    assertion = tokens.assertion("remit-at-orders", endpoint, NOON)
    assert header_of(assertion) == {"alg": "Ed25519", "typ": "JWT", "kid": published(tokens)["kid"]}
    said = claims_of(assertion, tokens)
    assert len(said.pop("jti")) == 32
    assert said == {
        "iss": "remit-at-orders",
        "sub": "remit-at-orders",
        "aud": endpoint,
        "iat": now_s,
        "exp": now_s + 60,
    }


# --- what is cut off -------------------------------------------------------------------------------------------------

BASE = desk_delegation()
CUTS: dict[str, tuple[Cut, Delegation]] = {
    "the agent": (Cut(agent="other"), replace(BASE, agent="other")),
    "an agent of the chain": (Cut(agent="front"), replace(BASE, chain=("tracker", "front"))),
    "the user": (Cut(user="eve"), replace(BASE, user="eve")),
    "the user with one agent": (Cut(user="eve", agent="other"), replace(BASE, user="eve", agent="other")),
    "the task": (Cut(task="t_2"), replace(BASE, task="t_2")),
    "the key": (Cut(key="thumb"), replace(BASE, keys=("another", "thumb"))),
}


@pytest.mark.requirement("R2.11")
@pytest.mark.parametrize("named", CUTS)
def test_what_is_cut_off_is_not_handed_out_again_and_the_rest_is(named: str) -> None:
    cut, gone = CUTS[named]
    clock = ManualClock()
    tokens = service(clock=clock)
    calls = desk_call("look"), desk_call("look", delegation=gone), desk_call("pay", delegation=gone)
    before = [minted(tokens, ORDERS, call, clock.now()) for call in calls]
    assert tokens.forget(cut) == 2
    after = [minted(tokens, ORDERS, call, clock.now()) for call in calls]
    assert after[0] == before[0]
    assert not set(after[1:]) & set(before)
    assert tokens.forget(replace(cut, task="t_none")) == 0


def test_only_what_could_still_be_handed_out_is_counted_as_forgotten() -> None:
    clock = ManualClock()
    tokens = service(clock=clock)
    minted(tokens, ORDERS, desk_call("look"), clock.now())
    clock.advance(89 * SECOND)
    minted(tokens, ORDERS, desk_call("pay"), clock.now())
    clock.advance(SECOND)
    assert tokens.forget(Cut(agent="clerk")) == 1


def test_the_tokens_kept_are_bounded_and_the_stale_ones_go_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_tool_tokens, "CACHE_MAX", 3)
    tokens = service()
    made: list[str] = []
    for number in range(10):
        made.append(minted(tokens, ORDERS, desk_call("look", delegation=desk_delegation(f"t_{number}"))))
        assert len(tokens._kept) <= 3
    assert minted(tokens, ORDERS, desk_call("look", delegation=desk_delegation("t_9"))) == made[-1]
    minted(tokens, ORDERS, desk_call("look"), NOON + 90 * SECOND)
    assert len(tokens._kept) == 1


@pytest.mark.requirement("R2.3", "R2.6")
@pytest.mark.parametrize("key", [TOOL_KEY, TASK_KEY], ids=["a key of its own", "the task tokens' key"])
def test_a_tool_token_is_refused_at_our_own_doors(key: Ed25519PrivateKey) -> None:
    """Also if an operator had given both the same key, and a tool our own address."""
    ours = TaskTokens(TASK_KEY, ISSUER, f"{ISSUER}/mcp", ManualClock())
    tokens = service(key)
    for url in (ORDERS.url, f"{ISSUER}/mcp", f"{ISSUER}/oauth/token"):
        tool = Tool(name="mirror", url=url, timeout_s=1, response_bytes_max=1_000)
        token = minted(tokens, tool, desk_call("look"))
        with pytest.raises(TokenRefusedError) as at_mcp:
            asyncio.run(ours.delegation(Presented(token)))
        with pytest.raises(TokenRefusedError) as at_exchange:
            ours.exchanged(token)
        assert (at_mcp.value.code, at_exchange.value.code) == ("token_invalid", "subject_token_invalid")
