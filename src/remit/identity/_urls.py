"""Where the token service answers, below its issuer's address. Delegations and assertions are made out to it."""

TOKEN_PATH = "/oauth/token"  # noqa: S105 - a path
JWKS_PATH = "/.well-known/jwks.json"
METADATA_PATH = "/.well-known/oauth-authorization-server"
RESOURCE_PATH = "/.well-known/oauth-protected-resource"  # (RFC 9728, section 3.1; the resource's own path goes behind)


def token_endpoint(issuer: str) -> str:
    """Return the token endpoint's URL: the audience of delegation tokens and of agents' assertions."""
    return f"{issuer}{TOKEN_PATH}"
