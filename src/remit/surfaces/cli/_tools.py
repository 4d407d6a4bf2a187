"""Commands on the catalogue: what runs and how it is served, asked of the gateway; reviews, made on this machine."""

import sys
from collections.abc import Sequence
from pathlib import Path

import click

from remit.core import Json, JsonObject
from remit.records import printable
from remit.surfaces.cli._client import connect
from remit.surfaces.cli._common import (
    REFUSED,
    answering,
    as_objects,
    as_texts,
    json_option,
    path_name,
    print_json,
    project_option,
)
from remit.surfaces.cli._ports import Locked, Served, Workshop


@click.group()
def tools() -> None:
    """Tool servers and their operations: reviewed, signed, compared with what is served."""


# --- a running gateway -----------------------------------------------------------------------------------------------


@tools.command("list")
@project_option
@json_option
@answering
def list_tools(root: Path, as_json: bool) -> None:
    """Show the operations of the running release: who reviewed them, and which agents are pinned to them."""
    said = connect(root).get("/v1/tools")
    if as_json:
        return print_json(said)
    for each in as_objects(said):
        _say(f"{each['operation']} {each['version']}, {each['effect']}, of {each['tool']}")
        _say(f"    {_reviewed(each)}; pinned by {', '.join(as_texts(each['pinned_by'])) or 'no agent'}")
        if as_texts(each["pinned_otherwise_by"]):
            _say(f"    another version or content is pinned by {', '.join(as_texts(each['pinned_otherwise_by']))}")
        for line in as_texts(each["differences"]):
            _say(f"    QUARANTINED: {line}")
    return None


@tools.command("diff")
@project_option
@json_option
@answering
def diff_tools(root: Path, as_json: bool) -> None:
    """Compare what every tool server shows now with what was reviewed; exit 1 unless all of it is the same."""
    said = as_objects(connect(root).post("/v1/tools/check", {}))
    if as_json:
        print_json([*said])
    else:
        for each in said:
            _say(f"{each['state']:<11} {each['operation']} of {each['tool']}")
            for line in as_texts(each["differences"]):
                _say(f"    {line}")
    if any(each["state"] in ("changed", "unverified") for each in said):
        sys.exit(REFUSED)


@tools.command("release")
@click.argument("operation")
@click.option("--reason", required=True, help="Why, in one line; it goes on record.")
@project_option
@json_option
@answering
def release_operation(operation: str, reason: str, root: Path, as_json: bool) -> None:
    """Take an operation out of quarantine, once its server shows again what was reviewed."""
    said = connect(root).post(f"/v1/tools/{path_name(operation, 'an operation')}/release", {"why": reason})
    if as_json:
        return print_json(said)
    click.echo(f"released {operation}: it may be called again")
    return None


# --- the project's files ---------------------------------------------------------------------------------------------


@tools.command("import")
@click.argument("tool", default="")
@project_option
@json_option
@click.pass_obj
@answering
def import_served(workshop: Workshop, tool: str, root: Path, as_json: bool) -> None:
    """Keep what TOOL, or every tool server, shows now, to be compared with from here on. Read what changed."""
    found = workshop.import_served(root, tool)
    if as_json:
        print_json([_served(each) for each in found])
    else:
        for each in found:
            _tell_served(each)
        if any(each.changes for each in found):
            click.echo("next: read it, then remit tools sign && remit tools lock")
    if any(each.fault or each.lacking for each in found):
        sys.exit(REFUSED)


@tools.command("sign")
@click.argument("operations", nargs=-1)
@click.option("--as", "person", default="", help="Who signs; the trust root's only person if left out.")
@click.option(
    "--key",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Their private key; var/keys/reviewer-PERSON.pem if left out.",
)
@project_option
@json_option
@click.pass_obj
@answering
def sign_operations(
    workshop: Workshop, operations: tuple[str, ...], person: str, key: Path | None, root: Path, as_json: bool
) -> None:
    """Sign OPERATIONS, or all, as reviewed by you; say whose signatures are still missing."""
    found = workshop.sign(root, operations, person, key)
    if as_json:
        return print_json([{"operation": o.operation, "changed": o.changed, "missing": o.missing} for o in found])
    for each in found:
        _say(f"{'signed   ' if each.changed else 'unchanged'}  {each.operation}: {each.missing or 'review complete'}")
    return None


@tools.command("lock")
@click.argument("agent", default="")
@project_option
@json_option
@click.pass_obj
@answering
def lock_manifests(workshop: Workshop, agent: str, root: Path, as_json: bool) -> None:
    """Write the manifest of AGENT, or of all: exactly these versions and contents are what it may call."""
    found = workshop.lock(root, agent)
    if as_json:
        return print_json([_locked(each) for each in found])
    for each in found:
        click.echo(f"{each.file}: {'' if each.changes else 'unchanged'}")
        for line in each.changes:
            _say(f"  {line}")
        if each.unsigned:
            _say(f"  not reviewed, so calls of it are denied: {', '.join(each.unsigned)}")
    return None


@tools.command("trust")
@click.argument("person")
@click.option("--role", "roles", multiple=True, required=True, help="A role to sign in; may be given several times.")
@click.option(
    "--new-key",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Make them a key pair; the private half goes here.",
)
@click.option(
    "--key",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Their public key, as a JWK or in PEM, made on a machine of their own.",
)
@click.option("--threshold", "thresholds", multiple=True, metavar="ROLE=N", help="How many must sign; 0: none.")
@project_option
@json_option
@click.pass_obj
@answering
def trust_person(
    workshop: Workshop,
    person: str,
    roles: tuple[str, ...],
    new_key: Path | None,
    key: Path | None,
    thresholds: tuple[str, ...],
    root: Path,
    as_json: bool,
) -> None:
    """Give PERSON a signing key in the trust root: a new one, or one that they made themselves."""
    given = new_key or key
    if given is None or (new_key and key):
        raise click.UsageError("give one of --new-key and --key")
    found = workshop.trust(root, person, roles, given, dict(map(_threshold, thresholds)), new=new_key is not None)
    if as_json:
        persons: JsonObject = {name: [*theirs] for name, theirs in found.persons.items()}
        said: JsonObject = {"file": found.file, "key": found.key, "version": found.version, "persons": persons}
        return print_json({**said, "thresholds": dict(found.thresholds)})
    whose = f"{person}'s private key is in {found.key}" if new_key else f"{person} signs with their own key"
    click.echo(f"{found.file}, version {found.version}; {whose}")
    for name, theirs in found.persons.items():
        click.echo(f"  {name}: {', '.join(theirs)}")
    asked = ", ".join(f"{count} of {role}" for role, count in found.thresholds.items())
    click.echo(f"  each operation is signed by {asked}")
    return None


def _threshold(text: str) -> tuple[str, int]:
    role, _, count = text.partition("=")
    if not count.isdecimal() or not count.isascii() or len(count) > 3:
        raise click.UsageError(f"`{printable(text)}` is not ROLE=N")
    return role, int(count)


def _reviewed(each: JsonObject) -> str:
    if each["missing"]:
        return f"NOT REVIEWED: {each['missing']}"
    signers = ", ".join(f"{signer['person']} ({signer['role']})" for signer in as_objects(each["signers"]))
    return f"signed by {signers}{', for development only' if each['development'] else ''}"


def _tell_served(each: Served) -> None:
    if each.fault:
        return _say(f"{each.tool}: NOT imported: {each.fault}")
    _say(f"{each.file}: {'changed' if each.changes else 'unchanged'}")
    for operation, lines in each.changes.items():
        _say(f"  {operation}")
        for line in lines:
            _say(f"    {line}")
    for operation in each.lacking:
        _say(f"  {operation}: the server does not list it; what was kept of it stays")
    return None


def _served(each: Served) -> JsonObject:
    changes: JsonObject = {operation: _texts(lines) for operation, lines in each.changes.items()}
    lacking, fault = _texts(each.lacking), each.fault
    return {"tool": each.tool, "file": each.file, "changes": changes, "lacking": lacking, "fault": fault}


def _locked(each: Locked) -> JsonObject:
    changes, unsigned = _texts(each.changes), _texts(each.unsigned)
    return {"agent": each.agent, "file": each.file, "changes": changes, "unsigned": unsigned}


def _texts(lines: Sequence[str]) -> list[Json]:
    return [*lines]


def _say(line: str) -> None:
    click.echo(printable(line))  # a server's words must not steer a terminal
