"""A tool server that is down, slow or broken, and a client that hangs up: the answer is defined, the log says it."""

import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from tests.conftest import Answer, Gateway, bearer, free_ports, gateway, mirrors, tool_call

TRIES = 2_000  # looks at the log before a record that must come counts as missing


@dataclass
class Tool:
    """A tool server that answers every request with `answer`, once `go` is set; `asked` is set by each request."""

    port: int
    answer: bytes = b""
    go: threading.Event = field(default_factory=threading.Event)
    asked: threading.Event = field(default_factory=threading.Event)
    seen: list[bytes] = field(default_factory=list)

    def serve(self, listener: socket.socket) -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return  # the test is over
            threading.Thread(target=self._converse, args=(connection,), daemon=True).start()

    def _converse(self, connection: socket.socket) -> None:
        with connection, connection.makefile("rb") as reader:
            length = 0
            for line in reader:
                if line.lower().startswith(b"content-length:"):
                    length = int(line[15:])
                if line == b"\r\n":
                    break
            else:
                return
            self.seen.append(reader.read(length))
            self.asked.set()
            self.go.wait()
            id_ = json.loads(self.seen[-1])["id"]
            body = self.answer.replace(b'"ID"', json.dumps(id_).encode())
            whole = http("200 OK", body, "Content-Type: application/json") if body.startswith(b"{") else body
            connection.sendall(whole)


@contextmanager
def tool() -> Iterator[Tool]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        one = Tool(listener.getsockname()[1])
        threading.Thread(target=one.serve, args=(listener,), daemon=True).start()
        try:
            yield one
        finally:
            one.go.set()
            listener.shutdown(socket.SHUT_RDWR)


def http(status: str, body: bytes, *lines: str) -> bytes:
    head = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", "Connection: close", *lines]
    return "\r\n".join(head).encode() + b"\r\n\r\n" + body


def rpc(**members: Any) -> bytes:
    """Write an answer as JSON; the server puts the request's id in and frames it."""
    return json.dumps({"jsonrpc": "2.0", "id": "ID", **members}).encode()


GOOD = rpc(result={"resultType": "complete", "content": [{"type": "text", "text": "fine"}]})


@pytest.fixture(scope="module")
def upstream() -> Iterator[Tool]:
    with tool() as one:
        yield one


@pytest.fixture(scope="module")
def troubled(tmp_path_factory: pytest.TempPathFactory, upstream: Tool) -> Iterator[Gateway]:
    """A gateway before a tool server that plays what it is told."""
    folder = tmp_path_factory.mktemp("troubled")
    url = f"http://127.0.0.1:{upstream.port}/mcp"
    with gateway(folder, url, folder / "none", catalogue="timeout_s: 0.5") as one:
        yield one
    assert "Traceback" not in one.said(), one.said()


def told(answer: Answer) -> tuple[str, bool]:
    result = answer.json["result"]
    assert (answer.status, result["isError"]) == (200, True)
    return result["_meta"]["remit/code"], result["_meta"]["remit/effect_possible"]


def outcome(one: Gateway, task: str) -> tuple[str, str]:
    [leaf] = [leaf for leaf in one.records(task) if leaf["kind"] == "outcome"]
    return leaf["status"], leaf.get("code", "")


@pytest.mark.requirement("R5.1")
@pytest.mark.parametrize(
    ("answer", "code"),
    [
        (b"", "upstream_closed"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{", "upstream_closed"),
        (b"canary\r\n\r\n", "upstream_malformed"),
        (http("500 Oops", b"Traceback canary"), "upstream_refused"),
        (http("302 Found", b"", "Location: http://attacker.example/"), "upstream_refused"),
        (http("401 Unauthorized", b"{}"), "upstream_refused"),
        (http("200 OK", b"canary", "Content-Type: text/html"), "upstream_malformed"),
        (http("200 OK", b"{", "Content-Type: application/json"), "upstream_malformed"),
        (rpc(result={"content": "canary"}), "upstream_malformed"),
        (rpc(id="other", result={"content": []}), "upstream_malformed"),
        (rpc(error={"code": -32603, "message": "canary"}), "upstream_error"),
        (rpc(result={"resultType": "input_required", "inputRequests": {}}), "upstream_unsupported"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_broken_tool_server_leaves_an_unknown_effect_and_a_clear_answer(
    troubled: Gateway, upstream: Tool, answer: bytes, code: str
) -> None:
    upstream.answer = answer
    upstream.go.set()
    opened = troubled.open()
    got = troubled.call(opened.token, tool_call())
    assert told(got) == (code, True)
    assert "canary" not in got.body.decode()
    assert outcome(troubled, opened.task) == ("unknown", code)


@pytest.mark.requirement("R5.1")
def test_a_slow_tool_server_is_cut_off_at_its_time_and_its_effect_is_unknown(troubled: Gateway, upstream: Tool) -> None:
    upstream.go.clear()
    opened = troubled.open()
    assert told(troubled.call(opened.token, tool_call())) == ("upstream_timeout", True)
    assert outcome(troubled, opened.task) == ("unknown", "upstream_timeout")
    upstream.go.set()


@pytest.mark.requirement("R5.1")
def test_a_tool_server_that_is_down_means_no_effect(tmp_path: Path) -> None:
    [port] = free_ports(1)
    with gateway(tmp_path, f"http://127.0.0.1:{port}/mcp", tmp_path / "none") as down:
        opened = down.open()
        assert told(down.call(opened.token, tool_call())) == ("upstream_unreachable", False)
        assert outcome(down, opened.task) == ("failed", "upstream_unreachable")


@pytest.mark.requirement("R5.1")
def test_a_client_that_hangs_up_does_not_keep_the_outcome_from_the_log(troubled: Gateway, upstream: Tool) -> None:
    upstream.answer = GOOD
    upstream.go.clear()
    upstream.asked.clear()
    opened = troubled.open()
    lines = [bearer(opened.token), *mirrors(tool_call())]
    with socket.create_connection(("127.0.0.1", troubled.data_port)) as client:
        client.sendall(troubled.request("POST", "/mcp", json.dumps(tool_call()).encode(), lines))
        assert upstream.asked.wait(60)
        assert [leaf["kind"] for leaf in troubled.records(opened.task)] == ["task_opened", "intent"]
    upstream.go.set()
    for _ in range(TRIES):
        if troubled.records(opened.task)[-1]["kind"] == "outcome":
            break
    assert outcome(troubled, opened.task) in (("done", ""), ("unknown", "upstream_timeout"))


def test_the_same_tool_server_in_good_health_is_answered_from(troubled: Gateway, upstream: Tool) -> None:
    """The control: what the file spoils is a whole exchange, and nothing of the caller's leaves but the arguments."""
    upstream.answer = GOOD
    upstream.go.set()
    opened = troubled.open()
    answer = troubled.call(opened.token, tool_call())
    assert answer.json["result"]["content"] == [{"type": "text", "text": "fine"}]
    assert outcome(troubled, opened.task) == ("done", "")
    assert opened.token.encode() not in upstream.seen[-1]
