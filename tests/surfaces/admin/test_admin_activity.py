"""What an agent did for whom, and who had a part in a call: for operators, from the log."""

import asyncio
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from tests.surfaces.admin.admin_stage import Stage

from remit.core import JsonObject
from remit.records import refused
from remit.surfaces.admin._activity import PAGE
from remit.testing import Desk, desk_call, desk_delegation, desk_task


def act(stage: Stage, user: str, operation: str, arguments: JsonObject, times: int = 1) -> None:
    """Let the clerk make calls for `user`, each a second after the last."""
    task = f"t_{user}"
    if stage.desk.live.task(task) is None:
        stage.desk.live.admit(replace(desk_task(task), user=user), b"{}")
    first = len(stage.desk.store.log)

    async def calls() -> None:
        for number in range(times):
            call = f"c_{user}_{first}_{number}"
            by = desk_delegation(task, user=user)
            await stage.desk.gateway.handle(desk_call(operation, arguments, call=call, delegation=by))
            stage.desk.clock.advance(timedelta(seconds=1))

    asyncio.run(calls())


def turn_away(stage: Stage, user: str, *agents: str) -> None:
    """Record that `user` was refused at the door with each of these agents."""

    async def entries() -> None:
        for agent in agents:
            by = replace(desk_delegation(f"t_{agent}", user=user), agent=agent)
            at = stage.desk.clock.now()
            entry = refused(by, at=at, surface="mcp", code="token_expired", message="too old")
            await stage.desk.store.append(entry)

    asyncio.run(entries())


def activity(stage: Stage, agent: str = "clerk", query: str = "") -> Any:
    answer = stage.ask("GET", f"/v1/agents/{agent}/activity{query}", "omar")
    assert answer.status_code == 200, answer.text
    return answer.json()


@pytest.mark.requirement("R2.8")
def test_a_user_who_tries_many_agents_and_an_agent_that_loops_are_told_apart() -> None:
    stage = Stage(Desk())
    turn_away(stage, "eve", "refunds", "payroll", "clerk")
    assert any("eve" in line and "a user who tries many agents" in line for line in activity(stage)["told"])
    assert not activity(stage)["total"]["loops"]
    for user in ("tom", "ann"):
        act(stage, user, "look", {}, 20)
    said = activity(stage)
    assert said["total"]["loops"]
    assert (said["total"]["calls"], said["total"]["users"], said["total"]["run_max"]) == (41, 3, 20)
    assert "an agent that loops" in said["told"][0]
    assert {user["user"]: user["tries_many"] for user in said["users"]} == {"ann": False, "eve": True, "tom": False}


@pytest.mark.requirement("R2.8")
def test_equal_calls_are_counted_over_many_pages_and_never_shown() -> None:
    stage = Stage(Desk())
    act(stage, "tom", "pay", {"amount": 7, "note": "secret-note"}, PAGE)
    act(stage, "tom", "pay", {"amount": 8}, 3)
    said = activity(stage)
    (pair,) = said["by_user"]
    assert (pair["calls"], pair["done"], pair["equal"], pair["run_max"]) == (PAGE + 3, PAGE + 3, PAGE + 1, PAGE)
    assert said["entries"] == 2 * (PAGE + 3)
    assert "secret-note" not in str(said)


def test_only_the_last_hours_count_where_that_is_asked() -> None:
    stage = Stage(Desk())
    act(stage, "tom", "look", {}, PAGE)
    stage.desk.live.dismiss("t_tom")
    stage.desk.clock.advance(timedelta(minutes=40))
    act(stage, "ann", "wipe", {}, 2)
    stage.desk.clock.advance(timedelta(minutes=50))
    said = activity(stage, query="?hours=1")
    assert [pair["user"] for pair in said["by_user"]] == ["ann"]
    assert said["by_user"][0]["refused"] == 2
    assert [pair["user"] for pair in activity(stage)["by_user"]] == ["ann", "tom"]
    for query in ("?hours=0", "?hours=9999999", "?hours=x"):
        assert stage.ask("GET", f"/v1/agents/clerk/activity{query}", "omar").status_code == 422


def test_only_operators_may_look() -> None:
    stage = Stage(Desk())
    for path in ("/v1/agents/clerk/activity", "/v1/records/t_desk/who"):
        assert stage.ask("GET", path).status_code == 401
        assert stage.ask("GET", path, "tom").json()["code"] == "role_missing"


def test_an_agent_that_nobody_knows_has_none() -> None:
    stage = Stage(Desk())
    assert activity(stage)["total"] is None
    answer = stage.ask("GET", "/v1/agents/nobody/activity", "omar")
    assert (answer.status_code, answer.json()["code"]) == (404, "agent_unknown")


@pytest.mark.requirement("R2.9")
def test_of_a_task_or_a_call_everybody_with_a_part_is_named_beside_their_figures() -> None:
    stage = Stage(Desk())
    turn_away(stage, "eve", "refunds", "payroll", "clerk")
    act(stage, "tom", "look", {}, 2)
    act(stage, "tom", "wipe", {})
    whole = stage.ask("GET", "/v1/records/t_tom/who", "omar").json()
    assert (whole["task"], whole["call"]) == ("t_tom", "")
    parts = [(part["what"], part["who"]) for part in whole["who"]]
    assert ("who asks", "tom, vouched for by the development issuer") in parts
    assert ("who acts", "clerk") in parts
    assert ("called", "look of desk: allowed, 2 times") in parts
    figures = [who for what, who in parts if what == "activity"]
    assert [line.split()[0] for line in figures] == ["clerk", "tom"]
    looked = next(entry.call for entry in stage.desk.store.log if entry.kind == "intent")
    one = stage.ask("GET", f"/v1/records/{looked}/who", "omar").json()
    assert (one["task"], one["call"]) == ("t_tom", looked)
    assert [part["who"] for part in one["who"] if part["what"] == "called"] == ["look of desk: allowed"]
    for unknown in ("t_none", "c_none"):
        answer = stage.ask("GET", f"/v1/records/{unknown}/who", "omar")
        assert (answer.status_code, answer.json()["code"]) == (404, "not_found")
