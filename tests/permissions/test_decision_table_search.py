"""The search for calls that are permitted: bounds tell, however many conditions a call has to meet."""

from collections.abc import Callable, Mapping
from itertools import product

import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from remit.catalogue import arguments_fit, compile_check
from remit.core import Allow, Decision, Deny, Hold, Json, JsonObject, Reason
from remit.permissions import OperationShape, Question, Table, UserShape, compile_policies, decision_table, rules_of
from remit.permissions._bounds import Rule, compared
from remit.permissions._scene import Scene, Search, Values, Wish

SCHEMA: JsonObject = {
    "type": "object",
    "additionalProperties": False,
    "required": ["order_id", "amount", "currency"],
    "properties": {
        "order_id": {"type": "string", "pattern": "^ord-[0-9]{4}$"},
        "amount": {"type": "integer", "minimum": 0},
        "currency": {"type": "string", "enum": ["EUR", "USD"]},
        "price": {"type": "number"},
        "to": {"type": "array", "items": {"type": "string"}},
        "express": {"type": "boolean"},
    },
}
SHAPE = OperationShape(
    operation="refund_order",
    tool="orders",
    input_schema=SCHEMA,
    effect="write",
    tier="high",
    history={"spent": "Long"},
    facts={"order": {"customer": "String", "currency": "String", "days": "Long"}},
)
USERS = UserShape({"customer_id": "text"})
AMOUNT, SPENT, DAYS = "context.arguments.amount", "context.history.spent", "context.facts.order.days"
OWN = "context.user has customer_id && context.facts.order.customer == context.user.customer_id"
Ask = Callable[[Question], Decision]


def ask_of(text: str) -> Ask:
    shards, problems = compile_policies("refunds", {"p.cedar": text}, [SHAPE], USERS)
    assert problems == ()
    check = compile_check(SCHEMA)

    def ask(question: Question) -> Decision:
        fits = arguments_fit(check, question.arguments)
        return shards["refund_order"].decide(question) if isinstance(fits, Allow) else fits

    return ask


def table(text: str, ask: Ask | None = None) -> Table:
    rules = rules_of({"p.cedar": text})
    return decision_table(rules, SHAPE, ask or ask_of(text), agent="refunds", use_case="refund", user=USERS)


def decided(text: str, attribute: str) -> Mapping[str, set[str]]:
    """Return the answers by value, as it is printed."""
    answers: dict[str, set[str]] = {}
    for row in table(text).rows:
        if row.attribute == attribute:
            answers.setdefault(repr(row.value), set()).add(row.decision)
    return answers


# --- several conditions at once --------------------------------------------------------------------------------------

PERMIT = f"""
    permit(principal, action, resource) when {{
        {AMOUNT} > 0 && {AMOUNT} <= 100000 && context.arguments.currency == "EUR" &&
        context.arguments.currency == context.facts.order.currency && {DAYS} <= 3650 && {SPENT} <= 300000
    }};
"""
DAILY = f'@id("daily") forbid(principal, action, resource) when {{ {SPENT} > 15000 }};'
OWN_ORDERS = f'@id("own-orders") forbid(principal, action, resource) unless {{ {OWN} && {DAYS} < 30 }};'


@pytest.mark.requirement("R3.8")
def test_bounds_tell_although_a_total_an_owner_and_an_age_forbid_most_calls_together() -> None:
    text = PERMIT + DAILY + OWN_ORDERS
    assert (table(text).unknown, table(text).cut) == (False, ())
    days, spent = decided(text, "facts.order.days"), decided(text, "history.spent")
    assert (days["29"], days["30"]) == ({"allow"}, {"deny policy_forbids"})
    assert (spent["15000"], spent["15001"]) == ({"allow"}, {"deny policy_forbids"})
    assert "allow" in decided(text, "user.customer_id")["'any text'"]


@pytest.mark.requirement("R3.8")
@pytest.mark.parametrize(("old", "new"), [("> 15000", ">= 15000"), ("< 30", "<= 30"), ("<= 100000", "< 100000")])
def test_one_more_or_one_less_shows_in_the_table_of_these_policies(old: str, new: str) -> None:
    text = PERMIT + DAILY + OWN_ORDERS
    assert old in text
    assert answered(table(text)) != answered(table(text.replace(old, new)))


def answered(found: Table) -> set[str]:
    return {repr((row.attribute, row.value, row.others, row.decision)) for row in found.rows}


def test_equalities_are_followed_from_one_attribute_to_the_next() -> None:
    text = f"""
        permit(principal, action, resource) when {{ {OWN} && {AMOUNT} <= 7 }};
        forbid(principal, action, resource) unless {{ context.facts.order.customer == context.facts.order.currency }};
        forbid(principal, action, resource) unless {{ context.facts.order.currency == context.arguments.currency }};
        forbid(principal, action, resource) when {{ context.arguments.currency == "EUR" }};
    """
    found = decided(text, "arguments.amount")
    assert (found["7"], found["8"]) == ({"allow"}, {"deny policy_no_permit"})
    [others] = {row.others for row in table(text).rows if row.attribute == "arguments.amount"}
    assert {value for name, value in others if name != "user.id"} == {"USD"}


def test_a_bound_of_a_hold_tells_where_other_holds_apply_to_every_call() -> None:
    hold = '@hold("approval") @approvers("%s") @quorum("1") @within("4h")'
    text = f"""
        permit(principal, action, resource) when {{ {AMOUNT} <= 900 && {OWN} }};
        @id("all") {hold % "finance"} forbid(principal, action, resource) when {{ {AMOUNT} >= 0 }};
        @id("large") {hold % "board"} forbid(principal, action, resource) when {{ {AMOUNT} > 500 }};
    """
    found = decided(text, "arguments.amount")
    assert found["500"] == {"hold finance x1 4h"}
    assert [each for each in found["501"] if "board" in each]
    assert found["901"] == {"deny policy_no_permit"}


@pytest.mark.parametrize(
    "condition",
    [
        f"[77777, 5].contains({AMOUNT})",
        f"[{AMOUNT}].contains(77777)",
        f"[{AMOUNT}, 5].containsAll([77777])",
        f"[{AMOUNT}].containsAny([3, 77777])",
        f"[{AMOUNT}] == [77777]",
        f"{{a: {AMOUNT}}} == {{a: 77777}}",
        f"{{a: {{b: [{AMOUNT}]}}}} == {{a: {{b: [77777]}}}}",
        f"{{a: {AMOUNT}}}.a == 77777",
        f"(if {AMOUNT} > 5 then {AMOUNT} else 1) == 77777",
    ],
)
def test_a_number_in_a_set_or_a_record_is_a_bound_too(condition: str) -> None:
    text = f"permit(principal, action, resource) when {{ ({AMOUNT} > 0 && {AMOUNT} <= 100) || {condition} }};"
    found = decided(text, "arguments.amount")
    assert (found["77777"], found["77778"]) == ({"allow"}, {"deny policy_no_permit"})


# --- where no call is found ------------------------------------------------------------------------------------------


def no(_: Question) -> Decision:
    return Deny(Reason("policy_no_permit", "no"))


@pytest.mark.requirement("R3.8")
def test_a_table_for_which_no_permitted_call_was_found_does_not_read_as_one_of_refusals() -> None:
    found = table(PERMIT, no)
    assert found.unknown
    assert found.cut == ("the search found no call that is permitted: this table does not show where the bounds are",)


@pytest.mark.parametrize(
    "text",
    [
        f"forbid(principal, action, resource) when {{ {AMOUNT} > 5 }};",
        f'permit(principal, action, resource) when {{ context.operation.tier == "critical" && {AMOUNT} > 5 }};',
        f'permit(principal, action, resource) when {{ context.task.use_case == "other" && {AMOUNT} > 5 }};',
        f"{PERMIT} forbid(principal, action, resource);",
        f"""{PERMIT} forbid(principal, action, resource) unless {{ context.agent.name == "another" }};""",
    ],
)
def test_policies_that_can_permit_nothing_refuse_everything_and_nothing_is_unknown(text: str) -> None:
    found = table(text)
    assert not found.unknown
    assert found.cut == ("no call was found that these policies permit: every row is a refusal",)


# --- random policies -------------------------------------------------------------------------------------------------

numbers = st.sampled_from([AMOUNT, SPENT, DAYS])
comparisons = st.builds("{0} {1} {2}".format, numbers, st.sampled_from(["<", "<=", ">", ">="]), st.integers(0, 3))
sums = st.builds(f"{SPENT} + {AMOUNT} {{}} {{}}".format, st.sampled_from(["<", "<=", ">"]), st.integers(1, 4))
equalities = st.sampled_from(
    [
        OWN,
        f"!({OWN})",
        "context.arguments.currency == context.facts.order.currency",
        'context.arguments.currency == "USD"',
        'context.facts.order.currency != "EUR"',
        'context.facts.order.customer == "a"',
        'context.user has customer_id && context.user.customer_id != "a"',
    ]
)
atoms = st.one_of(comparisons, sums, equalities)
permits = st.lists(atoms, min_size=2, max_size=4, unique=True)
forbids = st.lists(st.tuples(st.sampled_from(["when", "unless"]), st.lists(atoms, min_size=1, max_size=3)), max_size=3)
EVERY: Mapping[tuple[str, ...], list[Json]] = {
    ("arguments", "amount"): [0, 1, 2, 3],
    ("history", "spent"): [0, 1, 2, 3],
    ("facts", "order", "days"): [0, 1, 2, 3],
    ("arguments", "currency"): ["EUR", "USD"],
    ("facts", "order", "currency"): ["EUR", "USD"],
    ("facts", "order", "customer"): ["a", "b"],
    ("user", "customer_id"): ["a", "b", None],
}


def written(permit: list[str], against: list[tuple[str, list[str]]]) -> str:
    """Write policies, each condition in brackets, so that `&&` binds as it is meant."""
    lines = [f"permit(principal, action, resource) when {{ {_all(permit)} }};"]
    lines += [f"forbid(principal, action, resource) {kind} {{ {_all(each)} }};" for kind, each in against]
    return "\n".join(lines)


def _all(conditions: list[str]) -> str:
    return " && ".join(f"({each})" for each in conditions)


def loads(text: str) -> bool:
    """Tell whether policies are ones that a project could have: not some that can never apply."""
    _, problems = compile_policies("refunds", {"p.cedar": text}, [SHAPE], USERS)
    return problems == ()


def everything(ask: Ask) -> list[bool]:
    """Tell of every call of the small domain whether it goes through."""
    scene = Scene(SHAPE, USERS, "refunds", "refund")
    calls = (dict(zip(EVERY, values, strict=True)) for values in product(*EVERY.values()))
    return [not isinstance(ask(scene.question(call)), Deny) for call in calls]


@pytest.mark.requirement("R3.8")
@settings(max_examples=15, deadline=None, derandomize=True)
@given(permits, forbids)
@example(
    permit=[f"{AMOUNT} > 0", f"{AMOUNT} <= 3", "context.arguments.currency == context.facts.order.currency"],
    against=[("when", [f"{SPENT} >= 3"]), ("unless", [OWN, f"{DAYS} < 2"])],
)
def test_wherever_a_call_is_permitted_the_table_has_one(
    permit: list[str], against: list[tuple[str, list[str]]]
) -> None:
    text = written(permit, against)
    assume(loads(text))
    found = table(text)
    assert not any(everything(ask_of(text))) or any(not row.decision.startswith("deny") for row in found.rows), text


@pytest.mark.requirement("R3.8")
@settings(max_examples=8, deadline=None, derandomize=True)
@given(permits, forbids, st.integers(0, 99))
@example(
    permit=[f"{AMOUNT} > 0", f"{AMOUNT} <= 3", "context.arguments.currency == context.facts.order.currency"],
    against=[("when", [f"{SPENT} >= 3"]), ("unless", [OWN, f"{DAYS} < 2"])],
    which=0,
)
def test_whatever_one_more_or_one_less_changes_shows_in_the_table(
    permit: list[str], against: list[tuple[str, list[str]]], which: int
) -> None:
    text = written(permit, against)
    assume(loads(text))
    moved = [each for operator in (" < ", " <= ", " > ", " >= ") for each in _moved(text, operator)]
    others = [each for each in moved if loads(each)]
    if others:
        other = others[which % len(others)]
        before, after = everything(ask_of(text)), everything(ask_of(other))
        assert before == after or answered(table(text)) != answered(table(other)), f"{text}\n{other}"


def _moved(text: str, operator: str) -> list[str]:
    """Return `text` with each use of `operator` changed, one at a time, so that its bound moves by one."""
    instead = {" < ": " <= ", " <= ": " < ", " > ": " >= ", " >= ": " > "}[operator]
    parts = text.split(operator)
    return [operator.join(parts[:at]) + instead + operator.join(parts[at:]) for at in range(1, len(parts))]


# --- what the search makes of a policy is what the policy says -------------------------------------------------------


@pytest.mark.parametrize(
    "condition",
    [
        'context.arguments has to && context.arguments.to.contains("x") && !context.arguments.to.contains("y")',
        'context.arguments has to && context.arguments.to.containsAll(["x", "y"])',
        'context.arguments has to && context.arguments.to.containsAny(["x", "y"]) && context.arguments.to != ["x"]',
        "context.arguments has to && context.arguments.to.isEmpty()",
        "context.arguments has to && context.arguments.to.contains(context.arguments.currency)",
        'context.arguments has price && context.arguments.price.greaterThan(decimal("99.95"))',
        'context.arguments has price && context.arguments.price.lessThanOrEqual(decimal("-0.5"))',
        "context.arguments has express && context.arguments.express",
        f"-({AMOUNT}) * 2 + 1 <= -99 && {AMOUNT} - 3 < 60",
        f"if {AMOUNT} > 50 then context.arguments has express else false",
        '!(principal == User::"somebody") && resource == Tool::"orders" && principal is User',
        'context.arguments.order_id like "ord-*" && context.arguments.order_id != "ord-0000"',
        f'[{{a: {AMOUNT}}}].contains({{a: 9}}) && context.agent.level != "A"',
        "context.facts has order && context.arguments.currency == context.facts.order.currency",
    ],
)
def test_calls_are_made_up_to_which_a_policy_applies_and_to_which_it_does_not(condition: str) -> None:
    text = f"permit(principal, action, resource) when {{ {condition} }};"
    [rule] = rules_of({"p.cedar": text})
    ask = ask_of(text)
    found = table(text)
    assert not found.unknown, found.cut
    assert any(row.decision == "allow" for row in found.rows)
    scene = Scene(SHAPE, USERS, "refunds", "refund")
    search = searched(rule, scene)
    for call in ({each: dict(row.others).get(".".join(each), row.value) for each in paths(rule)} for row in found.rows):
        said = search.applies(rule, call)
        answer = ask(scene.question(call))
        if not isinstance(said, bool) or (isinstance(answer, Deny) and not answer.reason.code.startswith("policy_")):
            continue
        assert said is not isinstance(answer, Deny | Hold), (call, answer)


def paths(rule: Rule) -> list[tuple[str, ...]]:
    return [path for path in compared([rule]).paths() if path[0] != "resource"]


def searched(rule: Rule, scene: Scene) -> Search:
    return Search(scene, compared([rule]), lambda path, _: [scene.usual(path)], 100)


def test_a_search_ends_after_its_steps_and_gives_back_what_it_did_not_use() -> None:
    [rule] = rules_of({"p.cedar": f"permit(principal, action, resource) when {{ {AMOUNT} > {SPENT} }};"})
    scene = Scene(SHAPE, USERS, "refunds", "refund")

    def worth(_: tuple[str, ...], __: Values) -> list[Json]:
        return [0] * 40

    search = Search(scene, compared([rule]), worth, 1_000)
    assert list(search.calls([Wish(rule, so=True)], 300)) == []
    assert search.left == 700
    assert list(search.calls([Wish(rule, so=False)], 5)) == [{("arguments", "amount"): 0, ("history", "spent"): 0}] * 3
    assert search.left == 695
