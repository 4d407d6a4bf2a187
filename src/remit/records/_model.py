"""Entries: what the log holds. A draft is an entry that has no place yet."""

from dataclasses import dataclass


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
