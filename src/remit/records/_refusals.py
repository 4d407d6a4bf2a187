"""What was refused, and what would have been: a summary for the team that owns the agent."""

import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from remit.core import JsonObject
from remit.records._explain import proves_nobody, repeats
from remit.records._model import Entry

_Key = tuple[str, str, str, str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """How often one operation of one agent met one reason. `observed` of `count` were forwarded all the same.

    What was refused at a door (`surface`) before there was a task has no operation, and may have no agent; `user` is
    who it was, where they proved it.
    """

    agent: str
    operation: str
    code: str
    message: str
    count: int
    observed: int
    last_task: str
    user: str = ""
    surface: str = ""


def refusals(entries: Iterable[Entry]) -> tuple[Refusal, ...]:
    """Summarise what was refused by agent, operation and reason, most frequent first.

    These are denials, holds, observed refusals, and what was refused at a door and belongs to no task. A repeat that
    was answered with the recorded outcome is no refusal.
    """
    counts: Counter[_Key] = Counter()
    observed: Counter[_Key] = Counter()
    last: dict[_Key, tuple[str, str]] = {}
    for entry in entries:
        found = _refusal(entry)
        if found is not None:
            key, message = found
            counts[key] += 1
            observed[key] += entry.kind == "intent"
            last[key] = message, entry.task
    return tuple(
        Refusal(
            agent=key[0],
            operation=key[1],
            code=key[2],
            user=key[3],
            surface=key[4],
            message=last[key][0],
            count=count,
            observed=observed[key],
            last_task=last[key][1],
        )
        for key, count in counts.most_common()
    )


def _refusal(entry: Entry) -> tuple[_Key, str] | None:
    """Return under what an entry counts, and its message; None where it refuses nothing, or is told in its task."""
    if entry.kind in ("denied", "held", "intent"):
        leaf: JsonObject = json.loads(entry.leaf)
        decision = leaf["decision"]
        if not isinstance(decision, list) or len(decision) != 3 or repeats(decision):
            return None
        return (str(leaf["agent"]), str(leaf["operation"]), str(decision[1]), "", ""), str(decision[2])
    if entry.kind == "refused" and not entry.task:
        leaf = json.loads(entry.leaf)
        code = str(leaf["code"])
        user = "" if proves_nobody(code) else str(leaf["user"])
        return (str(leaf["agent"]), "", code, user, str(leaf["surface"])), str(leaf["message"])
    return None
