"""Doing a thing once for everybody who waits for it at the same time."""

import asyncio
from collections.abc import Callable, Coroutine, Hashable
from typing import Any, Generic, TypeVar

K = TypeVar("K", bound=Hashable)
T = TypeVar("T")

_SETTLE_S = 2.0  # seconds that what is under way has to end by itself when we close


class Shared(Generic[K, T]):
    """What is under way, by key. What is done must be bounded in time; it raises nothing.

    Whoever stops waiting stops nobody else.
    """

    def __init__(self) -> None:
        self._running: dict[K, asyncio.Task[T]] = {}  # what can be joined
        self._all: set[asyncio.Task[T]] = set()

    async def join(self, key: K, work: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """Return what `work` returns, or what one returns that is under way for the same `key`."""
        task = self._running.get(key)
        if task is None:
            task = self._running[key] = asyncio.create_task(work())
            self._all.add(task)
            task.add_done_callback(lambda ended: self._end(key, ended))
        return await asyncio.shield(task)

    def part(self, which: Callable[[K], bool]) -> None:
        """Let nobody join any more what is under way for such keys; it goes on for those who wait already."""
        self._running = {key: task for key, task in self._running.items() if not which(key)}

    async def close(self) -> None:
        """Wait a moment for what is under way, then end it."""
        if self._all:
            _, late = await asyncio.wait(self._all, timeout=_SETTLE_S)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)

    def _end(self, key: K, ended: asyncio.Task[T]) -> None:
        self._all.discard(ended)
        if self._running.get(key) is ended:
            del self._running[key]
