"""Commands on what runs: deploy, status, history, going back, and stopping everything."""

from pathlib import Path

import click

from remit.core import JsonObject
from remit.records import printable
from remit.surfaces.cli._client import connect
from remit.surfaces.cli._common import (
    answering,
    as_object,
    as_objects,
    as_texts,
    json_option,
    print_json,
    project_option,
)

DIGEST_CHARS = 19  # of a bundle's digest, for people


@click.group()
def release() -> None:
    """What runs."""


@release.command()
@project_option
@json_option
@answering
def deploy(root: Path, as_json: bool) -> None:
    """Make the project's files the running release; if they do not load, nothing changes."""
    said = as_object(connect(root).post("/v1/releases", {}))
    if as_json:
        return print_json(said)
    for warning in as_texts(said.get("warnings")):
        click.echo(f"warning: {warning}")
    same = said["bundle"] == said["before"]
    click.echo(f"{'unchanged' if same else 'deployed'}: {_short(said, 'bundle')}")
    return None


@release.command()
@project_option
@json_option
@answering
def status(root: Path, as_json: bool) -> None:
    """Show what runs, in which mode, and how long the log is."""
    said = as_object(connect(root).get("/v1/status"))
    if as_json:
        return print_json(said)
    for key, value in said.items():
        click.echo(f"{key:<14} {value}")
    return None


@release.command()
@project_option
@json_option
@answering
def history(root: Path, as_json: bool) -> None:
    """Show the newest releases: which bundle ran from when on, and who put it there."""
    said = connect(root).get("/v1/releases")
    if as_json:
        return print_json(said)
    for each in as_objects(said):
        click.echo(f"{each['number']:>5}  {each['at']}  {_short(each, 'bundle')}  {each['how']} by {each['by']}")
    return None


@release.command()
@click.option("--to", default="", help="The whole digest of a bundle that ran before; the one before if left out.")
@project_option
@json_option
@answering
def rollback(to: str, root: Path, as_json: bool) -> None:
    """Make a bundle that ran before the running release again."""
    said = as_object(connect(root).post("/v1/releases/rollback", {"to": to}))
    if as_json:
        return print_json(said)
    for warning in as_texts(said.get("warnings")):
        click.echo(f"warning: {warning}")
    click.echo(f"rolled back: {_short(said, 'bundle')}, after {said.get('elapsed_ms')} ms")
    return None


@click.command("stop-all")
@click.option("--reason", required=True, help="Why, in one line; it goes on record.")
@click.option("--lift", is_flag=True, help="Let calls go on again.")
@project_option
@json_option
@answering
def stop_all(reason: str, lift: bool, root: Path, as_json: bool) -> None:
    """Let nothing leave any more, for any agent, at once."""
    said = as_object(connect(root).post("/v1/resume" if lift else "/v1/stop", {"why": reason}))
    if as_json:
        return print_json(said)
    if lift:
        click.echo("calls may go on")
    else:
        click.echo(printable(f"stopped: {reason}; `remit stop-all --lift --reason TEXT` lets calls go on"))
    return None


def _short(said: JsonObject, key: str) -> str:
    return str(said[key])[:DIGEST_CHARS]
