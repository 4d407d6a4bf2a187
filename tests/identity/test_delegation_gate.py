"""Identity's gate: a token and its task count only while both live and agree."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from remit.core import Allow, Delegation, Deny, Revocation, Task
from remit.identity import delegation_is_live

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)
HOUR, TICK = timedelta(hours=1), timedelta(microseconds=1)
TASK = Task(id="t_1", user="tom", agent="refunds", use_case="r", opened_at=NOON, expires_at=NOON + HOUR)
TOKEN = Delegation(user="tom", agent="refunds", task="t_1", use_case="r", expires_at=NOON + HOUR)


def code(delegation: Delegation, task: Task | None, now: datetime = NOON, revoked: Revocation | None = None) -> str:
    match delegation_is_live(delegation, task, revoked, now):
        case Deny(reason):
            assert reason.fix
            assert revoked is None or revoked.why in reason.message
            return reason.code
        case other:
            assert other == Allow()
            return ""


def test_a_live_token_of_a_live_task_is_allowed_to_the_last_moment() -> None:
    assert code(TOKEN, TASK) == ""
    assert code(TOKEN, TASK, NOON + HOUR - TICK) == ""


@pytest.mark.requirement("R2.9")
@pytest.mark.parametrize(
    ("delegation", "task", "now", "expected"),
    [
        (TOKEN, TASK, NOON + HOUR, "token_expired"),
        (replace(TOKEN, expires_at=NOON), TASK, NOON, "token_expired"),
        (TOKEN, None, NOON, "task_unknown"),
        (TOKEN, replace(TASK, expires_at=NOON), NOON, "task_expired"),
        (replace(TOKEN, user="ana"), TASK, NOON, "delegation_mismatch"),
        (replace(TOKEN, agent="billing"), TASK, NOON, "delegation_mismatch"),
        (replace(TOKEN, chain=("billing",)), TASK, NOON, "delegation_mismatch"),
        (replace(TOKEN, use_case="other"), TASK, NOON, "delegation_mismatch"),
        (TOKEN, replace(TASK, user="ana"), NOON, "delegation_mismatch"),
    ],
)
def test_anything_less_is_denied(delegation: Delegation, task: Task | None, now: datetime, expected: str) -> None:
    assert code(delegation, task, now) == expected


@pytest.mark.requirement("R2.11")
@pytest.mark.parametrize(
    ("delegation", "task", "now"),
    [
        (TOKEN, TASK, NOON),
        (TOKEN, None, NOON),
        (TOKEN, TASK, NOON + HOUR),
        (replace(TOKEN, user="ana"), TASK, NOON),
    ],
)
def test_what_is_cut_off_is_denied_before_anything_else_is_asked(
    delegation: Delegation, task: Task | None, now: datetime
) -> None:
    for what in ("agent", "user", "task", "key"):
        cut = Revocation(what, "some", "its key was published")
        assert code(delegation, task, now, revoked=cut) == f"{what}_revoked"
        assert code(delegation, task, now) != f"{what}_revoked", "the control"
