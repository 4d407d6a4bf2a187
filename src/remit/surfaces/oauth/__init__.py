"""The token service's door: an agent proves who it is, shows for whom it acts, and gets a task token of its own.

ports = TokenPorts(exchange=service, logins=authenticator, proofs=proofs, opening=desk, ending=controls, ...)
published = Published(jwks=tool_tokens.jwks(), issuers=["https://id.example.org"])
routes = oauth_routes(ports, published)
plane = DataPlane(door, {"/mcp": mcp.serve, **routes}, health)
"""

from remit.surfaces.oauth._documents import Published, metadata, oauth_routes, resource_metadata
from remit.surfaces.oauth._ports import TokenPorts

__all__ = ["Published", "TokenPorts", "metadata", "oauth_routes", "resource_metadata"]
