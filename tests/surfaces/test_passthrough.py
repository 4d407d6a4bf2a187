"""What a client logs in with never reaches a tool, wherever the client puts it: read off the wire between the two."""

import json
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.client import HTTPConnection
from pathlib import Path
from socketserver import BaseRequestHandler, ThreadingTCPServer
from typing import Any
from urllib.parse import urlsplit

import pytest
from tests.conftest import ANSWER_S, JSON, META, bearer, gateway, mirrors, order_desk, tool_call

CALLS = 10_000
PIECE_CHARS = 24  # of a token: no shorter piece of it is looked for, which might be anywhere by chance


@dataclass
class Tap:
    """Passes bytes on between the gateway and a tool server, and keeps what the gateway sent."""

    port: int
    url: str = ""
    sent: list[bytes] = field(default_factory=list)

    def holds(self, *pieces: str) -> list[str]:
        """Return which of these the gateway has sent."""
        everything = b"".join(self.sent)
        return [piece for piece in pieces if piece.encode("ascii") in everything]


@contextmanager
def tapped(url: str) -> Iterator[Tap]:
    """Stand before the tool server at `url`. What one connection carries is kept in one piece."""
    parts = urlsplit(url)
    one = Tap(parts.port or 80)

    class Handler(BaseRequestHandler):
        def handle(self) -> None:
            kept: list[bytes] = []
            with socket.create_connection(("127.0.0.1", one.port), ANSWER_S) as tool:
                back = threading.Thread(target=_pump, args=(tool, self.request, []))
                back.start()
                _pump(self.request, tool, kept)
                back.join()
            one.sent.append(b"".join(kept))

    class Server(ThreadingTCPServer):
        daemon_threads = False
        block_on_close = True

    with Server(("127.0.0.1", 0), Handler) as server:
        one.url = f"http://127.0.0.1:{server.server_address[1]}{parts.path}"
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield one
        finally:
            server.shutdown()
            thread.join()


def _pump(source: socket.socket, sink: socket.socket, kept: list[bytes]) -> None:
    try:
        while piece := source.recv(1 << 16):
            kept.append(piece)
            sink.sendall(piece)
        sink.shutdown(socket.SHUT_WR)
    except OSError:
        pass  # one of the two has gone


def pieces(token: str) -> list[str]:
    """Return what of a token would give it away: the whole, its claims, its signature and either end of that."""
    _, claims, signature = token.split(".")
    return [token, claims, signature, signature[:PIECE_CHARS], signature[-PIECE_CHARS:]]


Lines = list[tuple[str, str]]
Place = Callable[[str], tuple[str, Any, Lines]]


def plain(more: Lines | None = None, path: str = "/mcp", **params: Any) -> tuple[str, Any, Lines]:
    message = tool_call()
    message["params"].update(params)
    return path, message, more or []


# Where a client puts its token beside the header it belongs in.
PLACES: dict[str, Place] = {
    "nowhere else": lambda _: plain(),
    "an api key": lambda token: plain([("X-Api-Key", token), ("X-Forwarded-Access-Token", token)]),
    "a cookie": lambda token: plain([("Cookie", f"session={token}")]),
    "a proxy's header": lambda token: plain([("Proxy-Authorization", f"Bearer {token}")]),
    "a parameter's header": lambda token: plain([("Mcp-Param-Token", token)]),
    "a trace": lambda token: plain([("Traceparent", token), ("Tracestate", f"a={token}"), ("Baggage", f"a={token}")]),
    "the address": lambda token: plain(path=f"/mcp?access_token={token}"),
    "our own key in the metadata": lambda token: plain(_meta={**META, "remit/credential": token}),
    "the metadata": lambda token: plain(_meta={**META, "authorization": token, "progressToken": token}),
    "an unknown parameter": lambda token: plain(token=token),
    "an unknown argument": lambda token: plain(arguments={"order_id": "ord-1001", "token": token}),
    "the id": lambda token: ("/mcp", tool_call(id_=token), []),
    "an unknown name": lambda token: ("/mcp", tool_call(name=token[:60]), []),
}


def send(http: HTTPConnection, place: Place, token: str) -> bytes:
    path, message, more = place(token)
    body = json.dumps(message).encode("utf-8")
    http.putrequest("POST", path, skip_accept_encoding=True)
    for name, value in (bearer(token), *mirrors(message), *more, ("Content-Length", str(len(body)))):
        http.putheader(name, value)
    http.endheaders(body)
    return http.getresponse().read()


@pytest.mark.requirement("R2.3", "R2.6")
@pytest.mark.long
def test_no_tool_ever_sees_what_a_client_logs_in_with(tmp_path: Path, share: Callable[[int], int]) -> None:
    """The control: the same search finds a token that somebody does send to the tool."""
    calls = max(share(CALLS), 2 * len(PLACES))
    with order_desk(tmp_path) as (url, log):
        with tapped(url) as tap, gateway(tmp_path, tap.url, log, served=True) as desk:
            tokens = [desk.open().token, desk.open("eve").token]
            http = HTTPConnection("127.0.0.1", desk.data_port, timeout=ANSWER_S)
            done = 0
            for number in range(calls):
                place = list(PLACES.values())[number % len(PLACES)]
                done += b'"isError":false' in send(http, place, tokens[number % len(tokens)])
            http.close()
            logins = list(desk.tokens.values())
            received = len(desk.received())
        with tapped(url) as through:
            control = HTTPConnection("127.0.0.1", urlsplit(through.url).port, timeout=ANSWER_S)
            control.request("POST", "/mcp", b"{}", dict([bearer(tokens[0]), JSON]))
            control.getresponse().read()
            control.close()
    secrets = [piece for token in (*tokens, *logins) for piece in pieces(token)]
    assert received == done >= calls // len(PLACES)
    assert sum(sent.lower().count(b"authorization: bearer ") for sent in tap.sent) == done
    assert tap.holds(*secrets) == []
    assert set(pieces(tokens[0])) <= set(through.holds(*secrets))
