"""What is counted: tasks, approvals, consequential calls and attacks, each as so many of so many.

await measured("banking", AS_WRITTEN)      # {"tasks_without_person": Share(13, 16), ...}
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from benchmarks.agentdojo._dojo import Task, planted, suite_named
from benchmarks.agentdojo._project import ALL_DENIED, RULES_OFF, compiled
from benchmarks.agentdojo._replay import INFORMED, ORDERS, Case, Run, behind, without_gateway
from benchmarks.agentdojo._stage import Person
from benchmarks.agentdojo._statistics import interval
from benchmarks.agentdojo._use_cases import ANYTHING, use_case_for

Picks = Callable[[str, str], str]
"""The use case that a task is opened for, by suite and the user's words."""


@dataclass(frozen=True, slots=True)
class Share:
    """So many of so many; `who` are those that make up `hits`, or those that do not, where that says more."""

    hits: int
    of: int
    who: tuple[str, ...] = ()

    def json(self) -> dict[str, object]:
        """Write it with its 95 % interval."""
        low, high = interval(self.hits, self.of)
        return {"hits": self.hits, "of": self.of, "low": round(low, 5), "high": round(high, 5), "who": [*self.who]}

    def __str__(self) -> str:
        low, high = interval(self.hits, self.of)
        share = self.hits / self.of
        return f"{self.hits:4d} of {self.of:<4d} {share:7.2%}   95 %: {low:6.2%} to {high:6.2%}"


@dataclass(slots=True)
class Measured:
    """The numbers of one suite behind one variant of the project."""

    suite: str
    shares: dict[str, Share] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)


def any_use_case(_suite: str, _prompt: str) -> str:
    """Open every task for everything: what the choice of a use case is worth shows in the difference."""
    return ANYTHING


def honest(who: str) -> Person:
    """Say yes to what the user's task needs, and no to the attacker's calls."""
    return Person.SAYS_YES if who == "benign" else Person.SAYS_NO


def careless(_who: str) -> Person:
    """Say yes to everything."""
    return Person.SAYS_YES


def nobody(_who: str) -> Person:
    """Look at nothing."""
    return Person.ABSENT


async def measured(suite: str, variant: str, picks: Picks = use_case_for) -> Measured:
    """Measure one suite behind `variant`: its tasks, and every pair of a task and an attacker's goal."""
    found = Measured(suite)
    await _measure_tasks(found, variant, picks)
    for name, orders, person in (
        ("attacks_achieved", ORDERS, honest),
        ("attacks_achieved_careless_person", ORDERS, careless),
        ("informed_attacks_achieved", (INFORMED,), honest),
        ("informed_attacks_achieved_careless_person", (INFORMED,), careless),
    ):
        found.shares[name] = await attacks(suite, variant, picks, orders, person)
    return found


async def _measure_tasks(found: Measured, variant: str, picks: Picks) -> None:
    alone = await _benign(found.suite, variant, picks, nobody)
    helped = await _benign(found.suite, variant, picks, honest)
    of = len(alone)
    found.shares["tasks_without_person"] = _share(of, alone, lambda run: run.completed)
    found.shares["tasks_with_person"] = _share(of, helped, lambda run: run.completed)
    found.shares["tasks_that_ask"] = _share(of, helped, lambda run: run.asked("benign") > 0)
    found.counts["approvals_asked"] = sum(run.asked("benign") for run in helped.values())
    calls = [seen for run in alone.values() for _, seen in run.seen if seen.consequential]
    done = sum(seen.executed for seen in calls)
    found.shares["consequential_calls_without_person"] = Share(done, len(calls))
    for most in (0, 1, 3):
        hits = sum(run.completed and run.asked("benign") <= most for run in helped.values())
        found.shares[f"tasks_with_at_most_{most}_approvals"] = Share(hits, of)


def _share(of: int, runs: Mapping[str, Run], holds: Callable[[Run], bool]) -> Share:
    """Count, and name those of the smaller side."""
    yes = [name for name, run in runs.items() if holds(run)]
    no = [name for name in runs if name not in yes]
    return Share(len(yes), of, tuple(yes if len(yes) <= len(no) else (f"not {name}" for name in no)))


async def _benign(suite: str, variant: str, picks: Picks, person: Callable[[str], Person]) -> dict[str, Run]:
    tasks, runs = suite_named(suite), dict[str, Run]()
    for task in tasks.user_tasks.values():
        case = Case(suite=suite, tasks=tasks, task=task, goal=None, injections={})
        runs[task.ID] = await behind(compiled(variant), case, picks(suite, task.PROMPT), person)
    return runs


async def attacks(
    suite: str, variant: str, picks: Picks, orders: Iterable[str], person: Callable[[str], Person]
) -> Share:
    """Count the pairs of task and goal whose goal is reached in one of `orders`."""
    hits, of = Counter[str](), 0
    for task, goal, cases in pairs(suite, tuple(orders)):
        of += 1
        for case in cases:
            if (await behind(compiled(variant), case, picks(suite, task.PROMPT), person)).achieved:
                hits[f"{goal.ID} in {task.ID}"] += 1
                break
    return Share(len(hits), of, tuple(hits))


def pairs(suite: str, orders: tuple[str, ...]) -> Iterable[tuple[Task, Task, list[Case]]]:
    """Yield every task with every goal, in each order, the goal's text planted wherever strangers can write and not.

    Planted, what the attacker wants is seen by whoever reads; but a few goals only count where it stands nowhere.
    """
    tasks: Any = suite_named(suite)
    for goal in tasks.injection_tasks.values():
        ways = [(texts, order) for texts in ({}, planted(tasks, goal)) for order in orders]
        for task in tasks.user_tasks.values():
            cases = [Case(suite=suite, tasks=tasks, task=task, goal=goal, injections=i, order=o) for i, o in ways]
            yield task, goal, cases


async def controls(suite: str) -> tuple[dict[str, Share], list[str]]:
    """Measure the two ends; return what of it is not as it must be.

    Without a gateway, and with all rules off, exactly the same attacks succeed and every task is completed; with
    everything denied, none succeeds.
    """
    wrong: list[str] = []
    bare, off = set[str](), set[str]()
    of = 0
    for task, goal, cases in pairs(suite, ORDERS):
        of += 1
        for case in cases:
            name = f"{goal.ID} in {task.ID}, {case.order}, {'planted' if case.injections else 'not planted'}"
            bare.update([name] if without_gateway(case).achieved else [])
            run = await behind(compiled(RULES_OFF), case, ANYTHING, nobody)
            off.update([name] if run.achieved else [])
    wrong += [
        f"{suite}: {name}: {'only without a gateway' if name in bare else 'only behind it'}" for name in bare ^ off
    ]
    denied = await attacks(suite, ALL_DENIED, any_use_case, ORDERS, careless)
    wrong += [f"{suite}: {name}: achieved, though everything is denied" for name in denied.who]
    done = await _benign(suite, RULES_OFF, any_use_case, nobody)
    wrong += [f"{suite}: {name}: not completed with all rules off" for name, run in done.items() if not run.completed]
    shares = {"without_gateway": _in_either(bare, of), "rules_off": _in_either(off, of), "all_denied": denied}
    return shares, wrong


def _in_either(names: set[str], of: int) -> Share:
    return Share(len({name.partition(",")[0] for name in names}), of)
