"""What the token service says of itself to anybody: its metadata (RFC 8414) and the keys of tool tokens (RFC 7517)."""

from collections.abc import Awaitable, Callable

from remit.core import JsonObject, Reason, canonical_bytes
from remit.identity import JWKS_PATH, METADATA_PATH, TOKEN_PATH, token_endpoint
from remit.surfaces._http import Headers, Receive, Send, problem, reply
from remit.surfaces.oauth._endpoint import TokenEndpoint
from remit.surfaces.oauth._form import TOKEN_EXCHANGE

MAX_AGE_S = 300  # seconds that others may keep a document

_Serve = Callable[[str, Headers, Receive, Send], Awaitable[None]]


def metadata(issuer: str) -> JsonObject:
    """Describe the token service at `issuer` (RFC 8414, section 2)."""
    return {
        "issuer": issuer,
        "token_endpoint": token_endpoint(issuer),
        "jwks_uri": f"{issuer}{JWKS_PATH}",
        "grant_types_supported": [TOKEN_EXCHANGE],
        "response_types_supported": [],
        "token_endpoint_auth_methods_supported": ["private_key_jwt"],
        "token_endpoint_auth_signing_alg_values_supported": ["Ed25519", "EdDSA"],
    }


def oauth_routes(endpoint: TokenEndpoint, issuer: str, jwks: JsonObject) -> dict[str, _Serve]:
    """Return the routes of the token service, for the data plane."""
    return {
        TOKEN_PATH: endpoint.serve,
        JWKS_PATH: _document(jwks),
        METADATA_PATH: _document(metadata(issuer)),
    }


def _document(said: JsonObject) -> _Serve:
    body = canonical_bytes(said)

    async def serve(method: str, _headers: Headers, _receive: Receive, send: Send) -> None:
        if method != "GET":
            reason = Reason("method_not_allowed", "this document is only read", "send GET")
            return await problem(send, 405, reason, (b"allow", b"GET"))
        return await reply(send, 200, body, (b"cache-control", b"public, max-age=%d" % MAX_AGE_S))

    return serve
