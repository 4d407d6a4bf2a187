"""Tool tokens: for one tool, soon over, verified by anybody with the published keys, and good at none of our doors."""

import json
from base64 import urlsafe_b64decode
from datetime import timedelta
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from joserfc import jwt
from joserfc.jwk import KeySet

from remit.adapters.oauth import TaskTokens, ToolTokens, _tool_tokens
from remit.catalogue import Tool
from remit.core import Delegation
from remit.identity import TokenRefusedError
from remit.pipeline import Credentials
from remit.testing import NOON, ManualClock, desk_call, desk_delegation, seeded

ISSUER = "http://127.0.0.1:8700"
TASK_KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
TOOL_KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(1, 33)))
ORDERS = Tool(name="orders", url="http://127.0.0.1:9301/mcp", timeout_s=1, response_bytes_max=1_000)
MAIL = Tool(name="mail", url="http://127.0.0.1:9302/mcp", timeout_s=1, response_bytes_max=1_000)
FILES = Tool(name="files", url="", timeout_s=1, response_bytes_max=1_000, command=("files", "--stdio"))
SECOND = timedelta(seconds=1)


def service(key: Ed25519PrivateKey = TOOL_KEY) -> ToolTokens:
    return ToolTokens(key, ISSUER, random=seeded(1))


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
    port: Credentials = tokens
    token = port.mint(ORDERS, desk_call("look"), NOON)
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
        "iat": int(NOON.timestamp()),
        "exp": int(NOON.timestamp()) + 120,
    }


def test_only_the_public_part_of_the_key_is_published() -> None:
    assert sorted(published(service())) == ["alg", "crv", "kid", "kty", "use", "x"]


def test_a_tool_over_stdio_is_named_instead_of_its_address() -> None:
    tokens = service()
    assert claims_of(tokens.mint(FILES, desk_call("look"), NOON), tokens)["aud"] == "remit:tool:files"


@pytest.mark.requirement("R2.3")
def test_a_token_is_used_again_while_enough_of_its_life_is_left() -> None:
    tokens = service()
    first = tokens.mint(ORDERS, desk_call("look"), NOON)
    assert tokens.mint(ORDERS, desk_call("pay"), NOON + 89 * SECOND) == first
    second = tokens.mint(ORDERS, desk_call("look"), NOON + 90 * SECOND)
    assert second != first
    assert claims_of(second, tokens)["exp"] == int(NOON.timestamp()) + 210
    assert tokens.mint(ORDERS, desk_call("look"), NOON) != second  # the clock went back: no token from the future


@pytest.mark.requirement("R2.3", "R2.6")
def test_another_tool_user_agent_or_task_gets_another_token() -> None:
    tokens = service()
    base = desk_delegation()
    others = [
        Delegation(user=user, agent=agent, task=task, use_case="serve", expires_at=base.expires_at)
        for user, agent, task in (("eve", "clerk", "t_desk"), ("tom", "other", "t_desk"), ("tom", "clerk", "t_2"))
    ]
    calls = [desk_call("look"), *(desk_call("look", delegation=each) for each in others)]
    made = {tokens.mint(tool, call, NOON) for tool in (ORDERS, MAIL, FILES) for call in calls}
    assert len(made) == 12
    moved = Tool(name="orders", url=MAIL.url, timeout_s=1, response_bytes_max=1_000)
    assert claims_of(tokens.mint(moved, calls[0], NOON), tokens)["aud"] == MAIL.url  # not the kept one for elsewhere


@pytest.mark.requirement("R2.11")
def test_a_forgotten_agents_tokens_are_not_handed_out_again_and_others_are() -> None:
    tokens = service()
    other = Delegation(user="tom", agent="other", task="t_2", use_case="serve", expires_at=NOON + timedelta(hours=1))
    calls = desk_call("look"), desk_call("look", delegation=other)
    before = [tokens.mint(ORDERS, call, NOON) for call in calls]
    tokens.forget_agent("clerk")
    after = [tokens.mint(ORDERS, call, NOON) for call in calls]
    assert after[0] != before[0]
    assert after[1] == before[1]


def test_the_tokens_kept_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_tool_tokens, "CACHE_MAX", 3)
    tokens = service()
    for number in range(10):
        tokens.mint(ORDERS, desk_call("look", delegation=desk_delegation(f"t_{number}")), NOON)
        assert len(tokens._kept) <= 3


@pytest.mark.requirement("R2.3", "R2.6")
@pytest.mark.parametrize("key", [TOOL_KEY, TASK_KEY], ids=["a key of its own", "the task tokens' key"])
def test_a_tool_token_is_refused_at_our_own_doors(key: Ed25519PrivateKey) -> None:
    """Also if an operator had given both the same key, and a tool our own address."""
    ours = TaskTokens(TASK_KEY, ISSUER, f"{ISSUER}/mcp", ManualClock())
    tokens = service(key)
    for url in (ORDERS.url, f"{ISSUER}/mcp", f"{ISSUER}/oauth/token"):
        tool = Tool(name="mirror", url=url, timeout_s=1, response_bytes_max=1_000)
        token = tokens.mint(tool, desk_call("look"), NOON)
        with pytest.raises(TokenRefusedError) as at_mcp:
            ours.delegation(token)
        with pytest.raises(TokenRefusedError) as at_exchange:
            ours.exchanged(token)
        assert (at_mcp.value.code, at_exchange.value.code) == ("token_invalid", "subject_token_invalid")
