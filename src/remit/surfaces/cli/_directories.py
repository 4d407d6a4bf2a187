"""Commands on the values that approvers have added to directories: list, remove."""

from pathlib import Path

import click

from remit.records import printable
from remit.surfaces.cli._client import connect
from remit.surfaces.cli._common import (
    answering,
    as_object,
    as_objects,
    json_option,
    path_name,
    print_json,
    project_option,
)


@click.group()
def directories() -> None:
    """Directories of trusted values, and what approvers have added to them."""


@directories.command("list")
@project_option
@json_option
@answering
def list_directories(root: Path, as_json: bool) -> None:
    """Show every directory of the running release, and what approvers have added to each."""
    said = connect(root).get("/v1/directories")
    if as_json:
        return print_json(said)
    for each in as_objects(said):
        missing = f": counts for NOTHING, {each['missing']}" if each["missing"] else ""
        _say(f"{each['directory']}: {each['signed']} signed ({each['kind']}){missing}")
        for added in as_objects(each["added"]):
            over = "" if added["counts"] else ", which is over"
            _say(f"    {added['value']}  trusted by {added['person']} until {added['until']}{over}")
    return None


@directories.command("remove")
@click.argument("directory")
@click.argument("value")
@click.option("--reason", required=True, help="Why, in one line; it goes on record.")
@project_option
@json_option
@answering
def remove_trusted(directory: str, value: str, reason: str, root: Path, as_json: bool) -> None:
    """Take VALUE out of DIRECTORY, to which an approver added it. What is signed into it stays."""
    path = f"/v1/directories/{path_name(directory, 'a directory')}/remove"
    said = as_object(connect(root).post(path, {"value": value, "why": reason}))
    if as_json:
        return print_json(said)
    _say(f"{directory}: {value} is no longer trusted")
    return None


def _say(line: str) -> None:
    click.echo(printable(line))  # a value that an agent chose must not steer a terminal
