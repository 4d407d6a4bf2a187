"""What operators are told of a directory that approvers extended: the value comes with the entry, which lacks it."""

import pytest
from tests.pipeline.approving_stage import PAID_TO, TO, trust, trusting
from tests.surfaces.admin.admin_stage import ROLES, Stage

from remit.core import utc_text


@pytest.mark.requirement("R3.9")
def test_controls_tell_which_value_was_trusted_and_which_was_taken_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(ROLES, "sue", {"operator"})  # whose key the trust root has
    stage = Stage(trusting())
    approval = stage.held(**PAID_TO)
    found = stage.desk.live.approval(approval)
    assert found is not None
    made = trust(found)
    wanted = {"directory": made.directory, "value": made.value, "until": utc_text(made.until)}
    body = {"digest": found.digest, "trust": [{**wanted, "envelope": made.envelope.decode()}]}
    assert stage.ask("POST", f"/v1/approvals/{approval}/approve", "sue", body).status_code == 200
    gone = stage.ask("POST", "/v1/directories/payees/remove", "omar", {"value": TO, "why": "a mistake"})
    assert gone.status_code == 200, gone.text
    extended, value, reduced, taken = (
        line[21:] for line in stage.ask("GET", "/v1/records/controls", "omar").json()["told"]
    )
    assert (extended, reduced) == ("directory/payees extended by sue", "directory/payees reduced by omar: a mistake")
    assert value == f"  value {TO}, until 2026-12-22T12:00:00.000000Z, with approval {approval}"
    assert taken.startswith(f"  took out the value that sue had added: {TO} (entry ")
