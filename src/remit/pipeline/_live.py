"""The running state that decisions read: one snapshot, swapped whole, the controls, the open tasks and approvals.

It lives in one event loop; every read for a call happens in one step of it, so a call never sees half a change.
"""

import json
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from types import MappingProxyType

from remit.core import Add, Attribute, Authority, Delegation, Json, JsonObject, Level, Revocation, Task, ToolCall
from remit.identity import EVERY_AGENT, Cut, UserCuts, read_user_cuts, user_cut
from remit.permissions import (
    NO_ORIGINS,
    NOBODY,
    Approval,
    Asked,
    Directory,
    Entitlements,
    Flow,
    Memory,
    Opinion,
    Origins,
    State,
    Tally,
    edit_of,
    joined,
    tallies,
)
from remit.pipeline._facts import Facts, Snapshot, Versions
from remit.pipeline._past import Answers, Counters, Look, facts_of
from remit.pipeline._ports import NOTHING, Clock, Control
from remit.records import Entry

RELEASE = "release"
"""The control that says which bundle runs."""

STOP = "stop"
"""The control that says why everything stands still; empty while it does not."""

_EPOCH = ("agent/", "user/", "task/", "key/", "keys/", "consent/")
"""What the controls' names begin with whose change may end a token's authority."""

_CUTTING = ("agent/", "user/", "task/", "key/")
"""What those begin with that say, while they are not empty, that something is cut off."""

_DIRECTORY = "directory/"

MARKS_MAX = 200_000  # about 20 MB; a write that would need more is refused

EntriesOf = Callable[[str], Awaitable[tuple[Entry, ...]]]

Tell = Callable[[Approval | None, Approval], None]
"""Takes an approval as it was and as it is. Never waits and never raises."""

TalliesOf = Callable[[Sequence[str]], Awaitable[Mapping[str, int]]]

_Kind = tuple[str, str, str, datetime, Authority, tuple[str, ...], tuple[tuple[str, Attribute], ...]]
"""What two implicit tasks have in common that are one: parties, use case and login, and what the login says."""

_Pair = tuple[str, str, str, tuple[str, ...], tuple[str, ...], str]
"""User, agent, task, chain and keys of a delegation, and an operation."""

_NEVER: Control = (0, "")
_LONG_AGO = datetime(1, 1, 1, tzinfo=UTC)
_NOTHING_MISSING: Mapping[str, str] = MappingProxyType({})
_NOTHING_KNOWN: Mapping[str, JsonObject] = MappingProxyType({})
_SAYS_NOTHING = Flow(consequential=True, content=frozenset(), sources={}, labels=(), reviewers=())


async def _none_counted(_keys: Sequence[str]) -> Mapping[str, int]:
    return {}


def directory_control(directory: str) -> str:
    """Name the control that says what approvers added to a directory (`permissions.joined`)."""
    return f"{_DIRECTORY}{directory}"


def agent_control(agent: str) -> str:
    """Name the control that says why an agent is revoked; empty while it is not."""
    return f"agent/{agent}"


def user_control(user: str) -> str:
    """Name the control that says what of a user's authority is cut off (`identity.read_user_cuts`)."""
    return f"user/{user}"


def task_control(task: str) -> str:
    """Name the control that says why a task was cut off; empty while it was not."""
    return f"task/{task}"


def key_control(key: str) -> str:
    """Name the control that says why a key, by its thumbprint, counts no more; empty while it does."""
    return f"key/{key}"


def keys_control(agent: str) -> str:
    """Name the control that keeps an agent's public keys."""
    return f"keys/{agent}"


def consent_control(agent: str, user: str) -> str:
    """Name the control that keeps a user's consent to an agent's acting for them."""
    return f"consent/{agent}/{user}"


def operation_control(operation: str) -> str:
    """Name the control that says how an operation differs from what was reviewed; empty while it does not."""
    return f"operation/{operation}"


def approval_control(approval: str) -> str:
    """Name the control that counts the changes of an approval."""
    return f"approval/{approval}"


class Live:
    """The source of facts.

    Changes come in only after the store has made them durable, so a decision on what was before conflicts.
    """

    def __init__(  # noqa: PLR0913 - the named ones have defaults
        self,
        clock: Clock,
        snapshot: Snapshot,
        controls: Mapping[str, Control],
        *,
        tenant: str,
        memory_key: bytes,
        entries_of: EntriesOf,
        tallies_of: TalliesOf = _none_counted,
        marks: Iterable[bytes] = (),
        later: Callable[[Callable[[], None]], object] = lambda run: run(),
    ) -> None:
        self._clock = clock
        self._snapshot = snapshot
        self._controls: dict[str, Control] = dict(controls)
        self._tenant = tenant
        self._key = memory_key
        self._entries_of = entries_of
        self._tallies_of = tallies_of
        self._marks = set(marks)  # of every untrusted value that was written: each task's memory looks there
        self._counters = Counters()
        self._answers: dict[str, Answers] = {}  # by task
        self._directories: Mapping[str, Directory] = {}
        self._tasks: dict[str, Task] = {}
        self._approvals: dict[str, dict[str, Approval]] = {}  # by task, then id
        self._ended: dict[str, Approval] = {}  # of tasks that are over, to say what became of them
        self._memories: dict[str, Memory] = {}  # by task; one that is missing here is read back from the log
        self._later = later  # runs something soon, once whoever waits for an answer has it
        self._unlearned: list[tuple[ToolCall, Facts, bytes]] = []
        self.began_at = clock.now()  # of what happened before, only what is durable is known
        self._versions: dict[_Pair, Versions] = {}  # until anything changes
        self._cut = {name: says for name, (_, says) in controls.items() if says and name.startswith(_CUTTING)}
        self._user_cuts: dict[str, UserCuts] = {
            name: read_user_cuts(says) for name, says in self._cut.items() if name.startswith("user/")
        }
        self._implicit: dict[_Kind, str] = {}  # the open implicit task of each kind
        self._levels: dict[str, Level] = {}  # by task: how the agent of its last call was attached
        self._join_directories()
        self.tell: Tell | None = None  # hears of every approval that is taken in from when it is set
        self.generation = 0  # rises with every change of the snapshot or a control
        self.epoch = 0  # rises with every change that may end a token's authority: part of every token cache's key

    @property
    def snapshot(self) -> Snapshot:
        """The running release."""
        return self._snapshot

    def swap(self, snapshot: Snapshot, version: int) -> None:
        """Make `snapshot` the running release."""
        self._snapshot = snapshot
        self.set_control(RELEASE, version, snapshot.digest)
        self._join_directories()

    def says(self, control: str) -> str:
        """Return what a control says; empty where nobody ever said anything."""
        return self._controls.get(control, _NEVER)[1]

    def quarantined(self, operation: str) -> str:
        """Return how an operation differs from what was reviewed; empty where it does not, or was reviewed anew."""
        says = self.says(operation_control(operation))
        if not says:
            return ""
        found = self._snapshot.descriptors.get(operation)
        said: JsonObject = json.loads(says)
        if found is None or found.digest not in said:
            return ""
        return "; ".join(str(line) for line in _list(said[found.digest])) or "it differs from what was reviewed"

    def set_control(self, name: str, version: int, says: str) -> None:
        """Take in what a control says now."""
        self._controls[name] = (version, says)
        self._versions.clear()
        self.generation += 1
        if name.startswith(_EPOCH):
            self.epoch += 1
        if name.startswith(_DIRECTORY):
            self._join_directories()
        if name.startswith(_CUTTING):
            self._cut.pop(name, None)
            self._user_cuts.pop(name, None)
            if says:
                self._cut[name] = says
                if name.startswith("user/"):
                    self._user_cuts[name] = read_user_cuts(says)

    def _join_directories(self) -> None:
        """Add to the signed directories what approvers added to them while approving."""
        self._looked_up = frozenset(
            look_up.operation
            for descriptor in self._snapshot.descriptors.values()
            for look_up in descriptor.controls.facts.values()
        )
        extended = {
            name: control[1] for name, control in self._controls.items() if name.startswith(_DIRECTORY) and control[1]
        }
        self._extended = tuple(name for name in self._controls if name.startswith(_DIRECTORY))
        self._directories = {
            name: joined(directory, extended.get(directory_control(name), ""))
            for name, directory in self._snapshot.directories.items()
        }

    @property
    def directories(self) -> Mapping[str, Directory]:
        """The directories as decisions see them."""
        return self._directories

    def revocation(self, delegation: Delegation) -> Revocation | None:
        """Return who or what of a delegation was cut off, if anything was."""
        if not self._cut:
            return None
        if (agent := self.agent_revocation(delegation)) is not None:
            return agent
        if (cuts := self._user_cuts.get(user_control(delegation.user))) is not None:
            task = self._tasks.get(delegation.task)
            # (A task that is closed by now was opened before whatever closed it.)
            found = _user_cut(delegation.user, cuts, delegation.agent, _LONG_AGO if task is None else task.since)
            if found is not None:
                return found
        for key in delegation.keys:
            if why := self._cut.get(key_control(key), ""):
                return Revocation("key", key, why)
        for task_id in (delegation.task, *self._parents(delegation.task)):
            if why := self._cut.get(task_control(task_id), ""):
                return Revocation("task", task_id, why)
        return None

    def _parents(self, task_id: str) -> Iterator[str]:
        """Yield the tasks that a task's work was handed on from, the nearest first."""
        task = self._tasks.get(task_id)
        while task is not None and task.parent:
            yield task.parent
            task = self._tasks.get(task.parent)

    def agent_revocation(self, delegation: Delegation) -> Revocation | None:
        """Return which agent of a delegation was cut off, if one was."""
        for agent in (delegation.agent, *delegation.chain):
            if why := self._cut.get(agent_control(agent), ""):
                return Revocation("agent", agent, why)
        return None

    def user_revocation(self, user: str, agent: str, at: datetime) -> Revocation | None:
        """Return why a user may have no task opened with an agent on a login from `at`, if so it is."""
        return _user_cut(user, self._user_cuts.get(user_control(user), {}), agent, at)

    def user_cuts(self) -> Mapping[str, UserCuts]:
        """Return what is cut off of users' authority, by user."""
        return {name.partition("/")[2]: cuts for name, cuts in self._user_cuts.items()}

    def admit(self, task: Task, given: bytes | None = None) -> None:
        """Let calls act under `task`. Its token is handed out only once the store holds it.

        `given` is the user's input; without it, what the task has seen is read back from the log when it is needed.
        """
        self._tasks[task.id] = task
        if task.implicit:
            self._implicit[_kind_of(task)] = task.id
        parent = self._memories.get(task.parent)
        if given is not None and (parent is not None or not task.parent):
            memory = Memory(self._key, self._marks)
            memory.learn_input(given)
            if parent is not None:
                self._learn_all()
                memory.inherit(parent)
            self._memories[task.id] = memory

    def dismiss(self, task_id: str) -> None:
        """Let no call act under a task any more."""
        task = self._tasks.pop(task_id, None)
        if task is not None and task.implicit:
            self._implicit.pop(_kind_of(task), None)
        self._memories.pop(task_id, None)
        self._answers.pop(task_id, None)
        self._levels.pop(task_id, None)
        for approval in self._approvals.pop(task_id, {}).values():
            self._end(approval)

    def task(self, task_id: str) -> Task | None:
        """Return an open task."""
        return self._tasks.get(task_id)

    def implicit_task(self, like: Task) -> Task | None:
        """Return the open implicit task of the same parties with the very authority, groups and attributes."""
        return self._tasks.get(self._implicit.get(_kind_of(like), ""))

    def tasks(self) -> tuple[Task, ...]:
        """Return every open task."""
        return tuple(self._tasks.values())

    def level(self, task: str) -> Level | None:
        """Return how the agent was attached whose call in `task` was the last; None before the first."""
        return self._levels.get(task)

    def tasks_for(self, cut: Cut) -> tuple[str, ...]:
        """Return the open tasks that a cut goes through, with whatever was handed on from them.

        A key is no part of a task: tasks are not closed by a key's cut, the delegations that rest on it end.
        """
        if cut.key:
            return ()
        ended = {
            task.id
            for task in self._tasks.values()
            if cut.concerns(user=task.user, agent=task.agent, task=task.id, chain=task.chain)
        }
        while more := {task.id for task in self._tasks.values() if task.parent in ended} - ended:
            ended |= more
        return tuple(task for task in self._tasks if task in ended)

    def waiting_in(self, tasks: Iterable[str]) -> tuple[Approval, ...]:
        """Return the approvals that wait for persons before these tasks may go on."""
        concerned = frozenset(tasks)
        return tuple(each for each in self.approvals() if each.task in concerned and each.state is State.WAITING)

    def forget_expired(self, now: datetime) -> None:
        """Drop tasks whose time is over; calls under them are denied either way."""
        for task in [task for task in self._tasks.values() if now >= task.expires_at]:
            self.dismiss(task.id)

    def open_tasks_of(self, user: str, agent: str) -> int:
        """Count the open tasks of one user with one agent."""
        return sum(task.user == user and task.agent == agent for task in self._tasks.values())

    def put(self, approval: Approval) -> None:
        """See `FactSource.put`. One whose task is over by now opens nothing, and is kept as such."""
        if self.tell is not None:
            self.tell(self.approval(approval.id), approval)
        if approval.task not in self._tasks:
            self._end(approval)
            return
        self._approvals.setdefault(approval.task, {})[approval.id] = approval

    def drop(self, approval: str) -> None:
        """See `FactSource.drop`."""
        for kept in self._approvals.values():
            kept.pop(approval, None)

    def approval(self, approval: str) -> Approval | None:
        """Return an approval of an open task, or of one that ended lately."""
        found = next((kept[approval] for kept in self._approvals.values() if approval in kept), None)
        return found or self._ended.get(approval)

    def approvals(self) -> tuple[Approval, ...]:
        """Return every approval of the open tasks, the oldest first."""
        every = [approval for kept in self._approvals.values() for approval in kept.values()]
        return tuple(sorted(every, key=lambda approval: (approval.opened_at, approval.id)))

    def waiting_for(self, agent: str) -> tuple[Approval, ...]:
        """Return the approvals that wait for persons before this agent may go on."""
        return tuple(each for each in self.approvals() if each.agent == agent and each.state is State.WAITING)

    async def recall(self, call: ToolCall) -> None:
        """See `FactSource.recall`."""
        task = call.delegation.task
        if task not in self._memories and task in self._tasks:
            memory = await self._remembered(task)
            if task in self._tasks:
                self._memories.setdefault(task, memory)
        if self._snapshot.histories.get(call.operation):
            asked = self._counters.unknown(each.key for each in self._tallies(call, self._clock.now()))
            if asked:
                self._counters.learn(asked, await self._tallies_of(asked))

    async def _remembered(self, task: str) -> Memory:
        """Return what a task has seen, with what those had seen that its work was handed on from."""
        known = self._memories.get(task)
        if known is not None:
            return known
        memory, entries = Memory(self._key, self._marks), await self._entries_of(task)
        parent = _parent_in(entries)
        if parent:
            memory.inherit(await self._remembered(parent))
        self._relearn(memory, entries)
        return memory

    def edit_of(self, call: ToolCall) -> Approval | None:
        """See `FactSource.edit_of`."""
        kept = self._approvals.get(call.delegation.task)
        return edit_of(call.operation, call.canonical, kept.values(), self._clock.now()) if kept else None

    def count(self, adds: Sequence[Add], sign: int = 1) -> None:
        """See `FactSource.count`."""
        self._counters.count(adds, sign)

    def uncertain(self, keys: Iterable[str]) -> None:
        """See `FactSource.uncertain`."""
        self._counters.forget(keys)

    def mark(self, hashes: Sequence[bytes]) -> None:
        """See `FactSource.mark`."""
        self._marks.update(hashes)

    def changed(self) -> None:
        """See `FactSource.changed`."""
        self._answers.clear()

    def remember(self, call: ToolCall, facts: Facts, result: bytes) -> None:
        """See `FactSource.remember`."""
        task = call.delegation.task
        if task in self._tasks and call.operation in self._looked_up:
            answers = self._answers.setdefault(task, Answers())
            answers.keep(Look(call.operation, call.canonical), self._clock.now(), result)
        if task in self._memories:
            self._unlearned.append((call, facts, result))
            if len(self._unlearned) == 1:
                self._later(self._learn_all)

    def _learn_all(self) -> None:
        """Take in every answer that waits: soon after it is given, and before any call is decided on what is known."""
        unlearned, self._unlearned = self._unlearned, []
        for call, facts, result in unlearned:
            memory = self._memories.get(call.delegation.task)
            if memory is not None:
                flow, origins = facts.flow or _SAYS_NOTHING, facts.origins if facts.flow else None
                memory.learn_result(call.operation, call.id, flow, call.arguments, result, origins)

    def gather(self, call: ToolCall, looked: Mapping[str, bytes | str] = NOTHING) -> Facts:
        """See `FactSource.gather`."""
        if self._unlearned:
            self._learn_all()
        task, agent = call.delegation.task, call.delegation.agent
        kept = self._approvals.get(task)
        flow = self._snapshot.flows.get((agent, call.operation))
        now, revoked = self._clock.now(), self.revocation(call.delegation)
        may_look = revoked is None and task in self._tasks
        if task in self._tasks:
            self._levels[task] = call.delegation.level
        known, lacking = self._facts(call, now, looked)
        return facts_for(
            call,
            self._snapshot,
            self._tasks.get(task),
            now,
            versions=self._versions_for(call.delegation, call.operation),
            tenant=self._tenant,
            stopped=self.says(STOP),
            revoked=revoked,
            quarantined=self.quarantined(call.operation),
            origins=self._origins(task, call, flow, now) if may_look else NO_ORIGINS,
            history=self._tallies(call, now),
            known=known,
            missing=lacking,
            approvals=tuple(each for each in kept.values() if _counts(each, now)) if kept else (),
        )

    def _origins(self, task: str, call: ToolCall, flow: Flow | None, now: datetime) -> Origins:
        if flow is None:
            return NO_ORIGINS
        memory = self._memories.get(task)
        if memory is None:  # (it was not read back: whatever the task has seen, it may have been the worst)
            memory = Memory(self._key, self._marks)
            memory.learn_lost(call.operation, call.id, flow)
        return memory.origins(
            call.arguments,
            flow,
            directories=self._directories,
            classes=self._snapshot.classes,
            now=now,
            marks_left=MARKS_MAX - len(self._marks),
        )

    def _tallies(self, call: ToolCall, now: datetime) -> tuple[Tally, ...]:
        histories = self._snapshot.histories.get(call.operation)
        descriptor = self._snapshot.descriptors.get(call.operation)
        if not histories or descriptor is None:
            return ()
        by = call.delegation
        asked = Asked(
            user=by.user,
            agent=by.agent,
            task=by.task,
            tool=descriptor.tool,
            use_case=by.use_case,
            operation=call.operation,
            arguments=call.arguments,
            now=now,
        )
        return tallies(histories, asked, self._counters.seen)

    def _facts(
        self, call: ToolCall, now: datetime, looked: Mapping[str, bytes | str]
    ) -> tuple[Mapping[str, JsonObject], Mapping[str, str]]:
        descriptor = self._snapshot.descriptors.get(call.operation)
        if descriptor is None or not descriptor.controls.facts:
            return {}, {}
        answers = self._answers.get(call.delegation.task) or Answers()
        return facts_of(descriptor, call, answers, now, looked)

    def _versions_for(self, by: Delegation, operation: str) -> Versions:
        """Return every control that a decision on a call of `by` reads: those of each member of the delegation, too."""
        pair = (by.user, by.agent, by.task, by.chain, by.keys, operation)
        known = self._versions.get(pair)
        if known is None:
            if len(self._versions) > _PAIRS_MAX:
                self._versions.clear()
            names = [RELEASE, STOP, operation_control(operation), user_control(by.user), task_control(by.task)]
            names += [agent_control(agent) for agent in (by.agent, *by.chain)]
            names += [*map(key_control, by.keys), *map(task_control, self._parents(by.task)), *self._extended]
            known = tuple((name, self._controls.get(name, _NEVER)[0]) for name in names)
            self._versions[pair] = known
        return known

    def _end(self, approval: Approval) -> None:
        self._ended.pop(approval.id, None)
        if len(self._ended) >= _ENDED_MAX:
            self._ended.pop(next(iter(self._ended)))
        self._ended[approval.id] = approval

    def _relearn(self, memory: Memory, entries: Iterable[Entry]) -> None:
        """Learn again from the log what a task saw before a restart. What was erased may have been the worst."""
        asked: dict[str, tuple[Flow, str, JsonObject | None]] = {}
        for entry in entries:
            bodies = {payload.name: payload.body for payload in entry.payloads}
            leaf: JsonObject = json.loads(entry.leaf)
            if entry.kind == "task_opened" and "input" in bodies:
                memory.learn_input(bodies["input"])
            elif entry.kind == "intent":
                operation = str(leaf["operation"])
                flow = self._snapshot.flows.get((str(leaf["agent"]), operation), _SAYS_NOTHING)
                asked[entry.call] = flow, operation, json.loads(bodies.get("arguments", b"null"))
            elif entry.kind == "outcome" and "result" in leaf and entry.call in asked:
                flow, operation, arguments = asked.pop(entry.call)
                if arguments is None or "result" not in bodies:
                    memory.learn_lost(operation, entry.call, flow)
                else:
                    memory.learn_result(operation, entry.call, flow, arguments, bodies["result"])


def _parent_in(entries: Iterable[Entry]) -> str:
    """Return the task that a task's work was handed on from, as its own opening says."""
    for entry in entries:
        if entry.kind == "task_opened":
            leaf: JsonObject = json.loads(entry.leaf)
            return str(leaf.get("parent", ""))
    return ""


def _user_cut(user: str, cuts: UserCuts, agent: str, since: datetime) -> Revocation | None:
    """Return why what a user does with an agent on a login of `since` is cut off; a new login may be all it needs."""
    why = user_cut(cuts, agent, since)
    if not why:
        return None
    out = any(cuts[name].out for name in (EVERY_AGENT, agent) if name in cuts)
    return Revocation("user", user, why, again=not out)


Attributes = tuple[tuple[str, Attribute], ...]


def _kind_of(task: Task) -> _Kind:
    said = (task.authority, task.groups, task.attributes)
    return task.user, task.agent, task.use_case, task.since, *said


def _counts(approval: Approval, now: datetime) -> bool:
    """Say whether an approval can matter to a decision: it waits, or it was answered and stands as long as its task."""
    return approval.state is not State.VOID and (approval.state is not State.WAITING or now < approval.expires_at)


def _list(value: Json) -> list[Json]:
    return value if isinstance(value, list) else []


def _entitled(user: str, task: Task | None, by_file: Entitlements) -> tuple[tuple[str, ...], Attributes]:
    """Return the user's groups and attributes: those of the login that the task rests on, and of the signed file.

    Where both name an attribute, the signed file counts.
    """
    if task is None:
        return (), ()
    if by_file is NOBODY:
        return task.groups, task.attributes
    groups = by_file.groups.get(user, frozenset())
    signed = by_file.attributes.get(user, ())
    return tuple(sorted(groups.union(task.groups))), tuple(sorted({**dict(task.attributes), **dict(signed)}.items()))


_ENDED_MAX = 1_000  # approvals of ended tasks that are kept
_PAIRS_MAX = 10_000  # delegations and operations whose versions are kept ready


def facts_for(  # noqa: PLR0913 - each is a fact of its own, named at the call
    call: ToolCall,
    snapshot: Snapshot,
    task: Task | None,
    now: datetime,
    *,
    versions: Versions = (),
    tenant: str = "",
    stopped: str = "",
    revoked: Revocation | None = None,
    quarantined: str = "",
    origins: Origins = NO_ORIGINS,
    history: tuple[Tally, ...] = (),
    known: Mapping[str, JsonObject] = _NOTHING_KNOWN,
    missing: Mapping[str, str] = _NOTHING_MISSING,
    approvals: tuple[Approval, ...] = (),
    outside: Opinion | None = None,
) -> Facts:
    """Select from `snapshot` what concerns `call`. The same inputs give the same facts, live and in a replay."""
    agent, operation = call.delegation.agent, call.operation
    groups, attributes = _entitled(call.delegation.user, task, snapshot.entitlements)
    descriptor, registered = snapshot.descriptors.get(operation), snapshot.registrations.get(agent)
    return Facts(
        now=now,
        task=task,
        charter=snapshot.charters.get(agent),
        tool=None if descriptor is None else snapshot.tools.get(descriptor.tool),
        descriptor=descriptor,
        review=snapshot.reviews.get(operation),
        pin=snapshot.manifests.get(agent, {}).get(operation),
        check=snapshot.checks.get(operation),
        flow=snapshot.flows.get((agent, operation)),
        shard=snapshot.shards.get((agent, operation)),
        caps=snapshot.caps.get(agent),
        bundle=snapshot.digest,
        bearer=registered is not None and registered.bearer,
        versions=versions,
        tenant=tenant,
        stopped=stopped,
        revoked=revoked,
        quarantined=quarantined,
        origins=origins,
        groups=groups,
        attributes=attributes,
        history=history,
        classes=snapshot.classes,
        known=known,
        missing=missing,
        approvals=approvals,
        outside=outside,
    )
