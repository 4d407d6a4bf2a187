"""How a message is refused on the wire, whatever its revision.

Error codes: -32700 and -326xx by JSON-RPC 2.0; -32020 header mismatch, -32021 missing capability and -32022 unsupported
version by MCP 2026-07-28, which leaves -32000 to us.
"""

from remit.core import JsonObject, Reason

PARSE_ERROR = -32700
INVALID_REQUEST = -32600
METHOD_NOT_FOUND = -32601
INVALID_PARAMS = -32602
HEADER_MISMATCH = -32020
MISSING_CAPABILITY = -32021
UNSUPPORTED_VERSION = -32022
APPROVAL_OVER = -32000  # of a held call that nobody can approve any more

_NULL = b"null"


class WireError(Exception):
    """A message that is refused. Nothing of it has been acted on.

    `older` marks the answer to a well-formed request of an older revision: it goes out with status 200, because their
    transport answers a request with a JSON object, and their clients take 404 for the end of a session (2025-11-25,
    basic/transports, "Sending Messages to the Server" and "Session Management").
    """

    def __init__(
        self,
        rpc: int,
        reason: Reason,
        id: bytes = _NULL,  # noqa: A002 - JSON-RPC's word
        extra: JsonObject | None = None,
        *,
        older: bool = False,
    ) -> None:
        super().__init__(reason.code)
        self.rpc = rpc
        self.reason = reason
        self.id = id
        self.extra = extra or {}
        self.older = older

    @property
    def status(self) -> int:
        """The HTTP status that goes with the error: in 2026-07-28 always 400, but 404 for an unknown method."""
        if self.older and self.rpc in (METHOD_NOT_FOUND, INVALID_PARAMS):
            return 200
        return 404 if self.rpc == METHOD_NOT_FOUND else 400


def shown(value: object) -> str:
    """Show a hostile name safely: short, and every character that is not printable ASCII as its code point."""
    text = value if isinstance(value, str) else type(value).__name__
    return "".join(c if c.isascii() and c.isprintable() else f"<U+{ord(c):04X}>" for c in text[:64])
