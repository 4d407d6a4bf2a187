"""The MCP endpoint in this process, before a gateway that answers what a test tells it and keeps what reaches it.

stub = StubGateway(Done("c_1", DONE))
answer = ask(endpoint(stub), tool_call(), "2026-07-28")
[call.operation for call in stub.calls]
"""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, cast

import httpx2
from mcp import Client
from mcp.client.streamable_http import streamable_http_client
from tests.conftest import META, Answer

from remit.catalogue import Controls, Descriptor, Effect, Pin, Review
from remit.charter import Charter, UseCase
from remit.core import Delegation, Reason, ToolCall
from remit.identity import Authenticator, Presented, Registration, TokenRefusedError
from remit.pipeline import Done, Failed, Gateway, Live, Refused, Snapshot
from remit.records import Draft, Entry
from remit.surfaces._http import Bounds, Headers, Receive, Scope, Send
from remit.surfaces.mcp import McpEndpoint
from remit.testing import NOON, ManualClock, seeded

TOKEN = "good"
URL = "http://127.0.0.1:8701/approvals"
DONE = b'{"content":[{"text":"fine","type":"text"}],"isError":false,"structuredContent":{"id":"ord-1001"}}'
WAITS = Reason("approval_needed", "refunds from 100.00 EUR wait for finance", "ask finance")

Lines = Sequence[tuple[str, str]]


class Log:
    """Keeps the codes of what the endpoint records by itself."""

    def __init__(self) -> None:
        self.codes: list[str] = []

    async def append(self, entry: Draft) -> None:
        self.codes.append(json.loads(entry.leaf)["code"])


@dataclass
class StubGateway:
    """Gives the same answer to every call."""

    answer: Done | Refused | Failed = field(default_factory=lambda: Done("c_1", DONE))
    observe: bool = False
    clock: ManualClock = field(default_factory=ManualClock)
    ledger: Log = field(default_factory=Log)
    calls: list[ToolCall] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.random = seeded(1)

    async def handle(self, call: ToolCall) -> Done | Refused | Failed:
        self.calls.append(call)
        return self.answer


SAID = Delegation(user="tom", agent="refunds", task="t_1", use_case="refunds", expires_at=NOON + timedelta(hours=1))


class OneToken:
    """Knows one token, of Tom's task with the refund agent."""

    async def delegation(self, presented: Presented) -> Delegation:
        if presented.token != TOKEN:
            raise TokenRefusedError("token_invalid", "not a token of ours", "open a task")
        return SAID


def descriptor(operation: str, output: dict[str, Any] | None = None) -> Descriptor:
    return Descriptor(
        operation=operation,
        tool="orders",
        upstream_name=operation,
        version="1.0.0",
        title=operation,
        description=f"the operation {operation}",
        input_schema={"type": "object", "additionalProperties": False, "properties": {"id": {"type": "string"}}},
        output_schema=cast("Any", output),
        endpoint={"url": "http://127.0.0.1:9301/mcp"},
        served="",
        author="",
        controls=Controls(effect=Effect.READ),
        digest=f"sha256:{operation}",
    )


def snapshot(*descriptors: Descriptor, digest: str = "b_1") -> Snapshot:
    """Return a release in which the refund agent may have all of `descriptors`: reviewed, and pinned as they are."""
    names = frozenset(each.operation for each in descriptors)
    use_case = UseCase(name="refunds", description="", operations=names)
    job = Charter(agent="refunds", owner="ana", process="", purpose="", use_cases={"refunds": use_case})
    return Snapshot(
        digest=digest,
        sources={},
        charters={"refunds": job},
        tools={},
        descriptors={each.operation: each for each in descriptors},
        checks={},
        shards={},
        reviews={name: Review(signers=(("ana", "security"),), missing="") for name in names},
        flows={},
        manifests={"refunds": {each.operation: Pin(each.version, each.digest) for each in descriptors}},
        caps={},
        registrations={"refunds": Registration(bearer=True)},
    )


def running_on(release: Snapshot) -> Live:
    """Return the running state of a gateway on which nothing has happened yet."""

    async def no_entries(_task: str) -> tuple[Entry, ...]:
        return ()

    return Live(ManualClock(), release, {}, tenant="acme", memory_key=bytes(32), entries_of=no_entries)


def endpoint(stub: StubGateway, live: Live | None = None) -> McpEndpoint:
    running = live or running_on(snapshot(descriptor("get_order"), descriptor("refund_order")))
    gateway, tokens = cast("Gateway", stub), cast("Authenticator", OneToken())
    return McpEndpoint(gateway, running, tokens, Bounds(), "0.1.0", url="http://test/mcp", approvals_url=URL)


def ask(to: McpEndpoint, message: Any, lines: Lines = (), method: str = "POST") -> Answer:
    """Send one message, with these headers beside the token and the media type."""
    body = message if isinstance(message, bytes) else json.dumps(message).encode()
    given = [("Authorization", f"Bearer {TOKEN}"), ("Content-Type", "application/json"), *lines]
    sent: list[Any] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": body}

    async def send(event: Any) -> None:
        sent.append(event)

    raw = [(name.lower().encode("ascii"), value.encode("latin-1")) for name, value in given]
    asyncio.run(to.serve(method, Headers.of({"headers": raw}), receive, send))
    start, *rest = sent
    told = {name.decode("ascii"): value.decode("ascii") for name, value in start["headers"]}
    return Answer(start["status"], told, b"".join(event["body"] for event in rest))


def older(revision: str | None = "2025-11-25") -> Lines:
    """Return the one header that an older client sends, or none."""
    return [] if revision is None else [("MCP-Protocol-Version", revision)]


def newer(method: str = "tools/call", name: str = "get_order") -> Lines:
    """Return the headers of a client of 2026-07-28."""
    lines = [("MCP-Protocol-Version", "2026-07-28"), ("Mcp-Method", method)]
    return [*lines, ("Mcp-Name", name)] if method == "tools/call" else lines


def new_call(meta: Mapping[str, Any] | None = None, **params: Any) -> dict[str, Any]:
    """Return a `tools/call` of 2026-07-28 with more in its `_meta` or its params."""
    given = {"name": "get_order", "arguments": {"id": "ord-1001"}, "_meta": {**META, **(meta or {})}, **params}
    return {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": given}


def old_call(meta: Mapping[str, Any] | None = None, **params: Any) -> dict[str, Any]:
    """Return a `tools/call` of an older revision."""
    given = {"name": "get_order", "arguments": {"id": "ord-1001"}, **({"_meta": meta} if meta else {}), **params}
    return {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": given}


@asynccontextmanager
async def official(to: McpEndpoint, *, strip: bool = False, **options: Any) -> AsyncIterator[Client]:
    """Connect the official SDK's client, unchanged. `strip`: something between drops what only 2026-07-28 knows."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await to.serve(scope["method"], Headers.of(scope), receive, send)

    transport: httpx2.AsyncBaseTransport = httpx2.ASGITransport(app=cast("Any", app))
    if strip:
        transport = Stripping(transport)
    headers = {"Authorization": f"Bearer {TOKEN}"}
    async with (
        httpx2.AsyncClient(transport=transport, headers=headers, timeout=60) as http,
        Client(streamable_http_client("http://127.0.0.1:8700/mcp", http_client=http), **options) as client,
    ):
        yield client


class Stripping(httpx2.AsyncBaseTransport):
    """A proxy of the older days: it drops `_meta` and the headers that it does not know."""

    def __init__(self, onward: httpx2.AsyncBaseTransport) -> None:
        self._onward = onward

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        message = json.loads(request.content)
        if message["method"] == "server/discover":
            del message["params"]["_meta"]
            body = json.dumps(message).encode()
            kept = [(k, v) for k, v in request.headers.items() if not k.startswith("mcp-") and k != "content-length"]
            request = httpx2.Request("POST", request.url, headers=kept, content=body)
        return await self._onward.handle_async_request(request)
