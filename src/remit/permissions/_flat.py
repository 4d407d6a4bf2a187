"""The context a shard is asked with: only what its policies read, and nothing nested.

Reading the context is most of what a decision costs (measured: 74 µs nested and whole, 28 µs so). A policy's
`context.arguments.amount_minor` is compiled to the attribute `arguments.amount_minor` of a flat context, which holds
only the attributes that some policy of the shard names. A shard with a policy that uses the context in any other way
(`context.arguments == ...`) keeps the nested form. Both give the same decisions: tests/permissions compares them.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from remit.core import Json, JsonObject
from remit.permissions._model import Question

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


def nested_context(question: Question, arguments: JsonObject, user: JsonObject) -> JsonObject:
    """Build the whole context, as policies are written against it."""
    return {
        "agent": {"name": question.agent},
        "task": {"use_case": question.use_case},
        "arguments": arguments,
        "user": user,
    }


def flat_context(reads: Reads, question: Question, arguments: JsonObject, user: JsonObject) -> JsonObject:
    """Build the context of `reads`. What the call does not have is left out, as in the nested form."""
    context: JsonObject = {}
    for name, section, attribute in reads:
        match section:
            case "arguments":
                if attribute in arguments:
                    context[name] = arguments[attribute]
            case "user":
                if attribute in user:
                    context[name] = user[attribute]
            case "agent":
                context[name] = question.agent
            case _:
                context[name] = question.use_case
    return context


_OPEN = frozenset({"arguments", "user"})  # sections whose attributes a project declares
_SECTIONS = {"agent": frozenset({"name"}), "task": frozenset({"use_case"})}


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
    if section not in _OPEN and attribute not in _SECTIONS.get(section, ()):
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
