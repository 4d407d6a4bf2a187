"""The running state that decisions read: one snapshot, swapped whole, and the open tasks.

It lives in one event loop; every read for a call happens in one step of it, so a call never sees half a change.
"""

from datetime import datetime

from remit.core import Task, ToolCall
from remit.pipeline._facts import Facts, Snapshot
from remit.pipeline._ports import Clock

RELEASE = "release"
"""The name under which the store counts bundles."""


class Live:
    """The source of facts.

    `swap` is called only after the store has made the same change durable, so a decision on the old snapshot conflicts.
    """

    def __init__(self, clock: Clock, snapshot: Snapshot, version: int) -> None:
        self._clock = clock
        self._tasks: dict[str, Task] = {}
        self._snapshot = snapshot
        self._version = version

    @property
    def snapshot(self) -> Snapshot:
        """The running release."""
        return self._snapshot

    def swap(self, snapshot: Snapshot, version: int) -> None:
        """Make `snapshot` the running release."""
        self._snapshot, self._version = snapshot, version

    def admit(self, task: Task) -> None:
        """Let calls act under `task`. Its token is handed out only once the store holds it."""
        self._tasks[task.id] = task

    def dismiss(self, task_id: str) -> None:
        """Let no call act under a task any more."""
        self._tasks.pop(task_id, None)

    def task(self, task_id: str) -> Task | None:
        """Return an open task."""
        return self._tasks.get(task_id)

    def forget_expired(self, now: datetime) -> None:
        """Drop tasks whose time is over; calls under them are denied either way."""
        self._tasks = {key: task for key, task in self._tasks.items() if now < task.expires_at}

    def open_tasks_of(self, user: str, agent: str) -> int:
        """Count the open tasks of one user with one agent."""
        return sum(task.user == user and task.agent == agent for task in self._tasks.values())

    def gather(self, call: ToolCall) -> Facts:
        """Return what `call` is to be decided on, all read at this moment."""
        return facts_for(call, self._snapshot, self._version, self._tasks.get(call.delegation.task), self._clock.now())


def facts_for(call: ToolCall, snapshot: Snapshot, version: int, task: Task | None, now: datetime) -> Facts:
    """Select from `snapshot` what concerns `call`. The same inputs give the same facts, live and in a replay."""
    agent, operation = call.delegation.agent, call.operation
    descriptor = snapshot.descriptors.get(operation)
    return Facts(
        now=now,
        task=task,
        charter=snapshot.charters.get(agent),
        tool=None if descriptor is None else snapshot.tools.get(descriptor.tool),
        descriptor=descriptor,
        check=snapshot.checks.get(operation),
        shard=snapshot.shards.get((agent, operation)),
        bundle=snapshot.digest,
        versions=((RELEASE, version),),
    )
