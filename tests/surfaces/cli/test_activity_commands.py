"""`remit agents show --activity` and `remit records explain --who`, typed against a real admin API on the desk."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.surfaces.admin.admin_stage import Stage
from tests.surfaces.admin.test_admin_activity import act, turn_away
from tests.surfaces.cli.test_control_commands import listening, remit


@pytest.fixture
def stage() -> Iterator[Stage]:
    with listening() as served:
        yield served


@pytest.mark.requirement("R2.8")
def test_one_command_tells_a_malicious_user_from_a_looping_agent(stage: Stage, tmp_path: Path) -> None:
    turn_away(stage, "eve", "refunds", "payroll", "clerk")
    for user in ("tom", "ann"):
        act(stage, user, "look", {}, 20)
    shown = remit(stage, tmp_path, "omar", "agents", "show", "clerk", "--activity")
    assert shown.exit_code == 0, shown.output
    clerk, eve, *_ = shown.output.splitlines()
    assert clerk.startswith("clerk  41 calls for 3 users, 1 refused, 38 equal, longest run 20")
    assert clerk.endswith(": an agent that loops")
    assert eve == (
        "eve    3 calls, 3 refused (token_expired 3), tried 3 agents, "
        "turned away by 3 of them: a user who tries many agents"
    )
    as_json = json.loads(remit(stage, tmp_path, "omar", "agents", "show", "clerk", "--activity", "--json").stdout)
    assert as_json["total"]["loops"] is True
    assert as_json["total"]["users_looping"] == 2


def test_a_quiet_agent_is_told_as_such_and_a_stranger_is_refused(stage: Stage, tmp_path: Path) -> None:
    quiet = remit(stage, tmp_path, "omar", "agents", "show", "clerk", "--hours", "1")
    assert (quiet.exit_code, quiet.output.splitlines()[0]) == (0, "clerk: no calls")
    assert remit(stage, tmp_path, "omar", "agents", "show", "nobody", "--activity").exit_code == 1
    assert remit(stage, tmp_path, "tom", "agents", "show", "clerk", "--activity").exit_code == 1
    assert remit(stage, tmp_path, "omar", "agents", "show", "clerk", "--hours", "0").exit_code == 2
    assert "process: the desk" in remit(stage, tmp_path, "omar", "agents", "show", "clerk").output


@pytest.mark.requirement("R2.9")
def test_one_command_names_everybody_who_had_a_part(stage: Stage, tmp_path: Path) -> None:
    act(stage, "corp:tom", "look", {})
    act(stage, "corp:tom", "wipe", {})
    task = "t_corp:tom"
    assert remit(stage, tmp_path, "omar", "records", "explain", task, "--who").exit_code == 2  # no id has a colon
    act(stage, "tom", "look", {})
    act(stage, "tom", "wipe", {})
    shown = remit(stage, tmp_path, "omar", "records", "explain", "t_tom", "--who")
    assert shown.exit_code == 0, shown.output
    for told in (
        "who asks   tom, vouched for by the development issuer",
        "who acts   clerk",
        "attached   level A: a task token, which counts for whoever bears it",
        "called     look of desk: allowed",
        "           wipe of desk: denied (policy_forbids)",
        "activity   clerk  4 calls for 2 users, 2 refused",
        "           tom    2 calls, 1 refused (policy_forbids 1), tried 1 agent",
    ):
        assert told in shown.output, (told, shown.output)
    as_json = json.loads(remit(stage, tmp_path, "omar", "records", "explain", "t_tom", "--who", "--json").stdout)
    assert {part["what"] for part in as_json["who"]} == {"who asks", "who acts", "attached", "called", "activity"}
