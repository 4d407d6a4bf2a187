"""What a task may do: the intersection of what everybody said, and never more (RFC 9396, type `agent_task`)."""

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from remit.core import Allow, Authority, Deny, InputRefusedError, Level
from remit.identity import (
    ALL,
    CHAIN_MAX,
    attachment_suffices,
    authority_covers,
    authority_json,
    details_json,
    may_hand_on,
    narrowed,
    read_authority,
    read_details,
)

pytestmark = pytest.mark.requirement("R2.5")

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)
NAMES = st.none() | st.frozensets(st.sampled_from(["look", "pay", "wipe", "spare"]))
AUTHORITIES = st.builds(
    Authority, operations=NAMES, locations=NAMES, calls_max=st.none() | st.integers(min_value=0, max_value=9)
)


def covers(authority: Authority, operation: str, tool: str = "look") -> bool:
    decision = authority_covers(authority, operation=operation, tool=tool)
    return isinstance(decision, Allow)


@given(AUTHORITIES, AUTHORITIES, st.sampled_from(["look", "pay", "wipe"]), st.sampled_from(["look", "pay", "wipe"]))
def test_the_narrowed_covers_exactly_what_both_cover(one: Authority, other: Authority, name: str, tool: str) -> None:
    both = narrowed(one, other)
    assert covers(both, name, tool) == (covers(one, name, tool) and covers(other, name, tool))
    for each in (one, other):
        if each.calls_max is not None:
            assert both.calls_max is not None
            assert both.calls_max <= each.calls_max
    assert narrowed(one, other) == narrowed(other, one)
    assert narrowed(one, one) == one == narrowed(one, ALL)


@given(AUTHORITIES)
def test_what_is_written_reads_back(authority: Authority) -> None:
    assert read_authority(authority_json(authority)) == authority
    wanted = read_details(details_json("refund", authority, NOON))
    assert wanted is not None
    assert (wanted.use_case, wanted.authority, wanted.expires_at) == ("refund", authority, NOON)


@pytest.mark.parametrize(
    "details",
    [
        [],
        {},
        "agent_task",
        [{"type": "payment_initiation"}],
        [{"type": "agent_task"}, {"type": "agent_task"}],
        [{"type": "agent_task", "actions": ["look"]}],
        [{"type": "agent_task", "operations": "look"}],
        [{"type": "agent_task", "operations": None}],
        [{"type": "agent_task", "operations": ["LOOK"]}],
        [{"type": "agent_task", "operations": [1]}],
        [{"type": "agent_task", "locations": ["a"] * 501}],
        [{"type": "agent_task", "limits": {"amount": 5}}],
        [{"type": "agent_task", "limits": {"calls": 5, "amount": 5}}],
        [{"type": "agent_task", "limits": {"calls": True}}],
        [{"type": "agent_task", "limits": {"calls": -1}}],
        [{"type": "agent_task", "limits": None}],
        [{"type": "agent_task", "use_case": "not a name"}],
        [{"type": "agent_task", "expires_at": 1}],
        [{"type": "agent_task", "expires_at": None}],
        [{"type": "agent_task", "expires_at": "tomorrow"}],
        [{"type": "agent_task", "expires_at": "2026-11-22T12:00:00+00:00"}],
    ],
)
def test_what_could_not_be_kept_is_refused_never_ignored(details: Any) -> None:
    with pytest.raises(InputRefusedError) as refused:
        read_details(details)
    assert refused.value.code == "authorization_details_invalid"
    assert refused.value.fix


def test_the_control_of_all_those_is_read_and_nothing_is_no_narrowing() -> None:
    assert read_details(None) is None
    whole: Any = [
        {
            "type": "agent_task",
            "use_case": "refund",
            "operations": ["look"],
            "locations": ["orders"],
            "limits": {"calls": 5},
            "expires_at": "2026-11-22T12:00:00Z",
        }
    ]
    wanted = read_details(whole)
    assert wanted is not None
    least = Authority(operations=frozenset({"look"}), locations=frozenset({"orders"}), calls_max=5)
    assert (wanted.authority, wanted.expires_at) == (least, NOON)
    bare = read_details([{"type": "agent_task"}])
    assert bare is not None
    assert bare.authority == ALL


@pytest.mark.parametrize(
    ("level", "bearer", "reads", "code"),
    [
        ("A", True, False, ""),
        ("A", False, True, "bearer_refused"),
        ("B", False, False, ""),
        ("C", False, True, ""),
        ("C", True, False, "client_only_reads"),
    ],
)
def test_how_an_agent_is_attached_decides_what_it_may(level: str, *, bearer: bool, reads: bool, code: str) -> None:
    decision = attachment_suffices(Level(level), bearer=bearer, reads=reads)
    assert (decision.reason.code if isinstance(decision, Deny) else "") == code


def test_work_is_handed_on_only_so_far_and_never_in_a_circle() -> None:
    def code(chain: tuple[str, ...], to: str) -> str:
        decision = may_hand_on(chain, "a", to)
        return decision.reason.code if isinstance(decision, Deny) else ""

    assert code(("b",), "c") == ""
    assert code((), "a") == code(("b", "c"), "c") == "chain_circular"
    assert code(tuple("bcdef"[: CHAIN_MAX - 1]), "z") == ""
    assert code(tuple("bcdefgh"[:CHAIN_MAX]), "z") == "chain_too_long"
