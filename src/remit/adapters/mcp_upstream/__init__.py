"""Tool servers over MCP: over HTTP one stateless POST per call (2026-07-28), or a supervised program over stdio.

Rules: the arguments leave as the canonical bytes that were decided on; nothing else of the client's does. A tool's
fault is a value and never raises. Of an answer only `content`, `structuredContent` and `isError` come back. No call
goes over a new connection, or to a new process, before what it serves was compared with what was reviewed.

    upstream = McpUpstream(Pool(PoolLimits()), root=project, on_connect=compare)
    match await upstream.invoke(tool, descriptor, call, credential):
        case UpstreamAnswer(result=result): ...
        case UpstreamFailure(code="upstream_timeout", sent=Sent.UNKNOWN): ...
    await upstream.close()
"""

from remit.adapters.mcp_upstream._upstream import Discovery, McpUpstream
from remit.adapters.mcp_upstream._wire import PROTOCOL_VERSION

__all__ = ["PROTOCOL_VERSION", "Discovery", "McpUpstream"]
