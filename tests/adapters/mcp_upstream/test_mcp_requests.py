"""What leaves for a tool server, byte for byte, and the good answers in all their forms."""

import asyncio
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import orjson
import pytest

from remit import __version__
from remit.adapters.http1 import Pool, PoolLimits
from remit.adapters.mcp_upstream import McpUpstream
from remit.catalogue import Controls, Descriptor, Effect, Tool
from remit.core import Delegation, JsonObject, RemitError, ToolCall, Trace
from remit.pipeline import Credential, UpstreamAnswer, UpstreamFailure

NOTHING = Credential("authorization", "")


def call(call_id: str, canonical: bytes = b"{}") -> ToolCall:
    delegation = Delegation(user="ann", agent="refunds", task="t_1", use_case="refund", expires_at=datetime.now(UTC))
    return ToolCall(
        id=call_id,
        trace=Trace("a" * 32, "b" * 16),
        delegation=delegation,
        operation="get_order",
        canonical=canonical,
    )


def descriptor(schema: JsonObject | None = None, upstream_name: str = "getOrder") -> Descriptor:
    return Descriptor(
        operation="get_order",
        tool="desk",
        upstream_name=upstream_name,
        version="1",
        title="",
        description="",
        author="",
        controls=Controls(effect=Effect.READ),
        endpoint={},
        served="",
        input_schema=schema or {"type": "object"},
        output_schema=None,
        digest="sha256:0",
    )


def tool(port: int) -> Tool:
    return Tool(name="desk", url=f"http://127.0.0.1:{port}/mcp", timeout_s=10.0, response_bytes_max=1 << 16)


def http(body: bytes, kind: str = "application/json") -> bytes:
    return f"HTTP/1.1 200 OK\r\ncontent-type: {kind}\r\ncontent-length: {len(body)}\r\n\r\n".encode() + body


def rpc(request: bytes, result: bytes) -> bytes:
    return b'{"jsonrpc":"2.0","id":%b,"result":%b}' % (orjson.dumps(orjson.loads(request)["id"]), result)


def fine(request: bytes) -> bytes:
    return rpc(request, b'{"content":[]}')


def test_the_request_is_exactly_this(run: Any, serving: Any, play: Any) -> None:
    """The arguments are spliced in as the bytes decided on: no other writer would keep this spacing and order."""
    canonical = b'{ "z":1,"a": 1.50 ,"text":"\\u00e9" }'

    async def scenario() -> None:
        async with serving(lambda _n, _head, body: play(http(fine(body)))) as peer:
            pool = Pool()
            assert isinstance(
                await McpUpstream(pool).invoke(tool(peer.port), descriptor(), call("c_1", canonical), NOTHING),
                UpstreamAnswer,
            )
            await pool.close()
        meta = (
            '{"io.modelcontextprotocol/clientCapabilities":{},"io.modelcontextprotocol/clientInfo":{"name":"remit",'
            f'"version":"{__version__}"}},"io.modelcontextprotocol/protocolVersion":"2026-07-28",'
            f'"traceparent":"00-{"a" * 32}-{"b" * 16}-01"}}'
        )
        body = (
            b'{"jsonrpc":"2.0","id":"c_1","method":"tools/call","params":{"name":"getOrder","_meta":'
            + meta.encode()
            + b',"arguments":'
            + canonical
            + b"}}"
        )
        assert peer.bodies == [body]
        assert orjson.loads(body)
        assert peer.heads[0].decode().split("\r\n") == [
            "POST /mcp HTTP/1.1",
            f"host: 127.0.0.1:{peer.port}",
            "content-type: application/json",
            "accept: application/json, text/event-stream",
            "accept-encoding: identity",
            f"user-agent: remit/{__version__}",
            "mcp-protocol-version: 2026-07-28",
            "mcp-method: tools/call",
            "mcp-name: getOrder",
            f"content-length: {len(body)}",
            "",
            "",
        ]

    run(scenario())


SCHEMA: JsonObject = {
    "type": "object",
    "properties": {
        "region": {"type": "string", "x-mcp-header": "Region"},
        "deep": {"type": "object", "properties": {"count": {"type": "integer", "x-mcp-header": "Count"}}},
        "dry": {"type": "boolean", "x-mcp-header": "Dry"},
        "x": {"default": {"x-mcp-header": "data, not a schema"}},
    },
}


@pytest.mark.parametrize(
    ("arguments", "headers"),
    [
        ({}, []),
        ({"region": "eu", "deep": {"count": 7}, "dry": True}, ["count: 7", "dry: true", "region: eu"]),
        ({"region": None, "deep": 5, "dry": False}, ["dry: false"]),
        ({"region": "é\r\nx: y"}, ["region: =?base64?w6kNCng6IHk=?="]),
        ({"region": " eu"}, ["region: =?base64?IGV1?="]),
        ({"region": "=?base64?eA==?="}, ["region: =?base64?PT9iYXNlNjQ/ZUE9PT89?="]),
        ({"region": ["eu"]}, []),
    ],
)
def test_declared_arguments_are_mirrored_into_headers(
    run: Any, serving: Any, play: Any, arguments: JsonObject, headers: list[str]
) -> None:
    async def scenario() -> None:
        async with serving(lambda _n, _head, body: play(http(fine(body)))) as peer:
            pool = Pool()
            await McpUpstream(pool).invoke(
                tool(peer.port), descriptor(SCHEMA), call("c_1", orjson.dumps(arguments)), NOTHING
            )
            await pool.close()
        found = [line for line in peer.heads[0].decode().split("\r\n") if line.startswith("mcp-param-")]
        assert sorted(found) == ["mcp-param-" + header for header in headers]

    run(scenario())


@pytest.mark.parametrize(
    "schema",
    [
        {"x-mcp-header": "A"},
        {"properties": {"a": {"type": "number", "x-mcp-header": "A"}}},
        {"properties": {"a": {"x-mcp-header": "A"}}},
        {"properties": {"a": {"type": "string", "x-mcp-header": "A b"}}},
        {"properties": {"a": {"type": "string", "x-mcp-header": "A\r\nb: c"}}},
        {"properties": {"a": {"type": "string", "x-mcp-header": 1}}},
        {"properties": {"a": {"type": ["string", "null"], "x-mcp-header": "A"}}},
        {"properties": {n: {"type": "string", "x-mcp-header": n} for n in "aA"}},
        {"properties": {"a": {"items": {"type": "string", "x-mcp-header": "A"}}}},
        {"anyOf": [{"properties": {"a": {"type": "string", "x-mcp-header": "A"}}}]},
        {"$defs": {"d": {"properties": {"a": {"type": "string", "x-mcp-header": "A"}}}}},
    ],
)
def test_a_schema_that_misuses_the_header_mark_is_never_called(run: Any, serving: Any, schema: JsonObject) -> None:
    async def scenario() -> None:
        async with serving(lambda *_: None) as peer:
            failure = await McpUpstream(Pool()).invoke(tool(peer.port), descriptor(schema), call("c_1"), NOTHING)
            assert isinstance(failure, UpstreamFailure)
            assert (failure.code, failure.sent.value) == ("upstream_unsupported", "not_sent")
            assert peer.accepted == 0

    run(scenario())


def test_a_tool_without_a_usable_url_is_never_called(run: Any) -> None:
    bad = replace(tool(1), url="ftp://desk/")
    failure = run(McpUpstream(Pool()).invoke(bad, descriptor(), call("c_1"), NOTHING))
    assert isinstance(failure, UpstreamFailure)
    assert (failure.code, failure.sent.value) == ("url_invalid", "not_sent")


def test_a_name_beyond_ascii_is_wrapped(run: Any, serving: Any, play: Any) -> None:
    async def scenario() -> None:
        async with serving(lambda _n, _head, body: play(http(fine(body)))) as peer:
            pool = Pool()
            await McpUpstream(pool).invoke(tool(peer.port), descriptor(upstream_name="é"), call("c_1"), NOTHING)
            await pool.close()
        assert b"\r\nmcp-name: =?base64?w6k=?=\r\n" in peer.heads[0]
        assert '"name":"é"'.encode() in peer.bodies[0]

    run(scenario())


def test_a_changed_tool_or_descriptor_is_prepared_anew(run: Any, serving: Any, play: Any) -> None:
    async def scenario() -> None:
        async with serving(lambda _n, _head, body: play(http(fine(body)))) as peer:
            pool = Pool()
            upstream, same = McpUpstream(pool), descriptor()
            for each in (same, same, descriptor(upstream_name="other")):
                await upstream.invoke(tool(peer.port), each, call("c_1"), NOTHING)
            await upstream.invoke(
                replace(tool(peer.port), url=f"http://127.0.0.1:{peer.port}/new"), same, call("c_1"), NOTHING
            )
            await pool.close()
        assert [orjson.loads(body)["params"]["name"] for body in peer.bodies] == [
            "getOrder",
            "getOrder",
            "other",
            "getOrder",
        ]
        assert peer.heads[3].startswith(b"POST /new ")

    run(scenario())


def test_200_calls_over_8_connections_each_get_their_own_answer(run: Any, serving: Any, play: Any) -> None:
    def script(count: int, _head: bytes, body: bytes) -> Any:
        mark = orjson.dumps(orjson.loads(body)["params"]["arguments"])
        message = rpc(body, b'{"content":[],"structuredContent":' + mark + b"}")
        if count % 2:
            return play(http(b"data: " + message + b"\n\n", "text/event-stream"), piece=11)
        return play(http(message), piece=11)

    async def scenario() -> None:
        async with serving(script) as peer:
            pool = Pool(PoolLimits(connections_max=8))
            upstream, desk, one = McpUpstream(pool), tool(peer.port), descriptor()
            answers = await asyncio.gather(
                *(upstream.invoke(desk, one, call(f"c_{n}", b'{"mark":%d}' % n), NOTHING) for n in range(200))
            )
            for n, answer in enumerate(answers):
                assert isinstance(answer, UpstreamAnswer), answer
                assert answer.result == b'{"content":[],"structuredContent":{"mark":%d}}' % n
            assert peer.accepted == 8
            await pool.close()
            await peer.gone()

    run(scenario())


def test_only_the_named_members_of_a_result_come_back(run: Any, serving: Any, play: Any) -> None:
    result = (
        b'{"resultType":"complete","_meta":{"a":1},"isError":true,"structuredContent":{"b":2.0,"a":1},"extra":5,'
        b'"content":[{"type":"text","text":"no","_meta":{"x":1}},{"type":"resource","resource":{"uri":"a:b","_meta":{}}}]}'
    )

    async def scenario() -> None:
        async with serving(lambda _n, _head, body: play(http(rpc(body, result)))) as peer:
            pool = Pool()
            answer = await McpUpstream(pool).invoke(tool(peer.port), descriptor(), call("c_1"), NOTHING)
            assert answer == UpstreamAnswer(
                result=b'{"content":[{"text":"no","type":"text"},{"resource":{"uri":"a:b"},"type":"resource"}],'
                b'"isError":true,"structuredContent":{"a":1,"b":2}}',
                is_error=True,
            )
            await pool.close()

    run(scenario())


NOTE = b'{"jsonrpc":"2.0","method":"notifications/progress","params":{}}'


def stream(body: bytes) -> bytes:
    return b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream; x=y\r\ntransfer-encoding: chunked\r\n\r\n" + (
        b"%x\r\n%b\r\n" % (len(body), body)
    )


@pytest.mark.parametrize("piece", [1, 5, 1 << 20])
@pytest.mark.parametrize(
    "form",
    [
        b"data: %b\n\ndata: %b\n\n",
        b"event: message\r\nid: 1\r\ndata: %b\r\n\r\nevent: message\r\ndata:%b\r\n\r\n",
        b": ping\r\rdata: %b\r\rretry: 5\rdata: %b\r\r\r\n",
        b"\n\ndata\n\n: hello\ndata: %b\n\ndata: %b\n\ndata: the rest is not read\n\n",
    ],
)
def test_the_answer_is_found_in_an_event_stream(run: Any, serving: Any, play: Any, form: bytes, piece: int) -> None:
    def script(_count: int, _head: bytes, body: bytes) -> Any:
        return play(stream(form % (NOTE, fine(body))) + b"0\r\n\r\n", piece=piece)

    async def scenario() -> None:
        async with serving(script) as peer:
            pool = Pool()
            upstream = McpUpstream(pool)
            for number in range(2):
                answer = await upstream.invoke(tool(peer.port), descriptor(), call(f"c_{number}"), NOTHING)
                assert isinstance(answer, UpstreamAnswer), answer
            assert peer.accepted == 1
            await pool.close()

    run(scenario())


def test_an_answer_over_several_data_lines_is_one_message(run: Any, serving: Any, play: Any) -> None:
    def script(_count: int, _head: bytes, body: bytes) -> Any:
        lines = fine(body).replace(b",", b"\ndata: ,")
        return play(stream(b"data: " + lines + b"\n\n") + b"0\r\n\r\n")

    async def scenario() -> None:
        async with serving(script) as peer:
            pool = Pool()
            answer = await McpUpstream(pool).invoke(tool(peer.port), descriptor(), call("c_1"), NOTHING)
            assert isinstance(answer, UpstreamAnswer), answer
            await pool.close()

    run(scenario())


@pytest.mark.parametrize("then", ["hang", "close"])
def test_a_stream_left_open_behind_the_answer_does_not_hold_it_up(run: Any, serving: Any, play: Any, then: str) -> None:
    async def scenario() -> None:
        async with serving(lambda _n, _head, body: play(stream(b"data: " + fine(body) + b"\n\n"), then)) as peer:
            pool = Pool()
            answer = await McpUpstream(pool).invoke(tool(peer.port), descriptor(), call("c_1"), NOTHING)
            assert isinstance(answer, UpstreamAnswer), answer
            assert pool.connections == 0
            await peer.gone()
            await pool.close()

    run(scenario())


def list_script(play: Any, *pages: bytes) -> Any:
    return lambda count, _head, body: play(http(rpc(body, pages[count % len(pages)])))


def test_a_tool_list_is_read_to_its_last_page(run: Any, serving: Any, play: Any) -> None:
    pages = (b'{"tools":[{"name":"a"}],"nextCursor":"2"}', b'{"tools":[{"name":"b"},{"name":"c"}]}')

    async def scenario() -> None:
        async with serving(list_script(play, *pages)) as peer:
            pool = Pool()
            assert [t["name"] for t in await McpUpstream(pool).list_tools(tool(peer.port))] == ["a", "b", "c"]
            assert [orjson.loads(body)["params"].get("cursor") for body in peer.bodies] == [None, "2"]
            assert b"\r\nmcp-method: tools/list\r\n" in peer.heads[0]
            await pool.close()

    run(scenario())


@pytest.mark.requirement("R7.6")
@pytest.mark.parametrize(
    ("page", "code"),
    [
        (b'{"tools":[],"nextCursor":"same"}', "upstream_too_large"),
        (b'{"tools":[],"nextCursor":7}', "upstream_too_large"),
        (b'{"tools":{}}', "upstream_malformed"),
        (b'{"tools":[{"title":"x"}]}', "upstream_malformed"),
        (b'{"resultType":"input_required"}', "upstream_unsupported"),
        (b"[]", "upstream_malformed"),
    ],
)
def test_a_bad_tool_list_is_an_error_with_a_fix(run: Any, serving: Any, play: Any, page: bytes, code: str) -> None:
    async def scenario() -> None:
        async with serving(list_script(play, page)) as peer:
            pool = Pool()
            with pytest.raises(RemitError) as caught:
                await McpUpstream(pool).list_tools(tool(peer.port))
            assert caught.value.code == code
            assert "`desk`" in caught.value.message
            assert caught.value.fix
            assert len(peer.bodies) <= 2
            await pool.close()

    run(scenario())


@pytest.mark.requirement("R7.6")
def test_a_tool_list_without_end_is_given_up(run: Any, serving: Any, play: Any) -> None:
    def script(count: int, _head: bytes, body: bytes) -> Any:
        return play(http(rpc(body, b'{"tools":[],"nextCursor":"%d"}' % count)))

    async def scenario() -> None:
        async with serving(script) as peer:
            pool = Pool()
            with pytest.raises(RemitError, match="upstream_too_large"):
                await McpUpstream(pool).list_tools(tool(peer.port))
            assert len(peer.bodies) == 100
            await pool.close()

    run(scenario())


@pytest.mark.requirement("R7.6")
@pytest.mark.parametrize(
    "said", [b'{"supportedVersions":["2025-11-25"]}', b'{"supportedVersions":"2026-07-28"}', b"{}"]
)
def test_a_server_of_another_revision_is_named_as_such(run: Any, serving: Any, play: Any, said: bytes) -> None:
    async def scenario() -> None:
        async with serving(list_script(play, said)) as peer:
            pool = Pool()
            with pytest.raises(RemitError, match=r"upstream_unsupported: tool server `desk` .*2026-07-28"):
                await McpUpstream(pool).discover(tool(peer.port))
            await pool.close()

    run(scenario())
