"""The official SDK's server over stdio: `stdio_sdk.py` serves whichever era the client opens with, `... legacy` one."""

import sys
from typing import Any

import anyio
from mcp.server.mcpserver import Context, MCPServer
from mcp.server.runner import serve_loop
from mcp.server.stdio import stdio_server

server = MCPServer("desk", version="3.1", log_level="CRITICAL")


@server.tool()
def get_order(order_id: str, ctx: Context) -> dict[str, Any]:
    """Find an order."""
    return {"id": order_id, "credential": bool((ctx.request_context.meta or {}).get("remit/credential"))}


@server.tool()
def fail() -> str:
    """Fail."""
    raise ValueError("no")


async def legacy() -> None:
    inner = server._lowlevel_server
    async with stdio_server() as (read, write), inner.lifespan(inner) as state:
        await serve_loop(inner, read, write, lifespan_state=state)


if "legacy" in sys.argv:
    anyio.run(legacy)
else:
    server.run("stdio")
