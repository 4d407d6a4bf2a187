"""Provenance: where the values of a call came from, as far as the gateway has seen."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum


class Label(StrEnum):
    """How far a value's source is to be trusted. `NOWHERE`: the gateway never saw the value in this task."""

    USER = "user"
    DIRECTORY = "directory"
    RECORD = "system_of_record"
    UNTRUSTED = "untrusted"
    NOWHERE = "nowhere"


@dataclass(frozen=True, slots=True, kw_only=True)
class Flow:
    """What an operation's reviewed controls say about values.

    `consequential`: it changes the world, or its request can carry data out. `content` are the top-level arguments that
    may say anything. `sources` are the accepted sources of the other ones, by top-level argument; one that is not named
    there accepts the user and every system of record. A source is `user`, `records`, `<operation>`,
    `<operation>/<pointer>` or `directory/<name>`. `links` are the sources that addresses in `content` are accepted
    from. `receivers` are the arguments that name who will get to know the rest of the call; `carries_out` says that
    somebody will. `classes` are (pointer pattern, data class) of confidential result fields. `labels` are (pointer
    pattern, label) of result fields, `*` for any one step; the longest that fits a field or stands above it counts, and
    what none covers is untrusted. `reviewers` are the roles that lift a hold for provenance. `labelled` are the
    arguments whose origin policies ask for, of those in `content`; None: any. `names` are the property names of the
    whole input schema: any other key in a call is a value that somebody chose.

    `closed` are the places of arguments (pointer patterns, `*` for each item of a list) whose schema lists every value
    they can have. A value there is one of a reviewer's own words, whoever picked it: it is not marked, has no link, and
    choosing it for a read taints nothing. Where it comes from is asked only of a whole argument of a consequential call
    (`action: delete`), since picking that may be what the call does; below (`attachments/*/type`) it says how another
    value is to be read.
    """

    consequential: bool
    content: frozenset[str]
    sources: Mapping[str, tuple[str, ...]]
    labels: tuple[tuple[str, Label], ...]
    reviewers: tuple[str, ...]
    closed: frozenset[str] = frozenset()
    names: frozenset[str] = frozenset()
    links: tuple[str, ...] = ("user",)
    receivers: frozenset[str] = frozenset()
    carries_out: bool = False
    classes: tuple[tuple[str, str], ...] = ()
    labelled: frozenset[str] | None = None
    closed_names: frozenset[str] = field(init=False, repr=False, compare=False)  # the whole arguments of `closed`
    closed_below: re.Pattern[str] | None = field(init=False, repr=False, compare=False)  # the pointers of the rest

    def __post_init__(self) -> None:
        steps = [pattern.split("/")[1:] for pattern in sorted(self.closed)]
        names = frozenset(one[0].replace("~1", "/").replace("~0", "~") for one in steps if len(one) == 1)
        below = [
            "".join("/[0-9]+" if step == "*" else f"/{re.escape(step)}" for step in one)
            for one in steps
            if len(one) > 1
        ]
        pattern = re.compile(f"(?s:(?:{'|'.join(below)})(?:/.*)?)") if below else None
        object.__setattr__(self, "closed_names", names)  # (made once: every call asks)
        object.__setattr__(self, "closed_below", pattern)


@dataclass(frozen=True, slots=True)
class Source:
    """Where a value was seen first: in `field` (a JSON pointer) of the result of `call`, or of the user's input."""

    label: Label
    operation: str = ""
    call: str = ""
    field: str = ""


@dataclass(frozen=True, slots=True)
class Sourced:
    """One value of a call, by JSON pointer, with its source and whether its controls accept that: of content, any."""

    pointer: str
    source: Source
    accepted: bool


@dataclass(frozen=True, slots=True)
class Link:
    """An address in a content argument (`pointer`) that no accepted source has: `kind` is `url`, `email` or `iban`."""

    pointer: str
    kind: str
    source: Source


@dataclass(frozen=True, slots=True)
class Exposed:
    """A receiver of a call (`pointer`; empty: nobody says who) that must not know the data class read in this task.

    `read_from` is where that was read first.
    """

    data_class: str
    pointer: str
    read_from: Source


@dataclass(frozen=True, slots=True, kw_only=True)
class Origins:
    """What a task's memory says of one call, before it is decided.

    `strangers`: untrusted content has entered the task. `marks` are keyed hashes of what the call would write that is
    neither the user's nor a record's: they are remembered when it happens, for every task and user to come. `unkept`:
    there are more of them than can be remembered.
    """

    sourced: tuple[Sourced, ...] = ()
    links: tuple[Link, ...] = ()
    exposed: tuple[Exposed, ...] = ()
    strangers: bool = False
    marks: tuple[bytes, ...] = ()
    unkept: bool = False


NO_ORIGINS = Origins()
"""What is said of a call that nothing was asked of."""
