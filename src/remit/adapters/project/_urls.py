"""What may be reached, and where: https, or http on this machine, and never with a credential in the address."""

import re
from ipaddress import ip_address
from typing import Literal
from urllib.parse import SplitResult, parse_qsl, urlsplit

Wrong = tuple[str, str, str]
"""A code, what was found and expected, and the fix."""

_WHOLE = "write the whole URL"
_TAKE_OUT = "take it out, and treat it as known to others if the file was shared"
_PRINTABLE = re.compile(r"[!-~]+", re.ASCII)
_HOST = re.compile(r"[A-Za-z0-9._:-]+", re.ASCII)
_SECRET = re.compile(r"key|token|secret|passw|pwd|auth|credential|signature|^sig$", re.IGNORECASE)


def is_loopback(host: str) -> bool:
    """Tell whether `host` is this machine's own: `localhost`, 127.0.0.0/8 or ::1, written out."""
    if host.lower() == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def url_wrong(url: str) -> Wrong | None:
    """Say why `url` cannot be a tool's address; None when it can."""
    fault, found = _fault(url)
    match fault:
        case "shape":
            return "tool_url_invalid", "expected an address such as https://tools.example.com/mcp", _WHOLE
        case "person":
            message = "a name or password in the URL: credentials never go into project files"
            return "tool_url_credentials", message, _TAKE_OUT
        case "parameter":
            message = f"the parameter `{found}` looks like a credential: credentials never go into project files"
            return "tool_url_credentials", message, _TAKE_OUT
        case "insecure":
            message = f"http to `{found}`, which is not this machine: anyone on the way could read and change calls"
            return "tool_url_insecure", message, "use https, or a loopback address such as http://127.0.0.1:9000/mcp"
        case _:
            return None


def address_wrong(url: str) -> Wrong | None:
    """Say why `url` cannot be where a server of the organisation's answers; None when it can."""
    fault, found = _fault(url)
    match fault:
        case "shape":
            return "address_invalid", "expected an address such as https://id.example.org", _WHOLE
        case "person" | "parameter":
            message = "a credential in the address: credentials never go into project files"
            return "address_credentials", message, _TAKE_OUT
        case "insecure":
            message = f"http to `{found}`, which is not this machine: anyone on the way could read and change it"
            return "address_insecure", message, "use https, or a loopback address such as http://127.0.0.1:9000"
        case _:
            return None


def issuer_wrong(url: str) -> Wrong | None:
    """Say why `url` cannot name an issuer; None when it can (RFC 8414, section 2: without query and fragment).

    It is compared as it is written, so a slash at its end is part of it.
    """
    if "?" in url:
        return "address_invalid", "expected an issuer such as https://id.example.org, without a query", _WHOLE
    return address_wrong(url)


def has_credentials(parts: SplitResult) -> bool:
    """Tell whether an address of any scheme carries a name, a password, or a parameter that looks like a key."""
    return _credentials(parts) is not None


_Fault = tuple[Literal["", "shape", "person", "parameter", "insecure"], str]
"""What is wrong with an address, empty where nothing is; and the parameter or the host that it is about."""


def _fault(url: str) -> _Fault:
    if not _PRINTABLE.fullmatch(url) or "\\" in url or "#" in url:
        return "shape", ""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        return "shape", ""
    if parts.scheme not in {"http", "https"} or not host or not _HOST.fullmatch(host) or port == 0:
        return "shape", ""
    if parts.scheme == "https" or is_loopback(host):
        return _credentials(parts) or ("", "")
    return _credentials(parts) or ("insecure", host[:80])


def _credentials(parts: SplitResult) -> _Fault | None:
    if "@" in parts.netloc:
        return "person", ""
    named = next((key for key, _ in parse_qsl(parts.query, keep_blank_values=True) if _SECRET.search(key)), None)
    return None if named is None else ("parameter", named[:40])
