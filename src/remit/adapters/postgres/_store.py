"""The store on PostgreSQL: log, control state and archive, in one transaction wherever they must agree.

Nodes agree because none keeps anything in memory: frontier, versions, counters and open calls are rows. A command is
one transaction that locks the log's one row first, so the commands of all nodes happen one after the other, and leaf
indices have no gap.

What that costs: a log takes as many writes a second as can be committed one after the other, however many nodes there
are; and a node that is slow inside a transaction makes the others wait, at most as long as the server's bounds for
statements and idle transactions. `sweep` ends every open call, also one that another node has under way: it belongs
where no node works yet.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import replace
from datetime import datetime
from importlib import resources
from typing import Self, TypeVar

from remit.adapters.postgres._connections import CONNECT_S_MAX, FAULTS, Connection, Connections, connections, said
from remit.adapters.postgres._reading import ENTRY, approval_of, check_tree, deployed_of, entries_of, root_at, task_of
from remit.adapters.postgres._transaction import Counted, Transaction
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
    task_json,
)
from remit.permissions import Approval, State, approval_json
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
from remit.records import Draft, Entry

T = TypeVar("T")

READING_MAX = 3  # connections that only read; one more writes
TALLIES_MAX = 1_000  # keys in one question
TURN_S_MAX = 15.0  # a write that has not begun by then is given up
MIGRATION_LOCK = 0x72656D6974  # "remit": one node migrates, the others wait

_PROBE = "probe"  # the name of a value that says nothing, and is there to be written

_OPEN_TASKS = "FROM tasks WHERE expires > $1 AND NOT closed"
_INSERT_TASK = "INSERT INTO tasks (id, opened, expires, body) VALUES ($1, $2, $3, $4)"
_INSERT_RELEASE = "INSERT INTO releases (number, bundle, at, person, how) VALUES ($1, $2, $3, $4, $5)"
_INSERT_FILE = "INSERT INTO bundles (digest, path, body) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING"
_INSERT_CHECKPOINT = "INSERT INTO checkpoints (size, root, note, frontier) VALUES ($1, $2, $3, $4)"
_UPSERT_APPROVAL = (
    "INSERT INTO approvals (id, task, agent, state, call, body) VALUES ($1, $2, $3, $4, $5, $6)"
    " ON CONFLICT (id) DO UPDATE SET state = excluded.state, call = excluded.call, body = excluded.body"
)
_ENDED = "SELECT DISTINCT call FROM entries WHERE kind IN ('outcome', 'unknown') AND call = ANY($1)"


class PostgresStore:
    """The store adapter for gateways that share a log, in a database of its own or a schema: the DSN's `search_path`.

    Durable means: the server confirmed the commit, with synchronous_commit on. A write whose confirmation was lost is
    told as failed, and may stand. Everything about the connection (hosts, TLS, `target_session_attrs`) is the DSN's.
    `open` and every other method belong to one event loop.

        store = await PostgresStore.open("postgresql://remit@db.example.org/remit?sslmode=verify-full")
        await store.append(draft)
        await store.close()
    """

    def __init__(self, writing: Connections, reading: Connections) -> None:
        self._writing = writing
        self._reading = reading
        self._turn = asyncio.Lock()  # writes happen in the order in which they were asked for
        self._writes: set[asyncio.Task[object]] = set()
        self._confirmed = True
        self._closed = False

    @classmethod
    async def open(cls, dsn: str) -> Self:
        """Open the store that `dsn` names, and create what is missing in it.

        Raises:
            RemitError: `store_newer`, `store_damaged`, `store_unsafe` or `store_unusable`. No error repeats the DSN.
        """
        try:
            async with AsyncExitStack() as undo:
                writing = await undo.enter_async_context(connections(dsn, 1))
                async with writing.acquire() as connection, connection.transaction():
                    await _migrate(connection)
                reading = await undo.enter_async_context(connections(dsn, READING_MAX))
                async with _looking(reading) as connection:
                    await check_tree(connection)
                undo.pop_all()  # opened: from here on `close` lets go of the connections
        except RemitError:
            raise
        except FAULTS as error:  # its own words stay here: a DSN that was misread can have its password in any of them
            raise RemitError("store_unusable", said(error), "look at store.dsn and at the server") from None
        return cls(writing, reading)

    async def close(self) -> None:
        """Finish every write that was asked for, and let go of the connections."""
        self._closed = True
        await asyncio.gather(*self._writes, return_exceptions=True)
        for pool in (self._writing, self._reading):
            with suppress(*FAULTS):  # a connection that cannot say goodbye is cut: every write was answered already
                await pool.close()

    @property
    def healthy(self) -> bool:
        """See `Store.healthy`."""
        return self._confirmed and not self._closed

    async def begin(
        self, intent: Draft, read: Versions, obligations: Sequence[Obligation] = ()
    ) -> Committed | Conflict | Full:
        """See `Ledger.begin`."""

        async def run(transaction: Transaction) -> Committed | Conflict | Full:
            changed = await transaction.changed(read)
            if changed is not None:
                return Conflict(changed)
            if await transaction.is_open(intent.call):
                raise RemitError("call_open", f"call {intent.call} is open already", "give each call an id of its own")
            counted = await _meet(transaction, obligations, intent.call) if obligations else ()
            if not isinstance(counted, tuple):
                return counted
            index = transaction.append(intent)
            await transaction.open_call(OpenCall(intent.call, intent.task, index), counted)
            return Committed(index)

        return await self._write(run)

    async def finish(self, outcome: Draft, *, void: bool = False, adds: Sequence[Add] = ()) -> Committed:
        """See `Ledger.finish`."""

        async def run(transaction: Transaction) -> Committed | None:
            if not await transaction.close_calls([outcome.call], void=void):
                return None
            await transaction.add(adds)
            return Committed(transaction.append(outcome))

        done = await self._write(run)
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
        query = "SELECT key, used FROM tallies WHERE used > 0 AND key = ANY($1)"
        rows = await self._read(lambda connection: connection.fetch(query, list(keys)))
        return {row["key"]: row["used"] for row in rows}

    async def append(self, entry: Draft) -> Committed:
        """See `Ledger.append`."""

        async def run(transaction: Transaction) -> Committed:
            return Committed(transaction.append(entry))

        return await self._write(run)

    async def open_task(self, task: Task, entry: Draft) -> Committed:
        """See `Store.open_task`."""

        async def run(transaction: Transaction) -> Committed:
            row = (task.id, task.opened_at, task.expires_at, canonical_bytes(task_json(task)))
            await transaction.execute(_INSERT_TASK, [row])
            return Committed(transaction.append(entry))

        return await self._write(run)

    async def deploy(self, release: Deployed, sources: Mapping[str, bytes], entry: Draft) -> int:
        """See `Store.deploy`."""

        async def run(transaction: Transaction) -> int:
            await transaction.execute(_INSERT_FILE, [(release.bundle, path, body) for path, body in sources.items()])
            transaction.append(entry)
            number = await transaction.raise_version(RELEASE, release.bundle)
            row = (number, release.bundle, release.at, release.by, release.how)
            await transaction.execute(_INSERT_RELEASE, [row])
            return number

        return await self._write(run)

    async def control(
        self, name: str, says: str, entry: Draft, *, approvals: Sequence[Approval] = (), tasks: Sequence[str] = ()
    ) -> Mapping[str, int]:
        """See `Store.control`. An approval that no longer waits stays what it became, and is not among the answer."""

        async def run(transaction: Transaction) -> Mapping[str, int]:
            index = transaction.append(entry)
            raised = {name: await transaction.raise_version(name, says)}
            for approval in approvals:
                version = await _keep(transaction, approval, index)
                if version is not None:
                    raised[approval_control(approval.id)] = version
            await transaction.execute("UPDATE tasks SET closed = TRUE WHERE id = $1", [(task,) for task in tasks])
            return raised

        return await self._write(run)

    async def keep(self, approval: Approval, entry: Draft, read: Versions = ()) -> Committed | Conflict:
        """See `Store.keep`. An approval that no longer waits has changed for ever: a conflict."""

        async def run(transaction: Transaction) -> Committed | Conflict:
            changed = await transaction.changed(read)
            if changed is not None:
                return Conflict(changed)
            if await _keep(transaction, approval, transaction.size) is None:
                return Conflict(approval_control(approval.id))
            return Committed(transaction.append(entry))

        return await self._write(run)

    async def sweep(self, entry_for: Callable[[OpenCall], Draft]) -> int:
        """See `Store.sweep`. Every open call is meant, whichever node began it."""

        async def run(transaction: Transaction) -> int:
            still = await transaction.open_calls()
            if not still:
                return 0
            names = [call.call for call in still]
            # The whole log is asked, not only what follows the intents: a row may lie about its intent.
            ended = {row["call"] for row in await transaction.fetch(_ENDED, names)}
            lost = [call for call in still if call.call not in ended]
            for call in lost:
                transaction.append(entry_for(call))
            await transaction.close_calls(names, void=False)
            return len(lost)

        return await self._write(run)

    async def checkpoint(self, sign: Signer) -> str:
        """See `Store.checkpoint`."""

        async def run(transaction: Transaction) -> str:
            kept = await transaction.fetchval("SELECT note FROM checkpoints WHERE size = $1", transaction.size)
            if kept is not None:
                return str(kept)
            root = transaction.frontier.root()
            note = sign(transaction.size, root)
            row = (transaction.size, root, note, b"".join(transaction.frontier.hashes))
            await transaction.execute(_INSERT_CHECKPOINT, [row])
            return note

        return await self._write(run)

    async def probe(self) -> None:
        """Make one small durable write, to find out whether the store works again."""
        await self._write(lambda transaction: transaction.raise_version(_PROBE, ""))

    async def state(self, now: datetime) -> StoredState:
        """See `Store.state`."""

        async def read(connection: Connection) -> StoredState:
            controls = await connection.fetch("SELECT name, value, says FROM versions WHERE name <> $1", _PROBE)
            tasks = await connection.fetch(f"SELECT id, body {_OPEN_TASKS}", now)
            approvals = f"SELECT body FROM approvals WHERE task IN (SELECT id {_OPEN_TASKS}) ORDER BY id"  # noqa: S608 - constant
            return StoredState(
                controls={name: (version, says.decode()) for name, version, says in controls},
                tasks=tuple(map(task_of, tasks)),
                approvals=tuple(approval_of(body) for (body,) in await connection.fetch(approvals, now)),
                size=await connection.fetchval("SELECT size FROM log"),
                checkpointed=await connection.fetchval("SELECT coalesce(max(size), 0) FROM checkpoints"),
                marks=frozenset(hashed for (hashed,) in await connection.fetch("SELECT hash FROM marks")),
            )

        return await self._read(read)

    async def releases(self, count: int) -> tuple[Deployed, ...]:
        """See `Store.releases`."""
        query = "SELECT number, bundle, at, person, how FROM releases ORDER BY number DESC LIMIT $1"
        return tuple(map(deployed_of, await self._read(lambda connection: connection.fetch(query, count))))

    async def root_at(self, size: int) -> bytes | None:
        """See `Store.root_at`."""
        return await self._read(lambda connection: root_at(connection, size))

    async def entries(self, start: int, stop: int, *, payloads: bool = True) -> tuple[Entry, ...]:
        """See `Store.entries`."""

        async def read(connection: Connection) -> tuple[Entry, ...]:
            rows = await connection.fetch(f"{ENTRY} WHERE idx >= $1 AND idx < $2 ORDER BY idx", start, stop)
            return await entries_of(connection, rows, payloads=payloads)

        return await self._read(read)

    async def entries_of(self, task: str) -> tuple[Entry, ...]:
        """See `Store.entries_of`."""

        async def read(connection: Connection) -> tuple[Entry, ...]:
            rows = await connection.fetch(f"{ENTRY} WHERE task = $1 AND task <> '' ORDER BY idx", task)
            return await entries_of(connection, rows, payloads=True)

        return await self._read(read)

    async def recent_tasks(self, count: int) -> tuple[Task, ...]:
        """See `Store.recent_tasks`."""
        query = "SELECT id, body FROM tasks ORDER BY opened DESC LIMIT $1"
        return tuple(map(task_of, await self._read(lambda connection: connection.fetch(query, count))))

    async def bundle(self, digest: str) -> Mapping[str, bytes] | None:
        """See `Store.bundle`."""
        query = "SELECT path, body FROM bundles WHERE digest = $1 ORDER BY path"
        rows = await self._read(lambda connection: connection.fetch(query, digest))
        return {row["path"]: row["body"] for row in rows} or None

    async def _write(self, run: Callable[[Transaction], Awaitable[T]]) -> T:
        """Run a command in a transaction, and return once it is durable. It goes on though its caller is cancelled.

        Raises:
            StoreUnavailableError: that was not confirmed.
        """
        if self._closed:
            raise _unavailable("the store is closed")
        task = asyncio.get_running_loop().create_task(self._in_turn(run))
        self._writes.add(task)
        task.add_done_callback(self._writes.discard)
        return await asyncio.shield(task)

    async def _in_turn(self, run: Callable[[Transaction], Awaitable[T]]) -> T:
        try:
            async with asyncio.timeout(TURN_S_MAX):
                await self._turn.acquire()
        except TimeoutError as error:
            self._confirmed = False
            raise _unavailable("too many writes wait") from error
        try:
            return await self._commit(run)
        except FAULTS as error:
            self._confirmed = False
            raise _unavailable(said(error)) from error
        finally:
            self._turn.release()

    async def _commit(self, run: Callable[[Transaction], Awaitable[T]]) -> T:
        async with self._writing.acquire(timeout=CONNECT_S_MAX) as connection:
            async with connection.transaction(isolation="read_committed"):
                transaction = await Transaction.begin(connection)
                result = await run(transaction)
                await transaction.write()
            if transaction.wrote:  # a transaction that wrote nothing succeeds on a full disk too
                self._confirmed = True
        return result

    async def _read(self, query: Callable[[Connection], Awaitable[T]]) -> T:
        """Run a query that sees one moment."""
        try:
            async with _looking(self._reading) as connection:
                return await query(connection)
        except RemitError:
            raise
        except FAULTS as error:
            raise RemitError("store_unreadable", said(error), "see `remit doctor`") from error


@asynccontextmanager
async def _looking(reading: Connections) -> AsyncIterator[Connection]:
    async with (
        reading.acquire(timeout=CONNECT_S_MAX) as connection,
        connection.transaction(isolation="repeatable_read", readonly=True),
    ):
        yield connection


async def _migrate(connection: Connection) -> None:
    """Apply the numbered migrations that the schema has not seen, all or none.

    Raises:
        RemitError: `store_newer`.
    """
    await connection.execute("SELECT pg_advisory_xact_lock($1)", MIGRATION_LOCK)
    steps = sorted(
        (step for step in resources.files("remit.adapters.postgres").joinpath("migrations").iterdir()),
        key=lambda step: step.name,
    )
    if await connection.fetchval("SELECT to_regclass('migrations') IS NULL"):
        await connection.execute("CREATE TABLE migrations (number INTEGER PRIMARY KEY)")
    found = await connection.fetchval("SELECT coalesce(max(number), 0) FROM migrations")
    if found > len(steps):
        raise RemitError(
            "store_newer", "the store was written by a newer Remit", "use that version, or another store.dsn"
        )
    for number, step in enumerate(steps[found:], start=found + 1):
        await connection.execute(step.read_text("utf-8"))
        await connection.execute("INSERT INTO migrations (number) VALUES ($1)", number)


async def _meet(transaction: Transaction, obligations: Sequence[Obligation], call: str) -> Counted | Conflict | Full:
    """Meet every obligation, or none and say which cannot be met; return what is to be counted."""
    wanted: dict[str, Approval] = {}
    for need in obligations:
        if isinstance(need, Consume):
            found = await _stored(transaction, need.approval)
            if found is None or found.state is not State.WAITING or need.approval in wanted:
                return Conflict(approval_control(need.approval))
            wanted[need.approval] = found
    adds = tuple([need for need in obligations if isinstance(need, Add)])
    moved = await transaction.moved(adds)
    if moved is not None:
        return Conflict(moved)
    reserves = tuple([need for need in obligations if isinstance(need, Reserve)])
    full = await transaction.room(reserves)
    if full is not None:
        return full
    for need in obligations:
        if isinstance(need, Mark):
            await transaction.mark(need.hashes)
    for approval in wanted.values():
        await _keep(transaction, replace(approval, state=State.USED, call=call), approval.entry)
    return (*reserves, *adds)


async def _keep(transaction: Transaction, approval: Approval, entry: int) -> int | None:
    """Keep a new or changed approval under its next version, which is returned; None: it no longer waits.

    A new one was opened by `entry`; one that is known keeps the entry that opened it.
    """
    before = await _stored(transaction, approval.id)
    if before is not None and before.state is not State.WAITING:
        return None
    version = await transaction.raise_version(approval_control(approval.id), approval.state)
    kept = replace(approval, version=version, entry=entry if before is None else before.entry)
    body = canonical_bytes(approval_json(kept))
    await transaction.execute(_UPSERT_APPROVAL, [(kept.id, kept.task, kept.agent, kept.state.value, kept.call, body)])
    return version


async def _stored(transaction: Transaction, approval: str) -> Approval | None:
    body = await transaction.fetchval("SELECT body FROM approvals WHERE id = $1", approval)
    return None if body is None else approval_of(body)


def _unavailable(why: str) -> StoreUnavailableError:
    return StoreUnavailableError("store_unavailable", f"the store did not confirm a write: {why}", "see `remit doctor`")
