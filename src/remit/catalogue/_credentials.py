"""How a tool may be sent its credential: in a header that says nothing else about the request."""

import re

_TOKEN = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]{1,64}")  # RFC 9110, section 5.6.2

# What the connection, the way between and MCP itself read; a secret there would change the request, or be lost.
_TAKEN = frozenset({
    "accept", "accept-charset", "accept-encoding", "accept-language", "age", "allow", "alt-svc", "cache-control",
    "connection", "content-disposition", "content-encoding", "content-language", "content-length", "content-location",
    "content-range", "content-type", "date", "dpop", "expect", "forwarded", "from", "host", "http2-settings",
    "keep-alive", "last-event-id", "max-forwards", "origin", "pragma", "priority", "range", "referer", "te",
    "traceparent", "tracestate", "baggage", "trailer", "transfer-encoding", "upgrade", "user-agent", "via", "warning",
})  # fmt: skip
_TAKEN_BEGINNINGS = ("if-", "mcp-", "proxy-", "sec-", "x-forwarded-")


def credential_header_wrong(name: str) -> str:
    """Say why a credential cannot be sent in the header `name`; empty when it can. Upper and lower case are one."""
    if not _TOKEN.fullmatch(name):
        return "not the name of a header"
    plain = name.lower()
    if plain in _TAKEN or plain.startswith(_TAKEN_BEGINNINGS):
        return f"the header `{plain}` says something else about a request"
    return ""


def credential_scheme_wrong(scheme: str) -> str:
    """Say why `scheme` cannot stand before a credential (RFC 9110, section 11.1); empty when it can, or is empty."""
    return "" if not scheme or _TOKEN.fullmatch(scheme) else "not an authentication scheme"
