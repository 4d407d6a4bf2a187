"""What was done before, told to policy and counted with the effect; what a call is about, looked up at the door."""

import asyncio
import json
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.pipeline.shop_stage import CATALOGUE, ORDER, POLICY, answer, entries, shop, shop_desk, shop_files

from remit.adapters.project import compile_snapshot
from remit.core import Add, Allow, Decision, Deny, Hold, JsonObject, Obligation, Reason
from remit.identity import Person
from remit.permissions import Approval, Tally
from remit.pipeline import (
    Answer,
    Committed,
    Conflict,
    Done,
    Failed,
    Full,
    Refused,
    Sent,
    UpstreamFailure,
    Versions,
    decide,
    replay,
)
from remit.records import Draft
from remit.testing import DONE, Desk, ManualClock, MemoryStore, desk_call, desk_delegation, desk_task, reviewed

OLGA = Person(name="olga", roles=frozenset({"ops"}))
NOT_SENT = UpstreamFailure(code="upstream_unreachable", sent=Sent.NOT_SENT, detail="refused")


async def refund(desk: Desk, amount: int, call: str = "c_1", order: str = "o-1001") -> Answer:
    return await desk.gateway.handle(desk_call("refund", {"order": order, "amount": amount}, call=call))


def seen(desk: Desk, *calls: tuple[str, JsonObject]) -> list[Answer]:
    async def run() -> list[Answer]:
        return [
            await desk.gateway.handle(desk_call(operation, arguments, call=f"c_{number}"))
            for number, (operation, arguments) in enumerate(calls)
        ]

    return asyncio.run(run())


def codes(answers: list[Answer]) -> list[str]:
    return [each.reason.code if isinstance(each, Refused | Failed) else "done" for each in answers]


LOOK: tuple[str, JsonObject] = ("get_order", {"order": "o-1001"})


def pay(amount: int, order: str = "o-1001") -> tuple[str, JsonObject]:
    return "refund", {"order": order, "amount": amount}


@pytest.mark.requirement("R3.4")
def test_a_sum_split_over_many_calls_is_caught_at_its_ceiling() -> None:
    assert codes(seen(shop_desk(), LOOK, pay(40), pay(40), pay(20), pay(1))) == [
        *("done", "done", "done", "done"),
        "policy_forbids",
    ]


@pytest.mark.requirement("R3.4")
def test_a_negative_amount_makes_no_room() -> None:
    loose = replace(shop(POLICY.replace("context.arguments.amount > 0 && ", "")))
    desk = Desk(project=loose, given=b'{"input":{"order":"o-1001"}}')
    desk.upstream.script("get_order", answer(ORDER))
    assert codes(seen(desk, LOOK, pay(40), pay(-40), pay(40)))[1:] == ["done", "done", "policy_forbids"]


@pytest.mark.requirement("R3.4")
def test_calls_in_flight_count_and_a_ceiling_is_never_passed() -> None:
    desk = shop_desk()

    async def run() -> list[Answer]:
        await desk.gateway.handle(desk_call(*LOOK, call="c_look"))
        return await asyncio.gather(*(refund(desk, 10, f"c_{number}") for number in range(40)))

    answers = asyncio.run(run())
    assert sum(isinstance(each, Done) for each in answers) == 10
    assert set(codes(answers)) == {"done", "policy_forbids"}


class _Uncounted(MemoryStore):
    """A control: counts nothing, and compares nothing."""

    async def begin(
        self, intent: Draft, read: Versions, obligations: Sequence[Obligation] = ()
    ) -> Committed | Conflict | Full:
        return await super().begin(intent, read, [each for each in obligations if not isinstance(each, Add)])


def test_control_a_store_that_counts_nothing_lets_the_ceiling_be_passed() -> None:
    desk = shop_desk(store=_Uncounted())

    async def run() -> list[Answer]:
        found = []
        await desk.gateway.handle(desk_call(*LOOK, call="c_look"))
        for number in range(20):
            desk.live.uncertain(list(desk.live._counters.seen))
            found.append(await refund(desk, 10, f"c_{number}"))
        return found

    assert codes(asyncio.run(run())) == ["done"] * 20


@pytest.mark.requirement("R3.4")
def test_a_call_that_was_never_sent_gives_its_count_back() -> None:
    desk = shop_desk()
    desk.upstream.script("refund", NOT_SENT, DONE)
    answers = seen(desk, LOOK, *[pay(40)] * 3, pay(20), pay(1))
    assert codes(answers)[1:] == ["upstream_unreachable", "done", "done", "done", "policy_forbids"]


@pytest.mark.requirement("R3.4")
def test_a_ceiling_begins_anew_with_its_day_and_is_read_back_after_a_restart() -> None:
    desk = shop_desk()
    assert codes(seen(desk, LOOK, pay(40), pay(49)))[1:] == ["done", "done"]
    again = shop_desk(store=desk.store)
    assert codes(seen(again, LOOK, pay(20)))[1:] == ["policy_forbids"]
    again.clock.advance(timedelta(days=1))
    again.live.admit(
        desk_task("t_next", expires_at=again.clock.now() + timedelta(hours=1)), b'{"input":{"order":"o-1001"}}'
    )
    by = desk_delegation("t_next", expires_at=again.clock.now() + timedelta(hours=1))

    async def next_day() -> list[Answer]:
        return [
            await again.gateway.handle(desk_call(*LOOK, call="c_7", delegation=by)),
            await again.gateway.handle(desk_call(*pay(40), call="c_8", delegation=by)),
        ]

    assert codes(asyncio.run(next_day())) == ["done", "done"]


@pytest.mark.requirement("R3.2")
def test_a_precondition_asks_for_the_same_id_in_the_same_task_answered_without_an_error() -> None:
    desk = shop_desk(b'{"input":{"order":"o-1001","other":"o-1002"}}')
    desk.upstream.script("get_order", answer(ORDER))
    # (What the gateway looks up for itself, the agent has not read.)
    assert codes(seen(desk, pay(10), LOOK, pay(10))) == ["policy_forbids", "done", "done"]
    assert codes(seen(shop_desk(b'{"input":{"order":"o-1001","other":"o-1002"}}'), LOOK, pay(10, "o-1002"))) == [
        "done",
        "policy_forbids",
    ]


@pytest.mark.requirement("R3.2")
def test_what_a_call_is_about_is_looked_up_through_the_same_door_and_recorded() -> None:
    desk = shop_desk()
    assert codes(seen(desk, LOOK, pay(10))) == ["done", "done"]
    assert [each.upstream_name for each in desk.upstream.received] == ["get_order", "refund"]  # (the first one served)
    desk.clock.advance(timedelta(seconds=61))
    assert codes([asyncio.run(refund(desk, 10, "c_late"))]) == ["done"]
    assert [each.upstream_name for each in desk.upstream.received][2:] == ["get_order", "refund"]
    assert len(entries(desk, "intent")) == 4


@pytest.mark.requirement("R3.2")
def test_a_fact_that_may_have_no_age_is_looked_up_for_each_call_and_counts_for_that_one() -> None:
    class Ticks(ManualClock):
        def now(self) -> datetime:
            self.advance(timedelta(microseconds=1))
            return super().now()

    text = CATALOGUE.replace("        max_age_s: 60\n", "")
    assert text != CATALOGUE
    project = compile_snapshot(reviewed(shop_files(catalogue__shop=text)))
    desk = Desk(project=project, given=b'{"input":{"order":"o-1001"}}')
    desk.live._clock = Ticks()
    desk.upstream.script("get_order", answer(ORDER))
    assert codes(seen(desk, LOOK, pay(10), pay(10))) == ["done", "done", "done"]
    assert [each.upstream_name for each in desk.upstream.received] == ["get_order"] + ["get_order", "refund"] * 2


@pytest.mark.requirement("R3.8")
@pytest.mark.parametrize(
    ("said", "why"),
    [
        ({"customer": "crm-7", "refunded": 0}, "nothing at `/delivered`"),
        ({**ORDER, "delivered": "soon"}, "no date"),
        ({**ORDER, "customer": None}, "nothing at `/customer`"),
    ],
)
def test_a_fact_that_is_missing_denies(said: JsonObject, why: str) -> None:
    desk = shop_desk()
    desk.upstream.script("get_order", answer(said))
    (refused,) = seen(desk, pay(10))
    assert isinstance(refused, Refused)
    assert (refused.reason.code, why in refused.reason.message) == ("fact_missing", True)


@pytest.mark.requirement("R3.8")
def test_a_fact_whose_look_up_fails_or_is_not_permitted_denies() -> None:
    desk = shop_desk()
    desk.upstream.script("get_order", NOT_SENT)
    (refused,) = seen(desk, pay(10))
    assert isinstance(refused, Refused)
    assert "upstream_unreachable" in refused.reason.message
    blind = Desk(project=shop(POLICY.replace('Action::"get_order", ', "")), given=b'{"input":{"order":"o-1001"}}')
    (refused,) = seen(blind, pay(10))
    assert isinstance(refused, Refused)
    assert "policy_no_permit" in refused.reason.message


@pytest.mark.requirement("R3.2")
def test_policy_is_told_how_long_ago_an_order_was_delivered() -> None:
    desk = shop_desk()
    desk.upstream.script("get_order", answer({**ORDER, "delivered": "2026-10-01T12:00:00Z"}))
    assert codes(seen(desk, LOOK, pay(10))) == ["done", "policy_no_permit"]


@pytest.mark.requirement("R3.5")
def test_a_person_sees_what_a_call_would_change_and_it_binds() -> None:
    desk = shop_desk()
    *_, held = seen(desk, LOOK, pay(60))
    assert isinstance(held, Refused)
    assert held.held
    (entry,) = [each for each in desk.store.log if each.kind == "held"]
    assert json.loads(next(each.body for each in entry.payloads if each.name == "before")) == ORDER
    asyncio.run(desk.approvals.approve(OLGA, held.approval, desk.store.approvals[held.approval].digest, ""))
    desk.upstream.script("get_order", answer({**ORDER, "refunded": 60}))
    changed, *_ = seen(desk, pay(60))
    assert isinstance(changed, Refused)
    assert changed.held
    assert changed.approval != held.approval
    old = desk.store.approvals[held.approval]
    assert (old.state.value, changed.approval in old.by) == ("void", True)
    asyncio.run(desk.approvals.approve(OLGA, changed.approval, desk.store.approvals[changed.approval].digest, ""))
    assert codes(seen(desk, pay(60))) == ["done"]
    desk.upstream.script("get_order", answer({**ORDER, "refunded": 120}))
    (again,) = seen(desk, pay(60))
    assert isinstance(again, Done)
    assert again.repeated
    assert sum(each.upstream_name == "refund" for each in desk.upstream.received) == 1


@pytest.mark.requirement("R3.5", "R3.8")
def test_a_state_before_that_cannot_be_read_denies() -> None:
    desk = shop_desk()
    desk.upstream.script("get_order", answer(ORDER), NOT_SENT)
    answers = seen(desk, LOOK, pay(60))
    assert codes(answers) == ["done", "before_unreadable"]


@pytest.mark.requirement("R3.7")
def test_every_decision_on_the_past_is_replayed_alike() -> None:
    desk = shop_desk()
    seen(
        desk, pay(10), LOOK, pay(10), pay(60), pay(99), ("send", {"to": "x@evil.example", "text": "see evil.example/x"})
    )
    made = [each for each in desk.store.log if each.kind in ("intent", "denied", "held")]
    assert len(made) > 6
    for entry in made:
        leaf = json.loads(entry.leaf)
        assert replay(entry, {desk.live.snapshot.digest: desk.live.snapshot}.get, "desk") == [
            leaf["decision"],
            leaf["trail"],
        ]


async def _edited(desk: Desk, arguments: JsonObject) -> tuple[Approval | Reason, str]:
    await desk.gateway.handle(desk_call(*LOOK, call="c_look"))
    held = await desk.gateway.handle(desk_call(*pay(60), call="c_first"))
    assert isinstance(held, Refused)
    digest = desk.store.approvals[held.approval].digest
    return await desk.approvals.edit(OLGA, held.approval, digest, arguments, "less"), held.approval


@pytest.mark.requirement("R3.5")
def test_an_edited_call_takes_the_place_of_the_agents_own_once() -> None:
    desk = shop_desk()

    async def run() -> list[Answer]:
        made, _ = await _edited(desk, {"order": "o-1001", "amount": 40})
        assert isinstance(made, Approval), made
        first = await desk.gateway.handle(desk_call(*pay(60), call="c_again"))
        second = await desk.gateway.handle(desk_call(*pay(60), call="c_third"))
        return [first, second]

    first, second = asyncio.run(run())
    assert isinstance(first, Done)
    assert json.loads(first.edited) == {"order": "o-1001", "amount": 40}
    assert isinstance(second, Done)
    assert second.repeated
    paid = [json.loads(each.body) for each in desk.upstream.received if each.upstream_name == "refund"]
    assert paid == [{"order": "o-1001", "amount": 40}]


@pytest.mark.requirement("R3.5")
def test_an_edited_call_is_decided_afresh_and_its_editor_does_not_count() -> None:
    desk = shop_desk()

    async def run() -> None:
        refused, approval = await _edited(desk, {"order": "o-1001", "amount": 500})
        assert getattr(refused, "code", "") == "policy_forbids"
        digest = desk.store.approvals[approval].digest
        made = await desk.approvals.edit(OLGA, approval, digest, {"order": "o-1001", "amount": 55}, "less")
        new = next(each for each in desk.store.approvals.values() if each.edited)
        assert made == desk.live.approval(new.id)
        no = await desk.approvals.approve(OLGA, new.id, new.digest, "")
        assert getattr(no, "code", "") == "approver_is_editor"
        still = await desk.gateway.handle(desk_call(*pay(60), call="c_again"))
        assert isinstance(still, Refused)
        assert still.approval == new.id
        omar = Person(name="omar", roles=frozenset({"ops"}))
        yes = await desk.approvals.approve(omar, new.id, new.digest, "")
        assert isinstance(yes, Approval), yes
        done = await desk.gateway.handle(desk_call(*pay(60), call="c_last"))
        assert isinstance(done, Done)

    asyncio.run(run())
    paid = [json.loads(each.body) for each in desk.upstream.received if each.upstream_name == "refund"]
    assert paid == [{"order": "o-1001", "amount": 55}]


# --- a counter more --------------------------------------------------------------------------------------------------

TALLIES = st.lists(
    st.builds(
        Tally,
        name=st.sampled_from(["refunded", "looked_up", "more"]),
        key=st.text(min_size=1, max_size=8),
        seen=st.integers(0, 1000),
        by=st.integers(0, 1000),
        resets_at=st.none(),
        later=st.booleans(),
    ),
    max_size=3,
).map(tuple)


def strictness(decision: Decision) -> int:
    return [Allow, Hold, Deny].index(type(decision))


@pytest.mark.requirement("R3.7", "R3.8")
@settings(max_examples=60, deadline=None)
@given(more=TALLIES, amount=st.integers(-10, 200))
def test_a_counter_more_never_widens_a_decision(more: tuple[Tally, ...], amount: int) -> None:
    desk = shop_desk()
    call = desk_call("refund", {"order": "o-1001", "amount": amount})
    known: dict[str, JsonObject] = {"order": {"customer": "crm-7", "delivered_days_ago": 12}}
    told = (Tally("refunded", "#r", 0, abs(amount), None), Tally("looked_up", "#l", 1, 0, None, later=True))
    facts = replace(desk.live.gather(call), known=known, missing={}, history=told)
    others = tuple(each for each in more if each.name == "more")
    plain = decide(call, facts).decision
    assert strictness(decide(call, replace(facts, history=(*told, *others))).decision) == strictness(plain)
    higher = (replace(told[0], seen=told[0].seen + sum(each.seen for each in more)), told[1])
    assert strictness(decide(call, replace(facts, history=higher)).decision) >= strictness(plain)
    lower = (told[0], replace(told[1], seen=0))
    assert strictness(decide(call, replace(facts, history=lower)).decision) >= strictness(plain)
