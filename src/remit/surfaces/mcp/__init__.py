"""MCP at the edge, stateless: one request, one answer, in 2026-07-28 or an older revision with a handshake.

endpoint = McpEndpoint(gateway, live, authenticator, Bounds(), "0.1.0", approvals_url="https://remit.example/approvals")
await endpoint.serve("POST", headers, receive, send)
"""

from remit.surfaces.mcp._endpoint import McpEndpoint
from remit.surfaces.mcp._eras import REVISION

__all__ = ["REVISION", "McpEndpoint"]
