"""What policies decide of real calls: by user, agent, operation, facts, arguments, context, tier, grant and sum."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from tests.conftest import META, Answer, Opened, bearer, mirrors
from tests.surfaces.permissions_stage import Site, sign_list, site, until

CHARTERS: dict[str, Any] = {
    "refunds": {
        "use_cases": {
            "effects": {
                "description": "one operation of each effect",
                "operations": ["get_order", "note_contact", "reindex", "close_account", "read_inbox"],
            },
            "own": {"description": "refunds of one's own orders", "operations": ["get_order", "refund_order"]},
            "tiers": {"description": "what is at stake", "operations": ["note_contact", "pay"]},
            "closing": {"description": "an account is closed", "operations": ["close_account"]},
            "entitled": {"description": "for whom the signed file lists", "operations": ["reindex"]},
            "named": {
                "description": "what the task names",
                "operations": ["get_order", "list_payments", "refund_order"],
                "grant": "named",
            },
        },
    },
    "tracker": {
        "use_cases": {"tracking": {"description": "where an order is", "operations": ["get_order"]}},
        "limits": {"reads": {"of": ["read"], "per": "agent", "in": "day", "max": 4}},
    },
}

POLICIES = """
@id("reads")
permit (principal, action in [Action::"get_order", Action::"list_payments", Action::"read_inbox"], resource)
when { context.operation.effect == "read" };

@id("effects")
permit (
    principal,
    action in [Action::"note_contact", Action::"reindex", Action::"close_account"],
    resource
)
when {
    context.task.use_case == "effects" &&
    ((context.operation.effect == "write" && context.user.groups.contains("returns")) ||
     (context.operation.effect == "execute" && context.user has clearance && context.user.clearance >= 2))
};

@id("calm")
forbid (principal, action in [Action::"note_contact", Action::"reindex"], resource)
when { context.task.untrusted };

@id("sure")
forbid (principal, action == Action::"note_contact", resource)
when { context.agent has confidence && context.agent.confidence < 50 };

@id("refunds")
permit (principal, action == Action::"refund_order", resource)
when {
    context.arguments.amount_minor > 0 && context.arguments.amount_minor <= 5000 &&
    context.arguments.currency == context.facts.order.currency &&
    (context.task.use_case == "own" || context.task.use_case == "named")
};

@id("own-orders")
forbid (principal, action == Action::"refund_order", resource)
unless { context.user has customer_id && context.facts.order.customer == context.user.customer_id };

@id("tiers")
permit (principal, action in [Action::"note_contact", Action::"pay"], resource)
when { context.task.use_case == "tiers" };

@id("not-below-nothing")
forbid (principal, action == Action::"pay", resource)
unless { context.arguments.amount_minor > 0 && context.arguments.amount_minor <= 5000 };

@id("closing")
permit (principal, action == Action::"close_account", resource)
when { context.task.use_case == "closing" };

@id("entitled")
permit (principal, action == Action::"reindex", resource)
when { context.task.use_case == "entitled" && context.user.groups.contains("indexers") };
"""

TRACKING = 'permit (principal, action == Action::"get_order", resource);'

ORGANISATION = """
@id("high-tier")
@hold("approval") @approvers("finance")
forbid (principal, action, resource)
when { context.operation.tier == "high" };

@id("not-the-tracker")
forbid (principal, action == Action::"get_order", resource)
when { context.agent.name == "tracker" && context.arguments.order_id == "ord-1003" };
"""

ENTITLEMENTS = "groups: {indexers: {users: [eve], groups: [chiefs]}, chiefs: {users: [lea]}}\n"
GIVEN = {"order_id": "ord-1001", "amount": 4_000, "currencies": ["EUR", "GBP"], "to": "acct-10020030", "one": 1}
NOTE = {"name": "Ida", "account": "acct-10020030"}
REFUND = {"order_id": "ord-1001", "amount_minor": 4_000, "currency": "EUR", "reason": "broken"}
FILES = {
    "agents/refunds/policies/all.cedar": POLICIES,
    "agents/tracker/policies/all.cedar": TRACKING,
    "organisation/policies/all.cedar": ORGANISATION,
    "organisation/entitlements.yaml": ENTITLEMENTS,
}


@pytest.fixture(scope="module")
def at(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with site(tmp_path_factory.mktemp("policies"), CHARTERS, FILES) as found:
        yield found


# --- R3.2 ------------------------------------------------------------------------------------------------------------


@pytest.mark.requirement("R3.2")
@pytest.mark.parametrize(
    ("person", "said"),
    [
        ("tom", ["", "", "", "policy_no_permit"]),  # in the group, and cleared
        ("una", ["", "", "policy_no_permit", "policy_no_permit"]),  # in the group
        ("lea", ["", "policy_no_permit", "policy_no_permit", "policy_no_permit"]),  # neither
    ],
)
def test_reading_writing_running_and_the_irreversible_are_four_things(at: Site, person: str, said: list[str]) -> None:
    task = at.open("effects", person, {**GIVEN, "customer": "cus-001"})
    found = [
        at.code(task, "get_order", order_id="ord-1001"),
        at.code(task, "note_contact", **NOTE),
        at.code(task, "reindex"),
        at.code(task, "close_account", customer_id="cus-001"),
    ]
    assert found == said


@pytest.mark.requirement("R3.2")
def test_a_rule_over_the_agent_and_an_argument_binds_that_agent_and_that_argument(at: Site) -> None:
    tracker, refunds = at.open("tracking", agent="tracker"), at.open("effects")
    assert at.code(tracker, "get_order", order_id="ord-1003") == "policy_forbids"
    assert at.code(tracker, "get_order", order_id="ord-1001") == "", "the control: another argument"
    assert at.code(refunds, "get_order", order_id="ord-1003") == "", "the control: another agent"


@pytest.mark.requirement("R3.2")
def test_a_rule_over_what_the_record_says_decides_whatever_the_agent_says(at: Site) -> None:
    given = {**GIVEN, "other": "ord-1002"}
    done = len(at.refunds())
    assert (
        at.code(at.open("own", given=given), "refund_order", **{**REFUND, "order_id": "ord-1002"}) == "policy_forbids"
    )
    assert at.code(at.open("own", "una", given), "refund_order", **REFUND) == "policy_forbids", "speaks for nobody"
    unknown = at.open("own", given={**given, "unknown": "ord-9999"})
    assert at.code(unknown, "refund_order", **{**REFUND, "order_id": "ord-9999"}) == "fact_missing"
    assert len(at.refunds()) == done
    assert at.code(at.open("own", given=given), "refund_order", **REFUND) == "", "the control: the user's own order"
    assert at.refunds()[done:] == [("ord-1001", 4_000)]


@pytest.mark.requirement("R3.2")
def test_a_rule_over_the_context_decides_by_what_the_task_has_read_and_how_sure_the_agent_is(at: Site) -> None:
    task = at.open("effects", given=GIVEN)
    assert at.call(task, "note_contact", 49, **NOTE).code == "policy_forbids"
    assert at.call(task, "note_contact", 50, **NOTE).code == "", "the control: sure enough"
    assert at.code(task, "reindex") == "", "the control: nothing untrusted was read yet"
    assert at.code(task, "read_inbox") == ""
    assert at.code(task, "reindex") == "policy_forbids"
    assert at.code(at.open("effects", given=GIVEN), "reindex") == "", "the control: another task"


# --- R3.3 and R7.4 ---------------------------------------------------------------------------------------------------


@pytest.mark.requirement("R3.3")
def test_one_rule_holds_what_is_of_a_high_tier_and_lets_the_low_tier_pass(at: Site) -> None:
    task = at.open("tiers", given=GIVEN)
    before = len(at.book.calls)
    assert at.code(task, "note_contact", **NOTE) == "", "the control: a write of a low tier"
    approval = at.held(task, "pay", to=NOTE["account"], amount_minor=4_000, currency="EUR")
    assert at.shown(approval)["still_needed"] == ["1 of finance (approval)"]
    assert [name for name, _ in at.book.calls[before:]] == ["note_contact"]
    assert at.approve(approval, "fay").status == 200
    assert at.code(task, "pay", to=NOTE["account"], amount_minor=4_000, currency="EUR") == ""
    assert [name for name, _ in at.book.calls[before:]] == ["note_contact", "pay"]


@pytest.mark.requirement("R7.4")
def test_the_irreversible_is_confirmed_by_the_user_alone_though_policy_permits_it(at: Site) -> None:
    task = at.open("closing", given={"customer": "cus-007"})
    approval = at.held(task, "close_account", customer_id="cus-007")
    codes = [at.approve(approval, person, typed="cus-007").code for person in ("ana", "sam")]
    assert codes == ["approver_is_owner", "approver_role_missing"]
    assert at.approve(approval, "tom", typed="cus-008").code == "confirmation_mismatch"
    assert at.code(task, "close_account", customer_id="cus-007") == "confirmation_required"
    assert closed(at) == []
    assert at.approve(approval, "tom", typed="cus-007").status == 200
    assert at.code(task, "close_account", customer_id="cus-007") == ""
    assert closed(at) == ["cus-007"]


def closed(at: Site) -> list[str]:
    return [call["arguments"]["customer_id"] for call in at.gateway.received() if call["tool"] == "close_account"]


# --- R3.6 ------------------------------------------------------------------------------------------------------------


def named(at: Site, *operations: str, **more: Any) -> Answer:
    detail = {"type": "agent_task", "use_case": "named", **more}
    if operations:
        detail["operations"] = [*operations]
    wanted = {"agent": "refunds", "use_case": "named", "input": GIVEN, "authorization_details": [detail]}
    return at.gateway.try_open(wanted)


def opened(answer: Answer) -> Opened:
    assert answer.status == 201, answer
    return Opened(answer.json["task"], answer.json["token"])


@pytest.mark.requirement("R3.6")
def test_a_task_that_names_nothing_is_not_opened(at: Site) -> None:
    open_tasks = at.gateway.ask("GET", "/v1/status").json["open_tasks"]
    wanted = {"agent": "refunds", "use_case": "named", "input": GIVEN}
    for answer in (at.gateway.try_open(wanted), named(at), named(at, locations=["orders"])):
        assert (answer.status, answer.code) == (403, "grant_missing"), answer
        assert answer.fix
    assert at.gateway.ask("GET", "/v1/status").json["open_tasks"] == open_tasks
    assert named(at, "get_order").status == 201, "the control"


@pytest.mark.requirement("R3.6")
def test_a_task_may_do_what_it_names_and_nothing_else_of_its_use_case(at: Site) -> None:
    small, large = opened(named(at, "get_order")), opened(named(at, "get_order", "refund_order"))
    done = len(at.refunds())
    assert at.code(small, "get_order", order_id="ord-1001") == ""
    assert at.code(small, "list_payments", order_id="ord-1001") == "outside_authority"
    assert at.code(small, "refund_order", **REFUND) == "outside_authority"
    assert len(at.refunds()) == done
    assert at.code(large, "refund_order", **{**REFUND, "amount_minor": 1}) == "", "the control: named"
    assert at.code(large, "list_payments", order_id="ord-1001") == "outside_authority"


@pytest.mark.requirement("R3.6")
def test_a_task_ends_when_it_was_said_to_end(at: Site) -> None:
    end = (datetime.now(UTC) + timedelta(seconds=2)).isoformat(timespec="seconds").replace("+00:00", "Z")
    task = opened(named(at, "get_order", expires_at=end))
    until("token_expired", of=lambda: at.code(task, "get_order", order_id="ord-1001"))
    assert at.code(at.open("effects"), "get_order", order_id="ord-1001") == "", "the control: a task that goes on"


# --- R3.8 ------------------------------------------------------------------------------------------------------------

AMOUNTS = [
    ('"4000"', "arguments_invalid"),
    ("4000.5", "arguments_invalid"),
    ("-4000", "arguments_invalid"),
    ("0", "arguments_invalid"),
    ("null", "arguments_invalid"),
    ("true", "arguments_invalid"),
    ("[4000]", "arguments_invalid"),
    ('{"minor": 4000}', "arguments_invalid"),
    ("NaN", "number_invalid"),
    ("-Infinity", "number_invalid"),
    ("1e400", "number_invalid"),
    (str(2**63), "number_invalid"),
    (str(2**64 + 4_000), "number_invalid"),
    ("1" + "0" * 400, "number_invalid"),
]


def posted(at: Site, task: Opened, operation: str, arguments: str) -> Answer:
    """Post a call whose arguments are exactly this text."""
    params = f'{{"name": "{operation}", "arguments": {arguments}, "_meta": {json.dumps(META)}}}'
    body = f'{{"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {params}}}'
    lines = mirrors({"method": "tools/call", "params": {"name": operation}})
    return at.gateway.post("/mcp", body.encode(), [bearer(task.token), *lines])


@pytest.mark.requirement("R3.8")
@pytest.mark.parametrize(("amount", "code"), AMOUNTS, ids=[text[:12] for text, _ in AMOUNTS])
def test_an_amount_that_is_none_is_refused_and_nothing_is_forwarded(at: Site, amount: str, code: str) -> None:
    task = at.open("own", given=GIVEN)
    text = json.dumps(REFUND).replace("4000", amount)
    received, done = len(at.gateway.received()), len(at.refunds())
    assert posted(at, task, "refund_order", text).code == code
    assert (len(at.gateway.received()), len(at.refunds())) == (received, done), "no look-up either"
    assert posted(at, task, "refund_order", json.dumps({**REFUND, "amount_minor": 1})).code == "", "the control"


@pytest.mark.requirement("R3.8")
def test_another_currency_than_the_orders_is_refused(at: Site) -> None:
    task, done = at.open("own", given=GIVEN), len(at.refunds())
    assert at.code(task, "refund_order", **{**REFUND, "currency": "GBP"}) == "policy_no_permit"
    assert at.code(task, "refund_order", **{**REFUND, "currency": "eur"}) == "arguments_invalid"
    assert at.code(task, "refund_order", **{**REFUND, "currency": "XXX"}) == "arguments_invalid"
    assert len(at.refunds()) == done
    assert at.code(task, "refund_order", **{**REFUND, "amount_minor": 1}) == "", "the control"


@pytest.mark.requirement("R3.8")
def test_where_the_schema_bounds_nothing_the_policy_still_does(at: Site) -> None:
    task = at.open("tiers", given={**GIVEN, "odd": [-1, 0, 5_001]})
    before = len(at.book.calls)
    for amount in ("-1", "0", "5001", "1e4", "-9007199254740991", "9007199254740991"):
        assert posted(at, task, "pay", paying(amount)).code == "policy_forbids", amount
    for amount in ("-9223372036854775808", "9223372036854775807", "1e19"):
        assert posted(at, task, "pay", paying(amount)).code == "number_invalid", amount
    assert posted(at, task, "pay", paying("4000")).code == "approval_required", "the control"
    assert len(at.book.calls) == before


@pytest.mark.requirement("R3.8")
def test_one_number_written_in_two_ways_is_one_call(at: Site) -> None:
    task = at.open("tiers", given=GIVEN)
    held = {posted(at, task, "pay", paying(amount)).json["result"]["_meta"]["remit/approval"] for amount in WRITTEN}
    assert len(held) == 1
    [approval] = held
    assert at.approve(approval, "fay").status == 200
    assert posted(at, task, "pay", paying("4000.0")).code == ""
    assert repr(at.book.calls[-1][1]["amount_minor"]) == "4000", "what is forwarded is what was decided"


WRITTEN = ("4000", "4000.0", "4e3", "40000E-1")


def paying(amount: str) -> str:
    return f'{{"to": "acct-10020030", "amount_minor": {amount}, "currency": "EUR"}}'


# --- R2.6, R2.7 and entitlements -------------------------------------------------------------------------------------


@pytest.mark.requirement("R2.6")
def test_a_user_without_the_group_gets_nothing_through_an_agent_that_serves_others(at: Site) -> None:
    before = len(at.book.calls)
    assert at.code(at.open("effects", "lea", GIVEN), "note_contact", **NOTE) == "policy_no_permit"
    assert len(at.book.calls) == before
    assert at.code(at.open("effects", "tom", GIVEN), "note_contact", **NOTE) == "", "the control: in the group"


@pytest.mark.requirement("R2.7")
def test_an_agents_cap_counts_all_its_users_and_no_other_agents_calls(at: Site) -> None:
    codes = [
        at.code(at.open("tracking", person, agent="tracker"), "get_order", order_id="ord-1001")
        for person in ("tom", "lea", "eve", "una", "ana", "tom")
    ]
    assert codes[-2:] == ["limit_reached", "limit_reached"]
    assert "" in codes
    for person in ("tom", "lea", "ana"):
        assert at.code(at.open("effects", person), "get_order", order_id="ord-1001") == "", "the control"


@pytest.mark.requirement("R2.6", "R3.2")
def test_a_group_of_the_signed_file_permits_and_of_the_same_file_unsigned_does_not(at: Site) -> None:
    eve, lea = at.open("entitled", "eve"), at.open("entitled", "lea")
    signature = at.gateway.project / "organisation/signatures/entitlements.dsse.json"
    assert not signature.exists()
    assert [at.code(eve, "reindex"), at.code(lea, "reindex")] == ["policy_no_permit"] * 2, "it is not signed"
    sign_list(at, "entitlements")
    at.deploy()
    assert [at.code(eve, "reindex"), at.code(lea, "reindex")] == ["", ""], "by name, and by a group in the group"
    assert at.code(at.open("entitled", "tom"), "reindex") == "policy_no_permit", "the control: not in the file"
    entitlements = at.gateway.project / "organisation/entitlements.yaml"
    entitlements.write_text(ENTITLEMENTS.replace("[eve]", "[eve, tom]"), "utf-8")
    said = at.deploy()
    assert "list_not_signed" in json.dumps(said["warnings"])
    codes = [at.code(at.open("entitled", person), "reindex") for person in ("eve", "lea", "tom")]
    assert codes == ["policy_no_permit"] * 3, "a file that was changed after it was signed counts for nothing"
