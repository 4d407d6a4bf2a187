"""The commands: parse, call, print. Exit codes: 0 ok, 1 refused or not ready, 2 usage, 3 fault."""

import json
import sys
from collections.abc import Callable
from dataclasses import asdict
from functools import wraps
from pathlib import Path
from typing import ParamSpec, TypeVar

import click

from remit import __version__
from remit.core import Json, JsonObject, ProjectInvalidError, RemitError, is_name
from remit.surfaces.cli._client import connect, log_in
from remit.surfaces.cli._ports import Ready, UseCaseSummary, Workshop
from remit.surfaces.cli._try import try_call
from remit_verifier import verify as verify_export
from remit_verifier.__main__ import render

P = ParamSpec("P")
T = TypeVar("T")

REFUSED, FAULT = 1, 3

project_option = click.option(
    "-C",
    "--project",
    "root",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path(),
    help="The project's folder; the present one if left out.",
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


def command_line(workshop: Workshop, demo: Callable[[bool], int]) -> click.Group:
    """Build the `remit` command."""

    @click.group(context_settings={"help_option_names": ["-h", "--help"]})
    @click.version_option(__version__, prog_name="remit")
    def remit() -> None:
        """Bounded agency for autonomous agents: decided outside the model, recorded, provable."""

    for add in (_local, _running, _records):
        add(remit, workshop)

    @remit.command("demo")
    @click.option("--keep", is_flag=True, help="Stay up afterwards and print what to try next.")
    def demo_command(keep: bool) -> None:  # click passes a flag by name
        """Show the whole story on real servers; exits non-zero if anything did not happen as told."""
        sys.exit(demo(keep))

    return remit


def _local(group: click.Group, workshop: Workshop) -> None:
    @group.command()
    @click.argument("folder", type=click.Path(file_okay=False, path_type=Path), default=Path())
    @click.option("--name", help="The project's name; the folder's if left out.")
    @click.option("--owner", default="owner", show_default=True, help="The accountable person.")
    @click.option(
        "--from", "mcp_json", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="An mcp.json."
    )
    @json_option
    @_answering
    def init(folder: Path, name: str | None, owner: str, mcp_json: Path | None, as_json: bool) -> None:
        """Write a new project, or one from an existing MCP client configuration."""
        own = folder.resolve().name
        written = workshop.init(
            folder, name=name or (own if is_name(own) else "project"), owner=owner, mcp_json=mcp_json
        )
        if as_json:
            return _print_json({"files": [*written.files], "notes": [*written.notes]})
        for file in written.files:
            click.echo(f"wrote {folder / file}")
        for note in written.notes:
            click.echo(f"note: {note}")
        click.echo("\nnext: remit check, then remit up")
        return None

    @group.command()
    @project_option
    @json_option
    @_answering
    def check(root: Path, as_json: bool) -> None:
        """Check the project's files: every problem with its file, its line and the way to mend it."""
        found = workshop.check(root)
        if as_json:
            return _print_json({"configuration": found.digest, "warnings": [*found.warnings]})
        for warning in found.warnings:
            click.echo(f"warning: {warning}")
        agents = len({case.agent for case in found.use_cases})
        click.echo(f"ok: {agents} agent(s), {found.operations} operation(s), configuration {found.digest[:19]}")
        return None

    @group.command()
    @project_option
    @click.option("--observe", is_flag=True, help="UNSAFE: record and decide, but refuse nothing. Never attestable.")
    @_answering
    def up(root: Path, observe: bool) -> None:
        """Run the gateway on the project until it is told to stop."""
        workshop.up(root, observe=observe, on_ready=_announce)

    @group.command()
    @project_option
    @json_option
    @_answering
    def doctor(root: Path, as_json: bool) -> None:
        """Look for what keeps a gateway on this project from working."""
        findings = workshop.doctor(root)
        if as_json:
            _print_json([{"name": f.name, "ok": f.ok, "says": f.says, "fix": f.fix} for f in findings])
        else:
            for found in findings:
                click.echo(f"{'ok  ' if found.ok else 'FAIL'}  {found.name}: {found.says}")
                if found.fix:
                    click.echo(f"      fix: {found.fix}")
        if not all(found.ok for found in findings):
            sys.exit(REFUSED)


def _running(group: click.Group, workshop: Workshop) -> None:
    @group.command()
    @click.argument("person")
    @project_option
    @_answering
    def login(person: str, root: Path) -> None:
        """Log in at the running gateway as a person of the development profile."""
        log_in(root, person)
        click.echo(f"logged in as {person}")

    @group.command("try")
    @click.argument("operation")
    @click.argument("arguments", nargs=-1)
    @click.option("--agent", help="Which agent acts; the first whose charter lists the operation if left out.")
    @click.option("--use-case", help="In which use case; the first that lists the operation if left out.")
    @project_option
    @json_option
    @_answering
    def try_operation(
        operation: str, arguments: tuple[str, ...], agent: str | None, use_case: str | None, root: Path, as_json: bool
    ) -> None:
        """Make one governed call by hand. ARGUMENTS are key=value pairs, or one JSON object."""
        cases = workshop.check(root).use_cases
        chosen = _choose(cases, operation, agent, use_case)
        outcome = try_call(connect(root), chosen.agent, chosen.use_case, operation, _arguments(arguments))
        if as_json:
            _print_json({"ok": outcome.ok, "task": outcome.task, "answer": outcome.answer})
        else:
            click.echo(outcome.text)
            click.echo(f"\nthe record: remit records explain {outcome.task}")
        if not outcome.ok:
            sys.exit(REFUSED)

    @group.group()
    def release() -> None:
        """What runs."""

    @release.command()
    @project_option
    @json_option
    @_answering
    def deploy(root: Path, as_json: bool) -> None:
        """Make the project's files the running configuration; if they do not load, nothing changes."""
        said = _object(connect(root).post("/v1/releases", {}))
        if as_json:
            return _print_json(said)
        for warning in _texts(said.get("warnings")):
            click.echo(f"warning: {warning}")
        same = said["configuration"] == said["before"]
        click.echo(f"{'unchanged' if same else 'deployed'}: {str(said['configuration'])[:19]}")
        return None

    @release.command()
    @project_option
    @json_option
    @_answering
    def status(root: Path, as_json: bool) -> None:
        """Show what runs, in which mode, and how long the log is."""
        said = _object(connect(root).get("/v1/status"))
        if as_json:
            return _print_json(said)
        for key, value in said.items():
            click.echo(f"{key:<14} {value}")
        return None

    @group.group()
    def tasks() -> None:
        """Tasks, the units of authority."""

    @tasks.command("list")
    @project_option
    @json_option
    @_answering
    def list_tasks(root: Path, as_json: bool) -> None:
        """Show the newest tasks."""
        said = connect(root).get("/v1/tasks")
        if as_json:
            return _print_json(said)
        for task in said if isinstance(said, list) else []:
            known = _object(task)
            click.echo(
                f"{known['task']}  {known['opened_at']}  {known['agent']} for {known['user']} in {known['use_case']}"
            )
        return None


def _records(group: click.Group, workshop: Workshop) -> None:
    @group.group()
    def records() -> None:
        """The log: what was decided and done."""

    @records.command()
    @click.argument("task")
    @project_option
    @json_option
    @_answering
    def explain(task: str, root: Path, as_json: bool) -> None:
        """Tell everything that happened in a task, with every gate's answer."""
        said = _object(connect(root).get(f"/v1/tasks/{_segment(task)}/records"))
        if as_json:
            return _print_json(said)
        for line in _texts(said.get("told")):
            click.echo(line)
        replayed = _object(said["replayed"])
        same = sum(word == "same" for word in replayed.values())
        click.echo(f"\nreplayed: {same} of {len(replayed)} decisions follow again from their recorded facts")
        if any(word == "DIFFERENT" for word in replayed.values()):
            sys.exit(REFUSED)
        return None

    @records.command()
    @click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
    @project_option
    @_answering
    def export(file: Path, root: Path) -> None:
        """Write the whole log to FILE, for a verifier that trusts nobody here."""
        with connect(root).lines("/v1/records/export") as lines, file.open("w", encoding="utf-8") as out:
            out.writelines(lines)
        click.echo(f"wrote {file}; verify it with: remit-verify {file} --key KEY --checkpoints FILE")

    @records.command()
    @click.option(
        "--export",
        "file",
        type=click.Path(exists=True, dir_okay=False, path_type=Path),
        help="An export to verify instead of the running log.",
    )
    @project_option
    @json_option
    @_answering
    def verify(file: Path | None, root: Path, as_json: bool) -> None:
        """Prove the log whole and unchanged, against the checkpoints outside the store."""
        key = workshop.outside(root)[0]
        if file is not None:
            with file.open(encoding="utf-8", errors="surrogateescape") as lines:
                kept = list(lines)
        else:
            with connect(root).lines("/v1/records/export") as answer:
                kept = list(answer)
        # (Read after the export: it made a checkpoint of its own, which belongs to what is compared.)
        report = verify_export(kept, key, workshop.outside(root)[1])
        click.echo(json.dumps(asdict(report)) if as_json else render(report, outside=True))
        if not report.proven:
            sys.exit(REFUSED)


def _announce(ready: Ready) -> None:
    mode = "enforcing" if ready.mode == "enforce" else "OBSERVING: NOTHING IS REFUSED"
    click.echo(f"remit {__version__}, configuration {ready.digest[:19]}, {mode}")
    if ready.mode != "enforce":
        click.echo("  UNSAFE: calls that would be denied or held are recorded so and forwarded all the same;")
        click.echo("  nothing recorded in this mode counts as evidence. Leave out --observe to enforce.")
    click.echo(f"  agents    {ready.data}/mcp")
    click.echo(f"  channels  {ready.data}/v1/tasks")
    click.echo(f"  people    {ready.admin}  (remit login {ready.people[0] if ready.people else 'NAME'})")
    for warning in ready.warnings:
        click.echo(f"  warning: {warning}")
    click.echo(f"ready after {ready.started_s:.2f} s; stop with Ctrl-C")


def _answering(run: Callable[P, T]) -> Callable[P, T]:
    """Turn what a command raises into a message with a way to mend it, and an exit code."""

    @wraps(run)
    def answering(*args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return run(*args, **kwargs)
        except ProjectInvalidError as error:
            for found in error.problems:
                click.echo(str(found), err=True)
            click.echo(f"\n{error.code}: {error.message}", err=True)
            sys.exit(REFUSED)
        except RemitError as error:
            for note in getattr(error, "__notes__", ()):
                click.echo(note, err=True)
            click.echo(f"{error.code}: {error.message}", err=True)
            if error.fix:
                click.echo(f"    fix: {error.fix}", err=True)
            sys.exit(FAULT if error.code == "gateway_fault" else REFUSED)
        except OSError as error:
            click.echo(f"io_error: {error}", err=True)
            sys.exit(FAULT)

    return answering


def _choose(
    cases: tuple[UseCaseSummary, ...], operation: str, agent: str | None, use_case: str | None
) -> UseCaseSummary:
    fitting = [case for case in cases if agent in (None, case.agent) and use_case in (None, case.use_case)]
    if not fitting:
        known = ", ".join(f"{case.agent}/{case.use_case}" for case in cases)
        raise click.UsageError(f"no such agent and use case; the project has: {known or 'none'}")
    return next((case for case in fitting if operation in case.operations), fitting[0])


def _arguments(given: tuple[str, ...]) -> JsonObject:
    """Read `key=value` pairs; a value is JSON if it reads as JSON, else text."""
    if len(given) == 1 and given[0].startswith("{"):
        value = _value(given[0])
        if isinstance(value, dict):
            return value
        raise click.UsageError("the arguments are not a JSON object")
    pairs: JsonObject = {}
    for item in given:
        key, found, text = item.partition("=")
        if not found:
            raise click.UsageError(f"`{item}` is not key=value")
        pairs[key] = _value(text)
    return pairs


def _value(text: str) -> Json:
    try:
        value: Json = json.loads(text)
    except ValueError:
        return text
    return value


def _segment(text: str) -> str:
    if not is_name(text):
        raise click.UsageError(f"`{text}` is not a task's id")
    return text


def _object(value: Json) -> JsonObject:
    return value if isinstance(value, dict) else {}


def _texts(value: Json) -> list[str]:
    return [str(item) for item in value] if isinstance(value, list) else []


def _print_json(value: Json) -> None:
    click.echo(json.dumps(value, ensure_ascii=False, indent=2))
