"""One small project, and calls on it."""

import json
from collections.abc import Mapping
from datetime import datetime, timedelta
from functools import cache

from remit.adapters.project import compile_snapshot, served_text
from remit.adapters.system import Bell, CallsUnderway
from remit.core import Delegation, JsonObject, Task, ToolCall, Trace, canonical_bytes, parse_strict
from remit.pipeline import ApprovalDesk, ControlDesk, FactSource, Gateway, Ledger, Live, Snapshot
from remit.testing._clock import NOON, ManualClock, seeded
from remit.testing._credentials import PlainCredentials
from remit.testing._review import review_of_files
from remit.testing._store import MemoryStore
from remit.testing._upstream import UpstreamSimulator

POLICY = """
@id("desk.look")
permit (principal, action == Action::"look", resource);
@id("desk.pay")
permit (principal, action == Action::"pay", resource) when { context.arguments.amount <= 100 };
@id("desk.ask")
@hold("approval")
@approvers("ops")
forbid (principal, action == Action::"pay", resource) when { context.arguments.amount >= 50 };
@id("desk.keep")
forbid (principal, action == Action::"wipe", resource);
"""
"""What the desk's agent may do."""

LIFE = timedelta(hours=1)  # of the desk's task and token

_AGENT = """
agent: clerk
owner: ana
process: the desk
purpose: look things up and pay small sums
use_cases:
  serve:
    description: somebody stands at the desk
    operations: [look, pay, wipe]
identity: {bearer: true}
limits:
  calls: {per: agent, in: day, max: 1000000}
  at_once: {per: agent, max: 1000}
"""

_CATALOGUE = "tool: desk\nurl: http://127.0.0.1:9/mcp\nauthor: ana\noperations:\n" + "".join(
    f"""  {operation}:
    version: 1.0.0
    title: {operation.title()}
    description: The desk's operation {operation}.
    effect: {effect}
    content: [amount, note]
    sources: {{to: [user, look/owner]}}
    results: {{"": system_of_record, /note: untrusted}}
    input_schema:
      type: object
      additionalProperties: false
      required: [{required}]
      properties:
        amount: {{type: integer, minimum: 0, maximum: 1000000}}
        note: {{type: string, maxLength: 200}}
        to: {{type: string, maxLength: 200}}
"""
    for operation, effect, required in (
        ("look", "read", ""),
        ("pay", "write", "amount"),
        ("wipe", "irreversible", ""),
        ("spare", "read", ""),
    )
)


def desk_sources(policy: str = POLICY) -> Mapping[str, bytes]:
    """Return the desk's files, with `policy` in place of its own: reviewed by sue and eli, deployed and pinned."""
    return {**_written(policy), **_reviewed()}


@cache
def desk_snapshot(policy: str = POLICY) -> Snapshot:
    """Return the desk's files, compiled."""
    return compile_snapshot(desk_sources(policy))


def _written(policy: str) -> Mapping[str, bytes]:
    served: dict[str, JsonObject] = {name: {"name": name} for name in ("look", "pay", "wipe", "spare")}
    return {
        "agents/clerk/agent.yaml": _AGENT.encode(),
        "agents/clerk/policies/desk.cedar": policy.encode(),
        "catalogue/desk.yaml": _CATALOGUE.encode(),
        "catalogue/served/desk.json": served_text(served).encode(),
    }


@cache
def _reviewed() -> Mapping[str, bytes]:
    """Return what the review of the desk's operations leaves behind; no policy has a part in it."""
    return review_of_files(_written(POLICY))


def desk_task(task: str = "t_desk", *, expires_at: datetime = NOON + LIFE) -> Task:
    """Return a task of tom's with the clerk."""
    return Task(id=task, user="tom", agent="clerk", use_case="serve", opened_at=NOON, expires_at=expires_at)


def desk_delegation(task: str = "t_desk", *, user: str = "tom", expires_at: datetime = NOON + LIFE) -> Delegation:
    """Return what the token of `desk_task` says."""
    return Delegation(user=user, agent="clerk", task=task, use_case="serve", expires_at=expires_at)


def desk_call(
    operation: str, arguments: JsonObject | None = None, *, call: str = "c_1", delegation: Delegation | None = None
) -> ToolCall:
    """Return a call of the clerk's, its arguments in the order given and its numbers as they are read from a wire."""
    value = parse_strict(json.dumps({} if arguments is None else arguments).encode())
    return ToolCall(
        id=call,
        trace=Trace("a" * 32, "b" * 16),
        delegation=desk_delegation() if delegation is None else delegation,
        operation=operation,
        canonical=canonical_bytes(value),
    )


class Desk:
    """A whole gateway on stand-ins, with `desk_task` open. `faults` is what the gateway reported to its operator.

    `project` is another project's compiled files, for the desk's own agent `clerk`, in place of `policy`.

    `ledger` stands before `store`, and `facts` in place of `live`, where a test wants them to misbehave; `given` is
    the user's input to the task; `kind` is the gateway to build, so that a control can play one that lacks a guard.
    """

    def __init__(  # noqa: PLR0913 - each names one part to replace; all have a default
        self,
        *,
        store: MemoryStore | None = None,
        ledger: Ledger | None = None,
        facts: FactSource | None = None,
        policy: str = POLICY,
        project: Snapshot | None = None,
        observe: bool = False,
        given: bytes = b'{"input":null}',
        hold_wait_s: float = 0.0,
        kind: type[Gateway] = Gateway,
    ) -> None:
        self.clock = ManualClock()
        self.store = MemoryStore() if store is None else store
        self.upstream = UpstreamSimulator()
        self.bell = Bell()
        self.live = Live(
            self.clock,
            desk_snapshot(policy) if project is None else project,
            {},
            tenant="desk",
            memory_key=bytes(range(32)),
            entries_of=self.store.entries_of,
            tallies_of=self.store.tallies,
        )
        self.live.admit(desk_task(), given)
        self.credentials = PlainCredentials()
        self.underway = CallsUnderway()
        self.controls = ControlDesk(
            live=self.live,
            store=self.store,
            clock=self.clock,
            bell=self.bell,
            underway=self.underway,
            forget=self.credentials.forget,
        )
        self.faults: list[Exception] = []
        self.gateway = kind(
            facts=self.live if facts is None else facts,
            ledger=self.store if ledger is None else ledger,
            upstream=self.upstream,
            credentials=self.credentials,
            underway=self.underway,
            bell=self.bell,
            clock=self.clock,
            random=seeded(1),
            on_fault=self.faults.append,
            hold_wait_s=hold_wait_s,
            observe=observe,
        )
        self.approvals = ApprovalDesk(
            live=self.live, store=self.store, clock=self.clock, bell=self.bell, propose=self.gateway.propose
        )
