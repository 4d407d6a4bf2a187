"""The context a shard is asked with: only what its policies read, and nothing nested.

Reading the context is most of what a decision costs (measured: 74 µs nested and whole, 28 µs so). A policy's
`context.arguments.amount_minor` is compiled to the attribute `arguments.amount_minor` of a flat context, which holds
only the attributes that some policy of the shard names. A shard with a policy that uses the context in any other way
(`context.arguments == ...`) keeps the nested form. Both give the same decisions: tests/permissions compares them.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from remit.core import Json, JsonObject
from remit.permissions._convert import Teller
from remit.permissions._model import Question

SECTIONS = frozenset({"agent", "arguments", "facts", "history", "labels", "operation", "task", "user"})
"""What the context is made of."""

_CONTEXT: JsonObject = {"Var": "context"}

Reads = tuple[tuple[str, str, str], ...]
"""The flat attributes that policies read, each as its name, its section of the context and its name there."""


class _NestedError(Exception):
    """A use of the context that has no flat form."""


@dataclass(frozen=True, slots=True)
class Flattened:
    """Policies over a flat context, and what they read of it."""

    policies: Mapping[str, JsonObject]
    reads: Reads


def flatten(policies: Mapping[str, JsonObject]) -> Flattened | None:
    """Rewrite policies (id -> Cedar's JSON form) to a flat context; None where one of them needs the nested form."""
    reads: dict[str, tuple[str, str]] = {}
    try:
        flat = {name: _policy(policy, reads) for name, policy in policies.items()}
    except _NestedError:
        return None
    return Flattened(flat, tuple((name, *reads[name]) for name in sorted(reads)))


def read_of_user(reads: Reads) -> frozenset[str]:
    """Return what `reads` has of the user: the groups, and attributes by name."""
    return frozenset(attribute for _, section, attribute in reads if section == "user")


Builder = Callable[[Question, JsonObject, JsonObject], JsonObject]
"""Builds a context from a question, its converted arguments and its converted user."""


def nested_builder(told: Mapping[tuple[str, str], Teller]) -> Builder:
    """Return what builds the whole context, as policies are written against it."""
    sections = [section for section in SECTIONS if section not in _GIVEN]

    def build(question: Question, arguments: JsonObject, user: JsonObject) -> JsonObject:
        said: dict[str, JsonObject] = {section: {} for section in sections}
        for (section, attribute), tell in told.items():
            value = tell(question)
            if value is not None:
                said[section][attribute] = value
        return {**said, "arguments": arguments, "user": user}

    return build


def flat_builder(reads: Reads, told: Mapping[tuple[str, str], Teller]) -> Builder:
    """Return what builds the context of `reads`. What the call does not have is left out, as in the nested form."""
    of_arguments = [(name, attribute) for name, section, attribute in reads if section == "arguments"]
    of_user = [(name, attribute) for name, section, attribute in reads if section == "user"]
    others = [(name, told[section, attribute]) for name, section, attribute in reads if section not in _GIVEN]

    def build_arguments(_question: Question, arguments: JsonObject, _user: JsonObject) -> JsonObject:
        context: JsonObject = {}
        for name, attribute in of_arguments:
            if attribute in arguments:
                context[name] = arguments[attribute]
        return context

    def build(question: Question, arguments: JsonObject, user: JsonObject) -> JsonObject:
        context = build_arguments(question, arguments, user)
        for name, attribute in of_user:
            if attribute in user:
                context[name] = user[attribute]
        for name, tell in others:
            value = tell(question)
            if value is not None:
                context[name] = value
        return context

    return build if of_user or others else build_arguments


_GIVEN = frozenset({"arguments", "user"})  # sections that have a converter of their own


def _policy(policy: JsonObject, reads: dict[str, tuple[str, str]]) -> JsonObject:
    conditions = policy.get("conditions")
    if not isinstance(conditions, list):
        raise _NestedError
    rewritten: list[Json] = []
    for condition in conditions:
        if not isinstance(condition, dict) or "body" not in condition:
            raise _NestedError
        rewritten.append({**condition, "body": _expression(condition["body"], reads)})
    return {**policy, "conditions": rewritten}


def _expression(node: Json, reads: dict[str, tuple[str, str]]) -> Json:
    """Rewrite one expression: an object with one member, the operator, whose value holds the operands."""
    if not isinstance(node, dict) or len(node) != 1:
        raise _NestedError
    ((operator, body),) = node.items()
    match operator:
        case "Value":
            return node
        case "Var":
            if body == "context":
                raise _NestedError
            return node
        case "." | "has":
            return _access(operator, body, reads)
        case "Record":
            return {operator: {key: _expression(value, reads) for key, value in _members(body)}}
        case "like":
            return {operator: {**dict(_members(body)), "left": _expression(dict(_members(body)).get("left"), reads)}}
        case _:
            return {operator: _operands(body, reads)}


def _operands(body: Json, reads: dict[str, tuple[str, str]]) -> Json:
    if isinstance(body, list):
        return [_expression(item, reads) for item in body]
    return {key: value if isinstance(value, str) else _expression(value, reads) for key, value in _members(body)}


def _access(operator: str, body: Json, reads: dict[str, tuple[str, str]]) -> Json:
    """Rewrite `left.attr` or `left has attr`; the place where the context becomes flat is `context.section.attr`."""
    members = dict(_members(body))
    left, attribute = members.get("left"), members.get("attr")
    if not isinstance(attribute, str) or members.keys() != {"left", "attr"}:
        raise _NestedError
    section = _section(left)
    if section is None:
        return {operator: {"left": _expression(left, reads), "attr": attribute}}
    if section not in SECTIONS:
        raise _NestedError
    name = f"{section}.{attribute}"
    reads[name] = section, attribute
    return {operator: {"left": _CONTEXT, "attr": name}}


def _section(node: Json) -> str | None:
    """Return `x` where `node` is `context.x`."""
    if not isinstance(node, dict) or node.keys() != {"."}:
        return None
    members = dict(_members(node["."]))
    section = members.get("attr")
    return section if members.get("left") == _CONTEXT and isinstance(section, str) else None


def _members(body: Json) -> Iterable[tuple[str, Json]]:
    if not isinstance(body, dict):
        raise _NestedError
    return body.items()
