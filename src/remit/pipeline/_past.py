"""What decisions are told of the past: counters, as the store has them or will have them, and answers of look-ups.

Both are caches that can be dropped at any time. What a counter says here is compared in the transaction before the
effect; what a look-up answered counts for as long as its descriptor says.
"""

from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from remit.catalogue import Descriptor, LookUp
from remit.core import Add, Json, JsonObject, ToolCall, canonical_bytes, read_canonical
from remit.permissions import asked_for, taken

COUNTERS_MAX = 50_000  # kept ready; of the others the store is asked
ANSWERS_MAX = 256  # look-ups of one task whose answers are kept


class Counters:
    """What is counted under each key, calls on their way to the store included. Not for several threads at once."""

    __slots__ = ("_known",)

    def __init__(self) -> None:
        self._known: OrderedDict[str, int] = OrderedDict()

    def unknown(self, keys: Iterable[str]) -> list[str]:
        """Return those of `keys` of which the store has to be asked."""
        return [key for key in keys if key not in self._known]

    def learn(self, keys: Iterable[str], stored: Mapping[str, int]) -> None:
        """Take in what the store says of `keys`, but not over what was counted meanwhile."""
        for key in keys:
            self._known.setdefault(key, stored.get(key, 0))
        while len(self._known) > COUNTERS_MAX:
            self._known.popitem(last=False)

    def count(self, adds: Iterable[Add], sign: int) -> None:
        """Add to what is known. A key that is not known stays so."""
        for add in adds:
            if add.key in self._known:
                self._known[add.key] += sign * add.by
                self._known.move_to_end(add.key)

    def forget(self, keys: Iterable[str]) -> None:
        """Let the store be asked anew."""
        for key in keys:
            self._known.pop(key, None)

    @property
    def seen(self) -> Mapping[str, int]:
        """What is known."""
        return self._known


@dataclass(frozen=True, slots=True)
class Look:
    """A look-up to make: the read's `operation` with the `canonical` bytes of its arguments."""

    operation: str
    canonical: bytes


class Answers:
    """What one task's look-ups, and its own calls of the same reads, were answered: each with when."""

    __slots__ = ("_kept",)

    def __init__(self) -> None:
        self._kept: OrderedDict[Look, tuple[datetime, Json]] = OrderedDict()

    def keep(self, look: Look, at: datetime, result: bytes) -> None:
        """Take in a CallToolResult, canonical. An error says nothing."""
        answer = structured(result)
        if answer is None:
            self._kept.pop(look, None)
            return
        self._kept[look] = at, answer
        self._kept.move_to_end(look)
        while len(self._kept) > ANSWERS_MAX:
            self._kept.popitem(last=False)

    def fresh(self, look: Look, max_age_s: int, now: datetime) -> Json:
        """Return an answer that still counts; None without one."""
        found = self._kept.get(look)
        if found is None or now - found[0] > timedelta(seconds=max_age_s) or now < found[0]:
            return None
        return found[1]


def structured(result: bytes) -> Json:
    """Return the structured content of a CallToolResult, or the JSON of its one text; None where there is neither."""
    said = read_canonical(result)
    if not isinstance(said, dict) or said.get("isError") is True:
        return None
    if said.get("structuredContent") is not None:
        return said["structuredContent"]
    blocks = said.get("content")
    if not isinstance(blocks, list) or len(blocks) != 1 or not isinstance(blocks[0], dict):
        return None
    text = blocks[0].get("text")
    try:
        return read_canonical(text.encode("utf-8", "surrogatepass")) if isinstance(text, str) else None
    except ValueError:
        return None


def look_for(look_up: LookUp, call: ToolCall) -> Look | None:
    """Return what to ask for about `call`; None where it has not what to ask with."""
    asked = asked_for(look_up.arguments, call.arguments)
    return None if asked is None else Look(look_up.operation, canonical_bytes(asked))


def facts_of(
    descriptor: Descriptor, call: ToolCall, answers: Answers, now: datetime, looked: Mapping[str, bytes | str]
) -> tuple[Mapping[str, JsonObject], Mapping[str, str]]:
    """Return the facts that are known about what `call` is about, and why others are not.

    What was looked up for this very call counts whatever its `max_age_s`: nothing is newer.
    """
    known: dict[str, JsonObject] = {}
    lacking: dict[str, str] = {}
    for name, look_up in descriptor.controls.facts.items():
        look, just_now = look_for(look_up, call), looked.get(name, "it was not looked up")
        answer = None if look is None else answers.fresh(look, look_up.max_age_s, now)
        if answer is None and isinstance(just_now, bytes):
            answer = read_canonical(just_now)
        if answer is None:
            lacking[name] = str(just_now)
            continue
        values = taken(look_up.values, answer, now)
        if isinstance(values, str):
            lacking[name] = values
        else:
            known[name] = values
    return known, lacking


def to_look_up(descriptor: Descriptor, missing: Sequence[str]) -> Mapping[str, LookUp]:
    """Return the look-ups of the facts that are missing."""
    return {name: descriptor.controls.facts[name] for name in missing if name in descriptor.controls.facts}
