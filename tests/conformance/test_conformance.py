"""MCP's official conformance suite, as far as it is about who may call: each release, each scenario that applies."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import httpx2
import pytest
from tests.conformance.suite import SUITES, Suite, bringing
from tests.conftest import Gateway, free_ports
from tests.foreign.guarded import guarded
from tests.foreign.provider import DESK, Provider

Org = tuple[Gateway, Provider]
OLD, NEW = SUITES.values()
SERVER: tuple[tuple[Suite, str, str], ...] = (  # release, scenario, revision of the protocol
    (OLD, "server-initialize", "2025-11-25"),
    (OLD, "tools-list", "2025-11-25"),
    (OLD, "dns-rebinding-protection", "2025-11-25"),
    (NEW, "server-initialize", "2025-11-25"),
    (NEW, "tools-list", "2026-07-28"),
    (NEW, "dns-rebinding-protection", "2026-07-28"),
    (NEW, "http-header-validation", "2026-07-28"),
)
FAILING_MAX = {OLD: 0, NEW: 1}  # entries that are run and fail; lower it with every one that goes


@pytest.fixture(scope="module")
def org(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Org]:
    with guarded(tmp_path_factory.mktemp("org")) as both:
        yield both


def verdict(scenario: str, failed: list[str], expected: Mapping[str, str]) -> str:
    """Return what is wrong with how a scenario went: a failure that is not listed, or an entry that is stale."""
    if failed and scenario not in expected:
        return f"{scenario} failed: {failed}"
    if not failed and scenario in expected:
        return f"{scenario} passes now: take it out of the expected failures"
    return ""


def test_an_unexpected_failure_and_a_stale_entry_are_both_wrong() -> None:
    assert verdict("a", [], {}) == verdict("a", ["no"], {"a": "because"}) == ""
    assert verdict("a", ["no"], {}).startswith("a failed")
    assert verdict("a", [], {"a": "because"}).startswith("a passes now")


@pytest.mark.parametrize("suite", SUITES.values(), ids=SUITES)
def test_every_scenario_about_logging_in_is_run_or_listed_with_its_reason_and_no_other(suite: Suite) -> None:
    about_login = {name for name in suite.names("client") if name.startswith("auth/")}
    assert about_login == set(suite.expected("client"))
    assert set(suite.expected("authorization")) <= suite.names("authorization")
    run = {scenario for release, scenario, _ in SERVER if release is suite}
    assert set(suite.expected("server")) <= run <= suite.names("server")
    for kind in ("client", "authorization", "server"):
        assert all(len(reason.split()) > 5 for reason in suite.expected(kind).values())
    assert len(suite.expected("authorization")) + len(suite.expected("server")) <= FAILING_MAX[suite]


@pytest.mark.parametrize(("suite", "scenario", "revision"), SERVER, ids=lambda each: getattr(each, "release", each))
def test_remit_behind_its_login_is_the_server_that_the_suite_asks_for(
    org: Org, tmp_path: Path, suite: Suite, scenario: str, revision: str
) -> None:
    gateway, corp = org
    token = corp.login("alice", DESK, f"{gateway.data}/mcp")
    with bringing(token, gateway.data_port) as url:
        failed = suite.run("server", scenario, ["--url", f"{url}/mcp", "--spec-version", revision], tmp_path)
    assert not (wrong := verdict(scenario, failed, suite.expected("server"))), wrong


def test_without_a_token_the_same_scenario_fails(org: Org, tmp_path: Path) -> None:
    failed = NEW.run("server", "tools-list", ["--url", f"{org[0].data}/mcp"], tmp_path)
    assert "token_missing" in str(failed)


def test_remits_own_metadata_is_that_of_a_service_that_nobody_logs_in_at(org: Org, tmp_path: Path) -> None:
    scenario = "authorization-server-metadata-endpoint"
    failed = NEW.run("authorization", scenario, ["--url", org[0].data], tmp_path)
    assert not (wrong := verdict(scenario, failed, NEW.expected("authorization"))), wrong
    missing = ("authorization_endpoint", "response_types_supported", "code_challenge_methods_supported")
    assert failed == [
        "authorization-server-metadata: "
        + ", ".join(f'Response body does not include valid "{each}" claim' for each in missing)
    ]


@pytest.mark.requirement("R2.1")
def test_the_issuer_that_our_metadata_names_gives_a_conforming_login_for_the_resource_that_it_names(
    org: Org, tmp_path: Path
) -> None:
    gateway, corp = org
    said = protected(gateway)
    [issuer] = said["authorization_servers"]
    assert issuer == corp.issuer
    [port] = free_ports(1)
    sent_to: list[str] = []

    def visit(line: str) -> None:
        if line.startswith(f"{issuer}/auth?"):
            sent_to.append(line)
        elif line.startswith("Callback server started"):
            httpx2.get(corp.visit(sent_to[-1]).url, trust_env=False)

    options = ["--url", issuer, "--client-id", DESK, "--resource", said["resource"], "--port", str(port)]
    assert NEW.run("authorization", "", options, tmp_path, visit) == []


def protected(gateway: Gateway) -> Any:
    """Return what a client that has no token finds: the metadata of the resource (RFC 9728, section 5.1)."""
    answer = httpx2.post(f"{gateway.data}/mcp", json={}, trust_env=False)
    assert answer.status_code == 401
    _, _, rest = answer.headers["www-authenticate"].partition('resource_metadata="')
    found = httpx2.get(rest.partition('"')[0], trust_env=False)
    assert found.status_code == 200
    return found.json()
