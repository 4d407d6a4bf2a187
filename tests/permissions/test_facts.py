"""What a call is about, as a look-up's answer says it: each value where its pointer leads, or why it is not known."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from remit.core import Allow, Deny, Json, JsonObject
from remit.permissions import DAYS_SINCE, VALUE, asked_for, facts_are_known, taken

pytestmark = pytest.mark.requirement("R3.8")

NOW = datetime(2026, 11, 22, 9, 30, tzinfo=UTC)

scalars = st.none() | st.booleans() | st.integers(-99, 99) | st.text(max_size=3)
answers = st.recursive(scalars, lambda below: st.lists(below, max_size=3) | st.dictionaries(st.text(max_size=2), below))


def value(answer: Json, pointer: str) -> JsonObject | str:
    return taken({"it": (pointer, VALUE)}, answer, NOW)


def days(said: Json) -> JsonObject | str:
    return taken({"ago": ("/at", DAYS_SINCE)}, {"at": said}, NOW)


# --- pointers ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("pointer", "found"),
    [
        ("/plain", 1),
        ("/a~1b", 2),
        ("/m~0n", 3),
        ("/~01", 4),
        ("/", 5),
        ("/list/0", "x"),
        ("/list/1/deep", False),
        ("/zero", 0),
        ("/empty", ""),
    ],
)
def test_a_pointer_leads_where_rfc_6901_says(pointer: str, found: Json) -> None:
    answer: JsonObject = {"plain": 1, "a/b": 2, "m~n": 3, "~1": 4, "": 5, "zero": 0, "empty": ""}
    answer["list"] = ["x", {"deep": False}]
    assert value(answer, pointer) == {"it": found}


@pytest.mark.parametrize(
    "pointer", ["/none", "/null", "/list/2", "/list/00", "/list/-1", "/list/-", "/list/\u0661", "/text/0", "text"]
)
def test_what_a_pointer_does_not_lead_to_is_not_known(pointer: str) -> None:
    answer: JsonObject = {"null": None, "list": [1, 2], "text": "abc"}
    assert value(answer, pointer) == f"`it`: nothing at `{pointer}`"


@given(answers)
def test_every_value_of_an_answer_is_found_by_its_own_pointer(answer: Json) -> None:
    def walk(part: Json, pointer: str) -> None:
        if part is not None:
            assert value(answer, pointer) == {"it": part}
        below = part.items() if isinstance(part, dict) else enumerate(part) if isinstance(part, list) else ()
        for step, item in below:
            walk(item, f"{pointer}/{str(step).replace('~', '~0').replace('/', '~1')}")

    walk(answer, "")


@given(answers, st.text("/~01ab", max_size=6))
def test_no_pointer_and_no_answer_ends_in_an_error(answer: Json, pointer: str) -> None:
    assert isinstance(value(answer, pointer), dict | str)


def test_a_look_up_asks_with_all_of_its_arguments_or_not_at_all() -> None:
    pointers = {"order": "/order_id", "first": "/lines/0"}
    assert asked_for(pointers, {"order_id": "o-1", "lines": [0], "more": 1}) == {"order": "o-1", "first": 0}
    assert asked_for(pointers, {"order_id": "o-1", "lines": []}) is None
    assert asked_for(pointers, {"order_id": None, "lines": [0]}) is None
    assert asked_for({}, {"order_id": "o-1"}) == {}


def test_the_first_value_that_is_missing_makes_all_unknown() -> None:
    wanted = {"customer": ("/customer", VALUE), "ago": ("/at", DAYS_SINCE)}
    assert taken(wanted, {"customer": "c", "at": "2026-11-20"}, NOW) == {"customer": "c", "ago": 2}
    assert taken(wanted, {"customer": "c"}, NOW) == "`ago`: nothing at `/at`"
    assert taken(wanted, {"customer": "c", "at": "soon"}, NOW) == "`ago`: no date at `/at`"
    assert taken(wanted, "an answer in words", NOW) == "`customer`: nothing at `/customer`"


# --- days -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("said", "ago"),
    [
        ("2026-11-22", 0),
        ("2026-11-21", 1),
        ("2026-11-21T09:30:00Z", 1),
        ("2026-11-21T09:30:00.000001Z", 0),
        ("2026-11-21t09:30:00z", 1),
        ("2026-11-21 09:30:00+00:00", 1),
        ("2026-11-21T10:30:00+01:00", 1),
        ("2026-11-21T04:30:01-05:00", 0),
        ("2026-11-21T09:30:00", 1),
        ("2026-11-22T09:30:00.123456789Z", -1),
        ("2026-11-23", -1),
        ("0001-01-01T00:00:00+14:00", 739_941),
        ("9999-12-31T23:59:59-23:59", -2_912_119),
    ],
)
def test_days_are_whole_ones_since_then(said: str, ago: int) -> None:
    assert days(said) == {"ago": ago}


@pytest.mark.parametrize(
    "said",
    [
        "2026-11-31",
        "2026-11-21T24:00:00Z",
        "2026-11-21T09:30:60Z",
        "2026-11-21T09:30",
        "2026-11-21T09:30:00+99:00",
        "20261121",
        "2026-W47-6",
        "2026-11-21x09:30:00Z",
        "2026-11-21T09:30:00,5Z",
        "21.11.2026",
        "\uff12026-11-21",
        " 2026-11-21",
        "2026-11-21\n",
        "",
        1_795_253_400,
        True,
        ["2026-11-21"],
    ],
)
def test_what_is_no_date_of_rfc_3339_is_no_date(said: Json) -> None:
    assert days(said) == "`ago`: no date at `/at`"


@given(st.datetimes(timezones=st.timezones(), min_value=datetime(1900, 1, 1)) | st.datetimes(timezones=st.just(UTC)))  # noqa: DTZ001 - hypothesis adds the zone
def test_however_a_moment_is_written_its_days_are_the_same(then: datetime) -> None:
    if (then.utcoffset() or timedelta()).total_seconds() % 60:
        return  # RFC 3339 writes whole minutes
    assert days(then.isoformat(timespec="microseconds")) == {"ago": (NOW - then) // timedelta(days=1)}


@given(st.text(max_size=30) | st.from_regex(r"\A[0-9]{4}-[0-9]{2}-[0-9]{2}([Tt ][0-9:.]{8,12}[Zz+-]?[0-9:]{0,5})?\Z"))
def test_no_text_at_all_ends_in_an_error(said: str) -> None:
    assert isinstance(days(said), dict | str)


# --- the gate ---------------------------------------------------------------------------------------------------------


def test_what_is_not_known_denies_and_is_told_by_name() -> None:
    assert facts_are_known({}) == Allow()
    denied = facts_are_known({"order": "`get_order` did not answer", "account": "no such account"})
    assert isinstance(denied, Deny)
    assert denied.reason.code == "fact_missing"
    assert denied.reason.message.endswith("`account`: no such account; `order`: `get_order` did not answer")
