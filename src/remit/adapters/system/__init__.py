"""The real clock and randomness, the bell that held calls wait for, and the calls that are with their tools.

clock = SystemClock()
clock.now(); clock.elapsed_us(); random(16)
await Bell().wait("a_1", 5.0)
await CallsUnderway().run(delegation, work)
"""

import asyncio
import os
import time
from datetime import UTC, datetime

from remit.adapters.system._underway import CallsUnderway

__all__ = ["Bell", "CallsUnderway", "SystemClock", "random"]

BLOCK_BYTES = 4_096  # asked of the system at once: each request lets other threads in, which costs more than the bytes


class SystemClock:
    """Wall time for what is written down, monotonic time for what is measured."""

    def now(self) -> datetime:
        """See `Clock.now`."""
        return datetime.now(UTC)

    def elapsed_us(self) -> int:
        """See `Clock.elapsed_us`."""
        return time.monotonic_ns() // 1000


class Bell:
    """Wakes held calls when somebody has decided. For one event loop."""

    def __init__(self) -> None:
        self._waiting: dict[str, set[asyncio.Future[None]]] = {}

    async def wait(self, approval: str, seconds: float) -> bool:
        """See `Bell.wait` of the pipeline's ports."""
        rung: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        waiting = self._waiting.setdefault(approval, set())
        waiting.add(rung)
        try:
            async with asyncio.timeout(seconds):
                await rung
        except TimeoutError:
            return False
        finally:
            waiting.discard(rung)
            if not waiting and self._waiting.get(approval) is waiting:
                del self._waiting[approval]
        return True

    def ring(self, approval: str) -> None:
        """See `Bell.ring` of the pipeline's ports."""
        for rung in self._waiting.pop(approval, ()):
            if not rung.done():
                rung.set_result(None)


class _Random:
    """The system's randomness, asked for in blocks; no byte is given out twice. For one thread: the event loop's."""

    def __init__(self) -> None:
        self._block = b""
        self._at = 0
        os.register_at_fork(after_in_child=self._forget)

    def __call__(self, count: int) -> bytes:
        """Return `count` random bytes, at most BLOCK_BYTES."""
        if self._at + count > len(self._block):
            self._block, self._at = os.urandom(BLOCK_BYTES), 0
        start, self._at = self._at, self._at + count
        return self._block[start : self._at]

    def _forget(self) -> None:
        self._block, self._at = b"", 0


random = _Random()
