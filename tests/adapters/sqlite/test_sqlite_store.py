"""What only a file can show: reopening, locks, damage, a full disk, a dead writer, and when a write is durable."""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import apsw
import pytest

from remit.adapters.sqlite import SqliteStore, _store
from remit.core import Allow, RemitError, Ruling, StoreUnavailableError, canonical_bytes
from remit.pipeline import RELEASE, Committed, Conflict, Deployed, OpenCall
from remit.records import (
    Basis,
    Draft,
    Ending,
    Payload,
    event,
    leaf_hash,
    outcome,
    root_of,
    ruled,
    task_opened,
    unknown,
)
from remit.records import refused as refused_entry
from remit.testing import NOON, desk_call, desk_task

pytestmark = pytest.mark.requirement("R5.1", "R7.6")

LARGE = b"x" * 100_000
RELEASED = Deployed(number=1, bundle="sha256:a", at=NOON, by="ana", how="deploy")
DIES = "ignore::pytest.PytestUnhandledThreadExceptionWarning"


def draft(kind: str, call: str = "", body: bytes | None = None) -> Draft:
    payloads = () if body is None else (Payload(name="body", salt=b"s" * 16, body=body),)
    return Draft(
        kind=kind,
        task="t_1",
        call=call,
        leaf=canonical_bytes({"kind": kind, "call": call, "task": "t_1"}),
        payloads=payloads,
    )


def lost(call: OpenCall) -> Draft:
    return draft("unknown", call.call)


def note(size: int, root: bytes) -> str:
    return f"{size} {root.hex()}"


@asynccontextmanager
async def opened(path: Path) -> AsyncIterator[SqliteStore]:
    store = await SqliteStore.open(path)
    try:
        yield store
    finally:
        await store.close()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "deep/remit.db"


def run(scenario: Coroutine[Any, Any, None]) -> None:
    asyncio.run(scenario)


async def whole(store: SqliteStore) -> int:
    """Check places and root against the stored leaves; return the size."""
    entries = await store.entries(0, 1_000_000)
    assert [entry.index for entry in entries] == list(range(len(entries)))
    assert await store.root_at(len(entries)) == root_of(leaf_hash(entry.leaf) for entry in entries)
    return len(entries)


def ask(path: Path, query: str) -> list[tuple[Any, ...]]:
    """Run `query` on the closed file."""
    connection = apsw.Connection(str(path))
    try:
        return connection.execute(query).fetchall()
    finally:
        connection.close()


def kept(path: Path) -> bytes:
    return path.read_bytes()


def put(path: Path, body: bytes) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(body)


async def refused(path: Path) -> str:
    with pytest.raises(RemitError) as caught:
        await SqliteStore.open(path)
    return caught.value.code


class Stuck:
    """Keeps the writer busy inside a command until it is let go, so that what comes next is queued for certain."""

    def __init__(self, store: SqliteStore, then: Callable[[], None] = lambda: None) -> None:
        self._go = threading.Event()
        self._then = then
        self.future = asyncio.ensure_future(store.checkpoint(self._sign))

    def _sign(self, size: int, root: bytes) -> str:
        assert self._go.wait(30)
        self._then()
        return note(size, root)

    def let_go(self) -> None:
        self._go.set()


def test_everything_survives_reopening(path: Path) -> None:
    async def scenario() -> None:
        async with opened(path) as store:
            await store.deploy(RELEASED, {"f": b"1"}, draft(RELEASE))
            await store.open_task(desk_task(), draft("task_opened"))
            await store.begin(draft("intent", "c_1", b"payload"), ())
            signed = await store.checkpoint(note)
            await store.append(draft("denied", "c_2"))
            state, entries = await store.state(NOON), await store.entries(0, 9)
        async with opened(path) as store:
            assert await store.state(NOON) == state
            assert await store.entries(0, 9) == entries
            assert await store.bundle("sha256:a") == {"f": b"1"}
            assert await store.recent_tasks(1) == (desk_task(),)
            assert await store.releases(9) == (RELEASED,)
            assert f"3 {(await store.root_at(3) or b'').hex()}" == signed
            assert await store.begin(draft("intent", "c_3"), ((RELEASE, 1),)) == Committed(4)
            assert await store.sweep(lost) == 2
            assert await whole(store) == 7

    run(scenario())


@pytest.mark.parametrize("checkpoints", [(), (0,), (1,), (8,), (20,), (3, 11), (20, 23)])
def test_the_tree_goes_on_after_reopening_wherever_its_checkpoints_stand(
    path: Path, monkeypatch: pytest.MonkeyPatch, checkpoints: tuple[int, ...]
) -> None:
    monkeypatch.setattr(_store, "PAGE_ENTRIES", 4)

    async def scenario() -> None:
        for start in (0, 20):
            async with opened(path) as store:
                for number in range(start, start + 20):
                    if number in checkpoints:
                        await store.checkpoint(note)
                    await store.append(draft("denied", f"c_{number}"))
        async with opened(path) as store:
            assert await whole(store) == 40
            entries = await store.entries(0, 40)
            root = root_of(leaf_hash(entry.leaf) for entry in entries)
            assert await store.checkpoint(note) == note(40, root), "the writer's own tree, not the reader's"

    run(scenario())


def test_a_second_gateway_on_the_same_file_is_refused_until_the_first_lets_go(path: Path) -> None:
    async def scenario() -> None:
        async with opened(path) as store:
            assert await refused(path) == "store_locked"
            assert await store.append(draft("denied")) == Committed(0)
        async with opened(path) as store:
            assert await whole(store) == 1

    run(scenario())


def test_a_gateway_on_a_link_to_the_file_is_refused_until_the_first_lets_go(path: Path, tmp_path: Path) -> None:
    async def scenario() -> None:
        link, elsewhere = tmp_path / "link.db", tmp_path / "elsewhere"
        elsewhere.symlink_to(path.parent, target_is_directory=True)
        link.symlink_to(path)
        async with opened(link):  # (the link stands before its file)
            for other in (link, path, elsewhere / path.name):
                assert await refused(other) == "store_locked"
        async with opened(path):
            assert await refused(link) == "store_locked"
        async with opened(link) as store:
            assert await whole(store) == 0

    run(scenario())


def test_a_link_to_itself_is_no_store(tmp_path: Path) -> None:
    async def scenario() -> None:
        (tmp_path / "loop.db").symlink_to(tmp_path / "loop.db")
        assert await refused(tmp_path / "loop.db") == "store_unusable"

    run(scenario())


def test_stores_that_differ_in_their_suffix_alone_have_each_their_own_lock(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with opened(tmp_path / "remit.db"), opened(tmp_path / "remit.old"):
            pass

    run(scenario())
    assert {found.name for found in tmp_path.glob("*.lock")} == {"remit.db.lock", "remit.old.lock"}


def test_a_store_named_like_a_lock_keeps_its_log_and_a_file_named_like_its_lock_its_bytes(tmp_path: Path) -> None:
    async def scenario() -> None:
        for _ in range(2):
            async with opened(tmp_path / "remit.lock") as store:
                await store.append(draft("denied"))
        beside = tmp_path / "remit.lock.lock"
        put(beside, b"somebody's bytes")
        async with opened(tmp_path / "remit.lock") as store:
            assert await whole(store) == 2
        assert kept(beside) == b"somebody's bytes"

    run(scenario())


DAMAGE = {
    "a row is missing after the checkpoint": "DELETE FROM entries WHERE idx = 6",
    "the tail is cut below the checkpoint": "DELETE FROM entries WHERE idx >= 3",
    "the whole log is gone": "DELETE FROM entries",
    "the frontier is altered": "UPDATE checkpoints SET frontier = zeroblob(length(frontier))",
    "the frontier is cut short": "UPDATE checkpoints SET frontier = substr(frontier, 1, 31)",
    "the frontier is of another size": "UPDATE checkpoints SET size = 7",
    "the root is altered": "UPDATE checkpoints SET root = zeroblob(32)",
    "a leaf after the checkpoint is altered": "UPDATE entries SET leaf = CAST('{}' AS BLOB) WHERE idx = 6",
}


@pytest.mark.parametrize("harm", DAMAGE.values(), ids=DAMAGE.keys())
def test_a_damaged_store_is_refused_and_not_held(path: Path, harm: str) -> None:
    async def scenario() -> None:
        async with opened(path) as store:
            for number in range(8):
                await store.append(draft("denied", f"c_{number}"))
                if number == 4:
                    await store.checkpoint(note)
        spare = kept(path)
        async with opened(path):
            pass  # the control: undamaged, it opens
        ask(path, harm)
        assert await refused(path) == "store_damaged"
        put(path, spare)
        async with opened(path) as store:  # restored from the backup, though the refusal's traceback may still live
            assert await whole(store) == 8

    run(scenario())


MISFILED = {
    "another kind": "UPDATE entries SET kind = 'outcome' WHERE idx = 1",
    "another task": "UPDATE entries SET task = 't_2' WHERE idx = 1",
    "no task": "UPDATE entries SET task = '' WHERE idx = 1",
    "another call": "UPDATE entries SET call = 'c_2' WHERE idx = 1",
    "a leaf that is not JSON": "UPDATE entries SET leaf = CAST('{' AS BLOB) WHERE idx = 1",
    "a leaf that is no object": "UPDATE entries SET leaf = CAST('[]' AS BLOB) WHERE idx = 1",
}


@pytest.mark.parametrize("harm", MISFILED.values(), ids=MISFILED.keys())
def test_an_entry_filed_as_something_else_than_its_leaf_says_is_not_told(path: Path, harm: str) -> None:
    async def scenario() -> None:
        async with opened(path) as store:
            for number in range(3):
                await store.append(draft("denied", f"c_{number}"))
            await store.checkpoint(note)  # what comes before it is not hashed again at the start
            assert len(await store.entries(0, 3)) == 3, "the control: honest entries are told"
        ask(path, harm)
        async with opened(path) as store:
            for payloads in (True, False):
                with pytest.raises(RemitError, match="entry 1 is not filed as what its leaf says") as caught:
                    await store.entries(0, 3, payloads=payloads)
                assert caught.value.code == "store_damaged"
            assert len(await store.entries(2, 3)) == 1
            if harm == MISFILED["another task"]:
                with pytest.raises(RemitError, match="entry 1 is not filed"):
                    await store.entries_of("t_2")

    run(scenario())


def test_what_the_gateway_itself_writes_is_filed_as_its_leaf_says(path: Path) -> None:
    call, task = desk_call("tickets.read"), desk_task()
    ruling = Ruling(Allow(), ())
    basis = Basis(at=NOON, task=task, bundle="sha256:a", tool="desk", observed=False)
    drafts = (
        ruled("intent", call, ruling, basis, bytes),
        outcome(call, Ending("done", result=b"{}"), at=NOON, elapsed_us=1, random=bytes),
        refused_entry(call.delegation, at=NOON, surface="mcp", code="json_invalid", message="not JSON"),
        unknown("c_9", task.id, 0, at=NOON),
        task_opened(task, at=NOON, by="ana", random=bytes, input_body=b"{}"),
        event("started", at=NOON, by="gateway", said={"mode": "enforce"}),
    )

    async def scenario() -> None:
        async with opened(path) as store:
            for entry in drafts:
                await store.append(entry)
            assert [(entry.kind, entry.task, entry.call) for entry in await store.entries(0, 9)] == [
                (entry.kind, entry.task, entry.call) for entry in drafts
            ]

    run(scenario())


def test_a_file_that_is_no_store_or_a_newer_one_is_refused_and_not_held(path: Path) -> None:
    async def scenario() -> None:
        put(path, b"not a database, but long enough to have a header" * 40)
        with pytest.raises(RemitError, match="store_unusable"):
            await SqliteStore.open(path)
        put(path, b"")
        ask(path, "PRAGMA user_version = 99")
        assert await refused(path) == "store_newer"
        ask(path, "PRAGMA user_version = 0")
        async with opened(path) as store:
            assert await whole(store) == 0

    run(scenario())


def test_a_full_disk_stops_writes_whole_and_writing_goes_on_when_there_is_room(path: Path) -> None:
    async def scenario() -> None:
        async with opened(path) as store:
            await store.begin(draft("intent", "c_0"), ())
            before = await store.root_at(1)
            connection = store._writer._connection
            connection.pragma("max_page_count", connection.pragma("page_count"))
            begins = (store.begin(draft("intent", f"c_{number}", LARGE), ()) for number in range(1, 9))
            answers = await asyncio.gather(*begins, return_exceptions=True)
            assert all(isinstance(answer, StoreUnavailableError) for answer in answers)
            assert not store.healthy
            assert (await whole(store), await store.root_at(1)) == (1, before)
            connection.pragma("max_page_count", 1_000_000)
            assert await store.begin(draft("intent", "c_1", LARGE), ()) == Committed(1)
            assert store.healthy
            assert await store.finish(draft("outcome", "c_0")) == Committed(2)
            assert await store.sweep(lost) == 1, "only c_1: nothing of the eight was half written"
            assert await whole(store) == 4
        assert ask(path, "PRAGMA integrity_check") == [("ok",)]
        assert ask(path, "SELECT count(*) FROM payloads") == [(1,)]

    run(scenario())


def test_on_a_full_disk_what_writes_nothing_does_not_make_the_store_healthy(path: Path) -> None:
    async def scenario() -> None:
        async with opened(path) as store:
            signed = await store.checkpoint(note)
            connection = store._writer._connection
            connection.pragma("max_page_count", connection.pragma("page_count"))
            with pytest.raises(StoreUnavailableError):
                await store.begin(draft("intent", "c_1", LARGE), ())
            assert await store.begin(draft("intent", "c_1"), ((RELEASE, 7),)) == Conflict(RELEASE)
            assert await store.sweep(lost) == 0
            assert await store.checkpoint(note) == signed
            assert not store.healthy
            connection.pragma("max_page_count", 1_000_000)
            assert await store.sweep(lost) == 0
            assert not store.healthy, "room alone is not a confirmed write"
            await store.append(draft("denied"))
            assert store.healthy

    run(scenario())


def test_on_a_full_disk_small_writes_of_the_same_batch_still_fit(path: Path) -> None:
    async def scenario() -> None:
        async with opened(path) as store:
            connection = store._writer._connection
            pages = connection.pragma("page_count")
            stuck = Stuck(store)
            small = [store.append(draft("denied", f"c_{number}")) for number in range(4)]
            large = store.append(draft("denied", "large", LARGE))
            waiting = [asyncio.ensure_future(write) for write in (*small[:2], large, *small[2:])]
            await asyncio.sleep(0)
            connection.pragma("max_page_count", pages)  # (the writer is stuck inside Python, not inside SQLite)
            stuck.let_go()
            answers = await asyncio.gather(stuck.future, *waiting, return_exceptions=True)
            assert [answer.index for answer in answers[1:] if isinstance(answer, Committed)] == [0, 1, 2, 3]
            assert isinstance(answers[3], StoreUnavailableError)
            assert await whole(store) == 4

    run(scenario())


def test_a_bad_command_in_the_middle_of_a_batch_fails_alone(path: Path) -> None:
    async def scenario() -> None:
        async with opened(path) as store:
            stuck = Stuck(store)
            calls = ["c_1", "c_2", "c_1", "c_3", "c_2", "c_4"]
            waiting = [asyncio.ensure_future(store.begin(draft("intent", call), ())) for call in calls]
            await asyncio.sleep(0)
            stuck.let_go()
            answers = await asyncio.gather(*waiting, return_exceptions=True)
            assert [answer.index if isinstance(answer, Committed) else "bad" for answer in answers] == [
                *(0, 1, "bad", 2, "bad", 3)
            ]
            assert await whole(store) == 4
            assert await store.sweep(lost) == 4
            await stuck.future

    run(scenario())


@pytest.mark.filterwarnings(DIES)
def test_when_the_writer_dies_nobody_waits_for_ever(path: Path) -> None:
    async def scenario() -> None:
        async with opened(path) as store:
            await store.append(draft("denied"))

            def die() -> None:
                raise RuntimeError("a fault that nobody foresaw")

            stuck = Stuck(store, die)
            waiting = [asyncio.ensure_future(store.append(draft("denied", f"c_{number}"))) for number in range(300)]
            await asyncio.sleep(0)
            stuck.let_go()
            async with asyncio.timeout(30):
                answers = await asyncio.gather(stuck.future, *waiting, return_exceptions=True)
                assert all(isinstance(answer, StoreUnavailableError) for answer in answers)
                with pytest.raises(StoreUnavailableError, match="closed"):
                    await store.append(draft("denied"))
            assert not store.healthy
            assert await whole(store) == 1, "reading goes on"
        async with opened(path) as store:
            assert await whole(store) == 1

    run(scenario())


class LateQueue:
    """Passes on to the writer's queue, but lets `during` happen once a caller has decided to queue."""

    def __init__(self, inner: Any, during: Callable[[], None]) -> None:
        self.empty, self.get, self._inner, self._during = inner.empty, inner.get, inner, during

    def put(self, command: Any) -> None:
        during, self._during = self._during, lambda: None
        during()
        self._inner.put(command)


@pytest.mark.filterwarnings(DIES)
def test_what_is_queued_at_the_moment_the_writer_dies_is_answered_too(path: Path) -> None:
    async def scenario() -> None:
        async with opened(path) as store:
            writer = store._writer
            looked = threading.Event()
            tell = writer._tell

            def last_look(results: Any) -> None:
                tell(results)
                looked.set()

            writer._tell = last_look  # type: ignore[method-assign]  # to know when the thread has looked for the last time

            def die() -> None:
                raise RuntimeError("a fault that nobody foresaw")

            stuck = Stuck(store, die)
            await asyncio.sleep(0)

            def the_writer_dies() -> None:
                stuck.let_go()
                looked.wait(0.2)  # a writer that waits for us to have queued does not look before

            writer._queue = LateQueue(writer._queue, the_writer_dies)  # type: ignore[assignment]  # the same, but slow
            async with asyncio.timeout(30):
                late = store.append(draft("denied"))
                answers = await asyncio.gather(stuck.future, late, return_exceptions=True)
            assert all(isinstance(answer, StoreUnavailableError) for answer in answers)

    run(scenario())


def test_closing_finishes_what_is_queued_and_refuses_what_comes_after(path: Path) -> None:
    async def scenario() -> None:
        store = await SqliteStore.open(path)
        stuck = Stuck(store)
        waiting = [asyncio.ensure_future(store.append(draft("denied", f"c_{number}"))) for number in range(600)]
        await asyncio.sleep(0)
        closing = asyncio.ensure_future(store.close())
        await asyncio.sleep(0)
        with pytest.raises(StoreUnavailableError, match="closed"):
            await store.append(draft("denied", "late"))
        stuck.let_go()
        assert await asyncio.gather(*waiting) == [Committed(index) for index in range(600)]
        await asyncio.gather(stuck.future, closing)
        async with opened(path) as store:
            assert await whole(store) == 600

    run(scenario())


def test_an_unreadable_store_is_a_fault_that_says_so(path: Path) -> None:
    async def scenario() -> None:
        async with opened(path) as store:
            store._reader.close()
            with pytest.raises(RemitError, match="store_unreadable"):
                await store.entries(0, 1)

    run(scenario())


def test_the_writer_syncs_its_log_at_every_commit(path: Path) -> None:
    """A power cut keeps what was synced: in WAL mode that needs synchronous=FULL (sqlite.org/pragma.html)."""

    def durable(connection: apsw.Connection) -> bool:
        return (connection.pragma("journal_mode"), connection.pragma("synchronous")) == ("wal", 2)

    async def scenario() -> None:
        async with opened(path) as store:
            assert durable(store._writer._connection)
            store._writer._connection.pragma("synchronous", "NORMAL")
            assert not durable(store._writer._connection), "the control: the same question sees a weaker setting"

    run(scenario())


class SyncCounter(apsw.VFS):
    """SQLite's own file system, counting the syncs of the write-ahead log."""

    def __init__(self) -> None:
        super().__init__("counting", "")
        self.syncs = 0

    def xOpen(self, name: str | apsw.URIFilename | None, flags: list[int]) -> "CountingFile":  # noqa: N802 - SQLite's name
        return CountingFile(self, name, flags)


class CountingFile(apsw.VFSFile):
    def __init__(self, counter: SyncCounter, name: str | apsw.URIFilename | None, flags: list[int]) -> None:
        super().__init__("", name, flags)
        self._counter = counter
        self._is_log = bool(flags[0] & apsw.SQLITE_OPEN_WAL)

    def xSync(self, flags: int) -> None:  # noqa: N802 - SQLite's name
        self._counter.syncs += self._is_log
        super().xSync(flags)


@pytest.mark.parametrize(("synchronous", "synced"), [("FULL", True), ("NORMAL", False)])
def test_an_acknowledged_write_has_been_synced_to_the_disk(
    path: Path, monkeypatch: pytest.MonkeyPatch, synchronous: str, *, synced: bool
) -> None:
    """Counted at SQLite's own file system. NORMAL is the control: the same count then stays behind."""
    counter = SyncCounter()
    connect = apsw.Connection

    def through(file: str, flags: int = apsw.SQLITE_OPEN_READWRITE | apsw.SQLITE_OPEN_CREATE) -> apsw.Connection:
        return connect(file, flags=flags, vfs="counting")

    async def scenario() -> None:
        async with opened(path):
            pass  # created in peace
        monkeypatch.setattr(apsw, "Connection", through)
        async with opened(path) as store:
            await store.append(draft("denied"))
            store._writer._connection.pragma("synchronous", synchronous)
            seen: list[bool] = []
            for number in range(20):
                before = counter.syncs
                await store.append(draft("denied", f"c_{number}"))
                seen.append(counter.syncs > before)
            assert all(seen) is synced
        monkeypatch.undo()

    try:
        run(scenario())
    finally:
        counter.unregister()


def test_a_probe_finds_out_that_a_store_works_again(path: Path) -> None:
    async def scenario() -> None:
        async with opened(path) as store:
            writer = store._writer
            pages = writer._connection.pragma("page_count")
            writer._connection.pragma("max_page_count", pages)
            with pytest.raises(StoreUnavailableError):
                await asyncio.gather(*(store.append(draft("denied", f"c_{number}")) for number in range(200)))
            assert not store.healthy
            writer._connection.pragma("max_page_count", 1 << 20)
            assert not store.healthy, "nobody has tried yet"
            await store.probe()
            assert store.healthy

    run(scenario())
