"""The flat context that shards are asked with decides as the nested one that policies are written against."""

import json

import cedarpy
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from remit.core import Allow, Attribute, JsonObject
from remit.permissions import OperationShape, Question, UserShape, compile_policies
from remit.permissions._flat import flatten
from remit.permissions._shard import CedarShard

SCHEMA: JsonObject = {
    "type": "object",
    "additionalProperties": False,
    "required": ["amount", "to"],
    "properties": {
        "amount": {"type": "integer"},
        "to": {"type": "object", "additionalProperties": False, "required": ["city"], "properties": {
            "city": {"type": "string"}, "zip": {"type": "string"},
        }},
        "memo": {"type": "string"},
        "tags": {"type": "array", "items": {"type": "string"}},
        "urgent": {"type": "boolean"},
    },
}  # fmt: skip
USER = UserShape({"department": "text", "clearance": "number", "on-call": "yes_no"})
HEAD = 'permit (principal, action == Action::"pay", resource)'
CONDITIONS = [
    "context.arguments.amount < 10",
    'context.arguments.amount < 10 && context.task.use_case == "general"',
    'context.agent.name == "payer" && context.arguments.to.city like "B*"',
    'context.arguments has memo && context.arguments.memo == "x"',
    'context.arguments.to has zip && context.arguments.to.zip == "1"',
    'context.arguments has tags && context.arguments.tags.contains("a")',
    "if context.arguments has urgent then context.arguments.urgent else context.arguments.amount == 3",
    "!(context.arguments.amount == 3) || context.arguments has memo",
    "[context.arguments.amount, 7].contains(3)",
    "{n: context.arguments.amount}.n == 3",
    'principal == User::"ana" && context.arguments.amount > 1',
    'context.user.groups.contains("clerks") && context.arguments.amount < 10',
    "context.user.groups.isEmpty()",
    'context.user has department && context.user.department == "returns"',
    'context.user has department && context.user.department like "r*" && context.user.groups.contains("leads")',
    "context.user has clearance && context.user.clearance >= context.arguments.amount",
    'context.user has "on-call" && context.user["on-call"]',
    'if context.user has clearance then context.user.clearance > 2 else context.user.groups.containsAny(["leads"])',
    "!(context.user has department) && context.arguments.amount == 3",
]  # fmt: skip
NESTED = [
    'context.agent == {name: "payer"}',
    'context.task == {use_case: "general"}',
    '[context.user].contains(context.user) && context.user.groups.contains("clerks")',
    "context.user == context.user && context.user has clearance && context.user.clearance > 3",
]  # fmt: skip


def shard(*policies: str) -> CedarShard:
    shape = OperationShape(operation="pay", tool="bank", input_schema=SCHEMA)
    shards, problems = compile_policies("payer", {"p.cedar": "\n".join(policies)}, [shape], USER)
    assert problems == ()
    found = shards["pay"]
    assert isinstance(found, CedarShard)
    return found


def plain(text: str, asked: Question) -> tuple[bool, bool]:
    """Ask Cedar itself with the context as written: whether it permits, and whether a policy erred."""
    context = {
        "agent": {"name": "payer"},
        "task": {"use_case": "general"},
        "arguments": asked.arguments,
        "user": {"groups": list(asked.groups), **dict(asked.attributes)},
    }
    request = {
        "principal": {"type": "User", "id": asked.user},
        "action": {"type": "Action", "id": "pay"},
        "resource": {"type": "Tool", "id": "bank"},
        "context": json.dumps(context),
    }
    said = cedarpy.is_authorized(request, text, "[]")
    return said.allowed, bool(said.diagnostics.errors)


def question(
    arguments: JsonObject,
    user: str = "ana",
    groups: tuple[str, ...] = (),
    attributes: tuple[tuple[str, Attribute], ...] = (),
) -> Question:
    return Question(
        user=user,
        agent="payer",
        use_case="general",
        operation="pay",
        tool="bank",
        arguments=arguments,
        groups=groups,
        attributes=attributes,
    )


arguments_ = st.fixed_dictionaries(
    {
        "amount": st.integers(0, 12),
        "to": st.fixed_dictionaries(
            {"city": st.sampled_from(["B", "C"])}, optional={"zip": st.sampled_from(["1", "2"])}
        ),
    },
    optional={
        "memo": st.sampled_from(["x", "y"]),
        "tags": st.lists(st.sampled_from(["a", "b"]), max_size=2, unique=True),
        "urgent": st.booleans(),
    },
)


groups_ = st.lists(st.sampled_from(["clerks", "leads"]), max_size=2, unique=True).map(lambda names: (*sorted(names),))
attributes_ = st.fixed_dictionaries(
    {},
    optional={
        "department": st.sampled_from(["returns", "sales"]),
        "clearance": st.integers(0, 12),
        "on-call": st.booleans(),
    },
).map(lambda said: (*sorted(said.items()),))
questions_ = st.builds(question, arguments_, st.sampled_from(["ana", "tom"]), groups_, attributes_)


@pytest.mark.requirement("R3.2", "R3.7")
@settings(max_examples=40, deadline=None)
@given(asked=questions_)
@pytest.mark.parametrize("condition", CONDITIONS + NESTED)
def test_a_shard_decides_as_plain_cedar_does(condition: str, asked: Question) -> None:
    text = f"{HEAD} when {{ {condition} }};"
    permitted, erred = plain(text, asked)
    assert not erred
    assert isinstance(shard(text).decide(asked), Allow) is permitted


def test_only_what_is_read_is_sent() -> None:
    flat = shard(f"{HEAD} when {{ context.arguments has memo && context.arguments.amount < 3 }};")
    assert flat.reads == (("arguments.amount", "arguments", "amount"), ("arguments.memo", "arguments", "memo"))


def test_only_what_is_read_of_the_user_is_sent() -> None:
    of_groups = shard(f'{HEAD} when {{ context.user.groups.contains("leads") && context.arguments.amount < 3 }};')
    assert of_groups.reads == (("arguments.amount", "arguments", "amount"), ("user.groups", "user", "groups"))
    asked = question({"amount": 1, "to": {"city": "B"}}, groups=("leads",), attributes=(("clearance", 3),))
    assert of_groups.convert_user is not None
    assert of_groups.convert_user(asked) == {"groups": ["leads"]}
    of_nobody = shard(f"{HEAD} when {{ context.arguments.amount < 3 }};")
    assert of_nobody.convert_user is None, "what is not read costs nothing"


@pytest.mark.parametrize("condition", NESTED)
def test_a_policy_that_takes_the_context_whole_keeps_all_of_them_nested(condition: str) -> None:
    both = shard(f"{HEAD} when {{ {condition} }};", f"{HEAD} when {{ context.arguments.amount == 7 }};")
    assert both.reads is None
    assert isinstance(both.decide(question({"amount": 7, "to": {"city": "C"}})), Allow)


def test_what_the_rewriting_does_not_know_stays_nested() -> None:
    context: JsonObject = {"Var": "context"}
    unknown: JsonObject = {".": {"left": {".": {"left": context, "attr": "session"}}, "attr": "id"}}
    bare: JsonObject = {"==": {"left": context, "right": {"Value": 1}}}
    whole: JsonObject = {".": {"left": context, "attr": "arguments"}}
    known: JsonObject = {".": {"left": whole, "attr": "amount"}}
    policies: list[JsonObject] = [
        {"effect": "permit", "conditions": [{"kind": "when", "body": body}]} for body in (unknown, bare, whole, known)
    ]
    assert [flatten({"p": policy}) is None for policy in policies] == [True, True, True, False]


def test_a_missing_attribute_denies_in_the_flat_form_too() -> None:
    flat = shard(f"{HEAD} when {{ context.arguments.amount < 3 }};")
    assert not isinstance(flat.decide(question({"to": {"city": "B"}})), Allow)
    assert isinstance(flat.decide(question({"amount": 1, "to": {"city": "B"}})), Allow)
