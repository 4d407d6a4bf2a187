"""Commands on the organisation's lists: signed directories and entitlements. An unsigned one counts for nothing."""

from pathlib import Path

import click

from remit.core import JsonObject
from remit.records import printable
from remit.surfaces.cli._common import answering, json_option, print_json, project_option
from remit.surfaces.cli._ports import Listed, Workshop


@click.group()
def lists() -> None:
    """Directories and entitlements: lists that count once they are signed."""


@lists.command("list")
@project_option
@json_option
@click.pass_obj
@answering
def list_lists(workshop: Workshop, root: Path, as_json: bool) -> None:
    """Show every list: how much is in it, who signed it, and what is missing."""
    found = workshop.lists(root)
    if as_json:
        return print_json([_json(each) for each in found])
    for each in found:
        click.echo(printable(f"{each.name}, {_entries(each)}, {each.file}"))
        click.echo(printable(f"    {_signed(each)}"))
    if not found:
        click.echo("no lists: they stand under organisation/directories and in organisation/entitlements.yaml")
    return None


@lists.command("sign")
@click.argument("names", nargs=-1)
@click.option("--all", "everything", is_flag=True, help="Sign every list.")
@click.option(
    "--as", "person", default="", help="Who signs; if left out whoever has --key, or the trust root's only person."
)
@click.option(
    "--key",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Their private key; var/keys/reviewer-PERSON.pem if left out.",
)
@project_option
@json_option
@click.pass_obj
@answering
def sign_lists(
    workshop: Workshop,
    names: tuple[str, ...],
    everything: bool,
    person: str,
    key: Path | None,
    root: Path,
    as_json: bool,
) -> None:
    """Sign the lists NAMES (directories, or `entitlements`) as read by you; say whose signatures are missing."""
    if bool(names) == everything:
        raise click.UsageError("name lists, or give --all")
    found = workshop.sign_lists(root, names, person, key)
    if as_json:
        return print_json([{**_json(each), "changed": each.changed} for each in found])
    for each in found:
        said = each.missing or "the list counts"
        click.echo(printable(f"{'signed   ' if each.changed else 'unchanged'}  {each.name}: {said}"))
    return None


def _entries(each: Listed) -> str:
    noun = "value" if each.kind == "directory" else "user"
    return f"{each.entries} {noun}{'' if each.entries == 1 else 's'}"


def _signed(each: Listed) -> str:
    if each.missing:
        return f"COUNTS FOR NOTHING: {each.missing}"
    return f"signed by {', '.join(f'{person} ({role})' for person, role in each.signers)}"


def _json(each: Listed) -> JsonObject:
    return {
        "name": each.name,
        "kind": each.kind,
        "file": each.file,
        "entries": each.entries,
        "signers": [{"person": person, "role": role} for person, role in each.signers],
        "missing": each.missing,
    }
