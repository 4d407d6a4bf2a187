"""Who asks, who acts, and what for: the values that travel with a call."""

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from remit.core._canonical import JsonObject, read_canonical
from remit.core._errors import InputRefusedError


@dataclass(frozen=True, slots=True)
class Trace:
    """W3C Trace Context ids: `trace_id` 32 and `span_id` 16 lower-case hex digits."""

    trace_id: str
    span_id: str


class Level(StrEnum):
    """How an agent is attached, strongest last but one: what its connection proves."""

    TASK = "A"  # a task token, which counts for whoever bears it
    BOUND = "B"  # a task token, with proof of the key or certificate it is bound to
    CLIENT = "C"  # a plain MCP client and its user's login: an implicit task, reads only


@dataclass(frozen=True, slots=True, kw_only=True)
class Delegation:
    """What a verified token says: `user` asks, `agent` acts, within `task` and `use_case`, until `expires_at`.

    `chain` are the agents that handed the work on, the nearest first (RFC 8693, section 4.1); `keys` the thumbprints of
    the keys that it rests on: the one the agent proved itself with, the one the token is bound to. `client` is the
    plain client at its issuer, `corp:desktop`; empty for a task token.
    """

    user: str
    agent: str
    task: str
    use_case: str
    expires_at: datetime
    level: Level = Level.TASK
    chain: tuple[str, ...] = ()
    keys: tuple[str, ...] = ()
    client: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Authority:
    """What a task may do at most, beside its charter (RFC 9396, type `agent_task`). None: no narrower than that.

    `operations` and `locations` (tools) are closed lists; `calls_max` is how many calls the whole task may make.
    """

    operations: frozenset[str] | None = None
    locations: frozenset[str] | None = None
    calls_max: int | None = None


Attribute = str | int | bool
"""What a policy may know of a user: text, a whole number or a yes or no."""


@dataclass(frozen=True, slots=True)
class Counter:
    """At most `max` calls under `key`, until it begins anew at `resets_at`."""

    key: str
    max: int
    resets_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """The unit of authority: one user, one agent, one use case, for a bounded time.

    It rests on the user's login of `login_at`; None: on one made as it was opened. `groups` (sorted) and `attributes`
    (sorted by name) are what the user's issuer said of the user then. `counters` are what each of its calls counts
    under, whoever set the limit: this task, the one it was handed on from, a consent, a login.
    `chain` are the agents that handed the work on, the nearest first, `parent` the task of the first of them. An
    `implicit` task is a plain client's, which opened none.
    """

    id: str
    user: str
    agent: str
    use_case: str
    opened_at: datetime
    expires_at: datetime
    authority: Authority = Authority()
    groups: tuple[str, ...] = ()
    attributes: tuple[tuple[str, Attribute], ...] = ()
    chain: tuple[str, ...] = ()
    parent: str = ""
    implicit: bool = False
    login_at: datetime | None = None
    counters: tuple[Counter, ...] = ()

    @property
    def since(self) -> datetime:
        """Since when the authority stands that the task rests on: not later than it was opened."""
        return self.opened_at if self.login_at is None else min(self.login_at, self.opened_at)


@dataclass(frozen=True, slots=True)
class Revocation:
    """Why authority is gone: `what` is `agent`, `user`, `task` or `key`, `name` which one, `why` what was said.

    `again`: only what rests on an older login of the user's is gone; a new one counts.
    """

    what: str
    name: str
    why: str
    again: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolCall:
    """One request to act. What is decided on, `arguments`, is read back from the very bytes that are forwarded.

    Raises:
        InputRefusedError: `arguments_not_object`, when `canonical` is another kind of value.
    """

    id: str
    trace: Trace
    delegation: Delegation
    operation: str
    canonical: bytes
    rationale: str = ""  # the agent's own word for why; shown to people, never decided on
    looked_up_for: str = ""  # the call that this read of our own is made for; no agent asked for it
    confidence: int | None = None  # in percent, the agent's own word: it can lower what it may do, and never raise it
    arguments: JsonObject = field(init=False)

    def __post_init__(self) -> None:
        arguments = read_canonical(self.canonical)
        if not isinstance(arguments, dict):
            raise InputRefusedError("arguments_not_object", "arguments must be an object", "send named arguments")
        object.__setattr__(self, "arguments", arguments)
