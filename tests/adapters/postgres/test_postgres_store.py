"""What the contract cannot see of the store on PostgreSQL: several nodes, lost connections, damage, secrets."""

import asyncio
import traceback
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import asyncpg
import pytest
import uvloop

from remit.adapters.postgres import PostgresStore, _connections, _store
from remit.core import Add, Authority, Mark, RemitError, Reserve, StoreUnavailableError, canonical_bytes
from remit.pipeline import RELEASE, Committed, Conflict, Full, OpenCall
from remit.records import Draft, leaf_hash, root_of
from remit.testing import NOON, desk_task

NewSchema = Callable[[], Awaitable[str]]
Run = Callable[[Coroutine[Any, Any, None]], None]

MIDNIGHT = NOON + timedelta(hours=12)
AT_ONCE = Reserve("at_once", "clerk/at_once/agent:clerk@now", 4, None)
A_DAY = Reserve("writes", "clerk/writes/user:tom@2026-11-22", 1, MIDNIGHT)


@pytest.fixture
def run() -> Run:
    """Run on the gateway's own event loop; the contract runs on the other one."""

    def go(scenario: Coroutine[Any, Any, None]) -> None:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(scenario)

    return go


def draft(kind: str, call: str = "", task: str = "t_1") -> Draft:
    leaf = canonical_bytes({"kind": kind, "call": call, "task": task})
    return Draft(kind=kind, task=task, call=call, leaf=leaf)


def lost(call: OpenCall) -> Draft:
    return draft("unknown", call.call, call.task)


def note(size: int, root: bytes) -> str:
    return f"{size} {root.hex()}"


@asynccontextmanager
async def opened(dsn: str) -> AsyncIterator[PostgresStore]:
    store = await PostgresStore.open(dsn)
    try:
        yield store
    finally:
        await store.close()


async def start(dsn: str) -> None:
    """Open a store, and close it if that was not refused."""
    async with opened(dsn):
        pass


@asynccontextmanager
async def nodes(dsn: str) -> AsyncIterator[tuple[PostgresStore, PostgresStore]]:
    async with opened(dsn) as one, opened(dsn) as other:
        yield one, other


@asynccontextmanager
async def asking(dsn: str) -> AsyncIterator["asyncpg.Connection[asyncpg.Record]"]:
    """Look behind the store's back."""
    connection = await asyncpg.connect(dsn)
    try:
        yield connection
    finally:
        await connection.close()


async def order(dsn: str, statement: str) -> None:
    async with asking(dsn) as connection:
        await connection.execute(statement)


@asynccontextmanager
async def log_held(dsn: str) -> AsyncIterator[Callable[[], Awaitable[int]]]:
    """Hold the log's row; yield how to wait until a store waits for it, which tells the process that serves it."""
    async with asking(dsn) as connection, asking(dsn) as watch, connection.transaction():
        await connection.execute("SELECT * FROM log FOR UPDATE")
        mine = connection.get_server_pid()

        async def waiting() -> int:
            async with asyncio.timeout(20):
                while True:
                    query = "SELECT pid FROM pg_stat_activity WHERE $1 = ANY(pg_blocking_pids(pid))"
                    found = await watch.fetchval(query, mine)
                    if found is not None:
                        return int(found)

        yield waiting


# --- several nodes ----------------------------------------------------------------------------------------------------


@pytest.mark.requirement("R6.1", "R6.4")
def test_two_nodes_agree_on_what_is_under_way(run: Run, new_schema: NewSchema) -> None:
    async def scenario() -> None:
        async with nodes(await new_schema()) as stores:
            begins = (stores[n % 2].begin(draft("intent", f"c_{n}"), (), (AT_ONCE,)) for n in range(20))
            answers = await asyncio.gather(*begins)
            assert sum(isinstance(answer, Committed) for answer in answers) == 4
            assert sum(answer == Full(AT_ONCE, 4) for answer in answers) == 16
            winner = next(n for n, answer in enumerate(answers) if isinstance(answer, Committed))
            await stores[(winner + 1) % 2].finish(draft("outcome", f"c_{winner}"))
            late = await stores[winner % 2].begin(draft("intent", "late"), (), (AT_ONCE,))
            assert isinstance(late, Committed), "what ended on one node makes room on the other"

    run(scenario())


@pytest.mark.requirement("R3.4")
def test_two_nodes_agree_on_what_was_done_before(run: Run, new_schema: NewSchema) -> None:
    async def scenario() -> None:
        async with nodes(await new_schema()) as (one, other):
            for stores in ((one, other), (other, one)):
                seen = (await stores[1].tallies(("#k",))).get("#k", 0)
                adds = (Add("#k", 5, seen, None), Mark((b"m",)))
                assert isinstance(await stores[0].begin(draft("intent", f"c_{seen}"), (), adds), Committed)
                assert await stores[1].begin(draft("intent", "late"), (), adds) == Conflict("#k")
            assert await one.tallies(("#k",)) == await other.tallies(("#k",)) == {"#k": 10}
            assert (await other.state(NOON)).marks == {b"m"}
            await other.finish(draft("outcome", "c_0"), void=True)
            assert await one.tallies(("#k",)) == {"#k": 5}, "what one began the other gives back"

    run(scenario())


def test_tallies_are_told_while_the_log_is_held(run: Run, new_schema: NewSchema) -> None:
    async def scenario() -> None:
        dsn = await new_schema()
        async with opened(dsn) as store:
            await store.begin(draft("intent", "c_1"), (), (Add("#k", 5, 0, None),))
            async with log_held(dsn) as waiting:
                later = asyncio.ensure_future(store.begin(draft("intent", "c_2"), (), (Add("#k", 1, 5, None),)))
                await waiting()
                assert await store.tallies(("#k",)) == {"#k": 5}
            assert isinstance(await later, Committed)

    run(scenario())


@pytest.mark.requirement("R5.1")
def test_two_nodes_write_one_log_without_a_gap(run: Run, new_schema: NewSchema) -> None:
    async def scenario() -> None:
        async with nodes(await new_schema()) as stores:
            done = await asyncio.gather(*(stores[n % 2].append(draft("denied", f"c_{n}")) for n in range(60)))
            assert sorted(each.index for each in done) == list(range(60))
            entries = await stores[0].entries(0, 60)
            assert [entries[each.index].call for each in done] == [f"c_{n}" for n in range(60)]
            root = root_of(leaf_hash(entry.leaf) for entry in entries)
            assert await stores[1].checkpoint(note) == note(60, root) == await stores[0].checkpoint(lambda *_: "no")

    run(scenario())


def test_a_control_of_one_node_is_seen_by_the_very_next_begin_of_the_other(run: Run, new_schema: NewSchema) -> None:
    async def scenario() -> None:
        async with nodes(await new_schema()) as (one, other):
            read = ((RELEASE, 0), ("stop", 0))
            assert await other.begin(draft("intent", "c_1"), read) == Committed(0), "the control"
            await one.control("stop", "fire", draft("stop"))
            assert await other.begin(draft("intent", "c_2"), read) == Conflict("stop")

    run(scenario())


def test_nodes_that_start_at_once_on_an_empty_schema_all_start(run: Run, new_schema: NewSchema) -> None:
    async def scenario() -> None:
        dsn = await new_schema()
        stores = await asyncio.gather(*(PostgresStore.open(dsn) for _ in range(4)))
        assert [(await store.append(draft("started"))).index for store in stores] == [0, 1, 2, 3]
        await asyncio.gather(*(store.close() for store in stores))

    run(scenario())


# --- what survives a restart ------------------------------------------------------------------------------------------


@pytest.mark.requirement("R6.1", "R7.6")
def test_counts_survive_a_restart_and_the_sweep_gives_back_what_was_under_way(run: Run, new_schema: NewSchema) -> None:
    async def scenario() -> None:
        dsn, one = await new_schema(), replace(AT_ONCE, max=1)
        async with opened(dsn) as store:
            assert isinstance(await store.begin(draft("intent", "c_1"), (), (one, A_DAY)), Committed)
        async with opened(dsn) as store:
            assert await store.begin(draft("intent", "c_2"), (), (one,)) == Full(one, 1)
            assert await store.sweep(lost) == 1
            assert await store.begin(draft("intent", "c_2"), (), (A_DAY,)) == Full(A_DAY, 1)
            assert isinstance(await store.begin(draft("intent", "c_2"), (), (one,)), Committed)

    run(scenario())


def test_counters_of_windows_long_over_are_dropped_when_a_new_window_begins(run: Run, new_schema: NewSchema) -> None:
    async def scenario() -> None:
        dsn = await new_schema()
        async with opened(dsn) as store, asking(dsn) as connection:
            for day in range(5):
                need = replace(A_DAY, key=f"day {day}", resets_at=MIDNIGHT + timedelta(days=day))
                await store.begin(draft("intent", f"c_{day}"), (), (need,))
            kept = await connection.fetch("SELECT key FROM counters ORDER BY key")
            assert [key for (key,) in kept] == ["day 2", "day 3", "day 4"]

    run(scenario())


def test_tallies_survive_a_restart_those_for_ever_also_the_end_of_every_window(run: Run, new_schema: NewSchema) -> None:
    async def scenario() -> None:
        dsn = await new_schema()
        async with opened(dsn) as store:
            await store.begin(draft("intent", "ever"), (), (Add("#ever", 7, 0, None), Mark((b"m",))))
            for day in range(5):
                need = Add(f"#day/{day}", 1, 0, MIDNIGHT + timedelta(days=day))
                await store.begin(draft("intent", f"c_{day}"), (), (need,))
        async with opened(dsn) as store:
            assert await store.sweep(lost) == 6
            days = {f"#day/{day}": 1 for day in (2, 3, 4)}
            assert await store.tallies(("#ever", *(f"#day/{day}" for day in range(5)))) == {"#ever": 7, **days}
            assert (await store.state(NOON)).marks == {b"m"}

    run(scenario())


def test_a_task_comes_back_whole(run: Run, new_schema: NewSchema) -> None:
    task = replace(
        desk_task(),
        authority=Authority(operations=frozenset({"pay"}), locations=frozenset(), calls_max=3),
        groups=("finance", "staff"),
        attributes=(("clearance", 3), ("contractor", False), ("department", "a\x00b")),
        chain=("clerk", "tracker"),
        parent="t_0",
        implicit=True,
    )

    async def scenario() -> None:
        dsn = await new_schema()
        async with opened(dsn) as store:
            await store.open_task(task, draft("task_opened"))
        async with opened(dsn) as store:
            assert (await store.state(NOON)).tasks == (task,) == await store.recent_tasks(1)

    run(scenario())


# --- what is not confirmed --------------------------------------------------------------------------------------------


def test_a_connection_lost_before_the_commit_writes_nothing_and_the_next_write_heals(
    run: Run, new_schema: NewSchema
) -> None:
    async def scenario() -> None:
        dsn = await new_schema()
        async with opened(dsn) as store:
            async with log_held(dsn) as waiting, asking(dsn) as other:
                writing = asyncio.ensure_future(store.begin(draft("intent", "c_1"), (), (A_DAY,)))
                await other.fetchval("SELECT pg_terminate_backend($1)", await waiting())
                with pytest.raises(StoreUnavailableError, match="store_unavailable"):
                    await writing
            assert not store.healthy
            assert await store.begin(draft("intent", "c_2"), (("stop", 7),)) == Conflict("stop")
            assert not store.healthy, "a conflict wrote nothing"
            assert await store.begin(draft("intent", "c_1"), (), (A_DAY,)) == Committed(0)
            assert store.healthy

    run(scenario())


def test_a_write_that_waits_too_long_for_the_log_is_told_as_failed(
    run: Run, new_schema: NewSchema, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scenario() -> None:
        dsn = await new_schema()
        await start(dsn)  # a new schema's tables take their time
        monkeypatch.setitem(_connections.SETTINGS, "statement_timeout", "500ms")
        async with opened(dsn) as store:
            async with log_held(dsn):
                with pytest.raises(StoreUnavailableError, match="57014"):
                    await store.append(draft("denied"))
                assert not store.healthy
                assert await store.entries(0, 9) == (), "readers do not wait"
            await store.probe()
            assert store.healthy
            assert (await store.state(NOON)).controls == {}, "a probe says nothing"

    run(scenario())


def test_a_write_whose_turn_does_not_come_is_given_up_and_is_never_made(
    run: Run, new_schema: NewSchema, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_store, "TURN_S_MAX", 0.05)

    async def scenario() -> None:
        dsn = await new_schema()
        async with opened(dsn) as store:
            async with log_held(dsn) as waiting:
                first = asyncio.ensure_future(store.append(draft("denied", "c_1")))
                await waiting()
                with pytest.raises(StoreUnavailableError, match="too many writes wait"):
                    await store.append(draft("denied", "c_2"))
                assert not store.healthy
            assert await first == Committed(0)
            assert await store.append(draft("denied", "c_3")) == Committed(1)
            assert [entry.call for entry in await store.entries(0, 9)] == ["c_1", "c_3"]
            assert store.healthy

    run(scenario())


@dataclass
class Wire:
    """A loopback port in front of the server. Once `cut` is set, it swallows the answer to a commit and hangs up."""

    socket: str
    cut: bool = False

    async def serve(self, client: asyncio.StreamReader, to_client: asyncio.StreamWriter) -> None:
        try:
            server, to_server = await asyncio.open_unix_connection(self.socket)
        except OSError:
            to_client.close()
            return
        back = asyncio.ensure_future(self._pass(server, to_client))
        try:
            while asked := await client.read(1 << 16):
                last = self.cut and b"COMMIT;" in asked
                if last:
                    back.cancel()
                    await asyncio.wait([back])
                to_server.write(asked)
                if last:
                    assert b"COMMIT" in await server.read(1 << 16), "it was done"
                    break
        except ConnectionError:
            pass  # the store hung up
        finally:
            back.cancel()
            to_server.close()
            to_client.close()

    async def _pass(self, server: asyncio.StreamReader, to_client: asyncio.StreamWriter) -> None:
        while said := await server.read(1 << 16):
            to_client.write(said)
        to_client.close()


@asynccontextmanager
async def wired(dsn: str) -> AsyncIterator[tuple[Wire, str]]:
    query = parse_qs(urlsplit(dsn).query)
    wire = Wire(f"{query['host'][0]}/.s.PGSQL.5432")
    server = await asyncio.start_server(wire.serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    schema = query["search_path"][0]
    try:
        yield wire, f"postgresql://remit@127.0.0.1:{port}/postgres?sslmode=disable&search_path={schema}"
    finally:
        server.close()
        await server.wait_closed()


def test_a_commit_whose_answer_is_lost_is_told_as_failed_and_stands(run: Run, new_schema: NewSchema) -> None:
    async def scenario() -> None:
        async with wired(await new_schema()) as (wire, dsn), opened(dsn) as store:
            assert await store.begin(draft("intent", "c_1"), ()) == Committed(0), "the control"
            wire.cut = True
            with pytest.raises(StoreUnavailableError, match="store_unavailable"):
                await store.begin(draft("intent", "c_2"), (), (A_DAY,))
            assert not store.healthy
            wire.cut = False
            assert await store.begin(draft("intent", "c_3"), (), (A_DAY,)) == Full(A_DAY, 1), "it was counted"
            assert await store.sweep(lost) == 2, "and it is open"
            assert [entry.call for entry in await store.entries(0, 9)] == ["c_1", "c_2", "c_1", "c_2"]
            assert store.healthy

    run(scenario())


def test_without_a_server_writes_and_reads_fail_by_their_codes(run: Run, new_schema: NewSchema) -> None:
    async def scenario() -> None:
        schema = await new_schema()
        async with wired(schema) as (wire, dsn), opened(dsn) as store:
            there, wire.socket = wire.socket, f"{wire.socket}.gone"
            async with asking(schema) as connection:
                query = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'remit'"
                assert all(done for (done,) in await connection.fetch(query))
            for _ in range(2):
                with pytest.raises(StoreUnavailableError, match="store_unavailable"):
                    await store.append(draft("denied"))
                with pytest.raises(RemitError, match="store_unreadable"):
                    await store.state(NOON)
            assert not store.healthy
            wire.socket = there
            assert await store.append(draft("denied")) == Committed(0)
            assert store.healthy
            assert (await store.state(NOON)).size == 1

    run(scenario())


def test_closing_finishes_what_was_asked_for_and_then_takes_nothing_more(run: Run, new_schema: NewSchema) -> None:
    async def scenario() -> None:
        dsn = await new_schema()
        store = await PostgresStore.open(dsn)
        writes = [asyncio.ensure_future(store.append(draft("denied"))) for _ in range(9)]
        await asyncio.sleep(0)
        await store.close()
        assert [(await write).index for write in writes] == list(range(9))
        assert not store.healthy
        with pytest.raises(StoreUnavailableError, match="the store is closed"):
            await store.append(draft("denied"))
        with pytest.raises(RemitError, match="store_unreadable"):
            await store.entries(0, 9)
        async with opened(dsn) as again:
            assert (await again.state(NOON)).size == 9

    run(scenario())


def test_a_stop_holds_whatever_its_reason_says_and_a_name_that_cannot_be_stored_is_refused(
    run: Run, new_schema: NewSchema
) -> None:
    async def scenario() -> None:
        async with opened(await new_schema()) as store:
            await store.control("stop", "fire\x00!", draft("stop"))
            assert (await store.state(NOON)).controls == {"stop": (1, "fire\x00!")}
            with pytest.raises(StoreUnavailableError, match="22021"):
                await store.begin(draft("intent", "c\x00"), ())
            assert await store.append(draft("denied")) == Committed(1)

    run(scenario())


# --- what is refused at the start -------------------------------------------------------------------------------------


def test_a_server_that_confirms_before_it_has_written_is_refused(run: Run, new_schema: NewSchema) -> None:
    async def scenario() -> None:
        dsn = await new_schema()
        with pytest.raises(RemitError, match="store_unsafe"):
            await start(f"{dsn}&synchronous_commit=off")
        async with opened(f"{dsn}&synchronous_commit=local") as store:
            assert store.healthy, "the control"

    run(scenario())


def test_a_store_of_a_newer_version_is_refused(run: Run, new_schema: NewSchema) -> None:
    async def scenario() -> None:
        dsn = await new_schema()
        await start(dsn)
        await order(dsn, "INSERT INTO migrations VALUES (1000)")
        with pytest.raises(RemitError, match="store_newer"):
            await start(dsn)

    run(scenario())


SECRET = "hunter2"


@pytest.mark.parametrize(
    "dsn",
    [
        f"postgresql://remit:{SECRET}@127.0.0.1:1/remit",
        f"postgresql://remit:x@y:{SECRET}@127.0.0.1:{SECRET}/remit",
        f"postgresql://remit@127.0.0.1:1/remit?password={SECRET}&sslmode={SECRET}",
        f"http://remit:{SECRET}@127.0.0.1/remit",
        f"postgresql://{SECRET}@/{SECRET}?host={{socket}}&password={SECRET}",
        f"remit:{SECRET}",
    ],
)
def test_no_error_repeats_the_password(run: Run, postgres_socket: Path, dsn: str) -> None:
    async def scenario() -> None:
        with pytest.raises(RemitError, match="store_unusable") as caught:
            await start(dsn.replace("{socket}", str(postgres_socket)))
        shown = "".join(traceback.format_exception(caught.value))
        assert SECRET not in shown + caught.value.fix + repr(caught.value)

    run(scenario())


# --- damage -----------------------------------------------------------------------------------------------------------


@pytest.mark.requirement("R5.6")
@pytest.mark.parametrize(
    ("damage", "said"),
    [
        ("UPDATE entries SET leaf = leaf || ' ' WHERE idx = 3", "entry 3 is not what was hashed"),
        ("DELETE FROM entries WHERE idx = 3", "entry 3 is missing"),
        ("DELETE FROM entries WHERE idx = 4", "the log's edge is not that of its 4 entries"),
        ("UPDATE log SET size = 4", "the log's edge is not that of its 5 entries"),
        ("UPDATE log SET frontier = frontier || frontier", "the log's edge is not that of its 5 entries"),
        ("UPDATE checkpoints SET root = leaf_hash FROM entries WHERE idx = 0", "the newest checkpoint is not of"),
        ("UPDATE checkpoints SET frontier = ''", "the newest checkpoint is not of"),
    ],
)
def test_a_log_that_does_not_continue_its_checkpoint_is_refused(
    run: Run, new_schema: NewSchema, damage: str, said: str
) -> None:
    async def scenario() -> None:
        dsn = await new_schema()
        async with opened(dsn) as store:
            for number in range(5):
                await store.append(draft("denied", f"c_{number}"))
                if number == 1:
                    await store.checkpoint(note)
        async with opened(dsn) as store:
            assert (await store.state(NOON)).checkpointed == 2, "the control"
        await order(dsn, damage)
        with pytest.raises(RemitError, match=f"store_damaged: {said}"):
            await start(dsn)

    run(scenario())


@pytest.mark.requirement("R5.6")
@pytest.mark.parametrize("column", ["kind", "task", "call"])
def test_an_entry_that_is_filed_as_something_else_is_not_told(run: Run, new_schema: NewSchema, column: str) -> None:
    async def scenario() -> None:
        dsn = await new_schema()
        async with opened(dsn) as store:
            await store.append(draft("denied", "c_1"))
            assert len(await store.entries(0, 1)) == 1, "the control"
            await order(dsn, f"UPDATE entries SET {column} = 'another'")
            with pytest.raises(RemitError, match="store_damaged"):
                await store.entries(0, 1)

    run(scenario())
