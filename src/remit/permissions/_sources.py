"""Where a value was seen, and whether that is among the sources that are accepted for it.

A source is `user`, `records`, `<operation>`, `<operation>/<pointer>` (`*` for any one step) or `directory/<name>`.

    accepts(("user", "get_order/customer/*"), ((Label.RECORD, "get_order", "c_1"), "/customer/email"))   # True
"""

from collections.abc import Iterator, Mapping
from datetime import datetime
from functools import lru_cache

from remit.permissions._flow import Label, Source, Sourced
from remit.permissions._lists import Directory

Origin = tuple[Label, str, str]  # label, operation, call
Seen = tuple[Origin, str]  # where from, and the pointer there

DIRECTORY = "directory/"

NOWHERE: Seen = ((Label.NOWHERE, "", ""), "")
"""Where a value is from that was not seen."""

WRITTEN: Seen = ((Label.UNTRUSTED, "", ""), "")
"""Where a marked value is from: an earlier call wrote it, in this task or another."""


def accepts(accepted: tuple[str, ...], seen: Seen) -> bool:
    """Tell whether a value seen there comes from one of the accepted sources. Directories are not asked."""
    (label, operation, _), pointer = seen
    if label is Label.USER:
        return "user" in accepted
    if label is not Label.RECORD:
        return False
    if "records" in accepted:
        return True
    return any(_names(source, operation, pointer) for source in accepted if source != "user")


def _names(source: str, operation: str, pointer: str) -> bool:
    name, slash, pattern = source.partition("/")
    return name == operation and not source.startswith(DIRECTORY) and (not slash or _fits(f"/{pattern}", pointer))


def _fits(pattern: str, pointer: str) -> bool:
    if "*" not in pattern:
        return pattern == pointer
    asked, found = pattern.split("/"), pointer.split("/")
    return len(asked) == len(found) and all(step in ("*", name) for step, name in zip(asked, found, strict=True))


def accepted_directories(accepted: tuple[str, ...], directories: Mapping[str, Directory]) -> Iterator[Directory]:
    """Return the directories among the accepted sources; one that is not there lists nothing."""
    for source in accepted:
        if source.startswith(DIRECTORY) and (directory := directories.get(source[len(DIRECTORY) :])) is not None:
            yield directory


def listed(value: object, directories: Iterator[Directory], now: datetime) -> Directory | None:
    """Return the first of `directories` that has `value`. Only texts are listed."""
    if not isinstance(value, str):
        return None
    return next((directory for directory in directories if directory.has(value, now)), None)


@lru_cache(maxsize=4096)
def source_of(seen: Seen) -> Source:
    """Return where a value was seen."""
    (label, operation, call), pointer = seen
    return Source(label, operation, call, pointer)


def directory_source(directory: Directory) -> Source:
    """Return a directory as a source."""
    return Source(Label.DIRECTORY, DIRECTORY + directory.name)


@lru_cache(maxsize=4096)
def accepted_from(pointer: str, seen: Seen) -> Sourced:
    """Return a value seen at a place that is accepted for it."""
    return Sourced(pointer, source_of(seen), accepted=True)
