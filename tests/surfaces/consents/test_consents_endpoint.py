"""`POST /v1/consents`: a user, and nobody for the user, lets an agent act, for so much, until then."""

import json
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from tests.surfaces.oauth.oauth_stage import DETAILS, ENDPOINT, ISSUER, MCP, Stage

from remit.core import utc_text
from remit.identity import RegisteredClient, Registration
from remit.testing import NOON, FailingStore, MemoryStore

GIVE, WITHDRAW = "/v1/consents", "/v1/consents/withdraw"


def channel(stage: Stage, user: str = "tom", **said: Any) -> str:
    return stage.login(user, audience=ISSUER, **said)


@pytest.mark.requirement("R2.4", "R2.9")
def test_a_consent_is_kept_recorded_and_taken_back() -> None:
    stage = Stage()
    said = {"agent": "clerk", "authorization_details": DETAILS, "expires_in": 3_600}
    answer = stage.consent(GIVE, channel(stage), said)
    until = utc_text(NOON + timedelta(hours=1))
    assert (answer.status, answer.json) == (
        200,
        {"agent": "clerk", "authorization_details": DETAILS, "until": until},
    )
    assert answer.headers["cache-control"] == "no-store"
    opened = stage.exchange("clerk", stage.login())
    assert opened.json["authorization_details"][0]["operations"] == ["look"]
    gone = stage.consent(WITHDRAW, channel(stage), {"agent": "clerk"})
    assert (gone.status, gone.json) == (200, {"agent": "clerk"})
    assert stage.exchange("clerk", stage.login()).code == "consent_missing"
    again = stage.consent(WITHDRAW, channel(stage), {"agent": "clerk"})
    assert (again.status, again.code) == (404, "consent_missing")
    words = [(leaf["control"], leaf["word"], leaf["by"]) for leaf in stage.leaves("control")]
    assert words == [("consent/clerk/tom", "consented", "tom"), ("consent/clerk/tom", "withdrawn", "tom")]


def test_a_consent_ends() -> None:
    stage = Stage()
    stage.consent(GIVE, channel(stage), {"agent": "clerk", "expires_in": 60})
    assert stage.exchange("clerk", stage.login()).status == 200
    stage.clock.advance(timedelta(seconds=60))
    assert stage.exchange("clerk", stage.login()).code == "consent_missing"


def test_a_consent_that_names_no_end_lasts_thirty_days() -> None:
    stage = Stage()
    answer = stage.consent(GIVE, channel(stage), {"agent": "clerk"})
    assert answer.json["until"] == utc_text(NOON + timedelta(days=30))
    assert answer.json["authorization_details"] is None


@pytest.mark.parametrize("path", [GIVE, WITHDRAW])
@pytest.mark.parametrize(
    "body",
    [b"", b"canary", b"[]", b"null", b"{}", b'{"agent":5}', b'{"agent":"Clerk"}', b'{"agent":"clerk","user":"eve"}',
     b'{"agent":"clerk","agent":"mate"}'],
)  # fmt: skip
def test_a_body_that_is_none_is_refused(path: str, body: bytes) -> None:
    stage = Stage()
    answer = stage.consent(path, channel(stage), body)
    assert answer.status == 400
    assert answer.json["fix"]
    assert stage.leaves("control") == []


@pytest.mark.parametrize(
    "changes",
    [
        {"expires_in": 0},
        {"expires_in": -1},
        {"expires_in": 90 * 86_400 + 1},
        {"expires_in": True},
        {"expires_in": 1.5},
        {"expires_in": "60"},
        {"expires_in": None},
        {"authorization_details": None},
        {"authorization_details": []},
        {"authorization_details": [{"type": "other"}]},
        {"authorization_details": [{"type": "agent_task", "budget": 5}]},
    ],
    ids=str,
)
def test_a_consent_that_could_not_be_kept_is_refused(changes: dict[str, Any]) -> None:
    stage = Stage()
    answer = stage.consent(GIVE, channel(stage), {"agent": "clerk", **changes})
    assert (answer.status, answer.headers["content-type"]) == (400, "application/problem+json")
    assert answer.code in ("consent_request_invalid", "authorization_details_invalid")
    assert stage.leaves("control") == []
    assert stage.consent(GIVE, channel(stage), {"agent": "clerk", "expires_in": 90 * 86_400}).status == 200


def test_an_agent_that_does_not_exist_is_said_to_be_unknown() -> None:
    stage = Stage()
    answer = stage.consent(GIVE, channel(stage), {"agent": "nobody"})
    assert (answer.status, answer.code) == (404, "agent_unknown")


@pytest.mark.requirement("R2.6")
@pytest.mark.parametrize("path", [GIVE, WITHDRAW])
def test_only_a_login_for_this_door_gives_consent(path: str) -> None:
    stage = Stage()
    task_token = stage.exchange("clerk", stage.login(may_act={"clerk"})).json["access_token"]
    for token, code in (
        ("canary", "token_invalid"),
        (task_token, "token_invalid"),
        (stage.delegation(), "token_invalid"),
        (stage.login(audience=ENDPOINT), "token_audience"),  # what an agent exchanges gives no consent
        (stage.login(audience=MCP), "token_audience"),
    ):
        answer = stage.consent(path, token, {"agent": "clerk"})
        assert (answer.status, answer.code) == (401, code)
        assert "resource_metadata=" in answer.headers["www-authenticate"]
    bare = stage.ask("POST", path, b'{"agent":"clerk"}', (b"content-type", b"application/json"))
    assert (bare.status, bare.code) == (401, "token_missing")
    assert stage.leaves("control") == []


@pytest.mark.requirement("R2.6")
def test_no_agent_consents_to_itself_with_a_login_it_was_given() -> None:
    stage = Stage()
    client = RegisteredClient(issuer="corp", client_id="desk-app", use_case="serve")
    kept = {**stage.live.snapshot.registrations, "mate": Registration(clients=(client,))}
    stage.live.swap(replace(stage.live.snapshot, registrations=kept), 2)
    for said in ({"may_act": {"mate"}}, {"client_id": "clerk"}, {"client_id": "desk-app"}):
        answer = stage.consent(GIVE, channel(stage, **said), {"agent": "clerk"})
        assert (answer.status, answer.code) == (403, "login_of_agent")
    assert stage.leaves("control") == []
    same_name = channel(stage, issuer="other", client_id="desk-app")  # of another issuer it is another client
    assert stage.consent(GIVE, same_name, {"agent": "clerk"}).status == 200


def test_a_store_that_is_gone_keeps_no_consent_and_is_said_to_be() -> None:
    stage = Stage()
    stage.consents = replace(stage.consents, store=FailingStore(MemoryStore(), at={1}, kept=False))
    stage.rewire()
    assert stage.consent(GIVE, channel(stage), {"agent": "clerk"}).status == 503
    assert stage.exchange("clerk", stage.login()).code == "consent_missing"


@pytest.mark.parametrize("path", [GIVE, WITHDRAW])
def test_other_methods_and_media_types_are_refused(path: str) -> None:
    stage = Stage()
    for method in ("GET", "PUT", "DELETE"):
        answer = stage.ask(method, path)
        assert (answer.status, answer.headers["allow"]) == (405, "POST")
    lines = ((b"content-type", b"text/plain"), (b"authorization", f"Bearer {channel(stage)}".encode()))
    assert stage.ask("POST", path, json.dumps({"agent": "clerk"}).encode(), *lines).status == 415
