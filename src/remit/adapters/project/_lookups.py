"""Look-ups: what a call is about (`facts`) and what it would change (`before`), checked against what they read.

found = wrong_look_ups(entry, operations, named)       # (path within the operation, code, message, fix)
fact_types(descriptor, descriptors)                     # {"order": {"customer": "String"}}
"""

from collections.abc import Iterator, Mapping
from collections.abc import Set as AbstractSet

from remit.adapters.project._mistakes import nearest
from remit.adapters.project._models import FactEntry, LookUpEntry, OperationEntry, ValueEntry
from remit.adapters.project._pointers import UNTRUSTED, label_at, lost_at, schema_at, type_at
from remit.adapters.project._yaml import Path
from remit.catalogue import Descriptor, LookUp
from remit.permissions import DAYS_SINCE

Found = tuple[Path, str, str, str]
"""A place within an operation, a code, a message and a fix."""


def wrong_look_ups(
    entry: OperationEntry, operations: Mapping[str, OperationEntry], named: AbstractSet[str] | None
) -> Iterator[Found]:
    """Yield what is wrong with the look-ups of `entry`, which read some of `operations`.

    `named` are all names of the catalogue, sound or not; None where they are not all known, and so not asked for.
    """
    for path, look_up in look_ups(entry):
        read = operations.get(look_up.read)
        if read is not None:
            yield from _wrong_read(path, entry, look_up, read)
            if isinstance(look_up, FactEntry):
                yield from _wrong_values(path, look_up, read)
        elif named is not None and look_up.read not in named:
            message = f"`{look_up.read}` is not in the catalogue{nearest(look_up.read, sorted(named))}"
            yield (*path, "read"), "look_up_unknown_operation", message, "name an operation whose effect is read"


def look_ups(entry: OperationEntry) -> Iterator[tuple[Path, LookUpEntry]]:
    """Yield every look-up of `entry`, with its place there."""
    for name, fact in entry.facts.items():
        yield ("facts", name), fact
    if entry.before is not None:
        yield ("before",), entry.before


def look_up_of(entry: LookUpEntry) -> LookUp:
    """Return the look-up that `entry` declares."""
    if not isinstance(entry, FactEntry):
        return LookUp(operation=entry.read, arguments=dict(entry.given))
    return LookUp(
        operation=entry.read,
        arguments=dict(entry.given),
        max_age_s=entry.max_age_s,
        values={name: (value.at, value.kind) for name, value in entry.values.items()},
    )


def fact_types(descriptor: Descriptor, descriptors: Mapping[str, Descriptor]) -> Mapping[str, Mapping[str, str]]:
    """Return by fact and value the Cedar types of what is looked up for calls of `descriptor`, which was checked."""
    return {
        name: {
            value: "Long" if kind == DAYS_SINCE else type_at(descriptors[fact.operation].output_schema, pointer)
            for value, (pointer, kind) in fact.values.items()
        }
        for name, fact in descriptor.controls.facts.items()
    }


def _wrong_read(path: Path, entry: OperationEntry, look_up: LookUpEntry, read: OperationEntry) -> Iterator[Found]:
    """It only reads, is given what it needs, and that comes from what the call has."""
    if read.effect != "read" or read.carries_data_out:
        said = f"its effect is {read.effect}" if read.effect != "read" else "its request can carry data out"
        message = f"`{look_up.read}` cannot be looked up: {said}, and a look-up happens before anybody decides"
        yield (*path, "read"), "look_up_not_a_read", message, "name an operation that only reads, inside"
    if read.facts:
        message = f"`{look_up.read}` has facts of its own, and a look-up looks nothing up in its turn"
        yield (*path, "read"), "look_up_nested", message, "name an operation without `facts`"
    declared, required = read.input_schema.get("properties"), read.input_schema.get("required")
    known = sorted(declared) if isinstance(declared, dict) else []
    for name, pointer in look_up.given.items():
        if name not in known:
            message = f"`{name}` is no argument of `{look_up.read}`{nearest(name, known)}"
            fix = f"name a property of the input_schema of `{look_up.read}`"
            yield (*path, "with", name), "look_up_unknown_argument", message, fix
        if not pointer or schema_at(entry.input_schema, pointer) is None:
            message = f"`{pointer}` leads to no argument of the call{lost_at(entry.input_schema, pointer)}"
            fix = "point at a property of the operation's own input_schema: /order_id"
            yield (*path, "with", name), "look_up_unknown_pointer", message, fix
    lacking = [name for name in required if name not in look_up.given] if isinstance(required, list) else []
    if lacking:
        message = f"`{look_up.read}` needs {', '.join(f'`{name}`' for name in lacking)}: no look-up could succeed"
        yield (
            (*path, "with"),
            "look_up_argument_missing",
            message,
            "give it in `with`, as a pointer into this call",
        )


def _wrong_values(path: Path, fact: FactEntry, read: OperationEntry) -> Iterator[Found]:
    for name, value in fact.values.items():
        place: Path = (*path, "values", name)
        if schema_at(read.output_schema, value.at) is None:
            said = (
                "has no output_schema"
                if read.output_schema is None
                else f"has no field `{value.at}` in its output_schema"
            )
            message = f"`{fact.read}` {said}{lost_at(read.output_schema, value.at)}"
            yield place, "fact_unknown_value", message, "declare the field there, or point at one that is declared"
            continue
        yield from _wrong_type(place, fact.read, value, type_at(read.output_schema, value.at))
        if label_at(read.results or {}, value.at) == UNTRUSTED:
            message = f"`{value.at}` of `{fact.read}` is untrusted: policy would believe whoever wrote it"
            fix = f"take another field, or label it system_of_record under `results:` of `{fact.read}`, if it is"
            yield place, "fact_untrusted", message, fix


def _wrong_type(place: Path, read: str, value: ValueEntry, cedar: str) -> Iterator[Found]:
    if not cedar:
        message = f"`{value.at}` of `{read}` has no single type that policies know: text, number, true or false"
        yield place, "fact_untyped", message, "point at one value with one type"
    elif value.kind == DAYS_SINCE and cedar != "String":
        message = f"`{value.at}` of `{read}` is no text, so it is no date"
        yield (
            place,
            "fact_untyped",
            message,
            "point at a date (`2026-11-22`) or date-time, or leave out `as: days_since`",
        )
