"""Commands on a project's files and on this machine: init, check, up, doctor."""

import sys
from pathlib import Path

import click

from remit import __version__
from remit.core import JsonObject, is_name
from remit.surfaces.cli._common import REFUSED, answering, json_option, print_json, problem_json, project_option
from remit.surfaces.cli._ports import Checked, Decided, Ready, Workshop

SIGNATURES = "catalogue/signatures/"


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
@json_option
@click.pass_obj
@answering
def check(workshop: Workshop, root: Path, accept: bool, as_json: bool) -> None:
    """Check the project's files: every problem with its file, its line and the way to mend it.

    Then show what each agent's policies decide at their bounds, or how that differs from what was accepted.
    """
    found = workshop.check(root, accept=accept)
    if as_json:
        return print_json(_checked_json(found))
    for warning in found.warnings:
        click.echo(f"warning: {warning}")
    for file in found.written:
        click.echo(f"accepted {file}")
    for decided in found.decisions:
        _show_decided(decided)
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


def _show_decided(decided: Decided) -> None:
    """Show a table that nobody accepted, or what is other than accepted; an accepted one is only named."""
    if decided.difference:
        click.echo(f"\n{decided.difference}\n")
    elif decided.accepted:
        click.echo(f"decisions of {decided.agent}: as accepted in {decided.file}")
    else:
        table = [line for line in decided.text.splitlines() if not line.startswith("#")]
        click.echo(f"\nwhat the policies of {decided.agent} decide at their bounds")
        click.echo("\n".join(table))
        click.echo(f"\n(accept it as {decided.file} by `remit check --accept`: then only changes are shown)\n")


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
