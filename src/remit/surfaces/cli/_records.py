"""Commands on the log: explain, export, verify."""

import json
import sys
from dataclasses import asdict
from pathlib import Path

import click

from remit.core import JsonObject
from remit.records import printable
from remit.surfaces.cli._activity import show_who
from remit.surfaces.cli._client import connect
from remit.surfaces.cli._common import (
    REFUSED,
    answering,
    as_object,
    as_texts,
    json_option,
    path_name,
    print_json,
    project_option,
)
from remit.surfaces.cli._ports import Workshop
from remit_verifier import verify as verify_export
from remit_verifier.__main__ import render


@click.group()
def records() -> None:
    """The log: what was decided and done."""


@records.command()
@click.argument("task")
@click.option(
    "--who", is_flag=True, help="Instead, who had a part in it: user, agent, keys, approvers. TASK may be a call."
)
@project_option
@json_option
@answering
def explain(task: str, who: bool, root: Path, as_json: bool) -> None:
    """Tell everything that happened in a task, with every gate's answer."""
    if who:
        return show_who(task, root, as_json=as_json)
    said = as_object(connect(root).get(f"/v1/tasks/{path_name(task, 'a task')}/records"))
    if as_json:
        return print_json(said)
    for line in as_texts(said.get("told")):
        click.echo(line)
    replayed = as_object(said["replayed"])
    same = sum(word == "same" for word in replayed.values())
    click.echo(f"\nreplayed: {same} of {len(replayed)} decisions follow again from their recorded facts")
    if any(word == "DIFFERENT" for word in replayed.values()):
        sys.exit(REFUSED)
    return None


@records.command("controls")
@project_option
@json_option
@answering
def list_controls(root: Path, as_json: bool) -> None:
    """Tell what happened to the gateway itself: releases, revocations, quarantines, stops, keys, by whom and why."""
    said = as_object(connect(root).get("/v1/records/controls"))
    if as_json:
        return print_json(said)
    for line in as_texts(said.get("told")):
        click.echo(line)
    return None


@records.command("refusals")
@project_option
@json_option
@answering
def list_refusals(root: Path, as_json: bool) -> None:
    """Summarise what was refused, also at the doors, or would have been in observe mode, over the newest entries."""
    said = connect(root).get("/v1/records/refusals")
    if as_json:
        return print_json(said)
    for refusal in map(as_object, said if isinstance(said, list) else []):
        observed = f", {refusal['observed']} of them only observed" if refusal["observed"] else ""
        click.echo(printable(f"{refusal['count']:>6}x  {_refused(refusal)}: {refusal['code']}{observed}"))
        last = f"; last: remit records explain {refusal['last_task']}" if refusal["last_task"] else ""
        click.echo(f"         {printable(str(refusal['message']))}{last}")
    return None


def _refused(refusal: JsonObject) -> str:
    """Name what was refused: an agent's operation, or somebody at a door before there was a task."""
    agent = refusal["agent"] or "no agent"
    if not refusal["surface"]:
        return f"{agent}: {refusal['operation']}"
    user = f" for {refusal['user']}" if refusal["user"] else ""
    return f"{agent}{user}: at the door ({refusal['surface']})"


@records.command()
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@project_option
@answering
def export(file: Path, root: Path) -> None:
    """Write the whole log to FILE, for a verifier that trusts nobody here."""
    with connect(root).lines("/v1/records/export") as lines, file.open("w", encoding="utf-8") as out:
        file.chmod(0o600)  # it holds every payload
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
@click.pass_obj
@answering
def verify(workshop: Workshop, file: Path | None, root: Path, as_json: bool) -> None:
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
