"""Who may ask at the token endpoint, and whose key the token is bound to."""

from typing import Any

import pytest
from tests.surfaces.oauth.oauth_stage import (
    ENDPOINT,
    EXCHANGE,
    JWT,
    JWT_BEARER,
    JWT_SPIFFE,
    SPIFFE,
    Answer,
    Minted,
    Stage,
)

from remit.identity import ClientProof
from remit.surfaces._http import thumbprint
from remit.testing import MemoryStore

CERTIFICATE = b"certificate of clerk"
PROOF = (b"dpop", b"jkt-1")


def ask(stage: Stage, *lines: tuple[bytes, bytes], certificate: bytes = b"", **changes: Any) -> Answer:
    """Exchange the desk's delegation as its agent, with changes to the form."""
    said = {"grant_type": EXCHANGE, "subject_token": stage.delegation(), "subject_token_type": JWT}
    shown: dict[str, Any] = {"client_id": "clerk"} if certificate else stage.proof("clerk")
    return stage.post("/oauth/token", {**said, **shown, **changes}, *lines, certificate=certificate)


def only(stage: Stage) -> Minted:
    [minted] = stage.minted.values()
    return minted


# --- the agent -------------------------------------------------------------------------------------------------------


@pytest.mark.requirement("R2.2")
@pytest.mark.parametrize(
    ("changes", "lines"),
    [
        ({"client_secret": "x"}, ()),
        ({"client_secret": "x", "client_assertion": ..., "client_assertion_type": ..., "client_id": "clerk"}, ()),
        ({"client_assertion": ..., "client_assertion_type": ...}, ((b"authorization", b"Basic Y2xlcms6eA=="),)),
        ({}, ((b"authorization", b"basic Y2xlcms6eA=="),)),
    ],
    ids=str,
)
def test_a_shared_secret_is_refused_and_not_looked_at(
    changes: dict[str, Any], lines: tuple[tuple[bytes, bytes], ...]
) -> None:
    stage = Stage()
    answer = ask(stage, *lines, **changes)
    assert (answer.status, answer.json["error"], answer.code) == (401, "invalid_client", "client_secret_refused")
    assert "agents register" in answer.json["fix"]
    assert answer.headers["www-authenticate"]
    assert stage.tokens.asked == []
    assert stage.refusals() == [("tom", "clerk", "t_desk", "client_secret_refused")]
    assert ask(stage).status == 200


@pytest.mark.requirement("R2.2")
@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"client_assertion": ...}, "assertion_missing"),
        ({"client_assertion_type": ...}, "assertion_missing"),
        ({"client_assertion_type": f"{JWT_BEARER}s"}, "assertion_missing"),
        ({"client_assertion": ..., "client_assertion_type": ..., "client_id": "clerk"}, "assertion_missing"),
        ({"client_assertion": "clerk"}, "assertion_invalid"),
        ({"client_assertion": "nobody no 1"}, "assertion_invalid"),
        ({"client_id": "mate"}, "assertion_invalid"),
        ({"client_id": "spiffe://example.org/mate"}, "assertion_invalid"),
    ],
    ids=str,
)
def test_an_agent_that_does_not_prove_who_it_is_gets_nothing(changes: dict[str, Any], code: str) -> None:
    stage = Stage()
    answer = ask(stage, **changes)
    assert (answer.status, answer.json["error"], answer.code) == (401, "invalid_client", code)
    assert stage.minted == {}
    assert stage.refusals() == [("tom", "clerk", "t_desk", code)]


def test_another_authorization_header_is_a_second_way_of_authenticating() -> None:
    stage = Stage()
    answer = ask(stage, (b"authorization", b"Bearer x"))
    assert (answer.status, answer.json["error"], answer.code) == (400, "invalid_request", "authentication_twice")


@pytest.mark.requirement("R2.2")
def test_a_workload_proves_itself_by_its_own_kind_of_assertion() -> None:
    stage = Stage()
    for client_id in (..., "clerk", SPIFFE):
        assert ask(stage, client_assertion_type=JWT_SPIFFE, client_id=client_id).status == 200
    assert [shown.assertion_type for shown in stage.tokens.asked] == [JWT_SPIFFE] * 3


@pytest.mark.requirement("R2.2")
def test_an_agent_proves_itself_by_its_certificate_and_its_token_is_bound_to_it() -> None:
    stage = Stage(bearer=False)
    answer = ask(stage, certificate=CERTIFICATE)
    assert (answer.status, answer.json["token_type"]) == (200, "Bearer")
    assert stage.tokens.asked == [ClientProof(certificate=CERTIFICATE, client_id="clerk")]
    minted = only(stage)
    assert (minted.bound, minted.certificate, minted.keys) == ("", thumbprint(CERTIFICATE), ("x5t-clerk",))


@pytest.mark.requirement("R2.2")
@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"client_id": ...}, "client_id_missing"),
        ({"client_id": "mate"}, "certificate_unknown"),
        ({"client_assertion": "clerk no 1"}, "assertion_missing"),
        ({"client_assertion_type": JWT_BEARER}, "assertion_missing"),
        ({"client_secret": "x"}, "client_secret_refused"),
    ],
    ids=str,
)
def test_a_certificate_proves_the_agent_it_is_of(changes: dict[str, Any], code: str) -> None:
    stage = Stage()
    answer = ask(stage, certificate=CERTIFICATE, **changes)
    assert (answer.status, answer.json["error"], answer.code) == (401, "invalid_client", code)
    assert stage.minted == {}


def test_an_assertion_over_a_connection_with_a_certificate_is_what_counts() -> None:
    stage = Stage()
    assert ask(stage, certificate=b"certificate of mate", **stage.proof("clerk")).status == 200
    assert stage.tokens.asked[-1].certificate == b""


# --- the binding -----------------------------------------------------------------------------------------------------


@pytest.mark.requirement("R2.6")
@pytest.mark.parametrize("bearer", [True, False])
def test_a_token_is_bound_to_the_key_of_the_proof_that_came_along(bearer: bool) -> None:
    stage = Stage(bearer=bearer)
    answer = ask(stage, PROOF)
    assert (answer.status, answer.json["token_type"]) == (200, "DPoP")
    minted = only(stage)
    assert (minted.bound, minted.certificate, minted.keys) == ("jkt-1", "", ("key-clerk",))
    [presented] = stage.tokens.presented
    assert (presented.token, presented.scheme, presented.method, presented.url) == ("", "dpop", "POST", ENDPOINT)


def test_the_key_of_a_proof_goes_before_the_certificate_of_the_connection() -> None:
    stage = Stage()
    ask(stage, PROOF, certificate=CERTIFICATE)
    assert (only(stage).bound, only(stage).certificate) == ("jkt-1", "")


@pytest.mark.requirement("R2.6")
def test_only_an_agent_that_is_registered_to_bears_its_token() -> None:
    stage = Stage(bearer=False)
    answer = ask(stage)
    assert (answer.status, answer.json["error"], answer.code) == (400, "invalid_request", "dpop_required")
    assert stage.minted == {}
    assert stage.refusals() == [("tom", "clerk", "t_desk", "dpop_required")]
    assert ask(Stage(bearer=True)).json["token_type"] == "Bearer"


@pytest.mark.requirement("R2.6")
@pytest.mark.parametrize(
    ("lines", "code"),
    [
        (((b"dpop", b"canary"),), "dpop_proof_invalid"),
        (((b"dpop", b""),), "dpop_proof_invalid"),
        (((b"dpop", b"jkt-1"), (b"dpop", b"jkt-1")), "dpop_proof_invalid"),
        (((b"dpop", b"jkt-\xc3\xa9"),), "dpop_proof_invalid"),
        (((b"dpop", b"jkt-used"),), "dpop_proof_replayed"),
    ],
    ids=str,
)
def test_a_proof_that_does_not_hold_is_not_passed_over(lines: tuple[tuple[bytes, bytes], ...], code: str) -> None:
    stage = Stage(bearer=True)
    stage.tokens.used.add("jkt-used")
    answer = ask(stage, *lines)
    assert (answer.status, answer.json["error"], answer.code) == (400, "invalid_dpop_proof", code)
    assert "dpop-nonce" not in answer.headers
    assert stage.minted == {}
    assert stage.refusals() == [("tom", "clerk", "t_desk", code)]


@pytest.mark.requirement("R2.6")
def test_a_nonce_is_asked_for_as_the_standard_says() -> None:
    stage = Stage(bearer=False)
    stage.tokens.nonce = "n-1"
    answer = ask(stage, PROOF)
    assert (answer.status, answer.json["error"], answer.code) == (400, "use_dpop_nonce", "dpop_nonce_required")
    assert answer.headers["dpop-nonce"] == "n-1"
    assert ask(stage, (b"dpop", b"jkt-1 with n-1")).json["token_type"] == "DPoP"


def test_a_proof_is_not_looked_at_before_the_agent_is_known() -> None:
    stage = Stage()
    assert ask(stage, PROOF, client_assertion="clerk").status == 401
    assert stage.tokens.presented == []


# --- the record ------------------------------------------------------------------------------------------------------


def test_a_refusal_of_nobody_known_leaves_no_record() -> None:
    stage = Stage()
    assert ask(stage, subject_token="canary", client_assertion="canary").status == 401
    assert ask(stage, subject_token="canary", grant_type="password").status == 400
    assert stage.refusals() == []


def test_refusals_are_recorded_once_a_minute_for_each_agent_and_code() -> None:
    stage = Stage()
    for _ in range(3):
        for agent in ("clerk", "mate"):
            stage.exchange(agent, "canary")
            stage.exchange(agent, stage.login("eve"))
    assert stage.refusals() == [
        ("", "clerk", "", "token_invalid"),
        ("eve", "clerk", "", "consent_missing"),
        ("", "mate", "", "token_invalid"),
        ("eve", "mate", "", "consent_missing"),
    ]


def test_refusals_are_recorded_in_the_ledger_that_was_given() -> None:
    other = MemoryStore()
    stage = Stage(ledger=other)
    assert ask(stage, client_assertion="canary").status == 401
    assert [entry.kind for entry in other.log] == ["refused"]
