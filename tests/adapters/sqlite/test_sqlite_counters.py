"""What the writer keeps in memory and writes late: counters, open calls, the look-up by task. And when it must not."""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import apsw
import pytest

from remit.adapters.sqlite import SqliteStore, _writer
from remit.core import Add, Consume, Mark, Obligation, Requirement, Reserve, StoreUnavailableError, canonical_bytes
from remit.permissions import Approval, State
from remit.pipeline import Committed, Conflict, Full, OpenCall
from remit.records import Draft, Payload
from remit.testing import NOON, desk_task

pytestmark = pytest.mark.requirement("R6.1", "R6.4", "R7.6")

LARGE = b"x" * 100_000
MIDNIGHT = NOON + timedelta(hours=12)
AT_ONCE = Reserve("at_once", "clerk/at_once/agent:clerk@now", 1, None)
A_DAY = Reserve("writes", "clerk/writes/user:tom@2026-11-22", 1, MIDNIGHT)


def draft(kind: str, call: str = "", task: str = "t_1", body: bytes = b"") -> Draft:
    leaf = canonical_bytes({"kind": kind, "call": call, "task": task})
    return Draft(
        kind=kind, task=task, call=call, leaf=leaf, payloads=(Payload(name="body", salt=b"s" * 16, body=body),)
    )


def lost(call: OpenCall) -> Draft:
    return draft("unknown", call.call, call.task)


async def begin(store: SqliteStore, call: str, *needs: Obligation, body: bytes = b"") -> Committed | Conflict | Full:
    return await store.begin(draft("intent", call, body=body), (), needs)


async def finish(store: SqliteStore, call: str, *, void: bool = False) -> Committed:
    return await store.finish(draft("outcome", call), void=void)


@asynccontextmanager
async def opened(path: Path) -> AsyncIterator[SqliteStore]:
    store = await SqliteStore.open(path)
    try:
        yield store
    finally:
        await store.close()


@asynccontextmanager
async def in_one_batch(store: SqliteStore) -> AsyncIterator[list[str]]:
    """Keep the writer busy until the block has queued its commands; yield the statements that they come to."""
    busy, go = threading.Event(), threading.Event()
    statements: list[str] = []

    def wait(size: int, root: bytes) -> str:
        busy.set()
        assert go.wait(30)
        return f"{size} {root.hex()}"

    def seen(_: apsw.Cursor, statement: str, __: Any) -> bool:
        statements.append(statement)
        return True

    stuck = asyncio.ensure_future(store.checkpoint(wait))
    assert await asyncio.get_running_loop().run_in_executor(None, busy.wait, 30)
    yield statements
    await asyncio.sleep(0)
    store._writer._connection.exec_trace = seen
    go.set()
    await stuck


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "remit.db"


def run(scenario: Coroutine[Any, Any, None]) -> None:
    asyncio.run(scenario)


def ask(path: Path, query: str) -> list[tuple[Any, ...]]:
    connection = apsw.Connection(str(path))
    try:
        return connection.execute(query).fetchall()
    finally:
        connection.close()


# --- counters ---------------------------------------------------------------------------------------------------------


def test_what_was_counted_in_a_window_survives_a_restart_and_what_was_under_way_does_not(path: Path) -> None:
    async def scenario() -> None:
        async with opened(path) as store:
            assert isinstance(await begin(store, "c_1", AT_ONCE, A_DAY), Committed)
            assert await begin(store, "c_2", AT_ONCE) == Full(AT_ONCE, 1), "the control"
        async with opened(path) as store:
            assert await store.sweep(lost) == 1
            assert await begin(store, "c_2", A_DAY) == Full(A_DAY, 1)
            assert isinstance(await begin(store, "c_2", AT_ONCE), Committed)

    run(scenario())


def test_what_was_given_back_stays_given_back_after_a_restart(path: Path) -> None:
    async def scenario() -> None:
        async with opened(path) as store:
            await begin(store, "c_1", A_DAY)
            await finish(store, "c_1", void=True)
        async with opened(path) as store:
            assert isinstance(await begin(store, "c_2", A_DAY), Committed)

    run(scenario())


def test_a_batch_that_fails_counts_nothing(path: Path) -> None:
    async def scenario() -> None:
        async with opened(path) as store:
            connection = store._writer._connection
            connection.pragma("max_page_count", connection.pragma("page_count"))
            begins = (begin(store, f"c_{number}", AT_ONCE, A_DAY, body=LARGE) for number in range(4))
            answers = await asyncio.gather(*begins, return_exceptions=True)
            assert all(isinstance(answer, StoreUnavailableError) for answer in answers)
            connection.pragma("max_page_count", 1_000_000)
            assert isinstance(await begin(store, "c_4", AT_ONCE, A_DAY), Committed)
            assert await begin(store, "c_5", A_DAY) == Full(A_DAY, 1)
            assert await begin(store, "c_5", AT_ONCE) == Full(AT_ONCE, 1)

    run(scenario())


def test_an_end_that_fails_gives_nothing_back_and_can_be_tried_again(path: Path) -> None:
    async def scenario() -> None:
        async with opened(path) as store:
            await begin(store, "c_1", AT_ONCE, A_DAY)
            connection = store._writer._connection
            connection.pragma("max_page_count", connection.pragma("page_count"))
            with pytest.raises(StoreUnavailableError, match="store_unavailable"):
                await store.finish(draft("outcome", "c_1", body=LARGE), void=True)
            connection.pragma("max_page_count", 1_000_000)
            assert await begin(store, "c_2", AT_ONCE) == Full(AT_ONCE, 1)
            assert await begin(store, "c_2", A_DAY) == Full(A_DAY, 1)
            await finish(store, "c_1", void=True)
            assert isinstance(await begin(store, "c_2", AT_ONCE, A_DAY), Committed)

    run(scenario())


class LyingConnection:
    """Passes everything on; while it `lies`, a COMMIT happens and is reported as failed."""

    def __init__(self, inner: apsw.Connection) -> None:
        self._inner = inner
        self.lies = True

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def execute(self, statement: str, values: Any = ()) -> apsw.Cursor:
        cursor = self._inner.execute(statement, values)
        if self.lies and statement == "COMMIT":
            raise apsw.IOError("told to lie")
        return cursor


def test_a_commit_that_happened_and_was_reported_as_failed_counts(path: Path) -> None:
    async def scenario() -> None:
        async with opened(path) as store:
            liar = LyingConnection(store._writer._connection)
            store._writer._connection = liar  # type: ignore[assignment]  # the same connection, but it lies
            begins = (begin(store, f"c_{number}", Reserve("at_once", "k", 3, None), A_DAY) for number in range(2))
            answers = await asyncio.gather(*begins, return_exceptions=True)
            assert all(isinstance(answer, (StoreUnavailableError, Full)) for answer in answers)
            assert not store.healthy
            liar.lies = False
            assert await begin(store, "c_5", A_DAY) == Full(A_DAY, 1)
            assert await begin(store, "c_5", Reserve("at_once", "k", 1, None)) == Full(
                Reserve("at_once", "k", 1, None), 1
            )
            await finish(store, "c_0")
            assert isinstance(await begin(store, "c_5", Reserve("at_once", "k", 1, None)), Committed)

    run(scenario())


def test_counters_of_windows_long_over_are_dropped_and_of_those_just_over_are_kept(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_writer, "COUNTERS_FIRST", 1)

    def ending(days: float) -> Reserve:
        at: datetime = MIDNIGHT + timedelta(days=days)
        return Reserve("writes", f"until {days}", 1, at)

    async def scenario() -> None:
        async with opened(path) as store:
            await begin(store, "c_1", ending(0), ending(1), ending(2))
            await begin(store, "c_2", ending(2.1), ending(2.2), ending(2.3))
            assert len(store._writer._kept.counters) == 6, "the control: there is room for twice as many as at first"
            await begin(store, "c_3", ending(2.5))
            assert "until 0" not in store._writer._kept.counters
            assert await begin(store, "c_4", ending(1)) == Full(ending(1), 1), "a clock that is set back finds it"
        assert min(ask(path, "SELECT key FROM counters")) == ("until 1",)
        async with opened(path) as store:
            assert len(store._writer._kept.counters) == 6, "the control: nothing was counted yet"
            await begin(store, "c_4", ending(9))
            assert list(store._writer._kept.counters) == ["until 9"]
        assert ask(path, "SELECT key FROM counters") == [("until 9",)]

    run(scenario())


# --- what was done before ---------------------------------------------------------------------------------------------


def day(number: float, seen: int = 0, by: int = 1) -> Add:
    return Add(f"#day/{number}", by, seen, MIDNIGHT + timedelta(days=number))


EVER = Add("#ever/1f@", 400, 0, None)


def test_tallies_and_marks_survive_a_restart_and_a_lost_call_is_not_given_back(path: Path) -> None:
    async def scenario() -> None:
        async with opened(path) as store:
            await begin(store, "c_1", EVER, day(0), Mark((b"m" * 32,)))
        for _ in range(2):
            async with opened(path) as store:
                await store.sweep(lost)
                assert await store.tallies((EVER.key, "#day/0")) == {EVER.key: 400, "#day/0": 1}
                assert (await store.state(NOON)).marks == {b"m" * 32}
                assert await begin(store, "c_2", EVER) == Conflict(EVER.key)

    run(scenario())


def test_a_batch_that_fails_adds_and_marks_nothing(path: Path) -> None:
    async def scenario() -> None:
        async with opened(path) as store:
            connection = store._writer._connection
            connection.pragma("max_page_count", connection.pragma("page_count"))
            begins = (begin(store, f"c_{number}", EVER, Mark((b"m",)), body=LARGE) for number in range(4))
            answers = await asyncio.gather(*begins, return_exceptions=True)
            assert all(isinstance(answer, StoreUnavailableError) for answer in answers)
            connection.pragma("max_page_count", 1_000_000)
            assert (await store.tallies((EVER.key,)), (await store.state(NOON)).marks) == ({}, frozenset())
            assert isinstance(await begin(store, "c_4", EVER, body=LARGE), Committed), "the control"

    run(scenario())


def test_what_a_commit_reported_as_failed_has_added_can_be_given_back(path: Path) -> None:
    async def scenario() -> None:
        async with opened(path) as store:
            liar = LyingConnection(store._writer._connection)
            store._writer._connection = liar  # type: ignore[assignment]  # the same connection, but it lies
            with pytest.raises(StoreUnavailableError):
                await begin(store, "c_1", EVER)
            liar.lies = False
            assert await store.tallies((EVER.key,)) == {EVER.key: 400}
            assert await begin(store, "c_2", EVER) == Conflict(EVER.key)
            await finish(store, "c_1", void=True)
            assert await store.tallies((EVER.key,)) == {}

    run(scenario())


def test_tallies_of_windows_long_over_are_dropped_a_few_at_a_time_and_those_for_ever_are_kept(path: Path) -> None:
    async def scenario() -> None:
        async with opened(path) as store:
            await begin(store, "c_1", EVER, *(day(number / 10) for number in range(10)))
            await begin(store, "c_0", day(2.5, by=0))
            assert ask(path, "SELECT count(*) FROM tallies") == [(11,)], "the control: nothing was counted"
            await begin(store, "c_2", day(2.5))
            assert ask(path, "SELECT count(*) FROM tallies") == [(10,)], "two of twelve are gone"
            assert await begin(store, "c_3", day(0.9)) == Conflict("#day/0.9"), "a clock that is set back finds it"
            for number in range(9):
                await begin(store, f"d_{number}", day(2.5, number + 1))
            assert {key for (key,) in ask(path, "SELECT key FROM tallies")} == {
                EVER.key,
                *(f"#day/{number / 10}" for number in range(5, 10)),
                "#day/2.5",
            }
            await begin(store, "c_4", *(Add(f"#late/{at}", 1, 0, MIDNIGHT + timedelta(days=9_999)) for at in range(4)))
            assert ask(path, "SELECT count(*) FROM tallies WHERE key LIKE '#day%'") == [(0,)]
            assert await store.tallies((EVER.key,)) == {EVER.key: 400}
            await finish(store, "c_1", void=True)
            assert ask(path, "SELECT count(*) FROM tallies WHERE key LIKE '#day%' AND used > 0") == [(0,)]
        [(_, _, _, plan)] = ask(path, "EXPLAIN QUERY PLAN SELECT key FROM tallies WHERE resets < '2' ORDER BY resets")
        assert "tallies_by_end" in plan, "an index finds them"

    run(scenario())


def test_tallies_are_told_while_the_writer_and_the_other_reader_are_busy(path: Path) -> None:
    async def scenario() -> None:
        async with opened(path) as store:
            await begin(store, "c_1", EVER)
            release = threading.Event()
            held_up = store._reading.submit(release.wait, 30)
            async with in_one_batch(store) as statements:
                later = asyncio.ensure_future(begin(store, "c_2", Add(EVER.key, 1, 400, None)))
                assert await store.tallies((EVER.key,)) == {EVER.key: 400}
                assert not later.done()
            assert isinstance(await later, Committed)
            assert await store.tallies((EVER.key,)) == {EVER.key: 401}
            release.set()
            assert held_up.result(30)
            assert sum("INTO tallies" in statement for statement in statements) == 1

    run(scenario())


def test_however_many_calls_a_batch_has_its_tallies_and_marks_are_a_statement_each(path: Path) -> None:
    async def scenario() -> None:
        async with opened(path) as store:
            async with in_one_batch(store) as statements:
                begins = [begin(store, f"c_{n}", day(0, n), Add(EVER.key, 1, n, None), Mark((b"m",))) for n in range(8)]
                waiting = [asyncio.ensure_future(write) for write in (*begins, finish(store, "c_7", void=True))]
            assert all([isinstance(await write, Committed) for write in waiting])
            assert sum("INTO tallies" in statement for statement in statements) == 1
            assert sum("INTO marks" in statement for statement in statements) == 1
            assert sum("SELECT used FROM tallies" in statement for statement in statements) == 2, "each is read once"
            assert await store.tallies((EVER.key, "#day/0")) == {EVER.key: 7, "#day/0": 7}

    run(scenario())


def test_a_call_that_neither_adds_nor_marks_costs_no_statement_for_them(path: Path) -> None:
    async def scenario() -> None:
        async with opened(path) as store:
            async with in_one_batch(store) as statements:
                waiting = [asyncio.ensure_future(begin(store, "c_1", AT_ONCE, A_DAY))]
            await waiting[0]
            assert not any("tallies" in statement or "marks" in statement for statement in statements)

    run(scenario())


# --- what a batch comes to --------------------------------------------------------------------------------------------


def test_a_call_opened_and_closed_in_one_batch_is_never_written_as_open(path: Path) -> None:
    async def scenario() -> None:
        async with opened(path) as store:
            async with in_one_batch(store) as statements:
                pairs = [(begin(store, f"c_{at}", AT_ONCE), finish(store, f"c_{at}")) for at in range(3)]
                waiting = [asyncio.ensure_future(write) for pair in pairs for write in pair]
            assert [(await write) for write in waiting] == [Committed(index) for index in range(6)]
            assert not any("open_calls" in statement for statement in statements)
            assert store._writer._kept.counters == {}

    run(scenario())


def test_however_many_calls_a_batch_has_its_counters_and_open_calls_are_a_statement_each(path: Path) -> None:
    async def scenario() -> None:
        wide = Reserve("writes", A_DAY.key, 100, MIDNIGHT)
        async with opened(path) as store:
            for number in range(8):
                await begin(store, f"a_{number}")
            async with in_one_batch(store) as statements:
                writes = [finish(store, f"a_{number}") for number in range(8)]
                begins = [begin(store, f"b_{number}", wide, AT_ONCE) for number in range(1)]
                begins += [begin(store, f"c_{number}", wide) for number in range(7)]
                waiting = [asyncio.ensure_future(write) for write in (*writes, *begins)]
            assert all([isinstance(await write, Committed) for write in waiting])
            assert sum("INTO counters" in statement for statement in statements) == 1
            assert sum("INTO open_calls" in statement for statement in statements) == 1
            assert sum("FROM open_calls" in statement for statement in statements) == 1
            assert sum("INTO entries" in statement for statement in statements) == 1
        assert ask(path, "SELECT used, resets FROM counters") == [(8, "2026-11-23T00:00:00.000000Z")]
        assert ask(path, "SELECT count(*) FROM open_calls") == [(8,)]

    run(scenario())


# --- the look-up by task ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("reopen", [False, True])
def test_the_entries_of_a_task_are_found_wherever_the_filing_has_got_to(
    path: Path, monkeypatch: pytest.MonkeyPatch, *, reopen: bool
) -> None:
    monkeypatch.setattr(_writer, "FILED_AT_ONCE", 4)
    tasks = ("t_1", "t_2", "")

    async def scenario() -> None:
        store = await SqliteStore.open(path)
        for number in range(15):
            await store.append(draft("denied", f"c_{number}", tasks[number % 3]))
            for at, task in enumerate(tasks):
                found = [entry.index for entry in await store.entries_of(task)]
                assert found == ([] if task == "" else list(range(at, number + 1, 3)))
            if reopen:
                await store.close()
                store = await SqliteStore.open(path)
        await store.close()

    run(scenario())
    assert ask(path, "SELECT upto FROM filing") == [(12,)]
    assert ask(path, "SELECT count(*) FROM filed") == [(8,)], "the control: most were looked up, the last were read"


def test_entries_whose_filing_failed_are_filed_later(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_writer, "FILED_AT_ONCE", 4)

    async def scenario() -> None:
        async with opened(path) as store:
            for number in range(3):
                await store.append(draft("denied", f"c_{number}"))
            connection = store._writer._connection
            connection.pragma("max_page_count", connection.pragma("page_count"))
            with pytest.raises(StoreUnavailableError):
                await store.append(draft("denied", body=LARGE))
            connection.pragma("max_page_count", 1_000_000)
            assert len(await store.entries_of("t_1")) == 3
            await store.append(draft("denied"))
            assert len(await store.entries_of("t_1")) == 4
        assert ask(path, "SELECT idx FROM filed ORDER BY idx") == [(0,), (1,), (2,), (3,)]

    run(scenario())


# --- approvals --------------------------------------------------------------------------------------------------------


def held() -> Approval:
    return Approval(
        id="a_1",
        digest="sha256:d",
        binding="sha256:b",
        task="t_desk",
        user="tom",
        agent="clerk",
        owner="ana",
        use_case="serve",
        operation="pay",
        requirements=(Requirement(kind="approval", approvers=("finance",), quorum=1, within_s=60),),
        code="held",
        message="a person is asked",
        rationale="",
        entry=0,
        opened_at=NOON,
        expires_at=NOON + timedelta(minutes=1),
    )


def test_controls_approvals_and_closed_tasks_survive_a_restart(path: Path) -> None:
    async def scenario() -> None:
        async with opened(path) as store:
            for task in ("t_desk", "t_2"):
                await store.open_task(desk_task(task), draft("task_opened", task=task))
            await store.keep(held(), draft("held"))
            await begin(store, "c_1", Consume("a_1"))
            await store.control("stop", "fire", draft("stop"), tasks=("t_2",))
            await store.probe()
            state = await store.state(NOON)
        async with opened(path) as store:
            assert await store.state(NOON) == state
            assert state.controls == {"approval/a_1": (2, "used"), "stop": (1, "fire")}
            assert [(each.id, each.state, each.call) for each in state.approvals] == [("a_1", State.USED, "c_1")]
            assert [task.id for task in state.tasks] == ["t_desk"]
            assert await begin(store, "c_2", Consume("a_1")) == Conflict("approval/a_1")
            assert await store.begin(draft("intent", "c_2"), (("stop", 0),)) == Conflict("stop")

    run(scenario())


def test_an_approval_used_by_a_begin_that_failed_still_waits(path: Path) -> None:
    async def scenario() -> None:
        async with opened(path) as store:
            await store.keep(held(), draft("held"))
            connection = store._writer._connection
            connection.pragma("max_page_count", connection.pragma("page_count"))
            with pytest.raises(StoreUnavailableError):
                await begin(store, "c_1", Consume("a_1"), body=LARGE)
            connection.pragma("max_page_count", 1_000_000)
            read = (("approval/a_1", 1),)
            assert isinstance(await store.begin(draft("intent", "c_2"), read, (Consume("a_1"),)), Committed)
            assert await begin(store, "c_3", Consume("a_1")) == Conflict("approval/a_1")

    run(scenario())


def test_of_all_in_one_batch_a_control_stops_what_comes_after_it(path: Path) -> None:
    async def scenario() -> None:
        async with opened(path) as store:
            read = (("stop", 0),)
            writes: list[Callable[[], Coroutine[Any, Any, object]]] = [
                lambda: store.begin(draft("intent", "c_1"), read, (A_DAY,)),
                lambda: store.control("stop", "fire", draft("stop")),
                lambda: store.begin(draft("intent", "c_2"), read, (A_DAY,)),
                lambda: store.begin(draft("intent", "c_3"), (("stop", 1),), (A_DAY,)),
            ]
            async with in_one_batch(store) as statements:
                waiting = [asyncio.ensure_future(write()) for write in writes]
            answers = [await write for write in waiting]
            assert answers == [Committed(0), {"stop": 1}, Conflict("stop"), Full(A_DAY, 1)]
            assert sum(statement == "COMMIT" for statement in statements) == 2, "one before, and theirs"

    run(scenario())
