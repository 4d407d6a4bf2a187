"""Commands on agents: list, show, cut off, let act again, give a key."""

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
    path_name,
    print_json,
    project_option,
)
from remit.surfaces.cli._ports import Workshop

reason_option = click.option("--reason", required=True, help="Why, in one line; it goes on record.")


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
@project_option
@json_option
@answering
def show_agent(agent: str, root: Path, as_json: bool) -> None:
    """Show an agent: its charter, whether it may act, its keys, its open tasks, what waits for people."""
    said = as_object(connect(root).get(_path(agent)))
    if as_json:
        return print_json(said)
    _describe(said)
    if said["revoked_why"]:
        click.echo(printable(f"  revoked {said['revoked_why']}"))
    click.echo(f"  process: {said['process']}")
    for title, key in (("keys", "keys"), ("open tasks", "open_tasks"), ("waiting approvals", "waiting_approvals")):
        click.echo(printable(f"  {title}: {', '.join(as_texts(said[key])) or 'none'}"))
    return None


@agents.command("revoke")
@click.argument("agent")
@reason_option
@project_option
@json_option
@answering
def revoke_agent(agent: str, reason: str, root: Path, as_json: bool) -> None:
    """Cut an agent off at once: its next call, its open tasks, what waits for approval. Others notice nothing."""
    said = as_object(connect(root).post(_path(agent, "revoke"), {"why": reason}))
    if as_json:
        return print_json(said)
    took = f"{float(str(said['elapsed_us'])) / 1000:.1f} ms"
    click.echo(f"revoked {agent}: {said['tasks']} task(s) and {said['approvals']} approval(s) ended, after {took}")
    return None


@agents.command("restore")
@click.argument("agent")
@reason_option
@project_option
@json_option
@answering
def restore_agent(agent: str, reason: str, root: Path, as_json: bool) -> None:
    """Let an agent act again, in new tasks."""
    said = as_object(connect(root).post(_path(agent, "restore"), {"why": reason}))
    if as_json:
        return print_json(said)
    click.echo(f"restored {agent}: it may act again, in new tasks")
    return None


@agents.command("forget-key")
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
@project_option
@json_option
@click.pass_obj
@answering
def register_key(
    workshop: Workshop, agent: str, new_key: Path | None, key: Path | None, root: Path, as_json: bool
) -> None:
    """Give an agent a key of its own, by which it proves who it is."""
    path = new_key or key
    if path is None or (new_key and key):
        raise click.UsageError("give either --new-key FILE or --key FILE")
    client, where = connect(root), _path(agent, "keys")
    client.get(_path(agent))  # before a key is made: an agent that there is, asked by one who may
    said = as_object(client.post(where, {"jwk": workshop.agent_key(path, new=new_key is not None)}))
    if as_json:
        return print_json(said)
    click.echo(f"registered a key of {agent}{f'; its private half is in {new_key}' if new_key else ''}")
    return None


def _describe(agent: JsonObject) -> None:
    revoked = ", REVOKED" if agent["revoked"] else ""
    click.echo(printable(f"{agent['agent']}, owned by {agent['owner']}{revoked}: {agent['purpose']}"))
    for name, operations in as_object(agent["use_cases"]).items():
        click.echo(f"  {name}: {', '.join(as_texts(operations))}")


def _path(agent: str, verb: str = "") -> str:
    return f"/v1/agents/{path_name(agent, 'an agent')}{f'/{verb}' if verb else ''}"
