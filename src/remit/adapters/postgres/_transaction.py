"""One writing transaction. It holds the log's row from its first statement, so it sees all that was committed before.

INVARIANT: a command that answers with a conflict, or that a cap is full, has changed nothing.
"""

from collections.abc import Iterable, Sequence
from datetime import timedelta
from typing import Any, Self

from remit.adapters.postgres._connections import Connection
from remit.core import Add, Reserve
from remit.pipeline import Full, OpenCall, Versions
from remit.records import Draft, Frontier, leaf_hash

Counted = tuple[Reserve | Add, ...]
"""What an open call counts, in the order of its rows in `counted`."""

HASH_BYTES = 32
TALLY_MAX = (1 << 62) - 1  # what a tally holds at most; one that is full stays so, for nobody knows what it stands for
ENDED_KEPT = timedelta(days=2)  # no window is longer than a day; the other day is for a clock that is set back

_INSERT_ENTRY = "INSERT INTO entries (idx, kind, task, call, leaf, leaf_hash) VALUES ($1, $2, $3, $4, $5, $6)"
_INSERT_PAYLOAD = "INSERT INTO payloads (entry, name, salt, body) VALUES ($1, $2, $3, $4)"
_INSERT_COUNTED = "INSERT INTO counted (call, nth, key, resets, added) VALUES ($1, $2, $3, $4, $5)"
_COUNTED = (
    "SELECT key, used FROM counters WHERE key = ANY($1) UNION ALL"
    " SELECT key, count(*) FROM counted WHERE resets IS NULL AND added IS NULL AND key = ANY($2) GROUP BY key"
)
_COUNT = (
    "INSERT INTO counters (key, used, resets) VALUES ($1, 1, $2)"
    " ON CONFLICT (key) DO UPDATE SET used = counters.used + 1"
)
_ADD = (
    "INSERT INTO tallies (key, used, resets) VALUES ($1, $2, $3)"
    " ON CONFLICT (key) DO UPDATE SET used = least(tallies.used + excluded.used, $4)"
)
_TAKE_BACK = "UPDATE tallies SET used = greatest(used - $2, 0) WHERE key = $1 AND used < $3"
_DROP_TALLIES = "DELETE FROM tallies WHERE key IN (SELECT key FROM tallies WHERE resets < $1 ORDER BY resets LIMIT $2)"
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

    async def open_call(self, call: OpenCall, counted: Counted) -> None:
        """Remember that a call has an intent and no outcome, and count what it counts."""
        row = (call.call, call.task, call.intent)
        await self.execute("INSERT INTO open_calls (call, task, intent) VALUES ($1, $2, $3)", [row])
        rows = [(call.call, nth, need.key, need.resets_at, _added(need)) for nth, need in enumerate(counted)]
        await self.execute(_INSERT_COUNTED, rows)
        reserves = [need for need in counted if isinstance(need, Reserve)]
        windows = [(need.key, need.resets_at) for need in reserves if need.resets_at is not None]
        await self.execute(_COUNT, windows)
        await self.add([need for need in counted if isinstance(need, Add)])
        if self._window_is_new:
            # The windows themselves tell the time: a clock that was wrong for a while drops nothing later on.
            newest = max(until for _, until in windows)
            await self.execute("DELETE FROM counters WHERE resets < $1", [(newest - ENDED_KEPT,)])

    async def close_calls(self, calls: Sequence[str], *, void: bool) -> int:
        """Forget open calls and give back what they count as under way, with `void` all they counted.

        Returns how many of them were open.
        """
        closed = await self.fetch("DELETE FROM open_calls WHERE call = ANY($1) RETURNING call", calls)
        if not closed:
            return 0
        self.wrote = True
        freed = await self.fetch("DELETE FROM counted WHERE call = ANY($1) RETURNING key, resets, added", calls)
        if void:
            windows = [(key,) for key, resets, added in freed if resets is not None and added is None]
            await self.execute("UPDATE counters SET used = greatest(used - 1, 0) WHERE key = $1", windows)
            adds = [(key, added, TALLY_MAX) for key, _, added in freed if added is not None]
            await self.execute(_TAKE_BACK, adds)
        return len(closed)

    async def open_calls(self) -> list[OpenCall]:
        """Return every open call, in the order of their intents."""
        return [OpenCall(*row) for row in await self.fetch("SELECT call, task, intent FROM open_calls ORDER BY intent")]

    async def room(self, reserves: Sequence[Reserve]) -> Full | None:
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

    # --- tallies and marks -------------------------------------------------------------------------------------------

    async def moved(self, adds: Sequence[Add]) -> str | None:
        """Return the first key under which something else is counted than was seen."""
        if not adds:
            return None
        rows = await self.fetch("SELECT key, used FROM tallies WHERE key = ANY($1)", [need.key for need in adds])
        now = {row["key"]: row["used"] for row in rows}
        return next((need.key for need in adds if now.get(need.key, 0) != need.seen), None)

    async def add(self, adds: Sequence[Add]) -> None:
        """Count, whatever was seen, and drop as many tallies of windows long over as may have come to be."""
        rows = [(need.key, _added(need), need.resets_at, TALLY_MAX) for need in adds if need.by]
        await self.execute(_ADD, rows)
        windows = [until for _, _, until, _ in rows if until is not None]
        if windows:
            # The windows themselves tell the time, as for the counters. So few at once: nobody waits for a day's.
            await self.execute(_DROP_TALLIES, [(max(windows) - ENDED_KEPT, 2 * len(windows))])

    async def mark(self, hashes: Iterable[bytes]) -> None:
        """Keep `hashes` for ever."""
        rows = [(hashed,) for hashed in hashes]
        await self.execute("INSERT INTO marks (hash) VALUES ($1) ON CONFLICT DO NOTHING", rows)

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


def _added(need: Reserve | Add) -> int | None:
    """Return what an `Add` counts, as far as a tally holds it; None for a `Reserve`."""
    return min(need.by, TALLY_MAX) if isinstance(need, Add) else None


def frontier_of(size: int, joined: bytes) -> Frontier:
    """Take up a frontier as the log's row or a checkpoint holds it.

    Raises:
        RemitError: `frontier_invalid`.
    """
    return Frontier.of(size, tuple(joined[at : at + HASH_BYTES] for at in range(0, len(joined), HASH_BYTES)))
