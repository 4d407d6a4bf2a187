"""The decision table of each agent, for whoever reviews its policies, and the file in which they accepted it.

The file `agents/<agent>/decisions.txt` holds the table as text, so that a change of a policy shows in a review as a
change of what is decided. Text is made to be compared: no column moves because of another row, nothing counts lines.

    for found in decisions_of(check_project(sources)):
        found.text, found.accepted, found.difference()
"""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import unified_diff
from itertools import groupby
from typing import TypeVar

from remit.adapters.project._compile import Checked
from remit.adapters.project._sources import role_of
from remit.catalogue import SchemaCheck, arguments_fit
from remit.core import Allow, Decision, Json, JsonObject, Problem
from remit.permissions import ROWS_MAX, OperationShape, Question, Row, Rule, Shard, Table, decision_table, rules_of

T = TypeVar("T")

_WIDTH = 110  # characters of a line of the text
_DECISION_CHARS = 26  # where the values of a line begin
_NAMED = frozenset({"a fraction", "a number", "absent", "as text"})  # among numbers, cases that have no place in order
_FAR = frozenset({"huge", "overflow"})  # numbers that are better told by their name
_BY_USE_CASE = "task.use_case"
_HEAD = """\
# What the policies of {agent} answer just below, at and just above each of their bounds, and to what is no such value.
# `1 to 100`: tried at both ends and in between, and always answered so. Written by `remit check --accept`.
"""
_NO_BOUNDS = "\nno policy of this agent compares a number or a text\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class Decisions:
    """The decision table of one agent: every row, and the `text` of it. `accepted` is that of `file`; None: no file.

    `unknown` are the operations, each with its use case, for which no permitted call was found although there may be
    one: their rows do not show where the bounds are, so nothing follows from their being as accepted.
    """

    agent: str
    file: str
    rows: tuple[Row, ...]
    text: str
    accepted: str | None
    unknown: tuple[tuple[str, str], ...] = ()

    @property
    def changed(self) -> bool:
        """Whether another table than this was accepted."""
        return self.accepted is not None and _lines(self.accepted) != _lines(self.text)

    def difference(self) -> str:
        """Return the unified diff from what was accepted to what is decided now; empty where there is none."""
        if not self.changed or self.accepted is None:
            return ""
        names = f"{self.file} (accepted)", f"{self.file} (now)"
        before = [_shown(line) for line in _lines(self.accepted)]
        return "\n".join(unified_diff(before, _lines(self.text), *names, lineterm=""))


def decisions_of(checked: Checked) -> tuple[Decisions, ...]:
    """Make the table of every agent in which a policy compares something, or whose table was accepted once."""
    found = (_decisions(checked, agent) for agent in sorted(checked.snapshot.charters))
    return tuple(each for each in found if each.rows or each.accepted is not None)


def row_json(row: Row) -> JsonObject:
    """Write one row for programs."""
    return {
        "agent": row.agent,
        "use_case": row.use_case,
        "operation": row.operation,
        "attribute": row.attribute,
        "case": row.case,
        "value": row.value,
        "others": dict(row.others),
        "decision": row.decision,
        "policies": [*row.policies],
        "by": [*row.by],
    }


def decisions_changed(found: Decisions) -> Problem | None:
    """Warn where another table was accepted than the policies make now."""
    if not found.changed:
        return None
    return Problem(
        code="decisions_changed",
        file=found.file,
        line=0,
        message=f"the policies of `{found.agent}` no longer decide as was accepted here",
        fix="read the difference; if it is meant, accept it by `remit check --accept`",
    )


def decisions_unknown(found: Decisions) -> tuple[Problem, ...]:
    """Warn of each operation whose table does not show its bounds, because no permitted call was found for it."""
    return tuple(
        Problem(
            code="decisions_unknown",
            file=found.file,
            line=0,
            message=f"`{operation}` in `{use_case}`: the search found no call that is permitted: "
            "this table does not show where the bounds are",
            fix="make a call that should pass with `remit try`; split long conditions into policies of their own",
        )
        for operation, use_case in found.unknown
    )


def _decisions(checked: Checked, agent: str) -> Decisions:
    file = f"agents/{agent}/decisions.txt"
    tables = list(_tables(checked, agent))
    accepted = checked.snapshot.sources.get(file)
    return Decisions(
        agent=agent,
        file=file,
        rows=tuple(row for _, _, table in tables for row in table.rows),
        text=decisions_text(agent, tables),
        accepted=None if accepted is None else accepted.decode("utf-8", "replace"),
        unknown=tuple((operation, use_case) for operation, use_case, table in tables if table.unknown),
    )


_Found = tuple[str, str, Table]
"""An operation, a use case, and the table of the two."""


def _tables(checked: Checked, agent: str) -> Iterator[_Found]:
    snapshot = checked.snapshot
    rules = rules_of(_policies(snapshot.sources, agent))
    left = ROWS_MAX
    for operation, use_case in _listed(checked, agent):
        shape = checked.shapes[operation]
        if left <= 0:
            yield operation, use_case, Table((), (f"left out, after {ROWS_MAX} rows of others",))
            continue
        ask = _Asked(snapshot.checks.get(operation), snapshot.shards[agent, operation])
        table = _table(rules, shape, ask, agent, use_case, checked, left)
        left -= len(table.rows)
        yield operation, use_case, table


def _table(  # noqa: PLR0913, PLR0917 - all that a table is made of
    rules: Sequence[Rule],
    shape: OperationShape,
    ask: "_Asked",
    agent: str,
    use_case: str,
    checked: Checked,
    rows_max: int,
) -> Table:
    return decision_table(rules, shape, ask, agent=agent, use_case=use_case, user=checked.users, rows_max=rows_max)


def _listed(checked: Checked, agent: str) -> list[tuple[str, str]]:
    use_cases = checked.snapshot.charters[agent].use_cases
    return sorted((operation, name) for name, each in use_cases.items() for operation in each.operations)


def _policies(sources: Mapping[str, bytes], agent: str) -> Mapping[str, str]:
    """Return the texts of the policies that bind `agent`; they have been checked, so they are UTF-8."""
    binding = (("agent_policy", agent), ("organisation_policy", "organisation"))
    return {path: body.decode("utf-8") for path, body in sources.items() if role_of(path) in binding}


@dataclass(frozen=True, slots=True)
class _Asked:
    """The two gates that look at a call's arguments, in their order."""

    check: SchemaCheck | None
    shard: Shard

    def __call__(self, question: Question) -> Decision:
        fits = arguments_fit(self.check, question.arguments)
        return self.shard.decide(question) if isinstance(fits, Allow) else fits


# -- the text


def decisions_text(agent: str, tables: Sequence[_Found]) -> str:
    """Write the tables of an agent: a part for each operation; operations of the use case alone together at the end."""
    parts: dict[str, list[str]] = {}
    alone: dict[str, list[str]] = {}
    for operation, use_case, table in tables:
        body = _operation(table)
        if body:
            parts.setdefault(f"{operation}\n{body}", []).append(use_case)
        for row in table.rows if not body else ():
            alone.setdefault(row.decision, []).append(f"{operation} in {use_case}")
    written = [_part(key, use_cases) for key, use_cases in parts.items()]
    if alone:
        lines = [line for said in sorted(alone) for line in _line(said, alone[said], ())]
        written.append("\n".join(["by the use case alone", *lines]))
    return _HEAD.format(agent=agent) + ("".join(f"\n{each}\n" for each in written) or _NO_BOUNDS)


def _part(key: str, use_cases: Sequence[str]) -> str:
    operation, _, body = key.partition("\n")
    return f"{operation}, in {', '.join(use_cases)}\n{body}"


def _operation(table: Table) -> str:
    """Write one operation; empty where only the use case is compared."""
    rows = [row for row in table.rows if row.attribute != _BY_USE_CASE]
    kinds = ["warning" if table.unknown else "note", *["note"] * len(table.cut)]  # (what is unknown is said first)
    lines = [f"  {kind}: {note}" for kind, note in zip(kinds, table.cut, strict=False) if rows or not table.rows]
    for attribute, same in _grouped(rows, lambda row: row.attribute):
        lines.append(f"  {attribute}, compared by {', '.join(same[0].policies)}")
        for _, each in _grouped(same, lambda row: row.others):
            where = [f"{name} {_value(value)}" for name, value in each[0].others if name in each[0].beside]
            lines += _folded("    where", _listing(where), " " * 9) if where else []
            lines += _numbers(each) if any(_is_number(row) for row in each) else _texts(each)
    return "\n".join(lines)


def _grouped(rows: Sequence[Row], key: Callable[[Row], T]) -> Iterator[tuple[T, list[Row]]]:
    """Yield rows that follow one another and have one key."""
    return ((found, list(each)) for found, each in groupby(rows, key=key))


def _is_number(row: Row) -> bool:
    return row.case not in _NAMED and type(row.value) in {int, float}


def _numbers(rows: Sequence[Row]) -> list[str]:
    """Write numbers in their order, as runs that are answered alike; then what is no number."""
    ordered = sorted((row for row in rows if _is_number(row)), key=lambda row: float(str(row.value)))
    lines: list[str] = []
    for (decision, by), each in groupby(ordered, key=lambda row: (row.decision, row.by)):
        run = [row.case if row.case in _FAR else _value(row.value) for row in each]
        lines += _line(decision, [run[0] if len(run) == 1 else f"{run[0]} to {run[-1]}"], by)
    return lines + _texts([row for row in rows if not _is_number(row)])


def _texts(rows: Sequence[Row]) -> list[str]:
    answers: dict[tuple[str, tuple[str, ...]], dict[str, None]] = {}
    several = {row.case for row in rows if len({each.decision for each in rows if each.case == row.case}) > 1}
    for row in rows:
        word = _value(row.value) if row.case in {*several, "is", "other letters", "has"} else row.case
        answers.setdefault((row.decision, row.by), {})[word] = None
    return [line for decision, by in sorted(answers) for line in _line(decision, [*answers[decision, by]], by)]


def _line(decision: str, values: Sequence[str], by: Sequence[str]) -> list[str]:
    items = [*_listing(values), *([f"({', '.join(by)})"] if by else [])]
    return _folded(f"    {decision:<{_DECISION_CHARS}}", items, " " * (_DECISION_CHARS + 4))


def _listing(values: Sequence[str]) -> list[str]:
    return [*(f"{value}," for value in values[:-1]), *values[-1:]]


def _folded(begin: str, items: Sequence[str], indent: str) -> list[str]:
    """Write `items` after `begin`, on as many lines as they need; none of them is cut, however long."""
    lines = [begin]
    for item in items:
        if len(lines[-1]) + 1 + len(item) > _WIDTH and lines[-1] not in {begin, indent}:
            lines.append(indent)
        lines[-1] += f" {item}"
    return lines


def _lines(text: str) -> list[str]:
    """Return the lines of a file, whoever wrote its line ends."""
    return [line.rstrip() for line in text.splitlines()]


def _value(value: Json) -> str:
    """Write a value in ASCII, so that no text of a policy can look like something else."""
    return "absent" if value is None else json.dumps(value)


def _shown(line: str) -> str:
    return "".join(mark if " " <= mark <= "~" else "?" for mark in line)
