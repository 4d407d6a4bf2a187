"""From a question to a policy's context: compiled once per operation, strict on every call.

A value that is not of its declared type is refused rather than passed on, because Cedar compares values of different
types as merely unequal, and a `forbid` on equality would then not apply.

    convert = converter(arguments_record(schema))
    convert({"amount_minor": 10000, "note": None})       # {"amount_minor": 10000}
"""

from collections.abc import Callable, Iterable, Mapping
from decimal import Decimal
from math import isfinite
from typing import assert_never

from remit.core import InputRefusedError, Json, JsonObject
from remit.permissions._history import DECIMAL_SCALE
from remit.permissions._model import GROUPS, ID, Question
from remit.permissions._types import (
    EFFECTS,
    LABELS,
    LEVELS,
    TIERS,
    CedarType,
    Record,
    Scalar,
    SetOf,
    record_at,
    type_text,
)

PERCENT_MAX = 100
LONG_MIN, LONG_MAX = -(1 << 63), (1 << 63) - 1  # Cedar's `Long`
DECIMAL_PLACES = 4  # Cedar's `decimal`
_REPORT = "ask the agent's owner: what a decision needs to know is not as it was declared"
DECIMAL_MIN, DECIMAL_MAX = Decimal(LONG_MIN).scaleb(-DECIMAL_PLACES), Decimal(LONG_MAX).scaleb(-DECIMAL_PLACES)

Converter = Callable[[Json], Json]

Teller = Callable[[Question], Json]
"""What a question says for one attribute of the context; None: nothing."""


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
    groups, own_id = GROUPS in wanted, ID in wanted
    types = {name: type_text(user.attributes[name].type) for name in wanted if name not in (GROUPS, ID)}

    def convert(question: Question) -> JsonObject:
        said: JsonObject = {GROUPS: list(question.groups)} if groups else {}
        if own_id:
            said[ID] = question.user
        for name, value in question.attributes if types else ():
            if name in types:
                if not _USER_CHECKS[types[name]](value):
                    raise _other_attribute(name, types[name])
                said[name] = value
        return said

    return convert


def tellers(context: Record) -> Mapping[tuple[str, str], Teller]:
    """Return, by section and attribute, what a question says beside arguments and user.

    They raise `InputRefusedError`: `label_unknown` for a word that no policy could know, `history_missing` and
    `fact_missing` for what every call is told and this one is not, `history_type` and `fact_type` for another type than
    declared, `confidence_invalid` for one that is no whole number. (Cedar would take what is missing or of another type
    for merely unequal, and a `forbid` would not apply.)
    """
    history, facts = record_at(context, ("history",)), record_at(context, ("facts",))
    labels = record_at(context, ("labels",))
    told = dict(_SAID)
    told |= {("labels", name): _label(name) for name in (labels.attributes if labels else ())}
    for name, part in history.attributes.items() if history else ():
        told["history", name] = _counted(name, exact=type_text(part.type) == "decimal", required=part.required)
    for name, part in facts.attributes.items() if facts else ():
        if isinstance(part.type, Record):
            told["facts", name] = _fact(name, part.type)
    return told


def _closed(what: str, words: Iterable[str], said: Callable[[Question], str]) -> Teller:
    plain = {word: word for word in words}

    def tell(question: Question) -> Json:
        word = said(question)
        if word not in plain:
            raise _unknown_word(what, word)
        return plain[word]

    return tell


def _confidence(question: Question) -> Json:
    said = question.confidence
    if said is not None and (type(said) is not int or not 0 <= said <= PERCENT_MAX):
        raise InputRefusedError(
            "confidence_invalid", "the confidence is no whole number from 0 to 100", "say it in percent"
        )
    return said


_SAID: Mapping[tuple[str, str], Teller] = {
    ("agent", "confidence"): _confidence,
    ("agent", "level"): _closed("level", LEVELS, lambda question: question.level),
    ("agent", "name"): lambda question: question.agent,
    ("operation", "effect"): _closed("effect", EFFECTS, lambda question: question.effect),
    ("operation", "tier"): _closed("tier", TIERS, lambda question: question.tier),
    ("task", "granted"): lambda question: question.granted,
    ("task", "untrusted"): lambda question: question.strangers,
    ("task", "use_case"): lambda question: question.use_case,
}


def _label(argument: str) -> Teller:
    plain = {label: label for label in LABELS}

    def tell(question: Question) -> Json:
        for name, label in question.labels:
            if name == argument:
                if label not in plain:
                    raise _unknown_word(f"label of `{argument}`", label)
                return plain[label]
        return None

    return tell


def _unknown_word(what: str, word: str) -> InputRefusedError:
    return InputRefusedError("label_unknown", f"the {what} is {word[:40]!r}, which no policy can know", _REPORT)


def _counted(counter: str, *, exact: bool, required: bool) -> Teller:
    def tell(question: Question) -> Json:
        for name, count in question.history:
            if name == counter:
                if type(count) is not int or not LONG_MIN <= count <= LONG_MAX:
                    raise InputRefusedError("history_type", f"the history `{counter}` is not a Long", _REPORT)
                return _extension(Decimal(count) / DECIMAL_SCALE) if exact else count
        if required:
            raise InputRefusedError("history_missing", f"the history `{counter}` is not known", _REPORT)
        return None

    return tell


def _fact(fact: str, record: Record) -> Teller:
    convert = _record_converter(record, f"facts.{fact}.")
    names = record.attributes.keys()

    def tell(question: Question) -> Json:
        known = question.facts.get(fact)
        if known is None:
            raise InputRefusedError("fact_missing", f"the fact `{fact}` is not known", _REPORT)
        try:
            said = convert(known)
        except InputRefusedError as refused:
            raise InputRefusedError(
                "fact_type", f"a fact of another type than declared: {refused.message}", _REPORT
            ) from refused
        if len(said) != len(names):
            absent = ", ".join(f"`{name}`" for name in names if name not in said)
            raise InputRefusedError("fact_missing", f"the fact `{fact}` does not say {absent}", _REPORT)
        return said

    return tell


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
        exact = Decimal(repr(value)) if type(value) is int or isfinite(value) else DECIMAL_MAX + 1
        if not DECIMAL_MIN <= exact <= DECIMAL_MAX or exact != round(exact, DECIMAL_PLACES):
            raise InputRefusedError(
                "argument_not_decimal",
                f"`{path}` is not a decimal with at most {DECIMAL_PLACES} places within ±{DECIMAL_MAX}",
                "round it, or send an integer in minor units",
            )
        return _extension(exact)

    return convert


def _extension(exact: Decimal) -> JsonObject:
    return {"__extn": {"fn": "decimal", "arg": f"{exact:.{DECIMAL_PLACES}f}"}}


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
