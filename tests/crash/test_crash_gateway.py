"""`kill -9` of a whole gateway under real calls: whatever happened in the world, the log knows of it.

The refund desk's tool server is a program of its own and lives on; each of its refunds carries a reason that no other
call has, so what it did can be laid beside what the log says.
"""

import json
import random
import shutil
import socket
import sqlite3
import subprocess
import sys
from base64 import b64decode
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from threading import Event
from typing import Any

import pytest
from tests.conftest import GIVEN, stand_in

from remit.surfaces.cli._client import connect, log_in

pytestmark = pytest.mark.requirement("R5.1", "R7.6")

DESK = Path(__file__).parents[2] / "examples/refund_desk"
LISTED_URL = "http://127.0.0.1:9301/mcp"  # where the example's catalogue expects its tool server
REVISION = "2026-07-28"
META = {
    "io.modelcontextprotocol/protocolVersion": REVISION,
    "io.modelcontextprotocol/clientCapabilities": {},
    "io.modelcontextprotocol/clientInfo": {"name": "load", "version": "1"},
}
LANES = 6  # connections, each with one call under way
LOAD_MS = 250  # after the first answer, at most, until the kill
WAIT_S = 60


@dataclass(frozen=True)
class Scene:
    """A project, the ports of its gateway, and the shop behind it."""

    project: Path
    data_port: int
    database: Path

    def shop(self, query: str) -> list[tuple[Any, ...]]:
        """Ask the shop's own database."""
        with closing(sqlite3.connect(self.database)) as database:
            return database.execute(query).fetchall()


@dataclass
class Heard:
    """What the callers know: the reasons of refunds that were answered as done, and of all that were sent."""

    sent: set[str] = field(default_factory=set)
    done: set[str] = field(default_factory=set)


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    database, project = tmp_path / "orders.sqlite", tmp_path / "project"
    server = [str(DESK / "orders/orders_server.py"), "--database", str(database), "--port", "0"]
    with _program([sys.executable, *server, "--log", str(tmp_path / "calls")], tmp_path / "orders.err") as shop:
        url = _until(shop, "ready ").split()[-1]
        shutil.copytree(DESK / "project", project)
        catalogue = project / "catalogue/orders.yaml"
        catalogue.write_text(catalogue.read_text("utf-8").replace(LISTED_URL, url), "utf-8")
        data_port, admin_port = _free_ports(2)
        with (project / "remit.yaml").open("a", encoding="utf-8") as settings:
            settings.write(f"\ndata: {{port: {data_port}}}\nadmin: {{port: {admin_port}}}\n")
        stand_in(project, tmp_path, served=True)
        yield Scene(project, data_port, database)


@contextmanager
def _program(command: list[str], errors: Path) -> Iterator["subprocess.Popen[str]"]:
    with (
        errors.open("ab") as err,
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=err, text=True) as process,
    ):
        try:
            yield process
        finally:
            process.kill()


def _until(process: "subprocess.Popen[str]", word: str) -> str:
    assert process.stdout is not None
    for line in process.stdout:
        if line.startswith(word):
            return line
    raise AssertionError(f"{process.args!r} ended before it was ready")


def _free_ports(count: int) -> list[int]:
    with ExitStack() as stack:
        taken = [stack.enter_context(socket.socket()) for _ in range(count)]
        for listener in taken:
            listener.bind(("127.0.0.1", 0))
        return [int(listener.getsockname()[1]) for listener in taken]


@contextmanager
def gateway(scene: Scene) -> Iterator["subprocess.Popen[str]"]:
    """Run a gateway; it is killed at the end unless it has ended."""
    command = [sys.executable, "-m", "remit", "up", "-C", str(scene.project)]
    with _program(command, scene.project / "gateway.err") as process:
        _until(process, "ready after")
        yield process


def load_and_kill(scene: Scene, heard: Heard, number: int, dice: random.Random) -> None:
    """Start a gateway, call it from every lane, and kill it in the middle."""
    with gateway(scene) as process, ThreadPoolExecutor(LANES) as lanes:
        log_in(scene.project, "tom")
        opened = connect(scene.project).post_data(
            "/v1/tasks", {"agent": "refunds", "use_case": "refund_request", "input": GIVEN}
        )
        token, answered = str(opened.json()["token"]), Event()
        running = [
            lanes.submit(_lane, scene.data_port, token, f"k{number}-{at}", heard, answered) for at in range(LANES)
        ]
        try:
            assert answered.wait(WAIT_S)
            Event().wait(dice.randrange(LOAD_MS) / 1000)  # nothing sets it: the moment of death is the dice's
        finally:
            process.kill()
        for lane in running:
            lane.result(WAIT_S)


def _lane(port: int, token: str, name: str, heard: Heard, answered: Event) -> None:
    """Refund one minor unit at a time, each with a reason of its own, until nobody answers any more."""
    headers = {
        "authorization": f"Bearer {token}",
        "content-type": "application/json",
        "accept": "application/json, text/event-stream",
        "mcp-protocol-version": REVISION,
        "mcp-method": "tools/call",
        "mcp-name": "refund_order",
    }
    with closing(HTTPConnection("127.0.0.1", port, timeout=WAIT_S)) as connection:
        for number in range(100_000):
            reason = f"{name}-{number}"
            heard.sent.add(reason)
            try:
                connection.request("POST", "/mcp", _refund(number, reason), headers)
                said = json.loads(connection.getresponse().read())
            except (OSError, HTTPException, ValueError):
                return
            assert said["result"].get("isError") is not True, said
            heard.done.add(reason)
            answered.set()


def _refund(number: int, reason: str) -> bytes:
    arguments = {"order_id": "ord-1002", "amount_minor": 1, "currency": "EUR", "reason": reason}
    params = {"name": "refund_order", "arguments": arguments, "_meta": META}
    return json.dumps({"jsonrpc": "2.0", "id": number, "method": "tools/call", "params": params}).encode()


# --- what the log says, beside what happened -------------------------------------------------------------------------


@dataclass
class Told:
    """What the log tells of the refunds."""

    intents: dict[str, dict[str, Any]] = field(default_factory=dict)  # by call
    reasons: dict[str, str] = field(default_factory=dict)  # of each call
    endings: list[dict[str, Any]] = field(default_factory=list)
    swept: int = 0

    @property
    def unknown(self) -> list[dict[str, Any]]:
        return [ending for ending in self.endings if ending["kind"] == "unknown"]


def told(lines: Iterable[str]) -> Told:
    """Read an export."""
    story = Told()
    for line in lines:
        entry = json.loads(line)
        leaf = json.loads(entry["leaf"]) if "leaf" in entry else {}
        match leaf.get("kind"):
            case "intent":
                story.intents[leaf["call"]] = {**leaf, "index": entry["index"]}
                if (
                    "looked_up_for" not in leaf
                ):  # (what a refund is about, the gateway reads first: no refund of its own)
                    story.reasons[leaf["call"]] = json.loads(b64decode(entry["payloads"][0]["body"]))["reason"]
            case "outcome" | "unknown":
                story.endings.append(leaf)
            case "started":
                story.swept += leaf["swept"]
            case _:
                pass  # of the gateway itself, or of a task
    return story


def contradictions(story: Told, heard: Heard, refunds: Iterable[str]) -> list[str]:
    """Return where the log, the callers and the shop do not agree."""
    happened = Counter(refunds)
    ended = Counter(ending["call"] for ending in story.endings)
    ends = {ending["call"] for ending in story.endings if ending.get("status") == "done"}
    done = {reason for call, reason in story.reasons.items() if call in ends}
    wrong = [f"{call} has {ended[call]} endings" for call in story.intents if ended[call] != 1]
    wrong += [f"{call} ended and never began" for call in ended.keys() - story.intents.keys()]
    wrong += [
        f"{ending['call']} is unknown for another intent"
        for ending in story.unknown
        if story.intents[ending["call"]]["index"] != ending["intent"]
    ]
    if story.swept != len(story.unknown):
        wrong.append(f"the starts say they swept {story.swept}, the log holds {len(story.unknown)} unknown")
    wrong += [f"answered as done, but no such outcome: {reason}" for reason in heard.done - done]
    wrong += [f"recorded and never sent: {reason}" for reason in set(story.reasons.values()) - heard.sent]
    wrong += [f"happened without an intent: {reason}" for reason in happened.keys() - set(story.reasons.values())]
    wrong += [f"recorded as done and never happened: {reason}" for reason in done - happened.keys()]
    wrong += [f"happened {times} times: {reason}" for reason, times in happened.items() if times != 1]
    return wrong


def aftermath(scene: Scene) -> tuple[Told, list[str], dict[str, Any]]:
    """With a gateway running again: return what the log tells, what the shop did, and what the verifier says."""
    log_in(scene.project, "ana")
    with connect(scene.project).lines("/v1/records/export") as lines:
        story = told(lines)
    refunds = [str(reason) for (reason,) in scene.shop("SELECT reason FROM refunds")]
    command = [sys.executable, "-m", "remit", "records", "verify", "-C", str(scene.project), "--json"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=WAIT_S, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    report: dict[str, Any] = json.loads(done.stdout)
    return story, refunds, report


def _kill_gateways(scene: Scene, kills: int) -> tuple[Told, Heard, list[str]]:
    dice, heard = random.Random(kills), Heard()
    for number in range(kills):
        load_and_kill(scene, heard, number, dice)
    with gateway(scene):
        story, refunds, report = aftermath(scene)
    assert report["proven"] is True
    assert contradictions(story, heard, refunds) == []
    assert len(heard.done) >= kills, "calls were made in every life"
    assert story.unknown, "and some life ended in the middle of a call"
    return story, heard, refunds


def test_ten_killed_gateways_leave_nothing_that_the_log_does_not_know(scene: Scene) -> None:
    story, heard, refunds = _kill_gateways(scene, 10)
    # The controls: the same comparison sees a refund behind the log's back, a forgotten one, and a lost ending.
    assert contradictions(story, heard, [*refunds, "behind its back"]) == [
        "happened without an intent: behind its back"
    ]
    heard.done.add("promised")
    assert contradictions(story, heard, refunds) == ["answered as done, but no such outcome: promised"]
    heard.done.remove("promised")
    lost = story.endings.pop()
    assert f"{lost['call']} has 0 endings" in contradictions(story, heard, refunds)


@pytest.mark.long
def test_a_hundred_killed_gateways_leave_nothing_that_the_log_does_not_know(
    scene: Scene, share: Callable[[int], int]
) -> None:
    _kill_gateways(scene, share(100))
