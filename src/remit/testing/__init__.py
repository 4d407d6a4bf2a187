"""Stand-ins for the world that implement the real ports, so that a test plays a whole gateway without mocks.

They simulate; they do not verify. What a test wants to know it asks the stand-in afterwards.

*The clock.* `ManualClock` stands still until `advance` is called; wall time and elapsed time move together.

*The store.* `MemoryStore` keeps the whole `Store` port in memory and passes the same contract suite as the adapters:
versions are compared, indices have no gap, a bad command writes nothing, and a write stands even when the one who
waited for it was cancelled. `FailingStore` wraps any store and fails the writes whose number (from 1) is in `at`, in
either way a write can fail: lost (`kept=False`), or made durable and reported as failed (`kept=True`).

*The tool.* `UpstreamSimulator` answers each operation by its script, in turn, and repeats the last line for ever; an
operation without a script gets `DONE`. A line is an `UpstreamAnswer`, an `UpstreamFailure`, an exception to raise, or a
`Hang`, which waits until it is released. `received` is exactly what arrived, in order; a failure `NOT_SENT` never
arrives. `effects` counts what the tool did: everything that arrived and was not answered with the tool's own error.
`on_arrival` is called at the moment a call arrives, before any effect.

*The mint.* `PlainCredentials` makes tokens that say in plain text whom they are for.

*The desk.* `desk_sources`, `desk_snapshot`, `desk_task`, `desk_delegation`, `desk_call` build one small project and
calls on it: `look` is permitted; `pay` up to 100, and held from 50; `wipe` is listed and forbidden; `spare` is in the
catalogue and in no use case. `reviewed` signs and pins any project's files. `Desk` is a whole gateway on all of these.
`seeded` gives repeatable random bytes.

    desk = Desk()
    desk.upstream.script("look", DONE)
    await desk.gateway.handle(desk_call("look"))            # Done
    [received.call for received in desk.upstream.received]  # ["c_1"]
    [entry.kind for entry in desk.store.log]                # ["intent", "outcome"]
"""

from remit.testing._clock import NOON, ManualClock, seeded
from remit.testing._credentials import PlainCredentials
from remit.testing._desk import POLICY, Desk, desk_call, desk_delegation, desk_snapshot, desk_sources, desk_task
from remit.testing._failing import FailingStore
from remit.testing._review import reviewed, reviewer_key
from remit.testing._store import MemoryStore
from remit.testing._upstream import DONE, Hang, Received, UpstreamSimulator

__all__ = [
    "DONE",
    "NOON",
    "POLICY",
    "Desk",
    "FailingStore",
    "Hang",
    "ManualClock",
    "MemoryStore",
    "PlainCredentials",
    "Received",
    "UpstreamSimulator",
    "desk_call",
    "desk_delegation",
    "desk_snapshot",
    "desk_sources",
    "desk_task",
    "reviewed",
    "reviewer_key",
    "seeded",
]
