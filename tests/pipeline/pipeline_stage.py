"""The desk with its persons, and what a test of the pipeline does with them: present a call, answer it, restart."""

import asyncio
import itertools
import json
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any

from remit.adapters.project import compile_snapshot
from remit.core import Hold, JsonObject, Reason, Ruling, ToolCall
from remit.identity import Person
from remit.permissions import Approval
from remit.pipeline import (
    NOTHING,
    RELEASE,
    Answer,
    Committed,
    Conflict,
    Deployed,
    Facts,
    Full,
    Gateway,
    Live,
    Refused,
    Snapshot,
    decide,
    recorded,
    replay,
)
from remit.pipeline._digest import digest_of
from remit.records import Draft, Entry, event, task_opened
from remit.testing import Desk, desk_call, desk_delegation, desk_sources, desk_task, seeded

OLGA = Person("olga", frozenset({"ops"}))  # lifts what the desk's policy holds
OTTO = Person("otto", frozenset({"operator"}))  # lifts what is held for where it came from
TOM = Person("tom", frozenset({"user"}))  # for whom the agent acts
TASK = "t_desk"
KEY = bytes(range(32))
HELD: JsonObject = {"amount": 75}


@dataclass
class Stage:
    """A desk and how many calls were presented to it, so that each has an id of its own."""

    desk: Desk = field(default_factory=Desk)
    bundles: dict[str, Snapshot] = field(default_factory=dict)
    ids: Iterable[int] = field(default_factory=itertools.count)
    restarts: int = 0

    def __post_init__(self) -> None:
        self.keep(self.desk.live.snapshot)

    def keep(self, snapshot: Snapshot) -> None:
        self.bundles[snapshot.digest] = snapshot

    # --- what happens --------------------------------------------------------------------------------------------

    async def open(self, given: bytes = b'{"input":null}') -> None:
        """Record the desk's task, so that a restart finds it."""
        entry = task_opened(desk_task(), at=self.desk.clock.now(), by="tom", random=seeded(7), input_body=given)
        await self.desk.store.open_task(desk_task(), entry)

    def call(self, operation: str = "pay", arguments: JsonObject | None = None, task: str = TASK) -> ToolCall:
        said = HELD if arguments is None and operation == "pay" else arguments
        return desk_call(operation, said, call=f"c_{next(iter(self.ids))}", delegation=desk_delegation(task))

    async def present(self, operation: str = "pay", arguments: JsonObject | None = None, task: str = TASK) -> Answer:
        """Make a call, with an id of its own."""
        return await self.desk.gateway.handle(self.call(operation, arguments, task))

    async def held(self, operation: str = "pay", arguments: JsonObject | None = None, task: str = TASK) -> Approval:
        """Make a call that is held; return what it waits for."""
        answer = await self.present(operation, arguments, task)
        assert isinstance(answer, Refused), answer
        assert answer.held, answer
        approval = self.desk.live.approval(answer.approval)
        assert approval is not None
        return approval

    async def approve(self, approval: Approval, person: Person = OLGA, typed: str = "") -> Approval:
        answer = await self.desk.approvals.approve(person, approval.id, approval.digest, typed)
        assert not isinstance(answer, Reason), answer
        return answer

    async def deny(self, approval: Approval, person: Person = OLGA) -> Approval:
        answer = await self.desk.approvals.deny(person, approval.id, "no")
        assert not isinstance(answer, Reason), answer
        return answer

    async def deploy(self, snapshot: Snapshot) -> None:
        """Let another bundle run, as a deployment does."""
        self.keep(snapshot)
        now = self.desk.clock.now()
        release = Deployed(number=0, bundle=snapshot.digest, at=now, by="ana", how="deploy")
        entry = event(RELEASE, at=now, by="ana", said={"bundle": snapshot.digest})
        self.desk.live.swap(snapshot, await self.desk.store.deploy(release, snapshot.sources, entry))

    async def restart(self) -> None:
        """Let another `Live` take over, made of nothing but what the store holds."""
        desk, self.restarts = self.desk, self.restarts + 1
        state = await desk.store.state(desk.clock.now())
        live = Live(
            desk.clock,
            desk.live.snapshot,
            state.controls,
            tenant="desk",
            memory_key=bytes([self.restarts]) * 32,
            entries_of=desk.store.entries_of,
        )
        for task in state.tasks:
            live.admit(task)
        for approval in state.approvals:
            live.put(approval)
        desk.live = live
        desk.gateway = replace(desk.gateway, facts=live, random=seeded(100 + self.restarts))
        desk.approvals = replace(desk.approvals, live=live)
        desk.controls = replace(desk.controls, live=live)

    # --- what is seen --------------------------------------------------------------------------------------------

    @property
    def paid(self) -> int:
        """How often the tool paid."""
        return self.desk.upstream.effects["pay"]

    def kinds(self) -> Counter[str]:
        return Counter(entry.kind for entry in self.desk.store.log)

    def leaves(self, kind: str) -> list[Any]:
        return [json.loads(entry.leaf) for entry in self.desk.store.log if entry.kind == kind]

    def codes(self) -> list[str]:
        """Return why each call was refused or held, in order."""
        decided = [leaf for leaf in map(leaf_of, self.desk.store.log) if leaf["kind"] in ("denied", "held")]
        return [leaf["decision"][1] for leaf in decided]

    def decisions(self) -> list[Entry]:
        return [entry for entry in self.desk.store.log if entry.kind in ("intent", "denied", "held")]

    def otherwise(self) -> list[Entry]:
        """Return the recorded decisions that do not follow again from the log."""
        return [
            entry
            for entry in self.decisions()
            if leaf_of(entry)["trail"] and replay(entry, self.bundles.get, "desk") != recorded(entry)
        ]


def leaf_of(entry: Entry) -> Any:
    return json.loads(entry.leaf)


def code_of(answer: Answer) -> str:
    assert not hasattr(answer, "result"), answer
    return str(answer.reason.code)


def with_file(path: str, change: Callable[[str], str], policy: str | None = None) -> Snapshot:
    """Return the desk with one of its files changed."""
    sources = dict(desk_sources() if policy is None else desk_sources(policy))
    text = sources[path].decode()
    assert change(text) != text
    return compile_snapshot({**sources, path: change(text).encode()})


def with_limits(*lines: str) -> Snapshot:
    """Return the desk with other caps."""
    return with_file(
        "agents/clerk/agent.yaml", lambda text: f"{text.partition('limits:')[0]}limits: {{{', '.join(lines)}}}\n"
    )


Scene = Callable[[Stage], Awaitable[Any]]


def play(scene: Scene, desk: Desk | None = None, *, given: bytes = b'{"input":null}', replayed: bool = True) -> Stage:
    """Play a scene, and see that every decision in it follows again from the log.

    Without `replayed` it need not: a gateway that decides otherwise than it must records what will not follow.
    """

    async def played() -> Stage:
        stage = Stage(desk or Desk())
        await stage.open(given)
        await scene(stage)
        return stage

    stage = asyncio.run(played())
    assert not replayed or stage.otherwise() == []
    return stage


# --- gateways that lack a guard ------------------------------------------------------------------------------------


class BeginsBlindly(Gateway):
    """A control: nothing that it read is compared, and nothing that it owes is asked of the store."""

    async def _begin(self, call: ToolCall, facts: Facts, ruling: Ruling, intent: Draft) -> Committed | Conflict | Full:
        del call, facts, ruling
        return await self.ledger.begin(intent, ())


class OpensBlindly(Gateway):
    """A control: does not look at what waits already."""

    async def _hold(
        self, call: ToolCall, facts: Facts, ruling: Ruling, hold: Hold, more: JsonObject | None
    ) -> Answer | Conflict:
        return await super()._hold(call, replace(facts, approvals=()), ruling, hold, more)


class LiftsAnything(Gateway):
    """A control: every approval of the agent's lifts every call of its tasks, at any time."""

    def _rule(self, call: ToolCall, looked: Mapping[str, bytes | str] = NOTHING) -> tuple[Facts | None, Ruling]:
        assert isinstance(self.facts, Live)
        facts = self.facts.gather(call, looked)
        loose = tuple(
            replace(
                each,
                digest=digest_of(call, facts),
                opened_at=facts.now,
                expires_at=facts.now + timedelta(hours=1),
                grants=tuple(replace(grant, at=facts.now) for grant in each.grants),
            )
            for each in self.facts.approvals()
        )
        facts = replace(facts, approvals=loose)
        return facts, decide(call, facts)
