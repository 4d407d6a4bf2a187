"""A decision point of an organisation's own, on loopback: it answers what a test says, and keeps what it was asked."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass
class DecisionServer:
    """`status`, `kind` and `body` are its answer. `length` says that the body is longer, or shorter, than it is."""

    url: str = ""
    status: int = 200
    kind: str = "application/json"
    body: bytes = b'{"decision": true}'
    length: int | None = None
    asked: list[dict[str, Any]] = field(default_factory=list)
    lines: list[dict[str, str]] = field(default_factory=list)
    paths: list[str] = field(default_factory=list)
    go_on: threading.Event = field(default_factory=threading.Event)

    def says(self, said: Any) -> None:
        self.body = json.dumps(said).encode()


@contextmanager
def decision_server() -> Iterator[DecisionServer]:
    one = DecisionServer()
    one.go_on.set()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            one.paths.append(self.path)
            one.lines.append({name.lower(): value for name, value in self.headers.items()})
            one.asked.append(json.loads(self.rfile.read(int(self.headers["content-length"]))))
            assert one.go_on.wait(60)
            self.send_response(one.status)
            self.send_header("content-type", one.kind)
            self.send_header("location", f"{one.url}/elsewhere")
            self.send_header("content-length", str(len(one.body) if one.length is None else one.length))
            self.end_headers()
            self.close_connection = one.length is not None
            with suppress(ConnectionError):  # whoever asked may have gone
                self.wfile.write(one.body)

        def log_message(self, *_: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        one.url = f"http://127.0.0.1:{server.server_address[1]}"
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield one
        finally:
            one.go_on.set()
            server.shutdown()
            thread.join()
