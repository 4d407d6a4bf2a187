"""`remit demo`: the refund desk, told as a story on real servers. Nothing in it is pretended.

It starts three programs of their own on free loopback ports (the shop's tool server, the gateway, the agent), uses the
same commands as anybody, and looks at the shop's database and at the log to see whether what it tells is true.
"""

import json
import os
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from importlib import resources, util
from pathlib import Path

from remit.core import JsonObject, RemitError
from remit.surfaces.cli._client import connect, log_in
from remit.surfaces.cli._try import open_task

FAULT = 3  # exit code
READY_WAIT_S = 30  # for a program to say that it is ready
AGENT_WAIT_S = 60  # for the agent to finish a ticket
WIDTH = 220  # of what programs print; the rest of a line is in the log

ORDER = "ord-1001"
REMIT = (sys.executable, "-m", "remit")
LISTED_URL = "http://127.0.0.1:9301/mcp"  # where the example's catalogue expects the tool server


@dataclass(slots=True)
class Story:
    """Tells, checks, and remembers whether everything was as told."""

    failures: list[str] = field(default_factory=list)

    def chapter(self, title: str) -> None:
        """Begin a part."""
        print(f"\n{title}\n{'-' * len(title)}")

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
class Stage:
    """Where the story plays."""

    example: Path
    project: Path
    database: Path
    calls: Path  # what reached the tool server, by its own log
    mcp_url: str


def demo(keep: bool) -> int:
    """Tell the story; return 0 if everything happened as told."""
    if util.find_spec("mcp") is None:
        print("demo_needs_mcp: the demo's tool server and agent use the official MCP SDK", file=sys.stderr)
        print("    fix: pip install 'remit[demo]'", file=sys.stderr)
        return 1
    story = Story()
    signal.signal(
        signal.SIGTERM, lambda *_: sys.exit(FAULT)
    )  # so that what was started is ended, and its folder removed
    try:
        with ExitStack() as stack:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="remit-demo-")))
            stage = _set_up(story, folder, stack)
            _within_bounds(story, stage)
            _out_of_bounds(story, stage)
            _misspelled(story, stage)
            if keep:
                _stay(stage)
    except (RemitError, OSError, subprocess.SubprocessError) as error:
        story.failures.append(f"the story broke off: {error}")
    print(f"\n{'everything happened as told' if not story.failures else 'NOT as told: ' + '; '.join(story.failures)}")
    return 1 if story.failures else 0


def _set_up(story: Story, folder: Path, stack: ExitStack) -> Stage:
    story.chapter("The stage: a shop's tool server and Remit in front of it")
    example = _example()
    stage_ports = _free_ports(2)
    database, calls, project = folder / "orders.sqlite", folder / "orders.calls", folder / "project"
    server = [str(example / "orders/orders_server.py"), "--database", str(database), "--port", "0", "--log", str(calls)]
    url = stack.enter_context(_running([sys.executable, *server], "ready ")).removeprefix("ready ").strip()
    with closing(sqlite3.connect(database)) as shop:
        orders = shop.execute("SELECT count(*) FROM orders").fetchone()[0]
    print(f"  the shop's tool server answers at {url}; its database holds {orders} orders")

    shutil.copytree(example / "project", project)
    catalogue = project / "catalogue/orders.yaml"
    catalogue.write_text(catalogue.read_text("utf-8").replace(LISTED_URL, url), "utf-8")
    with (project / "remit.yaml").open("a", encoding="utf-8") as settings:
        settings.write(f"\ndata: {{port: {stage_ports[0]}}}\nadmin: {{port: {stage_ports[1]}}}\n")
    print("  $ remit up")
    said = stack.enter_context(_running([*REMIT, "up", "-C", str(project)], "ready after"))
    story.says(said)
    mcp_url = f"http://127.0.0.1:{stage_ports[0]}/mcp"
    return Stage(example=example, project=project, database=database, calls=calls, mcp_url=mcp_url)


def _within_bounds(story: Story, stage: Stage) -> None:
    story.chapter("1. Tom, of support, gives the agent a ticket: 40.00 back for order ord-1001")
    task, said = _ticket(stage, 4_000)
    story.says(said)
    story.check(_refunded(stage) == 4_000, "the shop's database shows one refund of 40.00")
    story.check(_received(stage) == ["get_order", "list_payments", "refund_order"], "the tool server got three calls")
    story.check(not _bearers(stage), "and none of them carried the agent's token")
    told = _remit(stage, "ana", "records", "explain", task)
    print(f"  $ remit records explain {task}")
    story.says(told.stdout)
    story.check(told.returncode == 0 and told.stdout.count("-> allowed") == 3, "the log tells all three, gate by gate")


def _out_of_bounds(story: Story, stage: Stage) -> None:
    story.chapter("2. The same agent is asked for 1,000,000.00, then to close the account")
    before, reached = _refunded(stage), len(_received(stage))
    task, said = _ticket(stage, 100_000_000)
    story.says(said)
    story.check("policy_no_permit" in said, "the refund is denied by policy, with a reason that the model can read")
    story.check("refund_order" not in _received(stage)[reached:], "the tool server never saw it")
    closing_task, said = _obeys(stage, 'close_account {"customer_id": "cus-001"}')
    story.says(said)
    story.check("outside_use_case" in said, "close_account is catalogued, but not in this use case: denied")
    unlisted_task, said = _obeys(stage, 'drop_tables {"really": true}')
    story.says(said)
    story.check("outside_use_case" in said, "an operation that nobody listed is denied, also when called by name")
    story.check(_refunded(stage) == before and not _closed(stage), "the shop's database is as it was")
    for denied in (task, closing_task, unlisted_task):
        told = _remit(stage, "ana", "records", "explain", denied).stdout
        story.says("\n".join(line for line in told.splitlines() if "DENIED" in line or "  x " in line))
        story.check("DENIED" in told, f"the denial is in the log of task {denied}")


def _misspelled(story: Story, stage: Stage) -> None:
    story.chapter("3. Ana misspells an attribute in the policy and deploys it")
    policy = stage.project / "agents/refunds/policies/refunds.cedar"
    right = policy.read_text("utf-8")
    policy.write_text(right.replace("amount_minor <=", "amout_minor <=", 1), "utf-8")
    runs = _status(stage)["bundle"]
    print("  $ remit release deploy")
    deployed = _remit(stage, "ana", "release", "deploy")
    story.says(deployed.stderr)
    policy.write_text(right, "utf-8")
    story.check(deployed.returncode == 1 and "amout_minor" in deployed.stderr, "it does not load")
    listed = "there has `amount_minor: Long`" in deployed.stderr
    story.check(listed, "the message says which attributes exist, with their types")
    story.check(_status(stage)["bundle"] == runs, "the running release stays")

    story.chapter("4. The log proves itself, to whoever holds its key and a checkpoint")
    print("  $ remit records verify")
    verified = _remit(stage, "ana", "records", "verify", "--json")
    report = json.loads(verified.stdout)
    story.says(_remit(stage, "ana", "records", "verify").stdout)
    story.check(verified.returncode == 0 and report["proven"], "every entry is proven against the checkpoint outside")
    story.check(
        report["intents"] == report["outcomes"] == len(_received(stage)), "each call has its intent and outcome"
    )


def _stay(stage: Stage) -> None:
    print(f"\nStaying up. The project is {stage.project}; try, in another terminal:")
    for line in (
        "login ana",
        f"try get_order order_id={ORDER}",
        f"try refund_order order_id={ORDER} amount_minor=2500 currency=EUR reason=damaged",
        f"try refund_order order_id={ORDER} amount_minor=10001 currency=EUR reason=damaged",
        "tasks list",
        "records verify",
        "doctor",
    ):
        words = line.split()
        at = 2 if words[0] in ("tasks", "records") else 1
        print(f"  remit {' '.join(words[:at])} -C {stage.project} {' '.join(words[at:])}".rstrip())
    print("Ctrl-C ends it and removes the folder.")
    try:
        signal.pause()
    except KeyboardInterrupt:
        print()


def _ticket(stage: Stage, amount_minor: int) -> tuple[str, str]:
    ticket = {"ticket": "arrived damaged", "order_id": ORDER, "amount_minor": amount_minor}
    return _agent(stage, ["--ticket", "-"], json.dumps(ticket))


def _obeys(stage: Stage, call: str) -> tuple[str, str]:
    return _agent(stage, ["--obey", call], "")


def _agent(stage: Stage, options: list[str], given: str) -> tuple[str, str]:
    """Open a task as Tom, hand its token to the agent's own process, and return the task and what the agent printed."""
    log_in(stage.project, "tom")
    opened = open_task(connect(stage.project), "refunds", "refund_request", given)
    done = subprocess.run(
        [sys.executable, str(stage.example / "refund_agent.py"), "--url", stage.mcp_url, *options],
        input=given,
        capture_output=True,
        text=True,
        timeout=AGENT_WAIT_S,
        check=False,
        env={**os.environ, "REMIT_TOKEN": str(opened["token"])},
    )
    return str(opened["task"]), done.stdout + done.stderr


def _remit(stage: Stage, person: str, *words: str) -> "subprocess.CompletedProcess[str]":
    """Run a `remit` command as `person`."""
    log_in(stage.project, person)
    return subprocess.run(
        [*REMIT, *words[:2], "-C", str(stage.project), *words[2:]],
        capture_output=True,
        text=True,
        timeout=READY_WAIT_S,
        check=False,
    )


def _status(stage: Stage) -> JsonObject:
    status: JsonObject = json.loads(_remit(stage, "ana", "release", "status", "--json").stdout)
    return status


def _refunded(stage: Stage) -> int:
    with closing(sqlite3.connect(stage.database)) as shop:
        query = "SELECT coalesce(sum(amount_minor), 0) FROM refunds WHERE order_id = ?"
        return int(shop.execute(query, (ORDER,)).fetchone()[0])


def _closed(stage: Stage) -> int:
    with closing(sqlite3.connect(stage.database)) as shop:
        return int(shop.execute("SELECT count(*) FROM customers WHERE closed_at IS NOT NULL").fetchone()[0])


def _received(stage: Stage) -> list[str]:
    return [str(json.loads(line)["tool"]) for line in stage.calls.read_text("utf-8").splitlines()]


def _bearers(stage: Stage) -> int:
    return sum(bool(json.loads(line)["bearer"]) for line in stage.calls.read_text("utf-8").splitlines())


@contextmanager
def _running(command: list[str], ready: str) -> Iterator[str]:
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


def _example() -> Path:
    """Return the refund desk's folder: inside the package when installed, beside it in a clone."""
    package = Path(str(resources.files("remit")))
    for folder in (package / "_examples/refund_desk", package.parents[1] / "examples/refund_desk"):
        if folder.is_dir():
            return folder
    raise RemitError("demo_missing", "the refund desk is not installed", "reinstall remit")


def _free_ports(count: int) -> list[int]:
    with ExitStack() as stack:
        taken = [stack.enter_context(socket.socket()) for _ in range(count)]
        for listener in taken:
            listener.bind(("127.0.0.1", 0))
        return [int(listener.getsockname()[1]) for listener in taken]
