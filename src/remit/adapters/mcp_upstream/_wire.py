"""Requests of MCP 2026-07-28 and of the revisions with a handshake, prepared once so that a call only joins bytes."""

import re
from dataclasses import dataclass

from remit import __version__
from remit.adapters.http1 import Bounds, Target, header_block, prepare_target
from remit.adapters.mcp_upstream._params import Path, header_paths, header_text, mirrored
from remit.catalogue import Descriptor, Tool, credential_header_wrong
from remit.core import JsonObject, RemitError, ToolCall, canonical_bytes
from remit.pipeline import Credential

PROTOCOL_VERSION = "2026-07-28"
"""The revision spoken wherever the server speaks it: stateless, no handshake, no session."""

HANDSHAKE_VERSIONS = ("2025-11-25", "2025-06-18", "2025-03-26")
"""The older revisions that a program may choose from over stdio; the first is what we offer."""

CREDENTIAL_KEY = "remit/credential"
"""Where a call over stdio carries its credential, in `_meta` and without its scheme: there are no headers."""

_CLIENT: JsonObject = {"name": "remit", "version": __version__}
_META: JsonObject = {
    "io.modelcontextprotocol/clientCapabilities": {},
    "io.modelcontextprotocol/clientInfo": _CLIENT,
    "io.modelcontextprotocol/protocolVersion": PROTOCOL_VERSION,
}
_HEADERS = (
    ("content-type", "application/json"),
    ("accept", "application/json, text/event-stream"),
    ("accept-encoding", "identity"),
    ("user-agent", f"remit/{__version__}"),
    ("mcp-protocol-version", PROTOCOL_VERSION),
)
_VALUE = re.compile(r"(?:[!#$%&'*+\-.^_`|~0-9A-Za-z]+ )?[!-~]+")  # RFC 9110, section 11.4; or one word alone
_ID = b'{"jsonrpc":"2.0","id":'
_CREDENTIAL = b',"' + CREDENTIAL_KEY.encode("ascii") + b'":'


def secret_of(credential: Credential) -> str:
    """Return what is secret of a credential: its value without the scheme, which is the word before it."""
    return credential.value.rpartition(" ")[2]


@dataclass(frozen=True, slots=True)
class CallBody:
    """A `tools/call` of one operation, all but what changes from call to call."""

    _before_trace: bytes

    def write(self, request_id: str, call: ToolCall, secret: str = "") -> bytes:
        """Return the JSON-RPC request that carries `call.canonical`, byte for byte, and a `secret` if there is one."""
        trace = f"00-{call.trace.trace_id}-{call.trace.span_id}-01".encode("ascii")
        shown = _CREDENTIAL + canonical_bytes(secret) if secret else b""
        return b"".join((
            _ID, canonical_bytes(request_id), self._before_trace, trace, b'"', shown, b'},"arguments":',
            call.canonical, b"}}",
        ))  # fmt: skip


@dataclass(frozen=True, slots=True)
class PreparedPost:
    """Everything about calling one operation over HTTP that does not change from call to call."""

    target: Target
    bounds: Bounds
    body: CallBody
    _headers: bytes
    _paths: dict[Path, str]

    def headers(self, arguments: JsonObject, credential: Credential) -> bytes:
        """Return the header lines of a call with `arguments`.

        Raises:
            RemitError: `credential_invalid`; the message does not repeat it.
        """
        headers = self._headers
        if self._paths:
            headers += header_block(mirrored(self._paths, arguments))
        if not credential.value:
            return headers
        wrong = credential_header_wrong(credential.header)
        if wrong:
            raise RemitError("credential_invalid", wrong, "name another header in the tool's `credential`")
        if not _VALUE.fullmatch(credential.value):
            raise RemitError(
                "credential_invalid", "a credential that fits no header", "look at the tool's `credential`"
            )
        return b"%b%b: %b\r\n" % (headers, credential.header.encode("ascii"), credential.value.encode("ascii"))


@dataclass(frozen=True, slots=True)
class PreparedLines:
    """The same over stdio: one body for each form of the protocol, as nobody knows it before the program has spoken."""

    modern: CallBody
    older: CallBody


def prepare_post(tool: Tool, descriptor: Descriptor) -> PreparedPost:
    """Prepare calls of `descriptor` at `tool.url`.

    Raises:
        RemitError: with the code `url_invalid` or `upstream_unsupported`.
    """
    name = header_text(descriptor.upstream_name)
    return PreparedPost(
        target=prepare_target(tool.url),
        bounds=Bounds(tool.timeout_s, tool.response_bytes_max),
        body=_call_body(descriptor, _META),
        _headers=header_block((*_HEADERS, ("mcp-method", "tools/call"), ("mcp-name", name))),
        _paths=header_paths(descriptor.input_schema),
    )


def prepare_lines(descriptor: Descriptor) -> PreparedLines:
    """Prepare calls of `descriptor` at a program."""
    return PreparedLines(_call_body(descriptor, _META), _call_body(descriptor, {}))


def plain_post(method: str, request_id: str, params: JsonObject) -> tuple[bytes, bytes]:
    """Return headers and body of a request that is not a call."""
    return header_block((*_HEADERS, ("mcp-method", method))), plain_body(method, request_id, params)


def plain_body(method: str, request_id: str, params: JsonObject, *, modern: bool = True) -> bytes:
    """Return a request that is not a call."""
    said: JsonObject = {**params, "_meta": _META} if modern else params
    return canonical_bytes({"jsonrpc": "2.0", "id": request_id, "method": method, "params": said})


def initialize_body(request_id: str) -> bytes:
    """Return the request that opens a handshake (MCP 2025-11-25, lifecycle, "Initialization")."""
    params: JsonObject = {"protocolVersion": HANDSHAKE_VERSIONS[0], "capabilities": {}, "clientInfo": _CLIENT}
    return plain_body("initialize", request_id, params, modern=False)


def _call_body(descriptor: Descriptor, meta: JsonObject) -> CallBody:
    said = canonical_bytes(meta)[:-1] + (b"," if meta else b"")
    name = canonical_bytes(descriptor.upstream_name)
    return CallBody(b',"method":"tools/call","params":{"name":%b,"_meta":%b"traceparent":"' % (name, said))
