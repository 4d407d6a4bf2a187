"""`notify` in remit.yaml: where a target's address is kept, and never the address."""

from pathlib import Path

import pytest

from remit.adapters.project import NotifySettings, read_settings
from remit.catalogue import Secret
from remit.core import ProjectInvalidError


def written(root: Path, text: str) -> Path:
    (root / "remit.yaml").write_text(text)
    return root


def test_without_the_key_nobody_is_told(tmp_path: Path) -> None:
    assert read_settings(tmp_path).notify == {}


def test_a_target_says_where_its_address_is_and_what_it_is_told_of(tmp_path: Path) -> None:
    text = "notify:\n  ops: {to: env:REMIT_NOTIFY_OPS}\n"
    text += "  money: {to: file:var/money.url, roles: [finance], agents: [refunds]}\n"
    everything: frozenset[str] = frozenset()
    assert read_settings(written(tmp_path, text)).notify == {
        "money": NotifySettings(
            to=Secret(source="file", name="var/money.url"), roles=frozenset({"finance"}), agents=frozenset({"refunds"})
        ),
        "ops": NotifySettings(to=Secret(source="env", name="REMIT_NOTIFY_OPS"), roles=everything, agents=everything),
    }


@pytest.mark.requirement("R2.4")
@pytest.mark.parametrize(
    ("to", "code"),
    [
        ("tgram://123456789:hunter22-secret/42", "credential_source_unknown"),
        ("mailto://tom:hunter22-secret@mail.example", "credential_source_unknown"),
        ("hunter22-secret", "secret_in_config"),
        ("env:hunter22-secret", "credential_name_invalid"),
        ("file:catalogue/hunter22-secret", "secret_in_bundle"),
        ("keyring:hunter22-secret", "credential_name_invalid"),
        ("env:" + "hunter22-secret" * 40, ""),
    ],
)
def test_an_address_in_the_file_is_refused_and_not_repeated(tmp_path: Path, to: str, code: str) -> None:
    with pytest.raises(ProjectInvalidError) as refused:
        read_settings(written(tmp_path, f'notify:\n  ops:\n    to: "{to}"\n'))
    [problem] = refused.value.problems
    assert (problem.file, problem.line) == ("remit.yaml", 3)
    assert not code or problem.code == code
    assert "hunter22" not in str(refused.value) + repr(problem)
