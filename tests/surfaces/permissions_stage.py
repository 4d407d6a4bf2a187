"""A real gateway whose policies look at everything a policy can see, in front of three real tool servers.

The project is the refund desk's with people, groups, counters and policies of its own, and one tool server more: a book
of contacts that can be written and read back, and that pays. It runs in the test's own process, so that a test can see
what reached it.
"""

import json
import shutil
import socket
import sqlite3
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event, Thread
from time import monotonic
from typing import Any

import uvicorn
import yaml
from mcp.server.mcpserver import MCPServer
from tests.conftest import (
    DESK,
    LISTED_URL,
    META,
    READY_S,
    Answer,
    Gateway,
    Opened,
    free_ports,
    order_desk,
    running,
    stand_in,
    tool_call,
)

from remit.app import LocalWorkshop

PATIENCE_S = 30  # how long something may take that is to happen by itself; the machine may be busy
POLL_S = 0.05

PEOPLE: Mapping[str, Any] = {
    "ana": {"roles": ["operator", "user", "finance", "security"]},  # owns the agents, and so approves nothing of theirs
    "tom": {"roles": ["user"], "groups": ["returns"], "attributes": {"customer_id": "cus-001", "clearance": 2}},
    "lea": {"roles": ["user"]},
    "eve": {"roles": ["user"]},  # her groups are in the signed file alone
    "una": {"roles": ["user", "finance", "security"], "groups": ["returns"]},  # asks, and could approve
    "fay": {"roles": ["finance"]},
    "gil": {"roles": ["finance"]},
    "hal": {"roles": ["finance", "security"]},
    "sam": {"roles": ["security", "operator"]},
    "rob": {"roles": ["engineering"]},
}

BOOK = """
tool: book
url: {url}
author: ana
operations:
  read_contact:
    version: 1.0.0
    title: Read a contact
    description: Return a contact's account.
    effect: read
    results: system_of_record
    input_schema:
      type: object
      additionalProperties: false
      required: [name]
      properties: {{name: {{type: string, maxLength: 40}}}}
  note_contact:
    version: 1.0.0
    title: Note a contact
    description: Write down a contact's account.
    effect: write
    tier: low
    content: [name, account]
    results: system_of_record
    input_schema:
      type: object
      additionalProperties: false
      required: [name, account]
      properties: {{name: {{type: string, maxLength: 40}}, account: {{type: string, maxLength: 40}}}}
  reindex:
    version: 1.0.0
    title: Rebuild the index
    description: Run the program that rebuilds the book's index.
    effect: execute
    tier: medium
    results: system_of_record
    input_schema: {{type: object, additionalProperties: false, required: [], properties: {{}}}}
  pay:
    version: 1.0.0
    title: Pay
    description: Pay money to an account.
    effect: write
    tier: high
    results: system_of_record
    input_schema:
      type: object
      additionalProperties: false
      required: [to, amount_minor, currency]
      properties:
        to: {{type: string, maxLength: 80}}
        amount_minor: {{type: integer}}
        currency: {{type: string, enum: [EUR, GBP, USD]}}
"""


@dataclass
class Book:
    """The contacts, and every call that arrived, in order."""

    contacts: dict[str, str] = field(default_factory=dict)
    calls: list[tuple[str, dict[str, Any]]] = field(default_factory=list)

    def server(self) -> MCPServer:
        book: MCPServer[Any] = MCPServer("book", version="1.0.0", log_level="CRITICAL")

        @book.tool()
        def read_contact(name: str) -> dict[str, str]:
            """Return a contact's account."""
            self.calls.append(("read_contact", {"name": name}))
            return {"name": name, "account": self.contacts.get(name, "")}

        @book.tool()
        def note_contact(name: str, account: str) -> dict[str, str]:
            """Write down a contact's account."""
            self.calls.append(("note_contact", {"name": name, "account": account}))
            self.contacts[name] = account
            return {"noted": "yes"}

        @book.tool()
        def reindex() -> dict[str, str]:
            """Rebuild the index."""
            self.calls.append(("reindex", {}))
            return {"indexed": "yes"}

        @book.tool()
        def pay(to: str, amount_minor: int, currency: str) -> dict[str, str]:
            """Pay."""
            self.calls.append(("pay", {"to": to, "amount_minor": amount_minor, "currency": currency}))
            return {"paid": "yes"}

        return book


class _Serving(uvicorn.Server):
    """A server with an event for being ready."""

    ready: Event

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.ready.set()


@dataclass
class Site:
    """The gateway on its project, which a test may stop and start again, and what stands behind it."""

    gateway: Gateway
    book: Book
    folder: Path
    _program: ExitStack = field(default_factory=ExitStack)

    def start(self) -> None:
        command = [sys.executable, "-m", "remit", "up", "-C", str(self.gateway.project)]
        self._program.enter_context(running(command, self.folder / "gateway", "ready after"))

    def stop(self) -> None:
        self._program.close()

    # --- agents ------------------------------------------------------------------------------------------------------

    def open(self, use_case: str, person: str = "tom", given: Any = None, agent: str = "refunds") -> Opened:
        wanted = {"agent": agent, "use_case": use_case, "input": given or {}}
        answer = self.gateway.try_open(wanted, person)
        assert answer.status == 201, answer
        return Opened(answer.json["task"], answer.json["token"])

    def call(self, task: Opened, operation: str, confidence: int | None = None, **arguments: Any) -> Answer:
        message = tool_call(operation, arguments)
        if confidence is not None:
            message["params"]["_meta"] = {**META, "remit/confidence": confidence}
        return self.gateway.call(task.token, message)

    def code(self, task: Opened, operation: str, **arguments: Any) -> str:
        """Make a call; return the code of its refusal, empty if it was done."""
        answer = self.call(task, operation, **arguments)
        assert answer.code or not answer.json["result"].get("isError"), answer
        return answer.code

    def held(self, task: Opened, operation: str, **arguments: Any) -> str:
        """Make a call that must be held; return its approval."""
        meta = self.call(task, operation, **arguments).json["result"]["_meta"]
        assert meta["remit/held"], meta
        return str(meta["remit/approval"])

    # --- people ------------------------------------------------------------------------------------------------------

    def shown(self, approval: str, person: str = "ana") -> Any:
        answer = self.gateway.ask("GET", f"/v1/approvals/{approval}", person=person)
        assert answer.status == 200, answer
        return answer.json

    def approve(self, approval: str, person: str, **more: Any) -> Answer:
        """Say yes to what is shown."""
        body = json.dumps({"digest": self.shown(approval)["digest"], **more}).encode()
        return self.gateway.ask("POST", f"/v1/approvals/{approval}/approve", person=person, body=body)

    def deploy(self) -> Any:
        answer = self.gateway.ask("POST", "/v1/releases")
        assert answer.status == 200, answer
        return answer.json

    # --- the world ---------------------------------------------------------------------------------------------------

    def refunds(self) -> list[tuple[str, int]]:
        """Return what the shop has paid back."""
        return self._rows("orders.sqlite", "SELECT order_id, amount_minor FROM refunds ORDER BY refund_id")

    def mails(self) -> list[tuple[str, str]]:
        """Return what was sent."""
        return self._rows("mail.sqlite", "SELECT recipient, body FROM outbox ORDER BY mail_id")

    def _rows(self, file: str, query: str) -> list[tuple[Any, ...]]:
        if not (self.folder / file).exists():  # a server makes its own when it is first started
            return []
        with closing(sqlite3.connect(self.folder / file)) as database:
            return database.execute(query).fetchall()


@contextmanager
def site(folder: Path, charters: Mapping[str, Any], files: Mapping[str, str]) -> Iterator[Site]:
    """Run a gateway with these use cases by agent, and these files in its project in place of what stands there."""
    book = Book()
    with serving(book) as url, order_desk(folder) as (tools, calls):
        project = folder / "project"
        shutil.copytree(DESK / "project", project)
        _settle(project, tools, url, charters)
        for name, text in files.items():
            (project / name).parent.mkdir(parents=True, exist_ok=True)
            (project / name).write_text(text, "utf-8")
        data_port, admin_port = _ports(project)
        stand_in(project, folder, served=False)
        gateway = Gateway(project, data_port, admin_port, calls, folder / "gateway.out", folder / "gateway.err")
        found = Site(gateway, book, folder)
        try:
            found.start()
            yield found
        finally:
            found.stop()
        assert "Traceback" not in gateway.said(), gateway.said()


@contextmanager
def serving(book: Book) -> Iterator[str]:
    """Serve the book from a thread of this process; yield its address."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        app = book.server().streamable_http_app(host="127.0.0.1", json_response=True, stateless_http=True)
        server = _Serving(uvicorn.Config(app, log_config=None, lifespan="on"))
        server.ready = Event()
        thread = Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        try:
            assert server.ready.wait(READY_S)
            yield f"http://127.0.0.1:{listener.getsockname()[1]}/mcp"
        finally:
            server.should_exit = True
            thread.join()


def sign_list(found: Site, name: str) -> None:
    """Have a list signed by both whom the trust root asks for."""
    for person in ("sam", "rob"):
        LocalWorkshop(0).sign_lists(found.gateway.project, (name,), person, found.folder / f"{person}.pem")


def until(*wanted: object, of: Any) -> Any:
    """Ask `of` again and again until it gives one of `wanted`; return it. It fails after a bounded time."""
    end, pause = monotonic() + PATIENCE_S, Event()
    while (said := of()) not in wanted:
        assert monotonic() < end, f"it is still {said!r}"
        pause.wait(POLL_S)
    return said


def _settle(project: Path, tools: str, book: str, charters: Mapping[str, Any]) -> None:
    """Write who is who, which tools there are, and what each agent is for."""
    orders = project / "catalogue/orders.yaml"
    text = orders.read_text("utf-8").replace(LISTED_URL, tools).replace("tier: high", "tier: medium")
    orders.write_text(text, "utf-8")
    (project / "catalogue/book.yaml").write_text(BOOK.format(url=book), "utf-8")
    (project / "organisation/users.yaml").write_text("attributes: {customer_id: text, clearance: number}\n", "utf-8")
    for agent in ("refunds", "tracker"):
        said: dict[str, Any] = {"agent": agent, "owner": "ana", "process": "p", "purpose": "p"}
        said |= {"reviewers": ["finance"], "identity": {"bearer": True}, **charters[agent]}
        (project / f"agents/{agent}/agent.yaml").write_text(yaml.safe_dump(said), "utf-8")
        shutil.rmtree(project / f"agents/{agent}/policies")


def _ports(project: Path) -> tuple[int, int]:
    data_port, admin_port = free_ports(2)
    said = {"name": "desk", "profile": "development", "development": {"people": {**PEOPLE}}, "holds": {"wait_s": 0}}
    said |= {"data": {"port": data_port}, "admin": {"port": admin_port}}
    (project / "remit.yaml").write_text(yaml.safe_dump(said), "utf-8")
    return data_port, admin_port
