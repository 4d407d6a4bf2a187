"""The foreign provider does what the tests behind it rest on."""

import json
from base64 import urlsafe_b64decode
from collections.abc import Iterator
from typing import Any

import pytest
from joserfc.jwk import ECKey
from tests.foreign.provider import BATCH, DESK, DOCUMENT, PORTAL, PORTAL_SECRET, Provider, provider

HERE = "http://127.0.0.1:8700/mcp"
TASK = [{"type": "agent_task", "use_case": "tracking", "actions": ["get_order"]}]


@pytest.fixture(scope="module")
def corp(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Provider]:
    with provider(tmp_path_factory.mktemp("corp")) as one:
        yield one


def part(token: str, which: int) -> dict[str, Any]:
    encoded = token.split(".")[which]
    said: dict[str, Any] = json.loads(urlsafe_b64decode(encoded + "=" * (-len(encoded) % 4)))
    return said


def test_a_login_gives_a_signed_token_for_the_resource_that_says_who_it_is_and_what_was_consented_to(
    corp: Provider,
) -> None:
    token = corp.login("carol", DESK, HERE, details=TASK)
    said = part(token, 1)
    assert (said["iss"], said["aud"], said["sub"], said["client_id"]) == (corp.issuer, HERE, "carol", DESK)
    assert (said["groups"], said["department"], said["may_act"]) == (["support"], "returns", {"sub": "refunds"})
    assert said["authorization_details"] == TASK
    assert part(token, 0)["typ"] == "at+jwt"


def test_a_confidential_client_and_one_that_a_document_describes_log_in(corp: Provider) -> None:
    assert part(corp.login("alice", PORTAL, HERE, secret=PORTAL_SECRET), 1)["client_id"] == PORTAL
    assert part(corp.login("bob", DOCUMENT, HERE), 1)["client_id"] == DOCUMENT


def test_a_machine_gets_a_token_bound_to_its_key(corp: Provider) -> None:
    key = ECKey.generate_key("P-256")
    said = part(corp.client_credentials(HERE, dpop=key), 1)
    assert (said["sub"], said["client_id"], said["cnf"]) == (BATCH, BATCH, {"jkt": key.thumbprint()})


def test_keys_rotate_while_it_runs_and_old_ones_retire(corp: Provider) -> None:
    before = corp.keys()
    corp.rotate()
    after = corp.keys()
    assert after[3:] == before
    assert part(corp.login("bob", DESK, HERE), 0)["kid"] in after[:3]
    corp.rotate(retire=True)
    assert not set(corp.keys()) & set(after)


@pytest.mark.parametrize("algorithm", ["RS256", "ES256", "EdDSA", "Ed25519"])
def test_it_signs_with_the_algorithm_it_is_told(corp: Provider, algorithm: str) -> None:
    corp.settings(algorithm=algorithm)
    assert part(corp.login("bob", DESK, HERE), 0)["alg"] == algorithm
