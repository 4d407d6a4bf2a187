"""remit.yaml: safe defaults, and every mistake with its line."""

from pathlib import Path

import pytest

from remit.adapters.project import read_settings
from remit.core import ProjectInvalidError


def write(root: Path, text: str) -> Path:
    (root / "remit.yaml").write_text(text, encoding="utf-8")
    return root


@pytest.mark.parametrize("text", [None, "", "# only a comment\n", "{}\n"])
def test_without_settings_every_default_is_there(tmp_path: Path, text: str | None) -> None:
    root = tmp_path / "desk"
    root.mkdir()
    found = read_settings(root if text is None else write(root, text))
    assert (found.name, found.profile) == ("desk", "development")
    assert (found.data.host, found.data.port) == ("127.0.0.1", 8700)
    assert (found.admin.host, found.admin.port) == ("127.0.0.1", 8701)
    assert found.store.path == "var/remit.db"
    assert (found.records.checkpoint_file, found.records.checkpoint_every_s) == ("checkpoints/log.checkpoints", 10)
    assert found.tasks.life_s == 3600
    assert found.input.body_bytes_max == 1 << 20
    assert found.upstream.connections_max == 64
    assert (found.catalogue.trust, found.catalogue.check_every_s, found.holds.wait_s) == ("var/trust.json", 10, 5)
    assert dict(found.development.people) == {}


def test_what_is_written_is_what_is_read(tmp_path: Path) -> None:
    text = (
        "name: desk\ndata: {port: 9700, host: '::1'}\nadmin: {port: 9701, host: localhost}\nstore: {path: /var/x.db}\n"
        "tasks: {life_s: 60}\ndevelopment:\n  people:\n    ana: {roles: [operator, user]}\n"
        "    fay: {roles: [finance]}\ncatalogue: {trust: /etc/trust.json, check_every_s: 60}\nholds: {wait_s: 0}\n"
    )
    found = read_settings(write(tmp_path, text))
    assert (found.data.host, found.data.port, found.admin.host) == ("::1", 9700, "localhost")
    assert (found.store.path, found.tasks.life_s) == ("/var/x.db", 60)
    assert found.development.people["ana"].roles == {"operator", "user"}
    assert found.development.people["fay"].roles == {"finance"}
    assert (found.catalogue.trust, found.catalogue.check_every_s, found.holds.wait_s) == ("/etc/trust.json", 60, 0)


@pytest.mark.parametrize(
    ("text", "code", "line", "says"),
    [
        ("data:\n  host: 0.0.0.0\n", "listen_beyond_loopback", 2, "data.host"),
        ("admin: {host: 192.0.2.1}\n", "listen_beyond_loopback", 1, "admin.host"),
        ("admin:\n  port: 8700\n", "ports_equal", 2, "8700"),
        ("data:\n  port: 8701\n", "ports_equal", 2, "8701"),
        ("name: desk\nprofile: production\n", "value_invalid", 2, "development"),
        ("prot: 1\ndatas: {}\n", "key_unknown", 2, "did you mean `data`?"),
        ("data:\n  prot: 1\n", "key_unknown", 2, "did you mean `port`?"),
        ("data:\n  port: '8700'\n", "value_invalid", 2, "a whole number"),
        ("data:\n  port: 0\n", "value_invalid", 2, "at least 1"),
        ("development:\n  people:\n    ana: {roles: []}\n", "value_invalid", 3, "at least 1"),
        ("development:\n  people:\n    ana: {roles: [Finance]}\n", "name_invalid", 3, "`Finance`"),
        ("development:\n  people:\n    ana: {roles: [user, requester]}\n", "role_reserved", 3, "`requester`"),
        ("holds:\n  wait_s: 61\n", "value_invalid", 2, "at most 60"),
        ("holds:\n  wait_s: -1\n", "value_invalid", 2, "at least 0"),
        ("catalogue:\n  check_every_s: 0\n", "value_invalid", 2, "at least 1"),
        ("catalogue:\n  trust: catalogue/trust.json\n", "trust_in_bundle", 2, "vouches"),
        ("catalogue: {trust: var/../agents/trust.json}\n", "trust_in_bundle", 1, "vouches"),
        ("development:\n  people:\n    Ana: {roles: [user]}\n", "name_invalid", 3, "`Ana`"),
        ("development:\n  people:\n    ana:\n      role: [user]\n", "key_unknown", 4, "did you mean `roles`?"),
        ("name: [\n", "yaml_invalid", 2, ""),
    ],
)
def test_a_mistake_is_said_with_its_line(tmp_path: Path, text: str, code: str, line: int, says: str) -> None:
    with pytest.raises(ProjectInvalidError) as caught:
        read_settings(write(tmp_path, text))
    found = [problem for problem in caught.value.problems if problem.code == code and problem.line == line]
    assert found, [str(problem) for problem in caught.value.problems]
    assert says in found[0].message
    assert all(problem.file == "remit.yaml" and problem.fix for problem in caught.value.problems)
