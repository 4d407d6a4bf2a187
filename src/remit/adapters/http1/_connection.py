"""One connection: it carries one request at a time and knows whether it may carry another."""

import asyncio
import select
from collections.abc import Callable
from typing import cast

from remit.adapters.http1._answer import Answer, Watch
from remit.adapters.http1._codes import Code, failure
from remit.adapters.http1._limits import PoolLimits
from remit.adapters.http1._response import Response
from remit.pipeline import Sent, UpstreamFailure

_OVER = select.POLLIN | select.POLLERR | select.POLLHUP


class Connection(asyncio.Protocol):
    """A TCP or TLS connection to one origin. `on_lost` hears of its end exactly once."""

    __slots__ = (
        "_answer", "_drain_s", "_loop", "_on_lost", "_poll", "_timer", "_transport", "_waiter", "idle_since", "lost",
        "used",
    )  # fmt: skip

    def __init__(self, limits: PoolLimits, on_lost: Callable[["Connection"], None]) -> None:
        self._loop = asyncio.get_running_loop()
        self._answer = Answer(limits.header_bytes_max)
        self._drain_s = limits.drain_s_max
        self._on_lost = on_lost
        self._poll = select.poll()
        self._timer: asyncio.TimerHandle | None = None
        self._transport: asyncio.Transport | None = None
        self._waiter: asyncio.Future[Response | UpstreamFailure] | None = None
        self.idle_since = 0.0
        self.used = False  # whether a request has ever been written
        self.lost: asyncio.Future[None] = self._loop.create_future()

    async def exchange(
        self, request: bytes, *, deadline: float, body_bytes_max: int, watch: Watch | None
    ) -> Response | UpstreamFailure:
        """Write `request` once and return its answer, or what kept it from coming before `deadline` (loop time).

        Whoever asked then looks at `reusable`: after a failure or a cancelled wait it is false, so that a half-read
        answer never meets another request.
        """
        if self._transport is None or self._transport.is_closing():
            return failure(Code.CLOSED, Sent.NOT_SENT, "the connection ended before the request was written")
        if self._loop.time() >= deadline:
            return failure(Code.TIMEOUT, Sent.NOT_SENT, "the time was up before the request was written")
        self.used = True
        self._answer.begin(body_bytes_max, watch)
        self._waiter = self._loop.create_future()
        self._timer = self._loop.call_at(deadline, self._expire)
        self._transport.write(request)
        try:
            return await self._waiter
        finally:
            self._timer.cancel()
            self._waiter = None

    @property
    def reusable(self) -> bool:
        """Tell whether the last answer was whole, nothing follows it, and the request left completely."""
        answer, transport = self._answer, self._transport
        if transport is None or not answer.whole or not answer.keep_alive or transport.is_closing():
            return False
        return transport.get_write_buffer_size() == 0

    @property
    def quiet(self) -> bool:
        """Tell whether an idle connection is still open with nothing to read.

        Asking the kernel closes most of the gap in which the peer has hung up and the loop has not yet noticed.
        """
        return self._transport is not None and not self._transport.is_closing() and not self._poll.poll(0)

    def abort(self) -> None:
        """Close at once, dropping whatever is not yet sent or read."""
        if self._transport is not None:
            self._transport.abort()

    def _settle(self, result: Response | UpstreamFailure) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(result)

    def _expire(self) -> None:
        if self._answer.enough:
            self._settle(self._answer.result())
        else:
            self._settle(failure(Code.TIMEOUT, Sent.UNKNOWN, "no whole answer in time"))

    def _drain(self) -> None:
        """Give a stream a moment to end by itself after the event waited for, so that its connection can be kept."""
        if self._timer is not None and not self._timer.cancelled():
            end = min(self._timer.when(), self._loop.time() + self._drain_s)
            self._timer.cancel()
            self._timer = self._loop.call_at(end, self._expire)

    # The transport's callbacks.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self._transport = cast("asyncio.Transport", transport)  # uvloop's own class is one in all but name
        self._poll.register(transport.get_extra_info("socket").fileno(), _OVER)

    def data_received(self, data: bytes) -> None:
        """Read on; bytes that nobody waits for end the connection."""
        if self._waiter is None or self._waiter.done():
            self.abort()
            return
        had_enough = self._answer.enough
        self._answer.feed(data)
        if self._answer.whole or self._answer.fault is not None:
            self._settle(self._answer.result())
        elif self._answer.enough and not had_enough:
            self._drain()

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell whoever waits that no more will come."""
        if self._answer.enough:
            self._settle(self._answer.result())
        else:
            said = f": {type(exc).__name__}" if exc is not None else ""
            self._settle(failure(Code.CLOSED, Sent.UNKNOWN, f"the connection ended before the answer did{said}"))
        if not self.lost.done():
            self.lost.set_result(None)
            self._on_lost(self)
