"""One task behind a whole gateway: every call goes through the real pipeline, and a person may answer what is held.

stage = Stage(compiled(AS_WRITTEN), tools, agent="banking", use_case="bills", prompt="Please pay the bill ...")
seen = await stage.call("send_money", {"recipient": ...}, Person.SAYS_YES)
seen.executed, seen.asked, seen.code
"""

import itertools
import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from enum import Enum

from remit.adapters.system import Bell, CallsUnderway
from remit.catalogue import Descriptor, Effect, Tool
from remit.core import Delegation, Json, JsonObject, Task, ToolCall, Trace, canonical_bytes, parse_strict
from remit.identity import Person as Named
from remit.pipeline import (
    Answer,
    ApprovalDesk,
    Credential,
    Done,
    Gateway,
    Live,
    Refused,
    Snapshot,
    UpstreamAnswer,
)
from remit.testing import NOON, ManualClock, MemoryStore, PlainCredentials, seeded

TRIES_MAX = 3  # times a call is presented again because people said yes: once per hold, and a hold has one screen
LIFE = timedelta(hours=8)  # of a task

_USER, _TASK = "emma", "t_1"
_REVIEWER = Named("ravi", frozenset({"reviewer"}))


class Person(Enum):
    """What becomes of a hold: nobody looks at it, or somebody says yes, or no."""

    ABSENT = "absent"
    SAYS_YES = "says yes"
    SAYS_NO = "says no"


Runs = Callable[[str, JsonObject], tuple[Json, bool]]
"""A suite's tools: an operation and its arguments, to the value returned and whether it is an error."""


@dataclass(frozen=True, slots=True)
class Seen:
    """What became of one call. `asked` counts the approvals that it opened; `code` says why it did not happen."""

    operation: str
    arguments: JsonObject
    consequential: bool
    executed: bool
    asked: int
    code: str = ""


class Tools:
    """Implements `Upstream` with functions of this process; `executed` is what they were really called with."""

    def __init__(self, runs: Runs) -> None:
        self.executed: list[tuple[str, JsonObject]] = []
        self._runs = runs

    async def invoke(
        self, tool: Tool, descriptor: Descriptor, call: ToolCall, credential: Credential
    ) -> UpstreamAnswer:
        """See `Upstream.invoke`: what an MCP server would answer, with the value as structured content."""
        del tool, credential
        arguments = dict(call.arguments)
        value, is_error = self._runs(descriptor.upstream_name, arguments)
        if not is_error:
            self.executed.append((descriptor.upstream_name, arguments))
        structured: JsonObject = value if isinstance(value, dict) else {"result": value}
        text = str(value) if is_error else canonical_bytes(structured).decode()
        said: JsonObject = {"content": [{"type": "text", "text": text}], "isError": is_error}
        if not is_error:
            said["structuredContent"] = structured
        return UpstreamAnswer(result=canonical_bytes(said), is_error=is_error)


class Stage:
    """A gateway with one open task of one user's, whose input is `prompt`."""

    def __init__(self, snapshot: Snapshot, runs: Runs, *, agent: str, use_case: str, prompt: str) -> None:
        clock, store, bell = ManualClock(), MemoryStore(), Bell()
        self.tools = Tools(runs)
        self.faults: list[Exception] = []
        self._snapshot = snapshot
        self._live = Live(
            clock,
            snapshot,
            {},
            tenant="benchmark",
            memory_key=bytes(range(32)),
            entries_of=store.entries_of,
            tallies_of=store.tallies,
        )
        self._delegation = Delegation(user=_USER, agent=agent, task=_TASK, use_case=use_case, expires_at=NOON + LIFE)
        task = Task(id=_TASK, user=_USER, agent=agent, use_case=use_case, opened_at=NOON, expires_at=NOON + LIFE)
        self._live.admit(task, canonical_bytes({"input": prompt}))
        self._approvals = ApprovalDesk(live=self._live, store=store, clock=clock, bell=bell)
        self._gateway = Gateway(
            facts=self._live,
            ledger=store,
            upstream=self.tools,
            credentials=PlainCredentials(),
            underway=CallsUnderway(),
            bell=bell,
            clock=clock,
            random=seeded(1),
            on_fault=self.faults.append,
        )
        self._ids = itertools.count(1)

    async def call(self, operation: str, given: JsonObject, person: Person) -> Seen:
        """Present a call, and present it again each time that `person` lets it through.

        Raises:
            RuntimeError: the gateway failed while it decided; a benchmark of that would say nothing.
        """
        value = parse_strict(json.dumps(given).encode())  # (its numbers as they are read from a wire)
        arguments = value if isinstance(value, dict) else {}
        canonical, asked = canonical_bytes(arguments), 0
        answer = await self._present(operation, canonical)
        for _ in range(TRIES_MAX):
            if not isinstance(answer, Refused) or not answer.approval:
                break
            asked += 1
            if not await self._answered(answer.approval, person):
                break
            answer = await self._present(operation, canonical)
        if self.faults:
            raise RuntimeError(f"`{operation}` could not be decided") from self.faults[0]
        code = "" if isinstance(answer, Done) else answer.reason.code
        descriptor = self._snapshot.descriptors.get(operation)
        consequential = descriptor is None or descriptor.effect is not Effect.READ
        return Seen(operation, arguments, consequential, isinstance(answer, Done), asked, code)

    async def _present(self, operation: str, canonical: bytes) -> Answer:
        call = ToolCall(
            id=f"c_{next(self._ids)}",
            trace=Trace("a" * 32, "b" * 16),
            delegation=self._delegation,
            operation=operation,
            canonical=canonical,
        )
        return await self._gateway.handle(call)

    async def _answered(self, approval: str, person: Person) -> bool:
        """Let people answer; say whether the call may be presented again. What a page asks to be typed, they type."""
        found = self._live.approval(approval)
        if found is None or person is Person.ABSENT:
            return False
        if person is Person.SAYS_NO:
            await self._approvals.deny(_REVIEWER, found.id, "nobody asked for this")
            return False
        typed = next((need.typed for need in found.requirements if need.typed), "")
        for named in (_REVIEWER, Named(_USER, frozenset())):
            await self._approvals.approve(named, found.id, found.digest, typed)
        return True
