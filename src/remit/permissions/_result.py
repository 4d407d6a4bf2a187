"""A tool's answer taken apart by its labels, and what of it only repeats the call's own arguments.

taken = Result(read_canonical(result), flow)
taken.records, taken.untrusted       # (pointer, value) each
"""

from collections.abc import Iterable
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


@lru_cache(maxsize=1024)
def _label_tree(labels: tuple[tuple[str, Label], ...]) -> _Node:
    root = _Node()
    for pattern, label in labels:
        node = root
        for step in pattern.split("/")[1:]:
            node = node.below.setdefault(step.replace("~1", "/").replace("~0", "~"), _Node())
        node.label = _worse(node.label, label)
    return root


def _worse(first: Label | None, second: Label) -> Label:
    return Label.RECORD if second is Label.RECORD and first in (None, Label.RECORD) else Label.UNTRUSTED


class Result:
    """The values of one CallToolResult, by label.

    `unread`: something untrusted was said that no value here stands for; `cut`: the same of a record.
    """

    __slots__ = ("cut", "records", "unread", "untrusted")

    def __init__(self, said: JsonObject, flow: Flow) -> None:
        self.records: list[Leaf] = []
        self.untrusted: list[Leaf] = []
        self.unread = self.cut = False
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
        self._shorten()

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
