"""MCP's official client logs in by itself: from our 401 to a call, with nothing of ours between.

It finds the organisation's issuer through our metadata (RFC 9728, RFC 8414), sends its user there (code + PKCE,
resource indicator, RFC 9207) and comes back with a token. The provider is foreign too.
"""

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx2
import pytest
from mcp import Client
from mcp.client.auth import OAuthClientProvider
from mcp.client.streamable_http import streamable_http_client
from mcp.shared.auth import AuthorizationCodeResult, OAuthClientInformationFull, OAuthClientMetadata, OAuthToken
from mcp_types import CallToolResult
from pydantic import AnyUrl
from tests.conftest import Gateway, tool_call
from tests.foreign.provider import CALLBACK, DESK, DOCUMENT, PORTAL, PORTAL_SECRET, TICKETS, Provider

Org = tuple[Gateway, Provider]
ORDER = {"order_id": "ord-1001"}


class Store:
    """Where the client keeps what it is; `client` is one that the issuer knows already, empty for none."""

    def __init__(self, client: str = "") -> None:
        self.tokens: OAuthToken | None = None
        known = {"client_id": client, "redirect_uris": [CALLBACK], "token_endpoint_auth_method": "none"}
        self.client = OAuthClientInformationFull.model_validate(known) if client else None

    async def get_tokens(self) -> OAuthToken | None:
        return self.tokens

    async def set_tokens(self, tokens: OAuthToken) -> None:
        self.tokens = tokens

    async def get_client_info(self) -> OAuthClientInformationFull | None:
        return self.client

    async def set_client_info(self, client_info: OAuthClientInformationFull) -> None:
        self.client = client_info


class Visitor:
    """A person at a browser, who logs in where the client sends them."""

    def __init__(self, corp: Provider, user: str) -> None:
        self.corp, self.user = corp, user
        self.sent_to: list[str] = []

    async def go(self, url: str) -> None:
        self.sent_to.append(url)

    async def back(self) -> AuthorizationCodeResult:
        landing = await asyncio.to_thread(self.corp.visit, f"{self.sent_to[-1]}&login_hint={self.user}")
        return AuthorizationCodeResult(code=landing.code, state=landing.state, iss=landing.issuer)


def logged_in(
    gateway: Gateway, visitor: Visitor, store: Store, act: Callable[[Client], Awaitable[Any]], **options: Any
) -> Any:
    """Do `act` with a client that has no token, and no header of ours, but a person to send to log in."""
    url = f"{gateway.data}/mcp"
    metadata = OAuthClientMetadata(
        redirect_uris=[AnyUrl(CALLBACK)], token_endpoint_auth_method="none", grant_types=["authorization_code"]
    )
    document = DOCUMENT if store.client is None else None
    auth = OAuthClientProvider(url, metadata, store, visitor.go, visitor.back, client_metadata_url=document)

    async def go() -> Any:
        async with (
            httpx2.AsyncClient(auth=auth, trust_env=False, timeout=60) as http,
            Client(streamable_http_client(url, http_client=http), **options) as client,
        ):
            return await act(client)

    return asyncio.run(go())


async def look_up(client: Client) -> tuple[list[str], CallToolResult]:
    tools = await client.list_tools()
    return [tool.name for tool in tools.tools], await client.call_tool("get_order", ORDER)


@pytest.mark.requirement("R2.1", "R2.6")
@pytest.mark.parametrize("client", [DESK, ""], ids=["registered", "by its metadata document"])
@pytest.mark.parametrize("mode", ["2026-07-28", "legacy"])
def test_the_official_client_finds_the_issuer_logs_its_user_in_and_reads(org: Org, client: str, mode: str) -> None:
    gateway, corp = org
    visitor, store = Visitor(corp, "alice"), Store(client)
    names, result = logged_in(gateway, visitor, store, look_up, mode=mode)
    assert names == ["get_order"]
    assert result.is_error is False, result.content
    [sent_to] = visitor.sent_to
    assert sent_to.startswith(f"{corp.issuer}/auth?")
    asked = {name: values[0] for name, values in parse_qs(urlsplit(sent_to).query).items()}
    assert (asked["resource"], asked["code_challenge_method"]) == (f"{gateway.data}/mcp", "S256")
    assert asked["client_id"] == (client or DOCUMENT)


@pytest.mark.requirement("R2.2", "R2.9")
def test_the_records_name_the_user_and_the_agent_that_the_client_is(org: Org) -> None:
    gateway, corp = org
    seen = len(leaves(gateway))
    logged_in(gateway, Visitor(corp, "alice"), Store(DESK), look_up)
    [intent] = [leaf for leaf in leaves(gateway)[seen:] if leaf["kind"] == "intent"]
    assert (intent["level"], intent["client"], intent["task_found"]["agent"]) == ("C", f"corp:{DESK}", "tracker")
    assert (intent["task_found"]["user"], intent["task_found"]["groups"]) == ("corp:alice", ["staff", "support"])


@pytest.mark.requirement("R2.6")
def test_the_users_token_is_neither_passed_on_nor_kept(org: Org) -> None:
    gateway, corp = org
    store = Store(DESK)
    logged_in(gateway, Visitor(corp, "alice"), store, look_up)
    assert store.tokens is not None
    token = store.tokens.access_token
    assert token not in gateway.calls.read_text("utf-8") + gateway.said()
    assert not any(token in line for line in gateway.export())


@pytest.mark.requirement("R2.6")
def test_a_plain_client_of_an_agent_that_may_write_only_reads(org: Org) -> None:
    gateway, corp = org
    token = corp.login("alice", PORTAL, f"{gateway.data}/mcp", secret=PORTAL_SECRET)
    refund = {**ORDER, "amount_minor": 100, "currency": "EUR", "reason": "broken"}
    assert gateway.call(token, tool_call()).code == ""
    reached = len(gateway.received())
    assert gateway.call(token, tool_call("refund_order", refund)).code == "client_only_reads"
    assert len(gateway.received()) == reached


@pytest.mark.requirement("R2.6")
@pytest.mark.parametrize(
    ("user", "client", "code"), [("bob", DESK, "role_missing"), ("alice", TICKETS, "client_unknown")]
)
def test_a_person_or_a_client_that_the_organisation_does_not_let_in_reaches_nothing(
    org: Org, user: str, client: str, code: str
) -> None:
    gateway, corp = org
    reached = len(gateway.received())
    answer = gateway.call(corp.login(user, client, f"{gateway.data}/mcp"), tool_call())
    assert (answer.status, answer.code) == (403, code)
    assert len(gateway.received()) == reached


@pytest.mark.requirement("R2.6")
def test_a_good_login_for_another_resource_is_refused_and_told_where_to_log_in(org: Org) -> None:
    gateway, corp = org
    answer = gateway.call(corp.login("alice", DESK, "https://elsewhere.example/mcp"), tool_call())
    assert (answer.status, answer.code) == (401, "token_audience")
    assert f'resource_metadata="{gateway.data}/' in answer.headers["www-authenticate"]


def leaves(gateway: Gateway) -> list[dict[str, Any]]:
    """Return what the log holds."""
    entries = [json.loads(line) for line in gateway.export()]
    return [json.loads(entry["leaf"]) for entry in entries if "leaf" in entry]
