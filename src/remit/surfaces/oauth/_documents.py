"""What the token service and the MCP endpoint say of themselves to anybody (RFC 8414, RFC 9728), and where.

`/.well-known/oauth-protected-resource/mcp` is where a client looks first; the one above it says the same, for clients
that were told no path.
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

from remit.core import JsonObject
from remit.identity import JWKS_PATH, METADATA_PATH, RESOURCE_PATH, TOKEN_PATH, TYPE, token_endpoint
from remit.pipeline import Refusals
from remit.surfaces._http import DPOP_ALGORITHMS, Headers, Receive, Send, document
from remit.surfaces.oauth._grants import ASSERTION, TOKEN_EXCHANGE
from remit.surfaces.oauth._holder import introspect, revoke
from remit.surfaces.oauth._ports import TokenPorts
from remit.surfaces.oauth._serving import FormEndpoint
from remit.surfaces.oauth._token import token

INTROSPECTION_PATH = "/oauth/introspect"
REVOCATION_PATH = "/oauth/revoke"
ID_JAG = "urn:ietf:params:oauth:grant-profile:id-jag"  # (draft-ietf-oauth-identity-assertion-authz-grant-04)
ALGORITHMS = tuple(DPOP_ALGORITHMS.split())  # of proofs, and of workloads' assertions
_OWN = tuple(each for each in ALGORITHMS if each != "RS256")  # an agent's own key is no RSA key
_TLS = ("tls_client_auth", "self_signed_tls_client_auth")  # (RFC 8705, section 2)

Serve = Callable[[str, Headers, Receive, Send], Awaitable[None]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Published:
    """What is true of this gateway for anybody to know.

    `jwks` are the public keys of tool tokens; `issuers` the addresses of the configured issuers; `certificates` whether
    the data port asks clients for theirs; `workloads` whether agents may prove themselves as SPIFFE workloads.
    """

    jwks: JsonObject
    issuers: Sequence[str] = ()
    certificates: bool = False
    workloads: bool = False
    name: str = "Remit"


def metadata(issuer: str, audience: str, published: Published) -> JsonObject:
    """Describe the token service at `issuer` (RFC 8414, section 2), whose tokens count at `audience`."""
    methods = [
        "private_key_jwt",
        *(["spiffe_jwt"] if published.workloads else []),
        *(_TLS if published.certificates else ()),
    ]
    said: JsonObject = {
        "issuer": issuer,
        "token_endpoint": token_endpoint(issuer),
        "jwks_uri": f"{issuer}{JWKS_PATH}",
        "introspection_endpoint": f"{issuer}{INTROSPECTION_PATH}",
        "revocation_endpoint": f"{issuer}{REVOCATION_PATH}",
        "grant_types_supported": [TOKEN_EXCHANGE, *([ASSERTION] if published.issuers else [])],
        "response_types_supported": [],
        "authorization_details_types_supported": [TYPE],
        "dpop_signing_alg_values_supported": [*ALGORITHMS],
        "tls_client_certificate_bound_access_tokens": published.certificates,
        "protected_resources": [audience],
    }
    asserted = ALGORITHMS if published.workloads else _OWN
    for endpoint in ("token", "introspection", "revocation"):
        said[f"{endpoint}_endpoint_auth_methods_supported"] = [*methods]
        said[f"{endpoint}_endpoint_auth_signing_alg_values_supported"] = [*asserted]
    if published.issuers:
        said["authorization_grant_profiles_supported"] = [ID_JAG]
    return said


def resource_metadata(issuer: str, audience: str, published: Published) -> JsonObject:
    """Describe the protected resource `audience` (RFC 9728, section 2): where to log in for it."""
    return {
        "resource": audience,
        "resource_name": published.name,
        "authorization_servers": [*published.issuers] or [issuer],
        "bearer_methods_supported": ["header"],
        "dpop_signing_alg_values_supported": [*ALGORITHMS],
        "dpop_bound_access_tokens_required": False,
        "tls_client_certificate_bound_access_tokens": published.certificates,
        "authorization_details_types_supported": [TYPE],
    }


def oauth_routes(ports: TokenPorts, published: Published) -> dict[str, Serve]:
    """Return the routes of the token service, and the documents of both, for the data plane."""
    refusals = Refusals(ports.ledger, ports.clock, "oauth")
    answers = {TOKEN_PATH: token, INTROSPECTION_PATH: introspect, REVOCATION_PATH: revoke}
    resource = document(resource_metadata(ports.issuer, ports.audience, published))
    return {
        **{path: FormEndpoint(path, answer, ports, refusals).serve for path, answer in answers.items()},
        JWKS_PATH: document(published.jwks),
        METADATA_PATH: document(metadata(ports.issuer, ports.audience, published)),
        RESOURCE_PATH: resource,
        f"{RESOURCE_PATH}{urlsplit(ports.audience).path}": resource,
    }
