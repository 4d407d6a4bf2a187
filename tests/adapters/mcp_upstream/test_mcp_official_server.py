"""Against the official SDK's server, which checks every header against the body: JSON and event streams."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Annotated, Any

import orjson
import pytest
import uvicorn
from mcp.server.mcpserver import Context, MCPServer
from mcp_types import ProgressNotification, ProgressNotificationParams
from pydantic import Field

from remit.adapters.http1 import Pool
from remit.adapters.mcp_upstream import Discovery, McpUpstream
from remit.catalogue import Controls, Descriptor, Effect, Tool
from remit.core import Delegation, Json, JsonObject, ToolCall, Trace, canonical_bytes
from remit.pipeline import Credential, UpstreamAnswer, UpstreamFailure

NOTHING = Credential("authorization", "")

server = MCPServer("desk", version="3.1", log_level="CRITICAL")
Region = Annotated[str, Field(json_schema_extra={"x-mcp-header": "Region"})]


@server.tool()
def get_order(order_id: str, region: Region = "eu") -> dict[str, str]:
    """Find an order."""
    return {"id": order_id, "region": region}


@server.tool()
def fail() -> str:
    """Fail."""
    raise ValueError("no")


@server.tool()
async def slowly(ctx: Context) -> str:
    """Say something on the way, which makes the server answer with an event stream."""
    note = ProgressNotification(params=ProgressNotificationParams(progress_token="p", progress=1.0))
    await ctx.session.send_notification(note, related_request_id=ctx.request_id)
    return "done"


class Serving(uvicorn.Server):
    """The server, with an event for being ready."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.ready = asyncio.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.ready.set()


@contextlib.asynccontextmanager
async def desk(*, json_response: bool) -> AsyncIterator[Tool]:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        app = server.streamable_http_app(json_response=json_response)
        serving = Serving(uvicorn.Config(app, log_config=None, lifespan="on"))
        task = asyncio.create_task(serving.serve([listener]))
        await serving.ready.wait()
        port = listener.getsockname()[1]
        yield Tool(name="desk", url=f"http://127.0.0.1:{port}/mcp", timeout_s=20.0, response_bytes_max=1 << 20)
        serving.should_exit = True
        await task


def call(arguments: JsonObject) -> ToolCall:
    delegation = Delegation(user="ann", agent="refunds", task="t_1", use_case="refund", expires_at=datetime.now(UTC))
    return ToolCall(
        id="c_0f",
        trace=Trace("a" * 32, "b" * 16),
        delegation=delegation,
        operation="op",
        canonical=canonical_bytes(arguments),
    )


def descriptor(name: str, schema: JsonObject) -> Descriptor:
    return Descriptor(
        operation="op",
        tool="desk",
        upstream_name=name,
        version="1",
        title="",
        description="",
        author="",
        controls=Controls(effect=Effect.READ),
        endpoint={},
        served="",
        input_schema=schema,
        output_schema=None,
        digest="sha256:0",
    )


def as_object(value: Json) -> JsonObject:
    assert isinstance(value, dict)
    return value


@pytest.mark.parametrize("json_response", [True, False])
def test_the_official_server_understands_and_is_understood(run: Any, json_response: bool) -> None:
    async def scenario() -> None:
        pool = Pool()
        upstream = McpUpstream(pool)
        async with desk(json_response=json_response) as tool:
            assert await upstream.discover(tool) == Discovery(
                versions=("2026-07-28",), name="desk", version="3.1", capabilities=("prompts", "resources", "tools")
            )
            schemas = {str(t["name"]): as_object(t["inputSchema"]) for t in await upstream.list_tools(tool)}
            assert list(schemas) == ["get_order", "fail", "slowly"]
            order = descriptor("get_order", schemas["get_order"])
            for region in ("eu", "é\n", " "):
                answer = await upstream.invoke(tool, order, call({"order_id": "A-1", "region": region}), NOTHING)
                assert isinstance(answer, UpstreamAnswer), answer
                assert orjson.loads(answer.result)["structuredContent"] == {"id": "A-1", "region": region}
            broken = await upstream.invoke(tool, descriptor("fail", schemas["fail"]), call({}), NOTHING)
            assert isinstance(broken, UpstreamAnswer), broken
            assert broken.is_error
            said = await upstream.invoke(tool, descriptor("slowly", schemas["slowly"]), call({}), NOTHING)
            assert isinstance(said, UpstreamAnswer), said
            assert orjson.loads(said.result)["content"] == [{"type": "text", "text": "done"}]
            assert pool.connections == 1  # the event stream's connection was kept, too
            await pool.close()

    run(scenario())


def test_a_header_left_out_is_refused_by_the_official_server(run: Any) -> None:
    """The control: the server does compare the mirrored headers with the body."""

    async def scenario() -> None:
        pool = Pool()
        async with desk(json_response=True) as tool:
            unmarked = descriptor("get_order", {"type": "object"})
            refused = await McpUpstream(pool).invoke(tool, unmarked, call({"order_id": "A-1", "region": "eu"}), NOTHING)
            assert isinstance(refused, UpstreamFailure), refused
            assert (refused.code, refused.sent.value) == ("upstream_error", "answered")
            assert refused.detail.startswith("-32020: Mcp-Param-Region header is missing")
            await pool.close()

    run(scenario())
