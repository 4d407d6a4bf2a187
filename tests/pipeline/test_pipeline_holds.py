"""A held call: one approval, for exactly this call, once; and everything that happens in between counts."""

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from tests.pipeline.pipeline_stage import (
    HELD,
    OLGA,
    TASK,
    TOM,
    BeginsBlindly,
    LiftsAnything,
    OpensBlindly,
    Scene,
    Stage,
    code_of,
    leaf_of,
    play,
)

from remit.adapters.system import Bell
from remit.core import Delegation, Hold, JsonObject, Reason, RemitError, Revocation, Ruling, ToolCall
from remit.identity import Cut
from remit.permissions import Approval, State
from remit.pipeline import (
    NOTHING,
    Answer,
    Committed,
    Conflict,
    Done,
    Facts,
    Failed,
    Full,
    Gateway,
    Refused,
    Sent,
    UpstreamFailure,
)
from remit.pipeline._holding import WAITING_MAX
from remit.records import Draft, Entry, answered
from remit.testing import (
    DONE,
    NOON,
    POLICY,
    Desk,
    FailingStore,
    Hang,
    MemoryStore,
    desk_delegation,
    desk_snapshot,
    desk_task,
)

NOT_SENT = UpstreamFailure(code="upstream_unreachable", sent=Sent.NOT_SENT, detail="refused")
UNKNOWN = UpstreamFailure(code="upstream_timeout", sent=Sent.UNKNOWN, detail="10 s")
ANOTHER = POLICY + '@id("more") forbid (principal, action == Action::"spare", resource);'
WIPING = POLICY.replace('forbid (principal, action == Action::"wipe"', 'permit (principal, action == Action::"wipe"')
LONG_S = 600.0  # a wait that no test sits out
SHORT_S = 0.05  # one that its test sits out


def approvals_of(stage: Stage) -> list[Approval]:
    return list(stage.desk.store.approvals.values())


# --- one approval ----------------------------------------------------------------------------------------------------


async def five_at_once_and_two_later(stage: Stage) -> None:
    await asyncio.gather(*(stage.present() for _ in range(5)))
    await stage.present()
    await stage.present()


@pytest.mark.requirement("R3.4", "R3.5")
def test_a_call_that_is_held_opens_one_approval_however_often_it_is_presented() -> None:
    stage = play(five_at_once_and_two_later)
    [approval] = approvals_of(stage)
    assert (stage.kinds()["held"], stage.paid) == (7, 0)
    assert {leaf["approval"] for leaf in stage.leaves("held")} == {approval.id}
    assert {leaf["call_digest"] for leaf in stage.leaves("held")} == {approval.digest}
    opening = leaf_of(stage.desk.store.log[approval.entry])
    assert (opening["kind"], opening["approval"]) == ("held", approval.id), "it shows the call that it is for"
    assert stage.desk.live.approvals() == (approval,)


class OpensLate(Gateway):
    """The control: says that an approval waits only once the store has it."""

    async def _hold(
        self, call: ToolCall, facts: Facts, ruling: Ruling, hold: Hold, more: JsonObject | None
    ) -> Answer | Conflict:
        quiet = _Quiet(self.facts)
        answer = await super(OpensLate, replace(self, facts=quiet))._hold(call, facts, ruling, hold, more)
        for approval in quiet.put_later:
            self.facts.put(approval)
        return answer


class _Quiet:
    def __init__(self, inner: Any) -> None:
        self.put_later: list[Approval] = []
        self.recall, self.gather, self.remember = inner.recall, inner.gather, inner.remember
        self.revocation, self.edit_of = inner.revocation, inner.edit_of
        self.count, self.uncertain, self.mark = inner.count, inner.uncertain, inner.mark
        self.changed = inner.changed

    def put(self, approval: Approval) -> None:
        self.put_later = [approval]

    def drop(self, approval: str) -> None:
        self.put_later = [each for each in self.put_later if each.id != approval]


@pytest.mark.parametrize(("kind", "opened"), [(OpensBlindly, 7), (OpensLate, 5)])
def test_control_gateways_that_open_more_are_seen(kind: type[Gateway], opened: int) -> None:
    assert len(approvals_of(play(five_at_once_and_two_later, Desk(kind=kind), replayed=False))) == opened


@pytest.mark.requirement("R3.5")
def test_an_approval_that_the_store_did_not_take_is_none() -> None:
    async def scene(stage: Stage) -> None:
        failed = await stage.present()
        assert isinstance(failed, Failed)
        assert not failed.effect_possible
        assert stage.desk.live.approvals() == ()
        await stage.held()

    store = MemoryStore()
    stage = play(scene, Desk(store=store, ledger=FailingStore(store, at={1}, kept=False)))
    assert stage.desk.live.approvals() == tuple(approvals_of(stage))


class DeploysUnder(MemoryStore):
    """A store in which another bundle begins to run just before the first approval is kept."""

    stage: Stage | None = None

    async def keep(self, approval: Approval, entry: Any, read: Any = ()) -> Committed | Conflict:
        if self.stage is not None:
            stage, self.stage = self.stage, None
            await stage.deploy(desk_snapshot(ANOTHER))
        return await super().keep(approval, entry, read)


@pytest.mark.requirement("R3.7")
def test_an_approval_is_opened_for_what_runs_when_it_is_kept() -> None:
    async def scene(stage: Stage) -> None:
        assert isinstance(stage.desk.store, DeploysUnder)
        stage.desk.store.stage = stage
        one, other = await asyncio.gather(stage.present(), stage.present())
        assert isinstance(one, Refused)
        assert isinstance(other, Refused)
        [approval] = stage.desk.live.approvals()
        assert one.approval == approval.id
        await stage.approve(approval)
        assert isinstance(await stage.present(), Done)

    stage = play(scene, Desk(store=DeploysUnder()))
    assert len(approvals_of(stage)) == 1
    assert [leaf["bundle"] for leaf in stage.leaves("intent")] == [desk_snapshot(ANOTHER).digest]


def test_who_waits_for_an_approval_that_was_not_kept_waits_for_the_one_that_was() -> None:
    async def scene(stage: Stage) -> None:
        assert isinstance(stage.desk.store, DeploysUnder)
        stage.desk.store.stage = stage
        calls = [asyncio.ensure_future(stage.present()) for _ in range(2)]
        for _ in range(20):
            await asyncio.sleep(0)
        [approval] = stage.desk.live.approvals()
        await stage.approve(approval)
        assert sorted(type(answer).__name__ for answer in await asyncio.gather(*calls)) in (
            ["Done", "Done"],
            ["Done", "Refused"],  # under way
        )

    assert play(scene, Desk(store=DeploysUnder(), hold_wait_s=LONG_S)).paid == 1


# --- exactly that call, once -----------------------------------------------------------------------------------------


async def approved_and_presented_three_times(stage: Stage) -> list[Answer]:
    await stage.approve(await stage.held())
    return [await stage.present() for _ in range(3)]


@pytest.mark.requirement("R3.5", "R5.1")
def test_an_approved_call_is_made_once_although_it_is_presented_three_times() -> None:
    async def scene(stage: Stage) -> None:
        first, second, third = await approved_and_presented_three_times(stage)
        assert isinstance(first, Done)
        assert not first.repeated
        assert second == third == Done(first.call, DONE.result, repeated=True)

    stage = play(scene)
    assert stage.paid == 1
    [approval], [intent] = approvals_of(stage), stage.leaves("intent")
    assert (approval.state, approval.call) == (State.USED, intent["call"])
    assert stage.desk.live.approvals() == (approval,), "live and stored are the same"
    assert stage.codes()[1:] == ["already_executed"] * 2


class ForgetsUse(BeginsBlindly):
    """The control: an approval that is used goes on waiting."""

    def _use_up(self, call: ToolCall, facts: Facts, ruling: Ruling) -> None:
        """Say nothing."""


def test_control_a_gateway_that_uses_up_nothing_is_seen_to_pay_three_times() -> None:
    assert play(approved_and_presented_three_times, Desk(kind=ForgetsUse)).paid == 3


async def approved_and_presented_at_once(stage: Stage) -> list[Answer]:
    await stage.approve(await stage.held())
    return list(await asyncio.gather(*(stage.present() for _ in range(5))))


@pytest.mark.requirement("R3.5", "R5.1")
def test_an_approved_call_that_is_presented_five_times_at_once_is_made_once() -> None:
    async def scene(stage: Stage) -> None:
        answers = await approved_and_presented_at_once(stage)
        done = [answer for answer in answers if isinstance(answer, Done)]
        assert len([answer for answer in done if not answer.repeated]) == 1
        assert {answer.call for answer in done} == {done[0].call}
        others = [answer for answer in answers if not isinstance(answer, Done)]
        assert {code_of(answer) for answer in others} <= {"approved_call_under_way", "conflict"}

    assert play(scene).paid == 1


class ComparesNoApproval(Gateway):
    """A control: takes the approval that it read for the one that still stands; its use is asked of nobody."""

    async def _begin(self, call: ToolCall, facts: Facts, ruling: Ruling, intent: Draft) -> Committed | Conflict | Full:
        del call, ruling
        return await self.ledger.begin(intent, facts.versions)


def test_control_a_gateway_that_does_not_have_the_use_compared_is_seen_to_pay_more_than_once() -> None:
    assert play(approved_and_presented_at_once, Desk(kind=ComparesNoApproval)).paid > 1


def test_a_repeat_while_the_approved_call_is_under_way_says_so_and_does_nothing() -> None:
    async def scene(stage: Stage) -> None:
        hang = Hang()
        stage.desk.upstream.script("pay", hang)
        await stage.approve(await stage.held())
        call = asyncio.ensure_future(stage.present())
        await hang.arrived.wait()
        under_way = await stage.present()
        assert isinstance(under_way, Refused)
        assert (under_way.reason.code, under_way.reason.retry_after_s) == ("approved_call_under_way", 1)
        hang.release.set()
        done = await call
        assert isinstance(done, Done)
        assert await stage.present() == replace(done, repeated=True)

    assert play(scene).paid == 1


NEARLY: list[JsonObject] = [{"amount": 76}, {"amount": 75, "note": ""}, {"amount": 75, "note": "thanks"}]


async def approved_and_then(stage: Stage, arguments: JsonObject) -> Answer:
    await stage.approve(await stage.held())
    return await stage.present("pay", arguments)


@pytest.mark.requirement("R3.5")
@pytest.mark.parametrize("arguments", NEARLY, ids=str)
def test_a_yes_lets_no_other_arguments_through_and_what_changed_is_held_anew(arguments: JsonObject) -> None:
    async def scene(stage: Stage) -> None:
        answer = await approved_and_then(stage, arguments)
        assert isinstance(answer, Refused)
        assert answer.held
        assert isinstance(await stage.present(), Done), "the call that was approved still goes"

    stage = play(scene)
    assert (stage.paid, len(approvals_of(stage))) == (1, 2)


@pytest.mark.parametrize("arguments", NEARLY, ids=str)
def test_control_a_gateway_whose_yes_is_for_any_call_is_seen(arguments: JsonObject) -> None:
    stage = play(lambda stage: approved_and_then(stage, arguments), Desk(kind=LiftsAnything), replayed=False)
    assert stage.paid == 1


async def approved_in_one_task_and_made_in_another(stage: Stage) -> Answer:
    stage.desk.live.admit(desk_task("t_other"), b'{"input":null}')
    await stage.approve(await stage.held())
    return await stage.present(task="t_other")


@pytest.mark.requirement("R3.6")
def test_a_yes_in_one_task_lets_nothing_through_in_another() -> None:
    async def scene(stage: Stage) -> None:
        answer = await approved_in_one_task_and_made_in_another(stage)
        assert isinstance(answer, Refused)
        assert answer.held

    stage = play(scene)
    assert {approval.task for approval in approvals_of(stage)} == {TASK, "t_other"}
    assert stage.paid == 0
    assert play(approved_in_one_task_and_made_in_another, Desk(kind=LiftsAnything), replayed=False).paid == 1, (
        "the control"
    )


@pytest.mark.requirement("R3.5")
def test_an_approval_ends_to_the_microsecond_and_the_call_is_held_anew() -> None:
    async def at(stage: Stage, late: timedelta) -> Answer:
        stage.desk.live.dismiss(TASK)  # (an approval ends with its task at the latest, so this one lives long)
        stage.desk.live.admit(desk_task(expires_at=NOON + timedelta(days=9)), b'{"input":null}')
        approval = await stage.approve(await stage.held())
        stage.desk.clock.advance(approval.expires_at - NOON + late)
        long_lived = replace(desk_delegation(TASK), expires_at=NOON + timedelta(days=9))
        return await stage.desk.gateway.handle(replace(stage.call(), delegation=long_lived))

    async def in_time(stage: Stage) -> None:
        assert isinstance(await at(stage, timedelta(microseconds=-1)), Done)

    async def too_late(stage: Stage) -> None:
        answer = await at(stage, timedelta(0))
        assert isinstance(answer, Refused)
        assert answer.held
        assert len(approvals_of(stage)) == 2

    assert (play(in_time).paid, play(too_late).paid) == (1, 0)

    async def control(stage: Stage) -> None:
        assert isinstance(await at(stage, timedelta(0)), Done)

    assert play(control, Desk(kind=LiftsAnything), replayed=False).paid == 1


# --- no --------------------------------------------------------------------------------------------------------------


@pytest.mark.requirement("R3.5")
def test_a_no_sticks_to_the_call_whatever_the_note_says_and_to_no_other_recipient() -> None:
    async def scene(stage: Stage) -> None:
        await stage.deny(await stage.held())
        wordings: list[JsonObject] = [HELD, {**HELD, "note": "please"}, {**HELD, "note": "it is urgent"}]
        for arguments in wordings:
            answer = await stage.present("pay", arguments)
            assert isinstance(answer, Refused)
            assert (answer.held, answer.reason.code) == (False, "approval_denied")
        await stage.held("pay", {**HELD, "to": "somebody else"})

    stage = play(scene, Desk(given=b'{"input":"somebody else"}'))
    assert stage.paid == 0
    assert [approval.state for approval in approvals_of(stage)] == [State.DENIED, State.WAITING]


class ForgetsDenials(Gateway):
    """The control: a no is forgotten."""

    def _rule(self, call: ToolCall, looked: Mapping[str, bytes | str] = NOTHING) -> tuple[Facts | None, Ruling]:
        for approval in getattr(self.facts, "approvals")():  # noqa: B009 - the port does not have it, the desk's does
            if approval.state is State.DENIED:
                self.facts.drop(approval.id)
        return super()._rule(call, looked)


def test_control_a_gateway_that_forgets_a_no_is_seen_to_ask_again() -> None:
    async def scene(stage: Stage) -> None:
        await stage.deny(await stage.held())
        await stage.held("pay", {**HELD, "note": "please"})

    assert len(approvals_of(play(scene, Desk(kind=ForgetsDenials)))) == 2


# --- what happens after the yes --------------------------------------------------------------------------------------


async def revoked(stage: Stage) -> None:
    assert not isinstance(await stage.desk.controls.cut(Cut(agent="clerk"), "otto", "it misbehaves"), Reason)


async def stopped(stage: Stage) -> None:
    assert await stage.desk.controls.stop_all("otto", "look into it") is None


async def quarantined(stage: Stage) -> None:
    await stage.desk.controls.quarantine("pay", ["its description differs"])


async def released(stage: Stage) -> None:
    await stage.deploy(desk_snapshot(ANOTHER))


AFTER = [
    (revoked, "agent_revoked"),
    (stopped, "stopped"),
    (quarantined, "operation_quarantined"),
    (released, ""),
]


class Frozen:
    """A source of facts that goes on saying what was so when the yes was given."""

    def __init__(self, desk: Desk, call: ToolCall) -> None:
        self._facts = desk.live.gather(call)
        self.recall, self.put, self.drop, self.remember = (
            *(desk.live.recall, desk.live.put, desk.live.drop, desk.live.remember),
        )
        self.edit_of, self.count, self.uncertain, self.mark, self.changed = (
            *(desk.live.edit_of, desk.live.count, desk.live.uncertain, desk.live.mark, desk.live.changed),
        )

    def gather(self, call: ToolCall, looked: Mapping[str, bytes | str] = NOTHING) -> Facts:
        del call, looked
        return self._facts

    def revocation(self, delegation: Delegation) -> Revocation | None:
        del delegation  # (nobody was cut off when the yes was given)
        return None


@pytest.mark.requirement("R2.11", "R3.7", "R4.7")
@pytest.mark.parametrize(("event_", "code"), AFTER)
def test_what_is_revoked_stopped_quarantined_or_deployed_after_the_yes_keeps_the_call_back(
    event_: Scene, code: str
) -> None:
    async def scene(stage: Stage) -> None:
        await stage.approve(await stage.held())
        await event_(stage)
        answer = await stage.present()
        assert isinstance(answer, Refused)
        assert answer.held == (not code)
        if code:
            assert answer.reason.code == code

    assert play(scene).paid == 0


async def decided_on_what_was(stage: Stage, event_: Scene) -> Answer:
    """Present an approved call to a gateway that has not heard of what happened since."""
    await stage.approve(await stage.held())
    call = stage.call()
    facts = Frozen(stage.desk, call)
    await event_(stage)
    return await replace(stage.desk.gateway, facts=facts).handle(call)


@pytest.mark.requirement("R2.11", "R3.7", "R4.7")
@pytest.mark.parametrize(("event_", "code"), AFTER)
def test_also_when_the_call_was_decided_before_it_happened(event_: Scene, code: str) -> None:
    del code

    async def scene(stage: Stage) -> None:
        answer = await decided_on_what_was(stage, event_)
        assert isinstance(answer, Refused)
        assert answer.reason.code == "conflict"

    assert play(scene).paid == 0


async def another_version(stage: Stage) -> None:
    """Change the approval and leave it as good as it was."""
    [approval] = stage.desk.live.approvals()
    changed = replace(approval, version=approval.version + 1)
    entry = answered(changed.id, changed.task, at=stage.desk.clock.now(), by="oda", said={"answer": "approved"})
    assert isinstance(await stage.desk.store.keep(changed, entry), Committed)
    stage.desk.live.put(changed)


def test_an_approval_that_changed_since_it_was_looked_at_is_looked_at_again() -> None:
    async def scene(stage: Stage) -> None:
        assert code_of(await decided_on_what_was(stage, another_version)) == "conflict"
        assert isinstance(await stage.present(), Done)

    assert play(scene).paid == 1


@pytest.mark.parametrize(("event_", "code"), AFTER)
def test_control_a_gateway_that_compares_nothing_is_seen_to_pay_all_the_same(event_: Scene, code: str) -> None:
    del code

    async def scene(stage: Stage) -> None:
        assert isinstance(await decided_on_what_was(stage, event_), Done)

    assert play(scene, Desk(kind=BeginsBlindly), replayed=False).paid == 1


@pytest.mark.requirement("R2.11")
def test_what_was_held_before_a_stop_is_held_after_it_and_one_yes_still_serves() -> None:
    async def scene(stage: Stage) -> None:
        approval = await stage.held()
        await stopped(stage)
        await stage.approve(approval)
        assert code_of(await stage.present()) == "stopped"
        assert await stage.desk.controls.resume("otto", "looked into") is None
        assert isinstance(await stage.present(), Done)

    assert play(scene).paid == 1


# --- too many --------------------------------------------------------------------------------------------------------


async def many(stage: Stage) -> list[Answer]:
    return [await stage.present("pay", {"amount": 50 + more}) for more in range(WAITING_MAX + 2)]


@pytest.mark.requirement("R3.5")
def test_an_agent_cannot_bury_people_in_questions() -> None:
    async def scene(stage: Stage) -> None:
        *held, over, over_again = await many(stage)
        assert all(isinstance(answer, Refused) and answer.held for answer in held)
        assert {code_of(over), code_of(over_again)} == {"holds_too_many"}
        again = await stage.present("pay", {"amount": 50})
        assert isinstance(again, Refused)
        assert again.held, "what waits already is asked for as often as one likes"
        await stage.deny(stage.desk.live.approvals()[0])
        assert isinstance(await stage.present("pay", {"amount": 100, "to": "tom"}), Refused)

    stage = play(scene, Desk(given=b'{"input":"tom"}'))
    assert stage.paid == 0
    assert len(approvals_of(stage)) == WAITING_MAX + 1, "one was answered, so there was room for one more"
    assert [trail[0] for leaf in stage.leaves("denied") for trail in leaf["trail"][-1:]] == ["permissions.may_wait"] * 2


@pytest.mark.requirement("R3.5")
def test_nor_when_it_asks_them_all_at_once() -> None:
    async def scene(stage: Stage) -> None:
        calls = (stage.present("pay", {"amount": 50 + more}) for more in range(2 * WAITING_MAX))
        answers = await asyncio.gather(*calls)
        assert [isinstance(answer, Refused) and answer.held for answer in answers].count(True) == WAITING_MAX

    assert len(approvals_of(play(scene))) == WAITING_MAX


def test_control_a_gateway_that_does_not_count_is_seen_to() -> None:
    assert len(approvals_of(play(many, Desk(kind=OpensBlindly), replayed=False))) == WAITING_MAX + 2


# --- waiting ---------------------------------------------------------------------------------------------------------


async def somebody_waits(stage: Stage) -> None:
    for _ in range(100):
        if stage.desk.bell._waiting:
            return
        await asyncio.sleep(0)
    raise AssertionError("nobody waits")


async def waiting(stage: Stage) -> tuple["asyncio.Task[Answer]", Approval]:
    """Let a call wait; return it with what it waits for."""
    call = asyncio.ensure_future(stage.present())
    await somebody_waits(stage)
    [approval] = stage.desk.live.approvals()
    return call, approval


async def woken_by_a_yes(stage: Stage) -> Answer:
    call, approval = await waiting(stage)
    await stage.approve(approval)
    return await call


@pytest.mark.requirement("R3.5", "R7.5")
def test_a_call_that_waits_is_woken_by_the_yes_and_made() -> None:
    async def scene(stage: Stage) -> None:
        assert isinstance(await woken_by_a_yes(stage), Done)

    stage = play(scene, Desk(hold_wait_s=LONG_S))
    assert (stage.paid, stage.kinds()["held"], stage.kinds()["intent"]) == (1, 1, 1)


class Silent(Bell):
    """The control: a bell that cannot be heard."""

    def ring(self, approval: str) -> None:
        del approval


def silent() -> Desk:
    desk = Desk(hold_wait_s=SHORT_S)
    desk.bell = Silent()
    desk.gateway = replace(desk.gateway, bell=desk.bell)
    desk.approvals = replace(desk.approvals, bell=desk.bell)
    return desk


def test_control_without_the_bell_it_waits_in_vain() -> None:
    async def scene(stage: Stage) -> None:
        assert isinstance(await woken_by_a_yes(stage), Refused)

    assert play(scene, silent()).paid == 0


@pytest.mark.requirement("R2.11", "R7.5")
@pytest.mark.parametrize(("answer_no", "code"), [(False, "agent_revoked"), (True, "approval_denied")])
def test_a_call_that_waits_is_woken_by_a_no_and_by_a_revocation_and_denied(*, answer_no: bool, code: str) -> None:
    async def scene(stage: Stage) -> None:
        call, approval = await waiting(stage)
        await (stage.deny(approval) if answer_no else revoked(stage))
        answer = await call
        assert isinstance(answer, Refused)
        assert (answer.held, answer.reason.code) == (False, code)

    assert play(scene, Desk(hold_wait_s=LONG_S)).paid == 0


def test_a_call_that_waits_for_two_persons_goes_on_waiting_after_the_first() -> None:
    async def scene(stage: Stage) -> None:
        call, approval = await waiting(stage)
        half = await stage.approve(approval)
        await somebody_waits(stage)
        assert not call.done()
        assert stage.paid == 0
        await stage.approve(half, replace(OLGA, name="oda"))
        assert isinstance(await call, Done)

    pair = POLICY.replace('@approvers("ops")', '@approvers("ops") @quorum("2")')
    assert play(scene, Desk(policy=pair, hold_wait_s=LONG_S)).paid == 1


@pytest.mark.requirement("R7.5")
def test_nobody_answers_and_the_call_says_that_it_is_held() -> None:
    async def scene(stage: Stage) -> None:
        answer = await stage.present()
        assert isinstance(answer, Refused)
        assert answer.held

    assert play(scene, Desk(hold_wait_s=SHORT_S)).kinds()["held"] == 1


async def held_for_a_moment(stage: Stage) -> Approval:
    """Have a call held, and hang up instead of waiting."""
    call, approval = await waiting(stage)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    return approval


def test_a_yes_in_the_very_moment_in_which_the_hold_is_recorded_is_heard() -> None:
    async def scene(stage: Stage) -> None:
        approval = await held_for_a_moment(stage)
        yes, answer = await asyncio.gather(stage.approve(approval), stage.present())
        assert yes.grants
        assert isinstance(answer, Done), "it looked at the approval before the yes, and waited after it"

    assert play(scene, Desk(hold_wait_s=LONG_S)).paid == 1


# --- failures between the yes and the effect -------------------------------------------------------------------------


@pytest.mark.requirement("R5.1", "R7.6")
@pytest.mark.parametrize(
    ("line", "code", "possible"), [(NOT_SENT, "approval_spent", False), (UNKNOWN, "outcome_unknown", True)]
)
def test_an_approved_call_that_failed_is_told_and_not_made_again(
    line: UpstreamFailure, code: str, *, possible: bool
) -> None:
    async def scene(stage: Stage) -> None:
        stage.desk.upstream.script("pay", line, DONE)
        first, second, third = await approved_and_presented_three_times(stage)
        assert isinstance(first, Failed)
        assert first.effect_possible == possible
        for again in (second, third):
            assert isinstance(again, Failed)
            assert (again.call, again.reason.code, again.effect_possible) == (first.call, code, possible)

    stage = play(scene)
    assert len(stage.desk.upstream.received) == int(possible)
    assert (stage.kinds()["intent"], stage.desk.store.counters["clerk/at_once/agent:clerk@now"]) == (1, 0)


def test_control_a_gateway_that_uses_up_nothing_is_seen_to_try_again() -> None:
    async def scene(stage: Stage) -> None:
        stage.desk.upstream.script("pay", NOT_SENT, DONE)
        await approved_and_presented_three_times(stage)

    assert play(scene, Desk(kind=ForgetsUse)).paid == 2


@pytest.mark.requirement("R5.1", "R7.6")
def test_an_approved_call_cut_off_while_its_intent_is_written_is_told_as_spent() -> None:
    async def scene(stage: Stage) -> None:
        await stage.approve(await stage.held())
        call = asyncio.ensure_future(stage.present())
        await asyncio.sleep(0)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        again = await stage.present()
        assert isinstance(again, Failed)
        assert (again.reason.code, again.effect_possible) == ("approval_spent", False)

    stage = play(scene)
    assert (stage.paid, stage.desk.store.open_calls) == (0, {})
    assert [each.state for each in stage.desk.live.approvals()] == [State.USED]


class Unreadable(MemoryStore):
    """A store that cannot be read any more."""

    broken = False

    async def entries_of(self, task: str) -> tuple[Entry, ...]:
        if self.broken:
            raise RemitError("store_unreadable", "IOError", "see `remit doctor`")
        return await super().entries_of(task)


@pytest.mark.requirement("R7.6")
def test_a_log_that_cannot_be_read_is_an_answer_and_not_a_fault() -> None:
    async def scene(stage: Stage) -> None:
        assert isinstance(stage.desk.store, Unreadable)
        await stage.approve(await stage.held())
        done = await stage.present()
        stage.desk.store.broken = True
        repeated = await stage.present()
        assert isinstance(done, Done)
        assert isinstance(repeated, Failed)
        assert (repeated.call, repeated.reason.code, repeated.effect_possible) == (done.call, "store_unreadable", True)
        await stage.restart()
        unread = await stage.present("look")
        assert isinstance(unread, Failed)
        assert (unread.reason.code, unread.effect_possible) == ("store_unreadable", False)

    stage = play(scene, Desk(store=Unreadable()))
    assert (stage.paid, stage.desk.upstream.effects["look"]) == (1, 0)


# --- a restart in between --------------------------------------------------------------------------------------------


@pytest.mark.requirement("R3.5", "R7.6")
@pytest.mark.parametrize(
    "restarts",
    [{"held"}, {"approved"}, {"made"}, {"held", "approved", "made"}],
    ids=["held", "approved", "made", "all"],
)
def test_a_restart_changes_nothing_for_a_call_that_is_held(restarts: set[str]) -> None:
    async def scene(stage: Stage) -> None:
        async def perhaps(when: str) -> None:
            if when in restarts:
                await stage.restart()

        first = await stage.held()
        await perhaps("held")
        assert (await stage.held()).id == first.id, "it still waits for the same"
        await stage.approve(first)
        await perhaps("approved")
        done = await stage.present()
        assert isinstance(done, Done)
        await perhaps("made")
        assert await stage.present() == replace(done, repeated=True)
        assert stage.desk.live.approvals() == tuple(stage.desk.store.approvals.values())

    assert play(scene).paid == 1


@pytest.mark.requirement("R3.5")
def test_a_no_outlives_a_restart_and_so_does_a_quarantine() -> None:
    async def scene(stage: Stage) -> None:
        await stage.deny(await stage.held())
        await stage.restart()
        assert code_of(await stage.present("pay", {**HELD, "note": "please"})) == "approval_denied"
        await quarantined(stage)
        await stage.restart()
        assert code_of(await stage.present()) == "operation_quarantined"

    assert play(scene).paid == 0


async def used_and_restarted_with_what_was(stage: Stage) -> None:
    """Use an approval, then restart on a state that still shows it as waiting."""
    approval = await stage.approve(await stage.held())
    await stage.present()
    await stage.restart()
    stage.desk.live.put(approval)
    await stage.present()


def test_a_gateway_that_starts_on_an_old_state_still_pays_once() -> None:
    assert play(used_and_restarted_with_what_was).paid == 1
    assert play(used_and_restarted_with_what_was, Desk(kind=BeginsBlindly)).paid == 2, "the control"


# --- confirming what cannot be undone --------------------------------------------------------------------------------


@pytest.mark.requirement("R7.4")
def test_what_cannot_be_undone_is_confirmed_by_the_user_who_types_what_it_is() -> None:
    async def scene(stage: Stage) -> None:
        approval = await stage.held("wipe")
        for person, typed, code in (
            (OLGA, "wipe", "approver_role_missing"),
            (TOM, "", "confirmation_mismatch"),
            (TOM, "Wipe", "confirmation_mismatch"),
        ):
            refused = await stage.desk.approvals.approve(person, approval.id, approval.digest, typed)
            assert isinstance(refused, Reason)
            assert refused.code == code
        assert isinstance(await stage.present("wipe"), Refused)
        await stage.approve(approval, TOM, "wipe")
        assert isinstance(await stage.present("wipe"), Done)

    assert play(scene, Desk(policy=WIPING)).desk.upstream.effects["wipe"] == 1


# --- observing -------------------------------------------------------------------------------------------------------


@pytest.mark.requirement("R5.1")
def test_observing_forwards_what_would_be_held_and_asks_nobody() -> None:
    async def scene(stage: Stage) -> None:
        assert isinstance(await stage.present(), Done)
        assert isinstance(await stage.present(), Done)

    stage = play(scene, Desk(observe=True, hold_wait_s=LONG_S))
    assert (stage.paid, approvals_of(stage), stage.desk.live.approvals()) == (2, [], ())
    assert [(leaf["mode"], leaf["decision"][0]) for leaf in stage.leaves("intent")] == [("observe", "hold")] * 2
    assert len(approvals_of(play(five_at_once_and_two_later))) == 1, "the control: enforcing asks"


@pytest.mark.requirement("R2.9")
def test_a_yes_after_the_task_is_over_brings_nothing_back() -> None:
    async def scene(stage: Stage) -> None:
        approval = await stage.held()
        stage.desk.clock.advance(timedelta(hours=2))
        stage.desk.live.forget_expired(stage.desk.clock.now())
        await stage.desk.approvals.approve(OLGA, approval.id, approval.digest, "")
        assert stage.desk.live.approvals() == ()
        assert isinstance(await stage.present(), Refused)

    assert play(scene).paid == 0


# --- answers ---------------------------------------------------------------------------------------------------------


@pytest.mark.requirement("R2.9", "R3.5")
def test_every_answer_is_recorded_with_who_gave_it_to_which_call() -> None:
    async def scene(stage: Stage) -> None:
        one, other = await stage.held(), await stage.held("pay", {"amount": 80})
        await stage.approve(one)
        await stage.deny(other)

    stage = play(scene)
    said = stage.leaves("approval")
    one, other = approvals_of(stage)
    assert [(leaf["by"], leaf["answer"], leaf["approval"], leaf["call_digest"]) for leaf in said] == [
        ("olga", "approved", one.id, one.digest),
        ("olga", "denied", other.id, other.digest),
    ]
    assert all(leaf["task"] == TASK for leaf in said)


def test_an_answer_that_the_store_did_not_take_is_none() -> None:
    async def scene(stage: Stage) -> None:
        approval = await stage.held()
        failing = FailingStore(stage.desk.store, at=range(1, 9), kept=False)
        with pytest.raises(RemitError):
            await replace(stage.desk.approvals, store=failing).approve(OLGA, approval.id, approval.digest, "")
        assert (await stage.held()).grants == ()

    assert play(scene).paid == 0


def test_two_persons_who_answer_at_once_both_count_and_two_opposite_answers_leave_one() -> None:
    async def both(stage: Stage) -> None:
        approval = await stage.held()
        await asyncio.gather(stage.approve(approval), stage.approve(approval, replace(OLGA, name="oda")))
        assert isinstance(await stage.present(), Done)

    async def opposite(stage: Stage) -> None:
        approval = await stage.held()
        answers = await asyncio.gather(
            stage.desk.approvals.deny(OLGA, approval.id, "no"),
            stage.desk.approvals.approve(replace(OLGA, name="oda"), approval.id, approval.digest, ""),
        )
        assert [code for answer in answers if isinstance(answer, Reason) for code in [answer.code]] == [
            "approval_closed"
        ]

    pair = POLICY.replace('@approvers("ops")', '@approvers("ops") @quorum("2")')
    assert play(both, Desk(policy=pair)).paid == 1
    assert play(opposite, Desk(policy=pair)).paid == 0


@pytest.mark.requirement("R3.5")
def test_nobody_says_yes_for_a_task_that_is_over() -> None:
    async def scene(stage: Stage) -> None:
        approval = await stage.held()
        stage.desk.live.dismiss(TASK)
        late = await stage.desk.approvals.approve(OLGA, approval.id, approval.digest, "")
        assert isinstance(late, Reason)
        assert late.code == "approval_closed"

    async def control(stage: Stage) -> None:
        await stage.approve(await stage.held())

    assert play(scene).paid == play(control).paid == 0


@pytest.mark.requirement("R3.5")
def test_what_waits_is_void_once_another_release_runs_and_says_so() -> None:
    async def scene(stage: Stage) -> None:
        approval = await stage.held()
        await stage.desk.controls.void_waiting("another release runs")
        late = await stage.desk.approvals.approve(OLGA, approval.id, approval.digest, "")
        assert isinstance(late, Reason)
        assert late.code == "approval_closed"
        assert [entry.kind for entry in stage.desk.store.log][-1] == "approval"

    assert [each.state for each in approvals_of(play(scene))] == [State.VOID]
