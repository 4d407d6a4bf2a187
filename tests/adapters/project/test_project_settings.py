"""remit.yaml: safe defaults, and every mistake with its line."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from remit.adapters.project import read_settings, schema_for
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
    assert (found.tokens.dpop_nonce, found.tokens.proof_age_max_s) == (False, 60)
    assert (dict(found.issuers), found.data_tls, found.authzen) == ({}, None, None)


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


CORP = """\
issuers:
  corp:
    issuer: https://id.example.org/realms/staff/
    audiences: [desk-portal]
    claims:
      subject: oid
      groups: memberOf
      attributes: {department: dept}
      roles: {user: [staff, "Staff of the shop"], operator: [platform]}
    jwks_age_max_s: 600
    events: true
  local: {issuer: "http://127.0.0.1:9400"}
"""


def test_issuers_are_read_as_they_are_written(tmp_path: Path) -> None:
    found = read_settings(write(tmp_path, CORP)).issuers
    corp, local = found["corp"], found["local"]
    assert (corp.name, corp.issuer) == ("corp", "https://id.example.org/realms/staff/"), "the slash is part of it"
    assert (corp.audiences, corp.jwks_age_max_s, corp.events) == (("desk-portal",), 600, True)
    assert (corp.claims.subject, corp.claims.groups, dict(corp.claims.attributes)) == (
        "oid",
        "memberOf",
        {"department": "dept"},
    )
    assert corp.claims.roles == {"user": {"staff", "Staff of the shop"}, "operator": {"platform"}}
    assert (local.audiences, local.jwks_age_max_s, local.events) == ((), 3600, False)
    assert (local.claims.subject, local.claims.groups, dict(local.claims.roles)) == ("sub", "groups", {})


def test_tls_tokens_and_a_decision_point_are_read(tmp_path: Path) -> None:
    text = (
        "data: {tls: {certificate: tls/cert.pem, key: /etc/key.pem, client_authorities: tls/agents.pem}}\n"
        "tokens: {dpop_nonce: true, proof_age_max_s: 300}\nauthzen: {url: https://pdp.example.org/x, timeout_ms: 50}\n"
    )
    found = read_settings(write(tmp_path, text))
    assert found.data_tls is not None
    assert found.authzen is not None
    assert (found.data_tls.certificate, found.data_tls.key) == ("tls/cert.pem", "/etc/key.pem")
    assert found.data_tls.client_authorities == "tls/agents.pem"
    assert (found.tokens.dpop_nonce, found.tokens.proof_age_max_s) == (True, 300)
    assert (found.authzen.url, found.authzen.timeout_ms) == ("https://pdp.example.org/x", 50)
    short = read_settings(
        write(tmp_path, "data: {tls: {certificate: c.pem, key: k.pem}}\nauthzen: {url: 'http://[::1]'}\n")
    )
    assert short.data_tls is not None
    assert short.authzen is not None
    assert (short.data_tls.client_authorities, short.authzen.timeout_ms) == ("", 300)


def test_people_of_the_development_profile_have_groups_and_attributes(tmp_path: Path) -> None:
    text = (
        "development:\n  people:\n    tom:\n      roles: [user]\n      groups: [refund-clerks, staff]\n"
        "      attributes: {department: returns, clearance: 2, contractor: false}\n    lea: {roles: [user]}\n"
    )
    people = read_settings(write(tmp_path, text)).development.people
    assert people["tom"].groups == {"refund-clerks", "staff"}
    assert people["tom"].attributes == (("clearance", 2), ("contractor", False), ("department", "returns"))
    assert (people["lea"].groups, people["lea"].attributes) == (frozenset(), ())


def test_the_settings_stay_few() -> None:
    """One for each decision that an operator really makes; a mapping's keys are not settings, what is under them is."""
    schema = schema_for("settings")
    assert len(list(leaves(schema, schema))) <= 40


def leaves(node: dict[str, Any], schema: dict[str, Any]) -> Iterator[str]:
    for name, given in node.get("properties", {}).items():
        inner = resolved(given, schema)
        mapped = next((resolved(each, schema) for each in inner.get("patternProperties", {}).values()), {})
        if "properties" in inner or "properties" in mapped:
            yield from leaves(inner if "properties" in inner else mapped, schema)
        else:
            yield name


def resolved(given: dict[str, Any], schema: dict[str, Any]) -> dict[str, Any]:
    first: dict[str, Any] = given.get("anyOf", [given])[0]
    found: dict[str, Any] = schema["$defs"][first["$ref"].rpartition("/")[2]] if "$ref" in first else first
    return found


def issuer(rest: str) -> str:
    return f"issuers:\n  corp:\n    {rest}\n"


HTTPS = "issuer: https://id.example.org"


@pytest.mark.parametrize(
    ("text", "code", "line", "says"),
    [
        (issuer("issuer: http://id.example.org"), "address_insecure", 3, "id.example.org"),
        (issuer("issuer: https://id.example.org?tenant=1"), "address_invalid", 3, "without a query"),
        (issuer("issuer: https://id.example.org/#x"), "address_invalid", 3, "expected an address"),
        (issuer("issuer: https://ana:pw@id.example.org"), "address_credentials", 3, "credential"),
        (issuer("issuer: id.example.org"), "address_invalid", 3, "expected an address"),
        (issuer("issuer: ftp://127.0.0.1"), "address_invalid", 3, "expected an address"),
        (issuer("issuer: http://127.0.0.1:8700"), "issuer_is_ours", 3, "our own"),
        (issuer("issuer: http://localhost:8701/development"), "issuer_is_ours", 3, "our own"),
        (issuer("audiences: [x]"), "key_missing", 2, "`issuer`"),
        (issuer(f"{HTTPS}\n    jwks_age_max_s: 59"), "value_invalid", 4, "at least 60"),
        (issuer(f"{HTTPS}\n    events: 1"), "value_invalid", 4, "events"),
        (issuer(f"{HTTPS}\n    audiences: x"), "value_invalid", 4, "a list"),
        (issuer(f"{HTTPS}\n    claim: {{}}"), "key_unknown", 4, "did you mean `claims`?"),
        (issuer(f"{HTTPS}\n    claims: {{roles: {{User: [a]}}}}"), "name_invalid", 4, "`User`"),
        (issuer(f"{HTTPS}\n    claims: {{roles: {{user: a}}}}"), "value_invalid", 4, "a list"),
        (issuer(f"{HTTPS}\n    claims: {{roles: {{user: []}}}}"), "value_invalid", 4, "at least 1"),
        (issuer(f"{HTTPS}\n    claims: {{roles: {{requester: [a]}}}}"), "role_reserved", 4, "`requester`"),
        (issuer(f"{HTTPS}\n    claims: {{attributes: {{groups: g}}}}"), "attribute_reserved", 4, "`groups`"),
        (f"issuers:\n  a: {{{HTTPS}}}\n  b: {{{HTTPS}}}\n", "issuer_duplicate", 3, "`b` and `a`"),
        (f"issuers:\n  a: {{{HTTPS}}}\n  b: {{{HTTPS}/}}\n", "issuer_duplicate", 3, "`b` and `a`"),
        (f"issuers:\n  Corp: {{{HTTPS}}}\n", "name_invalid", 2, "`Corp`"),
        (f"issuers:\n  'a:b': {{{HTTPS}}}\n", "name_invalid", 2, "`a:b`"),
        ("development:\n  people:\n    'corp:ana': {roles: [user]}\n", "name_invalid", 3, "`corp:ana`"),
        ("development:\n  people:\n    ana: {roles: [user], groups: staff}\n", "value_invalid", 3, "a list"),
        ("development:\n  people:\n    ana: {roles: [user], attributes: {a: 1.5}}\n", "value_invalid", 3, "whole"),
        ("development:\n  people:\n    ana: {roles: [user], attributes: {a: }}\n", "value_invalid", 3, "nothing"),
        ("development:\n  people:\n    ana: {roles: [user], attributes: {groups: a}}\n", "attribute_reserved", 3, ""),
        ("tokens:\n  proof_age_max_s: 9\n", "value_invalid", 2, "at least 10"),
        ("tokens:\n  proof_age_max_s: 301\n", "value_invalid", 2, "at most 300"),
        ("tokens: {dpop_nonce: yes}\n", "value_invalid", 1, "`tokens.dpop_nonce`: expected true or false"),
        ("data: {tls: {certificate: c.pem}}\n", "key_missing", 1, "`key`"),
        ("data: {tls: {certificate: c.pem, key: catalogue/k.pem}}\n", "secret_in_bundle", 1, "private key"),
        ("data: {host: 0.0.0.0, tls: {certificate: c.pem, key: k.pem}}\n", "listen_beyond_loopback", 1, "data.host"),
        ("authzen: {url: http://pdp.example.org}\n", "address_insecure", 1, "pdp.example.org"),
        ("authzen: {url: https://pdp.example.org, timeout_ms: 5001}\n", "value_invalid", 1, "at most 5000"),
        ("authzen: {}\n", "key_missing", 1, "`url`"),
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
