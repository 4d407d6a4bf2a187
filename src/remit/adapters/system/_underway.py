"""Calls whose tool is at work: each is a task of the event loop, and is cancelled when its authority is cut off."""

import asyncio
from collections.abc import Coroutine
from typing import TypeVar

from remit.core import Delegation
from remit.identity import Cut

T = TypeVar("T")


class CallsUnderway:
    """The `Underway` port. For one event loop.

    The work is done in the task that asks for it, so that it costs no task of its own. A cancellation that is ours is
    taken back once it has ended the work; one from outside (the client is gone, the process stops) goes on its way.
    """

    def __init__(self) -> None:
        self._running: dict[asyncio.Task[object], Delegation] = {}
        self._cut: set[asyncio.Task[object]] = set()

    async def run(self, delegation: Delegation, work: Coroutine[None, None, T]) -> T | None:
        """See `Underway.run`. Work that was cut off and has its result all the same returns it."""
        here = asyncio.current_task()
        if here is None:
            work.close()
            raise RuntimeError("calls are made in tasks of an event loop")
        cancelled_before = here.cancelling()
        self._running[here] = delegation
        try:
            return await work
        except asyncio.CancelledError:
            # Both at once: who cancels from outside waits for this task to end, so theirs is what counts.
            if here not in self._cut or here.cancelling() > cancelled_before + 1:
                raise
            return None
        finally:
            self._running.pop(here, None)
            if here in self._cut:
                self._cut.discard(here)
                here.uncancel()

    def cut(self, cut: Cut) -> int:
        """See `Underway.cut`. A call is cut off, and counted, once."""
        ended = [task for task, each in self._running.items() if _concerned(cut, each)]
        for task in ended:
            del self._running[task]
            self._cut.add(task)
            task.cancel()
        return len(ended)


def _concerned(cut: Cut, of: Delegation) -> bool:
    return cut.concerns(user=of.user, agent=of.agent, task=of.task, chain=of.chain, keys=of.keys)
