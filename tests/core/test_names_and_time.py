"""Names, ids, traces and times: what counts as one, and that each comes back as it went out."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from remit.core import is_name, new_id, new_trace, parse_traceparent, parse_utc, utc_text

RANDOM = bytes(range(24))
TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"


@pytest.mark.parametrize("name", ["a", "0", "get_order", "orders.get-order", "x" * 64, "1.0.0"])
def test_lower_case_ascii_makes_a_name(name: str) -> None:
    assert is_name(name)


@pytest.mark.parametrize(
    "name",
    [
        *("", "A", "_a", "-a", ".a", "a b", "a\n", "\na", "a/b", "a:b", "caf\u00e9", "\u0430", "a\u200b", "x" * 65),
        *("\u0661", None, 1, b"a", ["a"]),
    ],
)
def test_anything_else_is_no_name(name: object) -> None:
    assert not is_name(name)


@given(st.text(max_size=70))
def test_a_name_is_ascii_and_the_same_in_lower_case(text: str) -> None:
    if is_name(text):
        assert text.isascii()
        assert text == text.lower().strip()


def test_an_id_is_its_prefix_and_twelve_bytes() -> None:
    assert new_id("t", RANDOM) == "t_000102030405060708090a0b"


def test_a_callers_trace_is_joined_with_a_span_of_our_own() -> None:
    joined = parse_traceparent(f"00-{TRACE}-{SPAN}-01", RANDOM)
    assert joined.trace_id == TRACE
    assert joined.span_id == new_trace(RANDOM).span_id != SPAN


@pytest.mark.parametrize(
    "text",
    [
        None,
        5,
        "",
        f"00-{TRACE}-{SPAN}",
        f"00-{TRACE}-{SPAN}-01-x",
        f"01-{TRACE}-{SPAN}-01",
        f"ff-{TRACE}-{SPAN}-01",
        f"00-{'0' * 32}-{SPAN}-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"00-{TRACE.upper()}-{SPAN}-01",
        f"00-{TRACE[:-1]}-{SPAN}-01",
        f"00-{TRACE}-{SPAN}-01\n",
        f" 00-{TRACE}-{SPAN}-01",
        f"00-{TRACE[:-1]}\u0661-{SPAN}-01",
    ],
)
def test_a_traceparent_that_is_none_starts_a_new_trace(text: object) -> None:
    assert parse_traceparent(text, RANDOM) == new_trace(RANDOM)


@given(st.datetimes(min_value=datetime(1000, 1, 1), timezones=st.just(UTC)))  # noqa: DTZ001 - hypothesis adds the zone
def test_a_time_comes_back_as_it_was_written(moment: datetime) -> None:
    text = utc_text(moment)
    assert parse_utc(text) == moment
    assert len(text) == 27


@given(st.lists(st.datetimes(min_value=datetime(1000, 1, 1), timezones=st.just(UTC)), max_size=5))  # noqa: DTZ001 - the same
def test_times_sort_as_their_texts_do(moments: list[datetime]) -> None:
    assert [utc_text(moment) for moment in sorted(moments)] == sorted(utc_text(moment) for moment in moments)


@pytest.mark.parametrize("text", ["", "2026-11-22", "2026-11-22T09:30:00Z", "2026-13-01T00:00:00.000000Z", "x"])
def test_another_form_is_no_time(text: str) -> None:
    with pytest.raises(ValueError, match=r"time data|unconverted"):
        parse_utc(text)
