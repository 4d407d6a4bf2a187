"""Who approves real calls, how many, how soon, and who never may; and refunds split to slip below a threshold."""

import json
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from tests.conftest import Opened
from tests.surfaces.permissions_stage import Site, site, until

CHARTERS: dict[str, Any] = {
    "refunds": {
        "use_cases": {
            "asking": {"description": "everything waits", "operations": ["pay", "note_contact", "reindex"]},
            "sums": {"description": "refunds add up", "operations": ["get_order", "refund_order"]},
        },
    },
    "tracker": {"use_cases": {"tracking": {"description": "where an order is", "operations": ["get_order"]}}},
}

POLICIES = """
permit (principal, action == Action::"get_order", resource);

@id("asking")
permit (principal, action in [Action::"pay", Action::"note_contact", Action::"reindex"], resource)
when { context.task.use_case == "asking" };

@id("two-roles") @hold("approval") @approvers("finance and security") @quorum("1") @within("4h")
forbid (principal, action == Action::"pay", resource);

@id("two-of-one-role") @hold("approval") @approvers("finance") @quorum("2") @within("4h")
forbid (principal, action == Action::"reindex", resource);

@id("soon") @hold("approval") @approvers("security") @within("2s")
forbid (principal, action == Action::"note_contact", resource);

@id("sums")
permit (principal, action == Action::"refund_order", resource)
when {
    context.task.use_case == "sums" && context.arguments.currency == "EUR" &&
    context.arguments.amount_minor <= 5000
};

@id("a-hundred-each")
forbid (principal, action == Action::"refund_order", resource)
when { context.history.refunded > 10000 };
"""

FILES = {
    "agents/refunds/policies/all.cedar": POLICIES,
    "agents/tracker/policies/all.cedar": 'permit (principal, action == Action::"get_order", resource);',
    "organisation/history.yaml": (
        "history: {refunded: {of: [refund_order], sum: amount_minor, per: [user, arguments.currency]}}\n"
    ),
}
PAY: dict[str, Any] = {"to": "acct-10020030", "amount_minor": 4_000, "currency": "EUR"}
NOTE = {"name": "Ida", "account": "acct-10020030"}
GIVEN = {**PAY, **NOTE, "order": "ord-1002", "amounts": [1, 1_000, 2_500, 5_000], "more": 4_001}


@pytest.fixture(scope="module")
def at(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with site(tmp_path_factory.mktemp("approvals"), CHARTERS, FILES) as found:
        yield found


def paid(at: Site) -> int:
    return sum(name == "pay" for name, _ in at.book.calls)


# --- R3.5 ------------------------------------------------------------------------------------------------------------


@pytest.mark.requirement("R3.5")
def test_each_operation_asks_for_its_own_people_and_time(at: Site) -> None:
    task = at.open("asking", given=GIVEN)
    wanted: list[tuple[str, dict[str, Any], list[str], list[int]]] = [
        ("pay", PAY, ["1 of finance (approval)", "1 of security (approval)"], [14_400, 14_400]),
        ("reindex", {}, ["2 of finance (approval)"], [14_400]),
        ("note_contact", NOTE, ["1 of security (approval)"], [2]),
    ]
    for operation, arguments, needed, within in wanted:
        shown = at.shown(at.held(task, operation, **arguments))
        assert (shown["still_needed"], [each["within_s"] for each in shown["requirements"]]) == (needed, within)
    assert at.book.calls == []


@pytest.mark.requirement("R3.5")
def test_of_two_roles_each_is_asked_and_nobody_is_both(at: Site) -> None:
    task, before = at.open("asking", given=GIVEN), paid(at)
    approval = at.held(task, "pay", **PAY)
    assert at.approve(approval, "hal").json["state"] == "waiting", "has both roles, and is one person"
    again = at.approve(approval, "hal")
    assert (again.status, again.code) == (403, "approver_twice")
    assert at.code(task, "pay", **PAY) == "approval_required"
    assert paid(at) == before
    assert at.approve(approval, "sam").json["state"] == "approved"
    assert at.code(task, "pay", **PAY) == ""
    assert paid(at) == before + 1
    assert at.call(task, "pay", **PAY).json["result"]["_meta"]["remit/repeated"], "once"
    assert paid(at) == before + 1


@pytest.mark.requirement("R3.5")
def test_two_of_one_role_are_not_one_of_another(at: Site) -> None:
    task = at.open("asking", given=GIVEN)
    approval = at.held(task, "pay", **PAY)
    assert at.approve(approval, "fay").json["state"] == "waiting"
    useless = at.approve(approval, "gil")
    assert (useless.status, useless.code) == (409, "approver_not_needed"), "finance has its one"
    assert "1 of security (approval)" in useless.json["title"]
    assert [each["person"] for each in at.shown(approval)["grants"]] == ["fay"]
    assert at.code(task, "pay", **PAY) == "approval_required"
    assert at.approve(approval, "sam").json["state"] == "approved", "the control: security"


@pytest.mark.requirement("R3.5")
def test_two_of_a_role_are_two_persons(at: Site) -> None:
    task = at.open("asking", given=GIVEN)
    approval = at.held(task, "reindex")
    assert at.approve(approval, "fay").json["still_needed"] == ["1 of finance (approval)"]
    assert at.code(task, "reindex") == "approval_required"
    assert at.approve(approval, "sam").code == "approver_role_missing"
    assert at.approve(approval, "gil").json["state"] == "approved"
    assert at.code(task, "reindex") == ""


@pytest.mark.requirement("R3.5")
def test_neither_who_asks_nor_who_owns_the_agent_approves_though_they_have_the_roles(at: Site) -> None:
    task = at.open("asking", "una", GIVEN)
    approval = at.held(task, "pay", **PAY)
    for person, code in (("una", "approver_is_requester"), ("ana", "approver_is_owner")):
        answer = at.approve(approval, person)
        assert (answer.status, answer.code) == (403, code)
    assert at.gateway.ask("GET", f"/v1/approvals/{approval}", person="lea").status == 404, "not a matter of hers"
    assert at.shown(approval)["grants"] == []
    other = at.held(at.open("asking", "tom", GIVEN), "pay", **PAY)
    assert at.approve(other, "una").status == 200, "the control: what somebody else asks for"


@pytest.mark.requirement("R3.5")
def test_a_yes_is_for_the_very_call_that_was_shown(at: Site) -> None:
    task, before = at.open("asking", given=GIVEN), paid(at)
    approval = at.held(task, "pay", **PAY)
    at.approve(approval, "fay")
    at.approve(approval, "sam")
    assert at.code(task, "pay", **{**PAY, "amount_minor": 4_001}) == "approval_required", "one cent more"
    assert at.code(at.open("asking", given=GIVEN), "pay", **PAY) == "approval_required", "another task"
    assert paid(at) == before
    assert at.code(task, "pay", **PAY) == "", "the control"


@pytest.mark.requirement("R3.5")
def test_a_yes_that_comes_too_late_is_none(at: Site) -> None:
    task = at.open("asking", given=GIVEN)
    late, longer = at.held(task, "note_contact", **NOTE), at.held(task, "pay", **PAY)
    until("expired", of=lambda: at.shown(late)["state"])
    before = len(at.book.calls)
    answer = at.approve(late, "sam")
    assert (answer.status, answer.code) == (409, "approval_expired")
    assert at.held(task, "note_contact", **NOTE) != late, "it is asked anew"
    assert len(at.book.calls) == before
    assert at.approve(longer, "sam").status == 200, "the control: the same person, four hours"


# --- R3.4 ------------------------------------------------------------------------------------------------------------


def refund(at: Site, task: Opened, amount: int, reason: str = "broken") -> str:
    return at.code(task, "refund_order", order_id="ord-1002", amount_minor=amount, currency="EUR", reason=reason)


@pytest.mark.requirement("R3.4")
def test_refunds_split_below_the_threshold_add_up_across_tasks_and_a_restart(at: Site) -> None:
    before = len(at.refunds())
    assert refund(at, at.open("sums", "lea", GIVEN), 5_000) == ""
    assert refund(at, at.open("sums", "lea", GIVEN), 2_500) == "", "in another task"
    at.stop()
    at.start()
    assert refund(at, at.open("sums", "lea", GIVEN), 5_000) == "policy_forbids", "it would be 125.00"
    assert refund(at, at.open("sums", "lea", GIVEN), 2_500) == "", "what was refused did not count"
    assert refund(at, at.open("sums", "lea", GIVEN), 1) == "policy_forbids", "one cent above the sum"
    assert [amount for _, amount in at.refunds()[before:]] == [5_000, 2_500, 2_500]
    assert refund(at, at.open("sums", "tom", GIVEN), 1) == "", "the control: another user's sum"


@pytest.mark.requirement("R3.4")
def test_refunds_split_below_the_threshold_and_sent_at_once_do_not_pass_it_together(at: Site) -> None:
    before = len(at.refunds())
    tasks = [at.open("sums", "eve", GIVEN) for _ in range(4)]
    with ThreadPoolExecutor(16) as pool:
        codes = Counter(pool.map(lambda n: refund(at, tasks[n % 4], 1_000, f"part {n}"), range(32)))
    assert codes == {"": 10, "policy_forbids": 22}
    assert sum(amount for _, amount in at.refunds()[before:]) == 10_000
    decided = json.dumps(at.gateway.records(tasks[0].task))
    assert "a-hundred-each" in decided
