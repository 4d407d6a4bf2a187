"""What may be reached, and where: https, or http on this machine, and never with a credential in the address."""

import re
from ipaddress import ip_address
from urllib.parse import SplitResult, parse_qsl, urlsplit

Wrong = tuple[str, str, str]
"""A code, what was found and expected, and the fix."""

_WHOLE = "write the whole URL"
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
    return _wrong(url, "tool_url", "https://tools.example.com/mcp")


def address_wrong(url: str, example: str) -> Wrong | None:
    """Say why `url` cannot be where a server of the organisation answers, such as `example`; None when it can."""
    return _wrong(url, "address", example)


def issuer_wrong(url: str) -> Wrong | None:
    """Say why `url` cannot name an issuer; None when it can (OpenID Connect Discovery, section 2: no query, fragment).

    It is compared as it is written, so a slash at its end is part of it.
    """
    example = "https://id.example.org"
    if "?" in url:
        return "address_invalid", f"expected an issuer such as {example}, without a query", _WHOLE
    return address_wrong(url, example)


def _wrong(url: str, what: str, example: str) -> Wrong | None:
    invalid = f"{what}_invalid", f"expected an address such as {example}", _WHOLE
    if not _PRINTABLE.fullmatch(url) or "\\" in url or "#" in url:
        return invalid
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        return invalid
    if parts.scheme not in {"http", "https"} or not host or not _HOST.fullmatch(host) or port == 0:
        return invalid
    return _credentials(parts, what) or _insecure(parts.scheme, host, what)


def has_credentials(parts: SplitResult) -> bool:
    """Tell whether an address of any scheme carries a name, a password, or a parameter that looks like a key."""
    return _credentials(parts, "address") is not None


def _credentials(parts: SplitResult, what: str) -> Wrong | None:
    fix = "take it out, and treat it as known to others if the file was shared"
    if "@" in parts.netloc:
        return f"{what}_credentials", "a name or password in the URL: credentials never go into project files", fix
    named = next((key for key, _ in parse_qsl(parts.query, keep_blank_values=True) if _SECRET.search(key)), None)
    if named is not None:
        message = f"the parameter `{named[:40]}` looks like a credential: credentials never go into project files"
        return f"{what}_credentials", message, fix
    return None


def _insecure(scheme: str, host: str, what: str) -> Wrong | None:
    if scheme == "https" or is_loopback(host):
        return None
    message = f"http to `{host[:80]}`, which is not this machine: anyone on the way could read and change it"
    return f"{what}_insecure", message, "use https, or a loopback address such as http://127.0.0.1:9000/mcp"
