"""Provenance: where the values of a call came from, as far as the gateway has seen."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum


class Label(StrEnum):
    """How far a value's source is to be trusted. `NOWHERE`: the gateway never saw the value in this task."""

    USER = "user"
    RECORD = "system_of_record"
    UNTRUSTED = "untrusted"
    NOWHERE = "nowhere"


@dataclass(frozen=True, slots=True, kw_only=True)
class Flow:
    """What an operation's reviewed controls say about values.

    `consequential`: it changes the world, or its request can carry data out. `content` are the top-level arguments that
    may say anything. `sources` are the accepted sources of the other ones, by top-level argument; one that is not named
    there accepts the user and every system of record. A source is `user`, `records`, `<operation>`, or
    `<operation>/<pointer>`. `labels` are (pointer pattern, label) of result fields, `*` for any one step; the longest
    that fits a field or stands above it counts, and what none covers is untrusted. `reviewers` are the roles that lift
    a hold for provenance. `closed` are the top-level arguments whose schema lists every value they can have; `names`
    are the property names of the whole input schema: any other key in a call is a value that somebody chose.
    """

    consequential: bool
    content: frozenset[str]
    sources: Mapping[str, tuple[str, ...]]
    labels: tuple[tuple[str, Label], ...]
    reviewers: tuple[str, ...]
    closed: frozenset[str] = frozenset()
    names: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Source:
    """Where a value was seen first: in `field` (a JSON pointer) of the result of `call`, or of the user's input."""

    label: Label
    operation: str = ""
    call: str = ""
    field: str = ""


@dataclass(frozen=True, slots=True)
class Sourced:
    """One value in a control argument, by JSON pointer, with its source and whether its controls accept that."""

    pointer: str
    source: Source
    accepted: bool
