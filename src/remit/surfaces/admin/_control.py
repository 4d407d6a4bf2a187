"""What the admin API can do, given by who composes the gateway."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from pydantic import JsonValue

from remit.identity import Person
from remit.pipeline import ApprovalDesk, Clock, ControlDesk, Cutoff, Live, Store
from remit.records import Entry
from remit.surfaces._people import PeopleDoor

Said = dict[str, JsonValue]
"""An answer's body."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Control:
    """Everything that a route may reach. A fault is raised as a `RemitError`; a refusal comes back as a `Reason`.

    `check_tools` compares every tool server's listing, now, with what was reviewed: one item for each operation, with
    `operation`, `tool`, `state` (`reviewed`, `changed`, `unverified` or `not_pinned`) and `differences`, lines.
    `rollback` takes the digest of the bundle to go back to; empty: the one before.
    """

    store: Store
    clock: Clock
    live: Live
    approvals: ApprovalDesk
    controls: ControlDesk
    door: PeopleDoor
    audience: str  # of the tokens it takes
    log_in: Callable[[str, str, str], tuple[str, str]]  # person, secret, audience -> token, expiry
    status: Callable[[], Awaitable[Said]]
    deploy: Callable[[Person], Awaitable[Said]]
    rollback: Callable[[Person, str], Awaitable[Said]]
    checkpoint: Callable[[], Awaitable[str]]
    replayed: Callable[[tuple[Entry, ...]], Awaitable[dict[int, str]]]
    check_tools: Callable[[], Awaitable[list[Said]]]
    origin: str  # the log's name
    issuers: frozenset[str]  # the names of those that people come from, besides the development issuer


def died(done: Cutoff) -> Said:
    """Say what a revocation ended, and how soon."""
    return {
        "tasks": done.tasks,
        "approvals": done.approvals,
        "calls": done.calls,
        "tokens": done.tokens,
        "elapsed_us": done.elapsed_us,
    }
