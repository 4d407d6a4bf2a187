"""The store on one SQLite file: log, control state and archive, in one transaction wherever they must agree."""

import asyncio
import fcntl
import json
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import replace
from datetime import datetime
from importlib import resources
from pathlib import Path
from typing import Any, Self, TextIO, TypeVar

import apsw

from remit.adapters.sqlite._writer import Counted, Kept, Transaction, Writer
from remit.core import (
    Add,
    Consume,
    Mark,
    Obligation,
    RemitError,
    Reserve,
    StoreUnavailableError,
    Task,
    canonical_bytes,
    parse_utc,
    read_canonical,
    task_json,
    task_of_json,
    utc_text,
)
from remit.permissions import Approval, State, approval_json, approval_of_json
from remit.pipeline import (
    RELEASE,
    Committed,
    Conflict,
    Deployed,
    Full,
    OpenCall,
    Signer,
    StoredState,
    Versions,
    approval_control,
)
from remit.records import Draft, Entry, Frontier, Payload, leaf_hash

T = TypeVar("T")

SQLITE_OLDEST = (3, 51, 3)  # before it, WAL reset could corrupt a database (sqlite.org/wal.html#walresetbug)
PAGE_ENTRIES = 1_000  # entries read at once when a start continues the tree
TALLIES_MAX = 1_000  # keys in one question

_PROBE = "probe"  # the name of a value that says nothing, and is there to be written

_TASK_COLUMNS = "id, body"
_OPEN_TASKS = "FROM tasks WHERE expires > ? AND closed = 0"
_RELEASE_COLUMNS = "number, bundle, at, person, how"
_APPROVALS = f"SELECT body FROM approvals WHERE task IN (SELECT id {_OPEN_TASKS}) ORDER BY id"  # noqa: S608 - constant
_APPROVAL_UPSERT = (
    "INSERT INTO approvals (id, task, agent, state, call, body) VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (id)"
    " DO UPDATE SET state = excluded.state, call = excluded.call, body = excluded.body"
)
_OF_TASK = (
    "task = ?1 AND task <> '' AND idx IN (SELECT idx FROM filed WHERE task = ?1"
    " UNION ALL SELECT idx FROM entries WHERE idx >= (SELECT upto FROM filing) AND task = ?1) ORDER BY idx"
)
_TALLIES = "SELECT key, used FROM tallies WHERE used > 0 AND key IN (SELECT value FROM json_each(?))"
_ENDED = "SELECT call FROM entries WHERE kind IN ('outcome', 'unknown') AND call IN (SELECT value FROM json_each(?))"


class SqliteStore:
    """The store adapter for one gateway process.

    Durable means: committed with synchronous=FULL, so the write-ahead log was synced. One process holds the file's
    lock, `<file name>.lock` beside the file itself, wherever links to it stand; a second one is refused at `open`.

        store = await SqliteStore.open(Path("var/remit.db"))
        await store.append(draft)
        await store.close()
    """

    def __init__(self, path: Path, lock: TextIO, writer: Writer) -> None:
        self._lock = lock
        self._writer = writer
        self._reader = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)
        self._reading = ThreadPoolExecutor(1, thread_name_prefix="remit-store-reader")
        # (Of their own: what a decision asks for does not wait until somebody has read the whole log.)
        self._teller = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)
        self._telling = ThreadPoolExecutor(1, thread_name_prefix="remit-store-teller")

    @classmethod
    async def open(cls, path: Path) -> Self:
        """Open or create the store at `path`.

        Raises:
            RemitError: `sqlite_too_old`, `store_locked`, `store_newer`, `store_damaged` or `store_unusable`.
        """
        if tuple(int(part) for part in apsw.sqlite_lib_version().split(".")) < SQLITE_OLDEST:
            raise RemitError("sqlite_too_old", f"SQLite {apsw.sqlite_lib_version()}", "upgrade apsw")
        path = _real(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        with ExitStack() as undo:
            lock = undo.enter_context(_locked(path))
            try:
                connection = apsw.Connection(str(path))
                undo.callback(connection.close)
                for pragma in ("journal_mode=WAL", "synchronous=FULL", "wal_autocheckpoint=4000", "busy_timeout=5000"):
                    connection.execute(f"PRAGMA {pragma}")
                _migrate(connection)
                store = cls(path, lock, Writer(connection, _load))
            except apsw.Error as error:
                said = f"{type(error).__name__}: {error}"
                raise RemitError("store_unusable", said, f"look at `{path.name}`") from error
            undo.pop_all()  # opened: from here on `close` lets go of the file
        return store

    async def close(self) -> None:
        """Finish every queued write and let go of the file."""
        for thread, connection in ((self._reading, self._reader), (self._telling, self._teller)):
            thread.shutdown()
            connection.close()
        await self._writer.close()  # last of all connections, so that SQLite folds the write-ahead log into the file
        self._lock.close()

    @property
    def healthy(self) -> bool:
        """See `Store.healthy`."""
        return self._writer.sound

    async def begin(
        self, intent: Draft, read: Versions, obligations: Sequence[Obligation] = ()
    ) -> Committed | Conflict | Full:
        """See `Ledger.begin`."""

        def run(transaction: Transaction) -> Committed | Conflict | Full:
            changed = transaction.changed(read)
            if changed is not None:
                return Conflict(changed)
            if transaction.is_open(intent.call):
                raise RemitError("call_open", f"call {intent.call} is open already", "give each call an id of its own")
            counted = _meet(transaction, obligations, intent.call) if obligations else ()
            if not isinstance(counted, tuple):
                return counted
            index = transaction.append(intent)
            transaction.open_call(OpenCall(intent.call, intent.task, index), counted)
            return Committed(index)

        return await self._writer.submit(run, small=True)

    async def finish(self, outcome: Draft, *, void: bool = False, adds: Sequence[Add] = ()) -> Committed:
        """See `Ledger.finish`."""

        def run(transaction: Transaction) -> Committed | None:
            if not transaction.close_call(outcome.call, void=void):
                return None
            transaction.add(adds)
            return Committed(transaction.append(outcome))

        done = await self._writer.submit(run, small=True)
        if done is None:
            raise StoreUnavailableError(
                "call_not_open", f"call {outcome.call} has no intent without outcome", "begin it"
            )
        return done

    async def tallies(self, keys: Sequence[str]) -> Mapping[str, int]:
        """See `Ledger.tallies`.

        Raises:
            RemitError: `tallies_too_many` for more than `TALLIES_MAX` keys; `store_unreadable`.
        """
        if len(keys) > TALLIES_MAX:
            raise RemitError("tallies_too_many", f"{len(keys)} tallies at once", f"ask for {TALLIES_MAX} at most")
        asked = json.dumps(list(keys))
        return await self._read(
            lambda connection: dict[str, int](_rows(connection, _TALLIES, (asked,))), self._telling, self._teller
        )

    async def append(self, entry: Draft) -> Committed:
        """See `Ledger.append`."""
        return await self._writer.submit(lambda transaction: Committed(transaction.append(entry)), small=True)

    async def open_task(self, task: Task, entry: Draft) -> Committed:
        """See `Store.open_task`."""

        def run(transaction: Transaction) -> Committed:
            row = (task.id, utc_text(task.opened_at), utc_text(task.expires_at), canonical_bytes(task_json(task)))
            transaction.execute("INSERT INTO tasks (id, opened, expires, body) VALUES (?, ?, ?, ?)", row)
            return Committed(transaction.append(entry))

        return await self._writer.submit(run)

    async def deploy(self, release: Deployed, sources: Mapping[str, bytes], entry: Draft) -> int:
        """See `Store.deploy`."""

        def run(transaction: Transaction) -> int:
            for path, body in sources.items():
                transaction.execute("INSERT OR IGNORE INTO bundles VALUES (?, ?, ?)", (release.bundle, path, body))
            transaction.append(entry)
            number = transaction.raise_version(RELEASE, release.bundle)
            row = (number, release.bundle, utc_text(release.at), release.by, release.how)
            transaction.execute(f"INSERT INTO releases ({_RELEASE_COLUMNS}) VALUES (?, ?, ?, ?, ?)", row)  # noqa: S608 - constant
            return number

        return await self._writer.submit(run)

    async def control(
        self, name: str, says: str, entry: Draft, *, approvals: Sequence[Approval] = (), tasks: Sequence[str] = ()
    ) -> Mapping[str, int]:
        """See `Store.control`. An approval that no longer waits stays what it became, and is not among the answer."""

        def run(transaction: Transaction) -> Mapping[str, int]:
            index = transaction.append(entry)
            raised = {name: transaction.raise_version(name, says)}
            for approval in approvals:
                version = _keep(transaction, approval, index)
                if version is not None:
                    raised[approval_control(approval.id)] = version
            for task in tasks:
                transaction.execute("UPDATE tasks SET closed = 1 WHERE id = ?", (task,))
            return raised

        return await self._writer.submit(run)

    async def keep(self, approval: Approval, entry: Draft, read: Versions = ()) -> Committed | Conflict:
        """See `Store.keep`. An approval that no longer waits has changed for ever: a conflict."""

        def run(transaction: Transaction) -> Committed | Conflict:
            changed = transaction.changed(read)
            if changed is not None:
                return Conflict(changed)
            if _keep(transaction, approval, transaction.size) is None:
                return Conflict(approval_control(approval.id))
            return Committed(transaction.append(entry))

        return await self._writer.submit(run)

    async def sweep(self, entry_for: Callable[[OpenCall], Draft]) -> int:
        """See `Store.sweep`."""

        def run(transaction: Transaction) -> int:
            still = transaction.open_calls()
            if not still:
                return 0
            # The whole log is read, not only what follows the intents: a row may lie about its intent.
            transaction.flush()
            names = json.dumps([call.call for call in still])
            ended = {call for (call,) in transaction.execute(_ENDED, (names,))}
            lost = [call for call in still if call.call not in ended]
            for call in lost:
                transaction.append(entry_for(call))
            for call in still:
                transaction.close_call(call.call, void=False)
            return len(lost)

        return await self._writer.submit(run)

    async def checkpoint(self, sign: Signer) -> str:
        """See `Store.checkpoint`."""

        def run(transaction: Transaction) -> str:
            kept = transaction.execute("SELECT note FROM checkpoints WHERE size = ?", (transaction.size,)).fetchall()
            if kept:
                return str(kept[0][0])
            root = transaction.frontier.root()
            note = sign(transaction.size, root)
            row = (transaction.size, root, note, b"".join(transaction.frontier.hashes))
            transaction.execute("INSERT INTO checkpoints (size, root, note, frontier) VALUES (?, ?, ?, ?)", row)
            return note

        return await self._writer.submit(run)

    async def state(self, now: datetime) -> StoredState:
        """See `Store.state`."""

        def read(connection: apsw.Connection) -> StoredState:
            at = (utc_text(now),)
            controls = _rows(connection, "SELECT name, value, says FROM versions WHERE name <> ?", (_PROBE,))
            return StoredState(
                controls={name: (version, says) for name, version, says in controls},
                tasks=tuple(map(_task, _rows(connection, f"SELECT {_TASK_COLUMNS} {_OPEN_TASKS}", at))),
                approvals=tuple(_approval(body) for (body,) in _rows(connection, _APPROVALS, at)),
                size=_rows(connection, "SELECT coalesce(max(idx) + 1, 0) FROM entries")[0][0],
                checkpointed=_rows(connection, "SELECT coalesce(max(size), 0) FROM checkpoints")[0][0],
                marks=frozenset(hashed for (hashed,) in connection.execute("SELECT hash FROM marks")),
            )

        return await self._read(read)

    async def releases(self, count: int) -> tuple[Deployed, ...]:
        """See `Store.releases`."""
        query = f"SELECT {_RELEASE_COLUMNS} FROM releases ORDER BY number DESC LIMIT ?"  # noqa: S608 - constant
        return await self._read(lambda connection: tuple(map(_deployed, _rows(connection, query, (count,)))))

    async def probe(self) -> None:
        """Make one small durable write, to find out whether the store works again."""
        await self._writer.submit(lambda transaction: transaction.raise_version(_PROBE, ""))

    async def root_at(self, size: int) -> bytes | None:
        """See `Store.root_at`."""

        def read(connection: apsw.Connection) -> bytes | None:
            kept = _rows(connection, "SELECT root FROM checkpoints WHERE size = ?", (size,))
            if kept:
                return bytes(kept[0][0])
            frontier = Frontier()
            for (hashed,) in connection.execute("SELECT leaf_hash FROM entries WHERE idx < ? ORDER BY idx", (size,)):
                frontier.append(hashed)
            return frontier.root() if frontier.size == size else None

        return await self._read(read)

    async def entries(self, start: int, stop: int, *, payloads: bool = True) -> tuple[Entry, ...]:
        """See `Store.entries`."""
        where = "idx >= ? AND idx < ? ORDER BY idx"
        return await self._read(lambda connection: _entries(connection, where, (start, stop), payloads=payloads))

    async def entries_of(self, task: str) -> tuple[Entry, ...]:
        """See `Store.entries_of`."""
        return await self._read(lambda connection: _entries(connection, _OF_TASK, (task,)))

    async def recent_tasks(self, count: int) -> tuple[Task, ...]:
        """See `Store.recent_tasks`."""
        query = f"SELECT {_TASK_COLUMNS} FROM tasks ORDER BY opened DESC LIMIT ?"  # noqa: S608 - constant
        return await self._read(lambda connection: tuple(map(_task, _rows(connection, query, (count,)))))

    async def bundle(self, digest: str) -> Mapping[str, bytes] | None:
        """See `Store.bundle`."""
        query = "SELECT path, body FROM bundles WHERE digest = ? ORDER BY path"
        found = await self._read(lambda connection: dict[str, bytes](_rows(connection, query, (digest,))))
        return found or None

    async def _read(
        self,
        query: Callable[[apsw.Connection], T],
        thread: ThreadPoolExecutor | None = None,
        connection: apsw.Connection | None = None,
    ) -> T:
        thread, connection = thread or self._reading, connection or self._reader
        try:
            return await asyncio.get_running_loop().run_in_executor(thread, query, connection)
        except apsw.Error as error:
            raise RemitError("store_unreadable", f"{type(error).__name__}: {error}", "see `remit doctor`") from error


def _real(path: Path) -> Path:
    """Return where the file itself is: SQLite follows links too, so the lock must."""
    try:
        return path.resolve()
    except RuntimeError as error:
        raise RemitError("store_unusable", f"`{path.name}` is a link to itself", "mend store.path") from error


def _locked(path: Path) -> TextIO:
    """Take the lock of the store at `path`. Nothing is ever written to it or cut from it."""
    lock = path.with_name(f"{path.name}.lock").open("a")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        lock.close()
        raise RemitError(
            "store_locked", f"another gateway runs on `{path.name}`", "stop it, or give this one its own store.path"
        ) from error
    return lock


def _migrate(connection: apsw.Connection) -> None:
    """Apply the numbered migrations that the file has not seen, each in a transaction."""
    steps = sorted(
        (step for step in resources.files("remit.adapters.sqlite").joinpath("migrations").iterdir()),
        key=lambda step: step.name,
    )
    found = connection.pragma("user_version")
    if not isinstance(found, int) or found > len(steps):
        raise RemitError(
            "store_newer", "the store was written by a newer Remit", "use that version, or another store.path"
        )
    for number, step in enumerate(steps[found:], start=found + 1):
        with connection:
            connection.execute(step.read_text("utf-8"))
            connection.pragma("user_version", number)


def _load(connection: apsw.Connection) -> Kept:
    """Rebuild what the writer keeps in memory from what is durable.

    Raises:
        RemitError: `store_damaged`, as `_load_tree` says.
    """
    ((filed,),) = _rows(connection, "SELECT upto FROM filing")
    return Kept(
        frontier=_load_tree(connection),
        filed=filed,
        versions=dict(_rows(connection, "SELECT name, value FROM versions")),
        counters={
            key: (used, until) for key, used, until in _rows(connection, "SELECT key, used, resets FROM counters")
        },
        open_calls={row[0]: OpenCall(*row) for row in _rows(connection, "SELECT call, task, intent FROM open_calls")},
    )


def _load_tree(connection: apsw.Connection) -> Frontier:
    """Continue the tree from the newest checkpoint.

    Raises:
        RemitError: `store_damaged` when the log does not continue its own checkpoint, or a leaf after it is not
            what was hashed.
    """
    rows = _rows(connection, "SELECT size, root, frontier FROM checkpoints ORDER BY size DESC LIMIT 1")
    frontier = _frontier_of(*rows[0]) if rows else Frontier()
    while True:
        query = "SELECT idx, leaf, leaf_hash FROM entries WHERE idx >= ? ORDER BY idx LIMIT ?"
        page = _rows(connection, query, (frontier.size, PAGE_ENTRIES))
        for index, leaf, hashed in page:
            if index != frontier.size:
                raise RemitError(
                    "store_damaged", f"entry {frontier.size} is missing", "restore the store from a backup"
                )
            if leaf_hash(leaf) != hashed:  # the next checkpoint would sign a tree that the leaves do not make
                raise RemitError(
                    "store_damaged", f"entry {index} is not what was hashed", "restore the store from a backup"
                )
            frontier.append(hashed)
        if len(page) < PAGE_ENTRIES:
            break
    last = _rows(connection, "SELECT max(idx) FROM entries")[0][0]
    if frontier.size and last != frontier.size - 1:
        raise RemitError(
            "store_damaged", f"the last of {frontier.size} entries is missing", "restore the store from a backup"
        )
    return frontier


def _frontier_of(size: int, root: bytes, joined: bytes) -> Frontier:
    damaged = RemitError("store_damaged", "the newest checkpoint is not of this log", "restore the store from a backup")
    try:
        frontier = Frontier.of(size, tuple(joined[at : at + 32] for at in range(0, len(joined), 32)))
    except RemitError as error:
        raise damaged from error
    if frontier.root() != root:
        raise damaged
    return frontier


def _task(row: tuple[str, bytes]) -> Task:
    identity, body = row
    said = read_canonical(body)
    return task_of_json(identity, said if isinstance(said, dict) else {})


def _deployed(row: tuple[int, str, str, str, str]) -> Deployed:
    number, bundle, at, by, how = row
    return Deployed(number=number, bundle=bundle, at=parse_utc(at), by=by, how=how)


def _approval(body: bytes) -> Approval:
    return approval_of_json(read_canonical(body))


def _meet(transaction: Transaction, obligations: Sequence[Obligation], call: str) -> Counted | Conflict | Full:
    """Meet every obligation, or none and say which cannot be met; return what is counted."""
    wanted: dict[str, Approval] = {}
    for need in obligations:
        if isinstance(need, Consume):
            found = _stored(transaction, need.approval)
            if found is None or found.state is not State.WAITING or need.approval in wanted:
                return Conflict(approval_control(need.approval))
            wanted[need.approval] = found
    adds = tuple([need for need in obligations if isinstance(need, Add)])
    moved = transaction.moved(adds) if adds else None
    if moved is not None:
        return Conflict(moved)
    reserves = tuple([need for need in obligations if isinstance(need, Reserve)])
    full = transaction.reserve(reserves)
    if full is not None:
        return full
    # From here on nothing can fail for what it is.
    transaction.add(adds)
    for need in obligations:
        if isinstance(need, Mark):
            transaction.mark(need.hashes)
    for approval in wanted.values():
        _keep(transaction, replace(approval, state=State.USED, call=call), approval.entry)
    return (*reserves, *adds) if adds else reserves


def _keep(transaction: Transaction, approval: Approval, entry: int) -> int | None:
    """Keep a new or changed approval under its next version, which is returned; None: it no longer waits.

    A new one was opened by `entry`; one that is known keeps the entry that opened it.
    """
    before = _stored(transaction, approval.id)
    if before is not None and before.state is not State.WAITING:
        return None
    version = transaction.raise_version(approval_control(approval.id), approval.state)
    kept = replace(approval, version=version, entry=entry if before is None else before.entry)
    body = canonical_bytes(approval_json(kept))
    row = (kept.id, kept.task, kept.agent, kept.state.value, kept.call, body)
    transaction.execute(_APPROVAL_UPSERT, row)
    return version


def _stored(transaction: Transaction, approval: str) -> Approval | None:
    rows: list[tuple[Any, ...]] = transaction.execute("SELECT body FROM approvals WHERE id = ?", (approval,)).fetchall()
    return _approval(*rows[0]) if rows else None


def _rows(connection: apsw.Connection, query: str, values: tuple[int | str, ...] = ()) -> list[tuple[Any, ...]]:
    """Run a query. The tables are STRICT, so a column's type is what the schema says."""
    return connection.execute(query, values).fetchall()


def _entries(
    connection: apsw.Connection, where: str, values: tuple[int | str, ...], *, payloads: bool = True
) -> tuple[Entry, ...]:
    rows = _rows(connection, f"SELECT idx, kind, task, call, leaf FROM entries WHERE {where}", values)  # noqa: S608 - constants
    return tuple(
        _entry(index, (kind, task, call), leaf, _payloads(connection, index) if payloads else ())
        for index, kind, task, call, leaf in rows
    )


def _entry(index: int, filed: tuple[str, str, str], leaf: bytes, payloads: tuple[Payload, ...]) -> Entry:
    """Make an entry of what its leaf says: the columns only find it, and no proof covers them.

    Raises:
        RemitError: `store_damaged` when the columns say something else.
    """
    try:
        said = read_canonical(leaf)
    except ValueError:
        said = None
    if not isinstance(said, dict) or (said.get("kind"), said.get("task", ""), said.get("call", "")) != filed:
        raise RemitError(
            "store_damaged",
            f"entry {index} is not filed as what its leaf says",
            "verify the log; restore the store from a backup",
        )
    kind, task, call = filed
    return Entry(index=index, kind=kind, task=task, call=call, leaf=leaf, payloads=payloads)


def _payloads(connection: apsw.Connection, index: int) -> tuple[Payload, ...]:
    rows = _rows(connection, "SELECT name, salt, body FROM payloads WHERE entry = ? ORDER BY name", (index,))
    return tuple(Payload(name=name, salt=salt, body=body) for name, salt, body in rows)
