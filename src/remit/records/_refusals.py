"""What was refused, and what would have been: a summary for the team that owns the agent."""

import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from remit.core import JsonObject
from remit.records._model import Entry


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """How often one operation of one agent met one reason. `observed` of `count` were forwarded all the same."""

    agent: str
    operation: str
    code: str
    message: str
    count: int
    observed: int
    last_task: str


def refusals(entries: Iterable[Entry]) -> tuple[Refusal, ...]:
    """Summarise denials, holds and observed refusals by agent, operation and reason, most frequent first."""
    counts: Counter[tuple[str, str, str]] = Counter()
    observed: Counter[tuple[str, str, str]] = Counter()
    last: dict[tuple[str, str, str], tuple[str, str]] = {}
    for entry in entries:
        if entry.kind not in ("denied", "held", "intent"):
            continue
        leaf: JsonObject = json.loads(entry.leaf)
        decision = leaf["decision"]
        if not isinstance(decision, list) or len(decision) != 3:
            continue
        key = str(leaf["agent"]), str(leaf["operation"]), str(decision[1])
        counts[key] += 1
        observed[key] += entry.kind == "intent"
        last[key] = str(decision[2]), entry.task
    return tuple(
        Refusal(
            agent=key[0],
            operation=key[1],
            code=key[2],
            message=last[key][0],
            count=count,
            observed=observed[key],
            last_task=last[key][1],
        )
        for key, count in counts.most_common()
    )
