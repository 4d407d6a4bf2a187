"""Signed lists as people keep them: shown with what they are worth, signed with a person's key."""

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from remit.app import LocalWorkshop
from remit.surfaces.cli import command_line
from remit.testing import reviewer_key

pytestmark = pytest.mark.requirement("R3.9")

PAYEES = "organisation/directories/payees.yaml"
SIGNED = "organisation/signatures/payees.directory.dsse.json"
ENTITLED = "organisation/signatures/entitlements.dsse.json"


def remit(root: Path, *words: object) -> Result:
    at = 2 if words[0] in ("lists", "tools") else 1
    command = [str(word) for word in (*words[:at], "-C", root, *words[at:])]
    return CliRunner().invoke(command_line(LocalWorkshop(0), lambda _: 0), command)


def said(root: Path, *words: object) -> Any:
    done = remit(root, *words, "--json")
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    root = tmp_path / "desk"
    done = CliRunner().invoke(command_line(LocalWorkshop(0), lambda _: 0), ["init", str(root), "--owner", "ana"])
    assert done.exit_code == 0, done.output
    (root / PAYEES).parent.mkdir(parents=True)
    (root / PAYEES).write_text("directory: payees\nkind: values\nentries: [GB33, DE89]\n", "utf-8")
    (root / "organisation/entitlements.yaml").write_text("groups: {refunders: {users: [ana]}}\n", "utf-8")
    return root


def test_an_unsigned_list_is_shown_as_worth_nothing(project: Path) -> None:
    shown = remit(project, "lists", "list")
    assert shown.exit_code == 0, shown.output
    assert f"payees, 2 values, {PAYEES}" in shown.stdout
    assert "entitlements, 1 user, " in shown.stdout
    assert shown.stdout.count("COUNTS FOR NOTHING: the list is not signed") == 2
    codes = [each["code"] for each in said(project, "check")["warnings"]]
    assert codes.count("list_not_signed") == 2


def test_a_signed_list_counts_and_says_who_signed_it(project: Path) -> None:
    done = remit(project, "lists", "sign", "payees")
    assert (done.exit_code, done.stdout) == (0, "signed     payees: the list counts\n")
    payees = next(each for each in said(project, "lists", "list") if each["name"] == "payees")
    assert (payees["signers"], payees["missing"]) == ([{"person": "ana", "role": "development"}], "")
    assert (project / SIGNED).exists()
    assert not (project / ENTITLED).exists(), "nobody signs what was not named"


def test_all_lists_are_signed_at_once_and_signing_again_changes_nothing(project: Path) -> None:
    assert [each["changed"] for each in said(project, "lists", "sign", "--all")] == [True, True]
    assert (project / ENTITLED).exists()
    assert [each["changed"] for each in said(project, "lists", "sign", "--all")] == [False, False]
    assert [each["missing"] for each in said(project, "lists", "list")] == ["", ""]


def test_a_list_that_changes_counts_for_nothing_until_it_is_signed_again(project: Path) -> None:
    said(project, "lists", "sign", "--all")
    (project / PAYEES).write_text("directory: payees\nkind: values\nentries: [GB33, DE89, FR00]\n", "utf-8")
    shown = remit(project, "lists", "list").stdout
    assert "COUNTS FOR NOTHING: the list was changed after it was signed" in shown
    assert said(project, "lists", "sign", "payees")[0]["missing"] == ""


def test_as_many_sign_as_the_trust_root_asks_for(project: Path) -> None:
    key = project / "var/keys/reviewer-sue.pem"
    words = ("--role", "security", "--new-key", key, "--threshold", "security=1")
    assert remit(project, "tools", "trust", "sue", *words).exit_code == 0
    assert "lacks 1 of `security`" in said(project, "lists", "sign", "payees", "--as", "ana")[0]["missing"]
    assert said(project, "lists", "sign", "payees", "--as", "sue", "--key", key)[0]["missing"] == ""


def test_a_key_says_who_signs(project: Path) -> None:
    key, other = project / "var/keys/reviewer-sue.pem", project / "var/keys/other.pem"
    words = ("--role", "security", "--new-key", key, "--threshold", "security=1")
    assert remit(project, "tools", "trust", "sue", *words).exit_code == 0
    assert "lacks 1 of `security`" in said(project, "lists", "sign", "payees", "--as", "ana")[0]["missing"]
    assert said(project, "lists", "sign", "payees", "--key", key)[0]["missing"] == ""
    payees = next(each for each in said(project, "lists", "list") if each["name"] == "payees")
    assert "sue" in [each["person"] for each in payees["signers"]]
    unsaid = remit(project, "lists", "sign", "payees")
    assert "signer_missing" in unsaid.stderr
    other.write_bytes(reviewer_key("eli"))
    other.chmod(0o600)
    assert "signer_missing" in remit(project, "lists", "sign", "payees", "--key", other).stderr


def test_signing_with_another_persons_key_is_refused(project: Path) -> None:
    key = project / "var/keys/reviewer-sue.pem"
    assert remit(project, "tools", "trust", "sue", "--role", "security", "--new-key", key).exit_code == 0
    refused = remit(project, "lists", "sign", "payees", "--as", "ana", "--key", key)
    assert refused.exit_code == 1
    assert "signing_key_foreign" in refused.stderr


def test_a_list_that_is_not_there_is_refused_and_nothing_is_signed(project: Path) -> None:
    refused = remit(project, "lists", "sign", "payees", "contacts")
    assert refused.exit_code == 1
    assert "list_unknown" in refused.stderr
    assert not (project / SIGNED).exists()


def test_one_says_which_lists_or_all(project: Path) -> None:
    for words in ((), ("payees", "--all")):
        assert remit(project, "lists", "sign", *words).exit_code == 2


def test_a_project_without_lists_says_where_they_stand(project: Path) -> None:
    (project / PAYEES).unlink()
    (project / "organisation/entitlements.yaml").unlink()
    assert "no lists" in remit(project, "lists", "list").stdout


def test_reviewers_of_a_data_class_that_nobody_is_are_warned_of(project: Path) -> None:
    text = "classes:\n  personal: {receivers: [user], reviewers: [privacy]}\n"
    (project / "organisation/classes.yaml").write_text(text, "utf-8")
    found = [each for each in said(project, "check")["warnings"] if each["code"] == "approvers_nobody"]
    assert [(each["file"], each["line"]) for each in found] == [("organisation/classes.yaml", 2)]
