"""The releases gate: one word from an operator and nothing runs."""

from remit.core import Allow, Deny
from remit.releases import is_running


def test_while_nobody_has_stopped_everything_calls_go_on() -> None:
    assert is_running("") == Allow()


def test_while_everything_is_stopped_every_call_hears_why() -> None:
    match is_running("the refund desk pays twice"):
        case Deny(reason):
            assert reason.code == "stopped"
            assert "the refund desk pays twice" in reason.message
            assert reason.fix
        case other:
            raise AssertionError(other)
