"""A gateway on the real store, everybody acting at once, and a reader of the log who knows what was forbidden when.

Chance decides how long each act waits before it begins and how long the tool takes; the store's own thread adds what no
seed decides.
"""

import asyncio
import json
import random
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import apsw

from remit.adapters.project import compile_snapshot
from remit.adapters.sqlite import SqliteStore
from remit.adapters.system import Bell, CallsUnderway
from remit.catalogue import Descriptor, Tool
from remit.core import JsonObject, Obligation, Ruling, ToolCall
from remit.identity import Person
from remit.permissions import Approval
from remit.pipeline import (
    RELEASE,
    Answer,
    ApprovalDesk,
    Committed,
    Conflict,
    ControlDesk,
    Credential,
    Deployed,
    Done,
    Facts,
    Full,
    Gateway,
    Live,
    Refused,
    Snapshot,
    UpstreamAnswer,
    UpstreamFailure,
    Versions,
)
from remit.records import Draft, Entry, event, task_opened
from remit.testing import (
    NOON,
    ManualClock,
    PlainCredentials,
    UpstreamSimulator,
    desk_call,
    desk_delegation,
    desk_snapshot,
    desk_sources,
    desk_task,
    seeded,
)

OLGA = Person("olga", frozenset({"ops"}))
END = NOON + timedelta(days=9_999)
TURNS = (0, 0, 1, 2, 5, 10, 30, 60, 120, 250)  # of the event loop; the store's commit takes as many as the longer ones
LOOKED_AT = 4_000  # newest entries among which the intent of a call that arrives is looked for
PAGE = 5_000
AT_ONCE_MAX = 4
A_DAY_MAX = 10


def capped() -> Snapshot:
    """Return the desk with four calls at once and ten a day."""
    sources = dict(desk_sources())
    text = sources["agents/clerk/agent.yaml"].decode().partition("limits:")[0]
    caps = f"at_once: {{per: agent, max: {AT_ONCE_MAX}}}, calls: {{per: user, in: day, max: {A_DAY_MAX}}}"
    sources["agents/clerk/agent.yaml"] = f"{text}limits: {{{caps}}}\n".encode()
    return compile_snapshot(sources)


class RestlessTool(UpstreamSimulator):
    """A tool that takes its time, and counts the calls that are with it at once."""

    def __init__(self, pause: Callable[[], Awaitable[None]], on_arrival: Callable[[ToolCall], None]) -> None:
        super().__init__(on_arrival)
        self._pause = pause
        self._with_it = 0
        self.most = 0

    async def invoke(
        self, tool: Tool, descriptor: Descriptor, call: ToolCall, credential: Credential
    ) -> UpstreamAnswer | UpstreamFailure:
        await self._pause()
        self._with_it += 1
        self.most = max(self.most, self._with_it)
        try:
            answer = await super().invoke(tool, descriptor, call, credential)
            await self._pause()
            return answer
        finally:
            self._with_it -= 1


class Counting(SqliteStore):
    """The store, which says how often it began a call, and how often not, and why."""

    def __init__(self, *parts: Any) -> None:
        super().__init__(*parts)
        self.begun: Counter[str] = Counter()

    async def begin(
        self, intent: Draft, read: Versions, obligations: Sequence[Obligation] = ()
    ) -> Committed | Conflict | Full:
        answer = await super().begin(intent, read, obligations)
        self.begun[type(answer).__name__] += 1
        return answer


@dataclass
class Arena:
    """The gateway, the persons and the dice."""

    store: Counting
    live: Live
    gateway: Gateway
    approvals: ApprovalDesk
    controls: ControlDesk
    clock: ManualClock
    tool: RestlessTool
    dice: random.Random
    unrecorded: list[str]
    won: Counter[str] = field(default_factory=Counter)
    answers: Counter[str] = field(default_factory=Counter)
    calls: int = 0
    wrong: list[str] = field(default_factory=list)

    async def pause(self) -> None:
        for _ in range(self.dice.choice(TURNS)):
            await asyncio.sleep(0)

    async def open(self, task: str, expires_at: datetime = END) -> None:
        opened = desk_task(task, expires_at=expires_at)
        given = b'{"input":null}'
        await self.store.open_task(opened, task_opened(opened, at=NOON, by="tom", random=seeded(1), input_body=given))
        self.live.admit(opened, given)

    async def present(self, operation: str, arguments: JsonObject, task: str, keys: tuple[str, ...] = ()) -> Answer:
        self.calls += 1
        delegation = replace(desk_delegation(task, expires_at=END), keys=keys)
        return await self.gateway.handle(desk_call(operation, arguments, call=f"c_{self.calls}", delegation=delegation))

    async def ask(self, operation: str, arguments: JsonObject, task: str, keys: tuple[str, ...] = ()) -> str:
        """Present a call; return in a word what became of it."""
        answer = await self.present(operation, arguments, task, keys)
        again = "repeated" if isinstance(answer, Done) and answer.repeated else "done"
        word = again if isinstance(answer, Done) else answer.reason.code
        self.answers[word] += 1
        return word

    async def held(self, arguments: JsonObject, task: str) -> Approval:
        answer = await self.present("pay", arguments, task)
        assert isinstance(answer, Refused), answer
        approval = self.live.approval(answer.approval)
        assert approval is not None, answer
        return approval

    async def deploy(self, snapshot: Snapshot) -> None:
        now = self.clock.now()
        release = Deployed(number=0, bundle=snapshot.digest, at=now, by="ana", how="deploy")
        entry = event(RELEASE, at=now, by="ana", said={"bundle": snapshot.digest})
        self.live.swap(snapshot, await self.store.deploy(release, snapshot.sources, entry))

    async def log(self) -> AsyncIterator[Entry]:
        start = 0
        while page := await self.store.entries(start, start + PAGE, payloads=False):
            for entry in page:
                yield entry
            start += len(page)


@asynccontextmanager
async def arena(
    folder: Path, seed: int, kind: type[Gateway] = Gateway, first: Snapshot | None = None
) -> AsyncIterator[Arena]:
    """Build a gateway of this kind on a new store; `first` is what runs."""
    path = folder / "remit.db"
    store = await Counting.open(path)
    reader = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)
    dice, clock, bell, unrecorded = random.Random(seed), ManualClock(), Bell(), list[str]()
    live = Live(clock, desk_snapshot(), {}, tenant="desk", memory_key=bytes(32), entries_of=store.entries_of)

    async def pause() -> None:
        for _ in range(dice.choice(TURNS)):
            await asyncio.sleep(0)

    def arrives(call: ToolCall) -> None:
        query = (
            "SELECT count(*) FROM entries WHERE idx > (SELECT max(idx) FROM entries) - ?"
            " AND kind = 'intent' AND call = ?"
        )
        if reader.execute(query, (LOOKED_AT, call.id)).fetchall() != [(1,)]:
            unrecorded.append(call.id)

    tool, underway, credentials = RestlessTool(pause, arrives), CallsUnderway(), PlainCredentials()
    gateway = kind(
        facts=live,
        ledger=store,
        upstream=tool,
        credentials=credentials,
        underway=underway,
        bell=bell,
        clock=clock,
        random=seeded(seed),
        on_fault=_raised,
    )
    try:
        here = Arena(
            store=store,
            live=live,
            gateway=gateway,
            approvals=ApprovalDesk(live=live, store=store, clock=clock, bell=bell),
            controls=ControlDesk(
                live=live, store=store, clock=clock, bell=bell, underway=underway, forget=credentials.forget
            ),
            clock=clock,
            tool=tool,
            dice=dice,
            unrecorded=unrecorded,
        )
        await here.deploy(first or desk_snapshot())
        yield here
    finally:
        reader.close()
        await store.close()


def _raised(error: Exception) -> None:
    raise error


# --- what the log allows ---------------------------------------------------------------------------------------------


@dataclass
class Reader:
    """Reads the log from its beginning and notes every intent that stands where something before it forbids it."""

    at_once_max: int = 1 << 30
    a_day_max: int = 1 << 30
    wrong: list[str] = field(default_factory=list)
    intents: set[str] = field(default_factory=set)
    _bundle: str = ""
    _forbidden: set[str] = field(default_factory=set)  # names of controls that forbid, and of tasks that are closed
    _approvals: dict[str, str] = field(default_factory=dict)  # what was last said to each
    _open: set[str] = field(default_factory=set)
    _days: Counter[str] = field(default_factory=Counter)

    def read(self, entry: Entry) -> None:
        leaf: Any = json.loads(entry.leaf)
        match entry.kind:
            case "release":
                self._bundle = leaf["bundle"]
            case "control" if leaf["word"] in ("revoked", "quarantined"):
                self._forbidden |= {leaf["control"], *leaf.get("tasks", ())}
                self._approvals |= dict.fromkeys(leaf.get("approvals", ()), "void")
            case "control" if leaf["word"] in ("restored", "released"):
                self._forbidden.discard(leaf["control"])
            case "approval":
                self._approvals[leaf["approval"]] = leaf["answer"]
            case "outcome":
                self._open.discard(entry.call)
            case "intent":
                self._intent(entry.call, leaf)
            case _:
                pass

    def _intent(self, call: str, leaf: Any) -> None:
        self.intents.add(call)
        self._open.add(call)
        self._days[leaf["at"][:10]] += 1
        rests_on = {f"{what}/{leaf[what]}" for what in ("agent", "user", "task", "operation")}
        rests_on |= {leaf["task"], *(f"key/{key}" for key in leaf.get("keys", ()))}
        forbidding = rests_on & self._forbidden
        found = [
            (leaf["decision"] != ["allow"], f"says {leaf['decision']}"),
            (forbidding, f"follows what forbids it: {forbidding}"),
            (leaf["bundle"] != self._bundle, "was decided on a release that no longer runs"),
            (len(self._open) > self.at_once_max, f"is one of {len(self._open)} at once"),
            (self._days[leaf["at"][:10]] > self.a_day_max, "is over the day's cap"),
        ]
        if any(line[1] == "hold" for line in leaf["trail"]):
            [used] = leaf["approvals"]
            found.append((self._approvals.get(used["id"]) != "approved", "uses an approval that stands for no call"))
            self._approvals[used["id"]] = "used"
        self.wrong += [f"{call} {why}" for is_so, why in found if is_so]


async def wrongs(here: Arena, at_once_max: int = 1 << 30, a_day_max: int = 1 << 30) -> list[str]:
    """Return everything that happened and that the log does not allow."""
    reader = Reader(at_once_max, a_day_max)
    async for entry in here.log():
        reader.read(entry)
    arrived = [received.call for received in here.tool.received]
    wrong = [*reader.wrong, *(f"{call} arrived before its intent was durable" for call in here.unrecorded)]
    wrong += [f"{call} has no intent" for call in arrived if call not in reader.intents]
    wrong += [f"{call} arrived {count} times" for call, count in Counter(arrived).items() if count > 1]
    if here.tool.most > at_once_max:
        wrong.append(f"{here.tool.most} were with the tool at once")
    return wrong


# --- gateways that lack a guard --------------------------------------------------------------------------------------


class ComparesNothing(Gateway):
    """A control: what it read is not compared, and what it owes is not asked of the store."""

    async def _begin(self, call: ToolCall, facts: Facts, ruling: Ruling, intent: Draft) -> Committed | Conflict | Full:
        del call, facts, ruling
        return await self.ledger.begin(intent, ())


class OwesNothing(Gateway):
    """A control: what it read is compared, but nothing is counted and no approval used up."""

    async def _begin(self, call: ToolCall, facts: Facts, ruling: Ruling, intent: Draft) -> Committed | Conflict | Full:
        del call, ruling
        return await self.ledger.begin(intent, facts.versions)
