"""A small authorization server of a tool's on loopback, as strict as the real ones: it verifies what it is shown."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from joserfc import jwt
from joserfc.jwk import KeySet

from remit.adapters.credentials import Secrets, ToolCredentials, form_post
from remit.adapters.http1 import Pool
from remit.adapters.oauth import ToolTokens
from remit.catalogue import Exchanged, Tool, ToolCredential
from remit.testing import ManualClock, seeded

ISSUER = "http://127.0.0.1:8700"
AUDIENCE = "https://orders.example.org/mcp"
KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(1, 33)))
GOOD = "good"


@dataclass
class Server:
    """What it was asked, what it answers with, and when."""

    url: str = ""
    jwks: Any = None
    forms: list[dict[str, str]] = field(default_factory=list)
    subjects: list[dict[str, Any]] = field(default_factory=list)
    seen: set[str] = field(default_factory=set)
    change: dict[str, Any] = field(default_factory=dict)  # members of the good answer that are otherwise
    answer: tuple[int, str, bytes] | None = None  # instead of any judgement
    arrived: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))
    go_on: threading.Event = field(default_factory=threading.Event)

    def exchange(self, body: bytes) -> tuple[int, str, bytes]:
        fields = parse_qs(body.decode("ascii"), strict_parsing=True)
        form = {name: value for name, [value] in fields.items()}  # none twice
        self.forms.append(form)
        number = len(self.forms)
        self.arrived.release()
        assert self.go_on.wait(60)
        if self.answer is not None:
            return self.answer
        keys = KeySet.import_key_set(self.jwks)
        proof = jwt.decode(form["client_assertion"], keys, algorithms=["Ed25519"])
        subject = jwt.decode(form["subject_token"], keys, algorithms=["Ed25519"])
        self.subjects.append(dict(subject.claims))
        if proof.header["typ"] != "JWT" or (proof.claims["iss"], proof.claims["sub"]) != ("remit", "remit"):
            return self.refused("invalid_client")
        if proof.claims["aud"] != self.url or subject.claims["aud"] != self.url:
            return self.refused("invalid_grant")
        for each in (proof, subject):
            if each.claims["jti"] in self.seen:
                return self.refused("invalid_grant")
            self.seen.add(each.claims["jti"])
        said = {
            "access_token": f"at-{number}-{subject.claims['sub']}".replace(":", "."),
            "issued_token_type": "urn:ietf:params:oauth:token-type:access_token",
            "token_type": "Bearer",
            "expires_in": 300,
        }
        kept = {name: value for name, value in {**said, **self.change}.items() if value is not ...}
        return 200, "application/json", json.dumps(kept).encode()

    def refused(self, error: str) -> tuple[int, str, bytes]:
        return 400, "application/json", json.dumps({"error": error}).encode()


@contextmanager
def authorization_server() -> Iterator[Server]:
    one = Server()
    one.go_on.set()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            assert self.headers["content-type"] == "application/x-www-form-urlencoded"
            assert self.headers["authorization"] is None
            status, kind, body = one.exchange(self.rfile.read(int(self.headers["content-length"])))
            self.send_response(status)
            self.send_header("content-type", kind)
            self.send_header("location", "http://127.0.0.1:1/elsewhere")
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        one.url = f"http://127.0.0.1:{server.server_address[1]}/token"
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield one
        one.go_on.set()
        server.shutdown()
        thread.join()


@dataclass
class Stage:
    """Tools' credentials over real HTTP, on a clock that the test moves."""

    clock: ManualClock
    tokens: ToolTokens
    credentials: ToolCredentials
    pool: Pool

    async def close(self) -> None:
        await self.credentials.close()
        await self.pool.close()


def stage(server: Server | None = None, environ: dict[str, str] | None = None, root: Path = Path()) -> Stage:
    clock, pool = ManualClock(), Pool()
    tokens = ToolTokens(KEY, ISSUER, random=seeded(1), clock=clock)
    if server is not None:
        server.jwks = json.loads(json.dumps(tokens.jwks()))
    secrets = Secrets(environ or {}, root, clock)
    return Stage(clock, tokens, ToolCredentials(tokens, form_post(pool), secrets, clock), pool)


def exchanged(url: str, audience: str = AUDIENCE, scopes: tuple[str, ...] = ()) -> Exchanged:
    return Exchanged(token_endpoint=url, client_id="remit", audience=audience, scopes=scopes)


def tool(credential: ToolCredential, name: str = "orders") -> Tool:
    url = "http://127.0.0.1:9301/mcp"
    return Tool(name=name, url=url, timeout_s=1, response_bytes_max=1_000, credential=credential)
