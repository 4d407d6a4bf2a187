"""Where the demo's story plays: the shop's servers, a gateway, an agent of its own, and looks at what really happened.

Everything is a program of its own on free loopback ports, used through the same commands as anybody's.
"""

import json
import os
import shutil
import socket
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path

from remit.core import JsonObject, RemitError
from remit.surfaces.cli._client import connect, log_in
from remit.surfaces.cli._try import open_task

READY_WAIT_S = 30  # for a program to say that it is ready, and for a command to end
AGENT_WAIT_S = 60  # for the agent to finish a ticket
WIDTH = 320  # of what programs print; the rest of a line is in the log

REMIT = (sys.executable, "-m", "remit")
LISTED_URL = "http://127.0.0.1:9301/mcp"  # where the example's catalogue expects the order desk


@dataclass(slots=True)
class Story:
    """Tells, checks, and remembers whether everything was as told."""

    failures: list[str] = field(default_factory=list)

    def chapter(self, title: str) -> None:
        """Begin a part."""
        print(f"\n{title}\n{'-' * len(title)}")

    def tells(self, text: str) -> None:
        """Say what happens next."""
        print(f"  {text}")

    def says(self, text: str) -> None:
        """Show what a program printed."""
        for line in text.rstrip().splitlines():
            print(f"    {line}" if len(line) <= WIDTH else f"    {line[:WIDTH]}...")

    def check(self, holds: bool, what: str) -> None:
        """Say `what`, and whether it holds."""
        print(f"  {'ok  ' if holds else 'FAIL'} {what}")
        if not holds:
            self.failures.append(what)


@dataclass(frozen=True, slots=True, kw_only=True)
class Opened:
    """A task, and the token that lets its agent ask for another one with its own key."""

    task: str
    agent: str
    delegation: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """The folder and ports of one telling."""

    example: Path
    folder: Path
    orders_port: int
    data_port: int
    admin_port: int

    @property
    def project(self) -> Path:
        """The project that the gateway runs on."""
        return self.folder / "project"

    @property
    def orders_url(self) -> str:
        """Where the order desk answers."""
        return f"http://127.0.0.1:{self.orders_port}/mcp"

    # --- programs ----------------------------------------------------------------------------------------------------

    @contextmanager
    def orders(self, *options: str) -> Iterator[str]:
        """Run the shop's order desk."""
        server = [str(self.example / "orders/orders_server.py"), "--database", str(self.folder / "orders.sqlite")]
        server += [
            "--port",
            str(self.orders_port),
            "--log",
            str(self.folder / "orders.calls"),
            "--delay-ms",
            "100",
            *options,
        ]
        with running([sys.executable, *server, "--issuer", f"http://127.0.0.1:{self.data_port}"], "ready ") as said:
            yield said

    @contextmanager
    def gateway(self) -> Iterator[str]:
        """Run `remit up`."""
        with running([*REMIT, "up", "-C", str(self.project)], "ready after") as said:
            yield said

    def remit(self, person: str, *words: str) -> "subprocess.CompletedProcess[str]":
        """Run a `remit` command as `person`; without a name, as anybody on this machine."""
        if person:
            log_in(self.project, person)
        at = 1 if words[0] in ("check", "up", "stop-all", "try", "doctor") else 2
        return subprocess.run(
            [*REMIT, *words[:at], "-C", str(self.project), *words[at:]],
            capture_output=True,
            text=True,
            timeout=READY_WAIT_S,
            check=False,
        )

    def ask(self, person: str, path: str) -> JsonObject:
        """Ask the admin API as `person`."""
        log_in(self.project, person)
        said = connect(self.project).get(path)
        return said if isinstance(said, dict) else {"items": said}

    # --- the agent ---------------------------------------------------------------------------------------------------

    def open(self, person: str, given: JsonObject, agent: str = "refunds", use_case: str = "refund_request") -> Opened:
        """Open a task as `person`, whose channel says what is wanted."""
        log_in(self.project, person)
        opened = open_task(connect(self.project), agent, use_case, given, hand="delegation")
        return Opened(task=str(opened["task"]), agent=agent, delegation=str(opened["delegation"]))

    def agent(self, opened: Opened, *options: str, given: str = "") -> str:
        """Let the agent's own process act in a task; return what it printed."""
        command = [sys.executable, str(self.example / "refund_agent.py"), *options]
        command += ["--url", f"http://127.0.0.1:{self.data_port}/mcp", "--delegation", "--agent", opened.agent]
        done = subprocess.run(
            [*command, "--key", str(self.folder / f"{opened.agent}.pem")],
            input=given,
            capture_output=True,
            text=True,
            timeout=AGENT_WAIT_S,
            check=False,
            env={**os.environ, "REMIT_DELEGATION": opened.delegation},
        )
        return done.stdout + done.stderr

    def obeys(self, opened: Opened, *calls: str) -> str:
        """Let the agent make these calls, `TOOL JSON` each, whatever its model would think of them."""
        return self.agent(opened, *(word for call in calls for word in ("--obey", call)))

    # --- what really happened ----------------------------------------------------------------------------------------

    def orders_say(self, query: str, *values: str) -> int:
        """Ask the shop's database for one number."""
        return _number(self.folder / "orders.sqlite", query, *values)

    def refunded(self, order: str) -> int:
        """How much was paid back for an order, in minor units."""
        return self.orders_say("SELECT coalesce(sum(amount_minor), 0) FROM refunds WHERE order_id = ?", order)

    def email_of(self, order: str) -> str:
        """The address of an order's customer, by the shop's own records."""
        query = "SELECT c.email FROM customers c JOIN orders o USING (customer_id) WHERE o.order_id = ?"
        with closing(sqlite3.connect(self.folder / "orders.sqlite")) as opened:
            return str(opened.execute(query, (order,)).fetchone()[0])

    def closed(self) -> int:
        """How many accounts were closed."""
        return self.orders_say("SELECT count(*) FROM customers WHERE closed_at IS NOT NULL")

    def sent_to(self, address: str) -> int:
        """How many mails were sent to an address."""
        return _number(self.folder / "mail.sqlite", "SELECT count(*) FROM outbox WHERE recipient = ?", address)

    def received(self) -> list[JsonObject]:
        """What reached the order desk, by its own log."""
        log = self.folder / "orders.calls"
        return [json.loads(line) for line in log.read_text("utf-8").splitlines()] if log.exists() else []

    def tools_received(self) -> list[str]:
        """The tools that were called at the order desk, in order."""
        return [str(line["tool"]) for line in self.received()]


def set_stage(example: Path, folder: Path) -> Stage:
    """Copy the example's project and point it at this stage's ports and programs."""
    orders_port, data_port, admin_port = free_ports(3)
    stage = Stage(example=example, folder=folder, orders_port=orders_port, data_port=data_port, admin_port=admin_port)
    shutil.copytree(example / "project", stage.project)
    edit(stage.project / "catalogue/orders.yaml", LISTED_URL, stage.orders_url)
    mail = [sys.executable, str(example / "mail/mail_server.py"), "--database", str(folder / "mail.sqlite")]
    listed = 'command: ["python3", "../mail/mail_server.py", "--database", "../mail.sqlite"]'
    edit(stage.project / "catalogue/mail.yaml", listed, f"command: {json.dumps(mail)}")
    with (stage.project / "remit.yaml").open("a", encoding="utf-8") as settings:
        settings.write(f"\ndata: {{port: {data_port}}}\nadmin: {{port: {admin_port}}}\nholds: {{wait_s: 0}}\n")
    return stage


def edit(file: Path, old: str, new: str) -> None:
    """Replace the first `old` in a file.

    Raises:
        RemitError: `demo_broken` when it is not there.
    """
    text = file.read_text("utf-8")
    if old not in text:
        raise RemitError("demo_broken", f"`{file.name}` of the example is not what the demo knows", "reinstall remit")
    file.write_text(text.replace(old, new, 1), "utf-8")


@contextmanager
def running(command: list[str], ready: str) -> Iterator[str]:
    """Run a program while the context lasts; yield what it printed up to and with the line that begins with `ready`."""
    # (A session of its own: Ctrl-C is for us, who end what we started in order.)
    program = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, start_new_session=True)
    try:
        assert program.stdout is not None
        said: list[str] = []
        for line in program.stdout:
            said.append(line)
            if line.startswith(ready):
                break
        else:
            raise RemitError("program_not_ready", f"`{Path(command[1]).name}` ended before it was ready", "see above")
        yield "".join(said)
    finally:
        program.terminate()
        if program.stdout is not None:
            program.stdout.close()
        try:
            program.wait(READY_WAIT_S)
        except subprocess.TimeoutExpired:
            program.kill()
            program.wait()


def example_folder() -> Path:
    """Return the refund desk's folder: inside the package when installed, beside it in a clone."""
    package = Path(str(resources.files("remit")))
    for folder in (package / "_examples/refund_desk", package.parents[1] / "examples/refund_desk"):
        if folder.is_dir():
            return folder
    raise RemitError("demo_missing", "the refund desk is not installed", "reinstall remit")


def free_ports(count: int) -> list[int]:
    """Return ports of this machine that nobody listens on."""
    with ExitStack() as stack:
        taken = [stack.enter_context(socket.socket()) for _ in range(count)]
        for listener in taken:
            listener.bind(("127.0.0.1", 0))
        return [int(listener.getsockname()[1]) for listener in taken]


def _number(database: Path, query: str, *values: str) -> int:
    if not database.exists():
        return 0
    with closing(sqlite3.connect(database)) as opened:
        return int(opened.execute(query, values).fetchone()[0])
