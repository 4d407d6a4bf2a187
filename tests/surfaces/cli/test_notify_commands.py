"""What `remit check` and `remit doctor` say of targets that are told of approvals, and of misspelt roles."""

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from remit.app import LocalWorkshop
from remit.surfaces.cli import command_line

POLICY = "agents/assistant/policies/more.cedar"
ADDRESS = "mailtos://remit:canary-0451@mail.example.com"


def remit(*words: object) -> Result:
    return CliRunner().invoke(command_line(LocalWorkshop(0), lambda _: 0), [str(word) for word in words])


@pytest.fixture
def project(tmp_path: Path) -> Path:
    root = tmp_path / "desk"
    done = remit("init", root, "--owner", "ana")
    assert done.exit_code == 0, done.output
    return root


def says(project: Path, text: str) -> None:
    settings = project / "remit.yaml"
    settings.write_text(f"{settings.read_text('utf-8')}\n{text}\n", "utf-8")


def hold(project: Path, role: str) -> None:
    text = f'@id("more")\n@hold("approval")\n@approvers("{role}")\n'
    text += 'forbid (principal, action == Action::"get_order", resource);\n'
    (project / POLICY).write_text(text, "utf-8")


def warnings(project: Path, code: str) -> list[str]:
    found = json.loads(remit("check", "-C", project, "--json").stdout)["warnings"]
    return [str(each["message"]) for each in found if each["code"] == code]


def target(project: Path, name: str) -> tuple[dict[str, Any], str]:
    """Return what `doctor` finds of a target, and all that it printed."""
    told = remit("doctor", "-C", project, "--json").stdout
    return next(each for each in json.loads(told) if each["name"] == f"notify {name}"), told


# --- check ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("roles", "agents", "codes"),
    [
        ("operator", "assistant", []),
        ("requester", "assistant", []),
        ("operater", "assistant", ["notify_unknown_role"]),
        ("operator", "asistant", ["notify_unknown_agent"]),
    ],
)
def test_check_warns_of_a_target_of_a_role_or_an_agent_that_is_not_there(
    project: Path, roles: str, agents: str, codes: list[str]
) -> None:
    says(project, f"notify: {{ops: {{to: env:OPS, roles: [{roles}], agents: [{agents}]}}}}")
    for code in ("notify_unknown_role", "notify_unknown_agent"):
        said = warnings(project, code)
        assert len(said) == codes.count(code)
        assert all("did you mean" in each for each in said)


def test_a_role_that_a_hold_asks_for_is_known_to_targets_though_nobody_has_it(project: Path) -> None:
    says(project, "notify: {money: {to: env:MONEY, roles: [finance]}}")
    assert len(warnings(project, "notify_unknown_role")) == 1
    hold(project, "finance")
    assert warnings(project, "notify_unknown_role") == []
    assert len(warnings(project, "approvers_nobody")) == 1


def test_a_role_that_nobody_has_is_warned_of_with_the_nearest_that_somebody_has(project: Path) -> None:
    hold(project, "operater")
    [said] = warnings(project, "approvers_nobody")
    assert said.endswith("; did you mean `operator`?")
    hold(project, "finance")
    [said] = warnings(project, "approvers_nobody")
    assert "did you mean" not in said
    hold(project, "operator")
    assert warnings(project, "approvers_nobody") == []


def test_a_role_that_an_issuers_groups_give_is_one_that_somebody_has(project: Path) -> None:
    hold(project, "finance")
    assert len(warnings(project, "approvers_nobody")) == 1
    says(project, "issuers: {corp: {issuer: 'https://id.example.org', claims: {roles: {finance: [money]}}}}")
    assert warnings(project, "approvers_nobody") == []


# --- doctor -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("mode", "ok", "words"),
    [(0o600, True, "can be read"), (0o644, False, "secret_exposed"), (0, False, "secret_missing")],
)
def test_doctor_says_whether_a_targets_address_can_be_read_and_never_the_address(
    project: Path, mode: int, ok: bool, words: str
) -> None:
    says(project, "notify: {money: {to: 'file:var/money.url'}}")
    if mode:
        (project / "var/money.url").write_text(ADDRESS, "utf-8")
        (project / "var/money.url").chmod(mode)
    found, told = target(project, "money")
    assert (found["ok"], words in found["says"], bool(found["fix"])) == (ok, True, not ok)
    assert "`file:var/money.url`" in found["says"]
    assert "canary" not in told


def test_a_file_without_an_address_is_a_fault(project: Path) -> None:
    says(project, "notify: {money: {to: 'file:var/money.url'}}")
    (project / "var/money.url").write_text("an address with spaces", "utf-8")
    (project / "var/money.url").chmod(0o600)
    found, told = target(project, "money")
    assert (found["ok"], "secret_invalid" in found["says"], "spaces" in told) == (False, True, False)


def test_a_variable_that_is_unset_here_is_only_mentioned(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    says(project, "notify: {ops: {to: env:REMIT_TEST_OPS}, chat: {to: 'keyring:remit/chat'}}")
    monkeypatch.delenv("REMIT_TEST_OPS", raising=False)
    found, _ = target(project, "ops")
    assert (found["ok"], "need not be where the gateway runs" in found["says"]) == (True, True)
    assert "secret_missing" in found["says"]
    assert found["fix"]
    monkeypatch.setenv("REMIT_TEST_OPS", ADDRESS)
    found, told = target(project, "ops")
    assert (found["ok"], "secret_missing" in found["says"], "canary" in told) == (True, False, False)
    found, _ = target(project, "chat")
    assert (found["ok"], "was not asked" in found["says"]) == (True, True)


def test_without_targets_doctor_says_nothing_of_them(project: Path) -> None:
    told = json.loads(remit("doctor", "-C", project, "--json").stdout)
    assert not [each for each in told if each["name"].startswith("notify")]
