"""Caps, through the whole gateway: counted before the effect, given back when there was none, told with a time."""

import asyncio
from dataclasses import replace
from datetime import timedelta

import pytest
from tests.pipeline.pipeline_stage import HELD, TASK, BeginsBlindly, Stage, code_of, play, with_limits

from remit.core import JsonObject, Ruling, ToolCall
from remit.pipeline import Answer, Credential, Done, Facts, Gateway, Refused, Sent, UpstreamAnswer, UpstreamFailure
from remit.testing import DONE, NOON, Desk, Hang, desk_delegation, desk_task

TWO_WRITES = with_limits("writes: {of: [write], per: user, in: day, max: 2}", "at_once: {per: agent, max: 9}")
TWO_AT_ONCE = with_limits("at_once: {per: agent, max: 2}")
LITTLE: JsonObject = {"amount": 1}
NOT_SENT = UpstreamFailure(code="upstream_unreachable", sent=Sent.NOT_SENT, detail="refused")
UNKNOWN = UpstreamFailure(code="upstream_timeout", sent=Sent.UNKNOWN, detail="10 s")
TOOL_ERROR = UpstreamAnswer(result=b'{"content":[],"isError":true}', is_error=True)


async def three_writes(stage: Stage) -> list[Answer]:
    await stage.deploy(TWO_WRITES)
    return [await stage.present("pay", LITTLE) for _ in range(3)]


@pytest.mark.requirement("R6.4", "R6.5")
def test_what_is_over_a_cap_is_a_recorded_denial_that_says_when_to_come_again() -> None:
    async def scene(stage: Stage) -> None:
        *made, over = await three_writes(stage)
        assert all(isinstance(answer, Done) for answer in made)
        assert isinstance(over, Refused)
        assert (over.held, over.reason.code, over.reason.retry_after_s) == (False, "limit_reached", 12 * 3600)
        assert isinstance(await stage.present("look", {}), Done), "reads have room of their own"

    stage = play(scene)
    assert stage.paid == 2
    [denied] = stage.leaves("denied")
    assert denied["limit"] == {"key": "clerk/writes/user:tom@2026-11-22", "used": 2}
    assert [line[0] for line in denied["trail"]][-1] == "limits.has_room"
    assert [line[1] for line in denied["trail"]][:-1] == ["allow"] * (len(denied["trail"]) - 1)


def test_control_a_gateway_that_does_not_have_it_counted_is_seen() -> None:
    async def scene(stage: Stage) -> None:
        await three_writes(stage)

    assert play(scene, Desk(kind=BeginsBlindly)).paid == 3


async def after(stage: Stage, line: UpstreamAnswer | UpstreamFailure) -> list[Answer]:
    stage.desk.upstream.script("pay", line, DONE)
    return await three_writes(stage)


@pytest.mark.requirement("R6.4")
@pytest.mark.parametrize(("line", "given_back"), [(NOT_SENT, True), (UNKNOWN, False), (TOOL_ERROR, False)])
def test_only_a_call_that_was_not_sent_gives_its_place_back(
    line: UpstreamAnswer | UpstreamFailure, *, given_back: bool
) -> None:
    async def scene(stage: Stage) -> None:
        _, second, third = await after(stage, line)
        assert isinstance(second, Done)
        assert isinstance(third, Done) == given_back

    assert play(scene).desk.store.counters["clerk/writes/user:tom@2026-11-22"] == 2


class GivesNothingBack(Gateway):
    """The control: every ending counts as one that was sent."""

    async def _settle(  # noqa: PLR0913, PLR0917 - as the gateway's own
        self,
        call: ToolCall,
        facts: Facts,
        ruling: Ruling,
        answer: UpstreamAnswer | UpstreamFailure,
        elapsed_us: int,
        shown: Credential | None = None,
    ) -> None:
        await super()._settle(
            call, facts, ruling, UNKNOWN if isinstance(answer, UpstreamFailure) else answer, elapsed_us, shown
        )


def test_control_a_gateway_that_gives_nothing_back_is_seen() -> None:
    async def scene(stage: Stage) -> None:
        assert isinstance((await after(stage, NOT_SENT))[2], Refused)

    play(scene, Desk(kind=GivesNothingBack))


@pytest.mark.requirement("R6.1")
def test_no_more_calls_are_under_way_than_the_cap_says_and_each_that_ends_makes_room() -> None:
    async def scene(stage: Stage) -> None:
        await stage.deploy(TWO_AT_ONCE)
        hang = Hang()
        stage.desk.upstream.script("look", hang)
        calls = [asyncio.ensure_future(stage.present("look", {})) for _ in range(5)]
        await hang.arrived.wait()
        refused = [await call for call in asyncio.as_completed(calls[2:])]
        assert [code_of(answer) for answer in refused] == ["limit_concurrency"] * 3
        assert [answer.reason.retry_after_s for answer in refused if isinstance(answer, Refused)] == [1] * 3
        assert len(stage.desk.upstream.received) == 2
        hang.release.set()
        assert all(isinstance(answer, Done) for answer in await asyncio.gather(*calls[:2]))
        assert isinstance(await stage.present("look", {}), Done)

    stage = play(scene)
    assert stage.desk.store.counters["clerk/at_once/agent:clerk@now"] == 0


@pytest.mark.requirement("R6.1", "R7.6")
@pytest.mark.parametrize("when", ["while its intent is written", "while the tool works"])
def test_a_call_that_is_cut_off_makes_room_too(when: str) -> None:
    async def scene(stage: Stage) -> None:
        await stage.deploy(TWO_AT_ONCE)
        hang = Hang()
        stage.desk.upstream.script("look", hang)
        for _ in range(4):
            call = asyncio.ensure_future(stage.present("look", {}))
            await (asyncio.sleep(0) if when == "while its intent is written" else hang.arrived.wait())
            call.cancel()
            with pytest.raises(asyncio.CancelledError):
                await call
        stage.desk.upstream.script("look", DONE)
        assert isinstance(await stage.present("look", {}), Done)

    assert play(scene).desk.store.open_calls == {}


async def on(stage: Stage, day: int, arguments: JsonObject) -> Answer:
    """Present a call on another day, in a task that lives as long."""
    end = NOON + timedelta(days=9)
    stage.desk.live.admit(desk_task(expires_at=end), b'{"input":null}')
    midnight = NOON + timedelta(hours=12, days=day - 1)
    stage.desk.clock.advance(midnight - stage.desk.clock.now())
    call = replace(stage.call("pay", arguments), delegation=desk_delegation(TASK, expires_at=end))
    return await stage.desk.gateway.handle(call)


@pytest.mark.requirement("R6.4")
def test_a_new_day_begins_at_midnight_with_nothing_counted() -> None:
    async def scene(stage: Stage) -> None:
        await three_writes(stage)
        assert isinstance(await on(stage, 1, LITTLE), Done)

    assert play(scene).paid == 3


@pytest.mark.requirement("R3.5", "R6.4")
def test_an_approved_call_over_a_cap_does_not_use_up_its_approval() -> None:
    async def scene(stage: Stage) -> None:
        stage.desk.live.dismiss(TASK)  # (an approval ends with its task at the latest, so this one lives long)
        stage.desk.live.admit(desk_task(expires_at=NOON + timedelta(days=9)), b'{"input":null}')
        approval = await stage.held()
        await three_writes(stage)  # (deploys: the approval was for another bundle)
        assert (await stage.held()).id != approval.id
        await stage.approve(await stage.held())
        over = await stage.present()
        assert isinstance(over, Refused)
        assert over.reason.code == "limit_reached"
        assert isinstance(await on(stage, 1, HELD), Done)

    assert play(scene).paid == 3


@pytest.mark.requirement("R5.1")
def test_observing_forwards_what_is_over_a_cap_and_records_that_it_would_not_have() -> None:
    async def scene(stage: Stage) -> None:
        assert all(isinstance(answer, Done) for answer in await three_writes(stage))

    stage = play(scene, Desk(observe=True))
    assert (stage.paid, stage.kinds()["denied"]) == (3, 0)
    assert [leaf["decision"][:2] for leaf in stage.leaves("intent")] == [
        ["allow"],
        ["allow"],
        ["deny", "limit_reached"],
    ]
    assert stage.leaves("intent")[2]["mode"] == "observe"


@pytest.mark.requirement("R6.5")
def test_nothing_that_the_agent_sends_changes_what_it_is_counted_under() -> None:
    async def scene(stage: Stage) -> None:
        await stage.deploy(TWO_WRITES)
        answers = [await stage.present("pay", {"amount": amount, "note": f"user:eve {amount}"}) for amount in range(3)]
        assert isinstance(answers[2], Refused)
        stage.desk.live.admit(desk_task("t_other"), b'{"input":null}')
        assert isinstance(await stage.present("pay", LITTLE, task="t_other"), Refused), "nor does another task"

    assert play(scene).paid == 2
