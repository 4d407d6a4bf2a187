"""Where JSON pointers (RFC 6901) lead in a JSON Schema, and what label the field there has.

schema_at({"type": "object", "properties": {"id": {"type": "string"}}}, "/id")     # {"type": "string"}
label_at({"": "system_of_record", "/note": "untrusted"}, "/note")                   # "untrusted"
"""

from collections.abc import Mapping, Sequence
from typing import Final

from remit.adapters.project._mistakes import nearest
from remit.core import Json

UNTRUSTED: Final = "untrusted"

_TYPES: Final[Mapping[str, str]] = {"string": "String", "integer": "Long", "boolean": "Bool", "number": "decimal"}


def steps_of(pointer: str) -> tuple[str, ...]:
    """Return the steps of `pointer`, unescaped."""
    return tuple(step.replace("~1", "/").replace("~0", "~") for step in pointer.split("/")[1:])


def schema_at(schema: Json, pointer: str) -> Json:
    """Return the schema of what `pointer` leads to; `*` is any item. None: nothing declared is there."""
    here = without_null(schema)
    for step in steps_of(pointer):
        if not isinstance(here, dict):
            return None
        properties = here.get("properties")
        if isinstance(properties, dict) and step in properties:
            here = without_null(properties[step])
        elif step == "*" or (step.isascii() and step.isdigit()):
            here = without_null(here.get("items"))
        else:
            return None
    return here


def is_undeclared(schema: Json, pointer: str) -> bool:
    """Tell whether `pointer` leads to no field although the fields there are declared; False where they are not."""
    at = ""
    for step in pointer.split("/")[1:]:
        here = schema_at(schema, at)
        if not isinstance(here, dict) or not {"properties", "items"} & here.keys():
            return False
        at = f"{at}/{step}"
        if schema_at(schema, at) is None:
            return True
    return False


def lost_at(schema: Json, pointer: str) -> str:
    """Say what is declared where `pointer` first leads nowhere: `; did you mean ...?`, or nothing."""
    at = ""
    for step in pointer.split("/")[1:]:
        if schema_at(schema, f"{at}/{step}") is None:
            here = schema_at(schema, at)
            known = here.get("properties") if isinstance(here, dict) else None
            return nearest(step, sorted(known)) if isinstance(known, dict) else ""
        at = f"{at}/{step}"
    return ""


def type_at(schema: Json, pointer: str) -> str:
    """Return the Cedar type of the one value at `pointer`: String, Long, Bool or decimal; empty where it has none."""
    found = schema_at(schema, pointer)
    if not isinstance(found, dict):
        return ""
    allowed = found.get("enum", [found["const"]] if "const" in found else None)
    if "type" not in found and isinstance(allowed, list) and allowed and all(isinstance(one, str) for one in allowed):
        return "String"
    kind = found.get("type")
    return _TYPES.get(kind, "") if isinstance(kind, str) else ""


def label_at(results: Mapping[str, str], pointer: str) -> str:
    """Return the label of the field at `pointer`: of the longest patterns that fit it or stand above it, the worse."""
    steps = steps_of(pointer)
    for length in range(len(steps), -1, -1):
        fitting = {label for pattern, label in results.items() if _fits(steps_of(pattern), steps[:length])}
        if fitting:
            return UNTRUSTED if UNTRUSTED in fitting else fitting.pop()
    return UNTRUSTED


def without_null(schema: Json) -> Json:
    """Take the null out of `["string", "null"]` and of `anyOf` with one other member."""
    if not isinstance(schema, dict):
        return schema
    kinds, members = schema.get("type"), schema.get("anyOf")
    if isinstance(kinds, list):
        others = [kind for kind in kinds if kind != "null"]
        return {**schema, "type": others[0]} if len(others) == 1 else schema
    if kinds is None and isinstance(members, list):
        plain = [one for one in members if not (isinstance(one, dict) and one.get("type") == "null")]
        if len(plain) == 1:
            return plain[0]
    return schema


def _fits(pattern: Sequence[str], steps: Sequence[str]) -> bool:
    return len(pattern) == len(steps) and all(
        mine in ("*", theirs) for mine, theirs in zip(pattern, steps, strict=True)
    )
