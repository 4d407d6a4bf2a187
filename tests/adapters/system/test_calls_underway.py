"""Calls with their tools: what a cut ends, what it leaves alone, and whose cancellation counts."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace

import pytest

from remit.adapters.system import CallsUnderway
from remit.identity import Cut
from remit.testing import desk_delegation

pytestmark = pytest.mark.requirement("R2.11")

TOM = replace(desk_delegation("t_1"), keys=("k_1", "k_2"), chain=("porter",))
UTE = desk_delegation("t_2", user="ute")


class Work:
    """Work that waits; `does` is what it does once it is cancelled, before it ends."""

    def __init__(self, does: Callable[[], Awaitable[None]] | None = None) -> None:
        self.begun = asyncio.Event()
        self.release = asyncio.Event()
        self._does = does

    async def do(self) -> str:
        self.begun.set()
        try:
            await self.release.wait()
        except asyncio.CancelledError:
            if self._does is not None:
                await self._does()
            raise
        return "done"


async def run(underway: CallsUnderway, work: Work) -> "asyncio.Task[str | None]":
    """Begin `work` for tom, in a task of its own that waits for nothing else."""
    task = asyncio.ensure_future(underway.run(TOM, work.do()))
    await work.begun.wait()
    return task


async def goes_on(task: "asyncio.Task[str | None]") -> bool:
    """Whether no cancellation is left in a task that returned: it would strike at whatever is awaited next."""
    await asyncio.wait([task])
    return not task.cancelled() and task.cancelling() == 0


@pytest.mark.parametrize(
    ("cut", "ended"),
    [
        (Cut(agent="clerk"), 2),
        (Cut(agent="porter"), 1),  # which handed the work on
        (Cut(agent="other"), 0),
        (Cut(user="tom"), 1),
        (Cut(user="tom", agent="clerk"), 1),
        (Cut(user="tom", agent="other"), 0),
        (Cut(task="t_2"), 1),
        (Cut(key="k_2"), 1),
        (Cut(key="k_3"), 0),
    ],
    ids=str,
)
def test_a_cut_ends_what_it_concerns_and_counts_it_once(cut: Cut, ended: int) -> None:
    async def scene() -> None:
        underway = CallsUnderway()
        works = {"tom": Work(), "ute": Work()}
        tasks = [asyncio.ensure_future(underway.run(of, works[of.user].do())) for of in (TOM, UTE)]
        for work in works.values():
            await work.begun.wait()
        assert (underway.cut(cut), underway.cut(cut)) == (ended, 0)
        for work in works.values():
            work.release.set()
        assert sorted(map(str, await asyncio.gather(*tasks))) == sorted(["None"] * ended + ["done"] * (2 - ended))
        assert [task.cancelling() for task in tasks] == [0, 0]

    asyncio.run(scene())


def test_what_has_ended_is_no_longer_under_way() -> None:
    async def scene() -> None:
        underway = CallsUnderway()
        for fails in (False, True):

            async def work(*, fails: bool = fails) -> str:
                if fails:
                    raise ValueError("its own fault")
                return "done"

            if fails:
                with pytest.raises(ValueError, match="its own fault"):
                    await underway.run(TOM, work())
            else:
                assert await underway.run(TOM, work()) == "done"
            assert underway.cut(Cut(user="tom")) == 0

    asyncio.run(scene())


def test_whoever_asked_for_the_work_goes_on_after_it_was_cut_off() -> None:
    async def scene() -> None:
        underway, work = CallsUnderway(), Work()

        async def asks_twice() -> list[str | None]:
            first = await underway.run(TOM, work.do())
            await asyncio.sleep(0)  # a cancellation that was left over would strike here
            again = Work()
            again.release.set()
            return [first, await underway.run(TOM, again.do())]

        task = asyncio.ensure_future(asks_twice())
        await work.begun.wait()
        assert underway.cut(Cut(user="tom")) == 1
        assert await task == [None, "done"]
        assert task.cancelling() == 0

    asyncio.run(scene())


def test_a_cancellation_from_outside_goes_on_its_way() -> None:
    async def scene() -> None:
        task = await run(CallsUnderway(), Work())
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert task.cancelled()

    asyncio.run(scene())


@pytest.mark.parametrize("outside_first", [True, False])
def test_of_both_at_once_the_one_from_outside_counts(*, outside_first: bool) -> None:
    async def scene() -> None:
        underway = CallsUnderway()
        task = await run(underway, Work())
        acts: list[Callable[[], object]] = [task.cancel, lambda: underway.cut(Cut(user="tom"))]
        for act in acts if outside_first else reversed(acts):
            act()
        await asyncio.wait([task])
        assert task.cancelled()

    asyncio.run(scene())


def test_the_one_from_outside_counts_also_while_the_work_is_ending() -> None:
    async def scene() -> None:
        underway, ending, free = CallsUnderway(), asyncio.Event(), asyncio.Event()

        async def ends_slowly() -> None:
            ending.set()
            await free.wait()

        task = await run(underway, Work(ends_slowly))
        underway.cut(Cut(user="tom"))
        await ending.wait()
        task.cancel()
        await asyncio.wait([task])
        assert task.cancelled()

    asyncio.run(scene())


def test_work_that_has_its_result_all_the_same_returns_it_and_no_cancellation_is_left() -> None:
    async def scene() -> None:
        underway, begun = CallsUnderway(), asyncio.Event()

        async def stubborn() -> str | None:
            begun.set()
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                return "done"
            return None

        task = asyncio.ensure_future(underway.run(TOM, stubborn()))
        await begun.wait()
        assert underway.cut(Cut(user="tom")) == 1
        assert await task == "done"
        assert await goes_on(task)

    asyncio.run(scene())


def test_a_bound_of_time_inside_the_work_does_not_take_the_cut_for_its_own() -> None:
    async def scene() -> None:
        underway, begun = CallsUnderway(), asyncio.Event()

        async def bounded() -> str:
            try:
                async with asyncio.timeout(600):
                    begun.set()
                    await asyncio.Event().wait()
            except TimeoutError:
                return "too slow"
            return ""

        task = asyncio.ensure_future(underway.run(TOM, bounded()))
        await begun.wait()
        underway.cut(Cut(user="tom"))
        assert await task is None
        assert await goes_on(task)

    asyncio.run(scene())


def test_in_a_task_that_is_being_cancelled_the_cut_is_still_told_from_the_earlier_one() -> None:
    async def scene() -> None:
        underway, last, begun = CallsUnderway(), Work(), asyncio.Event()

        async def cleans_up() -> str | None:
            try:
                begun.set()
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                return await underway.run(TOM, last.do())
            return ""

        task = asyncio.ensure_future(cleans_up())
        await begun.wait()
        task.cancel()
        await last.begun.wait()
        assert underway.cut(Cut(user="tom")) == 1
        assert await task is None
        assert task.cancelling() == 1, "the earlier one is whose it was"

    asyncio.run(scene())
