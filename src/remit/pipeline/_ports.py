"""What the pipeline needs of the world, as Protocols. Every byte in or out of `handle` goes through one of these."""

from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from types import MappingProxyType
from typing import Protocol, TypeVar

from remit.catalogue import Descriptor, Tool
from remit.core import Add, Delegation, Obligation, RemitError, Reserve, Revocation, Task, ToolCall
from remit.identity import Cut
from remit.permissions import Approval, Opinion
from remit.pipeline._facts import Facts, Versions
from remit.records import Draft, Entry

T = TypeVar("T")

NOTHING: Mapping[str, bytes | str] = MappingProxyType({})


class Clock(Protocol):
    """The time, injected."""

    def now(self) -> datetime:
        """Return the present, aware UTC."""
        ...

    def elapsed_us(self) -> int:
        """Return a reading in microseconds that never goes back; only differences mean anything."""
        ...


class FactSource(Protocol):
    """Where a decision's facts come from, and who must hear what became of it."""

    async def recall(self, call: ToolCall) -> None:
        """Read back what a task has seen, after a restart, and what was counted. Costs nothing once it is known."""
        ...

    def edit_of(self, call: ToolCall) -> Approval | None:
        """Return the edit that takes the place of `call`, if a person made one."""
        ...

    def gather(self, call: ToolCall, looked: Mapping[str, bytes | str] = NOTHING) -> Facts:
        """Return what `call` is to be decided on, all read at one moment.

        `looked` are the answers of look-ups made for this very call, canonical JSON by fact, or why there is none.
        """
        ...

    def count(self, adds: Sequence[Add], sign: int = 1) -> None:
        """Take in that a call counts, from before its intent is durable on; with `sign` -1, that it does not."""
        ...

    def uncertain(self, keys: Iterable[str]) -> None:
        """Forget what is counted under `keys`: the store knows it better."""
        ...

    def mark(self, hashes: Sequence[bytes]) -> None:
        """Take in that these values, as keyed hashes, are untrusted wherever they are read from now on."""
        ...

    def revocation(self, delegation: Delegation) -> Revocation | None:
        """Return who or what of a delegation was cut off, at this moment."""
        ...

    def put(self, approval: Approval) -> None:
        """Take in a new or changed approval."""
        ...

    def drop(self, approval: str) -> None:
        """Forget an approval that the store did not take."""
        ...

    def remember(self, call: ToolCall, facts: Facts, result: bytes) -> None:
        """Take in the values of a tool's answer, with where they came from."""
        ...

    def changed(self) -> None:
        """Forget what was looked up: something may have changed it."""
        ...


@dataclass(frozen=True, slots=True)
class Committed:
    """A write that is durable. `index` is the entry's place in the log, from 0."""

    index: int


@dataclass(frozen=True, slots=True)
class Conflict:
    """Nothing was written: the value `name` changed after the decision read it."""

    name: str


@dataclass(frozen=True, slots=True)
class Full:
    """Nothing was written: `used` calls are counted already under the cap that `reserve` names."""

    reserve: Reserve
    used: int


class Ledger(Protocol):
    """The log and the state that must agree with it. A method returns only once its write is durable.

    Each raises `StoreUnavailableError` when durability was not confirmed.
    """

    async def begin(
        self, intent: Draft, read: Versions, obligations: Sequence[Obligation] = ()
    ) -> Committed | Conflict | Full:
        """In one transaction: compare every version in `read`, meet every obligation, append `intent`, open its call.

        A `Reserve` counts, or the answer is `Full`. An `Add` counts where what is counted there is what it saw, or the
        answer is a `Conflict` with its key. A `Mark` is kept for ever, however the call ends. A `Consume` makes a
        waiting approval `used` by this call and raises the version of `approval/<id>`; one that is not waiting is a
        conflict. One that cannot be met: nothing is done.
        """
        ...

    async def finish(self, outcome: Draft, *, void: bool = False, adds: Sequence[Add] = ()) -> Committed:
        """In one transaction: append `outcome`, close its call, count `adds`. If it is not open: write nothing, raise.

        What the call counted as under way is given back; with `void` (nothing was sent) all that it reserved or added.
        What `adds` saw is not looked at: the call has happened.
        """
        ...

    async def tallies(self, keys: Sequence[str]) -> Mapping[str, int]:
        """Return what is counted under each of `keys`; one that nothing was ever counted under is left out."""
        ...

    async def append(self, entry: Draft) -> Committed:
        """Append an entry that belongs to no open call: a denial, a refusal."""
        ...

    async def keep(self, approval: Approval, entry: Draft, read: Versions = ()) -> Committed | Conflict:
        """In one transaction: compare `read`, keep the new or changed `approval`, append `entry`.

        Raises the control `approval/<id>`. A new approval's `entry` is the index of the entry.
        """
        ...

    async def entries_of(self, task: str) -> tuple[Entry, ...]:
        """Return every entry of a task, in order."""
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


@dataclass(frozen=True, slots=True)
class Credential:
    """What a call shows a tool: `value` in the header `header`. Neither is ever logged, recorded or told.

    `sequence` is (run, number) where the calls of a tool are numbered: from 1 in each run of the gateway, which is
    named by the index of its entry `started`.
    """

    header: str
    value: str = field(repr=False)
    sequence: tuple[int, int] | None = None


class CredentialUnavailableError(RemitError):
    """There is nothing to show the tool, so nothing is sent."""


class Upstream(Protocol):
    """The one way out."""

    async def invoke(
        self, tool: Tool, descriptor: Descriptor, call: ToolCall, credential: Credential
    ) -> UpstreamAnswer | UpstreamFailure:
        """Forward `call.canonical` to `tool` with `credential`, within its bounds of time and size.

        A tool's faults are values.
        """
        ...


class Credentials(Protocol):
    """Gives what a tool knows Remit's calls by: good for that tool alone, and soon over (R2.3)."""

    async def credential(self, tool: Tool, call: ToolCall, intent: bytes, now: datetime) -> Credential:
        """Return what to send with `call`, whose durable intent has the leaf hash `intent`.

        (`intent` is empty where the tool's calls are not numbered: nothing needs it then.)

        Raises:
            CredentialUnavailableError: it could not be had.
        """
        ...


class Underway(Protocol):
    """Calls whose tool is at work, so that they can be cut off."""

    async def run(self, delegation: Delegation, work: Coroutine[None, None, T]) -> T | None:
        """Do `work`, and return its result; None when `cut` ended it."""
        ...

    def cut(self, cut: Cut) -> int:
        """End the work of every delegation that `cut` concerns, and say how many that were."""
        ...


class Outside(Protocol):
    """A decision point of the organisation's own, asked as one more gate."""

    async def opinion(self, call: ToolCall, facts: Facts) -> Opinion:
        """Ask it, within a bounded time. Never raises: what fails is an opinion that does not permit."""
        ...


class Bell(Protocol):
    """Lets a held call wait for the persons who decide it."""

    async def wait(self, approval: str, seconds: float) -> bool:
        """Return True as soon as `approval` is rung for, False after `seconds`."""
        ...

    def ring(self, approval: str) -> None:
        """Wake whoever waits for `approval`."""
        ...


@dataclass(frozen=True, slots=True)
class OpenCall:
    """A call whose intent is in the log and whose outcome is not."""

    call: str
    task: str
    intent: int


Control = tuple[int, str]
"""A mutable value that decisions read: its version, and what it says."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredState:
    """What a store holds when a gateway starts on it. `controls` is empty on a new store.

    `approvals` are those of the tasks returned. `checkpointed` is how many entries the newest checkpoint covers; 0
    where none was ever signed. `marks` are the hashes of every `Mark`.
    """

    controls: Mapping[str, Control]
    tasks: tuple[Task, ...]
    approvals: tuple[Approval, ...]
    size: int
    checkpointed: int
    marks: frozenset[bytes] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class Deployed:
    """One release in the history: the bundle that ran from `at`, until the next one. `how`: `deploy` or `rollback`."""

    number: int
    bundle: str
    at: datetime
    by: str
    how: str


Signer = Callable[[int, bytes], str]
"""Sign a tree's size and root hash; returns the signed note."""


class Store(Ledger, Protocol):
    """The ledger with the control state and the archive. Every adapter and the fake pass one contract suite."""

    @property
    def healthy(self) -> bool:
        """Whether the last write was confirmed."""
        ...

    async def state(self, now: datetime) -> StoredState:
        """Return the control state, and the tasks neither closed nor expired at `now`, with their approvals."""
        ...

    async def open_task(self, task: Task, entry: Draft) -> Committed:
        """In one transaction: keep `task`, append `entry`."""
        ...

    async def deploy(self, release: Deployed, sources: Mapping[str, bytes], entry: Draft) -> int:
        """In one transaction: keep `sources` under the bundle's digest, note the release, append `entry`.

        Raises the control `release`, which then says the digest, and returns its version: the release's number,
        whatever `release.number` was.
        """
        ...

    async def releases(self, count: int) -> tuple[Deployed, ...]:
        """Return the newest releases, newest first."""
        ...

    async def control(
        self, name: str, says: str, entry: Draft, *, approvals: Sequence[Approval] = (), tasks: Sequence[str] = ()
    ) -> Mapping[str, int]:
        """In one transaction: let the control `name` say `says`, replace `approvals`, close `tasks`, append `entry`.

        Returns every control that was raised, `approval/<id>` among them, with its new version.
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

    async def recent_tasks(self, count: int) -> tuple[Task, ...]:
        """Return the newest tasks, newest first."""
        ...

    async def bundle(self, digest: str) -> Mapping[str, bytes] | None:
        """Return the files of a bundle that ran, exactly."""
        ...
