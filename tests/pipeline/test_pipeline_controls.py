"""Cutting off: what dies with an agent's authority, what goes on, and what never comes back."""

import asyncio
import json
from base64 import urlsafe_b64encode
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import datetime, timedelta

import pytest
from tests.pipeline.pipeline_stage import OLGA, TASK, Stage, code_of, play

from remit.adapters.project import compile_snapshot
from remit.core import InputRefusedError, JsonObject, Reason, StoreUnavailableError, ToolCall
from remit.identity import Cut, agent_keys, read_agent_key
from remit.permissions import Approval, State
from remit.pipeline import (
    STOP,
    Answer,
    ControlDesk,
    Cutoff,
    Done,
    Failed,
    Refused,
    Snapshot,
    keys_control,
    operation_control,
)
from remit.records import Draft, task_opened
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
    seeded,
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


CLERK = Cut(agent="clerk")


async def revoke(stage: Stage, cut: Cut = CLERK, before: datetime | None = None) -> Cutoff:
    done = await stage.desk.controls.cut(cut, "otto", "it misbehaves", before=before)
    assert isinstance(done, Cutoff)
    return done


@pytest.mark.requirement("R2.11")
def test_with_an_agent_die_its_tasks_its_approvals_and_its_tokens_and_the_record_says_how_soon() -> None:
    async def scene(stage: Stage) -> None:
        store = stage.desk.store
        assert isinstance(store, Slow)
        store.clock = stage.desk.clock
        assert isinstance(await stage.present("look", {}), Done)
        one, other = await stage.held(), await stage.approve(await stage.held("pay", {"amount": 80}))
        done = await revoke(stage)
        assert done == Cutoff(tasks=1, approvals=2, calls=0, tokens=1, elapsed_us=3_000)
        assert {each.state for each in store.approvals.values()} == {State.VOID}
        assert (await store.state(NOON)).tasks == ()
        assert stage.desk.live.tasks_for(Cut(agent="clerk")) == ()
        assert stage.desk.live.approvals() == ()
        assert code_of(await stage.present("look", {})) == "agent_revoked"
        for approval in (one, other):
            answer = await stage.desk.approvals.approve(replace(OLGA, name="oda"), approval.id, approval.digest, "")
            assert isinstance(answer, Reason)
            assert answer.code == "approval_closed"

    stage = play(scene, Desk(store=Slow()))
    first, last = stage.leaves("control")
    ids = list(stage.desk.store.approvals)
    assert [first[name] for name in ("control", "word", "by", "why", "tasks", "approvals")] == [
        *("agent/clerk", "revoked", "otto", "it misbehaves", [TASK], sorted(first["approvals"]))
    ]
    assert sorted(first["approvals"]) == sorted(ids)
    died = ("tasks", "approvals", "calls", "tokens", "elapsed_us")
    assert (last["word"], [last[name] for name in died]) == ("revocation_complete", [1, 2, 0, 1, 3_000])
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
def test_a_call_that_is_under_way_ends_unknown_on_record_and_none_follows() -> None:
    async def scene(stage: Stage) -> None:
        hang = Hang()
        stage.desk.upstream.script("pay", hang)
        call = asyncio.ensure_future(stage.present("pay", LITTLE))
        await hang.arrived.wait()
        assert (await revoke(stage)).calls == 1
        answer = await call
        assert isinstance(answer, Failed)
        assert (answer.reason.code, answer.effect_possible) == ("revoked", True)
        assert code_of(await stage.present("pay", LITTLE)) == "agent_revoked"

    stage = play(scene)
    assert (stage.paid, stage.desk.store.open_calls) == (1, {})
    [outcome] = stage.leaves("outcome")
    assert (outcome["status"], outcome["code"]) == ("unknown", "revoked")


# --- each form of a cut ----------------------------------------------------------------------------------------------

KEY = read_agent_key(
    {"kty": "OKP", "crv": "Ed25519", "x": urlsafe_b64encode(bytes(31) + b"\x05").rstrip(b"=").decode()}
)
KID = str(KEY["kid"])
TOM, PORTER, UTE = TASK, "t_porter", "t_ute"
OPEN = {
    TOM: desk_task(),  # the clerk's for tom, whose delegation rests on a key
    PORTER: PORTERS,  # the porter's for tom
    UTE: replace(desk_task("t_ute"), user="ute"),  # the clerk's for ute
}
FORMS = {
    "agent": (Cut(agent="clerk"), {TOM, UTE}, "agent_revoked"),
    "user": (Cut(user="tom"), {TOM, PORTER}, "user_revoked"),
    "user with an agent": (Cut(user="tom", agent="clerk"), {TOM}, "user_revoked"),
    "task": (Cut(task=TOM), {TOM}, "task_revoked"),
    "key": (Cut(key=KID), {TOM}, "key_revoked"),
}


async def settled(stage: Stage, calls: int) -> None:
    """Let the event loop turn until so many calls are with the tool."""
    for _ in range(100):
        await asyncio.sleep(0)
    assert len(stage.desk.upstream.received) == calls


def asked(task: str, operation: str, call: str, arguments: JsonObject | None = None) -> ToolCall:
    of = OPEN[task]
    keys = (KID,) if task == TOM else ()
    delegation = replace(desk_delegation(task, user=of.user), agent=of.agent, keys=keys)
    return desk_call(operation, arguments, call=f"{call}_{task}", delegation=delegation)


async def three_at_work(stage: Stage, hang: Hang) -> dict[str, "asyncio.Task[Answer]"]:
    """Let each of the three tasks wait for an approval and have a call with the tool."""
    await stage.deploy(with_porter())
    assert await stage.desk.controls.register_key("clerk", KEY, "ana") == KID
    stage.desk.upstream.script("look", hang)
    calls: dict[str, asyncio.Task[Answer]] = {}
    for task, of in OPEN.items():
        stage.desk.live.admit(of, b'{"input":null}')
        assert isinstance(await stage.desk.gateway.handle(asked(task, "pay", "h", {"amount": 75})), Refused)
        calls[task] = asyncio.ensure_future(stage.desk.gateway.handle(asked(task, "look", "u")))
    await settled(stage, len(OPEN))
    return calls


@pytest.mark.requirement("R2.11")
@pytest.mark.parametrize("form", FORMS)
def test_what_a_cut_goes_through_dies_and_the_others_notice_nothing(form: str) -> None:
    cut, dead, code = FORMS[form]
    closed = set() if cut.key else dead  # (a key is no part of a task: what rests on it ends, the task does not)

    async def scene(stage: Stage) -> None:
        hang = Hang()
        calls = await three_at_work(stage, hang)
        done = await revoke(stage, cut)
        assert replace(done, elapsed_us=0) == Cutoff(
            tasks=len(closed), approvals=len(closed), calls=len(dead), tokens=len(dead), elapsed_us=0
        )
        hang.release.set()
        for task, call in calls.items():
            ended = await call
            assert isinstance(ended, Failed if task in dead else Done), (task, ended)
            assert (stage.desk.live.task(task) is None) == (task in closed)
            after = await stage.desk.gateway.handle(asked(task, "look", "a"))
            if task in dead:
                assert code_of(after) == code
            else:
                assert isinstance(after, Done), after
        waiting = {each.task for each in stage.desk.live.approvals()}
        assert waiting == OPEN.keys() - closed

    stage = play(scene)
    told = [leaf for leaf in stage.leaves("control") if leaf["word"] in ("revoked", "revocation_complete")]
    assert [leaf["control"].partition("/")[0] for leaf in told] == [form.partition(" ")[0]] * 2
    assert set(told[0]["tasks"]) == closed
    died = ("tasks", "approvals", "calls", "tokens")
    assert [told[1][name] for name in died] == [len(closed), len(closed), len(dead), len(dead)]
    assert {leaf["task"] for leaf in stage.leaves("task_closed")} == closed
    assert {leaf["task"] for leaf in stage.leaves("approval") if leaf["answer"] == "void"} == closed


@pytest.mark.requirement("R2.11")
@pytest.mark.parametrize("cut", [Cut(task=TOM), CLERK, Cut(user="tom", agent="clerk")], ids=["task", "agent", "user"])
def test_with_a_task_ends_what_was_handed_on_from_it(cut: Cut) -> None:
    handed = replace(PORTERS, chain=("clerk",), parent=TASK)

    async def scene(stage: Stage) -> None:
        await stage.deploy(with_porter())
        stage.desk.live.admit(handed, b'{"input":null}')
        hang = Hang()
        stage.desk.upstream.script("look", hang)
        call = porters_call("look", {}, "p_1")
        call = replace(call, delegation=replace(call.delegation, chain=("clerk",)))
        under_way = asyncio.ensure_future(stage.desk.gateway.handle(call))
        await hang.arrived.wait()
        done = await revoke(stage, cut)
        assert (done.tasks, done.calls, done.tokens) == (2, 1, 1)
        assert isinstance(await under_way, Failed)
        assert stage.desk.live.tasks() == ()

    play(scene)


@pytest.mark.requirement("R2.11")
def test_a_user_is_cut_off_up_to_a_moment_and_what_was_opened_since_goes_on() -> None:
    async def scene(stage: Stage) -> None:
        hang = Hang()
        stage.desk.upstream.script("look", hang)
        stage.desk.clock.advance(timedelta(minutes=5))
        moment = stage.desk.clock.now()
        stage.desk.live.admit(replace(desk_task("t_since"), opened_at=moment), b'{"input":null}')
        calls = [asyncio.ensure_future(stage.present("look", {}, task)) for task in (TASK, "t_since")]
        await settled(stage, len(calls))
        done = await revoke(stage, Cut(user="tom"), before=moment)
        assert (done.tasks, done.calls, done.tokens) == (1, 1, 1)
        hang.release.set()
        assert isinstance(await calls[0], Failed)
        assert isinstance(await calls[1], Done)
        assert code_of(await stage.present("look", {})) == "user_revoked"
        assert isinstance(await stage.present("look", {}, "t_since"), Done)
        # What is cut off for good does not come back because less is cut off later.
        await revoke(stage, Cut(user="tom"))
        await revoke(stage, Cut(user="tom"), before=moment)
        assert stage.desk.live.user_revocation("tom", "clerk", stage.desk.clock.now()) is not None

    assert play(scene).leaves("control")[0]["before"].startswith("2026-11-22T12:05")


@pytest.mark.requirement("R2.11")
@pytest.mark.parametrize(
    ("out", "said", "fix"),
    [
        (False, "older logins of the user `tom` count no more: by otto at ", "log in again, and open a new task"),
        (True, "the user `tom` is revoked: by otto at ", "ask an operator; `remit users restore` (with --agent where"),
    ],
)
def test_an_agent_hears_whether_a_new_login_of_its_user_helps(said: str, fix: str, *, out: bool) -> None:
    async def scene(stage: Stage) -> None:
        stage.desk.clock.advance(timedelta(minutes=5))
        await revoke(stage, Cut(user="tom"), before=stage.desk.clock.now())
        if out:
            await revoke(stage, Cut(user="tom", agent="clerk"))
        answer = await stage.present("look", {})
        assert isinstance(answer, Refused)
        assert (answer.reason.code, answer.reason.message[: len(said)]) == ("user_revoked", said)
        assert answer.reason.fix.startswith(fix)

    revoked = play(scene).leaves("denied")[0]["revoked"]  # (and `play` sees that it follows again from the log)
    assert (revoked[:2], revoked[3:]) == (["user", "tom"], [] if out else [True])


@pytest.mark.requirement("R2.11")
def test_an_agent_that_is_revoked_once_more_keeps_its_first_reason_beside_the_newest() -> None:
    async def scene(stage: Stage) -> None:
        for why in ("first", "second", "third"):
            assert isinstance(await stage.desk.controls.cut(CLERK, "otto", why), Cutoff)
            stage.desk.clock.advance(timedelta(minutes=5))
        says = stage.desk.live.says("agent/clerk")
        first, again, newest = says.partition("; again by otto at ")
        assert (first.startswith("by otto at 2026-11-22T12:00:00"), first.endswith(": first")) == (True, True)
        assert (bool(again), newest.endswith(": third"), "second" in says) == (True, True, False)
        assert await stage.desk.controls.restore(CLERK, "otto", "mended") is None
        assert stage.desk.live.says("agent/clerk") == ""

    play(scene)


@pytest.mark.requirement("R2.11")
def test_a_user_whom_nobody_has_seen_is_kept_from_coming() -> None:
    async def scene(stage: Stage) -> None:
        assert replace(await revoke(stage, Cut(user="corp:eve")), elapsed_us=0) == Cutoff(
            tasks=0, approvals=0, calls=0, tokens=0, elapsed_us=0
        )
        now = stage.desk.clock.now()
        assert stage.desk.live.user_revocation("corp:eve", "clerk", now) is not None
        assert stage.desk.live.user_revocation("tom", "clerk", now) is None

    play(scene)


class TakesNoTurns(ControlDesk):
    """A control: what is changed at the same moment is not looked at."""

    @asynccontextmanager
    async def _turn(self, name: str) -> AsyncIterator[None]:
        del name
        yield


@pytest.mark.requirement("R2.11")
@pytest.mark.parametrize("kind", [ControlDesk, TakesNoTurns])
def test_of_two_cuts_of_one_user_at_once_neither_is_lost(kind: type[ControlDesk]) -> None:
    async def scene(stage: Stage) -> None:
        await stage.deploy(with_porter())
        fields = {name: getattr(stage.desk.controls, name) for name in ControlDesk.__dataclass_fields__}
        desk = kind(**fields)
        done = await asyncio.gather(
            *(desk.cut(Cut(user="tom", agent=agent), "otto", "odd") for agent in ("clerk", "porter"))
        )
        assert all(isinstance(each, Cutoff) for each in done)
        cuts = stage.desk.live.user_cuts()["tom"]
        assert (cuts.keys() == {"clerk", "porter"}) == (kind is ControlDesk), "the control loses one"

    play(scene)


class Busy(MemoryStore):
    """A store in which a task is being opened while a control is written."""

    meanwhile: Callable[[], Awaitable[None]] | None = None

    async def control(
        self, name: str, says: str, entry: Draft, *, approvals: Sequence[Approval] = (), tasks: Sequence[str] = ()
    ) -> dict[str, int]:
        raised = dict(await super().control(name, says, entry, approvals=approvals, tasks=tasks))
        if self.meanwhile is not None:
            run, self.meanwhile = self.meanwhile, None
            await run()
        return raised


@pytest.mark.requirement("R2.11")
def test_a_task_that_is_being_opened_during_the_revocation_ends_with_it_and_stays_over() -> None:
    late = desk_task("t_late")

    async def scene(stage: Stage) -> None:
        desk = stage.desk
        assert isinstance(desk.store, Busy)

        async def opened() -> None:
            desk.live.admit(late, b'{"input":null}')
            entry = task_opened(late, at=NOON, by="tom", random=seeded(9), input_body=b'{"input":null}')
            await desk.store.open_task(late, entry)

        desk.store.meanwhile = opened
        assert (await revoke(stage)).tasks == 2
        assert await desk.controls.restore(CLERK, "otto", "mended") is None
        for _ in range(2):
            assert code_of(await stage.present("look", {}, "t_late")) == "task_unknown"
            await stage.restart()

    stage = play(scene, Desk(store=Busy()))
    assert [leaf["task"] for leaf in stage.leaves("task_closed")] == [TASK, "t_late"]


# --- keys ------------------------------------------------------------------------------------------------------------


@pytest.mark.requirement("R2.11", "R2.2")
def test_a_key_that_was_revoked_is_taken_away_and_never_counts_again() -> None:
    async def scene(stage: Stage) -> None:
        await stage.deploy(with_porter())
        controls = stage.desk.controls
        await controls.register_key("clerk", KEY, "ana")
        shared = await controls.register_key("porter", KEY, "ana")
        assert isinstance(shared, Reason)
        assert shared.code == "key_shared"
        await revoke(stage, Cut(key=KID))
        assert controls.holder(KID) is None
        assert agent_keys(stage.desk.live.says(keys_control("clerk"))) == {}
        for agent in ("clerk", "porter"):
            again = await controls.register_key(agent, KEY, "ana")
            assert isinstance(again, Reason)
            assert again.code == "key_revoked"
        await revoke(stage, Cut(key=KID))  # (again, where what follows it was not durable the first time)

    words = [leaf["word"] for leaf in play(scene).leaves("control")]
    assert words == ["keys_changed", "revoked", "revocation_complete", "keys_changed", "revoked", "revocation_complete"]


def test_a_key_is_taken_away_and_only_its_name_is_told() -> None:
    async def scene(stage: Stage) -> None:
        await stage.desk.controls.register_key("clerk", KEY, "ana")
        with pytest.raises(InputRefusedError, match="no such key"):
            await stage.desk.controls.remove_key("clerk", "another", "ana")
        await stage.desk.controls.remove_key("clerk", KID, "ana")
        assert stage.desk.live.says(keys_control("clerk")) == ""

    added, taken = play(scene).leaves("control")
    assert (added["kid"], taken["removed"]) == (KID, KID)
    assert str(KEY["x"]) not in json.dumps([added, taken])


# --- what is restored ------------------------------------------------------------------------------------------------


@pytest.mark.requirement("R2.11")
def test_a_user_is_restored_with_one_agent_or_with_all_and_what_died_stays_dead() -> None:
    async def scene(stage: Stage) -> None:
        await stage.deploy(with_porter())
        restore, at = stage.desk.controls.restore, stage.desk.clock.now()
        for cut in (Cut(user="tom"), Cut(user="tom", agent="clerk")):
            await revoke(stage, cut)
        assert await restore(Cut(user="tom"), "otto", "a mistake") is None
        assert stage.desk.live.user_revocation("tom", "porter", at) is None
        assert stage.desk.live.user_revocation("tom", "clerk", at) is not None, "it was cut off by itself"
        assert await restore(Cut(user="tom", agent="clerk"), "otto", "a mistake") is None
        assert stage.desk.live.user_revocation("tom", "clerk", at) is None
        assert code_of(await stage.present("look", {})) == "task_unknown"
        stage.desk.live.admit(desk_task("t_new"), b'{"input":null}')
        assert isinstance(await stage.present("look", {}, "t_new"), Done)

    play(scene)


@pytest.mark.requirement("R2.11")
@pytest.mark.parametrize("first", ["otto", "issuer corp"])
def test_an_issuer_restores_what_it_cut_off_itself_and_nothing_else(first: str) -> None:
    async def scene(stage: Stage) -> None:
        controls, others = stage.desk.controls, {"otto": "issuer corp", "issuer corp": "otto"}[first]
        for by in (first, others):
            assert isinstance(await controls.cut(Cut(user="tom"), by, "odd"), Cutoff)
        kept = await controls.restore(Cut(user="tom"), "issuer corp", "enabled", own=True)
        assert isinstance(kept, Reason)
        assert kept.code == "revoked_by_others"
        assert await controls.restore(Cut(user="tom"), "otto", "looked into") is None
        assert isinstance(await controls.cut(Cut(user="tom"), "issuer corp", "disabled"), Cutoff)
        assert await controls.restore(Cut(user="tom"), "issuer corp", "enabled", own=True) is None

    play(scene)


def test_what_there_is_not_cannot_be_revoked_and_what_ended_for_good_cannot_be_restored() -> None:
    wrong = {
        "agent_unknown": [Cut(agent="nobody"), Cut(user="tom", agent="nobody")],
        "task_unknown": [Cut(task="t_none")],
        "key_unknown": [Cut(key="k"), Cut(key=KID)],
        "user_invalid": [Cut(user="Tom"), Cut(user="a b")],
        "cut_unclear": [Cut(), Cut(user="tom", task=TASK), Cut(agent="clerk", task=TASK), Cut(task=TASK, key=KID)],
    }

    async def scene(stage: Stage) -> None:
        for code, cuts in wrong.items():
            for cut in cuts:
                answer = await stage.desk.controls.cut(cut, "otto", "")
                assert isinstance(answer, Reason)
                assert (answer.code, bool(answer.fix)) == (code, True)
        unclear = await stage.desk.controls.cut(CLERK, "otto", "", before=NOON)
        assert isinstance(unclear, Reason)
        assert unclear.code == "cut_unclear"
        for cut, code in (
            (Cut(task=TASK), "task_over"),
            (Cut(key=KID), "key_dead"),
            (Cut(user="tom"), "user_not_revoked"),
            (Cut(user="tom", agent="clerk"), "user_not_revoked"),
        ):
            refused = await stage.desk.controls.restore(cut, "otto", "")
            assert isinstance(refused, Reason)
            assert (refused.code, bool(refused.fix)) == (code, True)

    assert play(scene).kinds()["control"] == 0


# --- agents ----------------------------------------------------------------------------------------------------------


@pytest.mark.requirement("R2.11")
@pytest.mark.parametrize("restarted", [False, True], ids=["", "after a restart"])
def test_to_restore_an_agent_revives_nothing_of_what_died(*, restarted: bool) -> None:
    async def scene(stage: Stage) -> None:
        approval = await stage.approve(await stage.held())
        await revoke(stage)
        assert await stage.desk.controls.restore(CLERK, "otto", "it was mended") is None
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
            await replace(stage.desk.controls, store=dead).cut(CLERK, "otto", "it misbehaves")
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
        done = await replace(stage.desk.controls, store=dying).cut(CLERK, "otto", "it misbehaves")
        assert isinstance(done, Cutoff)
        assert (done.tasks, done.approvals) == (1, 3)
        answers = await asyncio.gather(*calls)
        assert {code_of(answer) for answer in answers} == {"agent_revoked"}, "each that waited was woken"

    stage = play(scene, Desk(hold_wait_s=LONG_S))
    assert (stage.paid, [leaf["word"] for leaf in stage.leaves("control")]) == (0, ["revoked"])


def test_an_agent_that_nobody_knows_cannot_be_revoked_and_one_that_acts_cannot_be_restored() -> None:
    async def scene(stage: Stage) -> None:
        for answer, code in (
            (await stage.desk.controls.cut(Cut(agent="nobody"), "otto", ""), "agent_unknown"),
            (await stage.desk.controls.restore(Cut(agent="nobody"), "otto", ""), "agent_unknown"),
            (await stage.desk.controls.restore(CLERK, "otto", ""), "agent_not_revoked"),
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
