"""What a connection can cost, seen from raw sockets against a real server; each bound beside uvicorn without it."""

import asyncio
import contextlib
import queue
import socket
import threading
from collections.abc import Iterator
from typing import Any

import pytest
import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from remit.app._protocol import BoundedProtocol

PEER_WAIT_S = 10  # what a test waits at most for the server to say or do something
OPEN_WAIT_S = 0.3  # how long a control looks at a connection that stays open
GET = b"GET / HTTP/1.1\r\nhost: x\r\n\r\n"
POST_HEAD = b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 10\r\n\r\n"
CHUNKED_HEAD = b"POST / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n"


class Impatient(BoundedProtocol):
    HEAD_WAIT_S = 0.1
    BODY_WAIT_S = 0.1


class PatientWithBodies(BoundedProtocol):
    HEAD_WAIT_S = 0.1


class Small(BoundedProtocol):
    HEAD_BYTES_MAX = 512


class Few(BoundedProtocol):
    CONNECTIONS_MAX = 2


class CountsTimers(BoundedProtocol):
    started = 0

    def _start_timer(self) -> None:
        type(self).started += 1
        super()._start_timer()


class App:
    """Answers with the length of what it got. `/early` answers before the body, `/stream` never ends its answer."""

    def __init__(self) -> None:
        self.ended: queue.Queue[str] = queue.Queue()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        try:
            await self._answer(scope["path"], receive, send)
        finally:
            self.ended.put(scope["path"])

    async def _answer(self, path: str, receive: Any, send: Any) -> None:
        if path == "/early":
            await _reply(send, b"early")
            return
        size, more = 0, True
        if path == "/stream":
            await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"9")]})
            await send({"type": "http.response.body", "body": b"on", "more_body": True})
        while more or path == "/stream":
            message = await receive()
            if message["type"] == "http.disconnect":
                return
            size, more = size + len(message["body"]), message["more_body"]
        await _reply(send, b"%05d" % size)


async def _reply(send: Any, body: bytes) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"5")]})
    await send({"type": "http.response.body", "body": body})


class Running:
    def __init__(self, at: tuple[str, int], app: App) -> None:
        self.at = at
        self.app = app

    def connect(self) -> socket.socket:
        return socket.create_connection(self.at, timeout=PEER_WAIT_S)


class _Server(uvicorn.Server):
    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.listens = threading.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.listens.set()


@contextlib.contextmanager
def running(protocol: type[asyncio.Protocol]) -> Iterator[Running]:
    app = App()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        config = uvicorn.Config(
            app, http=protocol, ws="none", lifespan="off", log_level="critical", timeout_graceful_shutdown=2
        )
        server = _Server(config)
        at = listener.getsockname()
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})  # on uvloop, as a gateway is
        thread.start()
        try:
            assert server.listens.wait(PEER_WAIT_S)
            yield Running(at, app)
        finally:
            server.should_exit = True
            thread.join(PEER_WAIT_S)
            assert not thread.is_alive()
            assert not server.server_state.connections
            assert not server.server_state.tasks


def until_closed(peer: socket.socket) -> bytes:
    got = b""
    with contextlib.suppress(ConnectionError):
        while part := peer.recv(65536):
            got += part
    return got


def answers(peer: socket.socket, count: int, like: bytes = b"00000") -> bytes:
    got = b""
    while got.count(b"\r\n\r\n") < count or len(got.rsplit(b"\r\n\r\n", 1)[1]) < len(like):
        part = peer.recv(65536)
        assert part, got
        got += part
    return got


def is_open(peer: socket.socket) -> bool:
    peer.settimeout(OPEN_WAIT_S)
    try:
        return peer.recv(1) != b""
    except TimeoutError:
        return True
    except ConnectionError:
        return False


def flood(peer: socket.socket, line: bytes) -> None:
    for _ in range(64):
        peer.sendall(line * (1024 * 1024 // len(line)))


def refusal(status: bytes) -> bytes:
    return b"HTTP/1.1 " + status + b"\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"


TOO_LARGE = refusal(b"431 Request Header Fields Too Large")
LATE = refusal(b"408 Request Timeout")

OVER = {
    "one header": lambda size: b"GET / HTTP/1.1\r\nx: " + b"a" * (size - 18),
    "many headers": lambda size: b"GET / HTTP/1.1\r\n" + b"x: a\r\n" * (size // 6),
    "a path": lambda size: b"GET /" + b"a" * (size - 4),
}


@pytest.mark.parametrize("shape", OVER)
@pytest.mark.parametrize("protocol", [BoundedProtocol, Small])
def test_a_head_over_the_bound_is_answered_431_and_closed(shape: str, protocol: type[BoundedProtocol]) -> None:
    with running(protocol) as server, server.connect() as peer:
        peer.sendall(OVER[shape](protocol.HEAD_BYTES_MAX + 1))
        assert until_closed(peer) == TOO_LARGE
        assert server.app.ended.empty()


def test_a_whole_head_over_the_bound_in_one_read_never_reaches_the_app() -> None:
    with running(Small) as server, server.connect() as peer:
        peer.sendall(b"GET / HTTP/1.1\r\nx: " + b"a" * 600 + b"\r\n\r\n")
        assert until_closed(peer) == TOO_LARGE
        assert server.app.ended.empty()


@pytest.mark.parametrize("line", [b"x: a\r\n", b"a" * 1024], ids=["small headers", "one header"])
def test_a_flood_of_header_bytes_is_cut_off(line: bytes) -> None:
    with running(BoundedProtocol) as server, server.connect() as peer:
        peer.sendall(b"GET / HTTP/1.1\r\nx: ")
        with pytest.raises(ConnectionError):
            flood(peer, line)


def test_control_plain_uvicorn_takes_a_megabyte_of_header() -> None:
    with running(HttpToolsProtocol) as server, server.connect() as peer:
        peer.sendall(b"GET / HTTP/1.1\r\nx: " + b"a" * 1024 * 1024 + b"\r\n\r\n")
        assert answers(peer, 1).endswith(b"00000")


def test_trailers_over_the_bound_end_the_connection_and_the_apps_task() -> None:
    with running(Small) as server, server.connect() as peer:
        peer.sendall(CHUNKED_HEAD.replace(b"/ ", b"/stream ", 1) + b"1\r\na\r\n0\r\n")
        assert answers(peer, 1, b"on").endswith(b"on")
        peer.sendall(b"x: " + b"a" * 600)
        assert until_closed(peer) == b""
        assert server.app.ended.get(timeout=PEER_WAIT_S) == "/stream"


@pytest.mark.parametrize(
    "sent", [b"GET / HTTP/1.1\r\nhost: x\r\n", b"", b"\r\n"], ids=["half", "nothing", "empty line"]
)
def test_a_late_head_is_answered_408_and_closed(sent: bytes) -> None:
    with running(Impatient) as server, server.connect() as peer:
        peer.sendall(sent)
        assert until_closed(peer) == LATE


@pytest.mark.parametrize("sent", [b"GET / HTTP/1.1\r\nhost: x\r\n", b"\r\n"], ids=["half", "empty line"])
def test_a_late_head_on_a_kept_connection_is_answered_408(sent: bytes) -> None:
    with running(Impatient) as server, server.connect() as peer:
        for _ in range(3):
            peer.sendall(GET)
            answers(peer, 1)
        peer.sendall(sent)
        assert until_closed(peer) == LATE


def test_a_late_body_is_answered_408_and_ends_the_apps_task() -> None:
    with running(Impatient) as server, server.connect() as peer:
        peer.sendall(POST_HEAD + b"12345")
        assert until_closed(peer) == LATE
        assert server.app.ended.get(timeout=PEER_WAIT_S) == "/"


def test_a_late_body_has_its_own_wait() -> None:
    with running(PatientWithBodies) as server, server.connect() as peer:
        peer.sendall(POST_HEAD + b"12345")
        assert is_open(peer)
        peer.settimeout(PEER_WAIT_S)
        peer.sendall(b"67890")
        assert answers(peer, 1).endswith(b"00010")


def test_a_late_body_after_the_answer_is_only_closed() -> None:
    with running(Impatient) as server, server.connect() as peer:
        peer.sendall(POST_HEAD.replace(b"/ ", b"/early ", 1) + b"12345")
        got = until_closed(peer)
        assert got.endswith(b"early")
        assert b"408" not in got


def test_half_a_head_behind_a_response_under_way_is_only_closed_and_ends_the_apps_task() -> None:
    with running(Impatient) as server, server.connect() as peer:
        peer.sendall(GET.replace(b"/ ", b"/stream ", 1) + b"GET / HT")
        got = until_closed(peer)
        assert got.endswith(b"\r\n\r\non")
        assert server.app.ended.get(timeout=PEER_WAIT_S) == "/stream"


def test_a_caller_that_leaves_ends_a_request_with_another_queued_behind_it() -> None:
    with running(BoundedProtocol) as server:
        with server.connect() as peer:
            peer.sendall(GET.replace(b"/ ", b"/stream ", 1) + POST_HEAD)
            while b"\r\n\r\non" not in peer.recv(65536):
                pass
        # The queued request has paused reading: the app's own `receive` resumes it, so the leaving is seen.
        assert server.app.ended.get(timeout=PEER_WAIT_S) == "/stream"


@pytest.mark.parametrize("sent", [b"GET / HTTP/1.1\r\nhost: x\r\n", b"", POST_HEAD], ids=["half", "nothing", "body"])
def test_control_plain_uvicorn_keeps_a_silent_connection(sent: bytes) -> None:
    with running(HttpToolsProtocol) as server, server.connect() as peer:
        peer.sendall(sent)
        assert is_open(peer)


def test_a_connection_over_the_cap_is_closed_and_a_freed_place_is_given_again() -> None:
    with running(Few) as server, server.connect() as first:
        with server.connect() as second:
            for peer in (first, second):
                peer.sendall(GET)
                answers(peer, 1)
            with server.connect() as third:
                assert until_closed(third) == b""
            second.sendall(GET.replace(b"\r\n\r\n", b"\r\nconnection: close\r\n\r\n"))
            assert until_closed(second).endswith(b"00000")
        with server.connect() as fourth:
            fourth.sendall(GET)
            answers(fourth, 1)


def test_control_plain_uvicorn_has_no_cap() -> None:
    with running(HttpToolsProtocol) as server, contextlib.ExitStack() as peers:
        for _ in range(3):
            peer = peers.enter_context(server.connect())
            peer.sendall(GET)
            answers(peer, 1)


def test_a_hundred_requests_on_one_connection_start_one_timer() -> None:
    CountsTimers.started = 0
    with running(CountsTimers) as server, server.connect() as peer:
        for _ in range(100):
            peer.sendall(POST_HEAD + b"1234567890")
            assert answers(peer, 1).endswith(b"00010")
    assert CountsTimers.started == 1  # the wait for the connection's first byte


def test_a_hundred_pipelined_requests_are_all_answered() -> None:
    with running(Small) as server, server.connect() as peer:
        peer.sendall(GET * 100)
        assert answers(peer, 100).count(b"HTTP/1.1 200 OK") == 100


def test_good_heads_in_halves_on_one_connection_do_not_add_up() -> None:
    with running(Small) as server, server.connect() as peer:
        half = b"GET / HTTP/1.1\r\nx: " + b"a" * 300
        for _ in range(10):
            peer.sendall(half)
            peer.sendall(b"\r\n\r\n")
            assert answers(peer, 1).endswith(b"00000")


def test_a_large_body_and_a_chunked_body_are_no_head() -> None:
    with running(Small) as server, server.connect() as peer:
        peer.sendall(POST_HEAD.replace(b" 10", b" 50000") + b"a" * 50_000)
        assert answers(peer, 1).endswith(b"50000")
        peer.sendall(CHUNKED_HEAD)
        for _ in range(1000):
            peer.sendall(b"1\r\na\r\n")
        peer.sendall(b"400\r\n" + b"a" * 1024 + b"\r\n0\r\n\r\n")
        assert answers(peer, 1).endswith(b"02024")
