"""The gate of the limits: what is counted, under which key, until when; and what is said when a cap is full."""

from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from remit.core import Allow, Decision, Deny, Reserve, Window
from remit.limits import DEFAULT_CAPS, Cap, Per, is_capped, refused

pytestmark = pytest.mark.requirement("R6.1", "R6.4")

AT = datetime(2026, 11, 22, 9, 30, 15, 250_000, tzinfo=UTC)
WRITES = Cap(name="writes", effects=frozenset({"write", "execute"}), per=Per.USER, window=Window.DAY, max=5)
AT_ONCE = Cap(name="at_once", effects=frozenset({"read", "write"}), per=Per.AGENT, window=None, max=4)

EFFECTS = ("read", "write", "execute", "irreversible")
NAMES = st.sampled_from(["a", "b", "a-b", "a.b"])
CAPS = st.builds(
    Cap,
    name=NAMES,
    effects=st.frozensets(st.sampled_from(EFFECTS)),
    per=st.sampled_from(Per),
    window=st.sampled_from([None, *Window]),
    max=st.integers(0, 3),
)
TIMES = st.datetimes(datetime(1970, 1, 1), datetime(2999, 12, 31), timezones=st.just(UTC))  # noqa: DTZ001 - made aware


def asked(caps: tuple[Cap, ...] | None, effect: str = "write", now: datetime = AT, **other: str) -> Decision:
    who = {"agent": "refunds", "user": "tom", "tool": "orders", "task": "t_1", **other}
    return is_capped(caps, **who, effect=effect, now=now)


def reserves(caps: tuple[Cap, ...], effect: str = "write", now: datetime = AT, **other: str) -> list[Reserve]:
    answer = asked(caps, effect, now, **other)
    assert isinstance(answer, Allow)
    return [need for need in answer.obligations if isinstance(need, Reserve)]


@pytest.mark.parametrize("caps", [None, ()])
def test_an_agent_without_caps_gets_nothing(caps: tuple[Cap, ...] | None) -> None:
    answer = asked(caps)
    assert isinstance(answer, Deny)
    assert (answer.reason.code, answer.reason.retry_after_s) == ("limits_missing", 0)
    assert "owner" in answer.reason.fix
    assert isinstance(asked(DEFAULT_CAPS), Allow), "the control"


def test_every_cap_of_the_effect_is_one_obligation_and_no_other_cap_is() -> None:
    midnight = datetime(2026, 11, 23, tzinfo=UTC)
    writes = Reserve("writes", "refunds/writes/user:tom@2026-11-22", 5, midnight)
    at_once = Reserve("at_once", "refunds/at_once/agent:refunds@now", 4, None)
    assert asked((WRITES, AT_ONCE), "write") == Allow((writes, at_once))
    assert asked((WRITES, AT_ONCE), "execute") == Allow((writes,))
    assert asked((WRITES, AT_ONCE), "read") == Allow((at_once,))
    assert asked((WRITES, AT_ONCE), "irreversible") == Allow()


@pytest.mark.parametrize(
    ("window", "start", "end"),
    [
        (Window.MINUTE, "2026-11-22T09:30", datetime(2026, 11, 22, 9, 31, tzinfo=UTC)),
        (Window.HOUR, "2026-11-22T09", datetime(2026, 11, 22, 10, tzinfo=UTC)),
        (Window.DAY, "2026-11-22", datetime(2026, 11, 23, tzinfo=UTC)),
        (None, "now", None),
    ],
)
def test_a_window_begins_and_ends_at_the_full_minute_hour_or_day(
    window: Window | None, start: str, end: datetime | None
) -> None:
    (made,) = reserves((replace(WRITES, window=window),))
    assert (made.key, made.resets_at) == (f"refunds/writes/user:tom@{start}", end)


@pytest.mark.parametrize(
    ("per", "who"), [(Per.AGENT, "refunds"), (Per.USER, "tom"), (Per.TOOL, "orders"), (Per.TASK, "t_1")]
)
def test_a_cap_counts_by_what_it_says_and_each_agent_by_itself(per: Per, who: str) -> None:
    cap = replace(WRITES, per=per)
    (made,) = reserves((cap,))
    assert made.key == f"refunds/writes/{per}:{who}@2026-11-22"
    for name in Per:
        (other,) = reserves((cap,), "write", AT, **{str(name): "another"})
        assert (other.key != made.key) is (name in {per, Per.AGENT})


def test_reads_and_writes_have_their_own_limits_by_default() -> None:
    writing = {effect: [(need.cap, need.max) for need in reserves(DEFAULT_CAPS, effect)] for effect in EFFECTS}
    few = [("at_once", 16), ("writes", 100)]
    many = [("at_once", 16), ("reads", 10_000)]
    assert writing == {"read": many, "write": few, "execute": few, "irreversible": few}


@given(st.lists(CAPS, min_size=1, max_size=4), CAPS, st.integers(0, 4), st.sampled_from(EFFECTS), TIMES)
def test_another_cap_never_takes_an_obligation_away(
    caps: list[Cap], another: Cap, at: int, effect: str, now: datetime
) -> None:
    before = Counter(reserves(tuple(caps), effect, now))
    after = Counter(reserves((*caps[:at], another, *caps[at:]), effect, now))
    assert before <= after
    assert after.total() - before.total() == (effect in another.effects)


@given(st.sampled_from(Window), TIMES, st.timedeltas(timedelta(days=-2), timedelta(days=2)))
def test_a_window_is_the_same_window_whenever_the_clock_says_it_again(
    window: Window, now: datetime, jump: timedelta
) -> None:
    """A clock that jumps, back or forth, and returns finds the counter it left: none begins anew twice."""
    cap = replace(WRITES, window=window)
    (first,), (jumped,), (again,) = (reserves((cap,), now=at) for at in (now, now + jump, now))
    assert again == first
    assert first.resets_at is not None
    assert jumped.resets_at is not None
    assert (jumped.key == first.key) is (jumped.resets_at == first.resets_at), "one key, one window"
    length = {Window.MINUTE: timedelta(minutes=1), Window.HOUR: timedelta(hours=1), Window.DAY: timedelta(days=1)}
    assert now < first.resets_at <= now + length[window]


@given(CAPS, CAPS, st.fixed_dictionaries(dict.fromkeys(("agent", "user", "tool", "task"), NAMES)), TIMES, TIMES)
def test_two_counters_never_share_a_key(one: Cap, two: Cap, who: dict[str, str], now: datetime, then: datetime) -> None:
    def counted(cap: Cap, at: datetime) -> tuple[tuple[object, ...], str]:
        (made,) = reserves((replace(cap, effects=frozenset(EFFECTS)),), now=at, **who)
        return (cap.name, cap.per, cap.window, made.resets_at), made.key

    (first, key), (second, other) = counted(one, now), counted(two, then)
    assert (key == other) is (first == second)


def test_a_full_window_says_when_it_begins_anew() -> None:
    (made,) = reserves((WRITES,))
    answer = refused(made, 5, AT)
    assert (answer.reason.code, answer.reason.retry_after_s) == ("limit_reached", 14 * 3_600 + 29 * 60 + 45)
    assert answer.reason.message == "`writes` allows 5 calls until 2026-11-23T00:00Z, and 5 were made"
    assert answer.reason.fix


def test_a_tasks_own_grant_is_used_up_for_good_and_an_agents_cap_of_that_name_is_not() -> None:
    answer = refused(Reserve("granted", "=task/t_1", 5, AT + timedelta(hours=1)), 5, AT)
    assert (answer.reason.code, answer.reason.retry_after_s) == ("limit_reached", 0)
    assert "used up" in answer.reason.message
    assert "waiting does not help" in answer.reason.fix
    assert refused(Reserve("granted", "clerk/granted", 5, AT + timedelta(hours=1)), 5, AT).reason.retry_after_s == 3_600


@pytest.mark.parametrize(
    ("before_us", "wait_s"), [(1, 1), (1_000_000, 1), (1_000_001, 2), (0, 1), (-5_000_000, 1)], ids=str
)
def test_the_wait_is_rounded_up_and_never_nothing(before_us: int, wait_s: int) -> None:
    (made,) = reserves((WRITES,))
    assert made.resets_at is not None
    assert refused(made, 5, made.resets_at - timedelta(microseconds=before_us)).reason.retry_after_s == wait_s


def test_calls_under_way_are_waited_for_a_second() -> None:
    (made,) = reserves((AT_ONCE,))
    answer = refused(made, 4, AT)
    assert (answer.reason.code, answer.reason.retry_after_s) == ("limit_concurrency", 1)
    assert answer.reason.message == "`at_once` lets 4 calls be under way at once, and 4 are"
