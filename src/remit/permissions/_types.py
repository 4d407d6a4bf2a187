"""From an operation's JSON Schema to the types a policy sees.

1. A value has a Cedar type only where its schema leaves one type: string, integer, boolean, number, a list of one such
   type, an object with declared properties; each of them may also be null, which is the same as absent.
2. Everything else is hidden, with the reason, so that a message can say why a policy cannot see it.
3. What an object carries beyond its declared properties is left out, so no caller can add an attribute, and none can
   smuggle in Cedar's own JSON escapes.

    record = arguments_record({"type": "object", "properties": {"amount_minor": {"type": "integer"}}})
    type_text(record)          # "{amount_minor?: Long}"
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import assert_never

from remit.core import Json, JsonObject
from remit.permissions._model import GROUPS, OperationShape, UserShape

ESCAPES = frozenset({"__entity", "__extn", "__expr"})
"""Keys that Cedar's JSON form gives a meaning of its own."""

_SCALARS = {"string": "String", "integer": "Long", "boolean": "Bool", "number": "decimal"}
_USER_SCALARS = {"text": "String", "number": "Long", "yes_no": "Bool"}
_REFERENCES = ("$ref", "$dynamicRef", "$recursiveRef")
_CHOICES = ("anyOf", "oneOf", "allOf", "not", "if")
# (Printable ASCII without quote, backslash and backtick: such a name needs no escape in policy text or in a message.)
_NAMEABLE = re.compile(r"[ !#-\[\]-_a-~]{1,128}", re.ASCII)
_IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_]*", re.ASCII)


NOBODY_SAYS_MORE = UserShape()
"""Users of whom only the groups are known."""


@dataclass(frozen=True, slots=True)
class Scalar:
    """`String`, `Long`, `Bool` or `decimal`."""

    name: str


@dataclass(frozen=True, slots=True)
class SetOf:
    """A list; Cedar knows neither its order nor its repetitions."""

    element: "CedarType"


@dataclass(frozen=True, slots=True)
class Record:
    """A closed object: `attributes` a policy can name, and `hidden` properties with the reason why it cannot."""

    attributes: Mapping[str, "Attribute"]
    hidden: Mapping[str, str]


CedarType = Scalar | SetOf | Record


@dataclass(frozen=True, slots=True)
class Attribute:
    """One property. `required` means that a call that fits the schema always carries it, and not as null."""

    type: CedarType
    required: bool


@dataclass(frozen=True, slots=True)
class Hidden:
    """A property without a Cedar type, and why."""

    why: str


def arguments_record(schema: JsonObject) -> Record:
    """Return what policies see of arguments that fit `schema`; an empty record when that is nothing."""
    if any(key in schema for key in _REFERENCES):
        return Record({}, {})
    return _object_record(schema)


def user_record(user: UserShape) -> Record:
    """Return what policies see of a user: the groups, always, and the declared attributes, each where it is known."""
    groups = Attribute(SetOf(Scalar("String")), required=True)
    said = {
        name: Attribute(Scalar(_USER_SCALARS[kind]), required=False) for name, kind in sorted(user.attributes.items())
    }
    return Record({GROUPS: groups, **said}, {})


def context_record(arguments: Record, user: Record) -> Record:
    """Return the type of a policy's `context` for an operation with these arguments and such users."""
    text = Attribute(Scalar("String"), required=True)
    return Record(
        {
            "agent": Attribute(Record({"name": text}, {}), required=True),
            "task": Attribute(Record({"use_case": text}, {}), required=True),
            "user": Attribute(user, required=True),
            "arguments": Attribute(arguments, required=True),
        },
        {},
    )


def record_at(context: Record, path: tuple[str, ...]) -> Record | None:
    """Return the record that `path` leads to from `context`, or None when it does not lead to one."""
    found: CedarType = context
    for name in path:
        attribute = found.attributes.get(name) if isinstance(found, Record) else None
        if attribute is None:
            return None
        found = attribute.type
    return found if isinstance(found, Record) else None


def type_text(typed: CedarType) -> str:
    """Write a type the way Cedar writes it."""
    match typed:
        case Scalar(name):
            return name
        case SetOf(element):
            return f"Set<{type_text(element)}>"
        case Record():
            return "{" + ", ".join(attribute_texts(typed)) + "}"
        case _:
            assert_never(typed)


def attribute_texts(record: Record) -> list[str]:
    """Write each attribute of `record` as `name: Type`, or `name?: Type` where it is optional."""
    return [
        f"{name}{'' if attribute.required else '?'}: {type_text(attribute.type)}"
        for name, attribute in record.attributes.items()
    ]


def path_text(path: tuple[str, ...]) -> str:
    """Write an attribute path as policy text: `context.arguments["order-id"]`."""
    return "context" + "".join(f".{name}" if _IDENTIFIER.fullmatch(name) else f'["{name}"]' for name in path)


def describe(shape: OperationShape, user: UserShape = NOBODY_SAYS_MORE) -> str:
    """Return, one per line, everything a policy may name for `shape`'s operation, with its Cedar type.

    Optional attributes show the guard they need; properties that policies cannot see stand at the end, with the reason.
    """
    context = context_record(arguments_record(shape.input_schema), user_record(user))
    lines = [
        f'action == Action::"{shape.operation}"',
        "principal: User",
        f'resource: Tool, always Tool::"{shape.tool}"',
    ]
    lines += _described(context, ())
    return "\n".join(lines)


def guard_text(path: tuple[str, ...]) -> str:
    """Write the test that makes the optional attribute at `path` safe to read."""
    last = path[-1] if _IDENTIFIER.fullmatch(path[-1]) else f'"{path[-1]}"'
    return f"{path_text(path[:-1])} has {last} && ..."


def _described(record: Record, path: tuple[str, ...]) -> list[str]:
    lines: list[str] = []
    for name, attribute in record.attributes.items():
        here = (*path, name)
        if not (isinstance(attribute.type, Record) and attribute.required):
            lines.append(f"{path_text(here)}: {type_text(attribute.type)}{_guard_note(here, attribute)}")
        if isinstance(attribute.type, Record):
            lines += _described(attribute.type, here)
    return lines + [f"{path_text((*path, name))}: not visible, {why}" for name, why in record.hidden.items()]


def _guard_note(path: tuple[str, ...], attribute: Attribute) -> str:
    return "" if attribute.required else f", optional: `{guard_text(path)}`"


def _typed(schema: Json) -> CedarType | Hidden:
    if not isinstance(schema, dict):
        return Hidden("its schema says nothing")
    reference = next((key for key in _REFERENCES if key in schema), None)
    if reference is not None:
        return Hidden(f"its schema is a `{reference}`")
    match schema.get("type"):
        case None:
            typed = _untyped(schema)
        case "array":
            typed = _array_type(schema)
        case "object":
            typed = _object_type(schema)
        case str(kind) if kind in _SCALARS:
            typed = Scalar(_SCALARS[kind])
        case kind:
            typed = Hidden("its schema allows several types" if isinstance(kind, list) else "it is always null")
    return typed


def _untyped(schema: JsonObject) -> CedarType | Hidden:
    allowed = schema.get("enum", [schema["const"]] if "const" in schema else [])
    if isinstance(allowed, list) and allowed and all(isinstance(value, str) for value in allowed):
        return Scalar("String")
    keyword = next((key for key in _CHOICES if key in schema), None)
    return Hidden(f"its schema is `{keyword}`" if keyword else "its schema names no type")


def _array_type(schema: JsonObject) -> CedarType | Hidden:
    if "prefixItems" in schema or "items" not in schema:
        return Hidden("its items have no single schema")
    items, nullable = _split_null(schema["items"])
    element = _typed(items)
    if nullable:
        return Hidden("its items may be null")
    return Hidden(f"its items have no single type: {element.why}") if isinstance(element, Hidden) else SetOf(element)


def _object_type(schema: JsonObject) -> CedarType | Hidden:
    if not isinstance(schema.get("properties"), dict):
        return Hidden("it is a free-form object")
    record = _object_record(schema)
    return record if record.attributes else Hidden("it is an object without typed properties")


def _object_record(schema: JsonObject) -> Record:
    properties = schema.get("properties")
    if not isinstance(properties, dict):
        return Record({}, {})
    listed = schema.get("required")
    required = set(listed) if isinstance(listed, list) else set()
    attributes: dict[str, Attribute] = {}
    hidden: dict[str, str] = {}
    for name in sorted(properties):
        plain, nullable = _split_null(properties[name])
        typed = _unnameable(name) or _typed(plain)
        if isinstance(typed, Hidden):
            hidden[name] = typed.why
        else:
            attributes[name] = Attribute(typed, required=name in required and not nullable)
    return Record(attributes, hidden)


def _unnameable(name: str) -> Hidden | None:
    if name in ESCAPES:
        return Hidden("Cedar gives its name a meaning of its own")
    return None if _NAMEABLE.fullmatch(name) else Hidden("its name needs escapes")


def _split_null(schema: Json) -> tuple[Json, bool]:
    """Take the null out of `["string", "null"]` and of `anyOf` with one other member; say whether there was one."""
    if not isinstance(schema, dict):
        return schema, False
    kinds = schema.get("type")
    if isinstance(kinds, list) and len(set(map(str, kinds)) - {"null"}) == 1:
        return {**schema, "type": next(kind for kind in kinds if kind != "null")}, "null" in kinds
    members = schema.get("anyOf")
    if (
        kinds is None and isinstance(members, list) and len(members) == 2
    ):  # what typed Python tools send for `str | None`
        others = [member for member in members if not _is_null(member)]
        if len(others) == 1:
            return others[0], True
    return schema, False


def _is_null(schema: Json) -> bool:
    return isinstance(schema, dict) and schema.get("type") == "null"
