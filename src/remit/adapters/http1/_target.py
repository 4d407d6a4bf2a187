"""Where a request goes, prepared once so that no call parses a URL or builds its request line."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from urllib.parse import SplitResult, urlsplit

from remit.core import RemitError

_PORTS = {"http": 80, "https": 443}
_HOST = re.compile(
    r"(?:[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?)(?:\.[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?)*\.?", re.ASCII
)
_ADDRESS = re.compile(r"[0-9a-f:.]+", re.ASCII)
_PATH = re.compile(r"[\x21-\x7e]*")
_TOKEN = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")  # RFC 9110, section 5.6.2
_VALUE = re.compile(r"[\x20-\x7e]*")
_URL_BYTES_MAX = 2048

Origin = tuple[str, str, int]
"""Scheme, host and port: what a connection belongs to."""


@dataclass(frozen=True, slots=True)
class Target:
    """One place to post to. `head` is the request line and the Host header, ready to send."""

    origin: Origin
    head: bytes


def prepare_target(url: str) -> Target:
    """Read `url` once, strictly: http or https, an ASCII host, no user, no fragment.

    Raises:
        RemitError: with the code `url_invalid`.
    """
    parts, port = _split(url)
    host = parts.hostname or ""
    # (An address in brackets is told from a name by its colons; RFC 3986, section 3.2.2.)
    shape = _ADDRESS if ":" in host else _HOST
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    if not shape.fullmatch(host) or len(host) > 253 or not _PATH.fullmatch(path):
        raise _invalid("a host or path that is not plain ASCII")
    written = f"[{host}]" if ":" in host else host
    if port != _PORTS[parts.scheme]:
        written = f"{written}:{port}"
    head = f"POST {path} HTTP/1.1\r\nhost: {written}\r\n".encode("ascii")
    return Target((parts.scheme, host, port), head)


def _split(url: str) -> tuple[SplitResult, int]:
    if len(url) > _URL_BYTES_MAX or not _PATH.fullmatch(url):
        raise _invalid("a character outside plain ASCII, or too long")
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise _invalid("a port or address that cannot be read") from error
    if parts.scheme not in _PORTS:
        raise _invalid("a scheme other than http and https")
    if parts.username is not None or parts.password is not None or "#" in url:
        raise _invalid("a user, password or fragment")
    return parts, _PORTS[parts.scheme] if port is None else port


def header_block(headers: Iterable[tuple[str, str]]) -> bytes:
    """Write header lines, to be sent as they are. Nothing in a name or value can start another line.

    Raises:
        RemitError: with the code `header_invalid`.
    """
    lines: list[str] = []
    for name, value in headers:
        if not _TOKEN.fullmatch(name) or not _VALUE.fullmatch(value):
            raise RemitError("header_invalid", "a header that is not plain ASCII", "encode the value first")
        lines.append(f"{name}: {value}\r\n")
    return "".join(lines).encode("ascii")


def _invalid(what: str) -> RemitError:
    return RemitError("url_invalid", f"the tool's url has {what}", "write it as https://host:port/path")
