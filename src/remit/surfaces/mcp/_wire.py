"""One message over HTTP, as bytes: what it must look like, in whichever revision it is.

Sources: JSON-RPC 2.0; 2026-07-28, basic/index (per-request `_meta`) and basic/transports (headers that mirror the
body); 2025-11-25, basic/transports and basic/lifecycle.
"""

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass

from remit.core import InputRefusedError, Json, JsonObject, Reason, canonical_bytes, parse_strict
from remit.surfaces._http import Headers
from remit.surfaces.mcp._eras import (
    HEADER_METHOD,
    HEADER_NAME,
    HEADER_VERSION,
    META_CAPABILITIES,
    META_VERSION,
    OLDER,
    REVISION,
    check_all_older,
    mixed,
    revision_of,
    unsupported,
)
from remit.surfaces.mcp._errors import (
    HEADER_MISMATCH,
    INVALID_PARAMS,
    INVALID_REQUEST,
    METHOD_NOT_FOUND,
    PARSE_ERROR,
    WireError,
    shown,
)

METHODS = frozenset({"server/discover", "tools/list", "tools/call", "tasks/get", "tasks/update", "tasks/cancel"})
METHODS_OLDER = frozenset({"initialize", "ping", "tools/list", "tools/call"})
ID_LENGTH_MAX = 128  # characters of a string id; a longer one is never echoed

NAMED_BY = {"tools/call": "name", "tasks/get": "taskId", "tasks/update": "taskId", "tasks/cancel": "taskId"}
"""The parameter that the `Mcp-Name` header repeats (basic/transports; tasks, "Streamable HTTP: Routing Headers")."""

_MEMBERS = frozenset({"jsonrpc", "id", "method", "params"})
_NULL = b"null"


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One well-formed request. `id` is JSON, ready to be echoed; `revision` is one that is supported."""

    id: bytes
    method: str
    params: Mapping[str, Json]
    meta: Mapping[str, Json]
    revision: str = REVISION

    @property
    def older(self) -> bool:
        """Whether it is of a revision before 2026-07-28."""
        return self.revision != REVISION

    def refused(self, reason: Reason, extra: JsonObject | None = None) -> WireError:
        """Refuse what its parameters ask for."""
        return WireError(INVALID_PARAMS, reason, self.id, extra, older=self.older)

    def invalid(self, code: str, message: str) -> WireError:
        """Refuse the form of its parameters."""
        return self.refused(_reason(code, message, self.revision))


@dataclass(frozen=True, slots=True)
class Notification:
    """A message that asks for no answer. None that a client sends changes anything here: acknowledged and dropped."""


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
    revision = revision_of(headers, message.get("params"), id_)
    if "id" not in message:
        if method.startswith("notifications/"):
            return Notification()
        raise _invalid("id_missing", "a request carries an id, so that its answer can be told apart", id_)
    return _new(message, method, headers, id_) if revision == REVISION else _older(message, method, headers, revision)


def _new(message: JsonObject, method: str, headers: Headers, id_: bytes) -> Request:
    """Read a request of 2026-07-28."""
    params, meta = _params(message, id_)
    _check_mirrors(headers, method, params, meta, id_)
    named = meta[META_VERSION]
    if named in OLDER:
        raise mixed(f"revision {named} names itself in `initialize` and in a header, not in `_meta`", id_)
    if named != REVISION:
        raise unsupported(id_, shown(named))
    if method not in METHODS:
        raise WireError(METHOD_NOT_FOUND, _reason("method_unknown", f"there is no method `{shown(method)}`"), id_)
    return Request(id=id_, method=method, params=params, meta=meta)


def _older(message: JsonObject, method: str, headers: Headers, revision: str) -> Request:
    """Read a request of an older revision, in which params and `_meta` may be missing."""
    id_ = _id(message)
    params = message.get("params", {})
    if not isinstance(params, dict):
        raise _invalid("params_not_object", "`params` must be an object", id_, revision)
    meta = params.get("_meta", {})
    if not isinstance(meta, dict):
        raise WireError(
            INVALID_PARAMS, _reason("meta_invalid", "params._meta must be an object", revision), id_, older=True
        )
    check_all_older(headers, params, meta, id_)
    if method not in METHODS_OLDER:
        reason = _reason("method_unknown", f"there is no method `{shown(method)}`", revision)
        raise WireError(METHOD_NOT_FOUND, reason, id_, older=True)
    return Request(id=id_, method=method, params=params, meta=meta, revision=revision)


def _object(body: bytes) -> JsonObject:
    try:
        message = parse_strict(body)
    except InputRefusedError as error:
        rpc = PARSE_ERROR if error.code in ("json_invalid", "encoding_invalid") else INVALID_REQUEST
        raise WireError(rpc, Reason(error.code, error.message, error.fix)) from error
    if isinstance(message, list):  # (2025-03-26 had batches; a server that takes them is asked many things at once)
        raise _invalid("batch_refused", "batches are not taken; send one request at a time", _NULL)
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
        raise _invalid("member_unknown", f"a message has no member `{shown(unknown[0])}`", id_)
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
    wanted: list[tuple[bytes, Json]] = [(HEADER_VERSION, meta[META_VERSION]), (HEADER_METHOD, method)]
    if params.get(NAMED_BY.get(method, "")) is not None:
        wanted.append((HEADER_NAME, params[NAMED_BY[method]]))
    for name, value in wanted:
        sent = headers.text(name)
        if sent is None or (_name_value(sent) if name == HEADER_NAME else sent) != value:
            told = name.decode("ascii")
            reason = _reason("header_mismatch", f"the {told} header must be sent once and equal the body's value")
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


def _invalid(code: str, message: str, id_: bytes, revision: str = REVISION) -> WireError:
    return WireError(INVALID_REQUEST, _reason(code, message, revision), id_)


def _reason(code: str, message: str, revision: str = REVISION) -> Reason:
    return Reason(code, message, f"see the protocol's revision {revision}")
