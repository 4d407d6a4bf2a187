"""Which revision a message is in. There are two eras, and no message may be in both.

New: 2026-07-28. Every request carries its revision in `params._meta`, and headers mirror the body (basic/versioning).
Older: 2024-11-05 to 2025-11-25. A client opens with `initialize` and names the revision in a header from then on; the
gateway keeps no session, so the header alone says it. Without one it is 2025-03-26 (2025-11-25, basic/transports,
"Protocol Version Header").

    revision_of(headers, {"_meta": {META_VERSION: "2026-07-28"}}, b"1")    # "2026-07-28"
    revision_of(headers, None, b"1")                                       # what the header says
"""

from collections.abc import Mapping

from remit.core import Json, Reason
from remit.surfaces._http import Headers
from remit.surfaces.mcp._errors import INVALID_REQUEST, UNSUPPORTED_VERSION, WireError, shown

REVISION = "2026-07-28"
OLDER = ("2025-11-25", "2025-06-18", "2025-03-26", "2024-11-05")
"""The revisions with a handshake, newest first."""

SUPPORTED = (REVISION, *OLDER)

META_VERSION = "io.modelcontextprotocol/protocolVersion"
META_CAPABILITIES = "io.modelcontextprotocol/clientCapabilities"
META_CLIENT = "io.modelcontextprotocol/clientInfo"

TASKS = "io.modelcontextprotocol/tasks"
"""The one extension that is spoken here, in 2026-07-28 only (SEP-2663)."""

HEADER_VERSION = b"mcp-protocol-version"
HEADER_METHOD = b"mcp-method"
HEADER_NAME = b"mcp-name"

_ASSUMED = "2025-03-26"  # the last revision that had no version header
_NEW_META = (META_VERSION, META_CAPABILITIES, META_CLIENT)
_NEW_PARAMS = ("inputResponses", "requestState")


def revision_of(headers: Headers, params: Json, id_: bytes) -> str:
    """Return the revision of a message.

    Raises:
        WireError: `version_unsupported`, with every revision that is supported.
    """
    meta = params.get("_meta") if isinstance(params, dict) else None
    if isinstance(meta, dict) and META_VERSION in meta:
        return REVISION
    if HEADER_VERSION not in headers.values:
        return _ASSUMED
    named = headers.text(HEADER_VERSION)
    if named is None or named not in SUPPORTED:
        raise unsupported(id_, shown(named or ""))
    return named


def check_all_older(headers: Headers, params: Mapping[str, Json], meta: Mapping[str, Json], id_: bytes) -> None:
    """Demand that a message of an older revision carries nothing of the new one.

    Who routes by the new headers or reads the new `_meta` would take it for another message than the one acted on.

    Raises:
        WireError: `era_mixed`.
    """
    found = [name for name in _NEW_META if name in meta] + [name for name in _NEW_PARAMS if name in params]
    found += [name.decode("ascii") for name in (HEADER_METHOD, HEADER_NAME) if name in headers.values]
    if found:
        raise mixed(f"`{found[0]}` belongs to revision {REVISION}, and the message to an older one", id_)


def mixed(message: str, id_: bytes) -> WireError:
    """Refuse a message that is in both eras."""
    fix = f"send all of it as {REVISION}, or open with `initialize` and send all of it as an older revision"
    return WireError(INVALID_REQUEST, Reason("era_mixed", message, fix), id_)


def unsupported(id_: bytes, requested: str) -> WireError:
    """Refuse a revision that nobody here speaks, and name those that are spoken."""
    said = ", ".join(SUPPORTED)
    return WireError(
        UNSUPPORTED_VERSION,
        Reason("version_unsupported", f"this gateway speaks the revisions {said}", f"use {REVISION} or an older one"),
        id_,
        {"supported": list(SUPPORTED), "requested": requested},
    )
