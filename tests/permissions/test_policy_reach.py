"""A policy that can never apply, and a permit of everything in disguise, are found at load; nothing else is."""

import itertools

import cedarpy
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from remit.core import Json, JsonObject, Problem
from remit.permissions import Known, OperationShape, UserShape, compile_policies

PROPERTIES: dict[str, Json] = {
    "amount": {"type": "integer", "minimum": 0, "maximum": 100_000},
    "count": {"type": "integer"},
    "currency": {"type": "string", "enum": ["EUR", "USD"]},
    "rate": {"type": "number", "minimum": 0, "exclusiveMaximum": 1},
    "size": {"type": "integer", "enum": [1, 2.0, 5]},
    "memo": {"type": "string"},
    "urgent": {"type": "boolean"},
    "tags": {"type": "array", "items": {"type": "string", "enum": ["a", "b"]}},
}
PAY = OperationShape(
    operation="pay",
    tool="bank",
    input_schema={
        "type": "object",
        "properties": PROPERTIES,
        "required": ["amount", "count", "currency", "rate", "size"],
    },
    history={"paid": "Long", "spent": "decimal"},
    facts={"order": {"customer": "String", "days": "Long"}},
    labelled=("memo",),
)
LOOK = OperationShape(operation="look", tool="desk", input_schema={"type": "object"})
KNOWN = Known(use_cases=frozenset({"refund"}), agents=frozenset({"refunds"}))


def found(text: str, shapes: tuple[OperationShape, ...] = (PAY, LOOK)) -> list[Problem]:
    return list(compile_policies("refunds", {"p.cedar": text}, shapes, UserShape({"grade": "number"}), KNOWN)[1])


def codes(text: str) -> list[str]:
    return [problem.code for problem in found(text)]


def pay(condition: str) -> str:
    return f'forbid(principal, action == Action::"pay", resource)\nwhen {{ {condition} }};'


DEAD = [
    "context.arguments.count > 5 && context.arguments.count < 3",
    "context.arguments.count > 5 && context.arguments.count < 6",
    "context.arguments.count == 5 && context.arguments.count != 5",
    "5 < context.arguments.count && 5 >= context.arguments.count",
    "!(context.arguments.count > 5 || context.arguments.count <= 5)",
    "context.arguments.count > 9223372036854775807",
    "context.arguments.amount > 100000",
    "context.arguments.amount < 0",
    "context.arguments.amount == 100001",
    "context.arguments.amount > 10 + 99990",
    "context.arguments.size > 2 && context.arguments.size != 5",
    "[3, 4].contains(context.arguments.size)",
    'context.arguments.rate.greaterThanOrEqual(decimal("1.0"))',
    'context.arguments.rate.lessThan(decimal("0.5")) && context.arguments.rate.greaterThan(decimal("0.4999"))',
    'context.arguments.currency != "EUR" && context.arguments.currency != "USD"',
    'context.arguments.currency == "EUR" && context.arguments.currency == "USD"',
    'context.arguments.currency like "E*" && context.arguments.currency like "U*"',
    'context.arguments.currency like "E*" && context.arguments.currency != "EUR"',
    '!(["EUR", "USD"].contains(context.arguments.currency))',
    'context.arguments has memo && context.arguments.memo == "x" && !(context.arguments.memo like "x*")',
    'context.arguments has memo && context.arguments.memo like "a*" && !(context.arguments.memo like "a*")',
    "context.arguments has memo && !(context.arguments has memo)",
    "!(context.arguments has amount)",
    "context.arguments has urgent && context.arguments.urgent && !context.arguments.urgent",
    "context.arguments has urgent && context.arguments.urgent == true && context.arguments.urgent == false",
    "if context.arguments.count > 3 then context.arguments.count < 2 else context.arguments.count > 5",
    "context.history.paid < 0",
    'context.history.spent.lessThan(decimal("0.0"))',
    "!(context.facts has order)",
    "context.facts.order.days > 30 && context.facts.order.days <= 30",
    'principal == User::"ana" && principal == User::"tom"',
    'principal in [User::"ana"] && principal != User::"ana"',
    'action == Action::"look"',
    'resource != Tool::"bank"',
    'action != Action::"pay"',
    "false",
    "1 == 2",
    '"a" == "b"',
    "1 + 1 > 2",
    '"abc" like "b*"',
    "context.arguments.count < context.arguments.amount && context.arguments.count >= context.arguments.amount",
    "context.arguments.count + 1 > 3 && !(context.arguments.count + 1 > 3)",
    "context.arguments.count < context.arguments.count",
    'context.agent.level == "A" && context.agent.level == "C"',
    'context.operation.effect != "write" && !(["execute", "irreversible", "read"].contains(context.operation.effect))',
    "context.agent has confidence && context.agent.confidence > 100",
    "context.agent has confidence && context.agent.confidence < 0",
    "[context.arguments.currency].isEmpty()",
    '[["refunds"]].contains(["rfunds"])',
    '["a", "b"] == ["a"]',
    "(context.arguments.count > 5 || context.task.granted) && context.arguments.count < 3 && !context.task.granted",
    " && ".join(f"(context.arguments.count == {n} || context.arguments.amount == {n})" for n in range(20)),
]

ALIVE = [
    "context.arguments.count > 5 && context.arguments.count < 7",
    "context.arguments.count >= 9223372036854775807",
    "context.arguments.amount >= 100000",
    "context.arguments.amount <= 0",
    "context.arguments.size == 2",
    'context.arguments.rate.greaterThanOrEqual(decimal("0.9999"))',
    'context.arguments.currency != "EUR"',
    'context.arguments.currency like "*U*"',
    'context.arguments has memo && context.arguments.memo like "a*" && context.arguments.memo like "*b"',
    'context.arguments has memo && context.arguments.memo like "a*" && !(context.arguments.memo like "*b")',
    "!(context.arguments has memo)",
    "context.arguments has tags && context.arguments.tags.isEmpty()",
    'context.arguments has tags && context.arguments.tags.contains("a") && context.arguments.tags.contains("b")',
    "context.arguments.count < context.arguments.amount",
    "context.arguments.count * 9223372036854775807 > 0",
    "context.arguments.count + 1 < context.arguments.count",
    "context.history.paid == 0",
    "context.facts.order.days < 0",
    'principal == User::"ana"',
    'principal != User::"ana"',
    'context.task.use_case != "refund"',
    'context.agent.name != "refunds"',
    'context.operation.effect == "read"',
    'context.operation.tier == "low"',
    "context.agent has confidence && context.agent.confidence < 50",
    "context.agent has confidence && context.agent.confidence >= 100",
    "context.agent has confidence && context.agent.confidence <= 0",
    "context.agent has confidence && context.agent.confidence > 100 || context.task.untrusted",
    "context.history.paid <= 0",
    '[["refunds"]].contains([context.agent.name])',
    '["a", "b"] == [context.user.id, "a"]',
    "context.task.granted && context.task.untrusted",
    " && ".join(f"(context.arguments.count == {n} || context.arguments.amount == {n})" for n in range(2)),
]


@pytest.mark.requirement("R3.8")
@pytest.mark.parametrize("condition", DEAD)
def test_a_policy_that_can_never_apply_is_a_problem(condition: str) -> None:
    assert codes(pay(condition)) == ["policy_unreachable"]
    assert codes(f'permit(principal, action == Action::"pay", resource) unless {{ !({condition}) }};') == [
        "policy_unreachable"
    ]


@pytest.mark.parametrize("condition", ALIVE)
def test_a_policy_that_may_apply_is_none(condition: str) -> None:
    assert codes(pay(condition)) == []


@pytest.mark.parametrize(
    ("text", "line", "says"),
    [
        (pay("context.arguments.count > 5 &&\n  context.arguments.count < 3"), 2, "`context.arguments.count`"),
        (pay("true &&\n  !(context.arguments has amount)"), 3, "`context.arguments.amount`"),
        (pay("false"), 1, "always false"),
        ("forbid(principal, action in [], resource);", 1, "names no operation"),
        (
            pay("context.arguments.count > 5") + "\n" + pay("context.arguments.amount < 0"),
            4,
            "`context.arguments.amount`",
        ),
        (
            'forbid(principal == User::"ana", action, resource) when { principal == User::"tom" };',
            1,
            "always false together",
        ),
        ('forbid(principal, action, resource == Tool::"desk") when { resource == Tool::"bank" };', 1, "always false"),
    ],
)
def test_what_can_never_apply_says_where_and_why(text: str, line: int, says: str) -> None:
    (problem,) = found(text)
    assert (problem.code, problem.line) == ("policy_unreachable", line)
    assert says in problem.message


def test_a_condition_that_is_dead_for_one_operation_only_is_none() -> None:
    guarded = "context.arguments has amount && context.arguments.amount > 3"
    assert codes(f"forbid(principal, action, resource) when {{ {guarded} }};") == []
    assert codes(f'forbid(principal, action, resource) when {{ action == Action::"pay" && {guarded} }};') == []


EVERYTHING = [
    "context.user.groups.isEmpty() || !context.user.groups.isEmpty()",
    "true || context.task.granted",
    "context.task.granted || true",
    "1 == 1",
    'principal == User::"ana" || principal != User::"ana"',
    "if context.user has grade then context.user.grade > 3 || context.user.grade <= 3 else true",
    'action == Action::"pay" || action == Action::"look"',
    'action == Action::"pay" || !(resource in [Tool::"bank"])',
    'context.agent.level == "A" || context.agent.level == "B" || context.agent.level == "C"',
    'context.agent.name like "*"',
    "if context.task.granted then true else !context.task.granted",
    "context.task.granted == context.task.granted",
    "principal is User",
]
SOMETHING = [
    "context.task.granted || !context.task.untrusted",
    'action == Action::"pay" || context.task.granted',
    'context.task.use_case == "refund"',
    'context.agent.name == "refunds"',
    'context.agent.level == "A" || context.agent.level == "B"',
    "context.user has grade",
    "if context.user has grade then context.user.grade + 1 > 3 || context.user.grade + 1 <= 3 else true",
    'resource == Tool::"desk"',
]


@pytest.mark.requirement("R3.1", "R3.8")
@pytest.mark.parametrize("condition", EVERYTHING)
def test_a_permit_of_everything_in_disguise_is_a_problem(condition: str) -> None:
    assert codes(f"permit(principal, action, resource) when {{ {condition} }};") == ["policy_unscoped_permit"]
    assert codes(f"forbid(principal, action, resource) when {{ {condition} }};") == [], "a forbid may"
    assert codes(f'permit(principal, action == Action::"pay", resource) when {{ {condition} }};') == [], "one may"


@pytest.mark.parametrize("condition", SOMETHING)
def test_a_permit_that_is_not_always_true_is_none(condition: str) -> None:
    assert codes(f"permit(principal, action, resource) when {{ {condition} }};") == []


@pytest.mark.requirement("R3.8")
@pytest.mark.parametrize(
    "condition",
    [
        "false && context.arguments.amuont > 3",
        "context.arguments.count > 3 || (true || context.arguments.amuont > 3)",
        "if true then context.arguments.count > 3 else context.arguments.amuont > 3",
        "context.task.granted && (false && context.arguments.amuont.x > 3)",
    ],
)
def test_a_misspelling_is_found_where_cedar_does_not_look(condition: str) -> None:
    problems = [problem for problem in found(pay(condition)) if problem.code == "policy_unknown_attribute"]
    assert [(problem.line, "did you mean `amount`?" in problem.fix) for problem in problems] == [(2, True)]


@pytest.mark.parametrize("condition", ["false && principal.team == 1", "true || resource.owner == principal"])
def test_users_and_tools_have_no_attributes_where_cedar_does_not_look(condition: str) -> None:
    assert "policy_unknown_attribute" in codes(pay(condition))


# -- against the truth: every question there can be, asked of Cedar itself

SMALL: dict[str, Json] = {
    "n": {"type": "integer", "minimum": 0, "maximum": 2},
    "w": {"enum": ["ab", "b"]},
    "o": {"enum": ["x", "y"]},
    "f": {"type": "boolean"},
}
TINY = OperationShape(
    operation="act",
    tool="t",
    input_schema={"type": "object", "properties": SMALL, "required": ["n", "w", "f"]},
)
ABSENT: JsonObject = {}
WORLD: list[JsonObject] = [
    {"n": n, "w": w, "f": f, **(ABSENT if o is None else {"o": o})}
    for n, w, f, o in itertools.product(range(3), ("ab", "b"), (True, False), (None, "x", "y"))
]
atoms = st.sampled_from(
    [
        "context.arguments.n < 1",
        "context.arguments.n >= 2",
        "context.arguments.n == 1",
        "0 != context.arguments.n",
        "[0, 2].contains(context.arguments.n)",
        "context.arguments.n + 1 > 2",
        'context.arguments.w == "ab"',
        'context.arguments.w like "*b"',
        'context.arguments.w like "a*"',
        "context.arguments.f",
        "context.arguments.f == false",
        "context.arguments has o",
        '(context.arguments has o && context.arguments.o == "x")',
        '(if context.arguments has o then context.arguments.o != "y" else true)',
        "true",
        "1 > 2",
    ]
)
conditions = st.recursive(
    atoms,
    lambda inner: st.one_of(
        inner.map(lambda one: f"!({one})"),
        st.tuples(inner, st.sampled_from(["&&", "||"]), inner).map(lambda part: f"({part[0]} {part[1]} {part[2]})"),
        st.tuples(inner, inner, inner).map(lambda part: f"(if {part[0]} then {part[1]} else {part[2]})"),
    ),
    max_leaves=8,
)


def true_in(condition: str) -> int:
    """Count the questions for which Cedar finds `condition` true."""
    policies = cedarpy.PolicySet.from_str(f"permit(principal, action, resource) when {{ {condition} }};")
    entities = cedarpy.Entities.from_json_str("[]")
    asked: list[JsonObject] = [
        {
            "principal": 'User::"ana"',
            "action": 'Action::"act"',
            "resource": 'Tool::"t"',
            "context": {"arguments": arguments},
        }
        for arguments in WORLD
    ]
    return sum(cedarpy.is_authorized(one, policies, entities).allowed for one in asked)


@pytest.mark.requirement("R3.8")
@settings(max_examples=120, deadline=None)
@given(conditions)
def test_what_is_said_of_a_condition_is_so(condition: str) -> None:
    text = f"permit(principal, action, resource) when {{ {condition} }};"
    _, problems = compile_policies("a", {"p.cedar": text}, [TINY])
    times = true_in(condition)
    said: JsonObject = {problem.code: True for problem in problems}
    assert said.keys() <= {"policy_unreachable", "policy_unscoped_permit"}
    if "policy_unreachable" in said:
        assert times == 0
    elif times == 0:
        assert " + " in condition, "what can never apply is found, but for arithmetic"
    if "policy_unscoped_permit" in said:
        assert times == len(WORLD)
    elif times == len(WORLD):
        assert " + " in condition


def test_what_is_too_large_to_look_at_is_no_problem_and_takes_no_time() -> None:
    groups = "context.user.groups.contains"
    sides = " && ".join(f'({groups}("a{n}") || {groups}("b{n}"))' for n in range(12))
    never = "context.arguments.count > 5 && context.arguments.count < 3"
    assert codes(pay(f"{sides} && {never}")) == [], "over the bound: nobody knows"
    assert codes(pay(f"{never} && {sides}")) == ["policy_unreachable"]
    free = f"permit(principal, action, resource) unless {{ {sides} && false }};"
    assert codes(free) == [], "it permits everything, and nobody knows"
