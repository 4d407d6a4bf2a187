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
    'context.user.id == "ana" && context.user.groups.contains("clerks")',
    'context.agent.level == "A" && context.arguments.amount > 1',
    "context.agent has confidence && context.agent.confidence >= 80",
    'context.operation.effect == "write" && context.operation.tier != "critical"',
    "context.task.untrusted && !context.task.granted",
    'context.labels has memo && context.labels.memo == "untrusted"',
    'if context.labels has to then ["user", "directory"].contains(context.labels.to) else true',
    "context.history.paid_today <= 7",
    "context.history has paid_to && context.history.paid_to > context.arguments.amount",
    'context.history.spent.lessThan(decimal("0.0007"))',
    "context.facts.order.days < 30 && !context.facts.order.refunded",
    'context.facts.order.customer == "crm-1" && context.facts.order.total.greaterThan(decimal("2.50"))',
]  # fmt: skip
NESTED = [
    'context.task == {use_case: "general", untrusted: true, granted: false}',
    'context.operation == {effect: "write", tier: "high"} && context.arguments.amount < 9',
    'context.facts == context.facts && context.facts.order.customer == "crm-1" && context.history.paid_today < 9',
    '[context.labels].contains(context.labels) && context.labels has to && context.labels.to == "user"',
    '[context.history].contains(context.history) && context.history.spent.lessThan(decimal("0.0007"))',
    '[context.user].contains(context.user) && context.user.groups.contains("clerks")',
    "context.user == context.user && context.user has clearance && context.user.clearance > 3",
]  # fmt: skip


def shard(*policies: str) -> CedarShard:
    shape = OperationShape(
        operation="pay",
        tool="bank",
        input_schema=SCHEMA,
        history={"paid_today": "Long", "paid_to": "Long", "spent": "decimal"},
        history_optional=frozenset({"paid_to"}),
        facts={"order": {"customer": "String", "days": "Long", "refunded": "Bool", "total": "decimal"}},
        labelled=("memo", "to"),
    )
    shards, problems = compile_policies("payer", {"p.cedar": "\n".join(policies)}, [shape], USER)
    assert problems == ()
    found = shards["pay"]
    assert isinstance(found, CedarShard)
    return found


def exact(text: str) -> JsonObject:
    return {"__extn": {"fn": "decimal", "arg": text}}


def plain(text: str, asked: Question) -> tuple[bool, bool]:
    """Ask Cedar itself with the context as written: whether it permits, and whether a policy erred."""
    confidence = {} if asked.confidence is None else {"confidence": asked.confidence}
    history = dict(asked.history)
    order = asked.facts["order"]
    context = {
        "agent": {"name": "payer", "level": asked.level, **confidence},
        "task": {"use_case": "general", "untrusted": asked.strangers, "granted": asked.granted},
        "operation": {"effect": asked.effect, "tier": asked.tier},
        "arguments": asked.arguments,
        "user": {"id": asked.user, "groups": list(asked.groups), **dict(asked.attributes)},
        "labels": dict(asked.labels),
        "history": {**history, "spent": exact(f"{history['spent'] / 10_000:.4f}")},
        "facts": {"order": {**order, "total": exact(f"{order['total']:.4f}")}},
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
    more: JsonObject | None = None,
) -> Question:
    said: JsonObject = {"level": "A", "confidence": None, "effect": "write", "tier": "high"} | (more or {})
    counts = said.get("history", {"paid_today": 3, "spent": 5})
    labels = said.get("labels", {"to": "user"})
    assert isinstance(counts, dict)
    assert isinstance(labels, dict)
    order: JsonObject = {"customer": "crm-1", "days": 12, "refunded": False, "total": 2.5}
    confidence = said["confidence"]
    assert confidence is None or isinstance(confidence, int)
    return Question(
        level=str(said["level"]),
        confidence=confidence,
        effect=str(said["effect"]),
        tier=str(said["tier"]),
        strangers=said.get("strangers", True) is True,
        granted=said.get("granted", False) is True,
        labels=tuple((name, str(label)) for name, label in labels.items()),
        history=tuple((name, count) for name, count in counts.items() if isinstance(count, int)),
        facts={"order": order | {name: said[name] for name in order if name in said}},
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
labels_ = st.sampled_from(["user", "directory", "system_of_record", "untrusted", "nowhere"])
more_ = st.fixed_dictionaries(
    {
        "level": st.sampled_from(["A", "B", "C"]),
        "confidence": st.none() | st.integers(70, 90),
        "effect": st.sampled_from(["read", "write"]),
        "tier": st.sampled_from(["high", "critical"]),
        "strangers": st.booleans(),
        "granted": st.booleans(),
        "labels": st.fixed_dictionaries({}, optional={"to": labels_, "memo": labels_}),
        "history": st.fixed_dictionaries(
            {"paid_today": st.integers(0, 10), "spent": st.integers(0, 12)}, optional={"paid_to": st.integers(0, 12)}
        ),
        "customer": st.sampled_from(["crm-1", "crm-2"]),
        "days": st.integers(28, 32),
        "refunded": st.booleans(),
        "total": st.sampled_from([2.5, 3, 2.4999]),
    }
)
questions_ = st.builds(question, arguments_, st.sampled_from(["ana", "tom"]), groups_, attributes_, more_)


@pytest.mark.requirement("R3.2", "R3.7")
@settings(max_examples=25, deadline=None)
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
