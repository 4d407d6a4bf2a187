"""Commands on users: list, cut off, let act again."""

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
from remit.surfaces.cli._revoked import but, print_revoked, reason_option

agent_option = click.option("--agent", help="Only with this agent; with every agent if left out.")


@click.group()
def users() -> None:
    """Users, for whom agents act."""


@users.command("list")
@project_option
@json_option
@answering
def list_users(root: Path, as_json: bool) -> None:
    """Show for whom agents act at the moment, and who is cut off."""
    said = as_object(connect(root).get("/v1/users"))
    if as_json:
        return print_json(said)
    for user in as_objects(said["users"]):
        agents = ", ".join(as_texts(user["agents"])) or "no agent"
        click.echo(printable(f"{user['user']}: {user['tasks']} open task(s) with {agents}"))
        _print_cuts(user)
    older, count = as_objects(said["older_logins"]), said["older_logins_count"]
    if older:
        newest = f", the newest {len(older)} of them" if len(older) != count else ""
        click.echo(f"only older logins count no more, of {count} user(s){newest}:")
    for user in older:
        click.echo(printable(f"{user['user']}:"))
        _print_cuts(user)
    return None


@users.command("revoke")
@click.argument("user")
@reason_option
@agent_option
@project_option
@json_option
@answering
def revoke_user(user: str, reason: str, agent: str | None, root: Path, as_json: bool) -> None:
    """Cut a user off at once: no agent acts for them any more. Other users notice nothing."""
    said = connect(root).post("/v1/users/revoke", _body(user, reason, agent))
    return print_revoked(f"{user}{f' with {agent}' if agent else ''}", said, as_json=as_json)


@users.command("restore")
@click.argument("user")
@reason_option
@agent_option
@project_option
@json_option
@answering
def restore_user(user: str, reason: str, agent: str | None, root: Path, as_json: bool) -> None:
    """Let agents act for a user again, in new tasks."""
    said = as_object(connect(root).post("/v1/users/restore", _body(user, reason, agent)))
    if as_json:
        return print_json(said)
    who = f"`{agent}`" if agent else "agents"
    click.echo(printable(f"restored {user}: {who} may act for them again, in new tasks{but(said)}"))
    return None


def _print_cuts(user: JsonObject) -> None:
    for cut in as_objects(user["revoked"]):
        whom = f"with {cut['agent'] or 'every agent'}"
        if cut["out"]:
            click.echo(printable(f"  REVOKED {whom} {cut['why']}"))
        if cut["before"]:
            moment = str(cut["before"])[:19].replace("T", " ")
            why = "" if cut["out"] else f": {cut['why']}"
            click.echo(printable(f"  logins before {moment} count no more {whom}{why}"))


def _body(user: str, reason: str, agent: str | None) -> JsonObject:
    return {"user": user, "why": reason, **({} if agent is None else {"agent": agent})}
