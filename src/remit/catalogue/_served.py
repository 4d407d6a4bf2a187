"""A tool's definition as its server shows it: its digest, and what differs from the one that was reviewed.

Everything counts but `_meta`, which MCP keeps for what clients and servers tell each other in passing. What a person
reads about a difference shows every character: a hidden instruction is what the comparison is for.

    served_digest({"name": "get_order", "inputSchema": {"type": "object"}})    # "sha256:…"
    differences({"title": "Order"}, {"title": "Orders"})    # ('title: - "Order"', 'title: + "Orders"')
"""

from collections.abc import Iterator
from itertools import islice
from typing import Final, TypeAlias

from remit.catalogue._rules import digest_of
from remit.catalogue._text import visible_text
from remit.core import Json, JsonObject, canonical_bytes

DIFFERENCES_MAX = 200  # lines
CHANGED_CHARS_MAX = 2_000  # of the part of a text that differs
AROUND_CHARS = 24  # of what is the same, on either side of it
STEP_CHARS_MAX = 64  # of one name in a pointer

_PASSING = "_meta"


class _Absent:
    """No value: `null` is one."""


_ABSENT: Final = _Absent()
_Value: TypeAlias = "Json | _Absent"


def served_digest(definition: JsonObject) -> str:
    """Return `sha256:` and 64 hex digits over `definition` without `_meta`, in canonical form.

    Raises:
        InputRefusedError: a definition that JSON cannot carry.
    """
    return digest_of(_lasting(definition))


def differences(reviewed: JsonObject, live: JsonObject) -> tuple[str, ...]:
    """Say what `live` has otherwise than `reviewed`, `_meta` apart: no line exactly when their digests are equal.

    A line is `place: - old` or `place: + new`, and what was changed has one of each. The place is a member's name or,
    inside of one, a JSON pointer (RFC 6901) from the definition's root. Values are JSON, cut to the part that differs,
    with `…` for what is cut, and invisible characters written as escapes. At most `DIFFERENCES_MAX` lines, the last of
    which then says how many more there are.

    Raises:
        InputRefusedError: a definition that JSON cannot carry.
    """
    found = _compared((), _lasting(reviewed), _lasting(live))
    lines = tuple(islice(found, DIFFERENCES_MAX))
    more = sum(1 for _ in found)
    return (*lines[:-1], f"… and {more + 1} lines more") if more else lines


def _lasting(definition: JsonObject) -> JsonObject:
    return {name: value for name, value in definition.items() if name != _PASSING}


def _compared(path: tuple[str, ...], old: _Value, new: _Value) -> Iterator[str]:
    if isinstance(old, dict) and isinstance(new, dict):
        for name in sorted({*old, *new}):
            yield from _compared((*path, name), old.get(name, _ABSENT), new.get(name, _ABSENT))
    elif isinstance(old, list) and isinstance(new, list) and (_has_inner(old) or _has_inner(new)):
        for index in range(max(len(old), len(new))):
            yield from _compared((*path, str(index)), _item(old, index), _item(new, index))
    else:
        yield from _changed(path, old, new)


def _changed(path: tuple[str, ...], old: _Value, new: _Value) -> Iterator[str]:
    """Compare two values as they are written: to Python, 1, 1.0 and true are equal, and their digests are not."""
    was, now = _text(old), _text(new)
    if was == now:
        return
    start, end = _common(was, now)
    for sign, text in (("-", was), ("+", now)):
        if text:
            yield f"{_place(path)}: {sign} {_cut(text, start, end)}"


def _common(was: str, now: str) -> tuple[int, int]:
    """Return how many characters two unequal texts share at their beginnings, and after that at their ends."""
    shorter = min(len(was), len(now))
    start = next((index for index in range(shorter) if was[index] != now[index]), shorter)
    rest = shorter - start
    end = next((index for index in range(rest) if was[-1 - index] != now[-1 - index]), rest)
    return start, end


def _cut(text: str, start: int, end: int) -> str:
    """Show the part of `text` that differs, with a little around it.

    A first different character that is not ASCII is named: it may look like another, or like nothing.
    """
    first, last = start - AROUND_CHARS, len(text) - end + AROUND_CHARS
    shown = text[max(first, 0) : last]
    longest = CHANGED_CHARS_MAX + 2 * AROUND_CHARS
    more = len(shown) - longest
    said = visible_text(shown[:longest])
    if more > 0:
        said += f"… {more} characters more"
    elif last < len(text):
        said += "…"
    if start < len(text) - end and not text[start].isascii():
        said += f" (first different: U+{ord(text[start]):04X})"
    return f"…{said}" if first > 0 else said


def _text(value: _Value) -> str:
    return "" if isinstance(value, _Absent) else canonical_bytes(value).decode("utf-8")


def _item(values: list[Json], index: int) -> _Value:
    return values[index] if index < len(values) else _ABSENT


def _has_inner(values: list[Json]) -> bool:
    return any(isinstance(value, dict | list) for value in values)


def _place(path: tuple[str, ...]) -> str:
    """Write where a difference is. A name that is too long is cut in the middle of nothing: its end is not shown."""
    steps = [_step(step) for step in path]
    return steps[0] if len(steps) == 1 else "".join(f"/{step}" for step in steps)


def _step(name: str) -> str:
    shown = visible_text(name.replace("~", "~0").replace("/", "~1"))
    return shown if len(shown) <= STEP_CHARS_MAX else shown[: STEP_CHARS_MAX - 1] + "…"
