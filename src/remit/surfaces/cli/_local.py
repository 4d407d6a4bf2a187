"""Commands on a project's files and on this machine: init, check, up, doctor."""

import json
import re
import sys
from collections.abc import Iterator, Sequence
from itertools import groupby
from pathlib import Path

import click

from remit import __version__
from remit.core import Json, JsonObject, is_name
from remit.records import printable
from remit.surfaces.cli._common import (
    REFUSED,
    answering,
    as_object,
    as_texts,
    json_option,
    print_json,
    problem_json,
    project_option,
)
from remit.surfaces.cli._ports import Checked, Decided, Ready, Workshop

SIGNATURES = "catalogue/signatures/"

LINE_CHARS = 110  # of a line of a decision table
DECISION_CHARS = 26  # where the values of such a line begin
ANY_TEXT = "any text"  # in a made-up call: a text that nobody named
_BY_USE_CASE = "task.use_case"
_NOTE = "  note: "  # how a line of a whole table begins that says what was left out of it
_FAR = frozenset({"negative", "a hundredfold", "a hundredth", "huge", "overflow"})  # numbers made up
_ODD = frozenset({"a fraction", "a number", ANY_TEXT, "as text", "empty", "other letters"})  # and what is none
_LACKING = frozenset({"absent", "any other text"})
_NO_NUMBER = frozenset({"a fraction", "a number", "as text"})
_BY_NAME = frozenset({"huge", "overflow"})  # numbers that are better told by their name
_BY_VALUE = frozenset({"has", "is", "other letters"})  # cases of a text that say less than the text does
_AGE = re.compile(r"(?:^|[._])(?:ago|age)$")  # names of ages: a negative one is a time to come


@click.command()
@click.argument("folder", type=click.Path(file_okay=False, path_type=Path), default=Path())
@click.option("--name", help="The project's name; the folder's if left out.")
@click.option("--owner", default="ana", show_default=True, help="The accountable person, who may also log in.")
@click.option("--from", "mcp_json", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="An mcp.json.")
@json_option
@click.pass_obj
@answering
def init(workshop: Workshop, folder: Path, name: str | None, owner: str, mcp_json: Path | None, as_json: bool) -> None:
    """Write a new project, or one from an existing MCP client configuration."""
    own = folder.resolve().name
    written = workshop.init(folder, name=name or (own if is_name(own) else "project"), owner=owner, mcp_json=mcp_json)
    if as_json:
        return print_json({"files": [*written.files], "notes": [*written.notes]})
    for file in written.files:
        if not file.startswith(SIGNATURES):  # as many as there are operations
            click.echo(f"wrote {folder / file}")
    for note in written.notes:
        click.echo(f"note: {note}")
    click.echo(f"\nnext: {'' if folder == Path() else f'cd {folder} && '}remit check && remit up")
    return None


@click.command()
@project_option
@click.option("--accept", is_flag=True, help="Write what policies decide at their bounds to agents/*/decisions.txt.")
@click.option("--decisions", is_flag=True, help="Show every value that was tried, also of a table that was accepted.")
@json_option
@click.pass_obj
@answering
def check(workshop: Workshop, root: Path, accept: bool, decisions: bool, as_json: bool) -> None:
    """Check the project's files: every problem with its file, its line and the way to mend it.

    What each agent's policies decide at their bounds comes first, or how that differs from what was accepted.
    """
    found = workshop.check(root, accept=accept)
    if as_json:
        return print_json(_checked_json(found))
    for decided in found.decisions:
        _show_decided(decided, whole=decisions)
    for file in found.written:
        click.echo(f"accepted {file}")
    for warning in found.warnings:
        click.echo(f"warning: {warning}")
    click.echo(f"ok: {found.agents} agent(s), {found.operations} operation(s), bundle {found.digest[:19]}")
    return None


def _checked_json(found: Checked) -> JsonObject:
    return {
        "bundle": found.digest,
        "warnings": [problem_json(warning) for warning in found.warnings],
        "decisions": [
            {
                "agent": each.agent,
                "file": each.file,
                "accepted": each.accepted,
                "difference": each.difference,
                "rows": [*each.rows],
            }
            for each in found.decisions
        ],
    }


def _show_decided(decided: Decided, *, whole: bool) -> None:
    """Show a table that nobody accepted, or what is other than accepted; an accepted one is only named."""
    if whole:
        click.echo(f"\nwhat the policies of {decided.agent} decide at their bounds, with every value that was tried")
        click.echo("\n".join(line for line in decided.text.splitlines() if not line.startswith("#")))
    if decided.difference:
        click.echo(f"\n{decided.difference}\n")
    elif decided.accepted:
        click.echo(f"decisions of {decided.agent}: as accepted in {decided.file}")
    else:
        if not whole:
            click.echo(f"\nwhat the policies of {decided.agent} decide at their bounds")
            click.echo("\n".join(printable(line) for line in brief_table(decided)))
        click.echo(f"\n(`remit check --decisions` shows every value that was tried; accept it as {decided.file}")
        click.echo("by `remit check --accept`: then only changes are shown)\n")


# -- a decision table in brief


def brief_table(decided: Decided) -> Iterator[str]:
    """Write a table in few lines: what is answered on either side of each bound.

    Values that nobody named are left out where they are refused, so one that is let through is always seen.
    """
    parts: dict[tuple[str, tuple[str, ...]], list[str]] = {}
    alone: dict[str, list[str]] = {}
    notes = _notes(decided.text)
    for (operation, use_case), each in groupby(decided.rows, lambda row: (str(row["operation"]), str(row["use_case"]))):
        rows = [*each]
        bounds = [row for row in rows if row["attribute"] != _BY_USE_CASE]
        body = (*notes.pop((operation, use_case), ()), *_brief(bounds))
        if body:
            parts.setdefault((operation, body), []).append(use_case)
        for row in rows if not bounds else ():
            alone.setdefault(str(row["decision"]), []).append(f"{operation} in {use_case}")
    for (operation, use_case), lines in notes.items():  # of what has no rows at all
        parts.setdefault((operation, tuple(lines)), []).append(use_case)
    for (operation, body), use_cases in parts.items():
        yield from ("", f"{operation}, in {', '.join(use_cases)}", *body)
    if alone:
        yield from ("", "by the use case alone")
        for decision in sorted(alone):
            yield from _line(decision, alone[decision], ())


def _notes(text: str) -> dict[tuple[str, str], list[str]]:
    """Return what a whole table says of itself, by operation and use case: no row tells what was not tried."""
    notes: dict[tuple[str, str], list[str]] = {}
    heading = ""
    for line in text.splitlines():
        if line.startswith(_NOTE):
            operation, _, use_cases = heading.partition(", in ")
            for use_case in use_cases.split(", "):
                notes.setdefault((operation, use_case), []).append(line)
        elif line[:1] not in {"", " ", "#"}:
            heading = line
    return notes


def _brief(rows: Sequence[JsonObject]) -> Iterator[str]:
    usual: JsonObject = {}
    for row in rows:
        usual = {**as_object(row["others"]), **usual}
    if any(usual.values()):
        yield from _folded("  of a call with ", _there(usual))
    for attribute, same in groupby(rows, lambda row: str(row["attribute"])):
        each = [*same]
        yield f"  {attribute}, compared by {', '.join(as_texts(each[0]['policies']))}"
        for _, group in groupby(each, lambda row: as_object(row["others"])):
            tried = [*group]
            other = {name: value for name, value in as_object(tried[0]["others"]).items() if value != usual[name]}
            yield from _folded("    where ", _there(other, lacking=True)) if other else ()
            yield from _answers(attribute, tried)


def _there(others: JsonObject, *, lacking: bool = False) -> list[str]:
    """Write what else is in a call; what is nothing there only where it is `lacking`, so that a line stays short."""
    return [f"{name} {_given(value)}" for name, value in sorted(others.items()) if value or lacking]


def _given(value: Json) -> str:
    if value is None:
        return "absent"
    return ANY_TEXT if value == ANY_TEXT else _json(value)


def _answers(attribute: str, tried: Sequence[JsonObject]) -> Iterator[str]:
    kept = [row for row in tried if not _left_out(row)]
    numbers = sorted((row for row in kept if _is_number(row)), key=_number)
    beyond = [_number(row) for row in tried if _is_number(row) and _left_out(row)]
    runs = [(said, [*each]) for said, each in groupby(numbers, _answer)]
    for at, ((decision, by), run) in enumerate(runs):
        low = at == 0 and any(value < _number(run[0]) for value in beyond)
        high = at == len(runs) - 1 and any(value > _number(run[-1]) for value in beyond)
        refused = decision.startswith("deny ")
        yield from _line(decision, _span(attribute, run, low=low and refused, high=high and refused), by)
    words: dict[tuple[str, tuple[str, ...]], dict[str, None]] = {}
    for row in kept:
        if not _is_number(row):
            words.setdefault(_answer(row), {})[_word(row)] = None
    for decision, by in sorted(words):
        yield from _line(decision, [*words[decision, by]], by)


def _left_out(row: JsonObject) -> bool:
    """Tell whether a row says nothing of a bound: a made-up value refused, or another or none, refused by no policy."""
    decision = str(row["decision"])
    if not decision.startswith("deny "):
        return False
    return row["case"] in _FAR | _ODD or (row["case"] in _LACKING and not decision.startswith("deny policy_"))


def _span(attribute: str, run: Sequence[JsonObject], *, low: bool, high: bool) -> list[str]:
    """Write numbers that follow one another; `low` and `high`: what is beyond them is answered with a refusal too."""
    ahead = [row for row in run if _number(row) < 0] if _AGE.search(attribute) else []
    rest = run[len(ahead) :]
    told = ["in the future"] if ahead else []
    if not rest:
        return told
    first, last = _word(rest[0]), _word(rest[-1])
    if low and not ahead:
        return [f"up to {last}"]
    if high:
        return [*told, f"from {first}"]
    return [*told, first if len(rest) == 1 else f"{first} to {last}"]


def _line(decision: str, values: Sequence[str], by: Sequence[str]) -> list[str]:
    named = f" ({', '.join(by)})" if by else ""
    return _folded(f"    {decision:<{DECISION_CHARS}} ", [*values[:-1], f"{values[-1]}{named}"])


def _folded(begin: str, items: Sequence[str]) -> list[str]:
    """Write `items` after `begin`, on as many lines as they need; none of them is cut or parted."""
    lines, indent = [begin + items[0]], " " * min(len(begin), DECISION_CHARS + 5)
    for item in items[1:]:
        lines[-1] += ","
        if len(lines[-1]) + 1 + len(item) > LINE_CHARS:
            lines.append(indent + item)
        else:
            lines[-1] += f" {item}"
    return lines


def _answer(row: JsonObject) -> tuple[str, tuple[str, ...]]:
    return str(row["decision"]), tuple(as_texts(row["by"]))


def _is_number(row: JsonObject) -> bool:
    return row["case"] not in _NO_NUMBER and type(row["value"]) in {int, float}


def _number(row: JsonObject) -> float:
    return float(str(row["value"]))


def _word(row: JsonObject) -> str:
    case, value = str(row["case"]), row["value"]
    if case in _BY_NAME:
        return case
    return _json(value) if case in _BY_VALUE or _is_number(row) else case


def _json(value: Json) -> str:
    return json.dumps(value)  # in ASCII, so that no text of a policy can look like something else


@click.command()
@project_option
@click.option("--observe", is_flag=True, help="UNSAFE: record and decide, but refuse nothing. Never attestable.")
@click.pass_obj
@answering
def up(workshop: Workshop, root: Path, observe: bool) -> None:
    """Run the gateway on the project until it is told to stop."""
    workshop.up(root, observe=observe, on_ready=_announce)


@click.command()
@project_option
@json_option
@click.pass_obj
@answering
def doctor(workshop: Workshop, root: Path, as_json: bool) -> None:
    """Look for what keeps a gateway on this project from working."""
    findings = workshop.doctor(root)
    if as_json:
        print_json([{"name": f.name, "ok": f.ok, "says": f.says, "fix": f.fix} for f in findings])
    else:
        for found in findings:
            click.echo(f"{'ok  ' if found.ok else 'FAIL'}  {found.name}: {found.says}")
            if found.fix:
                click.echo(f"      fix: {found.fix}")
    if not all(found.ok for found in findings):
        sys.exit(REFUSED)


def _announce(ready: Ready) -> None:
    mode = "enforcing" if ready.mode == "enforce" else "OBSERVING: NOTHING IS REFUSED"
    click.echo(f"remit {__version__}, bundle {ready.digest[:19]}, {mode}")
    if ready.mode != "enforce":
        click.echo("  UNSAFE: calls that would be denied or held are recorded so and forwarded all the same;")
        click.echo("  nothing recorded in this mode counts as evidence. Leave out --observe to enforce.")
    click.echo(f"  agents    {ready.data}/mcp")
    click.echo(f"  channels  {ready.data}/v1/tasks")
    click.echo(f"  people    {ready.admin}  (remit login {ready.people[0] if ready.people else 'NAME'})")
    for warning in ready.warnings:
        click.echo(f"  warning: {warning}")
    click.echo(f"ready after {ready.started_s:.2f} s; stop with Ctrl-C")
