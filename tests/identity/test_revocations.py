"""What a cut goes through, and what is kept of a user's."""

from datetime import UTC, datetime, timedelta

import pytest

from remit.core import InputRefusedError
from remit.identity import (
    EVERY_AGENT,
    Cut,
    UserCut,
    read_user_cuts,
    user_cut,
    with_user_cut,
    without_user_cut,
)

pytestmark = pytest.mark.requirement("R2.11")

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)
TICK = timedelta(microseconds=1)


@pytest.mark.parametrize(
    ("cut", "through"),
    [
        (Cut(agent="refunds"), True),
        (Cut(agent="first"), True),  # whatever it handed on
        (Cut(agent="other"), False),
        (Cut(user="tom"), True),
        (Cut(user="eve"), False),
        (Cut(user="tom", agent="refunds"), True),
        (Cut(user="tom", agent="other"), False),
        (Cut(user="eve", agent="refunds"), False),
        (Cut(task="t_1"), True),
        (Cut(task="t_2"), False),
        (Cut(key="k_1"), True),
        (Cut(key="k_2"), False),
    ],
)
def test_a_cut_goes_through_what_agrees_with_all_it_names(cut: Cut, *, through: bool) -> None:
    assert cut.concerns(user="tom", agent="refunds", task="t_1", chain=("first",), keys=("k_1",)) is through


OUT = UserCut("by ana at noon: it was misled", out=True)
SESSION = UserCut("by issuer corp at noon: session-revoked", before=NOON)
DISABLED = UserCut("by issuer corp at noon: account-disabled", out=True)


def test_a_users_cuts_are_kept_by_agent_and_each_is_restored_alone() -> None:
    one = with_user_cut("", "refunds", OUT)
    both = with_user_cut(one, EVERY_AGENT, DISABLED)
    assert read_user_cuts(both) == {"refunds": OUT, EVERY_AGENT: DISABLED}
    assert without_user_cut(both, EVERY_AGENT) == one
    assert without_user_cut(one, "refunds") == ""
    assert read_user_cuts("") == {}


def test_to_be_let_in_again_revives_no_login_that_was_ended() -> None:
    for first, second in ((SESSION, DISABLED), (DISABLED, SESSION)):
        says = with_user_cut(with_user_cut("", EVERY_AGENT, first), EVERY_AGENT, second)
        assert user_cut(read_user_cuts(says), "refunds", NOON) == DISABLED.why
        says = without_user_cut(says, EVERY_AGENT)
        assert user_cut(read_user_cuts(says), "refunds", NOON) == ""
        assert user_cut(read_user_cuts(says), "refunds", NOON - TICK)
        assert without_user_cut(says, EVERY_AGENT) == says


def test_what_a_person_cut_off_stays_a_persons_whatever_an_issuer_says() -> None:
    by_person = OUT.joined(DISABLED)
    assert by_person.why == OUT.why == DISABLED.joined(OUT).why
    later = SESSION.joined(UserCut("by issuer corp later", before=NOON + TICK))
    assert later.before == NOON + TICK == UserCut("later", before=NOON + TICK).joined(SESSION).before


def test_a_cut_before_a_moment_leaves_what_came_later() -> None:
    cuts = {EVERY_AGENT: SESSION}
    assert user_cut(cuts, "refunds", NOON - TICK) == SESSION.why
    assert user_cut(cuts, "refunds", NOON) == ""
    assert user_cut({"refunds": OUT}, "refunds", NOON) == OUT.why
    assert user_cut({"refunds": OUT}, "tracker", NOON) == ""


@pytest.mark.parametrize("says", ["[]", "{", '{"": 1}', "x"])
def test_what_cannot_be_read_is_an_error_and_no_permission(says: str) -> None:
    with pytest.raises(InputRefusedError):
        read_user_cuts(says)
