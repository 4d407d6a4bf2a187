"""Names in `notify:` that nobody and nothing has, and what `remit check` says beside a policy's other mistakes."""

from collections.abc import Collection
from pathlib import Path

import pytest
from tests.adapters.project.sound_project import GOOD, ORDERS, RULES, good

from remit.adapters.project import check_project, read_settings
from remit.adapters.project._warnings import notify_unknown
from remit.core import Problem, ProjectInvalidError

NOTIFY = """\
notify:
  ops: {to: env:OPS}
  money:
    to: file:var/money.url
    roles: [operator, ROLE]
    agents:
      - AGENT
"""


def warned(
    tmp_path: Path, role: str, agent: str, roles: Collection[str] = ("finance", "operator")
) -> tuple[Problem, ...]:
    (tmp_path / "remit.yaml").write_text(NOTIFY.replace("ROLE", role).replace("AGENT", agent), "utf-8")
    return tuple(notify_unknown(tmp_path, read_settings(tmp_path), roles, ("refunds", "tracker")))


# --- notify -----------------------------------------------------------------------------------------------------------


def test_a_target_of_roles_and_agents_that_are_there_is_no_warning(tmp_path: Path) -> None:
    assert warned(tmp_path, "finance", "refunds") == ()


def test_a_role_of_a_target_that_nobody_and_nothing_has_is_a_warning_with_the_nearest(tmp_path: Path) -> None:
    [found] = warned(tmp_path, "finanec", "refunds")
    assert (found.code, found.file, found.line) == ("notify_unknown_role", "remit.yaml", 5)
    assert "`finanec`" in found.message
    assert "`money`" in found.message
    assert "did you mean `finance`?" in found.message
    assert found.fix


def test_an_agent_of_a_target_that_is_not_there_is_a_warning_with_the_nearest(tmp_path: Path) -> None:
    [found] = warned(tmp_path, "finance", "refund")
    assert (found.code, found.file, found.line) == ("notify_unknown_agent", "remit.yaml", 7)
    assert "`refund`" in found.message
    assert "did you mean `refunds`?" in found.message
    assert found.fix


def test_nothing_is_guessed_where_no_name_is_near(tmp_path: Path) -> None:
    found = warned(tmp_path, "zzz", "qqq")
    assert [each.code for each in found] == ["notify_unknown_role", "notify_unknown_agent"]
    assert not [each for each in found if "did you mean" in each.message]


def test_without_targets_no_file_is_needed(tmp_path: Path) -> None:
    assert list(notify_unknown(tmp_path, read_settings(tmp_path), (), ())) == []
    (tmp_path / "remit.yaml").write_text("# nothing said\n", "utf-8")
    assert list(notify_unknown(tmp_path, read_settings(tmp_path), (), ())) == []


# --- policies ---------------------------------------------------------------------------------------------------------

REFUND = 'permit(principal, action == Action::"refund_order", resource)\nwhen {{ {} }};\n'
HISTORY = "organisation/history.yaml"
COUNTER = "history:\n  refunds: {of: [refund_order], per: [user], in: day}\n"


def policy_problems(rules: str, more: dict[str, str] | None = None) -> list[Problem]:
    changes = {RULES: rules, **(more or {})}
    sources = {**good(), **{path: text.encode() for path, text in changes.items()}}
    try:
        check_project(sources)
    except ProjectInvalidError as error:
        return [each for each in error.problems if each.file == RULES]
    return []


def test_a_counter_without_any_is_declared_in_the_file_of_counters() -> None:
    rules = REFUND.format("context.history.refunds < 5")
    [found] = policy_problems(rules)
    assert found.code == "policy_unknown_attribute"
    assert "no attributes" in found.message
    assert found.fix == f"declare it in {HISTORY}"
    assert policy_problems(rules, {HISTORY: COUNTER}) == []


def test_a_misspelt_counter_is_met_with_the_nearest() -> None:
    [found] = policy_problems(REFUND.format("context.history.refudns < 5"), {HISTORY: COUNTER})
    assert found.fix == "did you mean `refunds`?"


@pytest.mark.parametrize("read", ["context.facts.order.paid < 5", "context.facts has order"])
def test_a_fact_without_any_is_declared_under_the_operation(read: str) -> None:
    [found] = policy_problems(REFUND.format(read))
    assert found.code == "policy_unknown_attribute"
    assert found.fix == f"declare it under `facts:` of the operation in {ORDERS}"


def test_another_unknown_name_is_mended_as_before() -> None:
    [found] = policy_problems(REFUND.format("context.arguments.amount_mino < 5"))
    assert found.fix == "did you mean `amount_minor`?"


def held(annotations: str) -> str:
    body = (
        'forbid(principal, action == Action::"refund_order", resource)\nwhen { context.arguments.amount_minor > 50 };\n'
    )
    return f'{GOOD[RULES]}\n@hold("approval")\n{annotations}\n{body}'


def test_every_wrong_term_of_a_hold_is_said_at_its_line() -> None:
    found = policy_problems(held('@approvers("Finance!")\n@quorum("many")\n@within("soon")'))
    first = held("").split("\n").index('@hold("approval")') + 2
    assert [(each.code, each.line) for each in found] == [
        ("policy_hold_invalid", line) for line in (first, first + 1, first + 2)
    ]
    assert [each.message for each in found] == [
        "`@approvers` is 'Finance!'",
        "`@quorum` is 'many'",
        "`@within` is 'soon'",
    ]


@pytest.mark.parametrize(
    ("quorum", "within", "count"), [("2", "4h", 0), ("many", "4h", 1), ("2", "soon", 1), ("many", "soon", 2)]
)
def test_as_many_problems_as_wrong_terms(quorum: str, within: str, count: int) -> None:
    found = policy_problems(held(f'@approvers("finance")\n@quorum("{quorum}")\n@within("{within}")'))
    assert [each.code for each in found] == ["policy_hold_invalid"] * count
