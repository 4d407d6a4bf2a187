"""The one thread that writes: it takes whatever is waiting, commits it together, and says so only then.

Group commit without a timer: while one commit is on its way to the disk the next batch gathers by itself. A command
that conflicts with the state fails alone; a batch that fails for any other reason is rolled back and run again one
command at a time, so that a bad one takes no neighbour with it.

Owns: the write connection and what is kept in memory of the file: the tree's frontier, the versions, the counters of
caps and the open calls. Nobody else touches them. (Tallies are not kept in memory: those that count for ever are ever
more, and a call reads few of them.) A transaction changes none of it: what it changes lies over it, and becomes
part of it once the commit is confirmed.
"""

import asyncio
import queue
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import chain
from typing import Any, Generic, TypeVar

import apsw

from remit.core import Add, RemitError, Reserve, StoreUnavailableError, parse_utc, utc_text
from remit.pipeline import Full, OpenCall, Versions
from remit.records import Draft, Frontier, leaf_hash

T = TypeVar("T")

Row = tuple[int | str | bytes | None, ...]

Counted = tuple[Reserve | Add, ...]
"""What an open call has counted, so that it can be given back."""

Counter = tuple[int, str]
"""How many calls were counted, and until when, as the file says it; empty: calls under way, which no file keeps."""

# The interpreter's lock is let go and taken again once a statement, so a statement takes as many rows as it can.
ROWS_AT_ONCE = (32, 16, 8, 7, 6, 5, 4, 3, 2, 1)
FILED_AT_ONCE = 2_048  # entries: filed late, so that a page of the look-up by task is written for many of them
COUNTERS_FIRST = 1_000  # window counters in memory before those of ended windows are looked for
ENDED_KEPT = timedelta(days=2)  # no window is longer than a day; the other day is for a clock that is set back
TALLY_MAX = (1 << 62) - 1  # what a tally holds at most; one that is full stays so, for nobody knows what it stands for


@dataclass(slots=True)
class Kept:
    """What is kept in memory of the file, and beside it what every open call has counted.

    `counters_max` is how many counters there may be before those of ended windows are dropped: at first none, so that
    the first count after a start drops them.
    """

    frontier: Frontier
    versions: dict[str, int]
    counters: dict[str, Counter]
    open_calls: dict[str, OpenCall]
    filed: int  # entries that can be looked up by task; those after them are read
    counted: dict[str, Counted] = field(default_factory=dict)  # by open call
    counters_max: int = 0

    def take_up(self, counted: Mapping[str, Counted]) -> None:
        """Count anew what is under way, of the calls that are open in the file."""
        self.counted = {call: counted[call] for call in self.open_calls if call in counted}
        for need in chain.from_iterable(self.counted.values()):
            if isinstance(need, Reserve) and need.resets_at is None:
                self.counters[need.key] = (self.counters.get(need.key, _NONE)[0] + 1, "")


class Transaction:
    """What a command may do inside the batch's transaction.

    INVARIANT: a command that answers with a conflict, or that a cap is full, has changed nothing here.
    """

    def __init__(self, connection: apsw.Connection, kept: Kept) -> None:
        self.execute = connection.execute
        self._kept = kept
        self._entries: list[Row] = []
        self._payloads: list[Row] = []
        self._versions: dict[str, int] = {}
        self._counters: dict[str, Counter] = {}
        self._tallies: dict[str, int] = {}  # as they are here, of those that were asked for
        self._added: dict[str, datetime | None] = {}  # those of them that have changed, and until when they count
        self._marks: dict[bytes, None] = {}
        self._opened: dict[str, OpenCall] = {}
        self._closed: set[str] = set()  # those of them that the file has as open
        self._ended = ""  # windows that ended before this were dropped
        self._filed = kept.filed
        self.counted: dict[str, Counted] = {}  # by calls opened here
        self.frontier = Frontier.of(kept.frontier.size, kept.frontier.hashes)

    @property
    def size(self) -> int:
        """How many entries the log has, those of this transaction included."""
        return self.frontier.size

    def append(self, draft: Draft) -> int:
        """Append an entry and its payloads; return its index."""
        index = self.frontier.size
        hashed = leaf_hash(draft.leaf)
        self._entries.append((index, draft.kind, draft.task, draft.call, draft.leaf, hashed))
        for payload in draft.payloads:
            self._payloads.append((index, payload.name, payload.salt, payload.body))
        self.frontier.append(hashed)
        return index

    # --- open calls --------------------------------------------------------------------------------------------------

    def is_open(self, call: str) -> bool:
        """Tell whether `call` has an intent and no outcome."""
        return call in self._opened or (call in self._kept.open_calls and call not in self._closed)

    def open_call(self, call: OpenCall, counted: Counted) -> None:
        """Remember that a call has an intent and no outcome, and what it has counted."""
        self._opened[call.call] = call
        if counted:
            self.counted[call.call] = counted

    def close_call(self, call: str, *, void: bool) -> bool:
        """Forget an open call and give back what it counts as under way, with `void` all it counted; False: not open.

        One that was opened in this very batch leaves no trace but its entries.
        """
        if self._opened.pop(call, None) is not None:
            counted = self.counted.pop(call, ())
        elif self.is_open(call):
            self._closed.add(call)
            counted = self._kept.counted.get(call, ())
        else:
            return False
        for need in counted:
            if isinstance(need, Add):
                if void:
                    self._take_back(need)
            elif void or need.resets_at is None:
                used, until = self._counter(need)
                self._counters[need.key] = (max(0, used - 1), until)
        return True

    def open_calls(self) -> list[OpenCall]:
        """Return every open call, in the order of their intents."""
        known = (call for name, call in self._kept.open_calls.items() if name not in self._closed)
        return sorted(chain(known, self._opened.values()), key=lambda call: call.intent)

    # --- counters ----------------------------------------------------------------------------------------------------

    def reserve(self, reserves: Sequence[Reserve]) -> Full | None:
        """Count a call under every key; where one of them is full, under none."""
        counted: dict[str, Counter] = {}
        for reserve in reserves:
            used, until = counted.get(reserve.key) or self._counter(reserve)
            if used >= reserve.max:
                return Full(reserve, used)
            counted[reserve.key] = (used + 1, until)
        self._counters.update(counted)
        return None

    def _counter(self, reserve: Reserve) -> Counter:
        key = reserve.key
        found = self._counters.get(key) or self._kept.counters.get(key)
        if found is not None:
            return found
        return _NONE if reserve.resets_at is None else (0, utc_text(reserve.resets_at))

    def _drop_ended(self, newest: str) -> None:
        """Drop the counters of windows that are long over when `newest` has just been counted in.

        The windows themselves tell the time: a clock that was wrong for a while drops nothing later on.
        """
        self._ended = utc_text(parse_utc(newest) - ENDED_KEPT)
        self.execute("DELETE FROM counters WHERE resets < ?", (self._ended,))

    # --- tallies and marks -------------------------------------------------------------------------------------------

    def moved(self, adds: Sequence[Add]) -> str | None:
        """Return the first key under which something else is counted than was seen."""
        return next((need.key for need in adds if self._tally(need.key) != need.seen), None)

    def add(self, adds: Sequence[Add]) -> None:
        """Count, whatever was seen."""
        for need in adds:
            if need.by:
                self._tallies[need.key] = min(self._tally(need.key) + need.by, TALLY_MAX)
                self._added[need.key] = need.resets_at

    def mark(self, hashes: Iterable[bytes]) -> None:
        """Keep `hashes` for ever."""
        self._marks.update(dict.fromkeys(hashes))

    def _take_back(self, need: Add) -> None:
        used = self._tally(need.key)
        if need.by and 0 < used < TALLY_MAX:
            self._tallies[need.key] = max(0, used - need.by)
            self._added[need.key] = need.resets_at

    def _tally(self, key: str) -> int:
        found = self._tallies.get(key)
        if found is None:
            rows: list[tuple[Any, ...]] = self.execute(_TALLY, (key,)).fetchall()
            found = self._tallies[key] = int(rows[0][0]) if rows else 0
        return found

    def _write_tallies(self) -> None:
        """Write what was added, and drop as many tallies of windows long over as may have come to be."""
        rows = [
            (key, self._tallies[key], None if until is None else utc_text(until)) for key, until in self._added.items()
        ]
        self._write(_UPSERT_TALLIES, rows)
        windows = [until for until in self._added.values() if until is not None]
        if windows:
            # The windows themselves tell the time, as for the counters. So few at once: nobody waits for a day's.
            self.execute(_DROP_TALLIES, (utc_text(max(windows) - ENDED_KEPT), 2 * len(windows)))

    # --- versions ----------------------------------------------------------------------------------------------------

    def changed(self, read: Versions) -> str | None:
        """Return the first name whose version is no longer the one read."""
        for name, version in read:
            if self._version(name) != version:
                return name
        return None

    def raise_version(self, name: str, says: str) -> int:
        """Raise the version of `name` by one and keep what it now says."""
        value = self._version(name) + 1
        self.execute(
            "INSERT INTO versions (name, value, says) VALUES (?1, ?2, ?3)"
            " ON CONFLICT (name) DO UPDATE SET value = ?2, says = ?3",
            (name, value, says),
        )
        self._versions[name] = value
        return value

    def _version(self, name: str) -> int:
        return self._versions.get(name) or self._kept.versions.get(name, 0)

    # --- the end -----------------------------------------------------------------------------------------------------

    def flush(self) -> None:
        """Write the entries that wait, for a statement that reads the log."""
        self._write(_INSERT_ENTRIES, self._entries)
        self._write(_INSERT_PAYLOADS, self._payloads)
        self._entries.clear()
        self._payloads.clear()

    def write(self) -> None:
        """Write everything that waits: the last act before the commit."""
        self.flush()
        self._write(_DELETE_CALLS, [(call,) for call in self._closed])
        self._write(_INSERT_CALLS, [(call.call, call.task, call.intent) for call in self._opened.values()])
        windows = [(key, used, until) for key, (used, until) in self._counters.items() if until]
        self._write(_UPSERT_COUNTERS, windows)
        if self._added:
            self._write_tallies()
        if self._marks:
            self._write(_INSERT_MARKS, [(hashed,) for hashed in self._marks])
        if windows and len(self._kept.counters) >= self._kept.counters_max:
            self._drop_ended(max(until for _, _, until in windows))
        if self.size - self._filed >= FILED_AT_ONCE:
            self._file()

    def _file(self) -> None:
        """File every entry under its task."""
        self.execute(
            "INSERT INTO filed SELECT task, idx FROM entries WHERE idx >= ? AND task <> '' ORDER BY task, idx",
            (self._filed,),
        )
        self.execute("UPDATE filing SET upto = ?", (self.size,))
        self._filed = self.size

    def merge(self) -> None:
        """Make what lies over the kept state part of it: the first act after the commit."""
        kept = self._kept
        kept.frontier, kept.filed = self.frontier, self._filed
        kept.versions.update(self._versions)
        for call in self._closed:
            del kept.open_calls[call]
            kept.counted.pop(call, None)
        kept.open_calls.update(self._opened)
        kept.counted.update(self.counted)
        for key, counter in self._counters.items():
            if counter == _NONE:
                kept.counters.pop(key, None)
            else:
                kept.counters[key] = counter
        if self._ended:
            kept.counters = {key: one for key, one in kept.counters.items() if not one[1] or one[1] >= self._ended}
            kept.counters_max = max(COUNTERS_FIRST, 2 * len(kept.counters))

    def _write(self, statements: Mapping[int, str], rows: Sequence[Row]) -> None:
        """Write `rows`, many to a statement."""
        at = 0
        while at < len(rows):
            count = next(size for size in ROWS_AT_ONCE if size <= len(rows) - at)
            self.execute(statements[count], tuple(chain.from_iterable(rows[at : at + count])))
            at += count


_NONE: Counter = (0, "")


def _sized(before: str, row: str, after: str = "") -> dict[int, str]:
    """Return a statement by the number of rows that it takes."""
    return {count: f"{before} {', '.join([row] * count)}{after}" for count in ROWS_AT_ONCE}


_INSERT_ENTRIES = _sized("INSERT INTO entries (idx, kind, task, call, leaf, leaf_hash) VALUES", "(?, ?, ?, ?, ?, ?)")
_INSERT_PAYLOADS = _sized("INSERT INTO payloads (entry, name, salt, body) VALUES", "(?, ?, ?, ?)")
_INSERT_CALLS = _sized("INSERT INTO open_calls (call, task, intent) VALUES", "(?, ?, ?)")
_DELETE_CALLS = _sized("DELETE FROM open_calls WHERE call IN (", "?", ")")
_UPSERT_COUNTERS = _sized(
    "INSERT INTO counters (key, used, resets) VALUES",
    "(?, ?, ?)",
    " ON CONFLICT (key) DO UPDATE SET used = excluded.used",
)
_TALLY = "SELECT used FROM tallies WHERE key = ?"
_UPSERT_TALLIES = _sized(
    "INSERT INTO tallies (key, used, resets) VALUES",
    "(?, ?, ?)",
    " ON CONFLICT (key) DO UPDATE SET used = excluded.used",
)
_DROP_TALLIES = "DELETE FROM tallies WHERE key IN (SELECT key FROM tallies WHERE resets < ? ORDER BY resets LIMIT ?)"
_INSERT_MARKS = _sized("INSERT INTO marks (hash) VALUES", "(?)", " ON CONFLICT DO NOTHING")


class _Command(Generic[T]):
    __slots__ = ("future", "run", "small")

    def __init__(self, run: Callable[[Transaction], T], future: asyncio.Future[T], *, small: bool) -> None:
        self.run = run
        self.future = future
        self.small = small


class Writer:
    """Runs commands in durable batches. `submit` from the event loop; everything else happens in the thread."""

    BATCH_MAX = 256  # commands in one commit, and however many the last turn of the event loop adds

    def __init__(self, connection: apsw.Connection, load: Callable[[apsw.Connection], Kept]) -> None:
        self._connection = connection
        self._load = load
        self._kept = load(connection)
        self._current = True  # whether what is kept here is what the file says
        self._doubtful: dict[str, Counted] = {}  # by calls whose commit failed: some may be open in the file
        self._confirmed = True
        self._batch: list[_Command[object]] = []
        self._last = False
        self._gathered: list[_Command[object]] = []
        self._queue: queue.SimpleQueue[list[_Command[object]] | None] = queue.SimpleQueue()
        self._handed = 0  # commands that the thread has and has not answered; while there are none, it touches nothing
        self._loop_thread = threading.get_ident()
        self._thread = threading.Thread(target=self._run, name="remit-store-writer", daemon=True)
        self._loop = asyncio.get_running_loop()
        self._closed = False
        self._gate = threading.Lock()  # so that nothing is queued after the thread has looked for the last time
        self._thread.start()

    @property
    def sound(self) -> bool:
        """Whether the last batch that failed or wrote anything was confirmed, and the thread lives."""
        return self._confirmed and not self._closed

    def submit(self, run: Callable[[Transaction], T], *, small: bool = False) -> asyncio.Future[T]:
        """Queue a command. The future ends once its effect is durable, or with `StoreUnavailableError`.

        A `small` one, which writes an entry or two and waits for nothing, may be run in the event loop itself.
        """
        future: asyncio.Future[T] = self._loop.create_future()
        if self._closed:
            future.set_exception(_unavailable("the store is closed"))
            return future
        self._gathered.append(_Command(run, future, small=small))  # type: ignore[arg-type]  # the list forgets each command's type
        if len(self._gathered) == 1:
            self._loop.call_soon(self._hand_over)
        return future

    def _hand_over(self) -> None:
        """Give the thread all that one turn of the event loop has gathered: waking it costs more than a command."""
        gathered, self._gathered = self._gathered, []
        if not gathered:
            return
        if self._is_alone(gathered):
            self._commit(gathered)
            return
        with self._gate:
            if not self._closed:
                self._handed += len(gathered)
                self._queue.put(gathered)
                return
        _resolve([(command, None, _unavailable("the writer has stopped")) for command in gathered])

    def _is_alone(self, gathered: list[_Command[object]]) -> bool:
        """Whether to commit in the loop itself: one command, of the only call under way, with the thread at rest.

        Two hand-overs between threads cost more than the commit. Nobody else's call waits meanwhile: there is none.
        """
        alone = len(gathered) == 1 and gathered[0].small and len(self._kept.open_calls) <= 1
        return alone and not self._handed and not self._closed

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
        transaction = Transaction(self._connection, self._kept)
        before = self._connection.total_changes()
        try:
            self._connection.execute("BEGIN IMMEDIATE")
            results = [command.run(transaction) for command in batch]
            transaction.write()
            self._connection.execute("COMMIT")
        except (apsw.Error, ValueError, RemitError):
            # A COMMIT that reports failure may still have happened: only the file knows.
            self._current = self._confirmed = False
            self._doubtful |= transaction.counted
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
            raise
        transaction.merge()
        if self._connection.total_changes() != before:  # one that wrote nothing succeeds on a full disk too
            self._confirmed = True
        return results

    def _reload(self) -> None:
        if self._connection.in_transaction:
            self._connection.execute("ROLLBACK")
        kept = self._load(self._connection)
        kept.take_up({**self._kept.counted, **self._doubtful})
        self._kept, self._current = kept, True
        self._doubtful = {}

    def _tell(self, results: Iterable[tuple[_Command[object], object, StoreUnavailableError | None]]) -> None:
        told = list(results)
        if threading.get_ident() == self._loop_thread:
            _resolve(told)
        else:
            self._loop.call_soon_threadsafe(self._answered, told)

    def _answered(self, told: list[tuple[_Command[object], object, StoreUnavailableError | None]]) -> None:
        self._handed -= len(told)
        _resolve(told)


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
