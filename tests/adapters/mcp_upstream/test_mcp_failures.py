"""What a tool server can do wrong, each with the code and the standing of the request that it must come to.

Every case runs against the same harness: one bad answer, then a good call through the same pool, then no connection is
left. The good call is the control: the harness does answer when the server behaves.
"""

import asyncio
from datetime import UTC, datetime
from typing import Any

import orjson
import pytest

from remit.adapters.http1 import Pool
from remit.adapters.mcp_upstream import McpUpstream
from remit.catalogue import Controls, Descriptor, Effect, Tool
from remit.core import Delegation, ToolCall, Trace
from remit.pipeline import Credential, Sent, UpstreamAnswer, UpstreamFailure

NOTHING = Credential("authorization", "")

pytestmark = pytest.mark.requirement("R7.6")

BYTES_MAX = 4096
UNKNOWN, ANSWERED, NOT_SENT = Sent.UNKNOWN, Sent.ANSWERED, Sent.NOT_SENT


def call(call_id: str = "c_1", canonical: bytes = b'{"order":"A-1"}') -> ToolCall:
    delegation = Delegation(user="ann", agent="refunds", task="t_1", use_case="refund", expires_at=datetime.now(UTC))
    return ToolCall(
        id=call_id,
        trace=Trace("a" * 32, "b" * 16),
        delegation=delegation,
        operation="get_order",
        canonical=canonical,
    )


DESCRIPTOR = Descriptor(
    operation="get_order",
    tool="desk",
    upstream_name="getOrder",
    version="1",
    title="",
    description="",
    author="",
    controls=Controls(effect=Effect.READ),
    endpoint={},
    served="",
    input_schema={"type": "object"},
    output_schema=None,
    digest="sha256:0",
)


def tool(port: int, timeout_s: float = 10.0) -> Tool:
    return Tool(name="desk", url=f"http://127.0.0.1:{port}/mcp", timeout_s=timeout_s, response_bytes_max=BYTES_MAX)


def http(body: bytes, status: str = "200 OK", kind: str = "application/json") -> bytes:
    return f"HTTP/1.1 {status}\r\ncontent-type: {kind}\r\ncontent-length: {len(body)}\r\n\r\n".encode() + body


def chunks(*parts: bytes, kind: str = "application/json", end: bytes = b"0\r\n\r\n") -> bytes:
    head = f"HTTP/1.1 200 OK\r\ncontent-type: {kind}\r\ntransfer-encoding: chunked\r\n\r\n".encode()
    return head + b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in parts) + end


def events(*messages: bytes, end: bytes = b"0\r\n\r\n") -> bytes:
    return chunks(*(b"data: " + message + b"\n\n" for message in messages), kind="text/event-stream", end=end)


def rpc(result: str, answer_id: str = '"c_1"') -> bytes:
    return f'{{"jsonrpc":"2.0","id":{answer_id},"result":{result}}}'.encode()


def error(text: str, answer_id: str = '"c_1"') -> bytes:
    return f'{{"jsonrpc":"2.0","id":{answer_id},"error":{text}}}'.encode()


OK = '{"content":[{"type":"text","text":"fine"}]}'
GOOD = rpc(OK)
NOTE = b'{"jsonrpc":"2.0","method":"notifications/progress","params":{"progress":1}}'
LENGTH = b"content-length: %d\r\n" % len(GOOD)


def raw(headers: bytes, body: bytes = GOOD, status: bytes = b"HTTP/1.1 200 OK\r\n") -> bytes:
    return status + b"content-type: application/json\r\n" + headers + b"\r\n" + body


# name: (answer, what the server does then, code, how far the request got)
CASES: dict[str, tuple[bytes, str, str, Sent]] = {
    # the connection
    "closes before any byte": (b"", "close", "upstream_closed", UNKNOWN),
    "says nothing": (b"", "hang", "upstream_timeout", UNKNOWN),
    "closes in the headers": (http(GOOD)[:30], "close", "upstream_closed", UNKNOWN),
    "stops in the headers": (http(GOOD)[:30], "hang", "upstream_timeout", UNKNOWN),
    "closes in the body": (http(GOOD)[:-5], "close", "upstream_closed", UNKNOWN),
    "stops in the body": (http(GOOD)[:-5], "hang", "upstream_timeout", UNKNOWN),
    "closes between chunks": (chunks(GOOD, end=b""), "close", "upstream_closed", UNKNOWN),
    "stops between chunks": (chunks(GOOD, end=b""), "hang", "upstream_timeout", UNKNOWN),
    # http
    "speaks ssh": (b"SSH-2.0-OpenSSH_9.6\r\n", "hang", "upstream_malformed", ANSWERED),
    "speaks http/2": (raw(LENGTH, status=b"HTTP/2.0 200 OK\r\n"), "hang", "upstream_malformed", ANSWERED),
    "status of four digits": (raw(LENGTH, status=b"HTTP/1.1 2000 OK\r\n"), "hang", "upstream_malformed", ANSWERED),
    "status nobody knows": (raw(LENGTH, status=b"HTTP/1.1 999 OK\r\n"), "hang", "upstream_malformed", ANSWERED),
    "bare line feeds": (raw(LENGTH).replace(b"\r\n", b"\n"), "hang", "upstream_malformed", ANSWERED),
    "folded header": (raw(b"a: b\r\n c\r\n" + LENGTH), "hang", "upstream_malformed", ANSWERED),
    "space before the colon": (raw(b"a : b\r\n" + LENGTH), "hang", "upstream_malformed", ANSWERED),
    "no length": (raw(b""), "close", "upstream_malformed", ANSWERED),
    "two lengths": (raw(LENGTH * 2), "hang", "upstream_malformed", ANSWERED),
    "negative length": (raw(b"content-length: -1\r\n"), "hang", "upstream_malformed", ANSWERED),
    "length and chunks": (
        raw(LENGTH + b"transfer-encoding: chunked\r\n"), "hang", "upstream_malformed", ANSWERED,
    ),
    "chunks and length": (
        raw(b"transfer-encoding: chunked\r\n" + LENGTH), "hang", "upstream_malformed", ANSWERED,
    ),
    "compressed chunks": (
        raw(b"transfer-encoding: gzip, chunked\r\n", b"0\r\n\r\n"), "hang", "upstream_malformed", ANSWERED,
    ),
    "compressed body": (raw(b"content-encoding: gzip\r\n" + LENGTH), "hang", "upstream_malformed", ANSWERED),
    "garbage for a chunk size": (
        raw(b"transfer-encoding: chunked\r\n", b"zz\r\n"), "hang", "upstream_malformed", ANSWERED,
    ),
    "chunk longer than it says": (
        raw(b"transfer-encoding: chunked\r\n", b"1\r\nabc\r\n"), "hang", "upstream_malformed", ANSWERED,
    ),
    "switches protocols": (
        raw(b"upgrade: x\r\nconnection: upgrade\r\n", b"", b"HTTP/1.1 101 Switching\r\n"), "hang",
        "upstream_malformed", ANSWERED,
    ),
    "body over the bound": (raw(b"content-length: 5000\r\n", b""), "hang", "upstream_too_large", UNKNOWN),
    "chunks over the bound": (chunks(*[b"x" * 100] * 50), "keep", "upstream_too_large", UNKNOWN),
    "header flood": (raw(b"a: b\r\n" * 5000 + LENGTH), "hang", "upstream_too_large", UNKNOWN),
    "header without end": (raw(b"a: " + b"b" * 40_000, b""), "hang", "upstream_too_large", UNKNOWN),
    "informational answers without end": (
        b"HTTP/1.1 100 Continue\r\n\r\n" * 2000, "hang", "upstream_too_large", UNKNOWN,
    ),
    "chunk extension without end": (
        raw(b"transfer-encoding: chunked\r\n", b"1;" + b"x" * 40_000), "hang", "upstream_too_large", UNKNOWN,
    ),
    "trailer flood": (chunks(GOOD, end=b"0\r\n" + b"a: b\r\n" * 5000), "hang", "upstream_too_large", UNKNOWN),
    "redirect": (
        raw(b"location: /elsewhere\r\n" + LENGTH, status=b"HTTP/1.1 307 Look\r\n"), "keep",
        "upstream_refused", ANSWERED,
    ),
    "refusal in words": (http(b"go away", "403 No", "text/plain"), "keep", "upstream_refused", ANSWERED),
    "refusal with a good result": (http(GOOD, "500 Oops"), "keep", "upstream_refused", ANSWERED),
    "refusal for another": (
        http(error('{"code":1,"message":"x"}', '"c_2"'), "400 No"), "keep", "upstream_refused", ANSWERED,
    ),
    "accepted without answer": (http(b"", "202 Accepted"), "keep", "upstream_malformed", ANSWERED),
    "created": (http(GOOD, "201 Created"), "keep", "upstream_malformed", ANSWERED),
    "no content": (b"HTTP/1.1 204 No Content\r\n\r\n", "keep", "upstream_malformed", ANSWERED),
    "web page": (http(b"<html>", kind="text/html"), "keep", "upstream_malformed", ANSWERED),
    "two content types": (raw(b"content-type: text/html\r\n" + LENGTH), "keep", "upstream_malformed", ANSWERED),
    # json-rpc
    "not json": (http(GOOD[:-1]), "keep", "upstream_malformed", ANSWERED),
    "a key twice": (http(GOOD[:-1] + b',"id":"c_1"}'), "keep", "upstream_malformed", ANSWERED),
    "not utf-8": (http(GOOD.replace(b"fine", b"\xff")), "keep", "upstream_malformed", ANSWERED),
    "too deep": (http(rpc("[" * 40 + "]" * 40)), "keep", "upstream_malformed", ANSWERED),
    "a batch": (http(b"[" + GOOD + b"]"), "keep", "upstream_malformed", ANSWERED),
    "another call's id": (http(rpc(OK, '"c_2"')), "keep", "upstream_malformed", ANSWERED),
    "no id": (http(rpc(OK, "null")), "keep", "upstream_malformed", ANSWERED),
    "another protocol": (http(GOOD.replace(b'"2.0"', b'"1.0"')), "keep", "upstream_malformed", ANSWERED),
    "result and error": (http(GOOD[:-1] + b',"error":{}}'), "keep", "upstream_malformed", ANSWERED),
    "neither result nor error": (http(b'{"jsonrpc":"2.0","id":"c_1"}'), "keep", "upstream_malformed", ANSWERED),
    "result of the wrong shape": (http(rpc('"fine"')), "keep", "upstream_malformed", ANSWERED),
    "error without code": (http(error('{"message":"x"}')), "keep", "upstream_malformed", ANSWERED),
    "error with a true code": (http(error('{"code":true,"message":"x"}')), "keep", "upstream_malformed", ANSWERED),
    "error": (http(error('{"code":-32602,"message":"no"}')), "keep", "upstream_error", ANSWERED),
    "error with a status": (http(error('{"code":1,"message":"no"}'), "400 No"), "keep", "upstream_error", ANSWERED),
    "error without id": (
        http(error('{"code":1,"message":"no"}', "null"), "400 No"), "keep", "upstream_error", ANSWERED,
    ),
    # mcp
    "no result content": (http(rpc("{}")), "keep", "upstream_malformed", ANSWERED),
    "content of the wrong shape": (http(rpc('{"content":{}}')), "keep", "upstream_malformed", ANSWERED),
    "content without type": (http(rpc('{"content":[{"text":"x"}]}')), "keep", "upstream_malformed", ANSWERED),
    "content of text": (http(rpc('{"content":["x"]}')), "keep", "upstream_malformed", ANSWERED),
    "a yes for isError": (http(rpc('{"content":[],"isError":"yes"}')), "keep", "upstream_malformed", ANSWERED),
    "asks for input": (http(rpc('{"resultType":"input_required"}')), "keep", "upstream_unsupported", ANSWERED),
    "a result type of null": (http(rpc('{"resultType":null}')), "keep", "upstream_unsupported", ANSWERED),
    # event streams
    "stream without answer": (events(NOTE), "keep", "upstream_closed", UNKNOWN),
    "stream cut before the answer": (events(NOTE, end=b""), "close", "upstream_closed", UNKNOWN),
    "stream that stops": (events(NOTE, end=b""), "hang", "upstream_timeout", UNKNOWN),
    "stream cut in the answer": (
        chunks(b"data: " + GOOD, kind="text/event-stream"), "keep", "upstream_closed", UNKNOWN,
    ),
    "stream over the bound": (events(*[NOTE] * 100), "hang", "upstream_too_large", UNKNOWN),
    "stream of comments": (
        chunks(*[b": ping\n\n" * 20] * 50, kind="text/event-stream"), "hang", "upstream_too_large", UNKNOWN,
    ),
    "stream of garbage": (events(b"{"), "keep", "upstream_malformed", ANSWERED),
    "stream with another's answer": (events(rpc(OK, '"c_2"'), GOOD), "keep", "upstream_malformed", ANSWERED),
    "stream with a request": (
        events(b'{"jsonrpc":"2.0","id":1,"method":"sampling/createMessage"}', GOOD), "keep",
        "upstream_malformed", ANSWERED,
    ),
    "stream with an error": (events(NOTE, error('{"code":7,"message":"no"}')), "keep", "upstream_error", ANSWERED),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_each_fault_has_its_code_and_the_pool_still_serves(run: Any, serving: Any, play: Any, name: str) -> None:
    answer, then, code, sent = CASES[name]

    async def scenario() -> None:
        async with serving(lambda n, _head, _body: play(answer, then) if n == 0 else play(http(GOOD))) as peer:
            pool = Pool()
            upstream = McpUpstream(pool)
            hurried = tool(peer.port, 0.2 if code == "upstream_timeout" else 10.0)
            failure = await upstream.invoke(hurried, DESCRIPTOR, call(), NOTHING)
            assert isinstance(failure, UpstreamFailure), failure
            assert (failure.code, failure.sent) == (code, sent), failure
            assert failure.detail.isascii()
            assert failure.detail.isprintable()
            after = await upstream.invoke(tool(peer.port), DESCRIPTOR, call(), NOTHING)
            assert isinstance(after, UpstreamAnswer), after
            assert (len(peer.bodies), pool.connections) == (2, 1)
            await pool.close()
            await peer.gone()

    run(scenario())


@pytest.mark.parametrize("piece", [1, 7])
@pytest.mark.parametrize("name", ["trailer flood", "garbage for a chunk size", "stream with a request", "a key twice"])
def test_a_fault_is_the_same_fault_in_small_pieces(run: Any, serving: Any, play: Any, name: str, piece: int) -> None:
    answer, then, code, sent = CASES[name]

    async def scenario() -> None:
        async with serving(lambda _n, _head, _body: play(answer, then, piece)) as peer:
            pool = Pool()
            failure = await McpUpstream(pool).invoke(tool(peer.port), DESCRIPTOR, call(), NOTHING)
            assert isinstance(failure, UpstreamFailure), failure
            assert (failure.code, failure.sent) == (code, sent), failure
            await pool.close()
            await peer.gone()

    run(scenario())


def test_a_server_that_is_not_there_was_sent_nothing(run: Any, serving: Any, play: Any) -> None:
    async def scenario() -> None:
        async with serving(lambda _n, _head, _body: play(b"")) as peer:
            pass
        pool = Pool()
        failure = await McpUpstream(pool).invoke(tool(peer.port), DESCRIPTOR, call(), NOTHING)
        assert isinstance(failure, UpstreamFailure)
        assert (failure.code, failure.sent) == ("upstream_unreachable", NOT_SENT)
        await pool.close()

    run(scenario())


def test_an_error_text_is_one_short_line_of_ascii(run: Any, serving: Any, play: Any) -> None:
    said = orjson.dumps({"code": -3, "message": "\x1b[31mno\r\nadmin: yes \u202e" + "x" * 999}).decode()

    async def scenario() -> None:
        async with serving(lambda _n, _head, _body: play(http(error(said)))) as peer:
            pool = Pool()
            failure = await McpUpstream(pool).invoke(tool(peer.port), DESCRIPTOR, call(), NOTHING)
            assert isinstance(failure, UpstreamFailure)
            assert failure.detail.startswith("-3: ?[31mno?admin: yes ?xxx")
            assert len(failure.detail) <= 204
            await pool.close()

    run(scenario())


def test_a_cancelled_call_leaves_no_connection_and_the_next_one_is_answered(run: Any, serving: Any, play: Any) -> None:
    async def scenario() -> None:
        asked = asyncio.Event()

        def script(count: int, _head: bytes, _body: bytes) -> Any:
            asked.set()
            return play(http(GOOD)[:-1], "hang") if count == 0 else play(http(GOOD))

        async with serving(script) as peer:
            pool = Pool()
            upstream = McpUpstream(pool)
            first = asyncio.create_task(upstream.invoke(tool(peer.port), DESCRIPTOR, call(), NOTHING))
            await asked.wait()
            first.cancel()
            with pytest.raises(asyncio.CancelledError):
                await first
            assert isinstance(await upstream.invoke(tool(peer.port), DESCRIPTOR, call(), NOTHING), UpstreamAnswer)
            assert pool.connections == 1
            await pool.close()
            await peer.gone()

    run(scenario())
