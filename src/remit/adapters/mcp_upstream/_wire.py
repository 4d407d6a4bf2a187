"""Requests of MCP 2026-07-28, prepared once so that a call only joins bytes."""

from dataclasses import dataclass

from remit import __version__
from remit.adapters.http1 import Bounds, Target, header_block, prepare_target
from remit.adapters.mcp_upstream._params import Path, header_paths, header_text, mirrored
from remit.catalogue import Descriptor, Tool
from remit.core import JsonObject, ToolCall, canonical_bytes

PROTOCOL_VERSION = "2026-07-28"
"""The one revision spoken upstream: stateless, no handshake, no session."""

_META: JsonObject = {
    "io.modelcontextprotocol/clientCapabilities": {},
    "io.modelcontextprotocol/clientInfo": {"name": "remit", "version": __version__},
    "io.modelcontextprotocol/protocolVersion": PROTOCOL_VERSION,
}
_HEADERS = (
    ("content-type", "application/json"),
    ("accept", "application/json, text/event-stream"),
    ("accept-encoding", "identity"),
    ("user-agent", f"remit/{__version__}"),
    ("mcp-protocol-version", PROTOCOL_VERSION),
)
_ID = b'{"jsonrpc":"2.0","id":'
_END = b"}}"


@dataclass(frozen=True, slots=True)
class PreparedCall:
    """Everything about calling one operation that does not change from call to call."""

    target: Target
    bounds: Bounds
    _headers: bytes
    _paths: dict[Path, str]
    _before_trace: bytes
    _before_arguments: bytes

    def headers(self, arguments: JsonObject) -> bytes:
        """Return the header lines of a call with `arguments`."""
        if not self._paths:
            return self._headers
        return self._headers + header_block(mirrored(self._paths, arguments))

    def body(self, call: ToolCall) -> bytes:
        """Return the JSON-RPC request that carries `call.canonical`, byte for byte."""
        trace = f"00-{call.trace.trace_id}-{call.trace.span_id}-01".encode("ascii")
        return b"".join((
            _ID, canonical_bytes(call.id), self._before_trace, trace, self._before_arguments, call.canonical, _END,
        ))  # fmt: skip


def prepare_call(tool: Tool, descriptor: Descriptor) -> PreparedCall:
    """Prepare calls of `descriptor` at `tool`.

    Raises:
        RemitError: with the code `url_invalid` or `upstream_unsupported`.
    """
    name = descriptor.upstream_name
    headers = header_block((*_HEADERS, ("mcp-method", "tools/call"), ("mcp-name", header_text(name))))
    meta = canonical_bytes(_META)[:-1] + b',"traceparent":"'
    before_trace = b',"method":"tools/call","params":{"name":' + canonical_bytes(name) + b',"_meta":' + meta
    paths = header_paths(descriptor.input_schema)
    bounds = Bounds(tool.timeout_s, tool.response_bytes_max)
    return PreparedCall(prepare_target(tool.url), bounds, headers, paths, before_trace, b'"},"arguments":')


def plain_request(method: str, request_id: str, params: JsonObject) -> tuple[bytes, bytes]:
    """Return headers and body of a request that is not a call."""
    message: JsonObject = {
        "jsonrpc": "2.0",
        "id": request_id,
        "method": method,
        "params": {**params, "_meta": _META},
    }
    return header_block((*_HEADERS, ("mcp-method", method))), canonical_bytes(message)
