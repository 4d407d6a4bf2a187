"""What policies see beside arguments and user: agent, task, operation, labels, history and facts, typed strictly."""

from typing import Any

import pytest

from remit.core import Allow, Json, JsonObject
from remit.permissions import Known, OperationShape, Question, compile_policies, describe
from remit.permissions._shard import CedarShard

REFUND = OperationShape(
    operation="refund_order",
    tool="orders",
    input_schema={
        "type": "object",
        "properties": {
            "order_id": {"type": "string"},
            "currency": {"type": "string", "enum": ["EUR", "USD"]},
            "parts": {"type": "array", "items": {"type": "string", "enum": ["goods", "postage"]}},
        },
        "required": ["order_id", "currency"],
    },
    effect="write",
    tier="high",
    history={"refunded_today": "Long", "refunded_to": "Long", "refunded_sum": "decimal"},
    history_optional=frozenset({"refunded_to"}),
    facts={"order": {"customer": "String", "days": "Long", "refunded": "Bool", "total": "decimal"}},
    labelled=("order_id",),
)
OTHER = OperationShape(
    operation="quote",
    tool="orders",
    input_schema={
        "type": "object",
        "properties": {"currency": {"type": "string", "enum": ["GBP"]}},
        "required": ["currency"],
    },
)
KNOWN = Known(use_cases=frozenset({"refund", "query"}), agents=frozenset({"refunds", "tracker"}))
ORDER: JsonObject = {"customer": "crm-1", "days": 12, "refunded": False, "total": 99.5}
HEAD = 'permit(principal, action == Action::"refund_order", resource)'
# (Any record compared whole keeps a shard's policies in the nested form.)
WHOLE = 'forbid(principal, action, resource) when { context.operation == {effect: "read", tier: "low"} };'


def decided(condition: str, *, nested: bool = False, **said: Any) -> str:
    text = f"{HEAD}\nwhen {{ {condition} }};"
    shards, problems = compile_policies("refunds", {"p.cedar": f"{text}\n{WHOLE}" if nested else text}, [REFUND])
    assert problems == ()
    shard = shards["refund_order"]
    assert isinstance(shard, CedarShard)
    assert (shard.reads is None) is nested
    full: dict[str, Any] = {
        "user": "ana",
        "agent": "refunds",
        "use_case": "refund",
        "operation": "refund_order",
        "tool": "orders",
        "arguments": {"order_id": "o1", "currency": "EUR"},
        "effect": "write",
        "tier": "high",
        "level": "A",
        "history": (("refunded_today", 3), ("refunded_sum", 1_000_000)),
        "facts": {"order": ORDER},
    }
    decision = shard.decide(Question(**{**full, **said}))
    return "allow" if isinstance(decision, Allow) else decision.reason.code


def order(**said: Json) -> dict[str, JsonObject]:
    return {"order": {name: value for name, value in {**ORDER, **said}.items() if value != "left out"}}


def counted(**said: object) -> dict[str, object]:
    counts = {"refunded_today": 3, "refunded_sum": 1_000_000, **said}
    return {"history": tuple((name, count) for name, count in counts.items() if count is not None)}


TOTAL = 'context.facts.order.total.lessThan(decimal("100.00"))'


@pytest.mark.requirement("R3.2", "R3.3", "R3.4", "R3.9")
@pytest.mark.parametrize("nested", [False, True])
@pytest.mark.parametrize(
    ("condition", "said", "expected"),
    [
        ('context.agent.level == "A"', {}, "allow"),
        ('context.agent.level == "A"', {"level": "C"}, "policy_no_permit"),
        ("context.agent has confidence && context.agent.confidence >= 80", {"confidence": 80}, "allow"),
        ("context.agent has confidence && context.agent.confidence >= 80", {"confidence": 79}, "policy_no_permit"),
        ("context.agent has confidence && context.agent.confidence >= 80", {}, "policy_no_permit"),
        ("!context.task.untrusted", {}, "policy_no_permit"),
        ("!context.task.untrusted", {"strangers": False}, "allow"),
        ("context.task.granted", {}, "policy_no_permit"),
        ("context.task.granted", {"granted": True}, "allow"),
        ('context.user.id == "ana"', {}, "allow"),
        ('context.user.id == "ana"', {"user": "tom"}, "policy_no_permit"),
        ('context.operation.effect == "write" && context.operation.tier == "high"', {}, "allow"),
        ('context.operation.tier == "high"', {"tier": "critical"}, "policy_no_permit"),
        (
            'context.labels has order_id && context.labels.order_id == "user"',
            {"labels": (("order_id", "user"),)},
            "allow",
        ),
        ('context.labels has order_id && context.labels.order_id == "user"', {}, "policy_no_permit"),
        ("context.history.refunded_today <= 3", {}, "allow"),
        ("context.history.refunded_today <= 3", counted(refunded_today=4), "policy_no_permit"),
        ("context.history has refunded_to && context.history.refunded_to < 9", counted(refunded_to=8), "allow"),
        ("context.history has refunded_to && context.history.refunded_to < 9", {}, "policy_no_permit"),
        ('context.history.refunded_sum.lessThanOrEqual(decimal("100.00"))', {}, "allow"),
        (
            'context.history.refunded_sum.lessThanOrEqual(decimal("100.00"))',
            counted(refunded_sum=1_000_001),
            "policy_no_permit",
        ),
        (f"context.facts.order.days < 30 && !context.facts.order.refunded && {TOTAL}", {}, "allow"),
        ("context.facts.order.days < 30", {"facts": order(days=30)}, "policy_no_permit"),
        (TOTAL, {"facts": order(total=100)}, "policy_no_permit"),
        ('context.facts.order.customer == "crm-1"', {"facts": order(customer="crm-2")}, "policy_no_permit"),
    ],
)
def test_policies_see_what_a_question_says(
    condition: str, said: dict[str, Any], expected: str, *, nested: bool
) -> None:
    assert decided(condition, nested=nested, **said) == expected


@pytest.mark.requirement("R3.8")
@pytest.mark.parametrize("nested", [False, True])
@pytest.mark.parametrize(
    ("condition", "said", "expected"),
    [
        ("context.facts.order.days != 30", {"facts": order(days="30")}, "fact_type"),
        ("context.facts.order.days != 30", {"facts": order(days=30.0)}, "fact_type"),
        ("context.facts.order.days != 30", {"facts": order(days=True)}, "fact_type"),
        ("context.facts.order.days != 30", {"facts": order(days=1 << 63)}, "fact_type"),
        ("!context.facts.order.refunded", {"facts": order(refunded=0)}, "fact_type"),
        ('context.facts.order.customer != "x"', {"facts": order(customer={"__entity": 1})}, "fact_type"),
        (TOTAL, {"facts": order(total="1.00")}, "fact_type"),
        (TOTAL, {"facts": order(total=float("nan"))}, "fact_type"),
        (TOTAL, {"facts": order(total=1e300)}, "fact_type"),
        (TOTAL, {"facts": order(total=0.00001)}, "fact_type"),
        ("context.facts.order.days != 30", {"facts": order(days=None)}, "fact_missing"),
        ("context.facts.order.days != 30", {"facts": order(days="left out")}, "fact_missing"),
        ("context.facts.order.days != 30", {"facts": {}}, "fact_missing"),
        ("context.history.refunded_today != 9", {"history": ()}, "history_missing"),
        ("context.history.refunded_today != 9", counted(refunded_today=None), "history_missing"),
        ("context.history.refunded_today != 9", counted(refunded_today="9"), "history_type"),
        ("context.history.refunded_today != 9", counted(refunded_today=9.0), "history_type"),
        ("context.history.refunded_today != 9", counted(refunded_today=True), "history_type"),
        ("context.history.refunded_today != 9", counted(refunded_today=1 << 63), "history_type"),
        ("!(context.history has refunded_to)", counted(refunded_to="9"), "history_type"),
        ("!(context.labels has order_id)", {"labels": (("order_id", "trusted"),)}, "label_unknown"),
        ('context.agent.level != "C"', {"level": "D"}, "label_unknown"),
        ('context.operation.tier != "low"', {"tier": "none"}, "label_unknown"),
        ('context.operation.effect != "read"', {"effect": "Read"}, "label_unknown"),
        ("!(context.agent has confidence)", {"confidence": 0.5}, "confidence_invalid"),
        ("!(context.agent has confidence)", {"confidence": "high"}, "confidence_invalid"),
        ("!(context.agent has confidence)", {"confidence": 1 << 70}, "confidence_invalid"),
    ],
)
def test_what_is_missing_or_of_another_type_denies_and_is_not_merely_unequal(
    condition: str, said: dict[str, Any], expected: str, *, nested: bool
) -> None:
    assert decided(condition, nested=nested, **said) == expected


def test_what_a_caller_forgets_to_say_is_the_worst() -> None:
    asked = Question(
        user="ana",
        agent="refunds",
        use_case="refund",
        operation="refund_order",
        tool="orders",
        arguments={"order_id": "o1", "currency": "EUR"},
    )
    condition = (
        'context.agent.level == "C" && context.operation.effect == "irreversible" && context.task.untrusted && '
        'context.operation.tier == "critical" && !context.task.granted && !(context.agent has confidence)'
    )
    shards, _ = compile_policies("refunds", {"p.cedar": f"{HEAD} when {{ {condition} }};"}, [REFUND])
    assert shards["refund_order"].decide(asked) == Allow()


# -- texts that nothing is ever equal to


def problems(condition: str, scope: str = 'action == Action::"refund_order"', known: object = KNOWN) -> list[str]:
    text = f"forbid(principal, {scope}, resource)\nwhen {{\n  {condition}\n}};"
    assert isinstance(known, Known | dict)
    found = compile_policies("refunds", {"p.cedar": text}, [REFUND, OTHER], known=known)[1]
    return [f"{problem.line} {problem.code} {problem.message} {problem.fix}" for problem in found]


@pytest.mark.requirement("R3.8")
@pytest.mark.parametrize(
    ("condition", "says"),
    [
        ('context.task.use_case == "refnd"', "did you mean `refund`?"),
        ('"refnd" != context.task.use_case', "did you mean `refund`?"),
        ('["query", "refnd"].contains(context.task.use_case)', "did you mean `refund`?"),
        ('context.task.use_case like "refnd"', "did you mean `refund`?"),
        ('context.agent.name == "traker"', "did you mean `tracker`?"),
        ('context.agent.level == "D"', "one of `A`, `B`, `C`"),
        ('context.agent.level == "a"', "one of `A`, `B`, `C`"),
        ('context.operation.effect == "irreversable"', "did you mean `irreversible`?"),
        ('context.operation.tier == "hihg"', "did you mean `high`?"),
        ('context.labels has order_id && context.labels.order_id == "untrustd"', "did you mean `untrusted`?"),
        ('context.arguments.currency == "EURO"', "did you mean `EUR`?"),
        ('context.arguments has parts && context.arguments.parts.contains("good")', "did you mean `goods`?"),
        ('context.arguments has parts && context.arguments.parts.containsAny(["good"])', "did you mean `goods`?"),
        ('context.arguments has parts && context.arguments.parts == ["good"]', "did you mean `goods`?"),
        ('context.task.granted || (false && context.arguments.currency == "EURO")', "did you mean `EUR`?"),
    ],
)
def test_a_text_that_nothing_is_equal_to_is_a_problem(condition: str, says: str) -> None:
    found = [problem for problem in problems(condition) if "policy_unknown_value" in problem]
    assert len(found) == 1
    assert found[0].startswith("3 ")
    assert says in found[0]


@pytest.mark.parametrize(
    "condition",
    [
        'context.task.use_case == "refund"',
        'context.agent.name != "tracker"',
        'context.arguments.currency == "USD"',
        'context.arguments.currency like "U*"',
        'context.arguments.order_id == "anything"',
        'context.facts.order.customer == "anyone"',
        'principal == User::"nobody-here"',
        'context.user.id == "nobody-here"',
        'context.user.groups.contains("no-such-group")',
    ],
)
def test_a_text_that_may_be_there_is_none(condition: str) -> None:
    assert problems(condition) == []


def test_a_value_of_one_operation_in_scope_is_enough() -> None:
    both = 'action in [Action::"refund_order", Action::"quote"]'
    assert problems('context.arguments.currency == "GBP"', both) == []
    assert "policy_unknown_value" in problems('context.arguments.currency == "GPB"', both)[0]
    assert "policy_unknown_value" in problems('context.arguments.currency == "GBP"')[0]


def test_names_that_are_not_known_are_not_asked_about() -> None:
    odd = 'context.task.use_case == "odd" || context.agent.name == "odd"'
    assert problems(odd, known=Known()) == []
    assert len(problems(odd, known=KNOWN)) == 2
    wider = Known(use_cases=frozenset({"odd"}), agents=frozenset({"odd"}))
    assert problems(odd, known={"p.cedar": wider}) == [], "a file of the organisation's may name more"
    assert len(problems(odd, known={"p.cedar": KNOWN, "other.cedar": wider})) == 2


def test_what_policies_may_name_is_described() -> None:
    lines = describe(REFUND, known=KNOWN).splitlines()
    assert {
        'context.agent.level: String, of "A", "B", "C"',
        'context.agent.name: String, of "refunds", "tracker"',
        "context.agent.confidence: Long, optional: `context.agent has confidence && ...`",
        "context.task.untrusted: Bool",
        'context.task.use_case: String, of "query", "refund"',
        "context.user.id: String",
        'context.operation.tier: String, of "critical", "high", "low", "medium"',
        'context.arguments.currency: String, of "EUR", "USD"',
        "context.history.refunded_today: Long",
        "context.history.refunded_to: Long, optional: `context.history has refunded_to && ...`",
        "context.history.refunded_sum: decimal",
        "context.facts.order.total: decimal",
    } <= set(lines)
    assert any(line.startswith("context.labels.order_id: String, of ") for line in lines)
    assert "context.agent.name: String" in describe(REFUND).splitlines()


@pytest.mark.requirement("R3.8")
@pytest.mark.parametrize(
    ("condition", "says"),
    [
        ("context.history.refunded_tody <= 3", "did you mean `refunded_today`?"),
        ("context.history.refunded_to < 3", "context.history has refunded_to && ..."),
        ("context.history.refunded_sum < 3", "compare decimals by method"),
        ("context.facts.order.day < 3", "did you mean `days`?"),
        ("context.facts.ordr.days < 3", "did you mean `order`?"),
        ('context.labels.order_id == "user"', "context.labels has order_id && ..."),
        ('context.labels has ordr_id && context.labels.ordr_id == "user"', "did you mean `order_id`?"),
        ("context.agent.confidence > 3", "context.agent has confidence && ..."),
        ('context.operation.tire == "low"', "did you mean `tier`?"),
        ("context.task.untrusted == 1", "policy_type"),
    ],
)
def test_a_mistake_about_them_is_found_on_load(condition: str, says: str) -> None:
    assert any(says in problem for problem in problems(condition))
