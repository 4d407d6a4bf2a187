"""A decision point of the organisation's own is one more gate: it can only say no, and what it said is on record."""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

import pytest
from tests.adapters.authzen.decision_server import DecisionServer, decision_server
from tests.pipeline.pipeline_stage import Stage, code_of, play

from remit.adapters.authzen import DecisionPoint
from remit.adapters.http1 import Pool
from remit.core import JsonObject, ToolCall
from remit.permissions import Opinion
from remit.pipeline import Answer, Done, Facts
from remit.testing import Desk

AMPLE_MS = 30_000


@dataclass
class Asked:
    """An `Outside` with one opinion, which keeps what it was asked about."""

    opinion_: Opinion = field(default_factory=lambda: Opinion(permits=True))
    calls: list[str] = field(default_factory=list)

    async def opinion(self, call: ToolCall, facts: Facts) -> Opinion:
        assert facts.outside is None
        self.calls.append(call.operation)
        return self.opinion_


def desk_with(outside: Asked) -> Desk:
    desk = Desk()
    desk.gateway = replace(desk.gateway, outside=outside)
    return desk


@pytest.fixture
def server() -> Iterator[DecisionServer]:
    with decision_server() as one:
        yield one


def over_http(server: DecisionServer, *asked: tuple[str, JsonObject], timeout_ms: int = AMPLE_MS) -> Stage:
    """Present calls at a gateway that asks `server`; every decision follows again from the log."""

    async def scene(stage: Stage) -> None:
        pool = Pool()
        point = DecisionPoint(server.url, pool, timeout_ms=timeout_ms)
        stage.desk.gateway = replace(stage.desk.gateway, outside=point)
        for operation, arguments in asked:
            await stage.present(operation, arguments)
        await pool.close()

    return play(scene)


@pytest.mark.requirement("R3.7")
def test_a_yes_lets_the_call_through_and_is_recorded() -> None:
    outside = Asked()
    answers: list[Answer] = []

    async def scene(stage: Stage) -> None:
        answers.append(await stage.present("look", {}))

    stage = play(scene, desk_with(outside))
    assert isinstance(answers[0], Done)
    assert stage.leaves("intent")[0]["outside"] == [True, "", ""]
    assert ["permissions.outside_permits", "allow"] in stage.leaves("intent")[0]["trail"]


@pytest.mark.requirement("R3.7")
@pytest.mark.parametrize(
    ("opinion", "code"),
    [
        (Opinion(permits=False, why="not today"), "outside_denies"),
        (Opinion(permits=False, failed="no answer in time"), "outside_unavailable"),
        (Opinion(permits=True, failed="no answer in time"), "outside_unavailable"),
    ],
)
def test_a_no_or_none_denies_and_the_decision_follows_again_from_the_log(opinion: Opinion, code: str) -> None:
    answers: list[Answer] = []

    async def scene(stage: Stage) -> None:
        answers.append(await stage.present("look", {}))

    stage = play(scene, desk_with(Asked(opinion)))
    assert code_of(answers[0]) == code
    assert stage.codes() == [code]
    assert stage.desk.upstream.received == []
    assert stage.leaves("denied")[0]["outside"] == [opinion.permits, opinion.why, opinion.failed]


def test_it_is_never_asked_where_we_deny_ourselves() -> None:
    outside = Asked()

    async def scene(stage: Stage) -> None:
        await stage.present("wipe", {})
        await stage.present("pay", {"amount": 101})
        await stage.present("pay", {"amount": "many"})
        await stage.present("spare", {})
        await stage.present("no-such", {})

    stage = play(scene, desk_with(outside))
    assert len(stage.codes()) == 5
    assert outside.calls == []


def test_its_yes_does_not_lift_a_hold_and_its_no_comes_before_anybody_is_asked() -> None:
    held, refused = Asked(), Asked(Opinion(permits=False, why="no"))

    async def scene(stage: Stage) -> None:
        await stage.present("pay", {"amount": 75})

    assert play(scene, desk_with(held)).codes() == ["approval_required"]
    stage = play(scene, desk_with(refused))
    assert stage.codes() == ["outside_denies"]
    assert stage.desk.live.approvals() == ()
    assert held.calls == refused.calls == ["pay"]


def test_an_approved_call_is_asked_about_again() -> None:
    outside = Asked()

    async def scene(stage: Stage) -> None:
        await stage.approve(await stage.held())
        outside.opinion_ = Opinion(permits=False, why="closed by now")
        await stage.present()

    stage = play(scene, desk_with(outside))
    assert stage.codes() == ["approval_required", "outside_denies"]
    assert stage.paid == 0


@pytest.mark.requirement("R3.7")
def test_over_http_yes_no_and_no_answer_are_told_apart_and_follow_again(server: DecisionServer) -> None:
    assert over_http(server, ("look", {})).kinds()["intent"] == 1
    server.says({"decision": False, "context": {"reason": "not today"}})
    refused = over_http(server, ("look", {}))
    assert refused.codes() == ["outside_denies"]
    assert refused.leaves("denied")[0]["decision"][2] == "the decision point outside denies: not today"
    server.says({"decision": "true"})
    assert over_http(server, ("look", {})).codes() == ["outside_unavailable"]
    server.status = 500
    assert over_http(server, ("look", {})).codes() == ["outside_unavailable"]
    asked = len(server.asked)
    assert len(over_http(server, ("wipe", {})).codes()) == 1
    assert len(server.asked) == asked


def test_over_http_a_decision_point_that_hangs_denies(server: DecisionServer) -> None:
    server.go_on.clear()
    stage = over_http(server, ("look", {}), timeout_ms=50)
    assert stage.codes() == ["outside_unavailable"]
    assert stage.desk.upstream.received == []


def test_without_one_nobody_is_asked() -> None:
    async def scene(stage: Stage) -> None:
        await stage.present("look", {})

    stage = play(scene)
    assert "outside" not in stage.leaves("intent")[0]
