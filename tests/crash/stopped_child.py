"""The victim: a gateway that stops in the middle of a call, is told something meanwhile, and goes on.

A fork server, so that each stop does not cost the imports. For each line it reads (JSON: `path`, `where`, `cut`,
`kind`) it forks a child that makes one call on the store at `path` and stops itself with SIGSTOP at `where`: `decided`
(allowed, no intent yet) or `intended` (its intent is durable, nothing has left). Once the child stands, it is told of
`cut`, if there is one, and continued: it does first what it was told, then the call goes on. What became of it is
printed: `stood`, whether it did; `answer`, the code of a refusal or `done`; `sent`, how often the tool was reached.

`kind` `blind` is the control: a gateway that compares nothing and does not look again before it sends.
"""

import asyncio
import json
import os
import select
import signal
import sys
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

from remit.adapters.sqlite import SqliteStore
from remit.adapters.system import Bell, CallsUnderway
from remit.catalogue import Descriptor, Tool
from remit.core import Obligation, ToolCall
from remit.identity import X509, Cut
from remit.pipeline import (
    Committed,
    Conflict,
    ControlDesk,
    Credential,
    Cutoff,
    Done,
    Full,
    Gateway,
    Live,
    UpstreamAnswer,
    UpstreamFailure,
    Versions,
)
from remit.records import Draft, task_opened
from remit.testing import (
    ManualClock,
    PlainCredentials,
    UpstreamSimulator,
    desk_call,
    desk_delegation,
    desk_snapshot,
    desk_task,
    seeded,
)

KEY = "A" * 43


class Stand:
    """Where the process stops, once, and what it is told there."""

    def __init__(self, where: str, told: int) -> None:
        self.where = where
        self.told = told  # a pipe
        self.desk: ControlDesk | None = None

    async def at(self, where: str) -> None:
        if where != self.where or self.desk is None:
            return
        self.where = ""
        os.kill(os.getpid(), signal.SIGSTOP)
        told = b""
        while select.select([self.told], [], [], 0)[0] and (more := os.read(self.told, 4_096)):
            told += more
        for line in told.splitlines():
            done = await self.desk.cut(Cut(**json.loads(line)), "otto", "while it stood")
            if not isinstance(done, Cutoff):
                raise TypeError(done.code)


class StoppingStore(SqliteStore):
    """The store, before which the process may stop."""

    stand: Stand

    async def begin(
        self, intent: Draft, read: Versions, obligations: Sequence[Obligation] = ()
    ) -> Committed | Conflict | Full:
        await self.stand.at("decided")
        return await super().begin(intent, read, obligations)


class StoppingCredentials(PlainCredentials):
    """The mint, before which the process may stop."""

    def __init__(self, stand: Stand) -> None:
        super().__init__()
        self._stand = stand

    async def credential(self, tool: Tool, call: ToolCall, intent: bytes, now: datetime) -> Credential:
        await self._stand.at("intended")
        return await super().credential(tool, call, intent, now)


class Blind(Gateway):
    """A control: nothing that a decision read is compared, and nobody looks again before a call leaves."""

    async def _begin(self, call: ToolCall, facts: object, ruling: object, intent: Draft) -> Committed | Conflict | Full:
        del call, facts, ruling
        return await self.ledger.begin(intent, ())

    async def _forward(
        self, call: ToolCall, tool: Tool, descriptor: Descriptor, shown: Credential
    ) -> UpstreamAnswer | UpstreamFailure:
        return await self.upstream.invoke(tool, descriptor, call, shown)


async def live_through(path: Path, stand: Stand, kind: type[Gateway]) -> dict[str, object]:
    """Make the call; return what became of it."""
    clock, bell, underway = ManualClock(), Bell(), CallsUnderway()
    store = await StoppingStore.open(path)
    store.stand = stand
    live = Live(clock, desk_snapshot(), {}, tenant="desk", memory_key=bytes(32), entries_of=store.entries_of)
    tool, credentials = UpstreamSimulator(), StoppingCredentials(stand)
    desk = ControlDesk(live=live, store=store, clock=clock, bell=bell, underway=underway, forget=credentials.forget)
    task, given = desk_task(), b'{"input":null}'
    await store.open_task(task, task_opened(task, at=clock.now(), by="tom", random=seeded(1), input_body=given))
    live.admit(task, given)
    await desk.register_key("clerk", {"kty": X509, "x5t#S256": KEY}, "ana")
    gateway = kind(
        facts=live,
        ledger=store,
        upstream=tool,
        credentials=credentials,
        underway=underway,
        bell=bell,
        clock=clock,
        random=seeded(2),
        on_fault=_raised,
    )
    stand.desk = desk
    try:
        call = desk_call("look", delegation=replace(desk_delegation(), keys=(KEY,)))
        answer = await gateway.handle(call)
    finally:
        await store.close()
    return {"answer": "done" if isinstance(answer, Done) else answer.reason.code, "sent": len(tool.received)}


def _raised(error: Exception) -> None:
    raise error


def stop_one(order: dict[str, Any]) -> dict[str, Any]:
    """Fork a child, let it stop, tell it, let it go on; return what became of its call."""
    (told, tell), (reading, writing) = os.pipe(), os.pipe()
    child = os.fork()
    if child == 0:
        try:
            said = asyncio.run(live_through(Path(order["path"]), Stand(order["where"], told), KINDS[order["kind"]]))
            os.write(writing, json.dumps(said).encode())
        finally:
            os._exit(0)
    os.close(told)
    os.close(writing)
    _, status = os.waitpid(child, os.WUNTRACED)
    stood = os.WIFSTOPPED(status)
    if stood:
        if order["cut"] is not None:
            os.write(tell, json.dumps(order["cut"]).encode() + b"\n")
        os.kill(child, signal.SIGCONT)
        os.waitpid(child, 0)
    said = json.loads(os.read(reading, 4_096) or b"{}")
    os.close(tell)
    os.close(reading)
    return {"stood": stood, **said}


KINDS: dict[str, type[Gateway]] = {"gateway": Gateway, "blind": Blind}

if __name__ == "__main__":
    desk_snapshot()  # compiled once, for all
    for line in sys.stdin:
        sys.stdout.write(json.dumps(stop_one(json.loads(line))) + "\n")
        sys.stdout.flush()
