"""Connections to the server: their bounds, what they must promise, and what is told when one fails."""

from typing import TypeAlias

import asyncpg
from asyncpg.pool import Pool, PoolConnectionProxy

from remit.core import RemitError

Connection: TypeAlias = "PoolConnectionProxy[asyncpg.Record]"
Connections: TypeAlias = "Pool[asyncpg.Record]"

CONNECT_S_MAX = 5.0
ANSWER_S_MAX = 15.0  # for one statement, as the client counts: longer than the server's own bound, which answers
SETTINGS = {
    "application_name": "remit",
    "statement_timeout": "10s",  # waiting for the log's row included
    "idle_in_transaction_session_timeout": "10s",  # a node that hangs lets go of the log's row
}

FAULTS = (
    asyncpg.PostgresError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
    OSError,
    TimeoutError,
    ValueError,
    RemitError,
)
"""What a server, a connection or a value that cannot be stored ends a transaction with."""


def connections(dsn: str, most: int) -> Connections:
    """Return a pool of `most` connections, not yet opened. Host, TLS and search path are what `dsn` says."""
    return asyncpg.create_pool(
        dsn,
        min_size=1,
        max_size=most,
        timeout=CONNECT_S_MAX,
        command_timeout=ANSWER_S_MAX,
        server_settings=SETTINGS,
        init=_must_sync,
        reset=_keep_as_it_is,
    )


async def _must_sync(connection: "asyncpg.Connection[asyncpg.Record]") -> None:
    """See that a commit is told only once it is on a disk.

    Raises:
        RemitError: `store_unsafe`.
    """
    if await connection.fetchval("SHOW synchronous_commit") == "off":
        raise RemitError(
            "store_unsafe", "the server confirms commits that are not durable", "set synchronous_commit to on"
        )


async def _keep_as_it_is(_: "asyncpg.Connection[asyncpg.Record]") -> None:
    """Leave a connection that is given back alone: no command here changes its settings, and asking costs a trip."""


def said(error: BaseException) -> str:
    """Say what failed without the server's or the client's own words: they may repeat the DSN, password and all."""
    code = getattr(error, "sqlstate", None)
    name = error.code if isinstance(error, RemitError) else type(error).__name__
    return f"{name} ({code})" if code else name
