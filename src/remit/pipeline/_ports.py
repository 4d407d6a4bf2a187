"""What the pipeline needs of the world, as Protocols. Every byte in or out of `handle` goes through one of these."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Protocol

from remit.catalogue import Descriptor, Tool
from remit.core import Task, ToolCall
from remit.pipeline._facts import Facts, Versions
from remit.records import Draft, Entry


class Clock(Protocol):
    """The time, injected."""

    def now(self) -> datetime:
        """Return the present, aware UTC."""
        ...

    def elapsed_us(self) -> int:
        """Return a reading in microseconds that never goes back; only differences mean anything."""
        ...


class FactSource(Protocol):
    """Where a decision's facts come from."""

    def gather(self, call: ToolCall) -> Facts:
        """Return what `call` is to be decided on, all read at one moment."""
        ...


@dataclass(frozen=True, slots=True)
class Committed:
    """A write that is durable. `index` is the entry's place in the log, from 0."""

    index: int


@dataclass(frozen=True, slots=True)
class Conflict:
    """Nothing was written: the value `name` changed after the decision read it."""

    name: str


class Ledger(Protocol):
    """The log and the state that must agree with it. A method returns only once its write is durable.

    Each raises `StoreUnavailableError` when durability was not confirmed.
    """

    async def begin(self, intent: Draft, read: Versions) -> Committed | Conflict:
        """In one transaction: compare every version in `read`, append `intent`, mark its call open."""
        ...

    async def finish(self, outcome: Draft) -> Committed:
        """In one transaction: append `outcome`, close its call. If it is not open: write nothing, raise."""
        ...

    async def append(self, entry: Draft) -> Committed:
        """Append an entry that belongs to no open call: a denial, a hold, a refusal."""
        ...


class Sent(StrEnum):
    """How far a failed request got, which decides what may be said about the effect."""

    NOT_SENT = "not_sent"  # nothing left: no effect
    UNKNOWN = "unknown"  # bytes left, no whole answer came: the effect may have happened
    ANSWERED = "answered"  # the tool answered, but not as its protocol demands


@dataclass(frozen=True, slots=True, kw_only=True)
class UpstreamAnswer:
    """What a tool answered. `result` is its CallToolResult, canonical; `is_error` is the tool's own word."""

    result: bytes
    is_error: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class UpstreamFailure:
    """What kept a tool from answering. `code` is stable (`upstream_timeout`, ...); `detail` is for the record."""

    code: str
    sent: Sent
    detail: str


class Upstream(Protocol):
    """The one way out."""

    async def invoke(self, tool: Tool, descriptor: Descriptor, call: ToolCall) -> UpstreamAnswer | UpstreamFailure:
        """Forward `call.canonical` to `tool`, within its bounds of time and size. A tool's faults are values."""
        ...


@dataclass(frozen=True, slots=True)
class OpenCall:
    """A call whose intent is in the log and whose outcome is not."""

    call: str
    task: str
    intent: int


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredState:
    """What a store holds when a gateway starts on it. `digest` is empty on a new store.

    `checkpointed` is how many entries the newest checkpoint covers; 0 where none was ever signed.
    """

    version: int
    digest: str
    tasks: tuple[Task, ...]
    size: int
    checkpointed: int


Signer = Callable[[int, bytes], str]
"""Sign a tree's size and root hash; returns the signed note."""


class Store(Ledger, Protocol):
    """The ledger with the control state and the archive. Every adapter and the fake pass one contract suite."""

    @property
    def healthy(self) -> bool:
        """Whether the last write was confirmed."""
        ...

    async def state(self, now: datetime) -> StoredState:
        """Return the control state: the release's version and digest, and the tasks not expired at `now`."""
        ...

    async def open_task(self, task: Task, entry: Draft) -> Committed:
        """In one transaction: keep `task`, append `entry`."""
        ...

    async def deploy(self, digest: str, sources: Mapping[str, bytes], entry: Draft) -> int:
        """In one transaction: keep `sources` under `digest`, raise the release's version, append `entry`.

        Returns the new version.
        """
        ...

    async def sweep(self, entry_for: Callable[[OpenCall], Draft]) -> int:
        """In one transaction: give every open call the entry `entry_for` writes, and close it. Returns how many."""
        ...

    async def checkpoint(self, sign: Signer) -> str:
        """Sign the tree over everything durable; keep and return the note."""
        ...

    async def root_at(self, size: int) -> bytes | None:
        """Return the tree's root over the first `size` entries; None where there are fewer."""
        ...

    async def entries(self, start: int, stop: int, *, payloads: bool = True) -> tuple[Entry, ...]:
        """Return the entries `start` <= index < `stop`, with the payloads that still exist.

        Without `payloads` none is read, and every entry comes with an empty tuple of them.

        Raises:
            RemitError: `store_damaged` when an entry is filed as something else than its leaf says.
        """
        ...

    async def entries_of(self, task: str) -> tuple[Entry, ...]:
        """Return every entry of a task, in order."""
        ...

    async def recent_tasks(self, count: int) -> tuple[Task, ...]:
        """Return the newest tasks, newest first."""
        ...

    async def bundle(self, digest: str) -> Mapping[str, bytes] | None:
        """Return the files of a bundle that ran, exactly."""
        ...
