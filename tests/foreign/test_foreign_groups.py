"""What a provider's groups permit and what they do not, through an agent that serves whoever has them."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.conftest import GIVEN, JSON, Gateway, bearer, tool_call
from tests.foreign.guarded import guarded
from tests.foreign.provider import TICKETS, Provider

from remit.app import LocalWorkshop

SUPPORT = """
@id("support-only")
forbid (principal, action, resource)
unless { context.user.groups.contains("support") };
"""
ENTITLEMENTS = 'groups: {support: {users: ["corp:bob"]}}\n'

CLAIMS = {"groups": "groups", "roles": {"user": ["staff"]}}  # both may use agents

Org = tuple[Gateway, Provider, Path]


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Org]:
    """A gateway whose policies ask for a group of the provider's; alice has it, bob does not."""
    folder = tmp_path_factory.mktemp("groups")
    with guarded(folder, claims=CLAIMS) as (gateway, corp):
        policies = gateway.project / "organisation/policies"
        policies.mkdir(parents=True)
        (policies / "support.cedar").write_text(SUPPORT, "utf-8")
        deploy(gateway)
        yield gateway, corp, folder


def deploy(gateway: Gateway) -> None:
    answer = gateway.ask("POST", "/v1/releases")
    assert answer.status == 200, answer


def looked_up(own: Org, user: str) -> str:
    """Log in, have a task opened, and let the agent look an order up; return how that was refused."""
    gateway, corp, _ = own
    wanted = {"agent": "refunds", "use_case": "refund_request", "input": GIVEN}
    lines = [JSON, bearer(corp.login(user, TICKETS, gateway.data))]
    answer = gateway.post("/v1/tasks", json.dumps(wanted).encode(), lines)
    assert answer.status == 201, answer
    return gateway.call(answer.json["token"], tool_call()).code


@pytest.mark.requirement("R2.6")
def test_a_user_whose_login_lacks_the_group_gets_nothing_through_an_agent_that_serves_others(own: Org) -> None:
    gateway, _, _ = own
    assert looked_up(own, "alice") == "", "the control: in the group"
    received = len(gateway.received())
    assert looked_up(own, "bob") == "policy_forbids"
    assert len(gateway.received()) == received


@pytest.mark.requirement("R2.6", "R3.2")
def test_a_group_of_the_organisations_signed_file_permits_and_unsigned_does_not(own: Org) -> None:
    gateway, _, folder = own
    (gateway.project / "organisation/entitlements.yaml").write_text(ENTITLEMENTS, "utf-8")
    deploy(gateway)
    assert looked_up(own, "bob") == "policy_forbids", "it is not signed"
    for person in ("sam", "rob"):
        LocalWorkshop(0).sign_lists(gateway.project, ("entitlements",), person, folder / f"{person}.pem")
    deploy(gateway)
    assert looked_up(own, "bob") == ""
