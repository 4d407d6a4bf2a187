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
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from math import ceil, floor, isfinite
from typing import assert_never

from remit.core import Json, JsonObject, Level
from remit.permissions._flow import Label
from remit.permissions._history import DECIMAL_SCALE
from remit.permissions._model import GROUPS, ID, Known, OperationShape, UserShape

ESCAPES = frozenset({"__entity", "__extn", "__expr"})
"""Keys that Cedar's JSON form gives a meaning of its own."""

EFFECTS = ("execute", "irreversible", "read", "write")
"""What an operation does to the world, as policies name it."""

TIERS = ("critical", "high", "low", "medium")
"""How much is at stake, as policies name it."""

LEVELS = (*sorted(str(level) for level in Level),)
"""How an agent is attached, as policies name it."""

LABELS = (*sorted(str(label) for label in Label),)
"""Where the worst value of an argument came from, as policies name it."""

_TEXTS_MAX = 40  # of a closed set, in one line
_SCALARS = {"string": "String", "integer": "Long", "boolean": "Bool", "number": "decimal"}
_USER_SCALARS = {"text": "String", "number": "Long", "yes_no": "Bool"}
_REFERENCES = ("$ref", "$dynamicRef", "$recursiveRef")
_CHOICES = ("anyOf", "oneOf", "allOf", "not", "if")
# (Printable ASCII without quote, backslash and backtick: such a name needs no escape in policy text or in a message.)
_NAMEABLE = re.compile(r"[ !#-\[\]-_a-~]{1,128}", re.ASCII)
_IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_]*", re.ASCII)


NOBODY_SAYS_MORE = UserShape()
"""Users of whom only id and groups are known."""

NOTHING_KNOWN = Known()
"""A project whose agents and use cases are not asked about."""


@dataclass(frozen=True, slots=True)
class Scalar:
    """`String`, `Long`, `Bool` or `decimal`.

    `texts` are all that a String can be, `numbers` all that a Long can be; None: anything. `fixed` says that `texts`
    can only change with the schema itself; otherwise they are what this project has so far. A number is `least` or more
    and `most` or less; a decimal in ten-thousandths.
    """

    name: str
    texts: frozenset[str] | None = None
    fixed: bool = True
    numbers: frozenset[int] | None = None
    least: int | None = None
    most: int | None = None


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
    """Return what policies see of a user: id and groups, always, and the declared attributes, where they are known."""
    said = {name: _may(Scalar(_USER_SCALARS[kind])) for name, kind in sorted(user.attributes.items())}
    return Record({ID: _must(Scalar("String")), GROUPS: _must(SetOf(Scalar("String"))), **said}, {})


def context_record(shape: OperationShape, user: Record, known: Known) -> Record:
    """Return the type of a policy's `context` for the operation of `shape` and such users, in a project of `known`."""
    sections = {
        "agent": _AGENT,
        "task": _TASK,
        "user": user,
        "operation": _OPERATION,
        "arguments": arguments_record(shape.input_schema),
        "labels": Record({name: _LABEL for name in sorted(shape.labelled) if _unnameable(name) is None}, {}),
        "history": history_record(shape),
        "facts": facts_record(shape),
    }
    context = Record({name: _must(record) for name, record in sections.items()}, {})
    return with_known(context, known)


def with_known(context: Record, known: Known) -> Record:
    """Return `context` with the names of this project as what `agent.name` and `task.use_case` can be."""
    name, use_case = (Scalar("String", texts, fixed=False) for texts in (known.agents, known.use_cases))
    agent, task = (
        _must(Record({**record.attributes, part: _must(said)}, {}))
        for record, part, said in ((_AGENT, "name", name), (_TASK, "use_case", use_case))
    )
    return Record({**context.attributes, "agent": agent, "task": task}, {})


def history_record(shape: OperationShape) -> Record:
    """Return what policies see of what was counted before; nothing is counted below zero."""
    said = {
        name: Attribute(Scalar(kind, least=0), required=name not in shape.history_optional)
        for name, kind in sorted(shape.history.items())
    }
    return Record(said, {})


def facts_record(shape: OperationShape) -> Record:
    """Return what policies see of what was looked up: each fact, whole."""
    facts = sorted(shape.facts.items())
    said = {
        name: Record({key: _must(Scalar(kind)) for key, kind in sorted(values.items())}, {}) for name, values in facts
    }
    return Record({name: _must(record) for name, record in said.items()}, {})


def _must(typed: CedarType) -> Attribute:
    return Attribute(typed, required=True)


def _may(typed: CedarType) -> Attribute:
    return Attribute(typed, required=False)


_AGENT = Record(
    {
        "confidence": _may(Scalar("Long", least=0, most=100)),  # (in percent; a call that says more is refused)
        "level": _must(Scalar("String", frozenset(LEVELS))),
        "name": _must(Scalar("String")),
    },
    {},
)
_TASK = Record(
    {name: _must(Scalar(kind)) for name, kind in (("granted", "Bool"), ("untrusted", "Bool"), ("use_case", "String"))},
    {},
)
_OPERATION = Record(
    {"effect": _must(Scalar("String", frozenset(EFFECTS))), "tier": _must(Scalar("String", frozenset(TIERS)))}, {}
)
_LABEL = _may(Scalar("String", frozenset(LABELS)))


def type_at(context: Record, path: tuple[str, ...]) -> CedarType | None:
    """Return the type of what `path` leads to from `context`, or None when it leads nowhere."""
    found: CedarType = context
    for name in path:
        attribute = found.attributes.get(name) if isinstance(found, Record) else None
        if attribute is None:
            return None
        found = attribute.type
    return found


def value_at(context: Record, path: tuple[str, ...]) -> CedarType | None:
    """Return the type of what `path` leads to, through lists too: a name after a list's is one of its items'."""
    found: CedarType = context
    for name in path:
        while isinstance(found, SetOf):
            found = found.element
        attribute = found.attributes.get(name) if isinstance(found, Record) else None
        if attribute is None:
            return None
        found = attribute.type
    return found


def record_at(context: Record, path: tuple[str, ...]) -> Record | None:
    """Return the record that `path` leads to from `context`, or None when it does not lead to one."""
    found = type_at(context, path)
    return found if isinstance(found, Record) else None


def texts_of(typed: CedarType | None) -> frozenset[str] | None:
    """Return all that a text of this type can be, or an item of a list of it; None: anything, or it is no text."""
    match typed:
        case Scalar("String", texts):
            return texts
        case SetOf(element):
            return texts_of(element)
        case _:
            return None


def type_text(typed: CedarType) -> str:
    """Write a type the way Cedar writes it."""
    match typed:
        case Scalar(name=name):
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


def describe(shape: OperationShape, user: UserShape = NOBODY_SAYS_MORE, known: Known = NOTHING_KNOWN) -> str:
    """Return, one per line, everything a policy may name for `shape`'s operation, with its Cedar type.

    Closed sets show their values, optional attributes the guard they need; properties that policies cannot see stand at
    the end of their section, with the reason.
    """
    context = context_record(shape, user_record(user), known)
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
            lines.append(f"{path_text(here)}: {type_text(attribute.type)}{_notes(here, attribute)}")
        if isinstance(attribute.type, Record):
            lines += _described(attribute.type, here)
    return lines + [f"{path_text((*path, name))}: not visible, {why}" for name, why in record.hidden.items()]


def _notes(path: tuple[str, ...], attribute: Attribute) -> str:
    texts = [f'"{text}"' for text in sorted(texts_of(attribute.type) or ())]
    more = f" and {len(texts) - _TEXTS_MAX} more" if len(texts) > _TEXTS_MAX else ""
    closed = f", of {', '.join(texts[:_TEXTS_MAX])}{more}" if texts else ""
    return closed if attribute.required else f"{closed}, optional: `{guard_text(path)}`"


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
            typed = _bounded(Scalar(_SCALARS[kind]), schema)
        case kind:
            typed = Hidden("its schema allows several types" if isinstance(kind, list) else "it is always null")
    return typed


def _untyped(schema: JsonObject) -> CedarType | Hidden:
    allowed = _allowed(schema)
    if allowed and all(isinstance(value, str) for value in allowed):
        return _bounded(Scalar("String"), schema)
    keyword = next((key for key in _CHOICES if key in schema), None)
    return Hidden(f"its schema is `{keyword}`" if keyword else "its schema names no type")


def _allowed(schema: JsonObject) -> list[Json]:
    """Return the values that `enum` or `const` list; none where they list nothing."""
    allowed = schema.get("enum", [schema["const"]] if "const" in schema else [])
    return allowed if isinstance(allowed, list) else []


def _bounded(scalar: Scalar, schema: JsonObject) -> Scalar:
    """Add to a scalar what its schema says its values are. More keywords may say less, never more."""
    allowed = _allowed(schema)
    match scalar.name:
        case "String":
            # (A set without a text is left open: what it means is for the schema's own check to say.)
            return replace(scalar, texts=frozenset(value for value in allowed if isinstance(value, str)) or None)
        case "Long":
            whole = frozenset(number for value in allowed if (number := _whole(value)) is not None)
            least, most = _limits(schema, 1)
            return replace(scalar, numbers=whole or None, least=least, most=most)
        case "decimal":
            least, most = _limits(schema, DECIMAL_SCALE)
            return replace(scalar, least=least, most=most)
        case _:
            return scalar


def _whole(value: Json) -> int | None:
    if isinstance(value, float) and value.is_integer():
        return int(value)  # (2.0 is the integer 2: JSON Schema 2020-12 Core, section 4.2.3)
    return value if type(value) is int else None


def _limits(schema: JsonObject, scale: int) -> tuple[int | None, int | None]:
    """Return the schema's bounds in whole steps of `1 / scale`, rounded inwards as no value lies between two steps."""
    low, above, high, below = (
        _steps(schema.get(keyword), scale) for keyword in ("minimum", "exclusiveMinimum", "maximum", "exclusiveMaximum")
    )
    least = [ceil(bound) for bound in low] + [floor(bound) + 1 for bound in above]
    most = [floor(bound) for bound in high] + [ceil(bound) - 1 for bound in below]
    return max(least, default=None), min(most, default=None)


def _steps(bound: Json, scale: int) -> Iterable[Decimal]:
    if type(bound) is not int and not (isinstance(bound, float) and isfinite(bound)):
        return ()
    return (Decimal(repr(bound)) * scale,)


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
