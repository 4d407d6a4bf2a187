"""The store on PostgreSQL, through asyncpg: one log that several nodes write. Wants the extra `postgres`.

store = await PostgresStore.open("postgresql://remit@db.example.org/remit?sslmode=verify-full")
begun = await store.begin(intent, facts.versions)    # durable when it returns
await store.finish(outcome)
await store.close()
"""

from remit.adapters.postgres._store import PostgresStore

__all__ = ["PostgresStore"]
