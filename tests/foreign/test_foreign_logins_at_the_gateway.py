"""Tokens of a foreign provider at our doors: bound to a key, for a channel, for an agent that may act; no further."""

import json
import secrets
import time
from typing import Any
from urllib.parse import urlencode

import pytest
from joserfc import jwt
from joserfc.jwk import ECKey, OKPKey
from tests.conftest import GIVEN, JSON, Answer, Gateway, bearer, mirrors, tool_call
from tests.foreign.provider import DESK, PORTAL, PORTAL_SECRET, TICKETS, Provider, dpop_proof

Org = tuple[Gateway, Provider]


def proven(gateway: Gateway, token: str, key: ECKey, operation: str = "get_order", nonce: str = "") -> Answer:
    """Call with a bound token and a proof of `key`, again with the gateway's nonce where it asks for one."""
    url, message = f"{gateway.data}/mcp", tool_call(operation)
    proof = dpop_proof(key, "POST", url, token, nonce)
    lines = [("Authorization", f"DPoP {token}"), ("DPoP", proof), *mirrors(message)]
    answer = gateway.post("/mcp", json.dumps(message).encode(), lines)
    if answer.code == "dpop_nonce_required" and not nonce:
        return proven(gateway, token, key, operation, answer.headers["dpop-nonce"])
    return answer


@pytest.mark.requirement("R2.6")
def test_a_token_that_the_provider_bound_to_a_key_is_good_for_nobody_else(org: Org) -> None:
    gateway, corp = org
    key, thief = ECKey.generate_key("P-256"), ECKey.generate_key("P-256")
    token = corp.login("alice", DESK, f"{gateway.data}/mcp", dpop=key)
    assert proven(gateway, token, key).code == ""
    reached = len(gateway.received())
    stolen = [gateway.call(token, tool_call()), proven(gateway, token, thief)]
    assert [(each.status, each.code) for each in stolen] == [(401, "dpop_required"), (401, "dpop_proof_invalid")]
    assert all("DPoP " in each.headers["www-authenticate"] for each in stolen)
    assert len(gateway.received()) == reached


@pytest.mark.requirement("R2.2")
def test_a_machines_own_token_is_nobodys_delegation(org: Org) -> None:
    gateway, corp = org
    key = ECKey.generate_key("P-256")
    answer = proven(gateway, corp.client_credentials(f"{gateway.data}/mcp", dpop=key), key)
    assert (answer.status, answer.code) == (401, "token_invalid")


def opened(gateway: Gateway, token: str, **more: Any) -> Answer:
    """Ask for a task of the refund agent, as a channel does that has its user's token."""
    wanted = {"agent": "refunds", "use_case": "refund_request", "input": GIVEN, **more}
    return gateway.post("/v1/tasks", json.dumps(wanted).encode(), [JSON, bearer(token)])


@pytest.mark.requirement("R2.1", "R2.4")
def test_a_channel_opens_a_task_with_its_users_foreign_token(org: Org) -> None:
    gateway, corp = org
    answer = opened(gateway, corp.login("alice", TICKETS, gateway.data))
    assert answer.status == 201, answer
    assert gateway.call(answer.json["token"], tool_call()).code == ""
    [task] = [leaf for leaf in gateway.records(answer.json["task"]) if leaf["kind"] == "task_opened"]
    assert (task["user"], task["groups"], task["attributes"]) == (
        "corp:alice",
        ["staff", "support"],
        {"department": "returns"},
    )


@pytest.mark.requirement("R2.6")
@pytest.mark.parametrize("resource", ["/mcp", "/oauth/token"])
def test_a_token_for_another_door_opens_no_task(org: Org, resource: str) -> None:
    gateway, corp = org
    answer = opened(gateway, corp.login("alice", TICKETS, f"{gateway.data}{resource}"))
    assert (answer.status, answer.code) == (401, "token_audience")


@pytest.mark.requirement("R2.6")
def test_a_login_at_an_agents_own_client_is_no_users_channel(org: Org) -> None:
    gateway, corp = org
    answer = opened(gateway, corp.login("alice", PORTAL, gateway.data, secret=PORTAL_SECRET))
    assert (answer.status, answer.code) == (403, "login_of_agent")


@pytest.mark.requirement("R2.5")
def test_somebody_without_the_role_opens_no_task(org: Org) -> None:
    gateway, corp = org
    answer = opened(gateway, corp.login("bob", TICKETS, gateway.data))
    assert (answer.status, answer.code) == (403, "role_missing")


FORM = ("Content-Type", "application/x-www-form-urlencoded")
LOOK: Any = [{"type": "agent_task", "use_case": "refund_request", "operations": ["get_order"]}]


@pytest.fixture(scope="module")
def agent(org: Org) -> OKPKey:
    """The refund agent's own key, which an operator registered."""
    gateway, _ = org
    key = OKPKey.generate_key("Ed25519", auto_kid=True)
    jwk = {name: value for name, value in key.as_dict(private=False).items() if name in ("kty", "crv", "x")}
    answer = gateway.ask("POST", "/v1/agents/refunds/keys", body=json.dumps({"jwk": jwk}).encode())
    assert answer.status == 200, answer
    assert answer.json["kid"] == key.thumbprint()
    return key


def exchanged(gateway: Gateway, agent: OKPKey, subject: str, key: ECKey, nonce: str = "") -> Answer:
    """Exchange a person's token for a task token that is bound to `key`, as the refund agent (RFC 8693)."""
    endpoint, now = f"{gateway.data}/oauth/token", int(time.time())
    claims = {"iss": "refunds", "sub": "refunds", "aud": endpoint, "jti": secrets.token_urlsafe(12)}
    header = {"alg": "Ed25519", "kid": agent.thumbprint()}
    form = {
        "grant_type": "urn:ietf:params:oauth:grant-type:token-exchange",
        "subject_token": subject,
        "subject_token_type": "urn:ietf:params:oauth:token-type:access_token",
        "client_assertion_type": "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
        "client_assertion": jwt.encode(header, {**claims, "iat": now, "exp": now + 60}, agent, algorithms=["Ed25519"]),
    }
    lines = [FORM, ("DPoP", dpop_proof(key, "POST", endpoint, nonce=nonce))]
    answer = gateway.post("/oauth/token", urlencode(form).encode(), lines)
    if "dpop-nonce" in answer.headers and not nonce:
        return exchanged(gateway, agent, subject, key, answer.headers["dpop-nonce"])
    return answer


@pytest.mark.requirement("R2.4", "R2.5")
def test_an_agent_that_a_foreign_token_lets_act_gets_a_task_of_what_was_consented_to_and_no_more(
    org: Org, agent: OKPKey
) -> None:
    gateway, corp = org
    key = ECKey.generate_key("P-256")
    subject = corp.login("carol", TICKETS, f"{gateway.data}/oauth/token", details=LOOK)
    answer = exchanged(gateway, agent, subject, key)
    assert (answer.status, answer.json["token_type"]) == (200, "DPoP"), answer
    [said] = answer.json["authorization_details"]
    assert (said["use_case"], said["operations"]) == ("refund_request", ["get_order"])
    token = answer.json["access_token"]
    assert proven(gateway, token, key).code == ""
    assert proven(gateway, token, key, "search_orders").code == "outside_authority"
    assert gateway.call(token, tool_call()).code == "dpop_required"


@pytest.mark.requirement("R2.6")
def test_a_token_that_lets_no_agent_act_is_not_exchanged_without_consent(org: Org, agent: OKPKey) -> None:
    gateway, corp = org
    key = ECKey.generate_key("P-256")
    subject = corp.login("alice", TICKETS, f"{gateway.data}/oauth/token", details=LOOK)
    answer = exchanged(gateway, agent, subject, key)
    assert (answer.status, answer.code) == (400, "consent_missing"), answer


@pytest.mark.requirement("R2.6")
def test_a_login_at_the_users_channel_is_not_exchanged_by_an_agent(org: Org, agent: OKPKey) -> None:
    gateway, corp = org
    answer = exchanged(gateway, agent, corp.login("carol", TICKETS, gateway.data), ECKey.generate_key("P-256"))
    assert (answer.status, answer.code) == (400, "token_audience"), answer
