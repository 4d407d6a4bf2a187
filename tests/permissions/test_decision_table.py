"""Boundary calls of policies: what is tried of each bound, on which calls, and that the answers are the real ones."""

import re
from collections.abc import Mapping

import pytest

from remit.catalogue import arguments_fit, compile_check
from remit.core import Allow, Decision, Deny, Json, JsonObject, Reason
from remit.permissions import (
    OperationShape,
    Question,
    Row,
    Table,
    UserShape,
    compile_policies,
    decision_table,
    rules_of,
)
from remit.permissions._bounds import compared
from remit.permissions._sample import sample, text_of_pattern

SCHEMA: JsonObject = {
    "type": "object",
    "additionalProperties": False,
    "required": ["order_id", "amount_minor", "currency"],
    "properties": {
        "order_id": {"type": "string", "pattern": "^ord-[0-9]{4}$"},
        "amount_minor": {"type": "integer"},
        "currency": {"type": "string", "enum": ["EUR", "USD"]},
        "price": {"type": "number"},
        "note": {"type": "string"},
        "express": {"type": "boolean"},
        "to": {"type": "array", "items": {"type": "string"}},
        "payee": {"type": "object", "additionalProperties": False, "properties": {"days": {"type": "integer"}}},
    },
}
USERS = UserShape({"customer_id": "text", "limit": "number"})
HERE = 'action == Action::"refund_order"'
LIMIT = f'permit(principal, {HERE}, resource) when {{ context.arguments.order_id like "ord-*" && %s }};'


def table(text: str, *, rows_max: int = 2_000, allow_everything: bool = False) -> Table:
    shape = OperationShape(operation="refund_order", tool="orders", input_schema=SCHEMA)
    shards, problems = compile_policies("refunds", {"p.cedar": text}, [shape], USERS)
    assert problems == ()
    check = compile_check(SCHEMA)

    def ask(question: Question) -> Decision:
        if allow_everything:
            return Allow()
        fits = arguments_fit(check, question.arguments)
        return shards["refund_order"].decide(question) if isinstance(fits, Allow) else fits

    rules = rules_of({"p.cedar": text})
    return decision_table(rules, shape, ask, agent="refunds", use_case="refund", user=USERS, rows_max=rows_max)


def rows(text: str, attribute: str) -> list[Row]:
    return [row for row in table(text).rows if row.attribute == attribute]


def decided(text: str, attribute: str) -> Mapping[str, str]:
    """Return the answers by value, as it is printed."""
    return {repr(row.value): row.decision for row in rows(text, attribute)}


def answers(text: str, attribute: str) -> Mapping[str, str]:
    """Return the answers by case; for an attribute with one bound."""
    return {row.case: row.decision for row in rows(text, attribute)}


# --- numbers ---------------------------------------------------------------------------------------------------------


@pytest.mark.requirement("R3.8")
def test_no_amount_above_the_limit_of_100_is_let_through_and_none_that_is_no_amount() -> None:
    found = rows(LIMIT % "context.arguments.amount_minor > 0 && context.arguments.amount_minor <= 100", AMOUNT)
    allowed = [row.value for row in found if row.decision == "allow"]
    assert allowed == [1, 99, 100], "a table that shows 500, 10000 or a text here shows a limit that does not hold"
    assert {row.decision for row in found if row.value == 10_000} == {"deny policy_no_permit"}


AMOUNT = "arguments.amount_minor"


@pytest.mark.requirement("R3.8")
def test_a_limit_that_does_not_hold_is_seen_as_one() -> None:
    """The control: the same table over a policy that forgets the upper bound, or over no check at all."""
    hole = LIMIT % '(context.arguments.amount_minor <= 100 || context.arguments.currency == "EUR")'
    found = {(dict(row.others)["arguments.currency"], row.value): row.decision for row in rows(hole, AMOUNT)}
    assert (found["USD", 100], found["USD", 101]) == ("allow", "deny policy_no_permit")
    assert found["EUR", 101] == found["EUR", 10_000] == "allow"
    text = LIMIT % "context.arguments.amount_minor <= 100"
    assert {row.decision for row in table(text, allow_everything=True).rows} == {"allow"}


@pytest.mark.requirement("R3.8")
def test_a_bound_is_tried_from_every_side() -> None:
    found = rows(LIMIT % "context.arguments.amount_minor <= 100", AMOUNT)
    assert [(row.case, row.value, row.decision) for row in found] == [
        ("just below", 99, "allow"),
        ("at", 100, "allow"),
        ("just above", 101, "deny policy_no_permit"),
        ("negative", -100, "allow"),  # as this policy says: the reviewer sees it
        ("zero", 0, "allow"),
        ("a hundredfold", 10_000, "deny policy_no_permit"),
        ("a hundredth", 1, "allow"),
        ("huge", (1 << 53) - 1, "deny policy_no_permit"),
        ("overflow", 1 << 63, "deny argument_type"),
        ("as text", "100", "deny arguments_invalid"),
        ("a fraction", 100.5, "deny arguments_invalid"),
        ("absent", None, "deny arguments_invalid"),
    ]


@pytest.mark.requirement("R3.8")
@pytest.mark.parametrize(
    ("operator", "allowed"),
    [("<", [99]), ("<=", [99, 100]), ("==", [100]), ("!=", [99, 101]), (">=", [100, 101]), (">", [101])],
)
def test_each_way_to_compare_shows_on_which_side_the_bound_itself_is(operator: str, allowed: list[int]) -> None:
    found = rows(LIMIT % f"context.arguments.amount_minor {operator} 100", AMOUNT)
    near = [row for row in found if row.case in {"just below", "at", "just above"}]
    assert [row.value for row in near if row.decision == "allow"] == allowed


def test_a_literal_on_the_left_and_a_sum_are_bounds_too() -> None:
    assert decided(LIMIT % "100 >= context.arguments.amount_minor", AMOUNT)["101"] == "deny policy_no_permit"
    summed = LIMIT % "context.arguments.amount_minor * 2 + 10 - 4 <= 106"
    assert [decided(summed, AMOUNT)[each] for each in ("50", "51")] == ["allow", "deny policy_no_permit"]
    negated = LIMIT % "-(context.arguments.amount_minor) >= -100"
    assert [decided(negated, AMOUNT)[each] for each in ("100", "101")] == ["allow", "deny policy_no_permit"]


def test_a_product_of_two_attributes_is_no_bound() -> None:
    rule = rules_of({"p.cedar": LIMIT % "context.arguments.amount_minor * context.user.limit <= 100"})
    assert compared(rule).bounds == []


def test_decimals_are_tried_to_the_fourth_place_and_refused_at_the_fifth() -> None:
    text = LIMIT % 'context.arguments has price && context.arguments.price.lessThanOrEqual(decimal("99.95"))'
    found = decided(text, "arguments.price")
    assert [found[each] for each in ("99.9499", "99.95", "99.9501")] == ["allow", "allow", "deny policy_no_permit"]
    assert answers(text, "arguments.price")["a fraction"] == "deny argument_not_decimal"
    assert answers(text, "arguments.price")["absent"] == "deny policy_no_permit"


def test_what_is_within_an_object_is_tried_there() -> None:
    guard = "context.arguments has payee && context.arguments.payee has days"
    found = decided(LIMIT % f"{guard} && context.arguments.payee.days < 30", "arguments.payee.days")
    assert (found["29"], found["30"]) == ("allow", "deny policy_no_permit")


def test_two_attributes_that_are_compared_are_each_tried_at_the_other() -> None:
    text = LIMIT % "context.user has limit && context.arguments.amount_minor <= context.user.limit"
    limit = {row.case: row for row in rows(text, "user.limit")}
    amount = dict(limit["at"].others)[AMOUNT]
    assert limit["at"].value == amount
    assert (limit["at"].decision, limit["just below"].decision) == ("allow", "deny policy_no_permit")
    assert limit["absent"].decision == "deny policy_no_permit"


# --- texts and the rest ----------------------------------------------------------------------------------------------


def test_a_text_is_tried_as_every_value_of_the_schema_in_other_letters_and_as_what_it_is_not() -> None:
    found = decided(LIMIT % 'context.arguments.currency == "EUR"', "arguments.currency")
    assert (found["'EUR'"], found["'USD'"]) == ("allow", "deny policy_no_permit")
    refused = {found[each] for each in ("'eur'", "'another'", "''", "1", "None")}
    assert refused == {"deny arguments_invalid"}


@pytest.mark.parametrize(
    ("condition", "attribute", "allowed", "denied"),
    [
        ('["EUR"].contains(context.arguments.currency)', "arguments.currency", "'EUR'", "'USD'"),
        ('context.user.groups.contains("finance")', "user.groups", "['finance']", "[]"),
        ('context.user.groups.containsAny(["a", "b"])', "user.groups", "['b']", "['another']"),
        ('context.user.groups.containsAll(["a", "b"])', "user.groups", "['a', 'b']", "['a']"),
        ('context.arguments has to && context.arguments.to.contains("x")', "arguments.to", "['x']", "['another']"),
        ("context.arguments has express && context.arguments.express", "arguments.express", "True", "False"),
        ('context.arguments has note && context.arguments.note like "re: *"', "arguments.note", "'re: '", "'another'"),
        ('principal == User::"ana"', "user.id", "'ana'", "'another'"),
    ],
)
def test_what_policies_name_is_tried_and_so_is_what_they_do_not_name(
    condition: str, attribute: str, allowed: str, denied: str
) -> None:
    found = decided(LIMIT % condition, attribute)
    assert (found[allowed], found[denied]) == ("allow", "deny policy_no_permit")


def test_a_principal_in_the_scope_is_a_text_that_is_compared() -> None:
    found = decided(f'permit(principal == User::"ana", {HERE}, resource);', "user.id")
    assert (found["'ana'"], found["'another'"]) == ("allow", "deny policy_no_permit")


def test_a_use_case_is_one_row_and_operations_out_of_scope_have_none() -> None:
    asked = LIMIT % 'context.task.use_case == "refund"'
    assert [(row.value, row.decision) for row in rows(asked, "task.use_case")] == [("refund", "allow")]
    other = 'permit(principal, action == Action::"get_order", resource);'
    assert not rules_of({"p.cedar": other})[0].concerns("refund_order")
    assert table(f"permit(principal, {HERE}, resource);") == Table()


# --- the rest of the call --------------------------------------------------------------------------------------------


def test_each_bound_is_tried_on_a_call_on_which_it_tells() -> None:
    found = rows(
        """
        @id("eur") permit(principal, action, resource)
        when { context.arguments.currency == "EUR" && context.arguments.amount_minor <= 100 };
        @id("usd") permit(principal, action, resource)
        when { context.arguments.currency == "USD" && context.arguments.amount_minor <= 250
               && context.user.groups.contains("finance") };
        """,
        AMOUNT,
    )
    told = {(dict(row.others)["arguments.currency"], row.value): row.decision for row in found}
    assert (told["EUR", 100], told["EUR", 101]) == ("allow", "deny policy_no_permit")
    assert (told["USD", 250], told["USD", 251]) == ("allow", "deny policy_no_permit")
    assert {row.beside for row in found} == {("arguments.currency",), ("arguments.currency", "user.groups")}


def test_what_forbids_the_call_is_got_around_so_that_the_bound_tells() -> None:
    text = """
        permit(principal, action, resource) when { context.arguments.amount_minor <= 100 };
        @id("strangers") forbid(principal, action, resource) when { context.arguments.currency == "EUR" };
        @id("outsiders") forbid(principal, action, resource) unless { context.user.groups.contains("staff") };
    """
    found = rows(text, AMOUNT)
    assert {row.value: row.decision for row in found if row.case in {"at", "just above"}} == {
        100: "allow",
        101: "deny policy_no_permit",
    }
    assert {key: value for key, value in found[0].others if key != AMOUNT} == {
        "arguments.currency": "USD",
        "user.groups": ["staff"],
    }


def test_a_row_names_the_policies_that_decide_and_those_that_look_at_the_attribute() -> None:
    text = """
        @id("all") permit(principal, action, resource) when { context.arguments.amount_minor > 0 };
        @id("large") @hold("approval") @approvers("finance") @quorum("2") @within("90m")
        forbid(principal, action, resource) when { context.arguments.amount_minor > 50 };
        @id("never") @description("not by `all`")
        forbid(principal, action, resource) when { context.arguments.amount_minor > 500 };
    """
    found = {row.value: row for row in rows(text, AMOUNT)}
    assert (found[51].decision, found[51].by) == ("hold finance x2 90m", ("large",))
    assert (found[501].decision, found[501].by[-1]) == ("deny policy_forbids", "never")
    assert found[50].policies == ("all", "large", "never")


def test_a_policy_without_an_id_keeps_its_name_when_a_line_is_written_above_it() -> None:
    text = LIMIT % "context.arguments.amount_minor <= 100"
    names = {row.policies for row in table(text).rows} | {row.policies for row in table(f"// why\n\n{text}").rows}
    assert names == {("policy 1 of p.cedar",)}


# --- bounded, and the same for ever ----------------------------------------------------------------------------------


def test_the_same_policies_have_the_same_table_in_whatever_order_their_files_come() -> None:
    texts = {f"{name}.cedar": LIMIT % f"context.arguments.amount_minor <= {at}" for name, at in (("a", 5), ("b", 9))}
    assert rules_of(texts) == rules_of(dict(reversed(texts.items())))
    assert table(texts["a.cedar"]) == table(texts["a.cedar"])


def test_too_many_bounds_and_rows_are_cut_and_it_is_said() -> None:
    policies = "\n".join(
        LIMIT % " && ".join(f"context.arguments.amount_minor != {base}{at}00" for at in range(10, 50))
        for base in (1, 2)
    )
    found = table(policies)
    assert found.cut == ("17 of 81 bounds left out: 64 are tried for one operation",)
    assert len([row for row in found.rows if row.case == "at"]) == 64
    short = table(LIMIT % "context.arguments.amount_minor <= 100", rows_max=5)
    assert len(short.rows) == 5
    assert [note for note in short.cut if "rows left out" in note]
    assert table(LIMIT % "context.arguments.amount_minor <= 100").cut == ()


def test_policies_that_permit_nothing_say_so() -> None:
    found = table('forbid(principal, action, resource) when { context.arguments.currency == "EUR" };')
    assert found.cut == ("no call was found that these policies permit: every row is a refusal",)
    assert all(row.decision.startswith("deny") for row in found.rows)


def test_the_search_ends_whatever_the_policies_ask_for() -> None:
    asked = 0

    def deny(_: Question) -> Decision:
        nonlocal asked
        asked += 1
        return Deny(Reason("policy_no_permit", "no"))

    names = [f"a{each}" for each in range(30)]
    properties: JsonObject = {name: {"type": "integer"} for name in names}
    shape = OperationShape(operation="o", tool="t", input_schema={"type": "object", "properties": properties})
    terms = " && ".join(f"context.arguments.{name} == {at}" for at, name in enumerate(names))
    rules = rules_of({"p.cedar": f"permit(principal, action, resource) when {{ {terms} }};"})
    found = decision_table(rules, shape, deny, agent="a", use_case="u")
    assert 0 < len(found.rows) <= asked < 10_000


# --- values that fit a schema ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "pattern",
    [
        r"^ord-[0-9]{4}$",
        r"^[A-Za-z0-9-]{1,40}$",
        r"^(?:EUR|USD)[A-Z]?$",
        r"^\d{2,}\.\w+@[a-z]+\.(com|org)$",
        r"^[^0-9a]\S*x{0}[\d_]$",
        r"^[\]-]a(?P<name>b+)?c*$",
        r"^.{3}\-\/[0-9A-F]$",
    ],
)
def test_a_text_is_made_up_that_fits_a_pattern(pattern: str) -> None:
    assert re.fullmatch(pattern, text_of_pattern(pattern))


def test_a_text_is_made_as_long_as_it_has_to_be() -> None:
    assert len(text_of_pattern("^[a-z]+$", 12)) == 12
    assert text_of_pattern("^(?=a).*$") == "a"  # a pattern that is not read
    assert text_of_pattern("(" * 5) == "a"
    assert text_of_pattern("[0-9") == "a"


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "integer", "minimum": 5},
        {"type": "integer", "exclusiveMinimum": 5, "maximum": 9},
        {"type": "integer", "maximum": -4},
        {"type": "number", "exclusiveMaximum": 0},
        {"type": "integer", "multipleOf": 25},
        {"type": "string", "minLength": 20},
        {"type": "string", "format": "email"},
        {"type": "string", "format": "date-time"},
        {"type": "boolean"},
        {"type": ["null", "string"]},
        {"anyOf": [{"type": "string"}, {"type": "null"}]},
        {"const": "x"},
        {"enum": [3, 4]},
        {"type": "string", "examples": ["e-1"], "pattern": "^e-1$"},
        {"type": "array", "items": {"type": "integer"}, "minItems": 2},
        {"type": "object", "required": ["a"], "properties": {"a": {"type": "string"}, "b": {"type": "string"}}},
    ],
)
def test_a_value_is_made_up_that_fits_its_schema(schema: Json) -> None:
    whole: JsonObject = {
        "type": "object",
        "additionalProperties": False,
        "required": ["v"],
        "properties": {"v": _closed(schema)},
    }
    assert arguments_fit(compile_check(whole), {"v": sample(schema)}) == Allow()


def _closed(schema: Json) -> Json:
    if isinstance(schema, dict) and schema.get("type") == "object":
        return {**schema, "additionalProperties": False}
    return schema


# --- what the gateway itself tells policies ---------------------------------------------------------------------------

TOLD = OperationShape(
    operation="refund_order",
    tool="orders",
    input_schema=SCHEMA,
    effect="write",
    tier="high",
    history={"refunded_today": "Long", "mean": "decimal"},
    history_optional=frozenset({"mean"}),
    facts={"order": {"customer": "String", "left": "Long", "delivered_days_ago": "Long"}},
    labelled=("order_id",),
)


def told(condition: str, attribute: str) -> Mapping[str, str]:
    text = f'permit(principal, {HERE}, resource) when {{ context.arguments.order_id != "" && {condition} }};'
    shards, problems = compile_policies("refunds", {"p.cedar": text}, [TOLD], USERS)
    assert problems == ()
    rules = rules_of({"p.cedar": text})
    found = decision_table(rules, TOLD, shards["refund_order"].decide, agent="refunds", use_case="refund", user=USERS)
    return {repr(row.value): row.decision for row in found.rows if row.attribute == attribute}


@pytest.mark.requirement("R3.8", "R3.4")
@pytest.mark.parametrize(
    ("condition", "attribute", "allowed", "denied"),
    [
        ("context.history.refunded_today <= 50000", "history.refunded_today", ["50000", "0"], ["50001"]),
        (
            "context.history.refunded_today + context.arguments.amount_minor <= 50000",
            "history.refunded_today",
            ["49998", "49999"],
            ["50000"],  # with the 1 of the call itself
        ),
        (
            'context.history has mean && context.history.mean.lessThan(decimal("12.5"))',
            "history.mean",
            ["12.4999"],
            ["12.5", "None"],
        ),
        (
            "context.facts.order.delivered_days_ago < 30",
            "facts.order.delivered_days_ago",
            ["29"],
            ["30", "None", "'30'"],
        ),
        ("context.arguments.amount_minor <= context.facts.order.left", "facts.order.left", ["1"], ["0", "None"]),
        (
            "context.user has customer_id && context.facts.order.customer == context.user.customer_id",
            "user.customer_id",
            ["'any text'"],
            ["'another'", "''", "None"],
        ),
        (
            'context.labels has order_id && context.labels.order_id == "user"',
            "labels.order_id",
            ["'user'"],
            ["'untrusted'", "'nowhere'", "None"],
        ),
        ("!context.task.untrusted", "task.untrusted", ["False"], ["True"]),
        ("context.task.granted", "task.granted", ["True"], ["False"]),
        ('context.agent.level != "C"', "agent.level", ["'A'", "'B'"], ["'C'"]),
        (
            "context.agent has confidence && context.agent.confidence >= 80",
            "agent.confidence",
            ["80"],
            ["79", "None"],
        ),
    ],
)
def test_what_the_gateway_counted_looked_up_and_knows_is_tried_too(
    condition: str, attribute: str, allowed: list[str], denied: list[str]
) -> None:
    found = told(condition, attribute)
    assert {found[each] for each in allowed} == {"allow"}
    assert all(found[each].startswith("deny ") for each in denied), found


@pytest.mark.requirement("R3.8")
def test_what_a_made_up_text_is_equal_to_is_named_and_shown_beside_it() -> None:
    rule = "context.user has customer_id && context.facts.order.customer == context.user.customer_id"
    text = f"permit(principal, {HERE}, resource) when {{ {rule} }};"
    shards, _ = compile_policies("refunds", {"p.cedar": text}, [TOLD], USERS)
    ask = shards["refund_order"].decide
    found = decision_table(rules_of({"p.cedar": text}), TOLD, ask, agent="refunds", use_case="refund", user=USERS)
    [same] = [row for row in found.rows if row.attribute == "facts.order.customer" and row.decision == "allow"]
    assert (same.case, same.value, same.beside) == ("as user.customer_id", "any text", ("user.customer_id",))
    assert dict(same.others)["user.customer_id"] == "any text"


@pytest.mark.requirement("R3.8")
@pytest.mark.parametrize("condition", ["context.history.refunded_today > 0", "context.history.refunded_today + 5 > 2"])
def test_a_count_below_nothing_is_never_tried(condition: str) -> None:
    assert all(float(value) >= 0 for value in told(condition, "history.refunded_today"))


def test_what_no_call_can_differ_in_is_no_attribute_to_try() -> None:
    assert told('context.operation.tier == "high" && context.agent.name == "refunds"', "operation.tier") == {}


@pytest.mark.parametrize(
    "condition",
    [
        "context.arguments == context.arguments",
        "{a: context.arguments.amount_minor}.a <= 100",
        "(if context.arguments.amount_minor > 5 then 1 else 2) < 2",
        "context.arguments.amount_minor * context.arguments.amount_minor < 9",
        "context.arguments.amount_minor * 0 < 9",
        "context.arguments has payee && {days: 5} == {days: context.arguments.amount_minor}",
        "[context.arguments.amount_minor, 5].contains(5)",
        '["EUR", context.arguments.order_id].contains(context.arguments.currency)',
        "context.arguments.amount_minor <= 9223372036854775807",
        "context.arguments.amount_minor >= -9223372036854775807",
        'context.arguments has price && context.arguments.price.lessThan(decimal("922337203685477.5807"))',
        'context.arguments has to && context.arguments.to == ["x"]',
        'principal != User::"ana" && resource == Tool::"orders"',
    ],
)
def test_whatever_a_policy_may_say_its_table_is_made(condition: str) -> None:
    assert all(row.decision for row in table(LIMIT % condition).rows)
