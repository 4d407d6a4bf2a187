"""What rows mean, and whether they are still what was written."""

from collections.abc import Sequence

import asyncpg

from remit.adapters.postgres._connections import Connection
from remit.adapters.postgres._transaction import frontier_of
from remit.core import RemitError, Task, read_canonical, task_of_json
from remit.permissions import Approval, approval_of_json
from remit.pipeline import Deployed
from remit.records import Entry, Frontier, Payload, leaf_hash

PAGE_ENTRIES = 1_000  # leaf hashes read at once

ENTRY = "SELECT idx, kind, task, call, leaf FROM entries"

_PAYLOADS = "SELECT entry, name, salt, body FROM payloads WHERE entry = ANY($1) ORDER BY entry, name"


def task_of(row: asyncpg.Record) -> Task:
    """Read a task: `id` and `body`."""
    said = read_canonical(row["body"])
    return task_of_json(row["id"], said if isinstance(said, dict) else {})


def approval_of(body: bytes) -> Approval:
    """Read an approval."""
    return approval_of_json(read_canonical(body))


def deployed_of(row: asyncpg.Record) -> Deployed:
    """Read a release."""
    return Deployed(number=row["number"], bundle=row["bundle"], at=row["at"], by=row["person"], how=row["how"])


async def entries_of(connection: Connection, rows: Sequence[asyncpg.Record], *, payloads: bool) -> tuple[Entry, ...]:
    """Read entries, with their payloads where these are wanted."""
    found: dict[int, list[Payload]] = {row["idx"]: [] for row in rows}
    if payloads:
        for entry, name, salt, body in await connection.fetch(_PAYLOADS, [*found]):
            found[entry].append(Payload(name=name, salt=salt, body=body))
    return tuple(_entry(row, tuple(found[row["idx"]])) for row in rows)


def _entry(row: asyncpg.Record, payloads: tuple[Payload, ...]) -> Entry:
    """Make an entry of what its leaf says: the columns only find it, and no proof covers them.

    Raises:
        RemitError: `store_damaged` when the columns say something else.
    """
    index, kind, task, call, leaf = row
    try:
        said = read_canonical(leaf)
    except ValueError:
        said = None
    if not isinstance(said, dict) or (said.get("kind"), said.get("task", ""), said.get("call", "")) != (
        kind,
        task,
        call,
    ):
        raise RemitError(
            "store_damaged",
            f"entry {index} is not filed as what its leaf says",
            "verify the log; restore the store from a backup",
        )
    return Entry(index=index, kind=kind, task=task, call=call, leaf=leaf, payloads=payloads)


async def root_at(connection: Connection, size: int) -> bytes | None:
    """Return the root over the first `size` entries; None where there are fewer. Wants a transaction."""
    kept: bytes | None = await connection.fetchval("SELECT root FROM checkpoints WHERE size = $1", size)
    if kept is not None:
        return kept
    frontier = Frontier()
    hashes = connection.cursor("SELECT leaf_hash FROM entries WHERE idx < $1 ORDER BY idx", size, prefetch=PAGE_ENTRIES)
    async for (hashed,) in hashes:
        frontier.append(hashed)
    return frontier.root() if frontier.size == size else None


async def check_tree(connection: Connection) -> None:
    """See that the log continues its newest checkpoint up to its edge. Wants a transaction that sees one moment.

    Raises:
        RemitError: `store_damaged`; the next checkpoint would sign a tree that the leaves do not make.
    """
    newest = await connection.fetchrow("SELECT size, root, frontier FROM checkpoints ORDER BY size DESC LIMIT 1")
    frontier = Frontier() if newest is None else _continued(newest)
    rows = connection.cursor(
        "SELECT idx, leaf, leaf_hash FROM entries WHERE idx >= $1 ORDER BY idx", frontier.size, prefetch=PAGE_ENTRIES
    )
    async for index, leaf, hashed in rows:
        if index != frontier.size:
            raise _damaged(f"entry {frontier.size} is missing")
        if leaf_hash(leaf) != hashed:
            raise _damaged(f"entry {index} is not what was hashed")
        frontier.append(hashed)
    edge = await connection.fetchrow("SELECT size, frontier FROM log")
    if edge is None or (edge["size"], edge["frontier"]) != (frontier.size, b"".join(frontier.hashes)):
        raise _damaged(f"the log's edge is not that of its {frontier.size} entries")


def _continued(newest: asyncpg.Record) -> Frontier:
    damaged = _damaged("the newest checkpoint is not of this log")
    try:
        frontier = frontier_of(newest["size"], newest["frontier"])
    except RemitError as error:
        raise damaged from error
    if frontier.root() != newest["root"]:
        raise damaged
    return frontier


def _damaged(what: str) -> RemitError:
    return RemitError("store_damaged", what, "restore the store from a backup")
