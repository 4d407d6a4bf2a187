"""The pool: one small table of origins, and `post`."""

import asyncio
import ssl
from collections.abc import Awaitable, Callable
from dataclasses import replace

from remit.adapters.http1._answer import Watch
from remit.adapters.http1._codes import Code, failure
from remit.adapters.http1._connection import Connection
from remit.adapters.http1._limits import Bounds, PoolLimits
from remit.adapters.http1._origin import OriginPool
from remit.adapters.http1._response import Response
from remit.adapters.http1._target import Origin, Target
from remit.pipeline import Sent, UpstreamFailure

OnNew = Callable[[float], Awaitable[UpstreamFailure | None]]
"""Asked, with the call's deadline in loop time, before a new connection carries its first request."""


class Pool:
    """Persistent connections to many origins, for one event loop.

    The TLS context is `tls`, or the platform's trust store, loaded once and only when the first https origin is called.
    """

    def __init__(self, limits: PoolLimits | None = None, tls: ssl.SSLContext | None = None) -> None:
        self._limits = limits or PoolLimits()
        self._tls = tls
        self._origins: dict[Origin, OriginPool] = {}
        self._closed = False

    @property
    def connections(self) -> int:
        """How many connections are open now, in use or idle."""
        return sum(origin.connections for origin in self._origins.values())

    def apart(self) -> "Pool":
        """Return another pool with the same trust and bounds, which makes a new connection for every request.

        What it asks is asked of whoever answers new connections now, and never waits for calls under way here.
        """
        return Pool(replace(self._limits, idle_s_max=0.0), self._tls)

    async def post(  # noqa: PLR0913, PLR0917 - a request is made of as many things
        self,
        target: Target,
        headers: bytes,
        body: bytes,
        bounds: Bounds,
        watch: Watch | None = None,
        on_new: OnNew | None = None,
    ) -> Response | UpstreamFailure:
        """Post `body` to `target`, once, and return the whole answer whatever its status, or why there is none.

        `headers` is a `header_block` without Host and Content-Length. `bounds.timeout_s` covers everything: waiting for
        a connection, making it, and the answer to its last byte. `watch` sees each piece of an event stream and says
        when the rest is not needed. `on_new` is asked first when the connection has never carried a request; with what
        it returns the call fails, unsent. Never raises for the peer's faults; no redirect is followed.
        """
        deadline = asyncio.get_running_loop().time() + bounds.timeout_s
        origin = self._origins.get(target.origin) or self._remember(target.origin)
        if isinstance(origin, UpstreamFailure):
            return origin
        connection = origin.take_idle() or await origin.take(deadline)
        if isinstance(connection, UpstreamFailure):
            return connection
        request = b"%b%bcontent-length: %d\r\n\r\n%b" % (target.head, headers, len(body), body)
        try:
            if on_new is not None and not connection.used:
                refused = await on_new(deadline) or _gone(connection)
                if refused is not None:
                    return refused
            return await connection.exchange(
                request, deadline=deadline, body_bytes_max=bounds.response_bytes_max, watch=watch
            )
        finally:
            origin.give_back(connection)

    async def close(self) -> None:
        """End every connection, also those in use, and wait until they are gone. Later calls are refused unsent."""
        self._closed = True
        ending = [lost for origin in self._origins.values() for lost in origin.close()]
        self._origins.clear()
        await asyncio.gather(*ending)

    def _remember(self, origin: Origin) -> OriginPool | UpstreamFailure:
        if self._closed:
            return failure(Code.UNREACHABLE, Sent.NOT_SENT, "the client is closed")
        if len(self._origins) >= self._limits.origins_max:
            self._forget_unused()
        if len(self._origins) >= self._limits.origins_max:
            return failure(Code.BUSY, Sent.NOT_SENT, f"{self._limits.origins_max} origins are in use already")
        return self._origins.setdefault(origin, OriginPool(origin, self._limits, self._tls_context))

    def _forget_unused(self) -> None:
        for key in [key for key, origin in self._origins.items() if origin.unused]:
            self._origins.pop(key).close()

    def _tls_context(self) -> ssl.SSLContext:
        if self._tls is None:
            self._tls = ssl.create_default_context()
        return self._tls


def _gone(connection: Connection) -> UpstreamFailure | None:
    """Tell a connection that ended while it was asked about, before anything is written to it."""
    if connection.quiet:
        return None
    return failure(Code.CLOSED, Sent.NOT_SENT, "the connection ended before the request was written")
