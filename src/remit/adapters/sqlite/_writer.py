"""The one thread that writes: it takes whatever is waiting, commits it together, and says so only then.

Group commit without a timer: while one commit is on its way to the disk the next batch gathers by itself. A command
that conflicts with the state fails alone; a batch that fails for any other reason is rolled back and run again one
command at a time, so that a bad one takes no neighbour with it.

Owns: the write connection, the next index and the tree's frontier. Nobody else touches them.
"""

import asyncio
import queue
import threading
from collections.abc import Callable, Iterable
from itertools import chain
from typing import Generic, TypeVar

import apsw

from remit.core import RemitError, StoreUnavailableError
from remit.pipeline import Versions
from remit.records import Draft, Frontier, leaf_hash

T = TypeVar("T")

Row = tuple[int | str | bytes, ...]

_TABLES = {
    "entries": "idx, kind, task, call, leaf, leaf_hash",
    "payloads": "entry, name, salt, body",
    "open_calls": "call, task, intent",
}
ROWS_AT_ONCE = (32, 8, 1)  # rows in one INSERT: the interpreter's lock is let go and taken again once a statement


class Transaction:
    """What a command may do inside the batch's transaction."""

    def __init__(self, connection: apsw.Connection, frontier: Frontier, versions: dict[str, int]) -> None:
        self._execute = connection.execute
        self._waiting: dict[str, list[Row]] = {table: [] for table in _TABLES}
        self.frontier = frontier
        self.versions = versions

    @property
    def size(self) -> int:
        """How many entries the log has, those of this transaction included."""
        return self.frontier.size

    def append(self, draft: Draft) -> int:
        """Append an entry and its payloads; return its index."""
        index = self.frontier.size
        hashed = leaf_hash(draft.leaf)
        self._waiting["entries"].append((index, draft.kind, draft.task, draft.call, draft.leaf, hashed))
        for payload in draft.payloads:
            self._waiting["payloads"].append((index, payload.name, payload.salt, payload.body))
        self.frontier.append(hashed)
        return index

    def open_call(self, call: str, task: str, intent: int) -> None:
        """Remember that `call` has an intent and no outcome."""
        self._waiting["open_calls"].append((call, task, intent))

    def close_call(self, call: str) -> bool:
        """Forget an open call; False if it is not open."""
        if any(row[0] == call for row in self._waiting["open_calls"]):
            self.flush()
        return bool(self._execute("DELETE FROM open_calls WHERE call = ? RETURNING intent", (call,)).fetchall())

    def execute(self, query: str, values: Row = ()) -> apsw.Cursor:
        """Run a statement after everything that the transaction has written so far."""
        self.flush()
        return self._execute(query, values)

    def flush(self) -> None:
        """Write the rows that wait, many to a statement."""
        for table, rows in self._waiting.items():
            at = 0
            while at < len(rows):
                count = next(size for size in ROWS_AT_ONCE if size <= len(rows) - at)
                self._execute(_INSERTS[table, count], tuple(chain.from_iterable(rows[at : at + count])))
                at += count
            rows.clear()

    def changed(self, read: Versions) -> str | None:
        """Return the first name whose version is no longer the one read."""
        for name, version in read:
            if self.versions.get(name, 0) != version:
                return name
        return None

    def raise_version(self, name: str, says: str) -> int:
        """Raise the version of `name` by one and keep what it now says."""
        value = self.versions.get(name, 0) + 1
        self.execute(
            "INSERT INTO versions (name, value, says) VALUES (?1, ?2, ?3)"
            " ON CONFLICT (name) DO UPDATE SET value = ?2, says = ?3",
            (name, value, says),
        )
        self.versions[name] = value
        return value


_INSERTS = {
    (table, count): f"INSERT INTO {table} ({columns}) VALUES "  # noqa: S608 - constants of this module
    + ", ".join(["(" + ", ".join("?" * len(columns.split(", "))) + ")"] * count)
    for table, columns in _TABLES.items()
    for count in ROWS_AT_ONCE
}


class _Command(Generic[T]):
    __slots__ = ("future", "run")

    def __init__(self, run: Callable[[Transaction], T], future: asyncio.Future[T]) -> None:
        self.run = run
        self.future = future


class Writer:
    """Runs commands in durable batches. `submit` from the event loop; everything else happens in the thread."""

    BATCH_MAX = 256  # commands in one commit, and however many the last turn of the event loop adds

    def __init__(
        self, connection: apsw.Connection, load: Callable[[apsw.Connection], tuple[Frontier, dict[str, int]]]
    ) -> None:
        self._connection = connection
        self._load = load
        self._frontier, self._versions = load(connection)
        self._current = True  # whether the frontier and the versions kept here are those of the file
        self._confirmed = True
        self._batch: list[_Command[object]] = []
        self._last = False
        self._gathered: list[_Command[object]] = []
        self._queue: queue.SimpleQueue[list[_Command[object]] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="remit-store-writer", daemon=True)
        self._loop = asyncio.get_running_loop()
        self._closed = False
        self._gate = threading.Lock()  # so that nothing is queued after the thread has looked for the last time
        self._thread.start()

    @property
    def sound(self) -> bool:
        """Whether the last batch that failed or wrote anything was confirmed, and the thread lives."""
        return self._confirmed and not self._closed

    def submit(self, run: Callable[[Transaction], T]) -> asyncio.Future[T]:
        """Queue a command. The future ends once its effect is durable, or with `StoreUnavailableError`."""
        future: asyncio.Future[T] = self._loop.create_future()
        if self._closed:
            future.set_exception(_unavailable("the store is closed"))
            return future
        self._gathered.append(_Command(run, future))  # type: ignore[arg-type]  # the list forgets each command's type
        if len(self._gathered) == 1:
            self._loop.call_soon(self._hand_over)
        return future

    def _hand_over(self) -> None:
        """Give the thread all that one turn of the event loop has gathered: waking it costs more than a command."""
        gathered, self._gathered = self._gathered, []
        if not gathered:
            return
        with self._gate:
            if not self._closed:
                self._queue.put(gathered)
                return
        _resolve([(command, None, _unavailable("the writer has stopped")) for command in gathered])

    async def close(self) -> None:
        """Finish what is queued, then stop."""
        self._hand_over()
        self._closed = True
        self._queue.put(None)
        await self._loop.run_in_executor(None, self._thread.join)
        self._connection.close()

    def _run(self) -> None:
        try:
            while not self._last and self._take():
                self._commit(self._batch)
                self._batch = []
        finally:  # whatever ended the thread, nobody may wait for it for ever
            with self._gate:
                self._closed = True
            self._tell((command, None, _unavailable("the writer has stopped")) for command in self._left())

    def _take(self) -> bool:
        """Wait for the next batch: whatever is queued when the first command arrives. False when it is time to stop."""
        gathered = self._queue.get()
        while gathered is not None:
            self._batch += gathered
            if len(self._batch) >= self.BATCH_MAX:
                return True
            try:
                gathered = self._queue.get_nowait()
            except queue.Empty:
                return True
        self._last = True
        return bool(self._batch)

    def _left(self) -> list[_Command[object]]:
        left = self._batch
        while not self._queue.empty():
            left += self._queue.get() or []
        return left

    def _commit(self, batch: list[_Command[object]]) -> None:
        try:
            results = self._transact(batch)
        except (apsw.Error, ValueError, RemitError) as error:
            if len(batch) == 1:
                self._tell([(batch[0], None, _unavailable(f"{type(error).__name__}"))])
            else:
                for command in batch:
                    self._commit([command])
            return
        self._tell((command, result, None) for command, result in zip(batch, results, strict=True))

    def _transact(self, batch: list[_Command[object]]) -> list[object]:
        """Run `batch` in one transaction; on any failure leave the store and our copy of its state as they were."""
        if not self._current:
            self._reload()
        transaction = Transaction(
            self._connection, Frontier.of(self._frontier.size, self._frontier.hashes), dict(self._versions)
        )
        before = self._connection.total_changes()
        try:
            self._connection.execute("BEGIN IMMEDIATE")
            results = [command.run(transaction) for command in batch]
            transaction.flush()
            self._connection.execute("COMMIT")
        except (apsw.Error, ValueError, RemitError):
            # A COMMIT that reports failure may still have happened: only the file knows.
            self._current = self._confirmed = False
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
            raise
        self._frontier, self._versions = transaction.frontier, transaction.versions
        if self._connection.total_changes() != before:  # one that wrote nothing succeeds on a full disk too
            self._confirmed = True
        return results

    def _reload(self) -> None:
        if self._connection.in_transaction:
            self._connection.execute("ROLLBACK")
        self._frontier, self._versions = self._load(self._connection)
        self._current = True

    def _tell(self, results: Iterable[tuple[_Command[object], object, StoreUnavailableError | None]]) -> None:
        self._loop.call_soon_threadsafe(_resolve, list(results))


def _resolve(results: list[tuple[_Command[object], object, StoreUnavailableError | None]]) -> None:
    for command, result, error in results:
        if command.future.done():  # its caller was cancelled; the write stands all the same
            continue
        if error is None:
            command.future.set_result(result)
        else:
            command.future.set_exception(error)


def _unavailable(why: str) -> StoreUnavailableError:
    return StoreUnavailableError("store_unavailable", f"the store did not confirm a write: {why}", "see `remit doctor`")
