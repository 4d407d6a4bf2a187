"""`remit check` as a reviewer of policies meets it: a table, its acceptance, and from then on what changes."""

import json
import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from remit.app import LocalWorkshop
from remit.surfaces.cli import command_line

EXAMPLE = Path(__file__).parents[3] / "examples/refund_desk/project"
POLICY = "agents/refunds/policies/refunds.cedar"
FILE = "agents/refunds/decisions.txt"


def check(root: Path, *options: str) -> Result:
    done = CliRunner().invoke(command_line(LocalWorkshop(0), lambda _: 0), ["check", "-C", str(root), *options])
    assert done.exit_code == 0, done.output
    return done


@pytest.fixture
def project(tmp_path: Path) -> Path:
    root = tmp_path / "project"
    shutil.copytree(EXAMPLE, root)
    (root / FILE).unlink(missing_ok=True)
    return root


def edit(file: Path, old: str, new: str) -> None:
    text = file.read_text("utf-8")
    assert old in text
    file.write_text(text.replace(old, new, 1), "utf-8")


def codes(root: Path) -> list[str]:
    return [warning["code"] for warning in json.loads(check(root, "--json").stdout)["warnings"]]


@pytest.mark.requirement("R3.8")
def test_a_table_that_nobody_accepted_is_shown_with_the_way_to_accept_it(project: Path) -> None:
    lines = check(project).stdout.splitlines()
    at = lines.index("refund_order, in refund_request")
    assert lines[at - 2] == "what the policies of refunds decide at their bounds"
    amount = lines.index("  arguments.amount_minor, compared by refunds.refund, refunds.large-refund")
    assert (
        lines[at + 1]
        == '  of a call with arguments.amount_minor 1, arguments.currency "EUR", facts.order.currency "EUR"'
    )
    assert lines[amount + 1 : amount + 5] == [
        "    deny arguments_invalid     up to 0",
        "    allow                      1 to 10000",
        "    hold finance x1 4h         10001 to 100000 (refunds.large-refund)",
        "    deny policy_no_permit      from 100001",
    ]
    accept = next(place for place, line in enumerate(lines) if "remit check --accept" in line)
    warned = [place for place, line in enumerate(lines) if line.startswith("warning: ")]
    assert amount < accept < min(warned), "what is to be mended stands last"
    assert lines[-1].startswith("ok: 2 agent(s), 7 operation(s)")
    assert not (project / FILE).exists()
    assert "decisions_changed" not in codes(project)


@pytest.mark.requirement("R3.8")
def test_made_up_values_are_shown_on_demand_and_whenever_one_is_let_through(project: Path) -> None:
    brief, whole = check(project).stdout, check(project, "--decisions").stdout
    assert "as text" not in brief
    assert "    deny arguments_invalid     as text, a fraction, absent" in whole.splitlines()
    assert '"BROKEN"' not in brief
    rule = (
        'forbid(principal, action == Action::"refund_order", resource) when { context.arguments.reason == "broken" };'
    )
    (project / "agents/refunds/policies/broken.cedar").write_text(rule, "utf-8")
    lines = check(project).stdout.splitlines()
    at = lines.index("  arguments.reason, compared by policy 1 of broken.cedar")
    assert lines[at + 1] == '    allow                      "BROKEN", any other text'


def test_a_table_that_was_accepted_is_shown_whole_on_demand(project: Path) -> None:
    check(project, "--accept")
    assert "1 to 10000" not in check(project).stdout
    assert "    allow                      1 to 10000" in check(project, "--decisions").stdout.splitlines()


def test_an_age_below_nothing_is_told_as_the_future_and_a_count_is_never_below(project: Path) -> None:
    lines = check(project).stdout.splitlines()
    assert "    allow                      in the future, 0 to 3650" in lines
    edit(project / POLICY, "ordered_days_ago <= 3650", "ordered_days_ago >= 0")
    lines = check(project).stdout.splitlines()
    assert "    deny policy_no_permit      in the future" in lines
    rows = json.loads(check(project, "--json").stdout)["decisions"][0]["rows"]
    assert min(row["value"] for row in rows if row["attribute"].startswith("history.")) == 0


@pytest.mark.requirement("R3.8")
def test_an_off_by_one_in_a_policy_is_shown_against_what_was_accepted(project: Path) -> None:
    assert f"accepted {FILE}" in check(project, "--accept").stdout.splitlines()
    before = check(project).stdout
    assert f"decisions of refunds: as accepted in {FILE}" in before
    assert "10001" not in before
    edit(project / POLICY, "amount_minor > 10000 ", "amount_minor >= 10000 ")
    after = check(project).stdout.splitlines()
    assert f"--- {FILE} (accepted)" in after
    assert "-    allow                      1 to 10000" in after
    assert "+    allow                      1 to 9999" in after
    warned = next(line for line in after if "decisions_changed" in line)
    assert warned.startswith(f"warning: {FILE}: ")
    assert "remit check --accept" in after[after.index(warned) + 1]
    assert "decisions_changed" in codes(project)


def test_a_change_is_accepted_once_and_nothing_is_written_twice(project: Path) -> None:
    check(project, "--accept")
    edit(project / POLICY, "amount_minor > 10000 ", "amount_minor > 5000 ")
    assert f"accepted {FILE}" in check(project, "--accept").stdout
    assert "5001 to 100000" in (project / FILE).read_text("ascii")
    assert "decisions_changed" not in codes(project)
    again = check(project, "--accept").stdout
    assert f"accepted {FILE}" not in again.splitlines()


def test_programs_get_every_row(project: Path) -> None:
    (its,) = json.loads(check(project, "--json").stdout)["decisions"]
    assert (its["agent"], its["file"], its["accepted"], its["difference"]) == ("refunds", FILE, False, "")
    rows = {(row["attribute"], row["case"], row["value"]): row for row in its["rows"]}
    row = rows["arguments.amount_minor", "just above", 10_001]
    assert row["operation"] == "refund_order"
    assert (row["use_case"], row["decision"], row["by"]) == (
        "refund_request",
        "hold finance x1 4h",
        ["refunds.large-refund"],
    )
    assert row["others"]["arguments.currency"] == "EUR"
    assert rows["arguments.currency", "other letters", "eur"]["decision"] == "deny arguments_invalid"
    check(project, "--accept")
    assert json.loads(check(project, "--json").stdout)["decisions"][0]["accepted"] is True


def test_a_new_project_has_no_bounds_and_nothing_to_accept(tmp_path: Path) -> None:
    root = tmp_path / "desk"
    done = CliRunner().invoke(command_line(LocalWorkshop(0), lambda _: 0), ["init", str(root)])
    assert done.exit_code == 0, done.output
    assert "decide" not in check(root, "--accept").stdout
    assert not list(root.rglob("decisions.txt"))


@pytest.mark.requirement("R3.8")
def test_a_misspelt_attribute_in_a_forbid_stops_the_check_before_any_table(project: Path) -> None:
    check(project, "--accept")
    edit(project / POLICY, "context.arguments.amount_minor > 10000", "context.arguments.amount_minr > 10000")
    command = ["check", "-C", str(project), "--accept"]
    refused = CliRunner().invoke(command_line(LocalWorkshop(0), lambda _: 0), command)
    assert refused.exit_code == 1
    assert "policy_unknown_attribute" in refused.output
    assert "did you mean `amount_minor`?" in refused.output
    assert "10001 to 100000" in (project / FILE).read_text("ascii"), "nothing was accepted"
