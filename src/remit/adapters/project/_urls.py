"""Where a tool may be reached: https, or http on this machine, and never with a credential in the address."""

import re
from ipaddress import ip_address
from urllib.parse import SplitResult, parse_qsl, urlsplit

Wrong = tuple[str, str, str]
"""A code, what was found and expected, and the fix."""

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
    invalid = "tool_url_invalid", "expected an address such as https://tools.example.com/mcp", "write the whole URL"
    if not _PRINTABLE.fullmatch(url) or "\\" in url or "#" in url:
        return invalid
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        return invalid
    if parts.scheme not in {"http", "https"} or not host or not _HOST.fullmatch(host) or port == 0:
        return invalid
    return _credentials(parts) or _insecure(parts.scheme, host)


def has_credentials(parts: SplitResult) -> bool:
    """Tell whether an address of any scheme carries a name, a password, or a parameter that looks like a key."""
    return _credentials(parts) is not None


def _credentials(parts: SplitResult) -> Wrong | None:
    fix = "take it out, and treat it as known to others if the file was shared"
    if "@" in parts.netloc:
        return "tool_url_credentials", "a name or password in the URL: credentials never go into project files", fix
    named = next((key for key, _ in parse_qsl(parts.query, keep_blank_values=True) if _SECRET.search(key)), None)
    if named is not None:
        message = f"the parameter `{named[:40]}` looks like a credential: credentials never go into project files"
        return "tool_url_credentials", message, fix
    return None


def _insecure(scheme: str, host: str) -> Wrong | None:
    if scheme == "https" or is_loopback(host):
        return None
    message = f"http to `{host[:80]}`, which is not this machine: anyone on the way could read and change calls"
    return "tool_url_insecure", message, "use https, or a loopback address such as http://127.0.0.1:9000/mcp"
