"""A store whose writes fail when a test says so."""

from collections.abc import Awaitable, Callable, Container, Mapping, Sequence
from datetime import datetime
from typing import TypeVar

from remit.core import Add, Obligation, StoreUnavailableError, Task
from remit.permissions import Approval
from remit.pipeline import Committed, Conflict, Deployed, Full, OpenCall, Signer, Store, StoredState, Versions
from remit.records import Draft, Entry

T = TypeVar("T")


class FailingStore:
    """Passes everything on to `inner`, but fails the writes numbered in `at` (from 1), in one of the two ways.

    With `kept=False` a failing write is not made. With `kept=True` it is made durable and then reported as failed.
    `writes` counts the attempts. `FailingStore(inner, at=range(3, 1_000), kept=False)` is a store that dies.
    """

    def __init__(self, inner: Store, *, at: Container[int], kept: bool) -> None:
        self.inner = inner
        self.writes = 0
        self._at = at
        self._kept = kept
        self._confirmed = True

    @property
    def healthy(self) -> bool:
        """See `Store.healthy`."""
        return self._confirmed and self.inner.healthy

    async def begin(
        self, intent: Draft, read: Versions, obligations: Sequence[Obligation] = ()
    ) -> Committed | Conflict | Full:
        """See `Ledger.begin`."""
        return await self._write(lambda: self.inner.begin(intent, read, obligations), _is_committed)

    async def finish(self, outcome: Draft, *, void: bool = False, adds: Sequence[Add] = ()) -> Committed:
        """See `Ledger.finish`."""
        return await self._write(lambda: self.inner.finish(outcome, void=void, adds=adds))

    async def tallies(self, keys: Sequence[str]) -> Mapping[str, int]:
        """See `Ledger.tallies`."""
        return await self.inner.tallies(keys)

    async def append(self, entry: Draft) -> Committed:
        """See `Ledger.append`."""
        return await self._write(lambda: self.inner.append(entry))

    async def open_task(self, task: Task, entry: Draft) -> Committed:
        """See `Store.open_task`."""
        return await self._write(lambda: self.inner.open_task(task, entry))

    async def deploy(self, release: Deployed, sources: Mapping[str, bytes], entry: Draft) -> int:
        """See `Store.deploy`."""
        return await self._write(lambda: self.inner.deploy(release, sources, entry))

    async def control(
        self, name: str, says: str, entry: Draft, *, approvals: Sequence[Approval] = (), tasks: Sequence[str] = ()
    ) -> Mapping[str, int]:
        """See `Store.control`."""
        return await self._write(lambda: self.inner.control(name, says, entry, approvals=approvals, tasks=tasks))

    async def keep(self, approval: Approval, entry: Draft, read: Versions = ()) -> Committed | Conflict:
        """See `Store.keep`."""
        return await self._write(lambda: self.inner.keep(approval, entry, read), _is_committed)

    async def sweep(self, entry_for: Callable[[OpenCall], Draft]) -> int:
        """See `Store.sweep`."""
        return await self._write(lambda: self.inner.sweep(entry_for), bool)

    async def checkpoint(self, sign: Signer) -> str:
        """See `Store.checkpoint`."""
        signed: list[int] = []

        def seen(size: int, root: bytes) -> str:
            signed.append(size)
            return sign(size, root)

        return await self._write(lambda: self.inner.checkpoint(seen), lambda _: bool(signed))

    async def state(self, now: datetime) -> StoredState:
        """See `Store.state`."""
        return await self.inner.state(now)

    async def releases(self, count: int) -> tuple[Deployed, ...]:
        """See `Store.releases`."""
        return await self.inner.releases(count)

    async def root_at(self, size: int) -> bytes | None:
        """See `Store.root_at`."""
        return await self.inner.root_at(size)

    async def entries(self, start: int, stop: int, *, payloads: bool = True) -> tuple[Entry, ...]:
        """See `Store.entries`."""
        return await self.inner.entries(start, stop, payloads=payloads)

    async def entries_of(self, task: str) -> tuple[Entry, ...]:
        """See `Store.entries_of`."""
        return await self.inner.entries_of(task)

    async def recent_tasks(self, count: int) -> tuple[Task, ...]:
        """See `Store.recent_tasks`."""
        return await self.inner.recent_tasks(count)

    async def bundle(self, digest: str) -> Mapping[str, bytes] | None:
        """See `Store.bundle`."""
        return await self.inner.bundle(digest)

    async def _write(self, make: Callable[[], Awaitable[T]], wrote: Callable[[T], bool] = lambda _: True) -> T:
        """Make or fail a write. One of which `wrote` says that it wrote nothing shows nothing about health."""
        self.writes += 1
        if self.writes not in self._at:
            answer = await make()
            self._confirmed = self._confirmed or wrote(answer)
            return answer
        self._confirmed = False
        if self._kept:
            await make()
        raise StoreUnavailableError("store_unavailable", "the store did not confirm a write: told to fail", "none")


def _is_committed(answer: Committed | Conflict | Full) -> bool:
    return isinstance(answer, Committed)
