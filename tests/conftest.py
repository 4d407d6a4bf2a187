"""A real gateway on the refund desk, for tests that come in through its doors as users and as attackers do.

The order desk and the gateway are programs of their own on free loopback ports; what they print is kept in files, so
that a test can look at it. Nothing is mocked: a token is minted by logging in, a record is read through the admin API.
"""

import json
import re
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from http.client import HTTPResponse
from pathlib import Path
from selectors import EVENT_READ, DefaultSelector
from typing import Any

import pytest

from remit.app import LocalWorkshop

DESK = Path(__file__).parents[1] / "examples" / "refund_desk"
LISTED_URL = "http://127.0.0.1:9301/mcp"  # where the example's catalogue expects its tool server
READY_S = 60  # generous: the machine may be busy; what never gets ready fails here
ANSWER_S = 60  # the same, for one answer

Lines = Sequence[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back for one request. `status` 0: the connection was closed without an answer."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def rpc(self) -> int:
        """The JSON-RPC error's code; 0 where there is none."""
        said = self.json
        return int(said["error"]["code"]) if "error" in said else 0

    @property
    def code(self) -> str:
        """The stable code of a refusal, in whichever form it came; empty where there is none."""
        said = self.json
        match said:
            case {"error": {"data": {"code": str(code)}}} | {"result": {"_meta": {"remit/code": str(code)}}}:
                return code
            case {"code": str(code)}:
                return code
            case _:
                return ""

    @property
    def fix(self) -> str:
        """What the refusal says to do about it."""
        match self.json:
            case {"error": {"data": {"fix": str(fix)}}} | {"fix": str(fix)}:
                return fix
            case {"result": {"isError": True, "content": [{"text": str(text)}]}}:
                return text.partition("; to mend it: ")[2]
            case _:
                return ""


@dataclass(frozen=True, slots=True)
class Opened:
    """A task and the token that lets its agent act."""

    task: str
    token: str


@dataclass(frozen=True, slots=True)
class Gateway:
    """A running gateway: its project, its addresses, and what it and the order desk have written."""

    project: Path
    data_port: int
    admin_port: int
    calls: Path
    out: Path
    err: Path
    tokens: dict[tuple[str, str], str] = field(default_factory=dict)

    @property
    def data(self) -> str:
        return f"http://127.0.0.1:{self.data_port}"

    @property
    def admin(self) -> str:
        return f"http://127.0.0.1:{self.admin_port}"

    @property
    def secret(self) -> str:
        return (self.project / "var/development.secret").read_text("ascii").strip()

    # --- bytes in, bytes out -----------------------------------------------------------------------------------------

    def raw(self, request: bytes, *, admin: bool = False) -> Answer:
        """Send exact bytes on a connection of their own; return the first answer."""
        port = self.admin_port if admin else self.data_port
        with socket.create_connection(("127.0.0.1", port), ANSWER_S) as connection:
            with suppress(ConnectionError):  # it may answer and hang up before it has heard everything
                connection.sendall(request)
            return _read(connection)

    def post(self, path: str, body: bytes, lines: Lines = (), *, admin: bool = False) -> Answer:
        """Post `body` with these header lines and no others but Host and Content-Length."""
        return self.raw(self.request("POST", path, body, lines, admin=admin), admin=admin)

    def request(self, method: str, path: str, body: bytes, lines: Lines = (), *, admin: bool = False) -> bytes:
        """Write a request."""
        host = f"127.0.0.1:{self.admin_port if admin else self.data_port}"
        head = [f"{method} {path} HTTP/1.1", f"Host: {host}", f"Content-Length: {len(body)}"]
        head += [f"{name}: {value}" for name, value in lines]
        return "\r\n".join(head).encode("utf-8") + b"\r\n\r\n" + body

    # --- people ------------------------------------------------------------------------------------------------------

    def log_in(self, person: str, audience: str) -> str:
        """Return `person`'s token for `audience`."""
        if (person, audience) not in self.tokens:
            wanted = {"person": person, "secret": self.secret, "audience": audience}
            answer = self.post("/development/token", _bytes(wanted), [JSON], admin=True)
            assert answer.status == 200, answer
            self.tokens[person, audience] = answer.json["token"]
        return self.tokens[person, audience]

    def ask(self, method: str, path: str, *, person: str = "ana", body: bytes = b"") -> Answer:
        """Ask the admin API as `person`."""
        lines = [JSON, bearer(self.log_in(person, self.admin))]
        return self.raw(self.request(method, path, body, lines, admin=True), admin=True)

    def open(self, person: str = "tom", use_case: str = "refund_request", given: Any = None) -> Opened:
        """Open a task of the refund agent for `person`."""
        wanted = {"agent": "refunds", "use_case": use_case, "input": GIVEN if given is None else given}
        answer = self.try_open(wanted, person)
        assert answer.status == 201, answer
        return Opened(answer.json["task"], answer.json["token"])

    def try_open(self, wanted: Any, person: str = "tom") -> Answer:
        """Ask for a task."""
        return self.post("/v1/tasks", _bytes(wanted), [JSON, bearer(self.log_in(person, self.data))])

    # --- agents ------------------------------------------------------------------------------------------------------

    def call(self, token: str, message: Any) -> Answer:
        """Send an MCP message as a conforming client does: the headers say what the body says."""
        return self.post("/mcp", _bytes(message), [bearer(token), *mirrors(message)])

    # --- what was written --------------------------------------------------------------------------------------------

    def records(self, task: str) -> list[dict[str, Any]]:
        """Return what the log holds of a task."""
        answer = self.ask("GET", f"/v1/tasks/{task}/records")
        assert answer.status == 200, answer
        return [json.loads(entry["leaf"]) for entry in answer.json["entries"]]

    def refusals(self, task: str) -> list[str]:
        """Return the codes of everything refused or denied in a task, in order."""
        return [
            leaf["code"] if leaf["kind"] == "refused" else leaf["decision"][1]
            for leaf in self.records(task)
            if leaf["kind"] in ("refused", "denied", "held")
        ]

    def received(self) -> list[dict[str, Any]]:
        """Return the calls that reached the order desk."""
        return [json.loads(line) for line in self.calls.read_text("utf-8").splitlines()]

    def said(self) -> str:
        """Return what the gateway has printed, on both streams."""
        return self.out.read_text("utf-8") + self.err.read_text("utf-8")

    def export(self) -> list[str]:
        """Return the log as it is exported."""
        answer = self.ask("GET", "/v1/records/export")
        assert answer.status == 200, answer
        return answer.body.decode("utf-8").splitlines()


# What a user's channel gives along unless a test says otherwise: it has the values that calls of the desk steer by.
GIVEN: Any = {
    "order_id": "ord-1001",
    "other_order_id": "ord-1002",
    "currency": "EUR",
    "amounts_minor": [1, 100, 1_000, 2_500, 4_000, 10_000, 100_001],
}
JSON = ("Content-Type", "application/json")
META = {
    "io.modelcontextprotocol/protocolVersion": "2026-07-28",
    "io.modelcontextprotocol/clientCapabilities": {},
}


def bearer(token: str) -> tuple[str, str]:
    return ("Authorization", f"Bearer {token}")


def mirrors(message: Any) -> list[tuple[str, str]]:
    """Return the headers that a conforming client sends with `message`."""
    lines = [JSON, ("Accept", "application/json, text/event-stream"), ("MCP-Protocol-Version", "2026-07-28")]
    lines.append(("Mcp-Method", message["method"]))
    if message["method"] == "tools/call":
        lines.append(("Mcp-Name", message["params"]["name"]))
    return lines


def tool_call(name: str = "get_order", arguments: Any = None, id_: Any = 1) -> dict[str, Any]:
    """Return a well-formed `tools/call`, of a look-up that the refund desk permits unless told otherwise."""
    given = {"order_id": "ord-1001"} if arguments is None else arguments
    params = {"name": name, "arguments": given, "_meta": META}
    return {"jsonrpc": "2.0", "id": id_, "method": "tools/call", "params": params}


@contextmanager
def order_desk(folder: Path, *options: str) -> Iterator[tuple[str, Path]]:
    """Run the shop's tool server; yield its address and the file of the calls it receives."""
    calls = folder / "orders.calls"
    program = [str(DESK / "orders" / "orders_server.py"), "--database", str(folder / "orders.sqlite"), "--port", "0"]
    with running([sys.executable, *program, "--log", str(calls), *options], folder / "orders", "ready ") as said:
        yield said.split()[-1], calls


@contextmanager
def gateway(  # noqa: PLR0913 - each names one thing that a test may want otherwise; the last three have a default
    folder: Path,
    tool_url: str,
    calls: Path,
    settings: str = "",
    catalogue: str = "",
    *,
    served: bool = False,
    ports: Sequence[int] = (),
) -> Iterator[Gateway]:
    """Run a gateway on a copy of the refund desk's project; `settings` and `catalogue` lines are added to its files.

    Its tools are signed by two persons and pinned; with `served`, what the servers show now was reviewed as well.
    """
    project = folder / "project"
    shutil.copytree(DESK / "project", project)
    data_port, admin_port = ports or free_ports(2)
    lines = f"\ndata: {{port: {data_port}}}\nadmin: {{port: {admin_port}}}\nholds: {{wait_s: 0}}\n"
    eve = "tom: {roles: [user]}\n    eve: {roles: [user]}"  # a person whom only the test of the task cap uses
    _edit(project / "remit.yaml", lambda text: text.replace("tom: {roles: [user]}", eve) + lines + settings)
    _edit(project / "catalogue/orders.yaml", lambda text: text.replace(LISTED_URL, f"{tool_url}\n{catalogue}".rstrip()))
    stand_in(project, folder, served=served)
    command = [sys.executable, "-m", "remit", "up", "-C", str(project)]
    with running(command, folder / "gateway", "ready after"):
        yield Gateway(
            project=project,
            data_port=data_port,
            admin_port=admin_port,
            calls=calls,
            out=folder / "gateway.out",
            err=folder / "gateway.err",
        )


def stand_in(project: Path, folder: Path, *, served: bool) -> None:
    """Make a copy of the refund desk's project run from `folder`: its mail server there, its caps out of the way.

    Every tool of it is reviewed by Sam and Rob, with new keys kept in `folder`, and pinned.
    """
    mail = [sys.executable, str(DESK / "mail/mail_server.py"), "--database", str(folder / "mail.sqlite")]
    _edit(project / "catalogue/mail.yaml", lambda text: re.sub(r"command: .*", f"command: {json.dumps(mail)}", text))
    _edit(project / "agents/refunds/agent.yaml", _without_caps)
    workshop = LocalWorkshop(0)
    if served:
        workshop.import_served(project, "")
    for person, role in (("sam", "security"), ("rob", "engineering")):
        workshop.trust(project, person, (role,), folder / f"{person}.pem", {role: 1}, new=True)
    for person in ("sam", "rob"):
        workshop.sign(project, (), person, folder / f"{person}.pem")
    workshop.lock(project, "")


def _without_caps(charter: str) -> str:
    """Leave the caps of a charter in place, and out of the way of tests that are not about them."""
    return re.sub(r"max: \d+}", "max: 1000000}", charter)


@contextmanager
def running(command: list[str], files: Path, ready: str) -> Iterator[str]:
    """Run a program while the context lasts; yield its line that begins with `ready`. Its output goes to `files`.*."""
    out, err = files.with_suffix(".out"), files.with_suffix(".err")
    with ExitStack() as stack:
        errors = stack.enter_context(err.open("wb"))
        process = stack.enter_context(subprocess.Popen(command, bufsize=0, stdout=subprocess.PIPE, stderr=errors))
        try:
            yield _ready(process, out, ready)
        finally:
            process.terminate()
            rest, _ = process.communicate(timeout=READY_S)
            with out.open("ab") as file:
                file.write(rest)


def free_ports(count: int) -> list[int]:
    with ExitStack() as stack:
        taken = [stack.enter_context(socket.socket()) for _ in range(count)]
        for listener in taken:
            listener.bind(("127.0.0.1", 0))
        return [int(listener.getsockname()[1]) for listener in taken]


def _ready(process: subprocess.Popen[bytes], out: Path, ready: str) -> str:
    assert process.stdout is not None
    with DefaultSelector() as selector, out.open("wb") as file:
        selector.register(process.stdout, EVENT_READ)
        while selector.select(READY_S):
            line = process.stdout.readline()
            file.write(line)
            if line.decode("utf-8").startswith(ready):
                return line.decode("utf-8")
            assert line, f"the program ended before it was ready; see {out.with_suffix('.err')}"
    raise AssertionError("the program did not get ready")


def _read(connection: socket.socket) -> Answer:
    answer = HTTPResponse(connection, method="POST")
    try:
        answer.begin()
        body = answer.read()
    except ConnectionError:
        return Answer(0, {}, b"")
    headers: dict[str, str] = {}
    for name, value in answer.getheaders():
        headers[name.lower()] = f"{headers[name.lower()]}, {value}" if name.lower() in headers else value
    return Answer(answer.status, headers, body)


def _bytes(message: Any) -> bytes:
    return json.dumps(message).encode("utf-8")


def _edit(file: Path, change: Callable[[str], str]) -> None:
    file.write_text(change(file.read_text("utf-8")), "utf-8")


def pytest_addoption(parser: pytest.Parser) -> None:
    """Long proofs can be run in part: `--share 0.05` runs a twentieth of their kills, seeds and inputs."""
    parser.addoption("--share", type=float, default=1.0, help="how much of each long proof to run, from 0 to 1")


@pytest.fixture
def share(request: pytest.FixtureRequest) -> Callable[[int], int]:
    """Return how many of a long proof's rounds to run."""
    part = float(request.config.getoption("--share"))
    return lambda rounds: max(1, round(rounds * part))


@pytest.fixture(scope="session")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """One gateway in front of one order desk, for every test that leaves them as they are but for records."""
    folder = tmp_path_factory.mktemp("desk")
    with order_desk(folder) as (url, calls), gateway(folder, url, calls, served=True) as one:
        yield one
    said = one.said()
    assert "Traceback" not in said, said
    assert "ERROR" not in said, said


@pytest.fixture
def opened(desk: Gateway) -> Opened:
    """A fresh task of Tom's, so that its records are this test's alone."""
    return desk.open()
