"""Commands on agents: list, show, cut off, let act again, give a key."""

import re
from pathlib import Path

import click

from remit.core import JsonObject, RemitError
from remit.records import printable
from remit.surfaces.cli._activity import activity_options, show_activity
from remit.surfaces.cli._client import connect
from remit.surfaces.cli._common import (
    answering,
    as_object,
    as_objects,
    as_texts,
    json_option,
    path_name,
    print_json,
    project_option,
)
from remit.surfaces.cli._ports import Workshop
from remit.surfaces.cli._revoked import but, print_revoked, reason_option

_DASHED_KID = re.compile("-[A-Za-z0-9_-]{42}")  # a thumbprint (RFC 7638)
_UNSEEN = {False: "no call yet", True: "not seen since the start"}


class _OfKey(click.Command):
    """A command whose last argument is a key's name. One in 64 begins with a dash, and is no option all the same."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        kids = [] if "--" in args else [each for each in args if _DASHED_KID.fullmatch(each)]
        rest = [each for each in args if each not in kids]
        return super().parse_args(ctx, [*rest, "--", *kids] if kids else rest)


@click.group()
def agents() -> None:
    """Agents, by their charters."""


@agents.command("list")
@project_option
@json_option
@answering
def list_agents(root: Path, as_json: bool) -> None:
    """Show the agents of the running release, their owners and what each use case may do."""
    said = connect(root).get("/v1/agents")
    if as_json:
        return print_json(said)
    for agent in as_objects(said):
        _describe(agent)
    return None


@agents.command("show")
@click.argument("agent")
@activity_options
@project_option
@json_option
@answering
def show_agent(agent: str, activity: bool, hours: int | None, root: Path, as_json: bool) -> None:
    """Show an agent: its charter, whether it may act, its keys, its open tasks, what waits for people."""
    if activity or hours is not None:
        return show_activity(agent, hours, root, as_json=as_json)
    said = as_object(connect(root).get(_path(agent)))
    if as_json:
        return print_json(said)
    _describe(said)
    if said["revoked_why"]:
        click.echo(printable(f"  revoked {said['revoked_why']}"))
    click.echo(f"  process: {said['process']}")
    click.echo(printable(f"  keys: {', '.join(_keys(said)) or 'none'}"))
    tasks = as_objects(said["open_tasks"])
    click.echo(f"  open tasks:{'' if tasks else ' none'}")
    for task in tasks:
        click.echo(printable(f"    {_task(task)}"))
    click.echo(printable(f"  waiting approvals: {', '.join(as_texts(said['waiting_approvals'])) or 'none'}"))
    return None


@agents.command("revoke")
@click.argument("agent")
@reason_option
@click.option("--user", help="Only what it does for this user.")
@click.option(
    "--key", "kid", help="Only what rests on this key of it, which counts no more; as `agents show` names it."
)
@project_option
@json_option
@answering
def revoke_agent(agent: str, reason: str, user: str | None, kid: str | None, root: Path, as_json: bool) -> None:
    """Cut an agent off at once: its next call, its open tasks, what waits for approval. Others notice nothing."""
    if user is not None and kid is not None:
        raise click.UsageError("give --user or --key, not both")
    if kid is not None:
        said = connect(root).post(_path(agent, "keys/revoke"), {"why": reason, "kid": kid})
        return print_revoked(f"a key of {agent}", said, as_json=as_json, key=True)
    body: JsonObject = {"why": reason} if user is None else {"why": reason, "user": user}
    said = connect(root).post(_path(agent, "revoke"), body)
    return print_revoked(agent if user is None else f"{agent} for {user}", said, as_json=as_json)


@agents.command("restore")
@click.argument("agent")
@reason_option
@click.option("--user", help="What it does for this user, if that alone was revoked.")
@project_option
@json_option
@answering
def restore_agent(agent: str, reason: str, user: str | None, root: Path, as_json: bool) -> None:
    """Let an agent act again, in new tasks."""
    body: JsonObject = {"why": reason} if user is None else {"why": reason, "user": user}
    said = as_object(connect(root).post(_path(agent, "restore"), body))
    if as_json:
        return print_json(said)
    click.echo(
        printable(f"restored {agent}{f' for {user}' if user else ''}: it may act again, in new tasks{but(said)}")
    )
    return None


@agents.command("forget-key", cls=_OfKey)
@click.argument("agent")
@click.argument("kid")
@project_option
@json_option
@answering
def forget_key(agent: str, kid: str, root: Path, as_json: bool) -> None:
    """Take one of an agent's keys away, by the name that `remit agents show` gives it."""
    said = as_object(connect(root).post(_path(agent, "keys/remove"), {"kid": kid}))
    if as_json:
        return print_json(said)
    click.echo(f"{agent} can no longer prove itself with {kid}")
    return None


@agents.command("register")
@click.argument("agent")
@click.option(
    "--new-key", type=click.Path(dir_okay=False, path_type=Path), help="Make a key pair; the private half goes here."
)
@click.option(
    "--key",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="A public key, as a JWK or in PEM.",
)
@click.option(
    "--certificate",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="The TLS certificate it shows, in PEM.",
)
@project_option
@json_option
@click.pass_obj
@answering
def register_key(
    workshop: Workshop,
    agent: str,
    new_key: Path | None,
    key: Path | None,
    certificate: Path | None,
    root: Path,
    as_json: bool,
) -> None:
    """Give an agent a key of its own, by which it proves who it is."""
    given = [path for path in (new_key, key, certificate) if path is not None]
    if len(given) != 1:
        raise click.UsageError("give one of --new-key FILE, --key FILE and --certificate FILE")
    client, where = connect(root), _path(agent, "keys")
    client.get(_path(agent))  # before a key is made: an agent that there is, asked by one who may
    body: JsonObject = (
        {"certificate": _pem(certificate)}
        if certificate is not None
        else {"jwk": workshop.agent_key(given[0], new=new_key is not None)}
    )
    said = as_object(client.post(where, body))
    if as_json:
        return print_json(said)
    what = "certificate" if certificate is not None else "key"
    half = f"; its private half is in {new_key}" if new_key else ""
    click.echo(printable(f"registered a {what} of {agent}: {said['kid']}{half}"))
    return None


def _pem(path: Path) -> str:
    """Read a certificate; what holds a private key is not sent anywhere."""
    text = path.read_text("ascii", "replace")
    if "PRIVATE KEY" in text:
        raise RemitError("key_private", f"{path.name} holds a private key", "give the file of the certificate alone")
    return text


def _keys(said: JsonObject) -> list[str]:
    certificates = as_texts(said["certificates"])
    return [f"{kid} (a certificate)" if kid in certificates else kid for kid in as_texts(said["keys"])]


def _task(task: JsonObject) -> str:
    level = f"level {task['level']}" if task["level"] else _UNSEEN[task["before_start"] is True]
    via = "".join(f", handed on by {agent}" for agent in as_texts(task["chain"])[:1])
    return f"{task['task']}  {level}, for {task['user']} in {task['use_case']}{via}"


def _describe(agent: JsonObject) -> None:
    revoked = ", REVOKED" if agent["revoked"] else ""
    click.echo(printable(f"{agent['agent']}, owned by {agent['owner']}{revoked}: {agent['purpose']}"))
    for name, operations in as_object(agent["use_cases"]).items():
        click.echo(f"  {name}: {', '.join(as_texts(operations))}")


def _path(agent: str, verb: str = "") -> str:
    return f"/v1/agents/{path_name(agent, 'an agent')}{f'/{verb}' if verb else ''}"
