"""Confidential data: what of it a task has read, and whether who gets to know a call may know that too.

1. A task that has read a class of data once has read it: what the agent writes from then on may hold it, in any words.
2. Whoever a call names as a receiver must be among those of the class, by source. A call that carries data out and
   names nobody is out to anybody. One that does neither stays inside.
3. What cannot be taken apart (plain text, images) was all of it.

    receivers_may_know(origins, {"personal": DataClass("personal", ("user",), ("privacy",))})    # Allow(), or Hold(...)
"""

from collections.abc import Iterator, Mapping

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
)
from remit.permissions._flow import Exposed, Flow, Origins
from remit.permissions._lists import DataClass
from remit.permissions._result import says_the_same
from remit.permissions._said import SAID_MAX, WITHIN_S, listing, shown, unquoted
from remit.permissions._values import under


def classes_read(said: JsonObject, flow: Flow) -> dict[str, str]:
    """Return the data classes that the result `said` has something of, each with the pointer of a field that has it."""
    values, opaque = _apart(said)
    found: dict[str, str] = {}
    for pattern, name in flow.classes:
        steps = [step.replace("~1", "/").replace("~0", "~") for step in pattern.split("/")[1:]]
        at = next((at for value in values for at in _filled(value, steps, "")), opaque)
        if at is not None:
            found.setdefault(name, at)
    return found


def _apart(said: JsonObject) -> tuple[list[Json], str | None]:
    """Return the JSON values in a result, and the pointer of what is no JSON value, where there is something."""
    values: list[Json] = []
    opaque: str | None = None
    structured = said.get("structuredContent")
    if structured is not None:
        values.append(structured)
    blocks = said.get("content")
    for place, block in enumerate(blocks if isinstance(blocks, list) else ()):
        text = block.get("text") if isinstance(block, dict) and block.get("type") == "text" else None
        if not isinstance(text, str):
            opaque = f"/content/{place}" if opaque is None else opaque
        elif structured is None or not says_the_same(text, structured):
            try:
                values.append(_object(parse_strict(text.encode("utf-8", "surrogatepass"))))
            except InputRefusedError:
                opaque = f"/content/{place}/text" if opaque is None and text.strip() else opaque
    return values, opaque


def _object(value: Json) -> Json:
    """Return a value that pointers lead into."""
    if isinstance(value, (dict, list)) or value is None:
        return value
    raise InputRefusedError("not_structured", "a bare value has no fields", "read it as text")


def _filled(value: Json, steps: list[str], pointer: str) -> Iterator[str]:
    """Walk the fields that a pattern covers and that are not null, themselves or anything below them."""
    if isinstance(value, (dict, list)):
        items = value.items() if isinstance(value, dict) else ((str(place), one) for place, one in enumerate(value))
        for key, item in items:
            if not steps or steps[0] in ("*", key):
                yield from _filled(item, steps[1:], under(pointer, key))
    elif value is not None and not steps:
        yield pointer


def receivers_may_know(origins: Origins, classes: Mapping[str, DataClass]) -> Decision:
    """Say whether everyone who gets to know the call may know the confidential data read in its task.

    Deny code: `confidential_unknown_class` (nobody may let others know it). Hold code: `confidential_receiver`, with
    one requirement for each class.
    """
    if not origins.exposed:
        return Allow()
    names = list(dict.fromkeys(one.data_class for one in origins.exposed))
    for name in names:
        if name not in classes or not classes[name].reviewers:
            message = f"`{unquoted(name)}` data was read in this task, and nothing says who may let others know it"
            return Deny(
                Reason("confidential_unknown_class", message, "name its reviewers in organisation/classes.yaml")
            )
    message = listing([_said(one) for one in origins.exposed], SAID_MAX)
    fix = "name a receiver that the data class accepts, begin a new task, or wait for a reviewer of the class"
    needs = tuple(Requirement("provenance", classes[name].reviewers, 1, WITHIN_S) for name in names)
    return Hold(Reason("confidential_receiver", message, fix), needs)


def _said(one: Exposed) -> str:
    who = (
        f"`{shown(one.pointer)}` is nobody who" if one.pointer else "the call goes out and does not say to whom; nobody"
    )
    source = one.read_from
    read = f"the result of `{source.operation}` (call `{source.call}`), field `{shown(source.field)}`"
    return f"{who} may know `{unquoted(one.data_class)}` data, which this task read in {read}"
