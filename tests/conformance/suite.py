"""MCP's official conformance suite, in the releases that `make node` installs, run one scenario at a time.

    suite = SUITES["0.2.0-alpha.12"]
    suite.names("server")                                  # what it has
    suite.run("authorization", "authorization-code-grant", ["--url", issuer])  # the checks that failed

A scenario passes when none of its checks failed and one of them succeeded; a warning is not a failure.
"""

import json
import re
import socket
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from socketserver import StreamRequestHandler, ThreadingTCPServer
from threading import Thread
from typing import Any

import yaml
from tests.foreign.provider import INSTALLED, NODE

HERE = Path(__file__).parent
TIMEOUT_S = 120  # generous: the machine may be busy
HEADING = {
    "server": "Server scenarios",
    "client": "Client scenarios",
    "authorization": "Authorization server scenarios",
}


@dataclass(frozen=True, slots=True)
class Suite:
    """One release of the suite."""

    release: str
    folder: str

    @property
    def program(self) -> list[str]:
        return [str(NODE), str(INSTALLED / self.folder / "dist" / "index.js")]

    def names(self, kind: str) -> frozenset[str]:
        """Return the names of its scenarios for a `server`, a `client` or an `authorization` server."""
        parts = re.split(r"^(\w.* scenarios).*:$", _listed(*self.program), flags=re.MULTILINE)
        named = dict(zip(parts[1::2], parts[2::2], strict=True))
        return frozenset(re.findall(r"^  - (\S+)", named.get(HEADING[kind], ""), flags=re.MULTILINE))

    def expected(self, kind: str) -> Mapping[str, str]:
        """Return the scenarios that fail or do not apply, each with its reason."""
        said = yaml.safe_load((HERE / f"expected-failures-{self.release}.yml").read_text("utf-8"))
        return {name: group["reason"] for group in said[kind] for name in group["scenarios"]}

    def run(
        self,
        kind: str,
        scenario: str,
        options: Sequence[str],
        folder: Path,
        say: Callable[[str], None] = lambda _: None,
    ) -> list[str]:
        """Run a scenario, or all of a kind where it is empty; return what failed. `say` is told every printed line."""
        named = ["--scenario", scenario] if scenario else []
        command = [*self.program, kind, *named, "-o", str(folder), *options]
        said = []
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
            assert process.stdout is not None
            try:
                for line in process.stdout:
                    said.append(line)
                    say(line.strip())
                process.wait(TIMEOUT_S)
            finally:
                process.kill()  # where `say` fails nobody would answer it
        failed = [each for file in folder.rglob("checks.json") for each in _failed(json.loads(file.read_text("utf-8")))]
        return failed if failed or process.returncode == 0 else said


@cache
def _listed(*program: str) -> str:
    return subprocess.run([*program, "list"], capture_output=True, text=True, timeout=TIMEOUT_S, check=True).stdout


def _failed(checks: Any) -> list[str]:
    """Return what failed of one scenario; what was skipped altogether did not pass."""
    failed = [f"{check['id']}: {check.get('errorMessage', '')}" for check in checks if check["status"] == "FAILURE"]
    passed = any(check["status"] == "SUCCESS" for check in checks)
    return failed if failed or passed else [f"{check['id']}: {check['status']}" for check in checks] or ["no checks"]


SUITES = {
    each.release: each for each in (Suite("0.1.16", "conformance-0.1"), Suite("0.2.0-alpha.12", "conformance-0.2"))
}


@contextmanager
def bringing(token: str, port: int) -> Iterator[str]:
    """Stand before the server at `port` for a client that has no place for a token; yield where.

    Every request gets the token, and is for one connection; Host and Origin name the server where they named this.
    """

    class Forward(StreamRequestHandler):
        def handle(self) -> None:
            head = b""
            while (line := self.rfile.readline()).strip():
                name = line.partition(b":")[0].lower()
                head += b"" if name == b"connection" else line.replace(b":%d" % here, b":%d" % port)
            length = re.search(rb"(?im)^content-length: *(\d+)", head)
            body = self.rfile.read(int(length[1])) if length else b""
            head += b"Connection: close\r\nAuthorization: Bearer %s\r\n\r\n" % token.encode("ascii")
            with socket.create_connection(("127.0.0.1", port), TIMEOUT_S) as server:
                server.sendall(head + body)
                while octets := server.recv(65_536):
                    self.wfile.write(octets)

    class Server(ThreadingTCPServer):
        daemon_threads = True

    with Server(("127.0.0.1", 0), Forward) as server:
        here = int(server.server_address[1])
        thread = Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{here}"
        finally:
            server.shutdown()
            thread.join()
