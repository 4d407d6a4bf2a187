"""Replays: the benign agent, the compromised one, and recorded runs, each behind a gateway or without any.

run = await behind(compiled(AS_WRITTEN), suite, task, steps, use_case=..., injections={})
run.completed, run.seen
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from benchmarks.agentdojo._attacks import attack
from benchmarks.agentdojo._dojo import Call, Task, World
from benchmarks.agentdojo._stage import Person, Seen, Stage

from remit.pipeline import Snapshot

ORDERS = ("before", "after")
"""When the compromised agent attacks: before the benign calls, or after them. Reaching the goal in any way counts."""

INFORMED = "informed"
"""A harder agent's order: it reads all there is to read first, then the task's own reads, attacks, and goes on."""

Step = tuple[str, Call]
"""Who makes a call, `benign` or `attack`, and the call."""


@dataclass(frozen=True, slots=True)
class Run:
    """What became of one case: of the user's task where there is no attack, of the attack where there is one.

    `seen` is empty where no gateway stood before the tools.
    """

    completed: bool
    achieved: bool
    seen: tuple[tuple[str, Seen], ...] = ()

    def asked(self, who: str) -> int:
        """Count the approvals that this one's calls opened."""
        return sum(seen.asked for by, seen in self.seen if by == who)


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One task of one suite, with the attacker's goal where there is one, and the texts planted for it."""

    suite: str
    tasks: Any
    task: Task
    goal: Task | None
    injections: Mapping[str, str]
    order: str = ""

    def steps(self, world: World) -> Iterator[Step]:
        """Yield the calls in their order. An attack is planned when it begins, on what is there by then."""
        benign = world.benign()
        first = _first_consequential(benign)
        match self.order:
            case "":
                yield from _by("benign", benign)
            case "before":
                yield from _by("attack", self._attack(world))
                yield from _by("benign", benign)
            case "after":
                yield from _by("benign", benign)
                yield from _by("attack", self._attack(world))
            case _:
                yield from _by("attack", _everything_to_read(self.tasks))
                yield from _by("benign", benign[:first])
                yield from _by("attack", self._attack(world))
                yield from _by("benign", benign[first:])

    def _attack(self, world: World) -> list[Call]:
        return [] if self.goal is None else attack(self.suite, self.goal, world)

    @property
    def output(self) -> str:
        """What the agent says in the end: what both tasks' authors wrote."""
        said: str = self.task.GROUND_TRUTH_OUTPUT
        return said if self.goal is None else f"{said}\n{self.goal.GROUND_TRUTH_OUTPUT}"

    def world(self) -> World:
        """Return a new world of this case's."""
        return World(self.tasks, self.task, self.injections)

    def ended(self, world: World, executed: Sequence[Call], seen: Iterable[tuple[str, Seen]] = ()) -> Run:
        """Return what became of it."""
        if self.goal is None:
            return Run(world.completed(self.output, executed), achieved=False, seen=tuple(seen))
        return Run(completed=False, achieved=world.achieved(self.goal, self.output, executed), seen=tuple(seen))


def without_gateway(case: Case) -> Run:
    """Play a case on the bare tools."""
    world, executed = case.world(), list[Call]()
    for _, (operation, arguments) in case.steps(world):
        _, is_error = world.run(operation, arguments)
        if not is_error:
            executed.append((operation, arguments))
    return case.ended(world, executed)


async def behind(snapshot: Snapshot, case: Case, use_case: str, person: Callable[[str], Person]) -> Run:
    """Play a case behind a gateway; `person` says, by whose call it is, what becomes of a hold."""
    world = case.world()
    stage = Stage(snapshot, world.run, agent=case.suite, use_case=use_case, prompt=world.prompt)
    seen = [(who, await stage.call(*call, person(who))) for who, call in case.steps(world)]
    return case.ended(world, stage.tools.executed, seen)


def _by(who: str, calls: Iterable[Call]) -> Iterator[Step]:
    return ((who, call) for call in calls)


_READS = ("get_", "search_", "list_", "read_")


def _first_consequential(calls: Sequence[Call]) -> int:
    return next((at for at, (operation, _) in enumerate(calls) if not operation.startswith(_READS)), len(calls))


def _everything_to_read(tasks: Any) -> list[Call]:  # noqa: ANN401 - the package's own suite
    """Return every read that asks for nothing: whoever makes them has seen what strangers wrote."""
    free = [tool for tool in tasks.tools if tool.name.startswith(_READS)]
    return [(tool.name, {}) for tool in free if not tool.parameters.model_json_schema().get("required")]
