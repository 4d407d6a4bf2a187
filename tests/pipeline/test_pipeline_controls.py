"""Cutting off: what dies with an agent's authority, what goes on, and what never comes back."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta

import pytest
from tests.pipeline.pipeline_stage import OLGA, TASK, Stage, code_of, play

from remit.adapters.project import compile_snapshot
from remit.core import JsonObject, Reason, StoreUnavailableError, ToolCall
from remit.permissions import Approval, State
from remit.pipeline import STOP, Done, Refused, Revoked, Snapshot, operation_control
from remit.records import Draft
from remit.testing import (
    NOON,
    Desk,
    FailingStore,
    Hang,
    ManualClock,
    MemoryStore,
    desk_call,
    desk_delegation,
    desk_sources,
    desk_task,
)

LITTLE: JsonObject = {"amount": 1}
LONG_S = 600.0


def with_porter() -> Snapshot:
    """Return the desk with a second agent, like the first."""
    sources = dict(desk_sources())
    for path in ("agent.yaml", "tools.lock", "policies/desk.cedar"):
        text = sources[f"agents/clerk/{path}"].decode().replace("agent: clerk", "agent: porter")
        sources[f"agents/porter/{path}"] = text.replace('@id("desk.', '@id("porter.').encode()
    return compile_snapshot(sources)


PORTERS = replace(desk_task("t_porter"), agent="porter")


def porters_call(operation: str, arguments: JsonObject, call: str) -> ToolCall:
    delegation = replace(desk_delegation("t_porter"), agent="porter")
    return desk_call(operation, arguments, call=call, delegation=delegation)


class Slow(MemoryStore):
    """A store in which a control takes three milliseconds."""

    clock: ManualClock | None = None

    async def control(
        self, name: str, says: str, entry: Draft, *, approvals: Sequence[Approval] = (), tasks: Sequence[str] = ()
    ) -> dict[str, int]:
        if self.clock is not None:
            self.clock.advance(timedelta(milliseconds=3))
        return dict(await super().control(name, says, entry, approvals=approvals, tasks=tasks))


async def revoke(stage: Stage) -> Revoked:
    done = await stage.desk.controls.revoke_agent("clerk", "otto", "it misbehaves")
    assert isinstance(done, Revoked)
    return done


@pytest.mark.requirement("R2.11")
def test_with_an_agent_die_its_tasks_its_approvals_and_its_tokens_and_the_record_says_how_soon() -> None:
    forgotten: list[str] = []

    async def scene(stage: Stage) -> None:
        store = stage.desk.store
        assert isinstance(store, Slow)
        store.clock = stage.desk.clock
        stage.desk.controls = replace(stage.desk.controls, forget_agent=forgotten.append)
        one, other = await stage.held(), await stage.approve(await stage.held("pay", {"amount": 80}))
        done = await revoke(stage)
        assert done == Revoked(agent="clerk", tasks=1, approvals=2, elapsed_us=3_000)
        assert {each.state for each in store.approvals.values()} == {State.VOID}
        assert (await store.state(NOON)).tasks == ()
        assert stage.desk.live.tasks_of("clerk") == ()
        assert stage.desk.live.approvals() == ()
        assert code_of(await stage.present("look", {})) == "agent_revoked"
        for approval in (one, other):
            answer = await stage.desk.approvals.approve(replace(OLGA, name="oda"), approval.id, approval.digest, "")
            assert isinstance(answer, Reason)
            assert answer.code == "approval_closed"

    stage = play(scene, Desk(store=Slow()))
    assert forgotten == ["clerk"]
    first, last = stage.leaves("control")
    ids = list(stage.desk.store.approvals)
    assert [first[name] for name in ("control", "word", "by", "why", "tasks", "approvals")] == [
        *("agent/clerk", "revoked", "otto", "it misbehaves", [TASK], sorted(first["approvals"]))
    ]
    assert sorted(first["approvals"]) == sorted(ids)
    assert [last[name] for name in ("word", "tasks", "approvals", "elapsed_us")] == ["revocation_complete", 1, 2, 3_000]
    void = [leaf for leaf in stage.leaves("approval") if leaf["answer"] == "void"]
    assert [(leaf["task"], leaf["by"]) for leaf in void] == [(TASK, "otto")] * 2
    assert sorted(leaf["approval"] for leaf in void) == sorted(ids)
    assert [(leaf["task"], leaf["by"]) for leaf in stage.leaves("task_closed")] == [(TASK, "otto")]


@pytest.mark.requirement("R2.11")
def test_other_agents_notice_nothing() -> None:
    async def scene(stage: Stage) -> None:
        await stage.deploy(with_porter())
        stage.desk.live.admit(PORTERS, b'{"input":null}')
        hang = Hang()
        stage.desk.upstream.script("look", hang)
        under_way = asyncio.ensure_future(stage.desk.gateway.handle(porters_call("look", {}, "p_1")))
        await hang.arrived.wait()
        held = await stage.desk.gateway.handle(porters_call("pay", {"amount": 75}, "p_2"))
        assert isinstance(held, Refused)
        await revoke(stage)
        hang.release.set()
        assert isinstance(await under_way, Done)
        [approval] = stage.desk.live.approvals()
        assert approval.id == held.approval
        await stage.approve(approval)
        assert isinstance(await stage.desk.gateway.handle(porters_call("pay", {"amount": 75}, "p_3")), Done)
        assert code_of(await stage.present("pay", LITTLE)) == "agent_revoked", "the control: the clerk does"

    assert play(scene).paid == 1


@pytest.mark.requirement("R2.11")
def test_a_call_that_is_under_way_ends_on_record_and_none_follows() -> None:
    async def scene(stage: Stage) -> None:
        hang = Hang()
        stage.desk.upstream.script("pay", hang)
        call = asyncio.ensure_future(stage.present("pay", LITTLE))
        await hang.arrived.wait()
        await revoke(stage)
        hang.release.set()
        assert isinstance(await call, Done)
        assert code_of(await stage.present("pay", LITTLE)) == "agent_revoked"

    stage = play(scene)
    assert (stage.paid, stage.kinds()["outcome"], stage.desk.store.open_calls) == (1, 1, {})


@pytest.mark.requirement("R2.11")
@pytest.mark.parametrize("restarted", [False, True], ids=["", "after a restart"])
def test_to_restore_an_agent_revives_nothing_of_what_died(*, restarted: bool) -> None:
    async def scene(stage: Stage) -> None:
        approval = await stage.approve(await stage.held())
        await revoke(stage)
        assert await stage.desk.controls.restore_agent("clerk", "otto", "it was mended") is None
        if restarted:
            await stage.restart()
        assert code_of(await stage.present()) == "task_unknown"
        assert approval.id not in {each.id for each in stage.desk.live.approvals()}
        stage.desk.live.admit(desk_task("t_new"), b'{"input":null}')
        assert isinstance(await stage.present("pay", LITTLE, task="t_new"), Done), "in a new task it acts again"
        held = await stage.present(task="t_new")
        assert isinstance(held, Refused)
        assert held.held

    stage = play(scene)
    assert (stage.paid, [each.state for each in stage.desk.store.approvals.values()]) == (
        1,
        [State.VOID, State.WAITING],
    )
    assert [leaf["word"] for leaf in stage.leaves("control")] == ["revoked", "revocation_complete", "restored"]


@pytest.mark.requirement("R2.11", "R7.6")
def test_a_revocation_outlives_a_restart() -> None:
    async def scene(stage: Stage) -> None:
        await revoke(stage)
        await stage.restart()
        assert code_of(await stage.present("look", {})) == "agent_revoked"

    play(scene)


@pytest.mark.requirement("R2.11", "R7.6")
def test_a_revocation_that_the_store_did_not_take_changed_nothing() -> None:
    async def scene(stage: Stage) -> None:
        approval = await stage.held()
        dead = FailingStore(stage.desk.store, at=range(1, 99), kept=False)
        with pytest.raises(StoreUnavailableError):
            await replace(stage.desk.controls, store=dead).revoke_agent("clerk", "otto", "it misbehaves")
        await stage.approve(approval)
        assert isinstance(await stage.present(), Done)

    assert play(scene).paid == 1


@pytest.mark.requirement("R2.11", "R7.6")
def test_a_revocation_stands_and_is_told_also_when_the_store_dies_right_after_it() -> None:
    async def scene(stage: Stage) -> None:
        calls = [asyncio.ensure_future(stage.present("pay", {"amount": 50 + more})) for more in range(3)]
        for _ in range(20):
            await asyncio.sleep(0)
        dying = FailingStore(stage.desk.store, at=range(2, 99), kept=False)
        done = await replace(stage.desk.controls, store=dying).revoke_agent("clerk", "otto", "it misbehaves")
        assert isinstance(done, Revoked)
        assert (done.tasks, done.approvals) == (1, 3)
        answers = await asyncio.gather(*calls)
        assert {code_of(answer) for answer in answers} == {"agent_revoked"}, "each that waited was woken"

    stage = play(scene, Desk(hold_wait_s=LONG_S))
    assert (stage.paid, [leaf["word"] for leaf in stage.leaves("control")]) == (0, ["revoked"])


def test_an_agent_that_nobody_knows_cannot_be_revoked_and_one_that_acts_cannot_be_restored() -> None:
    async def scene(stage: Stage) -> None:
        for answer, code in (
            (await stage.desk.controls.revoke_agent("nobody", "otto", ""), "agent_unknown"),
            (await stage.desk.controls.restore_agent("nobody", "otto", ""), "agent_unknown"),
            (await stage.desk.controls.restore_agent("clerk", "otto", ""), "agent_not_revoked"),
            (await stage.desk.controls.resume("otto", ""), "not_stopped"),
            (await stage.desk.controls.release_operation("pay", "otto", ""), "not_quarantined"),
        ):
            assert isinstance(answer, Reason)
            assert answer.code == code

    assert play(scene).kinds()["control"] == 0


@pytest.mark.requirement("R2.11")
def test_while_everything_stands_nothing_leaves_and_then_it_goes_on() -> None:
    async def scene(stage: Stage) -> None:
        assert await stage.desk.controls.stop_all("otto", "look into it") is None
        assert code_of(await stage.present("look", {})) == "stopped"
        assert await stage.desk.controls.resume("otto", "looked into") is None
        assert isinstance(await stage.present("look", {}), Done)

    stage = play(scene)
    assert [(leaf["control"], leaf["word"], leaf["by"]) for leaf in stage.leaves("control")] == [
        (STOP, "stopped", "otto"),
        (STOP, "resumed", "otto"),
    ]


@pytest.mark.requirement("R4.7")
def test_a_quarantine_is_for_one_operation_as_it_was_reviewed_and_is_written_once() -> None:
    async def scene(stage: Stage) -> None:
        for _ in range(3):
            await stage.desk.controls.quarantine("pay", ["its title differs"])
        assert code_of(await stage.present("pay", LITTLE)) == "operation_quarantined"
        assert isinstance(await stage.present("look", {}), Done), "the others are served as reviewed"
        assert await stage.desk.controls.release_operation("pay", "otto", "it is as it was") is None
        assert isinstance(await stage.present("pay", LITTLE), Done)
        await stage.desk.controls.quarantine("pay", ["its title differs"])
        assert code_of(await stage.present("pay", LITTLE)) == "operation_quarantined"

    stage = play(scene)
    assert [(leaf["control"], leaf["word"]) for leaf in stage.leaves("control")] == [
        (operation_control("pay"), word) for word in ("quarantined", "released", "quarantined")
    ]


@pytest.mark.requirement("R4.7")
def test_a_quarantine_ends_with_the_review_of_what_is_served_now() -> None:
    async def scene(stage: Stage) -> None:
        await stage.desk.controls.quarantine("pay", ["its title differs"])
        assert code_of(await stage.present("pay", LITTLE)) == "operation_quarantined"
        await stage.deploy(reviewed_anew(stage.desk.live.snapshot))
        assert isinstance(await stage.present("pay", LITTLE), Done)

    assert play(scene).paid == 1


def reviewed_anew(snapshot: Snapshot) -> Snapshot:
    """Return the bundle as it is once `pay` was reviewed and pinned as it is served now."""
    pay = replace(snapshot.descriptors["pay"], digest="sha256:anew")
    pins = snapshot.manifests["clerk"]
    return replace(
        snapshot,
        digest="sha256:another",
        descriptors={**snapshot.descriptors, "pay": pay},
        manifests={"clerk": {**pins, "pay": replace(pins["pay"], digest=pay.digest)}},
    )
