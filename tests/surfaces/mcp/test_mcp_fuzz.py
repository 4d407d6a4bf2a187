"""Any bytes at `POST /mcp`: a defined answer, and nothing is forwarded that a strict reader would not read the same.

In both eras: an older message is a new one without its `_meta`, under the one header that older clients send.
"""

import json
from collections.abc import Callable
from contextlib import closing
from http.client import HTTPConnection, HTTPException
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.conftest import ANSWER_S, JSON, META, Gateway, Opened, bearer, mirrors, tool_call

SHARE, LONG = 300, 20_000

BASE = json.dumps(tool_call(), separators=(",", ":")).encode()
DICTIONARY = [
    b'"id":1', b'"id":null', b'"method":"tools/list"', b'"params":{}', b'"name":"close_account"', b'"arguments":[]',
    b'"order_id":"ord-1002"', b"{", b"}", b"[", b"]", b",", b":", b'"', b"\\", b"\\u0000", b"\\ud800", b"\xff", b"\x00",
    b"1e999", b"NaN", b"-0", b"0.0", b"null", b"true", b" ", b"\n", b"\xef\xbb\xbf", b"\xe2\x80\x8b", b"[" * 40,
]  # fmt: skip

names = st.sampled_from(
    ["get_order", "refund_order", "close_account", "drop_tables", "GET_ORDER", "get_\u043erder", ""]
)
scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=12)
anything = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3)
)
arguments = st.dictionaries(st.sampled_from(["order_id", "Order_id", "amount_minor", "x"]), anything, max_size=3) | (
    anything
)


@st.composite
def mutated(draw: st.DrawFn) -> bytes:
    """Spoil the well-formed call in up to four places."""
    body = bytearray(BASE)
    for _ in range(draw(st.integers(0, 4))):
        start = draw(st.integers(0, len(body)))
        cut = draw(st.sampled_from([0, 0, 1, 2, 8, 40]))
        body[start : start + cut] = draw(st.sampled_from(DICTIONARY) | st.binary(max_size=6))
    return bytes(body)


@st.composite
def shaped(draw: st.DrawFn) -> bytes:
    """Write messages that are nearly right, member by member."""
    right = tool_call()
    spoiled = {"name": draw(names | anything), "arguments": draw(arguments), "_meta": draw(st.just(META) | anything)}
    params = {**right["params"], **{key: spoiled[key] for key in draw(st.sets(st.sampled_from(sorted(spoiled))))}}
    message = {**right, "params": draw(st.just(params) | anything)}
    for key in draw(st.sets(st.sampled_from(["jsonrpc", "id", "method", "Method", "extra"]), max_size=2)):
        message[key] = draw(anything)
    return json.dumps(message).encode("utf-8", "surrogatepass")


bodies = st.binary(max_size=200) | mutated() | shaped()

OLDER = [JSON, ("MCP-Protocol-Version", "2025-11-25")]


def as_older(body: bytes) -> bytes:
    """Take the new era's keys out of `_meta`; the rest stays as spoiled as it is."""
    return body.replace(b'"io.modelcontextprotocol/', b'"example.org/')


class Sender:
    """One connection, opened again when the gateway closes it."""

    def __init__(self, gateway: Gateway, token: str, *, older: bool) -> None:
        self._connection = HTTPConnection("127.0.0.1", gateway.data_port, ANSWER_S)
        self._headers = dict([bearer(token), *(OLDER if older else mirrors(tool_call()))])
        self.older = older

    def close(self) -> None:
        self._connection.close()

    def post(self, body: bytes) -> tuple[int, bytes]:
        try:
            self._connection.request("POST", "/mcp", body, self._headers)
            answer = self._connection.getresponse()
        except HTTPException as error:  # pragma: no cover - it never closes without an answer
            raise AssertionError(body) from error
        return answer.status, answer.read()


def strictly(body: bytes) -> Any:
    """Read JSON as a second, independent reader: no duplicate keys, no constants."""

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        assert len({key for key, _ in pairs}) == len(pairs)
        return dict(pairs)

    return json.loads(body.decode("utf-8"), object_pairs_hook=unique)


def check(gateway: Gateway, sender: Sender, body: bytes) -> None:
    with gateway.calls.open("rb") as calls:
        calls.seek(0, 2)
        status, answered = sender.post(body)
        received = calls.read()
    assert status in (200, 202, 400, 404, 413), (body, status, answered)
    if status == 202:
        assert answered == received == b""
        return
    said = json.loads(answered)
    assert said["jsonrpc"] == "2.0"
    assert ("result" in said) is (status == 200) or (sender.older and status == 200)
    forwarded = "result" in said and "remit/code" not in said["result"].get("_meta", {}) and "content" in said["result"]
    if not forwarded:
        assert received == b"", body
        return
    message = strictly(body)
    assert message["id"] == said["id"]
    call = json.loads(received)
    assert (call["tool"], call["arguments"]) == (message["params"]["name"], message["params"]["arguments"])


def fuzz(gateway: Gateway, opened: Opened, examples: int, *, older: bool) -> None:
    @settings(max_examples=examples, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(bodies.map(as_older) if older else bodies)
    def run(body: bytes) -> None:
        check(gateway, sender, body)

    with closing(Sender(gateway, opened.token, older=older)) as sender:
        run()


@pytest.mark.parametrize("older", [False, True], ids=["new", "older"])
def test_any_bytes_get_a_defined_answer_and_forward_nothing_unread(desk: Gateway, opened: Opened, older: bool) -> None:
    fuzz(desk, opened, SHARE, older=older)


@pytest.mark.long
@pytest.mark.parametrize("older", [False, True], ids=["new", "older"])
def test_twenty_thousand_bodies_get_a_defined_answer(
    desk: Gateway, opened: Opened, share: Callable[[int], int], older: bool
) -> None:
    fuzz(desk, opened, share(LONG), older=older)


@pytest.mark.parametrize("older", [False, True], ids=["new", "older"])
def test_the_fuzz_sees_a_call_that_is_forwarded(desk: Gateway, opened: Opened, older: bool) -> None:
    """The control: unspoiled, the message reaches the order desk, and the check reads it there."""
    reached = len(desk.received())
    with closing(Sender(desk, opened.token, older=older)) as sender:
        check(desk, sender, as_older(BASE) if older else BASE)
    assert len(desk.received()) == reached + 1
