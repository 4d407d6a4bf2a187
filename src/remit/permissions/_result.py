"""A tool's answer taken apart by its labels, and what of it only repeats the call's own arguments.

taken = Result(read_canonical(result), flow)
taken.records, taken.untrusted       # (pointer, value) each
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import lru_cache

from remit.core import InputRefusedError, Json, JsonObject, parse_strict, read_canonical
from remit.permissions._flow import Flow, Label
from remit.permissions._values import (
    SEPARATORS_WIDE,
    TOKEN_CHARS_MIN,
    Leaf,
    Scalar,
    folded,
    leaves,
    number_form,
    trimmed,
    under,
    work_of,
)

RESULT_VALUES_MAX = 2_000  # of them, from one result
CALL_WORK_MAX = 1 << 16  # characters of one call's arguments that are folded, a letter beyond ASCII counted as 18
_JSON_STARTS = frozenset('{["-0123456789tfn \t\r\n')  # what a JSON text can begin with (RFC 8259, section 2)


@dataclass(slots=True)
class _Node:
    """One step of the label patterns: the label of those that end here, and the steps below."""

    label: Label | None = None
    below: "dict[str, _Node]" = field(default_factory=dict)
    doubted: frozenset[str] = frozenset()  # of the root: the members that patterns name as not to be trusted


@lru_cache(maxsize=1024)
def _label_tree(labels: tuple[tuple[str, Label], ...]) -> _Node:
    root = _Node()
    for pattern, label in labels:
        node = root
        for step in pattern.split("/")[1:]:
            node = node.below.setdefault(step.replace("~1", "/").replace("~0", "~"), _Node())
        node.label = _worse(node.label, label)
    root.doubted = _firsts(tuple(pattern for pattern, label in labels if label is not Label.RECORD))
    return root


def _worse(first: Label | None, second: Label) -> Label:
    return Label.RECORD if second is Label.RECORD and first in (None, Label.RECORD) else Label.UNTRUSTED


class Result:
    """The values of one CallToolResult, by label.

    `unread`: something untrusted was said that no value here stands for; `cut`: the same of a record. `odd`: it is an
    error, or not of the shape of which its patterns speak, where some of them say what is untrusted or confidential:
    then no value of it is a record, and it may hold all data classes. `named` are the classes that keys of it have,
    each with a pointer.
    """

    __slots__ = ("cut", "named", "odd", "records", "unread", "untrusted")

    def __init__(self, said: JsonObject, flow: Flow) -> None:
        self.records: list[Leaf] = []
        self.untrusted: list[Leaf] = []
        self.unread = self.cut = False
        self.named: dict[str, str] = {}
        self.odd = said.get("isError") is True
        root = _label_tree(() if said.get("isError") else flow.labels)  # labels speak of answers, not of errors
        trusted, nodes = root.label is Label.RECORD, (root,) if root.below else ()
        structured = said.get("structuredContent")
        if structured is not None:
            self._sort(structured, "", nodes, trusted=trusted)
        blocks = said.get("content")
        for place, block in enumerate(blocks if isinstance(blocks, list) else ()):
            pointer = f"/content/{place}"
            if not isinstance(block, dict) or block.get("type") != "text":
                self._sort_other(block, pointer)
            elif structured is None:
                self._sort_text(block.get("text"), f"{pointer}/text", nodes, trusted=trusted)
            elif not says_the_same(block.get("text"), structured):
                self._sort(block.get("text"), f"{pointer}/text", (), trusted=False)
        if flow.classes or root.doubted or self.odd:
            self._doubt(said, flow, root.doubted | _firsts(tuple(pattern for pattern, _ in flow.classes)))
        self._shorten()

    def _doubt(self, said: JsonObject, flow: Flow, firsts: frozenset[str]) -> None:
        """Take the whole for untrusted if it has not the shape of which the patterns speak; name what keys say."""
        for value in _values_of(said):
            self.odd |= not _is_shaped(value, firsts)
            for pattern, name in flow.classes:
                steps = [step.replace("~1", "/").replace("~0", "~") for step in pattern.split("/")[1:]]
                at = next(_named(value, steps, ""), None)
                if at is not None:
                    self.named.setdefault(name, at)
        if self.odd:
            self.untrusted += self.records
            self.records = []
            self.unread = True

    def _sort_text(self, text: Json, pointer: str, nodes: tuple[_Node, ...], *, trusted: bool) -> None:
        if not isinstance(text, str):
            self._sort(text, pointer, (), trusted=False)
            return
        if text[:1] not in _JSON_STARTS:
            self._put(pointer, text, trusted=trusted)
            return
        try:
            value = parse_strict(text.encode("utf-8", "surrogatepass"))
        except InputRefusedError:
            self._put(pointer, text, trusted=trusted)
        else:
            self._sort(value, "", nodes, trusted=trusted)

    def _sort_other(self, block: Json, pointer: str) -> None:
        """Take in a block that is no text. Images and the like are seen by the agent, but not by us."""
        for below, value in leaves(block, pointer):
            if below.endswith(("/data", "/blob")):
                self.unread = True
            elif not below.endswith(("/type", "/mimeType")):
                self._put(below, value, trusted=False)

    def _sort(self, value: Json, pointer: str, nodes: tuple[_Node, ...], *, trusted: bool) -> None:
        """Walk `value` and the label patterns together: the longest pattern that fits or stands above decides."""
        if isinstance(value, dict):
            steps: Iterable[tuple[str, Json]] = value.items()
        elif isinstance(value, list):
            steps = ((str(place), item) for place, item in enumerate(value))
        else:
            self._put(pointer, value, trusted=trusted)
            return
        below, label = nodes, trusted
        for key, item in steps:
            if nodes:
                below, label = _step(nodes, key, trusted)
            at = under(pointer, key) if "~" in key or "/" in key else f"{pointer}/{key}"
            if not label and isinstance(value, dict) and len(key) >= TOKEN_CHARS_MIN:
                self.untrusted.append((at, key))
            if isinstance(item, str):  # (the shortest way for what there is most of)
                (self.records if label else self.untrusted).append((at, item))
            else:
                self._sort(item, at, below, trusted=label)

    def _put(self, pointer: str, value: Json, *, trusted: bool) -> None:
        if isinstance(value, (str, int, float)) and value is not True and value is not False:
            (self.records if trusted else self.untrusted).append((pointer, value))

    def _shorten(self) -> None:
        """Keep what one result may take, records first."""
        self.cut = len(self.records) > RESULT_VALUES_MAX
        del self.records[RESULT_VALUES_MAX:]
        room = RESULT_VALUES_MAX - len(self.records)
        self.unread |= len(self.untrusted) > room
        del self.untrusted[room:]


def _step(nodes: tuple[_Node, ...], key: str, trusted: bool) -> tuple[tuple[_Node, ...], bool]:
    """Go one step down the patterns. Of two that are equally long, the one that trusts less counts."""
    fit: list[_Node] = []
    for node in nodes:
        if key in node.below:
            fit.append(node.below[key])
        if key != "*" and "*" in node.below:
            fit.append(node.below["*"])
    if not fit:
        return (), trusted
    labels = [node.label for node in fit if node.label is not None]
    label = all(label is Label.RECORD for label in labels) if labels else trusted
    return tuple(node for node in fit if node.below), label


@lru_cache(maxsize=1024)
def _firsts(patterns: tuple[str, ...]) -> frozenset[str]:
    """Return the members of a result that patterns begin with."""
    named = (pattern.split("/")[1] for pattern in patterns if pattern)
    return frozenset(step.replace("~1", "/").replace("~0", "~") for step in named)


def _values_of(said: JsonObject) -> Iterator[Json]:
    """Return what patterns are laid upon: JSON values, and, of what is none, the text."""
    structured, blocks = said.get("structuredContent"), said.get("content")
    if structured is not None:
        yield structured
        return
    for block in blocks if isinstance(blocks, list) else ():
        text = block.get("text") if isinstance(block, dict) and block.get("type") == "text" else None
        if isinstance(text, str) and text.strip():
            try:
                yield parse_strict(text.encode("utf-8", "surrogatepass"))
            except InputRefusedError:
                yield text


def _is_shaped(value: Json, firsts: frozenset[str]) -> bool:
    """Tell whether `value` may have the members `firsts`: neither a list, a bare value nor a wrapper around them."""
    if "*" in firsts:
        return isinstance(value, (dict, list)) or value is None
    if isinstance(value, list):
        return any(step.isdigit() for step in firsts)
    if not isinstance(value, dict):
        return value is None
    return not firsts.isdisjoint(value) or not any(_has(item, firsts) for item in value.values())


def _has(value: Json, firsts: frozenset[str]) -> bool:
    items = value if isinstance(value, list) else (value,)
    return any(isinstance(item, dict) and not firsts.isdisjoint(item) for item in items)


def _named(value: Json, steps: list[str], pointer: str) -> Iterator[str]:
    """Walk the keys that a pattern covers: what its `*` stands for in an object, and every key below its end."""
    if isinstance(value, (dict, list)):
        items = value.items() if isinstance(value, dict) else ((str(place), one) for place, one in enumerate(value))
        for key, item in items:
            if steps and steps[0] not in ("*", key):
                continue
            at = under(pointer, key)
            if isinstance(value, dict) and (not steps or steps == ["*"]):
                yield at
            yield from _named(item, steps[1:], at)


def says_the_same(text: Json, structured: Json) -> bool:
    """Tell whether a text block only repeats the structured content, as the protocol asks of servers."""
    if not isinstance(text, str):
        return True
    try:
        return read_canonical(text.encode("utf-8", "surrogatepass")) == structured
    except ValueError:
        return False


class Echo:
    """What a call's own arguments said: a result that says it again teaches nothing."""

    __slots__ = ("_all", "_said", "_short")

    def __init__(self, arguments: JsonObject) -> None:
        said: list[str] = []
        work = sum(work_of(leaf) for value in arguments.values() for _, leaf in leaves(value, "", names=frozenset()))
        self._all = work > CALL_WORK_MAX  # too much to look through: then everything is an echo
        for value in () if self._all else arguments.values():
            _echoed(value, said)
        self._said = "\n".join(said)
        self._short: frozenset[str] | None = None

    def has(self, value: Scalar) -> bool:
        """Tell whether `value` stands in the arguments: anywhere, or, when it is short, as a word of its own."""
        if self._all:
            return True
        loose = folded(value) if isinstance(value, str) else str(value)
        if loose not in self._said:
            return False
        return len(loose) >= TOKEN_CHARS_MIN or number_form(loose) in self._words()

    def _words(self) -> frozenset[str]:
        if self._short is None:
            words = [*self._said.split("\n"), *map(trimmed, SEPARATORS_WIDE.split(self._said))]
            self._short = frozenset(map(number_form, words))
        return self._short


def _echoed(value: Json, said: list[str]) -> None:
    if isinstance(value, str):
        said.append(folded(value))
    elif isinstance(value, dict):
        for key, item in value.items():
            said.append(folded(key))
            _echoed(item, said)
    elif isinstance(value, list):
        for item in value:
            _echoed(item, said)
    elif value is not None and not isinstance(value, bool):
        said.append(str(value))
