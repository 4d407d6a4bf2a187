"""One writing transaction. It holds the log's row from its first statement, so it sees all that was committed before.

INVARIANT: a command that answers with a conflict, or that a cap is full, has changed nothing.
"""

from collections.abc import Iterable, Sequence
from datetime import timedelta
from typing import Any, Self

from remit.adapters.postgres._connections import Connection
from remit.core import Reserve
from remit.pipeline import Full, OpenCall, Versions
from remit.records import Draft, Frontier, leaf_hash

Reserves = tuple[Reserve, ...]

HASH_BYTES = 32
ENDED_KEPT = timedelta(days=2)  # no window is longer than a day; the other day is for a clock that is set back

_INSERT_ENTRY = "INSERT INTO entries (idx, kind, task, call, leaf, leaf_hash) VALUES ($1, $2, $3, $4, $5, $6)"
_INSERT_PAYLOAD = "INSERT INTO payloads (entry, name, salt, body) VALUES ($1, $2, $3, $4)"
_INSERT_RESERVED = "INSERT INTO reserved (call, nth, key, resets) VALUES ($1, $2, $3, $4)"
_COUNTED = (
    "SELECT key, used FROM counters WHERE key = ANY($1) UNION ALL"
    " SELECT key, count(*) FROM reserved WHERE resets IS NULL AND key = ANY($2) GROUP BY key"
)
_COUNT = (
    "INSERT INTO counters (key, used, resets) VALUES ($1, 1, $2)"
    " ON CONFLICT (key) DO UPDATE SET used = counters.used + 1"
)
_RAISE = (
    "INSERT INTO versions (name, value, says) VALUES ($1, 1, $2)"
    " ON CONFLICT (name) DO UPDATE SET value = versions.value + 1, says = $2 RETURNING value"
)


class Transaction:
    """What a command may do. Entries are written by `write`, the last act before the commit; the rest at once."""

    def __init__(self, connection: Connection, frontier: Frontier) -> None:
        self.fetch = connection.fetch
        self.fetchval = connection.fetchval
        self.frontier = frontier
        self.wrote = False
        self._connection = connection
        self._entries: list[tuple[int, str, str, str, bytes, bytes]] = []
        self._payloads: list[tuple[int, str, bytes, bytes]] = []
        self._window_is_new = False

    @classmethod
    async def begin(cls, connection: Connection) -> Self:
        """Lock the log and read its right edge."""
        # A statement of its own: the next one sees whatever was committed while this one waited for the lock.
        row = await connection.fetchrow("SELECT size, frontier FROM log FOR UPDATE")
        return cls(connection, frontier_of(row["size"], row["frontier"]) if row else Frontier())

    @property
    def size(self) -> int:
        """How many entries the log has, those of this transaction included."""
        return self.frontier.size

    async def write(self) -> None:
        """Write the entries that were appended, and the log's new edge."""
        if not self._entries:
            return
        await self.execute(_INSERT_ENTRY, self._entries)
        await self.execute(_INSERT_PAYLOAD, self._payloads)
        edge = (self.size, b"".join(self.frontier.hashes))
        await self.execute("UPDATE log SET size = $1, frontier = $2", [edge])

    async def execute(self, statement: str, rows: Iterable[Sequence[Any]]) -> None:
        """Run a statement that writes, once for each of `rows`, in one trip to the server."""
        values = list(rows)
        if values:
            await self._connection.executemany(statement, values)
            self.wrote = True

    def append(self, draft: Draft) -> int:
        """Append an entry and its payloads; return its index."""
        index = self.frontier.size
        hashed = leaf_hash(draft.leaf)
        self._entries.append((index, draft.kind, draft.task, draft.call, draft.leaf, hashed))
        self._payloads += [(index, payload.name, payload.salt, payload.body) for payload in draft.payloads]
        self.frontier.append(hashed)
        return index

    # --- open calls --------------------------------------------------------------------------------------------------

    async def is_open(self, call: str) -> bool:
        """Tell whether `call` has an intent and no outcome."""
        return await self.fetchval("SELECT 1 FROM open_calls WHERE call = $1", call) is not None

    async def open_call(self, call: OpenCall, reserves: Reserves) -> None:
        """Remember that a call has an intent and no outcome, and count what it reserves."""
        row = (call.call, call.task, call.intent)
        await self.execute("INSERT INTO open_calls (call, task, intent) VALUES ($1, $2, $3)", [row])
        rows = [(call.call, nth, need.key, need.resets_at) for nth, need in enumerate(reserves)]
        await self.execute(_INSERT_RESERVED, rows)
        windows = [(need.key, need.resets_at) for need in reserves if need.resets_at is not None]
        await self.execute(_COUNT, windows)
        if self._window_is_new:
            # The windows themselves tell the time: a clock that was wrong for a while drops nothing later on.
            newest = max(until for _, until in windows)
            await self.execute("DELETE FROM counters WHERE resets < $1", [(newest - ENDED_KEPT,)])

    async def close_calls(self, calls: Sequence[str], *, void: bool) -> int:
        """Forget open calls and give back what they count as under way, with `void` all they reserved.

        Returns how many of them were open.
        """
        closed = await self.fetch("DELETE FROM open_calls WHERE call = ANY($1) RETURNING call", calls)
        if not closed:
            return 0
        self.wrote = True
        freed = await self.fetch("DELETE FROM reserved WHERE call = ANY($1) RETURNING key, resets", calls)
        if void:
            windows = [(key,) for key, resets in freed if resets is not None]
            await self.execute("UPDATE counters SET used = greatest(used - 1, 0) WHERE key = $1", windows)
        return len(closed)

    async def open_calls(self) -> list[OpenCall]:
        """Return every open call, in the order of their intents."""
        return [OpenCall(*row) for row in await self.fetch("SELECT call, task, intent FROM open_calls ORDER BY intent")]

    async def room(self, reserves: Reserves) -> Full | None:
        """Tell which of `reserves`, each of them counted after those before it, finds its cap full."""
        if not reserves:
            return None
        windows = [need.key for need in reserves if need.resets_at is not None]
        under_way = [need.key for need in reserves if need.resets_at is None]
        counted: dict[str, int] = {key: used for key, used in await self.fetch(_COUNTED, windows, under_way)}  # noqa: C416 - records are not pairs to mypy
        self._window_is_new = not counted.keys() >= set(windows)
        for need in reserves:
            used = counted.get(need.key, 0)
            if used >= need.max:
                return Full(need, used)
            counted[need.key] = used + 1
        return None

    # --- versions ----------------------------------------------------------------------------------------------------

    async def changed(self, read: Versions) -> str | None:
        """Return the first name whose version is no longer the one read."""
        if not read:
            return None
        names = [name for name, _ in read]
        rows = await self.fetch("SELECT name, value FROM versions WHERE name = ANY($1)", names)
        now = {row["name"]: row["value"] for row in rows}
        return next((name for name, version in read if now.get(name, 0) != version), None)

    async def raise_version(self, name: str, says: str) -> int:
        """Raise the version of `name` by one and keep what it now says."""
        self.wrote = True
        return int(await self.fetchval(_RAISE, name, says.encode()))


def frontier_of(size: int, joined: bytes) -> Frontier:
    """Take up a frontier as the log's row or a checkpoint holds it.

    Raises:
        RemitError: `frontier_invalid`.
    """
    return Frontier.of(size, tuple(joined[at : at + HASH_BYTES] for at in range(0, len(joined), HASH_BYTES)))
