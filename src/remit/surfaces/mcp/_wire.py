"""MCP revision 2026-07-28 over HTTP, as bytes: what a request must look like, and how answers are written.

Sources: the revision's basic/index (per-request `_meta`), basic/transports (headers that mirror the body) and JSON-RPC
2.0. Error codes: -32700 and -326xx by JSON-RPC, -32020 header mismatch and -32022 unsupported version by the revision.
"""

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass

from remit.core import InputRefusedError, Json, JsonObject, Reason, canonical_bytes, is_name, parse_strict
from remit.surfaces._http import Headers

REVISION = "2026-07-28"

PARSE_ERROR = -32700
INVALID_REQUEST = -32600
METHOD_NOT_FOUND = -32601
INVALID_PARAMS = -32602
HEADER_MISMATCH = -32020
UNSUPPORTED_VERSION = -32022

META_VERSION = "io.modelcontextprotocol/protocolVersion"
META_CAPABILITIES = "io.modelcontextprotocol/clientCapabilities"
META_SERVER = "io.modelcontextprotocol/serverInfo"

METHODS = frozenset({"server/discover", "tools/list", "tools/call"})
ID_LENGTH_MAX = 128  # characters of a string id; a longer one is never echoed

_MEMBERS = frozenset({"jsonrpc", "id", "method", "params"})
_STATUS = {METHOD_NOT_FOUND: 404}  # every other refusal is 400, as the revision's transport page asks
_NULL = b"null"


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One well-formed request. `id` is JSON, ready to be echoed."""

    id: bytes
    method: str
    params: Mapping[str, Json]
    meta: Mapping[str, Json]


@dataclass(frozen=True, slots=True)
class Notification:
    """A message that asks for no answer. The revision gives a client none to send; it is acknowledged and dropped."""


class WireError(Exception):
    """A message that is refused. Nothing of it has been acted on."""

    def __init__(self, rpc: int, reason: Reason, id: bytes = _NULL, extra: JsonObject | None = None) -> None:  # noqa: A002 - JSON-RPC's word
        super().__init__(reason.code)
        self.rpc = rpc
        self.reason = reason
        self.id = id
        self.extra = extra or {}

    @property
    def status(self) -> int:
        """The HTTP status that goes with the error."""
        return _STATUS.get(self.rpc, 400)


def read_request(body: bytes, headers: Headers) -> Request | Notification:
    """Read one message, strictly.

    Raises:
        WireError: the first rule that does not hold.
    """
    message = _object(body)
    id_ = _id(message)
    method = message.get("method")
    if not isinstance(method, str):
        raise _invalid("method_missing", "a request names its method", id_)
    if "id" not in message:
        if method.startswith("notifications/"):
            return Notification()
        raise _invalid("id_missing", "a request carries an id, so that its answer can be told apart", id_)
    if method == "initialize":  # a client of an older revision: these words are all that it can show (versioning page)
        raise _unsupported(id_, "initialize")
    params, meta = _params(message, id_)
    _check_mirrors(headers, method, params, meta, id_)
    if meta[META_VERSION] != REVISION:
        raise _unsupported(id_, _shown(meta[META_VERSION]))
    if method not in METHODS:
        raise WireError(METHOD_NOT_FOUND, _reason("method_unknown", f"there is no method `{_shown(method)}`"), id_)
    return Request(id=id_, method=method, params=params, meta=meta)


def read_call(request: Request) -> tuple[str, JsonObject]:
    """Return the operation and the arguments of a `tools/call`.

    Raises:
        WireError: the name is not one (only ASCII is, so nothing looks alike), or the arguments are no object.
    """
    name, arguments = request.params.get("name"), request.params.get("arguments")
    if not is_name(name) or not isinstance(name, str):
        raise WireError(
            INVALID_PARAMS,
            Reason(
                "operation_name_invalid", f"`{_shown(name)}` is not an operation's name", "use a name from tools/list"
            ),
            request.id,
        )
    if arguments is None:
        arguments = {}
    if not isinstance(arguments, dict):
        raise WireError(INVALID_PARAMS, _reason("arguments_not_object", "arguments must be an object"), request.id)
    return name, arguments


def write_result(id_: bytes, result: bytes) -> bytes:
    """Frame a result that is already JSON."""
    return b'{"jsonrpc":"2.0","id":' + id_ + b',"result":' + result + b"}"


def write_error(error: WireError) -> bytes:
    """Frame a refusal."""
    data = {"code": error.reason.code, "fix": error.reason.fix, **error.extra}
    # (Clients show the message and drop the data, so the stable code stands in both.)
    message = f"{error.reason.code}: {error.reason.message}"
    said = canonical_bytes({"code": error.rpc, "message": message, "data": data})
    return b'{"jsonrpc":"2.0","id":' + error.id + b',"error":' + said + b"}"


def write_tool_error(reason: Reason, meta: JsonObject) -> bytes:
    """Write a refusal as a tool's result: the model reads it and can choose otherwise (revision, tools, "Errors")."""
    text = f"{reason.code}: {reason.message}" + (f"; to mend it: {reason.fix}" if reason.fix else "")
    return canonical_bytes(
        {
            "resultType": "complete",
            "isError": True,
            "content": [{"type": "text", "text": text}],
            "_meta": {**meta, "remit/code": reason.code},
        }
    )


def _object(body: bytes) -> JsonObject:
    try:
        message = parse_strict(body)
    except InputRefusedError as error:
        rpc = PARSE_ERROR if error.code in ("json_invalid", "encoding_invalid") else INVALID_REQUEST
        raise WireError(rpc, Reason(error.code, error.message, error.fix)) from error
    if isinstance(message, list):
        raise _invalid("batch_refused", "batches are not part of the protocol; send one request at a time", _NULL)
    if not isinstance(message, dict):
        raise _invalid("not_an_object", "a message is a JSON object", _NULL)
    return message


def _id(message: JsonObject) -> bytes:
    """Check the envelope; return the id as JSON, `null` where it is missing or not to be echoed."""
    given = message.get("id")
    well = (isinstance(given, int) and not isinstance(given, bool)) or (
        isinstance(given, str) and len(given) <= ID_LENGTH_MAX
    )
    id_ = canonical_bytes(given) if well else _NULL
    if "id" in message and not well:
        raise _invalid("id_invalid", f"an id is an integer or a string of up to {ID_LENGTH_MAX} characters", _NULL)
    if message.get("jsonrpc") != "2.0":
        raise _invalid("jsonrpc_missing", '`jsonrpc` must be "2.0"', id_)
    unknown = sorted(message.keys() - _MEMBERS)
    if unknown:
        raise _invalid("member_unknown", f"a message has no member `{_shown(unknown[0])}`", id_)
    return id_


def _params(message: JsonObject, id_: bytes) -> tuple[JsonObject, JsonObject]:
    """Return a request's `params` and their `_meta`, which says who asks in what revision (basic/index, `_meta`)."""
    params = message.get("params")
    if params is not None and not isinstance(params, dict):
        raise _invalid("params_not_object", "`params` must be an object", id_)
    meta = params.get("_meta") if isinstance(params, dict) else None
    if not isinstance(params, dict) or not isinstance(meta, dict):
        raise WireError(INVALID_PARAMS, _reason("meta_missing", "params._meta must be an object"), id_)
    for key in (META_VERSION, META_CAPABILITIES):
        if key not in meta:
            raise WireError(INVALID_PARAMS, _reason("meta_missing", f"params._meta lacks `{key}`"), id_)
    if not isinstance(meta[META_CAPABILITIES], dict):
        raise WireError(INVALID_PARAMS, _reason("meta_invalid", f"`{META_CAPABILITIES}` must be an object"), id_)
    return params, meta


def _check_mirrors(
    headers: Headers, method: str, params: Mapping[str, Json], meta: Mapping[str, Json], id_: bytes
) -> None:
    """Demand that the routing headers say what the body says, each exactly once."""
    wanted: list[tuple[bytes, Json]] = [(b"mcp-protocol-version", meta[META_VERSION]), (b"mcp-method", method)]
    if method == "tools/call" and params.get("name") is not None:
        wanted.append((b"mcp-name", params["name"]))
    for name, value in wanted:
        sent = headers.text(name)
        if sent is None or (_name_value(sent) if name == b"mcp-name" else sent) != value:
            shown = name.decode("ascii")
            reason = _reason("header_mismatch", f"the {shown} header must be sent once and equal the body's value")
            raise WireError(HEADER_MISMATCH, reason, id_)


def _name_value(sent: str) -> str | None:
    """Undo the base64 form that the revision gives to names that are not plain ASCII. There is one such form a name."""
    if not (sent.startswith("=?base64?") and sent.endswith("?=")):
        return sent
    try:
        name = base64.b64decode(sent[9:-2], validate=True)
        return name.decode("utf-8") if base64.b64encode(name).decode("ascii") == sent[9:-2] else None
    except (binascii.Error, UnicodeDecodeError):
        return None


def _unsupported(id_: bytes, requested: str) -> WireError:
    return WireError(
        UNSUPPORTED_VERSION,
        Reason("version_unsupported", f"this gateway speaks {REVISION} only", f"use protocol version {REVISION}"),
        id_,
        {"supported": [REVISION], "requested": requested},
    )


def _invalid(code: str, message: str, id_: bytes) -> WireError:
    return WireError(INVALID_REQUEST, _reason(code, message), id_)


def _reason(code: str, message: str) -> Reason:
    return Reason(code, message, "see the protocol's revision 2026-07-28")


def _shown(value: object) -> str:
    """Show a hostile name safely: short, and every character that is not printable ASCII as its code point."""
    text = value if isinstance(value, str) else type(value).__name__
    return "".join(c if c.isascii() and c.isprintable() else f"<U+{ord(c):04X}>" for c in text[:64])
