"""The fallbacks gate: what cannot be undone waits for the user to type what it is done to."""

import pytest

from remit.core import REQUESTER, Allow, Decision, Deny, Hold, Json, JsonObject, Requirement
from remit.fallbacks import irreversible_is_confirmed

ARGUMENTS: JsonObject = {"account": "acc-7", "reason": "asked to"}


def typed(answer: Decision) -> str:
    match answer:
        case Hold(reason, (Requirement(kind="confirmation", approvers=(approver,), quorum=1) as need,)):
            assert (reason.code, approver, need.within_s) == ("confirmation_required", REQUESTER, 3_600)
            assert reason.fix
            return need.typed
        case other:
            raise AssertionError(other)


@pytest.mark.requirement("R7.4")
def test_an_irreversible_call_waits_for_the_user_to_type_what_it_is_done_to() -> None:
    assert typed(irreversible_is_confirmed("irreversible", "account", "close_account", ARGUMENTS)) == "acc-7"


@pytest.mark.requirement("R7.4")
def test_without_such_an_argument_the_operations_own_name_is_typed() -> None:
    assert typed(irreversible_is_confirmed("irreversible", "", "close_account", ARGUMENTS)) == "close_account"
    assert typed(irreversible_is_confirmed("irreversible", "", "wipe", {})) == "wipe"


@pytest.mark.parametrize("effect", ["read", "write", "execute"])
def test_what_can_be_undone_is_not_asked_about(effect: str) -> None:
    assert irreversible_is_confirmed(effect, "account", "close_account", ARGUMENTS) == Allow()
    assert irreversible_is_confirmed(effect, "account", "close_account", {}) == Allow()


@pytest.mark.requirement("R7.4")
@pytest.mark.parametrize(
    "value",
    [None, 7, True, ["acc-7"], {"id": "acc-7"}, "", " ", "acc-7 ", "\tacc-7", "acc\n7", "acc\u202e7", "x" * 201],
    ids=repr,
)
def test_what_nobody_could_read_and_type_makes_the_call_impossible(value: Json) -> None:
    assert impossible({"account": value})


@pytest.mark.requirement("R7.4")
def test_an_argument_that_is_missing_makes_the_call_impossible() -> None:
    assert impossible({})
    assert impossible({"reason": "asked to"})


def impossible(arguments: JsonObject) -> bool:
    match irreversible_is_confirmed("irreversible", "account", "close_account", arguments):
        case Deny(reason):
            assert "account" in reason.fix
            return reason.code == "confirmation_impossible"
        case other:
            raise AssertionError(other)


@pytest.mark.parametrize("value", ["7", "x" * 200, "acc 7", "Größe 3", "ord-1001"])
def test_what_a_person_can_type_is_what_they_are_asked_for(value: str) -> None:
    assert typed(irreversible_is_confirmed("irreversible", "account", "close_account", {"account": value})) == value
