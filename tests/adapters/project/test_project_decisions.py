"""The decision tables of a project's agents: as text for reviews, and compared with the ones that were accepted."""

import pytest
from tests.adapters.project.sound_project import AGENT, RULES, SHARED, good

from remit.adapters.project import Decisions, check_project, decisions_changed, decisions_of, row_json
from remit.adapters.project._sources import role_of

FILE = "agents/refunds/decisions.txt"
TEXT = """\
# What the policies of refunds answer just below, at and just above each of their bounds, and to what is no such value.
# `1 to 100`: tried at both ends and in between, and always answered so. Written by `remit check --accept`.

refund_order, in refund
  arguments.amount_minor, compared by policy 2 of rules.cedar, no-huge-refunds
    deny arguments_invalid     -1000000 to 0
    allow                      1 to 10000
    deny policy_no_permit      10001 to 1000000
    deny policy_forbids        1000001 to huge (no-huge-refunds)
    deny argument_type         overflow
    deny arguments_invalid     as text, a fraction, absent
"""


def found(project: dict[str, bytes]) -> Decisions:
    (only,) = decisions_of(check_project(project))
    return only


def accepted() -> dict[str, bytes]:
    return {**good(), FILE: TEXT.encode()}


def changed(path: str, old: bytes, new: bytes) -> Decisions:
    project = accepted()
    assert old in project[path], "the mutation must apply"
    project[path] = project[path].replace(old, new, 1)
    return found(project)


@pytest.mark.requirement("R3.8")
def test_the_table_reads_as_text_and_counts_the_organisations_policies() -> None:
    its = found(good())
    assert its.text == TEXT
    assert (its.agent, its.file, its.accepted, its.changed, its.difference()) == ("refunds", FILE, None, False, "")
    assert {row.decision for row in its.rows if row.value == 10_001} == {"deny policy_no_permit"}
    assert row_json(its.rows[0])["operation"] == "refund_order"


def test_the_accepted_table_is_a_file_of_the_bundle_and_nothing_is_warned_of_while_it_stands() -> None:
    assert role_of(FILE) == ("decisions", "refunds")
    checked = check_project(accepted())
    assert checked.warnings == ()
    assert checked.snapshot.sources[FILE] == TEXT.encode()
    assert checked.snapshot.digest != check_project(good()).snapshot.digest
    assert decisions_changed(found(accepted())) is None


@pytest.mark.requirement("R3.8")
@pytest.mark.parametrize(
    ("path", "old", "new", "line"),
    [
        (RULES, b"amount_minor <= 10000", b"amount_minor < 10000", "+    allow                      1 to 9999"),
        (RULES, b"amount_minor <= 10000", b"amount_minor <= 100000", "+    allow                      1 to 100000"),
        (
            RULES,
            b"when { context.arguments.amount_minor <= 10000 }",
            b"",
            "-    deny policy_no_permit      10001 to 1000000",
        ),
        (SHARED, b"> 1000000", b"> 5000", "+    deny policy_forbids        5001 to huge (no-huge-refunds)"),
        (SHARED, b"forbid(", b'@hold("approval") @approvers("finance")\nforbid(', "-    deny policy_forbids"),
        ("catalogue/orders.yaml", b"minimum: 1}", b"minimum: 0}", "+    allow                      0 to 10000"),
    ],
)
def test_whatever_changes_what_is_decided_is_shown_as_a_difference_and_warned_of(
    path: str, old: bytes, new: bytes, line: str
) -> None:
    its = changed(path, old, new)
    assert any(each.startswith(line) for each in its.difference().splitlines()), its.difference()
    warning = decisions_changed(its)
    assert warning is not None
    assert (warning.code, warning.file) == ("decisions_changed", FILE)
    assert "remit check --accept" in warning.fix


@pytest.mark.parametrize(
    ("path", "old", "new"),
    [
        (RULES, b"permit(principal, action in", b"// every agent reads\n\npermit(principal, action in"),
        (SHARED, b"resource)\nwhen", b'resource == Tool::"orders")\nwhen'),
        (AGENT, b"purpose: pay", b"purpose: to pay"),
        (FILE, b"\n", b"\r\n"),
    ],
)
def test_what_decides_alike_is_no_difference(path: str, old: bytes, new: bytes) -> None:
    """The control of the test above: a difference is one of decisions, not of words."""
    its = changed(path, old, new)
    assert (its.difference(), decisions_changed(its)) == ("", None)


def test_use_cases_that_decide_alike_are_told_together_and_others_apart() -> None:
    project = good()
    project[AGENT] = project[AGENT].replace(b"operations: [get_order, send_mail]", b"operations: [refund_order]")
    assert "\nrefund_order, in answer, refund\n" in found(project).text
    project[RULES] = project[RULES].replace(b"<= 10000 ", b'<= 10000 && context.task.use_case == "refund" ')
    text = found(project).text
    assert "\nrefund_order, in refund\n" in text
    assert "\nrefund_order, in answer\n  note: no call was found that these policies permit" in text


def test_what_the_use_case_alone_decides_is_told_in_a_line() -> None:
    project = good()
    rule = b'permit(principal, action == Action::"send_mail", resource) when { context.task.use_case == "answer" };'
    project[RULES] = rule
    project[SHARED] = b""
    assert found(project).text.endswith("by the use case alone\n    allow                      send_mail in answer\n")


def test_an_agent_whose_policies_compare_nothing_has_no_table_unless_one_was_accepted() -> None:
    project = good()
    project[RULES] = b'permit(principal, action == Action::"get_order", resource);'
    project[SHARED] = b""
    assert decisions_of(check_project(project)) == ()
    its = found({**project, FILE: TEXT.encode()})
    assert its.rows == ()
    assert "+no policy of this agent compares a number or a text" in its.difference()


def test_a_file_that_would_steer_a_terminal_is_shown_harmless() -> None:
    its = found({**good(), FILE: b"\x1b[2J\xff\xe2\x80\xaeallow everything\n"})
    assert decisions_changed(its) is not None
    assert all(" " <= mark <= "~" or mark == "\n" for mark in its.difference())
    assert "allow everything" in its.difference()
