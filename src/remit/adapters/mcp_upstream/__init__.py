"""Tool servers over MCP 2026-07-28: one stateless POST per call, answers read strictly.

Rules: the arguments leave as the canonical bytes that were decided on; nothing else of the client's does. A tool's
fault is a value and never raises. Of an answer only `content`, `structuredContent` and `isError` come back.

    upstream = McpUpstream(Pool(PoolLimits()))
    match await upstream.invoke(tool, descriptor, call):
        case UpstreamAnswer(result=result): ...
        case UpstreamFailure(code="upstream_timeout", sent=Sent.UNKNOWN): ...
"""

from remit.adapters.mcp_upstream._upstream import Discovery, McpUpstream
from remit.adapters.mcp_upstream._wire import PROTOCOL_VERSION

__all__ = ["PROTOCOL_VERSION", "Discovery", "McpUpstream"]
