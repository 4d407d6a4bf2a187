"""Who asks, who acts, and what for: the values that travel with a call."""

from dataclasses import dataclass, field
from datetime import datetime

from remit.core._canonical import JsonObject, read_canonical
from remit.core._errors import InputRefusedError


@dataclass(frozen=True, slots=True)
class Trace:
    """W3C Trace Context ids: `trace_id` 32 and `span_id` 16 lower-case hex digits."""

    trace_id: str
    span_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Delegation:
    """What a verified token says: `user` asks, `agent` acts, within `task` and `use_case`, until `expires_at`."""

    user: str
    agent: str
    task: str
    use_case: str
    expires_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """The unit of authority: one user, one agent, one use case, for a bounded time."""

    id: str
    user: str
    agent: str
    use_case: str
    opened_at: datetime
    expires_at: datetime


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
    arguments: JsonObject = field(init=False)

    def __post_init__(self) -> None:
        arguments = read_canonical(self.canonical)
        if not isinstance(arguments, dict):
            raise InputRefusedError("arguments_not_object", "arguments must be an object", "send named arguments")
        object.__setattr__(self, "arguments", arguments)
