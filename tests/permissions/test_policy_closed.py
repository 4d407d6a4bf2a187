"""A text or pattern that nothing in a closed set is does not load, wherever it stands; the right spelling does."""

import pytest

from remit.core import Json, Problem
from remit.permissions import Known, OperationShape, UserShape, compile_policies

PROPERTIES: dict[str, Json] = {
    "currency": {"type": "string", "enum": ["EUR", "USD"]},
    "memo": {"type": "string"},
    "tags": {"type": "array", "items": {"type": "string", "enum": ["a", "b"]}},
    "lines": {
        "type": "array",
        "items": {"type": "object", "properties": {"unit": {"enum": ["kg", "m"]}}, "required": ["unit"]},
    },
}
PAY = OperationShape(
    operation="pay",
    tool="bank",
    input_schema={"type": "object", "properties": PROPERTIES, "required": [*PROPERTIES]},
    labelled=("memo",),
)
FREE = OperationShape(
    operation="give",
    tool="bank",
    input_schema={"type": "object", "properties": {"currency": {"type": "string"}}, "required": ["currency"]},
)
KNOWN = Known(use_cases=frozenset({"refund", "claim"}), agents=frozenset({"refunds", "claims"}))

USE_CASE, AGENT, CURRENCY = "context.task.use_case", "context.agent.name", "context.arguments.currency"
USER, MEMO, GRANTED = "context.user.id", "context.arguments.memo", "context.task.granted"


def found(text: str, *shapes: OperationShape) -> list[Problem]:
    return list(compile_policies("refunds", {"p.cedar": text}, shapes or (PAY,), UserShape(), KNOWN)[1])


def pay(condition: str) -> str:
    return f'forbid(principal, action == Action::"pay", resource)\nwhen {{ {condition} }};'


def codes(condition: str) -> set[str]:
    return {problem.code for problem in found(pay(condition))}


# (condition with `@`, what is no member, what is one)
SPELT = [
    (f'{USE_CASE} like "@*"', "refnd", "refu"),
    (f'{AGENT} like "*@*"', "rfund", "fund"),
    (f'!({USE_CASE} like "@*")', "refnd", "refu"),
    (f'{CURRENCY} like "@*"', "G", "E"),
    (f'!({CURRENCY} like "@*")', "G", "E"),
    ('context.labels has memo && context.labels.memo like "@*"', "un?", "un"),
    (f'{{a: {USE_CASE}}}.a like "@*"', "refnd", "refu"),
    (f'[{USE_CASE}].contains("@")', "refnud", "refund"),
    (f'!([{USE_CASE}].contains("@"))', "refnud", "refund"),
    (f'[{USE_CASE}] == ["@"]', "refnud", "refund"),
    (f'["@"] != [{USE_CASE}]', "refnud", "refund"),
    (f'["claim"].containsAll([{USE_CASE}, "@"])', "refnud", "claim"),
    (f'["claim", "@"].containsAll([{USE_CASE}])', "refnud", "refund"),
    (f'[{USE_CASE}].containsAny(["claim", "@"])', "refnud", "refund"),
    (f'["claim", "@"].contains({USE_CASE})', "refnud", "refund"),
    (f'[{USE_CASE}, {CURRENCY}].contains("@")', "EURO", "EUR"),
    (f'[{USE_CASE}, {CURRENCY}] == ["refund", "@"]', "EURO", "EUR"),
    (f'[{USE_CASE}, "x"] == ["x", "@"]', "y", "claim"),
    (f'[[{USE_CASE}]].contains(["@"])', "refnud", "refund"),
    (f'{{a: {USE_CASE}}} == {{a: "@"}}', "refnud", "refund"),
    (f'{{a: {USE_CASE}}}.a == "@"', "refnud", "refund"),
    (f'{USE_CASE} == {{a: "@"}}.a', "refnud", "refund"),
    (f'{{a: {{b: [{CURRENCY}]}}}} == {{a: {{b: ["@"]}}}}', "eur", "EUR"),
    (f'[{{a: {USE_CASE}, b: {USER}}}].contains({{a: "@", b: "ana"}})', "refnud", "refund"),
    (f'{{a: {USE_CASE}, kind: "x"}} == {{a: "refund", kind: "@"}}', "y", "x"),
    ('context.task == {granted: true, untrusted: false, use_case: "@"}', "refnud", "refund"),
    (f'(if {GRANTED} then context.task else context.task).use_case == "@"', "refnud", "refund"),
    (f'(if {GRANTED} then {USE_CASE} else {USE_CASE}) == "@"', "refnud", "refund"),
    (f'(if {GRANTED} then {USE_CASE} else "none") == "@"', "refnud", "refund"),
    (f'(if {GRANTED} then {USE_CASE} else "none") == "@"', "nobe", "none"),
    (f'{USE_CASE} == (if {GRANTED} then "claim" else "@")', "refnud", "refund"),
    (f'[if {GRANTED} then {USE_CASE} else {{a: {USE_CASE}}}.a].contains("@")', "refnud", "refund"),
    (f'if {GRANTED} then {USE_CASE} == "@" else false', "refnud", "refund"),
    (f'context.arguments.tags.contains(if {GRANTED} then "a" else "@")', "c", "b"),
    ('context.arguments.tags.containsAll(["@"])', "c", "b"),
    ('context.arguments.lines.contains({unit: "@"})', "lb", "kg"),
    ('context.arguments.lines == [{unit: "@"}]', "lb", "kg"),
]


@pytest.mark.requirement("R3.8")
@pytest.mark.parametrize(("condition", "wrong", "right"), SPELT)
def test_a_text_outside_a_closed_set_is_found_wherever_it_stands(condition: str, wrong: str, right: str) -> None:
    assert codes(condition.replace("@", wrong)) == {"policy_unknown_value"}
    assert codes(condition.replace("@", right)) == set(), "the right spelling loads"


LOADS = [
    f'{USE_CASE} like "*"',
    f'{USE_CASE} like "refund"',
    f'{MEMO} like "refnd*"',
    f'[{MEMO}].contains("refnud")',
    f'[{MEMO}, {USER}] == ["x", "y"]',
    f"[{USE_CASE}, {USER}].contains({MEMO})",
    f"[{USE_CASE}] == [{MEMO}]",
    f"{{a: {USE_CASE}}} == {{a: {MEMO}}}",
    f'[{USE_CASE}, {USER}].contains("refund")',
    f'[{USE_CASE}, {USER}, "ana"].contains("ana")',
    f'[{USE_CASE}, "claim"] == ["claim", "refund"]',
    f'{{a: {USE_CASE}, b: {MEMO}}} == {{a: "refund", b: "anything"}}',
    f'{{a: {USE_CASE}, b: if {GRANTED} then "p" else "q"}} == {{a: "refund", b: "p"}}',
    f'(if {GRANTED} then {MEMO} else {USER}) == "anything"',
]


@pytest.mark.parametrize("condition", LOADS)
def test_what_may_be_so_loads(condition: str) -> None:
    assert codes(condition) == set()


def test_a_pattern_that_nothing_is_like_says_where_and_what_there_is() -> None:
    (problem,) = found(pay(f'true &&\n  {USE_CASE} like "refnd*"'))
    assert (problem.code, problem.line) == ("policy_unknown_value", 3)
    assert problem.message == "`context.task.use_case` is never like 'refnd*'; it is one of `claim`, `refund`"
    assert problem.fix == "did you mean `refund`?"


@pytest.mark.parametrize(
    "condition",
    [
        f'["refund"].containsAll([{USE_CASE}, "ana"])',
        f'[{USE_CASE}, {USER}].contains("ana")',
        f'{{a: {USE_CASE}, kind: "x"}} == {{a: "refund", kind: "ana"}}',
    ],
)
def test_a_text_that_may_be_meant_for_the_rest_of_a_literal_is_to_be_compared_plainly(condition: str) -> None:
    (problem,) = found(pay(condition))
    assert (problem.code, problem.line) == ("policy_unknown_value", 2)
    assert problem.fix == 'compare the attribute itself: `context.task.use_case == "..."`'


def test_a_set_that_is_open_for_one_operation_in_scope_is_open() -> None:
    text = f'forbid(principal, action, resource) when {{ [{CURRENCY}].contains("GBP") || {CURRENCY} like "G*" }};'
    assert found(text, PAY, FREE) == []
    assert {problem.code for problem in found(text, PAY)} == {"policy_unknown_value"}


@pytest.mark.parametrize(("size", "said"), [(10, {"policy_unknown_value"}), (1_000, set[str]())])
def test_a_comparison_too_large_to_pair_is_no_problem(size: int, said: set[str]) -> None:
    some = ", ".join(f'{{a: "x{n}"}}' for n in range(size))
    others = ", ".join(f'{{a: "y{n}"}}' for n in range(size))
    assert codes(f'[{some}, {{a: {USE_CASE}}}].containsAll([{others}, {{a: "refnud"}}])') == said


def test_a_long_list_of_texts_is_no_comparison_too_large() -> None:
    names = ", ".join(f'"x{n}"' for n in range(1_000))
    assert codes(f"[{names}].containsAll([{USE_CASE}, {names}])") == {"policy_unknown_value"}
    assert codes(f"[{names}].containsAll([{USER}, {names}])") == set()


def test_a_policy_may_read_a_list_of_objects() -> None:
    assert codes("context.arguments.lines.isEmpty()") == set()
