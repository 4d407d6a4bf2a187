"""From a call's arguments and its user to a policy's context: compiled once per operation, strict on every call.

A value that is not of its declared type is refused rather than passed on, because Cedar compares values of different
types as merely unequal, and a `forbid` on equality would then not apply.

    convert = converter(arguments_record(schema))
    convert({"amount_minor": 10000, "note": None})       # {"amount_minor": 10000}
"""

from collections.abc import Callable, Mapping
from decimal import Decimal
from math import isfinite
from typing import assert_never

from remit.core import InputRefusedError, Json, JsonObject
from remit.permissions._model import GROUPS, Question
from remit.permissions._types import CedarType, Record, Scalar, SetOf, type_text

LONG_MIN, LONG_MAX = -(1 << 63), (1 << 63) - 1  # Cedar's `Long`
DECIMAL_PLACES = 4  # Cedar's `decimal`
DECIMAL_MIN, DECIMAL_MAX = Decimal(LONG_MIN).scaleb(-DECIMAL_PLACES), Decimal(LONG_MAX).scaleb(-DECIMAL_PLACES)

Converter = Callable[[Json], Json]


def converter(arguments: Record) -> Callable[[Mapping[str, Json]], JsonObject]:
    """Return the function that makes `context.arguments` of a call's arguments.

    Nulls and undeclared or hidden properties are left out. The function raises `InputRefusedError` with the code
    `argument_type` for a value of another type than declared, and `argument_not_decimal` for a number with more than
    four decimals or beyond ±922337203685477.5807.
    """
    return _record_converter(arguments, "")


def user_converter(user: Record, names: frozenset[str] | None) -> Callable[[Question], JsonObject] | None:
    """Return the function that makes `context.user`, or what of it is among `names`; None where that is nothing.

    What is not declared is left out. The function raises `InputRefusedError` with the code `user_attribute_type` for an
    attribute of another type than declared.
    """
    wanted = user.attributes.keys() if names is None else user.attributes.keys() & names
    if not wanted:
        return None
    groups = GROUPS in wanted
    types = {name: type_text(user.attributes[name].type) for name in wanted if name != GROUPS}

    def convert(question: Question) -> JsonObject:
        said: JsonObject = {GROUPS: list(question.groups)} if groups else {}
        for name, value in question.attributes if types else ():
            if name in types:
                if not _USER_CHECKS[types[name]](value):
                    raise _other_attribute(name, types[name])
                said[name] = value
        return said

    return convert


_USER_CHECKS: Mapping[str, Callable[[Json], bool]] = {
    "String": lambda value: type(value) is str,
    "Long": lambda value: type(value) is int and LONG_MIN <= value <= LONG_MAX,
    "Bool": lambda value: type(value) is bool,
}


def _other_attribute(name: str, expected: str) -> InputRefusedError:
    message = f"the user's `{name}` is not a {expected}, as it is declared"
    return InputRefusedError("user_attribute_type", message, "ask the agent's owner, who finds where it is mapped")


def _record_converter(record: Record, prefix: str) -> Callable[[Mapping[str, Json]], JsonObject]:
    parts = [(name, _converter(part.type, f"{prefix}{name}")) for name, part in record.attributes.items()]

    def convert(value: Mapping[str, Json]) -> JsonObject:
        return {name: part(given) for name, part in parts if (given := value.get(name)) is not None}

    return convert


def _converter(typed: CedarType, path: str) -> Converter:
    match typed:
        case Scalar("String"):
            return _checked(str, "String", path)
        case Scalar("Bool"):
            return _checked(bool, "Bool", path)
        case Scalar("Long"):
            return _long(path)
        case Scalar():
            return _decimal(path)
        case SetOf(element):
            return _set(_converter(element, f"{path}[]"), type_text(typed), path)
        case Record():
            return _object(_record_converter(typed, f"{path}."), path)
        case _:
            assert_never(typed)


def _checked(kind: type, name: str, path: str) -> Converter:
    def convert(value: Json) -> Json:
        if type(value) is not kind:
            raise _other_type(path, name)
        return value

    return convert


def _long(path: str) -> Converter:
    def convert(value: Json) -> Json:
        if type(value) is not int or not LONG_MIN <= value <= LONG_MAX:
            raise _other_type(path, "Long")
        return value

    return convert


def _decimal(path: str) -> Converter:
    def convert(value: Json) -> Json:
        if type(value) is not int and type(value) is not float:
            raise _other_type(path, "number")
        exact = Decimal(repr(value)) if isfinite(value) else DECIMAL_MAX + 1
        if not DECIMAL_MIN <= exact <= DECIMAL_MAX or exact != round(exact, DECIMAL_PLACES):
            raise InputRefusedError(
                "argument_not_decimal",
                f"`{path}` is not a decimal with at most {DECIMAL_PLACES} places within ±{DECIMAL_MAX}",
                "round it, or send an integer in minor units",
            )
        return {"__extn": {"fn": "decimal", "arg": f"{exact:.{DECIMAL_PLACES}f}"}}

    return convert


def _set(element: Converter, name: str, path: str) -> Converter:
    def convert(value: Json) -> Json:
        if not isinstance(value, list):
            raise _other_type(path, name)
        return [element(item) for item in value]

    return convert


def _object(record: Callable[[Mapping[str, Json]], JsonObject], path: str) -> Converter:
    def convert(value: Json) -> Json:
        if not isinstance(value, dict):
            raise _other_type(path, "record")
        return record(value)

    return convert


def _other_type(path: str, expected: str) -> InputRefusedError:
    return InputRefusedError("argument_type", f"`{path}` is not a {expected}", "send what the operation's schema says")
