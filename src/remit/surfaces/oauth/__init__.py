"""The token service's door: an agent proves who it is and exchanges its delegation for the task token.

endpoint = TokenEndpoint(
    exchange=service, task_of=live.task, revoked=revoked, audience=audience, ledger=store, clock=clock
)
routes = oauth_routes(endpoint, issuer, tool_tokens.jwks())
plane = DataPlane(door, {"/mcp": mcp.serve, **routes}, health)
"""

from remit.surfaces.oauth._documents import metadata, oauth_routes
from remit.surfaces.oauth._endpoint import TokenEndpoint

__all__ = ["TokenEndpoint", "metadata", "oauth_routes"]
