"""Asking once, for everybody who waits, whether a tool server still serves what was reviewed."""

import asyncio
from collections.abc import Awaitable, Callable

from remit.core import RemitError

_SETTLE_S = 2.0


class Verification:
    """The verifications of one tool, numbered from 1, at most one under way.

    A connection or a process is as good as a verification that began after it was made, and only such a one: whoever
    has made it notes `begun` at once, and then waits for a number above that. No clock is involved in the comparison.
    """

    __slots__ = ("_ask", "_loop", "_running", "begun", "changed", "distrusted", "done_at", "finished")

    def __init__(self, ask: Callable[[], Awaitable[frozenset[str]]]) -> None:
        self._ask = ask
        self._loop = asyncio.get_running_loop()
        self._running: asyncio.Task[RemitError | None] | None = None
        self.begun = 0
        self.finished = 0  # the number of the last one that was answered
        self.changed: frozenset[str] = frozenset()  # what that one found
        self.done_at = 0.0  # loop time
        self.distrusted = -1  # no verification up to this number is good for anything

    def distrust(self) -> None:
        """Let no verification that has begun by now count any more, for whatever connection."""
        self.distrusted = self.begun

    async def after(self, number: int) -> RemitError | None:
        """Return once a verification above `number` was answered, or the fault that kept it from an answer.

        Whoever stops waiting stops nobody else.
        """
        while self.finished <= number:
            if self._running is None:
                self.begun += 1
                self._running = asyncio.create_task(self._run(self.begun))
            joined = self.begun
            fault = await asyncio.shield(self._running)
            if fault is not None and joined > number:
                return fault
        return None

    async def settled(self) -> None:
        """Wait a moment for the one under way, whose questions nobody answers any more."""
        if self._running is not None:
            await asyncio.wait([self._running], timeout=_SETTLE_S)

    async def _run(self, number: int) -> RemitError | None:
        try:
            self.changed = await self._ask()
        except RemitError as error:
            return error
        else:
            self.finished, self.done_at = number, self._loop.time()
            return None
        finally:
            self._running = None
