"""Entries: what the log holds. A draft is an entry that has no place yet."""

from dataclasses import dataclass, field
from datetime import datetime

from remit.core import JsonObject, Task


@dataclass(frozen=True, slots=True, kw_only=True)
class Payload:
    """Bytes kept beside an entry, which holds only a commitment to them: `sha256(salt || body)`."""

    name: str
    salt: bytes
    body: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """An entry to append. `leaf` is the exact canonical JSON that is hashed and stored.

    `call` and `task` repeat what the leaf says, for look-ups; empty where there is none.
    """

    kind: str
    task: str
    call: str
    leaf: bytes
    payloads: tuple[Payload, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """An entry with its place in the log, counted from 0."""

    index: int
    kind: str
    task: str
    call: str
    leaf: bytes
    payloads: tuple[Payload, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Basis:
    """What a ruling was made on besides the call: the moment, the task found, the bundle by digest.

    `tool` is where the call would go; `observed` that nothing was enforced; `more` what else was looked at, and
    `payloads` what of that must be erasable, by name.
    """

    at: datetime
    task: Task | None
    bundle: str
    tool: str
    observed: bool
    more: JsonObject = field(default_factory=dict)
    payloads: tuple[tuple[str, bytes], ...] = ()


@dataclass(frozen=True, slots=True)
class Ending:
    """What became of an intent: `done`, `tool_error` (the tool's own word), `failed` (no effect) or `unknown`."""

    status: str
    result: bytes | None = None
    code: str = ""
    detail: str = ""
