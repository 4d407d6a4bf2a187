"""The servers that a run compares the gateway with, each a process of its own: `python -m bench.servers KIND PORT`.

    echo    raw ASGI: the body comes back
    proxy   raw ASGI, and the gateway's own client pool to UPSTREAM: what a proxy in Python costs that governs nothing
    tool    raw ASGI: one fixed, valid MCP result, about as long as the request
    sdk     the official MCP SDK's server, with one trivial tool

All run on uvicorn with uvloop and httptools, one worker, as the gateway does. Each prints `ready` when it listens.
"""

import argparse
import socket
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

import orjson
import uvicorn
from mcp.server.mcpserver import MCPServer

from remit.adapters.http1 import Bounds, Pool, Response, Target, header_block, prepare_target

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Message, Receive, Send], Awaitable[None]]

_JSON = (b"content-type", b"application/json")
_HEADERS = header_block([("content-type", "application/json"), ("accept", "application/json")])
_BOUNDS = Bounds(10.0, 1 << 20)
_RESULT = orjson.dumps(
    {"resultType": "complete", "content": [{"type": "text", "text": "refunded " + "x" * 800}], "isError": False}
)


async def echo(_scope: Message, receive: Receive, send: Send) -> None:
    """Answer with the request's body."""
    await _reply(send, await _body(receive))


async def tool(_scope: Message, receive: Receive, send: Send) -> None:
    """Answer any call with the same result."""
    identity = orjson.dumps(orjson.loads(await _body(receive))["id"])
    await _reply(send, b'{"jsonrpc":"2.0","id":' + identity + b',"result":' + _RESULT + b"}")


class Proxy:
    """Forwards each body and answers with what came back."""

    def __init__(self, upstream: str) -> None:
        self._target: Target = prepare_target(upstream)
        self._pool: Pool | None = None

    async def __call__(self, _scope: Message, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if self._pool is None:
            self._pool = Pool()
        answer = await self._pool.post(self._target, _HEADERS, await _body(receive), _BOUNDS)
        if isinstance(answer, Response):
            await _reply(send, answer.body, answer.status)
        else:
            await _reply(send, answer.code.encode("ascii"), 502)


def sdk() -> App:
    """Build the SDK's server as its documentation does."""
    server = MCPServer("trivial", log_level="ERROR")

    @server.tool()
    def sdk_refund(order_id: str, amount_minor: int, currency: str, note: str) -> str:
        return f"refunded {amount_minor} {currency} of {order_id}, {len(note)}"

    app: App = server.streamable_http_app(json_response=True, stateless_http=True, host="127.0.0.1")
    return app


async def _body(receive: Receive) -> bytes:
    message = await receive()
    body: bytes = message.get("body", b"")
    while message.get("more_body"):
        message = await receive()
        body += message.get("body", b"")
    return body


async def _reply(send: Send, body: bytes, status: int = 200) -> None:
    headers = [_JSON, (b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


class _Server(uvicorn.Server):
    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        print("ready", flush=True)


def main() -> None:
    """Serve until told to stop."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("kind", choices=("echo", "proxy", "tool", "sdk"))
    parser.add_argument("port", type=int)
    parser.add_argument("upstream", nargs="?", default="")
    given = parser.parse_args()
    apps: dict[str, Callable[[], App]] = {
        "echo": lambda: echo,
        "tool": lambda: tool,
        "proxy": lambda: Proxy(given.upstream),
        "sdk": sdk,
    }
    config = uvicorn.Config(
        apps[given.kind](),
        port=given.port,
        loop="uvloop",
        http="httptools",
        lifespan="on" if given.kind == "sdk" else "off",
        access_log=False,
        log_level="error",
    )
    _Server(config).run()


if __name__ == "__main__":
    main()
