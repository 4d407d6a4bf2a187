"""What the admin API shows of a held call, and what people do to it beyond a yes and a no: change it, and trust."""

from dataclasses import replace
from typing import Any

import pytest
from tests.pipeline.approving_stage import PAID_TO, TO, editing, trust, trusting
from tests.surfaces.admin.admin_stage import ROLES, Stage

from remit.core import Json, JsonObject, utc_text
from remit.permissions import Approval
from remit.pipeline import Done, Refused
from remit.records import Payload
from remit.testing import POLICY, Desk

APART = POLICY.replace('@approvers("ops")', '@approvers("ops and finance")')


@pytest.fixture(autouse=True)
def sue(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let sue log in, whose key the trust root has."""
    monkeypatch.setitem(ROLES, "sue", {"operator"})
    monkeypatch.setitem(ROLES, "oz", {"ops", "finance"})


@pytest.fixture
def stage() -> Stage:
    return Stage(editing(Desk()))


@pytest.fixture
def payees() -> Stage:
    return Stage(trusting())


def code(answer: Any) -> tuple[int, str]:
    return answer.status_code, str(answer.json().get("code", ""))


def edit(stage: Stage, approval: str, arguments: Json, person: str = "oli", **more: Any) -> Any:
    body = {"digest": stage.shown(approval)["digest"], "arguments": arguments, "why": "too much", **more}
    return stage.ask("POST", f"/v1/approvals/{approval}/edit", person, body)


def wanted(stage: Stage, approval: str, **said: Any) -> JsonObject:
    found = stage.desk.live.approval(approval)
    assert isinstance(found, Approval)
    made = trust(found, **said)
    return {
        "directory": made.directory,
        "value": made.value,
        "until": utc_text(made.until),
        "envelope": made.envelope.decode(),
    }


def approve(stage: Stage, approval: str, person: str, *trusts: JsonObject) -> Any:
    body = {"digest": stage.shown(approval)["digest"], "trust": [*trusts]}
    return stage.ask("POST", f"/v1/approvals/{approval}/approve", person, body)


@pytest.mark.requirement("R3.5")
def test_an_edit_shows_what_the_agent_gave_and_what_it_is_now(stage: Stage) -> None:
    approval = stage.held(amount=75, note="please")
    answer = edit(stage, approval, {"amount": 60})
    assert answer.status_code == 200, answer.text
    made = answer.json()
    assert made["id"] != approval
    assert (made["arguments"], made["agents_arguments"]) == ({"amount": 60}, {"amount": 75, "note": "please"})
    assert (made["edited_by"], made["state"], made["grants"]) == ("oli", "waiting", [])
    old = stage.shown(approval)
    assert (old["state"], old["by"]) == ("void", f"edited by oli: {made['id']}")
    listed = {each["id"]: each for each in stage.ask("GET", "/v1/approvals?all=true", "oli").json()}
    told = {name: (each["edited_into"], each["edited_by"]) for name, each in listed.items()}
    assert told == {approval: (made["id"], ""), made["id"]: ("", "oli")}
    assert code(approve(stage, made["id"], "oli")) == (403, "approver_is_editor")
    assert approve(stage, made["id"], "pam").json()["state"] == "approved"
    done = stage.call("pay", {"amount": 75, "note": "please"}, "c_2")
    assert isinstance(done, Done)
    assert [each.body for each in stage.desk.upstream.received] == [b'{"amount":60}']
    assert stage.shown(made["id"])["agents_arguments"] == {"amount": 75, "note": "please"}


@pytest.mark.parametrize(
    ("person", "body", "said"),
    [
        ("tom", {}, (403, "approver_is_requester")),
        ("ana", {}, (403, "approver_is_owner")),
        ("gus", {}, (404, "approval_unknown")),
        ("oli", {"digest": "sha256:" + "0" * 64}, (409, "approval_digest_mismatch")),
        ("oli", {"arguments": {"amount": 75}}, (400, "edit_unchanged")),
        ("oli", {"arguments": {"amount": 500}}, (400, "policy_no_permit")),
        ("oli", {"arguments": []}, (422, "request_invalid")),
        ("oli", {"why": ""}, (422, "request_invalid")),
        ("oli", {"why": "two\nlines"}, (422, "request_invalid")),
        ("oli", {"editor": "pam"}, (422, "request_invalid")),
    ],
    ids=str,
)
def test_an_edit_that_may_not_be_changes_nothing(
    stage: Stage, person: str, body: dict[str, Any], said: tuple[int, str]
) -> None:
    approval = stage.held(amount=75)
    before = stage.shown(approval)
    assert code(edit(stage, approval, **{"arguments": {"amount": 60}, "person": person, **body})) == said
    assert stage.shown(approval) == before
    assert edit(stage, approval, {"amount": 60}).status_code == 200, "the control"


@pytest.mark.requirement("R3.5")
def test_two_roles_are_two_persons_and_it_is_said_who_is_still_needed() -> None:
    stage = Stage(Desk(policy=APART))
    approval = stage.held(amount=75)
    assert stage.shown(approval)["still_needed"] == ["1 of ops (approval)", "1 of finance (approval)"]
    shown = approve(stage, approval, "oz").json()
    assert (shown["state"], shown["still_needed"]) == ("waiting", ["1 of ops (approval) or finance (approval)"])
    assert [need["apart"] for need in shown["requirements"]] == ["desk.ask", "desk.ask"]
    assert approve(stage, approval, "fay").json()["state"] == "approved"


@pytest.mark.requirement("R3.9")
def test_an_approver_trusts_whom_the_call_pays_and_an_operator_takes_it_back(payees: Stage) -> None:
    approval = payees.held(**PAID_TO)
    answer = approve(payees, approval, "sue", wanted(payees, approval))
    assert answer.status_code == 200, answer.text
    [_, _, listed] = payees.ask("GET", "/v1/directories", "omar").json()
    added = {"value": TO, "until": "2026-12-22T12:00:00.000000Z", "person": "sue", "counts": True}
    assert listed == {"directory": "payees", "kind": "values", "missing": "", "signed": 1, "added": [added]}
    assert isinstance(payees.call("pay", {**PAID_TO, "amount": 1}, "c_2"), Done)
    gone = payees.ask("POST", "/v1/directories/payees/remove", "omar", {"value": TO, "why": "a mistake"})
    assert gone.json()["added"] == []
    assert isinstance(payees.call("pay", {**PAID_TO, "amount": 2}, "c_3"), Refused)
    again = payees.ask("POST", "/v1/directories/payees/remove", "omar", {"value": TO, "why": "a mistake"})
    assert code(again) == (404, "trusted_unknown")


@pytest.mark.requirement("R3.9")
@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"until": "tomorrow"}, (400, "until_invalid")),
        ({"until": "2026-12-23T12:00:00.000000Z"}, (400, "extension_invalid")),
        ({"value": "mallory@corp.example"}, (400, "trust_not_a_reason")),
        ({"directory": "staff"}, (404, "directory_unknown")),
        ({"directory": "../payees"}, (422, "request_invalid")),
        ({"value": ""}, (422, "request_invalid")),
        ({"envelope": "{}"}, (400, "extension_invalid")),
        ({"envelope": "x" * 9_000}, (422, "request_invalid")),
        ({"person": "omar"}, (422, "request_invalid")),
    ],
    ids=str,
)
def test_trust_that_may_not_be_refuses_the_whole_answer(
    payees: Stage, changed: JsonObject, said: tuple[int, str]
) -> None:
    approval = payees.held(**PAID_TO)
    assert code(approve(payees, approval, "sue", {**wanted(payees, approval), **changed})) == said
    assert payees.shown(approval)["state"] == "waiting"
    assert approve(payees, approval, "sue", wanted(payees, approval)).status_code == 200, "the control"


@pytest.mark.requirement("R3.5")
def test_what_is_there_is_shown_beside_what_the_call_would_make_of_it(stage: Stage) -> None:
    approval = stage.held(amount=75, note="new")
    found = stage.desk.live.approval(approval)
    assert found is not None
    entry = stage.desk.store.log[found.entry]
    body = b'{"amount":70,"note":"new","owner":"eve"}'
    before = Payload(name="before", salt=b"", body=body)
    stage.desk.store.log[found.entry] = replace(entry, payloads=(*entry.payloads, before))
    shown = stage.shown(approval)
    assert shown["before"] == {"amount": 70, "note": "new", "owner": "eve"}
    assert shown["before_at"] == "2026-11-22T12:00:00.000000Z"
    assert shown["effect"] == [
        {"name": "amount", "before": 70, "after": 75, "changes": True},
        {"name": "note", "before": "new", "after": "new", "changes": False},
    ]


def test_the_kinds_of_value_that_arguments_may_have_are_told(stage: Stage) -> None:
    assert stage.shown(stage.held(amount=75))["types"] == {"amount": ["integer"], "note": ["string"], "to": ["string"]}
