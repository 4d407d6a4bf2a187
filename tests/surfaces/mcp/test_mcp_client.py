"""The official SDK's client, unchanged, through the gateway: what an agent's author sees."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any

import httpx2
import pytest
from mcp import Client, MCPError
from mcp.client.streamable_http import streamable_http_client
from mcp_types import INVALID_PARAMS, CallToolResult, TextContent
from tests.conftest import Gateway, Opened

LISTED = ["get_order", "list_payments", "read_inbox", "refund_order", "search_orders", "send_mail"]
REFUND = {"order_id": "ord-1001", "amount_minor": 100_001, "currency": "EUR", "reason": "too much"}


@asynccontextmanager
async def connected(url: str, token: str, **options: Any) -> AsyncIterator[Client]:
    headers = {"Authorization": f"Bearer {token}"}
    async with (
        httpx2.AsyncClient(headers=headers, trust_env=False, timeout=60) as http,
        Client(streamable_http_client(url, http_client=http), **options) as client,
    ):
        yield client


def refused(said: str) -> pytest.RaisesGroup[MCPError]:
    """Expect the SDK's error, through however many task groups it comes out."""
    return pytest.RaisesGroup(pytest.RaisesExc(MCPError, match=said), flatten_subgroups=True)


def through(gateway: Gateway, token: str, act: Callable[[Client], Coroutine[Any, Any, Any]], **options: Any) -> Any:
    async def go() -> Any:
        async with connected(f"{gateway.data}/mcp", token, **options) as client:
            return await act(client)

    return asyncio.run(go())


def call(gateway: Gateway, opened: Opened, name: str, **arguments: Any) -> CallToolResult:
    result = through(gateway, opened.token, lambda client: client.call_tool(name, arguments))
    assert isinstance(result, CallToolResult)
    return result


@pytest.mark.requirement("R4.4")
def test_the_list_holds_the_use_cases_operations_and_no_others(desk: Gateway, opened: Opened) -> None:
    tools = through(desk, opened.token, lambda client: client.list_tools()).tools
    assert [tool.name for tool in tools] == LISTED
    assert all(tool.description and tool.input_schema["additionalProperties"] is False for tool in tools)
    writes = [tool.name for tool in tools if not tool.annotations.read_only_hint]
    assert writes == ["refund_order", "send_mail"]


def test_an_answer_comes_back_with_its_structured_content(desk: Gateway, opened: Opened) -> None:
    result = call(desk, opened, "get_order", order_id="ord-1001")
    assert result.is_error is False
    assert result.structured_content is not None
    assert result.structured_content["total_minor"] == 12_000
    assert isinstance(result.content[0], TextContent)
    assert '"total_minor": 12000' in result.content[0].text


def test_the_tools_own_refusal_comes_back_as_the_tool_said_it(desk: Gateway, opened: Opened) -> None:
    result = call(desk, opened, "get_order", order_id="ord-9999")
    assert result.is_error is True
    assert "no order `ord-9999`" in str(result.content)
    assert [leaf.get("status") for leaf in desk.records(opened.task)][-1] == "tool_error"


@pytest.mark.requirement("R7.5")
def test_a_denial_is_a_result_that_the_model_can_read_and_mend(desk: Gateway, opened: Opened) -> None:
    result = call(desk, opened, "refund_order", **REFUND)
    assert result.is_error is True
    [block] = result.content
    assert isinstance(block, TextContent)
    assert block.text.startswith("policy_no_permit: ")
    assert "to mend it: " in block.text
    assert desk.refusals(opened.task) == ["policy_no_permit"]


@pytest.mark.requirement("R4.1")
@pytest.mark.parametrize("name", ["close_account", "drop_tables"])
def test_an_unlisted_tool_is_an_error_of_the_protocol(desk: Gateway, opened: Opened, name: str) -> None:
    reached = len(desk.received())

    async def act(client: Client) -> None:
        with pytest.raises(MCPError, match=r"^outside_use_case: ") as caught:
            await client.call_tool(name, {"customer_id": "cus-001"})
        assert caught.value.error.code == INVALID_PARAMS

    through(desk, opened.token, act)
    assert len(desk.received()) == reached


def test_forty_calls_at_once_on_one_client_are_each_answered_with_their_own(desk: Gateway, opened: Opened) -> None:
    orders = [f"ord-{1_001 + n}" for n in range(40)]

    async def at_once(client: Client) -> list[CallToolResult]:
        return await asyncio.gather(*(client.call_tool("get_order", {"order_id": order}) for order in orders))

    reached = len(desk.received())
    results = through(desk, opened.token, at_once)
    assert [result.structured_content["order_id"] for result in results] == orders
    assert len(desk.received()) == reached + 40
    kinds = [leaf["kind"] for leaf in desk.records(opened.task)]
    assert (kinds.count("intent"), kinds.count("outcome")) == (40, 40)


@pytest.mark.parametrize("mode", ["auto", "2026-07-28", "legacy"])
def test_the_client_finds_the_revision_by_itself_or_when_told(desk: Gateway, opened: Opened, mode: str) -> None:
    async def act(client: Client) -> tuple[str | None, list[str], CallToolResult]:
        tools = await client.list_tools()
        result = await client.call_tool("get_order", {"order_id": "ord-1001"})
        return client.protocol_version, [tool.name for tool in tools.tools], result

    revision, names, result = through(desk, opened.token, act, mode=mode)
    assert revision == ("2025-11-25" if mode == "legacy" else "2026-07-28")
    assert names == LISTED
    assert result.structured_content["total_minor"] == 12_000
    assert result.meta["remit/call"] in [leaf.get("call") for leaf in desk.records(opened.task)]


@pytest.mark.requirement("R7.5", "R4.1")
def test_a_client_of_an_older_revision_is_refused_in_the_same_words(desk: Gateway, opened: Opened) -> None:
    async def act(client: Client) -> CallToolResult:
        with pytest.raises(MCPError, match=r"^outside_use_case: ") as caught:
            await client.call_tool("close_account", {"customer_id": "cus-001"})
        assert caught.value.error.code == INVALID_PARAMS
        return await client.call_tool("refund_order", REFUND)

    result = through(desk, opened.token, act, mode="legacy")
    assert result.is_error is True
    assert isinstance(result.content[0], TextContent)
    assert result.content[0].text.startswith("policy_no_permit: ")
    assert desk.refusals(opened.task) == ["outside_use_case", "policy_no_permit"]


def test_a_client_without_a_good_token_is_told_so(desk: Gateway) -> None:
    with refused("token_invalid"):
        through(desk, "canary", lambda client: client.list_tools(), mode="2026-07-28")
