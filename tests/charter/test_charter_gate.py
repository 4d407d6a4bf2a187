"""The charter's gate: no charter no call, and each use case closes its list."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from remit.charter import Charter, UseCase, within_use_case
from remit.core import Allow, Deny

NAMES = st.sampled_from(["get_order", "refund_order", "send_mail", "close_account"])


def charter(**use_cases: frozenset[str]) -> Charter:
    made = {name: UseCase(name=name, description="x", operations=listed) for name, listed in use_cases.items()}
    return Charter(agent="refunds", owner="ana", process="returns", purpose="pay back", use_cases=made)


@pytest.mark.requirement("R1.1")
def test_without_a_charter_nothing_is_allowed() -> None:
    answer = within_use_case(None, "refund", "get_order")
    assert isinstance(answer, Deny)
    assert answer.reason.code == "no_charter"


@pytest.mark.requirement("R1.2")
def test_a_listed_operation_is_within_its_use_case() -> None:
    assert within_use_case(charter(refund=frozenset({"get_order"})), "refund", "get_order") == Allow()


@pytest.mark.requirement("R1.2")
def test_an_operation_of_another_use_case_is_outside_this_one() -> None:
    made = charter(refund=frozenset({"refund_order"}), answer=frozenset({"get_order"}))
    answer = within_use_case(made, "answer", "refund_order")
    assert isinstance(answer, Deny)
    assert answer.reason.code == "outside_use_case"
    assert "owner" in answer.reason.fix
    assert "agent.yaml" not in answer.reason.fix, "the agent hears this: it is no guide to our files"


@pytest.mark.requirement("R1.2")
def test_a_use_case_that_is_not_approved_is_denied_and_the_approved_are_named() -> None:
    answer = within_use_case(charter(refund=frozenset({"get_order"})), "shopping", "get_order")
    assert isinstance(answer, Deny)
    assert answer.reason.code == "use_case_unknown"
    assert "refund" in answer.reason.fix


@pytest.mark.requirement("R1.2")
@given(first=st.frozensets(NAMES), second=st.frozensets(NAMES), operation=NAMES)
def test_exactly_the_listed_operations_are_allowed(
    first: frozenset[str], second: frozenset[str], operation: str
) -> None:
    made = charter(first=first, second=second)
    assert isinstance(within_use_case(made, "first", operation), Allow) == (operation in first)
    assert made.operations == first | second
