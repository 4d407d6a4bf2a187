"""Telling people of calls that wait: what is said and to whom, and that it says no secret and delays nothing."""

import asyncio
import json
import logging
import os
import subprocess
import sys
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from remit.adapters.credentials import Secrets
from remit.adapters.notify import Limits, Notices, Target
from remit.adapters.notify._message import title_and_text
from remit.adapters.notify._notices import SENDER, _Queue
from remit.catalogue import Secret
from remit.core import Reason, Requirement
from remit.identity import Person
from remit.permissions import Approval, Grant, State
from remit.pipeline import Live, Refused
from remit.testing import NOON, Desk, ManualClock, desk_call, desk_task

ADMIN = "http://127.0.0.1:8701"
CANARY = "canary-4711"
PASSWORD = "hunter22-secret"
FINANCE = Requirement(kind="approval", approvers=("finance",), quorum=1, within_s=3_600)
WAITS = Approval(
    id="a_1",
    digest="sha256:1",
    binding="sha256:2",
    task="t_1",
    user="tom",
    agent="refunds",
    owner="ana",
    use_case="refund_request",
    operation="refund_order",
    requirements=(replace(FINANCE, typed=CANARY),),
    code="approval_required",
    message=f"recipient `{CANARY}` was first seen elsewhere",
    rationale=f"because of {CANARY}",
    entry=7,
    opened_at=NOON,
    expires_at=NOON + timedelta(hours=1),
    instead_of=f"sha256:{CANARY}",
)
EDITED = replace(WAITS, id="a_2", edited=json.dumps({"to": CANARY}), editors=("fay",))
APPROVED = replace(WAITS, grants=(Grant(person="fay", role="finance", kind="approval", at=NOON),), version=2)
DENIED = replace(WAITS, state=State.DENIED, by="fay", version=2)
HANGS = """
import json, os, signal, socket, sys
host, port, name = json.load(sys.stdin)["url"].split("/")
socket.create_connection((host, int(port))).sendall(f"{name} {os.getpid()}\\n".encode())
signal.pause() if name == "dead" else sys.exit(0)
"""
STUCK = (sys.executable, "-I", "-c", HANGS)
"""A program in the sender's place: it tells the address which process it is, and the one for `dead` never ends."""


@dataclass
class Hook:
    """A real HTTP server that keeps what it gets."""

    status: bytes = b"200 OK"
    port: int = 0
    heads: list[bytes] = field(default_factory=list)
    bodies: list[Any] = field(default_factory=list)
    heard: asyncio.Condition = field(default_factory=asyncio.Condition)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        length = next(int(line[15:]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
        body = json.loads(await reader.readexactly(length))
        writer.write(b"HTTP/1.1 " + self.status + b"\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
        await writer.drain()
        writer.close()
        async with self.heard:
            self.heads.append(head)
            self.bodies.append(body)
            self.heard.notify_all()

    async def has(self, count: int) -> None:
        async with asyncio.timeout(60), self.heard:
            await self.heard.wait_for(lambda: len(self.bodies) >= count)


@asynccontextmanager
async def hook(status: bytes = b"200 OK") -> AsyncIterator[Hook]:
    made = Hook(status)
    server = await asyncio.start_server(made.serve, "127.0.0.1", 0)
    made.port = server.sockets[0].getsockname()[1]
    try:
        yield made
    finally:
        server.close()
        await server.wait_closed()


def notices(*targets: Target, kind: type[Notices] = Notices, **options: Any) -> Notices:
    environ = options.pop("environ", {})
    clock = ManualClock()
    return kind(targets, Secrets(environ, Path("/"), clock), clock, ADMIN, **options)


def target(name: str = "ops", **filters: Any) -> Target:
    return Target(name, Secret(source="env", name=name.upper()), **filters)


@asynccontextmanager
async def running(told: Notices) -> AsyncIterator[None]:
    task = asyncio.create_task(told.run())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait([task])


class Noted(Counter[tuple[str, str]]):
    """What was not told, and an event that says when the first of it is there."""

    def __init__(self) -> None:
        super().__init__()
        self.noted = asyncio.Event()

    def __setitem__(self, key: tuple[str, str], count: int) -> None:
        super().__setitem__(key, count)
        self.noted.set()


def noted(told: Notices) -> Noted:
    """Return what is not told from here on."""
    kept = told._untold = Noted()
    return kept


@dataclass
class Started:
    """Hears which programs began to send, and as which processes."""

    port: int = 0
    processes: dict[str, int] = field(default_factory=dict)
    heard: asyncio.Condition = field(default_factory=asyncio.Condition)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        name, process = (await reader.readline()).decode().split()
        writer.close()
        async with self.heard:
            self.processes[name] = int(process)
            self.heard.notify_all()

    async def has(self, name: str) -> None:
        async with asyncio.timeout(60), self.heard:
            await self.heard.wait_for(lambda: name in self.processes)

    def places(self) -> dict[str, str]:
        return {name.upper(): f"127.0.0.1/{self.port}/{name}" for name in ("dead", "well")}


@asynccontextmanager
async def started() -> AsyncIterator[Started]:
    made = Started()
    server = await asyncio.start_server(made.serve, "127.0.0.1", 0)
    made.port = server.sockets[0].getsockname()[1]
    try:
        yield made
    finally:
        server.close()
        await server.wait_closed()


# --- what is said -----------------------------------------------------------------------------------------------------


@pytest.mark.requirement("R3.5")
def test_a_target_is_told_who_what_until_when_and_where_to_decide_and_no_value(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")

    async def scene() -> list[Any]:
        async with hook() as at:
            url = f"json://{PASSWORD}:{PASSWORD}@127.0.0.1:{at.port}/{PASSWORD}"
            told = notices(target(), environ={"OPS": url})
            async with running(told):
                told.changed(None, WAITS)
                told.changed(WAITS, DENIED)
                await at.has(2)
                assert all(PASSWORD.encode() in head for head in at.heads), "it went to the target's own address"
                return at.bodies

    first, second = asyncio.run(scene())
    assert first["title"] == "refund_order by refunds waits for approval"
    assert first["message"].splitlines() == [
        "agent: refunds",
        "operation: refund_order",
        "for: tom",
        "approval: a_1",
        "held: approval_required",
        "who may approve: 1 of finance (approval)",
        f"until: {(NOON + timedelta(hours=1)).isoformat()[:19]}Z",
        "to see it: remit approvals show a_1",
        f"or: {ADMIN}/approvals/a_1",
    ]
    assert second["title"] == "refund_order by refunds was denied by fay"
    assert CANARY not in json.dumps([first, second])


@pytest.mark.parametrize(
    ("before", "after", "title"),
    [
        (None, WAITS, "waits for approval"),
        (replace(WAITS, entry=0), WAITS, "waits for approval"),
        (None, EDITED, "was changed by fay and waits for approval"),
        (WAITS, APPROVED, "was approved by fay"),
        (WAITS, DENIED, "was denied by fay"),
        (None, replace(WAITS, entry=0), ""),
        (WAITS, WAITS, ""),
        (WAITS, replace(APPROVED, requirements=(replace(FINANCE, quorum=2),)), ""),
        (APPROVED, replace(APPROVED, state=State.USED, call="c_1"), ""),
        (WAITS, replace(WAITS, state=State.VOID, by="changed"), ""),
        (None, DENIED, ""),
        (DENIED, DENIED, ""),
    ],
)
def test_people_hear_of_what_they_need_to_hear_of_and_of_nothing_else(
    before: Approval | None, after: Approval, title: str
) -> None:
    said = title_and_text(before, after, ADMIN)
    assert (said[0] if said else "") == (f"refund_order by refunds {title}" if title else "")
    assert CANARY not in str(said)


@pytest.mark.parametrize(
    ("filters", "hears"),
    [
        ({}, True),
        ({"roles": frozenset({"finance", "legal"})}, True),
        ({"roles": frozenset({"legal"})}, False),
        ({"agents": frozenset({"refunds"})}, True),
        ({"agents": frozenset({"mail"})}, False),
        ({"agents": frozenset({"refunds"}), "roles": frozenset({"legal"})}, False),
    ],
)
def test_a_target_hears_of_the_agents_and_roles_that_it_is_for(filters: Any, *, hears: bool) -> None:
    told = notices(target(**filters))
    told.changed(None, WAITS)
    assert len(told._queues[0].waiting) == int(hears)


@pytest.mark.requirement("R3.5")
def test_the_running_gateway_tells_of_a_hold_once_and_of_the_answer() -> None:
    async def scene() -> list[str]:
        desk, heard = Desk(), list[str]()
        live = Live(
            desk.clock, desk.live.snapshot, {}, tenant="desk", memory_key=bytes(32), entries_of=desk.store.entries_of
        )
        live.admit(desk_task(), b"{}")

        def tell(before: Approval | None, after: Approval) -> None:
            said = title_and_text(before, after, ADMIN)
            heard.extend([said[0]] if said else [])

        live.tell = tell
        gateway = replace(desk.gateway, facts=live)
        await gateway.handle(desk_call("wipe", call="c_0"))  # (the log begins with something else)
        held = [await gateway.handle(desk_call("pay", {"amount": 75}, call=call)) for call in ("c_1", "c_2")]
        [approval] = {answer.approval for answer in held if isinstance(answer, Refused)}
        people = replace(desk.approvals, live=live)
        denied = await people.deny(Person("olga", frozenset({"ops"})), approval, "no")
        assert not isinstance(denied, Reason), denied
        return heard

    assert asyncio.run(scene()) == ["pay by clerk waits for approval", "pay by clerk was denied by olga"]


# --- that no secret is ------------------------------------------------------------------------------------------------


async def failing(url: str, status: bytes) -> None:
    """Tell a target that cannot be told."""
    async with hook(status) as at:
        told = notices(target(), environ={"OPS": url.format(port=at.port)} if url else {})
        told.changed(None, WAITS)
        untold = noted(told)
        async with running(told), asyncio.timeout(60):
            await untold.noted.wait()
        await told.close()


@pytest.mark.requirement("R2.4")
@pytest.mark.parametrize(
    ("url", "status", "why"),
    [
        (f"json://{PASSWORD}:{PASSWORD}@127.0.0.1:{{port}}/{PASSWORD}", b"500 No", "it refused them"),
        (f"json://{PASSWORD}:{PASSWORD}@127.0.0.1:1/{PASSWORD}", b"", "it refused them, or could not be reached"),
        (f"nonsense://{PASSWORD}@127.0.0.1/{PASSWORD}", b"", "its address is no target of Apprise"),
        (f"{PASSWORD}", b"", "its address is no target of Apprise"),
        ("", b"", "its address cannot be read (secret_missing)"),
    ],
)
def test_a_failure_is_told_by_the_targets_name_and_nothing_says_its_address(  # noqa: PLR0913, PLR0917 - three of them are pytest's
    url: str,
    status: bytes,
    why: str,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    caplog.set_level(logging.DEBUG)
    asyncio.run(failing(url, status))
    assert f"1 messages for the target `ops` were not sent: {why}" in caplog.text
    printed = capfd.readouterr()
    assert PASSWORD not in caplog.text + printed.out + printed.err


def test_the_library_itself_says_the_address_where_nobody_keeps_it_from_that() -> None:
    """The control: what the program that sends would print if it let the library speak."""
    program = "import logging; logging.basicConfig(level=1); import apprise; "
    program += f"a = apprise.Apprise(); a.add('json://127.0.0.1:1/{PASSWORD}'); a.notify('x')"
    said = subprocess.run([sys.executable, "-I", "-c", program], capture_output=True, text=True, check=False)
    assert PASSWORD in said.stderr
    quiet = json.dumps({"url": f"json://127.0.0.1:1/{PASSWORD}", "messages": [["a", "b"]]})
    sent = subprocess.run(SENDER, input=quiet, capture_output=True, text=True, check=False)
    assert (sent.returncode, sent.stdout, PASSWORD in sent.stderr) == (3, "", False)


# --- that nothing waits or piles up -----------------------------------------------------------------------------------


class OneAfterAnother(Notices):
    """A control: one loop for all targets."""

    async def _serve(self, queue: _Queue) -> None:
        if queue is self._queues[0]:
            for each in self._queues:
                while each.waiting:
                    why = await self._send(each.target, [each.waiting.popleft()])
                    self._untold[each.target.name, why] += bool(why)


@pytest.mark.requirement("R3.5")
@pytest.mark.parametrize(("kind", "send_s", "delayed"), [(Notices, 600.0, False), (OneAfterAnother, 1.0, True)])
def test_a_dead_target_delays_neither_the_call_nor_another_target(
    kind: type[Notices], send_s: float, *, delayed: bool
) -> None:
    async def scene() -> tuple[bool, int]:
        async with started() as at:
            limits = Limits(send_s=send_s)
            told = notices(target("dead"), target("well"), kind=kind, environ=at.places(), limits=limits, sender=STUCK)
            told.changed(None, WAITS)  # (and returns: nothing here is awaited)
            async with running(told):
                await at.has("well")
                late = ("dead", "it did not take them in time") in told._untold
                await at.has("dead")
            return late, at.processes["dead"]

    late, process = asyncio.run(scene())
    assert late is delayed
    with pytest.raises(ProcessLookupError):
        os.kill(process, 0)  # the program that hung was ended with the gateway


def test_a_target_that_hangs_is_given_up_and_told_of(caplog: pytest.LogCaptureFixture) -> None:
    async def scene() -> None:
        async with started() as at:
            told = notices(target("dead"), environ=at.places(), limits=Limits(send_s=1.0), sender=STUCK)
            told.changed(None, WAITS)
            untold = noted(told)
            async with running(told), asyncio.timeout(60):
                await untold.noted.wait()
            await told.close()

    asyncio.run(scene())
    assert "1 messages for the target `dead` were not sent: it did not take them in time" in caplog.text


@pytest.mark.parametrize(("waiting_max", "kept", "dropped"), [(3, 3, 7), (1_000, 10, 0)])
def test_only_so_many_messages_wait_and_what_is_dropped_is_counted_and_told(
    waiting_max: int, kept: int, dropped: int, caplog: pytest.LogCaptureFixture
) -> None:
    told = notices(target(), limits=Limits(waiting_max=waiting_max))
    for number in range(10):
        told.changed(None, replace(WAITS, id=f"a_{number}"))
    assert len(told._queues[0].waiting) == kept
    told.report()
    said = f"{dropped} messages for the target `ops` were not sent: too many waited"
    assert caplog.messages == ([said] if dropped else [])
    told.report()
    assert len(caplog.messages) == bool(dropped), "what was told is not told again"


def test_what_waits_when_the_gateway_stops_is_told_as_not_sent(caplog: pytest.LogCaptureFixture) -> None:
    told = notices(target())
    told.changed(None, WAITS)
    asyncio.run(told.close())
    assert caplog.messages == ["1 messages for the target `ops` were not sent: the gateway stopped"]


def test_without_targets_nothing_is_kept_and_nothing_runs() -> None:
    async def scene() -> None:
        told = notices()
        told.changed(None, WAITS)
        async with running(told):
            await asyncio.sleep(0)
        await told.close()

    asyncio.run(scene())
