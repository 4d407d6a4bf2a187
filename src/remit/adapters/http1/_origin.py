"""The connections to one origin: at most so many, used last-in first-out, handed on in the order of asking.

State is owned by the event loop's thread. `_open` holds every connection that is made and not ended, in use or idle;
`_opening` counts those being made, including the turns given to waiters that have not started yet.

INVARIANT: len(_open) + _opening <= connections_max, and nobody waits while a connection is idle or a place is free.
"""

import asyncio
import ssl
from collections import deque
from collections.abc import Callable
from contextlib import suppress

from remit.adapters.http1._codes import Code, failure
from remit.adapters.http1._connection import Connection
from remit.adapters.http1._limits import PoolLimits
from remit.adapters.http1._target import Origin
from remit.pipeline import Sent, UpstreamFailure

_Turn = asyncio.Future[Connection | None]
"""What a waiter gets: a connection, or None for a place to make one in."""


class OriginPool:
    """Everything open to one origin. `tls` is asked for a context only when the scheme is https."""

    __slots__ = ("_closed", "_idle", "_limits", "_loop", "_open", "_opening", "_origin", "_tls", "_waiting")

    def __init__(self, origin: Origin, limits: PoolLimits, tls: Callable[[], ssl.SSLContext]) -> None:
        self._origin = origin
        self._limits = limits
        self._tls = tls
        self._loop = asyncio.get_running_loop()
        self._open: set[Connection] = set()
        self._idle: list[Connection] = []  # oldest first
        self._waiting: deque[_Turn] = deque()
        self._opening = 0
        self._closed = False

    @property
    def connections(self) -> int:
        """How many connections are open, in use or idle."""
        return len(self._open)

    @property
    def unused(self) -> bool:
        """Tell whether nothing is in use, being made or waited for."""
        return len(self._open) == len(self._idle) and not self._opening and not self._waiting

    def take_idle(self) -> Connection | None:
        """Take the most recently used connection that is still open, young enough and silent."""
        oldest = self._loop.time() - self._limits.idle_s_max
        while self._idle:
            connection = self._idle.pop()
            if connection.idle_since >= oldest and connection.quiet:
                return connection
            self._discard(connection)
        return None

    async def take(self, deadline: float) -> Connection | UpstreamFailure:
        """Take a connection: an idle one, a new one, or the next to come free before `deadline` (loop time)."""
        while not self._closed:
            connection = self.take_idle()
            if connection is not None:
                return connection
            if len(self._open) + self._opening < self._limits.connections_max:
                self._opening += 1
                return await self._connect(deadline)
            if len(self._waiting) >= self._limits.waiting_max:
                return failure(Code.BUSY, Sent.NOT_SENT, f"{self._limits.waiting_max} calls wait already")
            turn = await self._queue(deadline)
            if turn is None:
                return await self._connect(deadline)
            if isinstance(turn, UpstreamFailure) or turn.quiet:
                return turn
            self._discard(turn)  # it ended between being handed on and being used: nothing was written, so ask again
        return failure(Code.UNREACHABLE, Sent.NOT_SENT, "the client is closed")

    def give_back(self, connection: Connection) -> None:
        """Return a connection after use: handed on, kept, or closed when it must not be used again."""
        if connection not in self._open:
            return
        if not connection.reusable or self._limits.idle_s_max <= 0:
            self._discard(connection)
        elif not self._hand_on(connection):
            connection.idle_since = self._loop.time()
            self._idle.append(connection)
            self._drop_old(connection.idle_since - self._limits.idle_s_max)

    def close(self) -> list[asyncio.Future[None]]:
        """End every connection; calls under way fail. Return what to wait for."""
        self._closed = True
        ending = [connection.lost for connection in self._open]
        for connection in tuple(self._open):
            self._discard(connection)
        while self._place_is_free():
            pass  # every waiter gets a turn, and finds the pool closed
        return ending

    async def _queue(self, deadline: float) -> Connection | UpstreamFailure | None:
        turn: _Turn = self._loop.create_future()
        self._waiting.append(turn)
        try:
            async with asyncio.timeout_at(deadline):
                return await turn
        except TimeoutError:
            self._decline(turn)
            return failure(Code.TIMEOUT, Sent.NOT_SENT, "no connection came free in time")
        except asyncio.CancelledError:
            self._decline(turn)
            raise

    def _decline(self, turn: _Turn) -> None:
        """Pass on what a waiter was given but cannot use any more."""
        if not turn.done() or turn.cancelled():
            with suppress(ValueError):  # already taken from the queue by whoever looked for a live waiter
                self._waiting.remove(turn)
            return
        connection = turn.result()
        if connection is not None:
            self.give_back(connection)
        else:
            self._opening -= 1
            self._place_is_free()

    async def _connect(self, deadline: float) -> Connection | UpstreamFailure:
        """Make a connection in the place already counted in `_opening`."""
        scheme, host, port = self._origin
        made: Connection | None = None
        try:
            if self._closed:
                return failure(Code.UNREACHABLE, Sent.NOT_SENT, "the client is closed")
            async with asyncio.timeout_at(min(deadline, self._loop.time() + self._limits.connect_s_max)):
                _, made = await self._loop.create_connection(
                    lambda: Connection(self._limits, self._lost),
                    host,
                    port,
                    ssl=self._tls() if scheme == "https" else None,
                )
        except TimeoutError:
            return failure(Code.UNREACHABLE, Sent.NOT_SENT, f"no connection to {host}:{port} in time")
        except OSError as error:  # refused, no route, unknown name, and all of TLS
            return failure(Code.UNREACHABLE, Sent.NOT_SENT, f"no connection to {host}:{port}: {_said(error)}")
        finally:
            self._opening -= 1
            if made is None or made.lost.done():
                self._place_is_free()
            else:
                self._open.add(made)
        if self._closed:
            self._discard(made)
        return made

    def _discard(self, connection: Connection) -> None:
        connection.abort()
        if connection in self._open:
            self._open.remove(connection)
            self._place_is_free()

    def _lost(self, connection: Connection) -> None:
        """Hear of a connection's end, whoever ended it."""
        if connection in self._open:
            self._open.remove(connection)
            with suppress(ValueError):  # in use, not idle
                self._idle.remove(connection)
            self._place_is_free()

    def _drop_old(self, oldest: float) -> None:
        while self._idle and self._idle[0].idle_since < oldest:
            self._discard(self._idle.pop(0))

    def _place_is_free(self) -> bool:
        """Let the next waiter make a connection; tell whether there was one."""
        self._opening += 1
        if self._hand_on(None):
            return True
        self._opening -= 1
        return False

    def _hand_on(self, connection: Connection | None) -> bool:
        while self._waiting:
            turn = self._waiting.popleft()
            if not turn.done():
                turn.set_result(connection)
                return True
        return False


def _said(error: OSError) -> str:
    return (getattr(error, "verify_message", "") or error.strerror or type(error).__name__).lower()[:100]
