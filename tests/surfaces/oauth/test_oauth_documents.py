"""What the gateway says of itself to anybody: who gives tokens, where to log in, and how to prove a key."""

import pytest
from tests.surfaces.oauth.oauth_stage import ASSERTION, ENDPOINT, EXCHANGE, ISSUER, MCP, Stage

from remit.surfaces.oauth import Published, metadata, resource_metadata

ALGORITHMS = {"Ed25519", "EdDSA", "ES256", "RS256"}
BARE = Published(jwks={"keys": []})
FULL = Published(jwks={"keys": []}, issuers=("https://id.example.org",), certificates=True, workloads=True)


def test_the_token_service_says_where_it_answers_and_what_it_takes() -> None:
    said = Stage().ask("GET", "/.well-known/oauth-authorization-server")
    assert said.status == 200
    assert said.headers["cache-control"].startswith("public")
    assert said.json == metadata(ISSUER, MCP, BARE)
    assert said.json["issuer"] == ISSUER
    assert said.json["token_endpoint"] == ENDPOINT
    assert said.json["introspection_endpoint"] == f"{ISSUER}/oauth/introspect"
    assert said.json["revocation_endpoint"] == f"{ISSUER}/oauth/revoke"
    assert said.json["protected_resources"] == [MCP]
    assert said.json["authorization_details_types_supported"] == ["agent_task"]
    assert set(said.json["dpop_signing_alg_values_supported"]) == ALGORITHMS


def test_it_says_no_more_than_is_so() -> None:
    bare, full = metadata(ISSUER, MCP, BARE), metadata(ISSUER, MCP, FULL)
    assert bare["grant_types_supported"] == [EXCHANGE]
    assert full["grant_types_supported"] == [EXCHANGE, ASSERTION]
    assert "authorization_grant_profiles_supported" not in bare
    assert full["authorization_grant_profiles_supported"] == ["urn:ietf:params:oauth:grant-profile:id-jag"]
    methods = ["private_key_jwt", "spiffe_jwt", "tls_client_auth", "self_signed_tls_client_auth"]
    for endpoint in ("token", "introspection", "revocation"):
        assert bare[f"{endpoint}_endpoint_auth_methods_supported"] == ["private_key_jwt"]
        assert full[f"{endpoint}_endpoint_auth_methods_supported"] == methods
    assert bare["tls_client_certificate_bound_access_tokens"] is False
    assert full["tls_client_certificate_bound_access_tokens"] is True


@pytest.mark.requirement("R2.1")
def test_a_client_learns_where_to_log_in() -> None:
    stage = Stage()
    for path in ("/.well-known/oauth-protected-resource/mcp", "/.well-known/oauth-protected-resource"):
        said = stage.ask("GET", path)
        assert said.status == 200
        assert said.json == {
            "resource": MCP,
            "resource_name": "Remit",
            "authorization_servers": [ISSUER],
            "bearer_methods_supported": ["header"],
            "dpop_signing_alg_values_supported": ["Ed25519", "EdDSA", "ES256", "RS256"],
            "dpop_bound_access_tokens_required": False,
            "tls_client_certificate_bound_access_tokens": False,
            "authorization_details_types_supported": ["agent_task"],
        }
    assert resource_metadata(ISSUER, MCP, FULL)["authorization_servers"] == ["https://id.example.org"]


def test_the_documents_are_only_read() -> None:
    stage = Stage()
    for path in ("oauth-authorization-server", "oauth-protected-resource", "oauth-protected-resource/mcp", "jwks.json"):
        answer = stage.ask("POST", f"/.well-known/{path}")
        assert (answer.status, answer.headers["allow"]) == (405, "GET")
