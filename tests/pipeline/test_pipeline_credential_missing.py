"""What an agent hears where a tool's credential is not to be had, and what stands on record."""

import pytest

from remit.pipeline import Failed, Sent, UpstreamFailure
from remit.pipeline._answer import answer_of, ending_of

CODES = ("secret_missing", "secret_exposed", "secret_invalid", "exchange_unreachable", "exchange_refused")


@pytest.mark.requirement("R2.3")
@pytest.mark.parametrize("code", CODES)
def test_the_agent_is_sent_to_an_operator_and_where_the_secret_is_kept_is_for_the_record(code: str) -> None:
    missing = UpstreamFailure(code=code, sent=Sent.NOT_SENT, detail="not there (`env:DESK_KEY`)")
    answer = answer_of("c_1", missing)
    assert isinstance(answer, Failed)
    assert (answer.reason.code, answer.effect_possible) == (code, False)
    assert answer.reason.fix == "ask an operator: the tool's credential is missing"
    assert "DESK_KEY" not in f"{answer}"
    assert "`env:DESK_KEY`" in ending_of(missing).detail


def test_a_tool_that_is_down_is_its_owners_matter_all_the_same() -> None:
    answer = answer_of("c_1", UpstreamFailure(code="upstream_unreachable", sent=Sent.NOT_SENT, detail="refused"))
    assert isinstance(answer, Failed)
    assert answer.reason.fix == "tell the tool's owner"
