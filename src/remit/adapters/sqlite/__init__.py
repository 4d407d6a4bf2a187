"""The store on one SQLite file, through apsw and its own recent SQLite.

store = await SqliteStore.open(Path("var/remit.db"))
begun = await store.begin(intent, facts.versions)    # durable when it returns
await store.finish(outcome)
await store.close()
"""

from remit.adapters.sqlite._store import SQLITE_OLDEST, SqliteStore

__all__ = ["SQLITE_OLDEST", "SqliteStore"]
