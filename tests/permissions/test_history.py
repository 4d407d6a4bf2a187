"""Counters of the past: what a call counts for, how much, under which key, and what policy is told of it."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from remit.core import Add, Json, JsonObject, Window
from remit.permissions import ARGUMENTS, PARTIES, Asked, History, Tally, adds, adds_later, tallies
from remit.permissions._history import DECIMAL_SCALE, SUM_MAX

pytestmark = pytest.mark.requirement("R3.4")

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)
CALL = Asked(
    user="ana", agent="clerk", task="t_1", tool="orders", use_case="refund", operation="pay", arguments={}, now=NOON
)
PAID = History(name="paid_today", of=frozenset({"pay"}), per=("user",), sum="amount", window=Window.DAY)
CALLS = History(name="calls", of=frozenset({"pay", "look"}), per=("task",))


def asked(arguments: JsonObject | None = None, operation: str = "pay") -> Asked:
    return replace(CALL, arguments=arguments or {}, operation=operation)


def one(history: History, call: Asked, seen: int = 0) -> Tally:
    (key,) = (tally.key for tally in tallies((history,), call, {}))
    (tally,) = tallies((history,), call, {key: seen})
    return tally


def key(history: History, call: Asked) -> str:
    return one(history, call).key


def amount(value: Json, *, decimal: bool = False) -> int:
    return one(replace(PAID, decimal=decimal), asked({"amount": value})).by


def per(value: Json) -> str:
    return key(replace(PAID, per=(f"{ARGUMENTS}to",)), asked({"to": value}))


# --- what is told -----------------------------------------------------------------------------------------------------


def test_policy_is_told_the_past_with_this_call_in_it() -> None:
    tally = one(PAID, asked({"amount": 400}), seen=600)
    assert (tally.name, tally.seen, tally.by, tally.said) == ("paid_today", 600, 400, 1_000)
    assert one(CALLS, asked(), seen=2).said == 3


def test_an_operation_that_does_not_count_is_told_and_adds_nothing() -> None:
    tally = one(PAID, asked({"amount": 400}, operation="look"), seen=600)
    assert (tally.by, tally.said) == (0, 600)
    assert adds((tally,)) == (Add(tally.key, 0, 600, tally.resets_at),), "what policy was told is compared all the same"


def test_what_counts_when_answered_is_not_in_what_policy_is_told() -> None:
    tally = one(replace(PAID, answered=True), asked({"amount": 400}), seen=600)
    assert tally.said == 600
    assert adds((tally,)) == ()
    assert adds_later((tally,)) == (Add(tally.key, 400, 600, tally.resets_at),)
    assert adds_later((one(PAID, asked({"amount": 400})),)) == (), "the control: counted before its effect"
    unmoved = one(replace(PAID, answered=True), asked(operation="look"))
    assert adds_later((unmoved,)) == (), "nothing to add"


def test_a_counter_by_an_argument_that_is_not_there_says_nothing() -> None:
    by_order = replace(CALLS, per=("user", "arguments.order"))
    assert tallies((by_order, CALLS), asked(), {}) == tallies((CALLS,), asked(), {})
    assert tallies((by_order,), asked({"order": None}), {}) == ()
    assert len(tallies((by_order,), asked({"order": 0}), {})) == 1, "nothing is a value too"


def test_a_counter_without_a_window_counts_for_ever_and_another_begins_anew() -> None:
    assert one(CALLS, asked()).resets_at is None
    assert key(CALLS, asked()) == key(CALLS, replace(asked(), now=NOON + timedelta(days=9_999)))
    assert one(PAID, asked()).resets_at == NOON + timedelta(hours=12)
    late = replace(asked(), now=NOON + timedelta(hours=11, minutes=59, seconds=59))
    assert key(PAID, late) == key(PAID, asked())
    assert key(PAID, replace(asked(), now=NOON + timedelta(hours=12))) != key(PAID, asked())


# --- how much ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "by"),
    [(5, 5), (-5, 5), (0, 0), (None, 0), (5.0, 5), (5.01, 6), (-5.01, 6), (2**53 - 1, 2**53 - 1), (2**62, SUM_MAX)],
)
def test_an_amount_counts_by_its_size_and_is_rounded_up(value: Json, by: int) -> None:
    assert amount(value) == by


@pytest.mark.parametrize(("value", "by"), [(1.5, 15_000), (0.00001, 1), (-0.1, 1_000), (7, 70_000), (1e300, SUM_MAX)])
def test_a_decimal_amount_counts_in_ten_thousandths(value: Json, by: int) -> None:
    assert amount(value, decimal=True) == by


@pytest.mark.parametrize("value", ["400", "", True, False, [400], {"value": 400}, float("inf"), float("nan")])
@pytest.mark.parametrize("decimal", [False, True])
def test_what_is_no_number_is_no_way_to_count_for_nothing(value: Json, *, decimal: bool) -> None:
    assert amount(value, decimal=decimal) == SUM_MAX


@given(st.lists(st.integers(-(2**53) + 1, 2**53 - 1) | st.floats(-1e15, 1e15), max_size=20), st.booleans())
def test_no_order_and_no_sign_makes_a_sum_smaller_than_its_parts(values: list[int | float], decimal: bool) -> None:
    scale = DECIMAL_SCALE if decimal else 1
    total, exact = 0, Decimal(0)
    for value in values:
        told = one(replace(PAID, decimal=decimal), asked({"amount": value}), seen=total)
        assert told.said >= total
        total, exact = told.said, exact + abs(Decimal(repr(value)))
    assert total + 1 >= min(int(exact * scale), SUM_MAX)  # (a sum of decimals is rounded itself, to 28 digits)
    assert total <= exact * scale + len(values) + 1


@given(st.integers(0, SUM_MAX), st.integers() | st.floats())
def test_nothing_brings_a_counter_over_its_most_or_below_what_it_was(seen: int, value: float) -> None:
    tally = one(PAID, asked({"amount": value}), seen=seen)
    assert 0 <= tally.by <= SUM_MAX
    assert seen <= tally.said <= SUM_MAX


# --- under which key --------------------------------------------------------------------------------------------------

ALIKE = [
    ("ana@x.org", "ANA@x.org "),
    ("ana@x.org", "\uff41na@x.org"),
    ("ana@x.org", "ana\u200b@x.org"),
    (5, "5"),
    (5, 5.0),
    ("0005", "5"),
    (["Ana"], ["ana "]),
    ({"to": "Ana"}, {"to": "ana"}),
    ({"TO": ["Ana", 5]}, {"to": ["ana", "5.0"]}),
    ({"a": 1, "b": 2}, {"b": 2, "a": 1}),
]


@pytest.mark.parametrize(("this", "that"), ALIKE)
def test_look_alikes_share_one_counter(this: Json, that: Json) -> None:
    assert per(this) == per(that)


@pytest.mark.parametrize(
    ("this", "that"),
    [
        ("ana", "ann"),
        (1, 2),
        (["a", "b"], ["ab"]),
        (["a"], "b"),
        ({"a": 1}, {"a": 2}),
        ({"a": 1, "A": 2}, {"a": 1}),
        ({"a": "b"}, {"b": "a"}),
        ([1, [2]], [[1], 2]),
        (True, False),
    ],
)
def test_what_is_not_alike_is_counted_apart(this: Json, that: Json) -> None:
    assert per(this) != per(that)


@given(st.text(st.characters(max_codepoint=0x2FF)))
def test_every_text_has_a_counter_and_case_is_no_way_around_it(text: str) -> None:
    assert per(text) == per(text.casefold()) == per(f" {text}\n")


@given(st.recursive(st.text(max_size=3), lambda below: st.lists(below) | st.dictionaries(st.text(max_size=2), below)))
def test_values_inside_values_are_folded_like_any(value: Json) -> None:
    def spaced(part: Json) -> Json:
        match part:
            case list():
                return [spaced(item) for item in part]
            case dict():
                return {name: spaced(item) for name, item in part.items()}
            case _:
                return f" {part}\n"

    assert per(spaced(value)) == per(value)


@pytest.mark.parametrize("party", PARTIES)
def test_each_party_has_a_counter_of_its_own_exactly_as_it_is_named(party: str) -> None:
    def of(name: str) -> Asked:
        return replace(CALL, **{party: name})  # type: ignore[arg-type]  # the field is a text

    history = replace(PAID, per=(party,))
    assert key(history, of("Bo")) != key(history, CALL)
    assert key(history, of("Bo")) != key(history, of("bo")), "not a value of an agent's"
    assert key(replace(PAID, per=()), of("Bo")) == key(replace(PAID, per=()), CALL), "the control"


def test_counters_that_differ_in_name_or_in_where_a_value_stands_never_meet() -> None:
    both = replace(CALLS, per=("arguments.a", "arguments.b"))
    keys = {
        key(both, asked({"a": "x", "b": "y"})),
        key(both, asked({"a": "y", "b": "x"})),
        key(both, asked({"a": 'x","y', "b": ""})),
        key(replace(both, name="others"), asked({"a": "x", "b": "y"})),
        key(replace(both, window=Window.DAY), asked({"a": "x", "b": "y"})),
    }
    assert len(keys) == 5


def test_a_key_tells_nobody_what_it_counts_by() -> None:
    assert "ana" not in key(PAID, asked()).casefold()
    assert key(PAID, asked()).startswith("#paid_today/")
    assert key(PAID, asked()).endswith("@2026-11-22")
