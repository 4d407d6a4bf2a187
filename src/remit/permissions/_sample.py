"""A value that fits a JSON Schema, made up: what a call carries in the arguments that are not looked at.

The schema's own `const`, `default`, `examples` and `enum` come first. It is a guess: whoever uses it asks the
real check.

    sample({"type": "string", "pattern": "^ord-[0-9]{4}$"})        # "ord-0000"
"""

import re
from collections.abc import Mapping

from remit.core import Json, JsonObject

ANY_TEXT = "any text"  # where nothing is said of a text: a reader sees that nobody named it
TEXT_CHARS_MAX = 512  # of a text made up
DEPTH_MAX = 8  # of objects within objects

_FORMATS = {
    "email": "ana@example.com",
    "idn-email": "ana@example.com",
    "hostname": "example.com",
    "uri": "https://example.com/",
    "url": "https://example.com/",
    "iri": "https://example.com/",
    "date": "2026-01-15",
    "time": "12:00:00Z",
    "date-time": "2026-01-15T12:00:00Z",
    "duration": "P1D",
    "uuid": "00000000-0000-4000-8000-000000000000",
    "ipv4": "192.0.2.1",
    "ipv6": "2001:db8::1",
}
_ESCAPED = {"d": "0", "w": "a", "s": " ", "D": "a", "W": "-", "S": "a", "b": "", "B": "", "t": "\t", "n": "\n"}
_OTHERS = "a0-_ .A"  # tried in turn where a class says what may not stand
_REPEAT = re.compile(r"(?:([*+?])|\{([0-9]{1,3})(?:,[0-9]*)?\})\??")
_GROUP = re.compile(r"\?(?::|P?<[A-Za-z_][A-Za-z0-9_]*>)")


class _UnreadableError(Exception):
    """A pattern with what is not read here: look-around, classes of classes, or too long a text."""


def sample(schema: Json, depth: int = 0) -> Json:
    """Return a value that probably fits `schema`; of an object, only what it requires. None where there is no guess."""
    if not isinstance(schema, dict) or depth > DEPTH_MAX:
        return "a"
    for key in ("const", "default"):
        if key in schema:
            return schema[key]
    for key in ("examples", "enum"):
        offered = schema.get(key)
        if isinstance(offered, list) and offered:
            return offered[0]
    for key in ("anyOf", "oneOf"):
        members = schema.get(key)
        if "type" not in schema and isinstance(members, list) and members:
            return sample(members[0], depth + 1)
    return _of_type(schema, depth)


def _of_type(schema: JsonObject, depth: int) -> Json:
    kind = schema.get("type")
    kind = kind[0] if isinstance(kind, list) and kind else kind
    match kind:
        case "string":
            return _text(schema)
        case "integer" | "number":
            return _number(schema)
        case "boolean":
            return False
        case "array":
            least = schema.get("minItems", 0)
            return [sample(schema.get("items"), depth + 1)] * (least if isinstance(least, int) else 0)
        case "object":
            return _object(schema, depth)
        case _:
            return None if kind == "null" else "a"


def _object(schema: JsonObject, depth: int) -> JsonObject:
    properties, required = schema.get("properties"), schema.get("required")
    if not isinstance(properties, dict) or not isinstance(required, list):
        return {}
    return {name: sample(properties.get(name), depth + 1) for name in required if isinstance(name, str)}


def _number(schema: JsonObject) -> Json:
    step = _limit(schema, "multipleOf") or 1
    low, high = _limit(schema, "minimum"), _limit(schema, "maximum")
    above, below = _limit(schema, "exclusiveMinimum"), _limit(schema, "exclusiveMaximum")
    value: int | float = step
    if low is not None or above is not None:
        value = max(each for each in (low, None if above is None else above + step, step) if each is not None)
    if high is not None or below is not None:
        value = min(each for each in (high, None if below is None else below - step, value) if each is not None)
    return value


def _limit(schema: JsonObject, key: str) -> int | float | None:
    found = schema.get(key)
    return found if isinstance(found, int | float) and not isinstance(found, bool) else None


def _text(schema: Mapping[str, Json]) -> str:
    pattern, least, most = (schema.get(key) for key in ("pattern", "minLength", "maxLength"))
    length = min(least, TEXT_CHARS_MAX) if isinstance(least, int) else 0
    if isinstance(pattern, str):
        return text_of_pattern(pattern, length)
    fits = not isinstance(most, int) or most >= len(ANY_TEXT)
    return _FORMATS.get(str(schema.get("format")), ANY_TEXT if fits else "a").ljust(length, "a")


def text_of_pattern(pattern: str, length: int = 0) -> str:
    """Return a text of at least `length` characters that probably matches `pattern`; "a" where it cannot be read."""
    try:
        texts = [_Pattern(pattern, more).read() for more in (0, 1, length)]
    except (_UnreadableError, IndexError):
        return "a"
    return next((text for text in texts if text and len(text) >= length), texts[-1])


class _Pattern:
    """One reading of a pattern: each part as few times as it allows, or `more` times where it may repeat freely."""

    def __init__(self, pattern: str, more: int) -> None:
        self._pattern = pattern
        self._more = more
        self._at = 0

    def read(self) -> str:
        text = self._alternatives()
        if self._at < len(self._pattern):
            raise _UnreadableError
        return text

    def _peek(self) -> str:
        return self._pattern[self._at : self._at + 1]

    def _next(self) -> str:
        self._at += 1
        return self._pattern[self._at - 1]

    def _alternatives(self) -> str:
        first = self._sequence()
        while self._peek() == "|":
            self._at += 1
            self._sequence()
        return first

    def _sequence(self) -> str:
        text = ""
        while self._peek() not in ("", "|", ")"):
            atom = self._atom()
            text += atom * self._times()
            if len(text) > TEXT_CHARS_MAX:
                raise _UnreadableError
        return text

    def _times(self) -> int:
        found = _REPEAT.match(self._pattern, self._at)
        if found is None:
            return 1
        self._at = found.end()
        sign, least = found.groups()
        if sign == "?":
            return 0
        return max(1, self._more) if sign == "+" else self._more if sign == "*" else int(least)

    def _atom(self) -> str:
        match self._next():
            case "(":
                return self._group()
            case "[":
                return self._class()
            case "\\":
                return self._escape()
            case "^" | "$":
                return ""
            case ".":
                return "a"
            case literal:
                return literal

    def _group(self) -> str:
        found = _GROUP.match(self._pattern, self._at)
        if found is None and self._peek() == "?":
            raise _UnreadableError
        self._at = found.end() if found else self._at
        text = self._alternatives()
        if self._next() != ")":
            raise _UnreadableError
        return text

    def _escape(self) -> str:
        mark = self._next()
        if mark not in _ESCAPED and mark.isalnum():
            raise _UnreadableError
        return _ESCAPED.get(mark, mark)

    def _class(self) -> str:
        refused = self._peek() == "^"
        self._at += refused
        ranges: list[tuple[str, str]] = []
        while self._peek() != "]" or not ranges:
            low = self._one()
            high = low
            if self._peek() == "-" and self._pattern[self._at + 1] != "]":
                self._at += 1
                high = self._one()
            ranges.append((low, high))
        self._at += 1
        if not refused:
            return ranges[0][0]
        return next((each for each in _OTHERS if not any(low <= each <= high for low, high in ranges)), "a")

    def _one(self) -> str:
        mark = self._next()
        if mark == "[":
            raise _UnreadableError
        return self._escape() if mark == "\\" else mark
