"""MCP at the edge, revision 2026-07-28: stateless, one request, one answer.

endpoint = McpEndpoint(gateway, live, authenticator, Bounds(), "0.1.0")
await endpoint.serve("POST", headers, receive, send)
"""

from remit.surfaces.mcp._endpoint import McpEndpoint
from remit.surfaces.mcp._wire import REVISION

__all__ = ["REVISION", "McpEndpoint"]
