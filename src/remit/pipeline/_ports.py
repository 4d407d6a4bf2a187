"""What the pipeline needs of the world, as Protocols. Every byte in or out of `handle` goes through one of these."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Protocol

from remit.catalogue import Descriptor, Tool
from remit.core import ToolCall
from remit.pipeline._facts import Facts, Versions
from remit.records import Draft


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
        """In one transaction: append `outcome`, close its call."""
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
        """Forward `call.canonical` to `tool`, within its bounds of time and size. Never raises for the tool's faults."""
        ...
