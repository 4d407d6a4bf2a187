"""Histories: counters that policies are told, checked against the operations that they count.

problems = tuple(wrong_histories(document, found, operations, named))
told(histories_of(found, operations), descriptor.input_schema, "refund_order")      # what its calls are told
"""

from collections.abc import Iterator, Mapping
from collections.abc import Set as AbstractSet

from remit.adapters.project._mistakes import nearest
from remit.adapters.project._models import OperationEntry
from remit.adapters.project._organisation import HistoryEntry, HistoryFile
from remit.adapters.project._pointers import type_at, without_null
from remit.adapters.project._yaml import Document, Path
from remit.core import Json, JsonObject, Problem, Window
from remit.permissions import ARGUMENTS, PARTIES, History

CURRENCY = "currency"


def wrong_histories(
    document: Document, found: HistoryFile, operations: Mapping[str, OperationEntry], named: AbstractSet[str] | None
) -> Iterator[Problem]:
    """Yield what is wrong with the counters of `found`: operations, arguments, types.

    `named` are all names of the catalogue, sound or not; None where they are not all known, and so not asked for.
    """
    for name, entry in found.history.items():
        path: Path = ("history", name)
        for index, operation in enumerate(entry.of):
            if named is not None and operation not in named:
                message = f"`{operation}` is not in the catalogue{nearest(operation, sorted(named))}"
                fix = "count operations that are described in catalogue/<tool>.yaml"
                yield _problem(document, (*path, "of", index), "history_unknown_operation", message, fix)
        counted = {operation: operations[operation] for operation in entry.of if operation in operations}
        yield from _wrong_sum(document, path, entry, counted)
        for index, part in enumerate(entry.per):
            yield from _wrong_per(document, (*path, "per", index), part, counted)


def uncounted(document: Document, found: HistoryFile, operations: Mapping[str, OperationEntry]) -> Iterator[Problem]:
    """Warn of what a counter would not see: sums over several currencies, and calls that leave an argument out."""
    for name, entry in found.history.items():
        path: Path = ("history", name)
        for operation in entry.of:
            schema = operations[operation].input_schema
            if entry.sum and f"{ARGUMENTS}{CURRENCY}" not in entry.per and _varies(_properties(schema).get(CURRENCY)):
                message = f"`{name}` adds up amounts of `{operation}` in whatever currency each call names"
                fix = f"count by it: add `{ARGUMENTS}{CURRENCY}` to `per`"
                yield _problem(document, (*path, "sum"), "history_mixed_currency", message, fix)
            for argument in (*arguments_of(entry.per), *([entry.sum] if entry.sum else ())):
                if not always_there(schema, argument):
                    message = f"`{name}` does not count a call of `{operation}` that leaves `{argument}` out"
                    fix = f"make `{argument}` required in the input_schema of `{operation}`"
                    key = "sum" if argument == entry.sum else "per"
                    yield _problem(document, (*path, key), "history_uncounted", message, fix)


def histories_of(found: HistoryFile, operations: Mapping[str, OperationEntry]) -> tuple[History, ...]:
    """Return the counters of `found`, which was checked, by name."""
    return tuple(
        History(
            name=name,
            of=frozenset(entry.of),
            per=tuple(entry.per),
            sum=entry.sum or "",
            window=None if entry.window is None else Window(entry.window),
            answered=entry.counts == "answered",
            decimal=bool(entry.sum) and any(_sum_type(operations[name], entry.sum) == "decimal" for name in entry.of),
        )
        for name, entry in sorted(found.history.items())
    )


def told(histories: tuple[History, ...], schema: JsonObject, operation: str) -> tuple[History, ...]:
    """Return those of `histories` that a call of `operation` is told: it counts there, or has what they count by."""
    properties = _properties(schema)
    return tuple(
        history
        for history in histories
        if operation in history.of or all(argument in properties for argument in arguments_of(history.per))
    )


def arguments_of(per: "tuple[str, ...] | list[str]") -> list[str]:
    """Return the arguments among what a counter counts by."""
    return [part.removeprefix(ARGUMENTS) for part in per if part.startswith(ARGUMENTS)]


def always_there(schema: JsonObject, argument: str) -> bool:
    """Tell whether every call that fits `schema` has `argument`, and not as null."""
    required, inner = schema.get("required"), _properties(schema).get(argument)
    return isinstance(required, list) and argument in required and without_null(inner) == inner


def _wrong_sum(
    document: Document, path: Path, entry: HistoryEntry, counted: Mapping[str, OperationEntry]
) -> Iterator[Problem]:
    if entry.sum is None:
        return
    for operation, described in counted.items():
        properties = _properties(described.input_schema)
        if entry.sum not in properties:
            said = f"is no argument of `{operation}`{nearest(entry.sum, sorted(properties))}"
        elif _sum_type(described, entry.sum) not in {"Long", "decimal"}:
            said = f"of `{operation}` is no number: only `type: integer` and `type: number` can be summed up"
        else:
            continue
        fix = "name an argument of type integer or number that every operation under `of` has"
        yield _problem(document, (*path, "sum"), "history_sum_invalid", f"`{entry.sum}` {said}", fix)


def _wrong_per(document: Document, path: Path, part: str, counted: Mapping[str, OperationEntry]) -> Iterator[Problem]:
    fix = f"write {', '.join(PARTIES)}, or {ARGUMENTS}NAME with an argument of every operation under `of`"
    argument = part.removeprefix(ARGUMENTS)
    if argument == part:
        if part not in PARTIES:
            message = f"`{part[:80]}` is nothing to count by{nearest(part, [*PARTIES, ARGUMENTS])}"
            yield _problem(document, path, "history_per_unknown", message, fix)
        return
    for operation, described in counted.items():
        properties = _properties(described.input_schema)
        if argument not in properties:
            near = nearest(argument, sorted(properties))
            message = f"`{argument[:80]}` is no argument of `{operation}`{near}: its calls would never count"
            yield _problem(document, path, "history_per_unknown", message, fix)


def _sum_type(described: OperationEntry, argument: str | None) -> str:
    return type_at(_properties(described.input_schema).get(argument or ""), "")


def _varies(schema: Json) -> bool:
    """Tell whether an argument with this schema can have more than one value."""
    if not isinstance(schema, dict):
        return schema is True
    allowed = schema.get("enum")
    return "const" not in schema and not (isinstance(allowed, list) and len(allowed) == 1)


def _properties(schema: JsonObject) -> dict[str, Json]:
    declared = schema.get("properties")
    return declared if isinstance(declared, dict) else {}


def _problem(document: Document, path: Path, code: str, message: str, fix: str) -> Problem:
    return Problem(code=code, file=document.file, line=document.line(path), message=message, fix=fix)
