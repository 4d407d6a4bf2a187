"""Provenance: what one task has seen, and whether a call's values come from where they may.

1. Trust is exact: a value is the user's or a record's only when the very same JSON scalar was seen there.
2. Distrust is lenient: another case, width or spacing of an untrusted value, or a part of an untrusted text, is found.
3. No result raises what was in its own call's arguments, and what an untrusted argument chose is untrusted.
4. What was not seen, or did not fit, is from nowhere, and nowhere is never accepted.

    memory = Memory(key)                                     # values are kept as keyed hashes, never as themselves
    memory.learn_input(b'{"input":"mail my invoice to ana@example.org"}')
    memory.learn_result("read_inbox", "c_1", inbox_flow, {}, result)
    sourced = memory.sources({"to": "ana@example.org"}, send_flow)
    provenance_suffices(send_flow, sourced)                  # Allow()
"""

import re
import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from hashlib import blake2b

from remit.core import (
    Allow,
    Decision,
    Deny,
    Hold,
    InputRefusedError,
    Json,
    JsonObject,
    Reason,
    Requirement,
    parse_strict,
    read_canonical,
)
from remit.permissions._flow import Flow, Label, Source, Sourced

VALUES_MAX = 20_000  # hashes one task keeps
INPUT_VALUES_MAX = 10_000  # of them, from the user's input: results need room too
RESULT_VALUES_MAX = 2_000  # of them, from one result
TEXT_CHARS_MAX = 1 << 16  # of one text, what is taken apart into tokens
ARGUMENT_VALUES_MAX = 2_000  # values in one call's control arguments that are looked at; the rest is from nowhere
SOURCES_MAX = 8  # places remembered for one value
CALL_WORK_MAX = 1 << 16  # characters of one call's arguments that are folded, a letter beyond ASCII counted as 18
RESULT_WORK_MAX = 1 << 18  # the same of one result: a stranger must not be able to make this gateway slow
FOLDS_TO_MAX = 18  # characters that one character may become under NFKC (U+FDFA, Unicode Standard Annex 15)
TOKEN_CHARS_MIN = 4  # shorter ones are everywhere by chance
WITHIN_S = 86_400  # how long a hold for provenance waits

_DIGEST_BYTES = 16
_KEY_BYTES = range(16, 65)  # blake2b takes no longer one (RFC 7693, section 2.1)
_ANYONE = ("user", "records")  # what an argument accepts whose sources nobody has named
_BAD = (Label.UNTRUSTED, Label.NOWHERE)
_JSON_STARTS = frozenset('{["-0123456789tfn \t\r\n')  # what a JSON text can begin with (RFC 8259, section 2)
_NUMBER_MARK = b"\xff"  # no UTF-8 text begins with it, so the number 5 is never the text `5`
_SAID_MAX = 3  # values that a hold's message names
_SHOWN_CHARS_MAX = 120  # of a pointer in a message

Scalar = str | int | float
_Origin = tuple[Label, str, str]  # label, operation, call
_Seen = tuple[_Origin, str]  # where from, and the pointer there

_SEPARATORS = re.compile(r"[\s<>()\[\]{}\"',;|]+")
_SEPARATORS_WIDE = re.compile(r"[\s<>()\[\]{}\"',;|`*\u00ab\u00bb\u2018-\u201f\u2039\u203a]+")
_DIGITS = re.compile(r"([+-]?)0*([0-9]+)(?:\.([0-9]*))?", re.ASCII)
# What takes no room on a screen: control and format characters (general categories Cc and Cf, but for white space),
# variation selectors, fillers and the grapheme joiner.
_INVISIBLE = re.compile(
    "[\u0000-\u0008\u000e-\u001b\u007f-\u0084\u0086-\u009f\u00ad\u034f\u0600-\u0605\u061c\u06dd\u070f\u0890\u0891\u08e2"
    "\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e\u2060-\u206f\u3164\ufe00-\ufe0f\ufeff\uffa0"
    "\ufff0-\ufffb\U000110bd\U000110cd\U00013430-\U0001343f\U0001bca0-\U0001bca3\U0001d173-\U0001d17a"
    "\U000e0000-\U000e0fff]"
)


class Memory:
    """What one task has seen: keyed hashes of values, each with where it was seen first. Bounded, never the values.

    Not for several threads at once. `key` is 16 to 64 secret bytes.

    Raises:
        ValueError: `key` is too short or too long.
    """

    __slots__ = ("_blind", "_distrusted", "_hash", "_trusted")

    def __init__(self, key: bytes) -> None:
        if len(key) not in _KEY_BYTES:
            raise ValueError(f"a key of {len(key)} bytes; give 16 to 64")
        self._hash = blake2b(key=key, digest_size=_DIGEST_BYTES)
        self._trusted: dict[bytes, list[_Seen]] = {}
        self._distrusted: dict[bytes, _Seen] = {}
        # INVARIANT: True from the moment on when untrusted content went by that is not remembered. A value from nowhere
        # may then be an untrusted one, and a record that it chooses is no record.
        self._blind = False

    # -- learning

    def learn_input(self, body: bytes) -> None:
        """Take in the user's input, canonical JSON `{"input": ...}`: every value in it, and the tokens of its texts.

        A token counts from 4 characters on, and, where it is written as a JSON number, as that number too.
        """
        said = read_canonical(body)
        if not isinstance(said, dict):
            return
        room = min(INPUT_VALUES_MAX, self._room())
        origin: _Origin = (Label.USER, "", "")
        for pointer, value in _leaves(said.get("input"), ""):
            for form in _forms_of_user(value):
                if room <= 0:
                    return
                room -= self._trust(_exact(form), (origin, pointer))

    def learn_result(  # noqa: PLR0913, PLR0917 - one answer, with all that says how far to trust it
        self,
        operation: str,
        call: str,
        flow: Flow,
        arguments: JsonObject,
        result: bytes,
        sourced: tuple[Sourced, ...] | None = None,
    ) -> None:
        """Take in what a call answered: `result` is its CallToolResult, canonical.

        `sourced` is what `sources` said of the same arguments when the call was decided; without it that is looked up.

        Values come from `structuredContent`, by pointers relative to it, or, where there is none, from text blocks that
        are JSON. Everything else, and everything in an error, is untrusted.
        """
        said = read_canonical(result)
        if not isinstance(said, dict):
            return
        seen = _Result(said, flow)
        room = min(RESULT_VALUES_MAX, self._room())
        if seen.records and not self._chosen_badly(arguments, flow, sourced):
            room = self._learn_records(seen.records, (Label.RECORD, operation, call), _Echo(arguments), room)
        else:
            seen.untrusted += seen.records
            seen.unread |= seen.cut
        self._blind |= seen.unread
        self._learn_untrusted(seen.untrusted, (Label.UNTRUSTED, operation, call), room)

    def _learn_records(self, leaves: "list[_Leaf]", origin: _Origin, echo: "_Echo", room: int) -> int:
        is_echo, trust = echo.has, self._trust
        work = RESULT_WORK_MAX
        for pointer, value in leaves:
            work -= _work(value)
            if room <= 0 or work < 0:
                break  # forgotten: from nowhere
            if not is_echo(value):
                room -= trust(value.encode() if type(value) is str else _exact(value), (origin, pointer))
        return room

    def _learn_untrusted(self, leaves: "list[_Leaf]", origin: _Origin, room: int) -> None:
        work = RESULT_WORK_MAX
        for place, (_, value) in enumerate(leaves):
            work -= _work(value)
            if work < 0:
                self._blind = True
                leaves = leaves[:place]
                break
        for pointer, value in leaves:  # whole values first, so that a long text cannot crowd them out
            room -= self._distrust(_loose(value), (origin, pointer), room)
        for pointer, value in leaves:
            if isinstance(value, str) and len(value) >= TOKEN_CHARS_MIN:
                self._blind |= len(value) > TEXT_CHARS_MAX
                for token in _tokens_loose(value):
                    if room <= 0:
                        self._blind = True
                        return
                    room -= self._distrust(token, (origin, pointer), room)

    def _room(self) -> int:
        return VALUES_MAX - len(self._trusted) - len(self._distrusted)

    def _trust(self, exact: bytes, seen: _Seen) -> int:
        """Remember one more place of a value; return how many hashes that took."""
        keyed = self._hash.copy()
        keyed.update(exact)
        digest = keyed.digest()
        places = self._trusted.get(digest)
        if places is None:
            self._trusted[digest] = [seen]
            return 1
        (label, operation, _), pointer = seen
        for (known, of, _), at in places:
            if at == pointer and of == operation and known is label:
                return 0
        if label is Label.USER and places[0][0][0] is not Label.USER:
            places.insert(0, seen)
        elif len(places) < SOURCES_MAX:
            places.append(seen)
        return 0

    def _distrust(self, loose: str, seen: _Seen, room: int) -> int:
        digest = self._digest(loose.encode("utf-8", "surrogatepass"))
        if digest in self._distrusted:
            return 0
        if room <= 0:
            self._blind = True
            return 0
        self._distrusted[digest] = seen
        return 1

    def _digest(self, form: bytes) -> bytes:
        keyed = self._hash.copy()  # half the price of beginning anew with the key
        keyed.update(form)
        return keyed.digest()

    # -- looking up

    def sources(self, arguments: JsonObject, flow: Flow) -> tuple[Sourced, ...]:
        """Return where each value of each argument that is not content came from, with its JSON pointer.

        Lists and objects are descended; a key that no schema would name counts as a value too. Booleans and null say
        nothing and are left out. Values beyond the first 2,000 are from nowhere.
        """
        found: list[Sourced] = []
        work = CALL_WORK_MAX
        for name, value in arguments.items():
            if name in flow.content:
                continue
            accepted = flow.sources.get(name, _ANYONE)
            for pointer, leaf in _leaves(value, _under("", name), names=flow.names):
                if len(found) == ARGUMENT_VALUES_MAX:
                    return (*found, Sourced(pointer, Source(Label.NOWHERE), accepted=False))
                work -= _work(leaf)
                found.append(self._sourced(pointer, leaf, accepted, looks=work >= 0))
        return tuple(found)

    def _sourced(self, pointer: str, value: Scalar, accepted: tuple[str, ...], *, looks: bool) -> Sourced:
        places = self._trusted.get(self._digest(_exact(value)))
        if places is None:
            suspect = self._suspect(value, parts=True) if looks else None
            return Sourced(pointer, Source(Label.NOWHERE) if suspect is None else _source(suspect), accepted=False)
        for place in places:
            if _accepts(accepted, place):
                return Sourced(pointer, _source(place), accepted=True)
        return Sourced(pointer, _source(places[0]), accepted=False)

    def _suspect(self, value: Scalar, *, parts: bool) -> _Seen | None:
        """Return where an untrusted value was seen that `value` may be, or, with `parts`, may contain."""
        whole = self._distrusted.get(self._digest(_loose(value).encode("utf-8", "surrogatepass")))
        if whole is not None or not parts or not isinstance(value, str):
            return whole
        for part in dict.fromkeys(_SEPARATORS.split(value[:TEXT_CHARS_MAX])):
            if not self._is_trusted(part):
                for token in _tokens_loose(part):
                    found = self._distrusted.get(self._digest(token.encode("utf-8", "surrogatepass")))
                    if found is not None:
                        return found
        return None

    def _is_trusted(self, value: Scalar) -> bool:
        return self._digest(_exact(value)) in self._trusted

    def _chosen_badly(self, arguments: JsonObject, flow: Flow, sourced: tuple[Sourced, ...] | None) -> bool:
        """Say whether some argument makes the whole result untrusted.

        A control argument that neither the user nor a record gave does, if it steers an operation that changes the
        world, which may write it into the record that it returns, or once untrusted content has entered the task: it
        may be a part of that, in whatever form. A content argument does if it is untrusted as it stands.
        """
        if sourced is not None and flow.consequential:
            if any(one.source.label in _BAD for one in sourced):
                return True
            arguments = {name: value for name, value in arguments.items() if name in flow.content}
        looked_at, work = 0, CALL_WORK_MAX
        for name, value in arguments.items():
            taints = self._content_taints if name in flow.content else self._control_taints
            if name in flow.closed and not flow.consequential:
                continue  # a reviewer has listed every value it can have: choosing one of them is no stranger's word
            for _, leaf in _leaves(value, "", names=flow.names):
                looked_at += 1
                work -= _work(leaf)
                if looked_at > ARGUMENT_VALUES_MAX or work < 0 or (not self._is_trusted(leaf) and taints(leaf, flow)):
                    return True
        return False

    def _control_taints(self, value: Scalar, flow: Flow) -> bool:
        # A value that neither the user nor a record gave may be a stranger's in another form, once one has been heard.
        del value
        return flow.consequential or self._blind or bool(self._distrusted)

    def _content_taints(self, value: Scalar, _flow: Flow) -> bool:
        # A short one is a page number, say: a reviewer has signed that it may be anything.
        return len(str(value)) >= TOKEN_CHARS_MIN and self._suspect(value, parts=False) is not None


# -- the gate


def provenance_suffices(flow: Flow | None, sourced: tuple[Sourced, ...]) -> Decision:
    """Say whether every value that steers a consequential call comes from a source its controls accept.

    Deny code: `provenance_unknown` (no controls). Hold codes: `provenance_untrusted`, `provenance_unknown_source`.
    """
    if flow is None:
        message = "nothing says where the values of this operation may come from"
        return Deny(Reason("provenance_unknown", message, "ask the agent's owner to have its controls reviewed"))
    refused = [one for one in sourced if not one.accepted]
    if not flow.consequential or not refused:
        return Allow()
    refused.sort(key=lambda one: one.source.label is not Label.UNTRUSTED)  # (stable: the worst first)
    code = "provenance_untrusted" if refused[0].source.label is Label.UNTRUSTED else "provenance_unknown_source"
    message = "; ".join(map(_said, refused[:_SAID_MAX]))
    if len(refused) > _SAID_MAX:
        message += f"; and {len(refused) - _SAID_MAX} more"
    fix = "use a value that the user gave or an accepted record holds, or wait for a reviewer"
    need = Requirement(kind="provenance", approvers=flow.reviewers, quorum=1, within_s=WITHIN_S)
    return Hold(Reason(code, message, fix), (need,))


def _said(one: Sourced) -> str:
    where, source = f"`{_shown(one.pointer)}`", one.source
    result = f"the result of `{source.operation}` (call `{source.call}`), field `{_shown(source.field)}`"
    match source.label:
        case Label.UNTRUSTED:
            return f"{where} was first seen in {result}, which is untrusted"
        case Label.NOWHERE:
            return f"{where} was never seen in this task: neither the user nor a record gave it"
        case Label.USER:
            return f"{where} was given by the user, which is not a source it accepts"
        case Label.RECORD:
            return f"{where} comes from {result}, which is not a source it accepts"


def _shown(pointer: str) -> str:
    """Make a pointer fit to be read: its keys may be a stranger's words."""
    safe = "".join(char if char.isprintable() and char != "`" else "?" for char in pointer[:_SHOWN_CHARS_MAX])
    return f"{safe}..." if len(pointer) > _SHOWN_CHARS_MAX else safe


# -- what is accepted


def _accepts(accepted: tuple[str, ...], seen: _Seen) -> bool:
    (label, operation, _), pointer = seen
    if label is Label.USER:
        return "user" in accepted
    if "records" in accepted:
        return True
    return any(_names(source, operation, pointer) for source in accepted if source != "user")


def _names(source: str, operation: str, pointer: str) -> bool:
    name, slash, pattern = source.partition("/")
    return name == operation and (not slash or _fits(f"/{pattern}", pointer))


def _fits(pattern: str, pointer: str) -> bool:
    if "*" not in pattern:
        return pattern == pointer
    asked, found = pattern.split("/"), pointer.split("/")
    return len(asked) == len(found) and all(step in ("*", name) for step, name in zip(asked, found, strict=True))


def _source(seen: _Seen) -> Source:
    (label, operation, call), pointer = seen
    return Source(label, operation, call, pointer)


# -- a result, taken apart by its labels

_Leaf = tuple[str, Scalar]


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


class _Result:
    """The values of one CallToolResult, by label.

    `unread`: something untrusted was said that no value here stands for; `cut`: the same of a record.
    """

    __slots__ = ("cut", "records", "unread", "untrusted")

    def __init__(self, said: JsonObject, flow: Flow) -> None:
        self.records: list[_Leaf] = []
        self.untrusted: list[_Leaf] = []
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
            elif not _says_the_same(block.get("text"), structured):
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
        for below, value in _leaves(block, pointer):
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
            at = _under(pointer, key) if "~" in key or "/" in key else f"{pointer}/{key}"
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


def _says_the_same(text: Json, structured: Json) -> bool:
    """Tell whether a text block only repeats the structured content, as the protocol asks of servers."""
    if not isinstance(text, str):
        return True
    try:
        return read_canonical(text.encode("utf-8", "surrogatepass")) == structured
    except ValueError:
        return False


class _Echo:
    """What a call's own arguments said: a result that says it again teaches nothing."""

    __slots__ = ("_all", "_said", "_short")

    def __init__(self, arguments: JsonObject) -> None:
        said: list[str] = []
        work = sum(_work(leaf) for value in arguments.values() for _, leaf in _leaves(value, "", names=frozenset()))
        self._all = work > CALL_WORK_MAX  # too much to look through: then everything is an echo
        for value in () if self._all else arguments.values():
            _echoed(value, said)
        self._said = "\n".join(said)
        self._short: frozenset[str] | None = None

    def has(self, value: Scalar) -> bool:
        """Tell whether `value` stands in the arguments: anywhere, or, when it is short, as a word of its own."""
        if self._all:
            return True
        loose = _folded(value) if isinstance(value, str) else str(value)
        if loose not in self._said:
            return False
        return len(loose) >= TOKEN_CHARS_MIN or _number_form(loose) in self._words()

    def _words(self) -> frozenset[str]:
        if self._short is None:
            words = [*self._said.split("\n"), *map(_trimmed, _SEPARATORS_WIDE.split(self._said))]
            self._short = frozenset(map(_number_form, words))
        return self._short


def _echoed(value: Json, said: list[str]) -> None:
    if isinstance(value, str):
        said.append(_folded(value))
    elif isinstance(value, dict):
        for key, item in value.items():
            said.append(_folded(key))
            _echoed(item, said)
    elif isinstance(value, list):
        for item in value:
            _echoed(item, said)
    elif value is not None and not isinstance(value, bool):
        said.append(str(value))


# -- forms of one value


def _leaves(value: Json, pointer: str, *, names: frozenset[str] | None = None) -> Iterator[_Leaf]:
    """Walk the texts and numbers under `value`; given a schema's `names`, also the keys that are none of them."""
    if isinstance(value, str):
        yield pointer, value
    elif isinstance(value, dict):
        for key, item in value.items():
            below = _under(pointer, key)
            if names is not None and key not in names:
                yield below, key
            yield from _leaves(item, below, names=names)
    elif isinstance(value, list):
        for place, item in enumerate(value):
            yield from _leaves(item, f"{pointer}/{place}", names=names)
    elif value is not None and not isinstance(value, bool):
        yield pointer, value


def _under(pointer: str, key: str) -> str:
    """Add a step to a JSON pointer (RFC 6901, section 3)."""
    if "~" in key or "/" in key:
        key = key.replace("~", "~0").replace("/", "~1")
    return f"{pointer}/{key}"


def _work(value: Scalar) -> int:
    """Return how much there is to fold in a value, at the worst."""
    if not isinstance(value, str):
        return 1
    return len(value) if value.isascii() else len(value) * FOLDS_TO_MAX


def _exact(value: Scalar) -> bytes:
    if isinstance(value, str):
        return value.encode("utf-8", "surrogatepass")
    if isinstance(value, float) and value.is_integer():
        value = int(value)  # one JSON number has one form here, whoever wrote it
    return _NUMBER_MARK + str(value).encode()


def _forms_of_user(value: Scalar) -> Iterator[Scalar]:
    yield value
    if isinstance(value, str):
        for token in dict.fromkeys(map(_trimmed, _SEPARATORS.split(value[:TEXT_CHARS_MAX]))):
            if len(token) >= TOKEN_CHARS_MIN:
                yield token
                number = _number_written(token)
                if number is not None:
                    yield number


def _number_written(token: str) -> int | float | None:
    """Return the number that JSON would write as exactly `token`, or None."""
    if not _DIGITS.fullmatch(token) or len(token) > 17:
        return None
    number = float(token) if "." in token else int(token)
    return number if str(number) == token else None


def _trimmed(token: str) -> str:
    if token[:7].casefold() == "mailto:":
        token = token[7:]
    return token.rstrip(".:!?")


def _loose(value: Scalar) -> str:
    """Return the form in which look-alikes meet: `ANA@x.org ` and `ana@x.org`, `5.0` and 5."""
    return _number_form(_folded(value[:TEXT_CHARS_MAX]) if isinstance(value, str) else str(value))


def _tokens_loose(text: str) -> Iterator[str]:
    """Return what `text` consists of, each part once, folded, from 4 characters on."""
    for token in dict.fromkeys(map(_trimmed, _SEPARATORS_WIDE.split(_folded(text[:TEXT_CHARS_MAX])))):
        if len(token) >= TOKEN_CHARS_MIN:
            yield _number_form(token)


def _folded(text: str) -> str:
    if not (text.isascii() and text.isprintable()):
        text = unicodedata.normalize("NFKC", _INVISIBLE.sub("", unicodedata.normalize("NFKC", text)).casefold())
    elif " " not in text:
        return text.lower()  # (the shortest way for what there is most of: in ASCII, lower is folded)
    return " ".join(text.casefold().split())


def _number_form(text: str) -> str:
    if text[:1] not in _NUMBER_STARTS:
        return text
    found = _DIGITS.fullmatch(text)
    if found is None:
        return text
    sign, whole, fraction = found.groups()
    digits = whole if not (places := (fraction or "").rstrip("0")) else f"{whole}.{places}"
    return f"-{digits}" if sign == "-" and digits != "0" else digits


_NUMBER_STARTS = frozenset("+-0123456789")
