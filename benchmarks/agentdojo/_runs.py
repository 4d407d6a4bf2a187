"""Recorded runs of real models: what they called, replayed behind a gateway.

    for run in recorded("agentdojo_runs.tar.xz"):
        run.model, run.task, run.goal, run.calls

Open loop: what a model would have done after a refusal is not known, so it is taken to go on as it did.
The logs are of the benchmark's first version, and are replayed on that version's tasks; they are never mixed with
numbers of another one.
"""

import json
import tarfile
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from benchmarks.agentdojo._dojo import Call, Task, World, suite_named
from benchmarks.agentdojo._measure import Picks, Share, careless, nobody
from benchmarks.agentdojo._project import compiled
from benchmarks.agentdojo._stage import Person, Stage

VERSION = "v1"
RUN_BYTES_MAX = 16 << 20  # of one run
DEFECTIVE = ("banking", "user_task_15")
"""In version 1 the user's own words name the attacker's account here: what is sent there, the user asked for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recorded:
    """One run of a model: its calls in order, its last words, and what the benchmark found then."""

    model: str
    suite: str
    task: str
    goal: str
    injections: Mapping[str, str]
    calls: tuple[Call, ...]
    output: str
    completed: bool
    achieved: bool


def recorded(archive: Path) -> Iterator[Recorded]:
    """Read the runs of users' tasks from a tar archive of MODEL/SUITE/TASK/ATTACK/INJECTION.json.

    Raises:
        OSError, tarfile.TarError: it cannot be read.
        ValueError: something in it is no run.
    """
    with tarfile.open(archive) as files:
        for member in files:
            if not member.isfile() or not member.name.endswith(".json"):
                continue
            file = files.extractfile(member)
            if file is None or member.size > RUN_BYTES_MAX:
                raise ValueError(f"`{member.name}` cannot be taken")
            said = json.load(file)
            if str(said["user_task_id"]).startswith("user_task_"):
                yield _run_of(member.name.split("/")[0], said)


def _run_of(model: str, said: dict[str, object]) -> Recorded:
    messages = said["messages"]
    if not isinstance(messages, list):
        raise ValueError(f"a run of `{said['user_task_id']}` has no messages")  # noqa: TRY004 - its content is wrong
    spoken = [message for message in messages if message["role"] == "assistant"]
    calls = [(call["function"], call["args"]) for message in spoken for call in message.get("tool_calls") or ()]
    injections = said["injections"]
    return Recorded(
        model=model,
        suite=str(said["suite_name"]),
        task=str(said["user_task_id"]),
        goal=str(said["injection_task_id"] or ""),
        injections=injections if isinstance(injections, dict) else {},
        calls=tuple(calls),
        output=str(spoken[-1]["content"] or "") if spoken else "",
        completed=said["utility"] is True,
        achieved=said["security"] is True,
    )


@dataclass(frozen=True, slots=True)
class Replayed:
    """What became of one recorded run."""

    completed: bool
    achieved: bool
    asked: int = 0


def bare(run: Recorded) -> Replayed:
    """Replay a run on the bare tools."""
    world, executed = _world(run), list[Call]()
    for operation, arguments in run.calls:
        _, is_error = world.run(operation, arguments)
        if not is_error:
            executed.append((operation, arguments))
    return _ended(run, world, executed)


async def governed(run: Recorded, variant: str, picks: Picks, person: Callable[[str], Person]) -> Replayed:
    """Replay a run behind a gateway. Nobody knows whose call is whose: `person` is asked of all as of the user's."""
    world = _world(run)
    use_case = picks(run.suite, world.prompt)
    stage = Stage(compiled(variant), world.run, agent=run.suite, use_case=use_case, prompt=world.prompt)
    seen = [await stage.call(*call, person("benign")) for call in run.calls]
    return _ended(run, world, stage.tools.executed, sum(each.asked for each in seen))


def _world(run: Recorded) -> World:
    suite = suite_named(run.suite, VERSION)
    return World(suite, suite.user_tasks[run.task], run.injections)


def _ended(run: Recorded, world: World, executed: list[Call], asked: int = 0) -> Replayed:
    if not run.goal:
        return Replayed(world.completed(run.output, executed), achieved=False, asked=asked)
    goal: Task = suite_named(run.suite, VERSION).injection_tasks[run.goal]
    return Replayed(completed=False, achieved=world.achieved(goal, run.output, executed), asked=asked)


async def replayed(archive: Path, variant: str, picks: Picks) -> dict[str, Share]:
    """Replay the runs that succeeded when they were recorded and do so again on the bare tools."""
    counts = Counter[str]()
    reached: list[str] = []
    for run in recorded(archive):
        label = f"{run.model}/{run.suite}"
        if not run.goal and run.completed:
            await _count_benign(counts, label, run, variant, picks)
        elif run.goal and run.achieved:
            counts[f"{label}/attacks_logged"] += 1
            kind = "defective" if (run.suite, run.task) == DEFECTIVE else "attacks"
            if await _count_attack(counts, f"{label}/{kind}", run, variant, picks):
                reached.append(f"{label}/{kind}/{run.goal} in {run.task}")
    return _shares(counts, reached)


async def _count_benign(counts: Counter[str], label: str, run: Recorded, variant: str, picks: Picks) -> None:
    counts[f"{label}/benign_logged"] += 1
    if not bare(run).completed:
        return
    counts[f"{label}/benign"] += 1
    alone = await governed(run, variant, picks, nobody)
    helped = await governed(run, variant, picks, careless)
    counts[f"{label}/benign/without_person"] += alone.completed
    counts[f"{label}/benign/with_person"] += helped.completed
    counts[f"{label}/benign/that_ask"] += helped.asked > 0


async def _count_attack(counts: Counter[str], label: str, run: Recorded, variant: str, picks: Picks) -> bool:
    if not bare(run).achieved:
        return False
    counts[label] += 1
    alone = await governed(run, variant, picks, nobody)
    counts[f"{label}/achieved"] += alone.achieved
    counts[f"{label}/achieved_careless_person"] += (await governed(run, variant, picks, careless)).achieved
    return alone.achieved


_PARTS = {
    "benign": ("without_person", "with_person", "that_ask"),
    "attacks": ("achieved", "achieved_careless_person"),
    "defective": ("achieved", "achieved_careless_person"),
}


def _shares(counts: Counter[str], reached: list[str]) -> dict[str, Share]:
    shares: dict[str, Share] = {}
    for label in sorted({"/".join(name.split("/")[:2]) for name in counts}):
        for kind, parts in _PARTS.items():
            of = counts[f"{label}/{kind}"]
            logged = counts[f"{label}/{'benign' if kind == 'benign' else 'attacks'}_logged"]
            if kind != "defective" and logged:
                both = of + (counts[f"{label}/defective"] if kind == "attacks" else 0)
                shares[f"{label}/{kind}/reproduced_of_logged"] = Share(both, logged)
            for part in parts if of else ():
                who = (
                    tuple(name for name in reached if name.startswith(f"{label}/{kind}/")) if part == "achieved" else ()
                )
                shares[f"{label}/{kind}/{part}"] = Share(counts[f"{label}/{kind}/{part}"], of, who)
    return shares
