"""Fetching what an issuer publishes: bounded in time and size, no redirect followed, no proxy, no cleartext."""

import asyncio
import ssl
from collections.abc import Awaitable, Callable
from ipaddress import ip_address
from urllib.parse import urlsplit

import httpx2

from remit.core import RemitError

Fetch = Callable[[str], Awaitable[bytes]]
"""Returns what is published at an address, whole.

Raises:
    FetchFailedError: it is not there, or not to be had within the bounds.
"""

BYTES_MAX = 64 * 1024  # one document
WAIT_S = 5.0  # from the first byte sent to the last byte read

_HEADERS = {"accept": "application/json", "accept-encoding": "identity", "user-agent": "remit"}


class FetchFailedError(RemitError):
    """Nothing was fetched; `message` says why."""

    def __init__(self, message: str) -> None:
        super().__init__("fetch_failed", message, "see that the issuer's address is right and answers from here")


class HttpFetch:
    """A `Fetch` over HTTP. Each fetch has a connection of its own: there is one every half an hour or so."""

    def __init__(self, wait_s: float = WAIT_S, bytes_max: int = BYTES_MAX, tls: ssl.SSLContext | None = None) -> None:
        self._wait_s = wait_s
        self._bytes_max = bytes_max
        self._tls = tls  # made at the first use: reading the system's authorities takes long

    async def __call__(self, url: str) -> bytes:
        """See `Fetch`."""
        if not may_be_fetched(url):
            raise FetchFailedError("the address is neither https nor http on this machine")
        try:
            async with asyncio.timeout(self._wait_s):
                return await self._fetch(url)
        except TimeoutError as error:
            raise FetchFailedError(f"no whole answer within {self._wait_s:g} s") from error
        except (httpx2.HTTPError, httpx2.InvalidURL) as error:
            raise FetchFailedError(f"no answer: {type(error).__name__}") from error

    async def _fetch(self, url: str) -> bytes:
        if self._tls is None:
            self._tls = ssl.create_default_context()
        async with (
            httpx2.AsyncClient(verify=self._tls, trust_env=False, follow_redirects=False, timeout=None) as client,
            client.stream("GET", url, headers=_HEADERS) as answer,
        ):
            if answer.status_code != 200:
                raise FetchFailedError(f"http {answer.status_code}")
            if answer.headers.get("content-encoding", "identity") != "identity":
                raise FetchFailedError("a content coding nobody asked for")
            return await self._read(answer)

    async def _read(self, answer: httpx2.Response) -> bytes:
        body = bytearray()
        async for piece in answer.aiter_raw():
            body += piece
            if len(body) > self._bytes_max:
                raise FetchFailedError(f"an answer over {self._bytes_max} bytes")
        return bytes(body)


def may_be_fetched(url: str) -> bool:
    """Tell whether `url` is https, or http on this machine, with no user, password or fragment in it."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        return False
    if not host or port == 0 or "@" in parts.netloc or "#" in url or not url.isascii() or not url.isprintable():
        return False
    return parts.scheme == "https" or (parts.scheme == "http" and _is_loopback(host))


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False
