"""Commands on held calls: list, show, approve, deny. What is approved is what was shown."""

from collections.abc import Iterator
from pathlib import Path

import click

from remit.core import Json, JsonObject, RemitError, canonical_bytes
from remit.records import printable
from remit.surfaces.cli._client import Client, connect
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

REQUESTER = "requester"  # among approvers: the user for whom the agent acts
VALUE_INDENT = 4


@click.group()
def approvals() -> None:
    """Held calls, and deciding them."""


@approvals.command("list")
@click.option("--all", "everything", is_flag=True, help="Decided and expired ones of open tasks too.")
@project_option
@json_option
@answering
def list_approvals(everything: bool, root: Path, as_json: bool) -> None:
    """Show the held calls that you may see."""
    said = connect(root).get(f"/v1/approvals{'?all=true' if everything else ''}")
    if as_json:
        return print_json(said)
    for each in as_objects(said):
        _say(f"{each['id']}  {each['state']}  {each['operation']} by {each['agent']} for {each['user']}")
        _say(f"    {'; '.join(_waits(each)) or 'waits for nobody'}; until {each['expires_at']}")
    return None


@approvals.command("show")
@click.argument("approval")
@project_option
@json_option
@answering
def show_approval(approval: str, root: Path, as_json: bool) -> None:
    """Show a held call whole: what, with which arguments, from where, why it is held and who has said what."""
    found = _fetched(connect(root), approval)
    if as_json:
        return print_json(found)
    for line in screen(found):
        _say(line)
    return None


@approvals.command("approve")
@click.argument("approval")
@click.option("--yes", is_flag=True, help="Do not ask whether you mean it.")
@click.option("--typed", help="The text that confirms a call which cannot be undone, instead of typing it when asked.")
@project_option
@json_option
@answering
def approve_call(approval: str, yes: bool, typed: str | None, root: Path, as_json: bool) -> None:
    """Show a held call, ask, and approve exactly what was shown."""
    client = connect(root)
    found = _fetched(client, approval)
    for line in screen(found):
        _say(line, err=as_json)
    if found.get("arguments") is None:
        raise RemitError("arguments_erased", "the call's arguments are no longer there to be seen", "deny it")
    text = _confirmation(client, found)
    if text and typed is None:
        typed = click.prompt(f"\nit cannot be undone; to confirm, type {printable(text)}", err=as_json)
    elif not yes and not text:
        click.confirm("\napprove exactly this?", abort=True, err=as_json)
    said = as_object(client.post(_path(approval, "approve"), {"digest": found["digest"], "typed": typed or ""}))
    if as_json:
        return print_json(said)
    _say(f"{said['id']}: {'; '.join(_waits(said)) or 'approved: the agent may make this very call, once'}")
    return None


@approvals.command("deny")
@click.argument("approval")
@click.option("--reason", required=True, help="Why, in one line; it goes on record.")
@project_option
@json_option
@answering
def deny_call(approval: str, reason: str, root: Path, as_json: bool) -> None:
    """Deny a held call. It sticks to the task, the operation and the arguments that steer it."""
    said = as_object(connect(root).post(_path(approval, "deny"), {"why": reason}))
    if as_json:
        return print_json(said)
    _say(f"{said['id']}: denied")
    return None


def screen(found: JsonObject) -> Iterator[str]:
    """Tell an approval on one screen, a line each. Nothing of it is left out, whatever its length."""
    yield f"{found['operation']}, by the agent {found['agent']} (owned by {found['owner']}) for {found['user']}"
    yield f"  approval   {found['id']}: {found['state']}"
    yield f"  task       {found['task']} in {found['use_case']}"
    yield f"  held       {found['code']}: {found['message']}"
    yield "  arguments"
    yield from _arguments(found.get("arguments"))
    for line in as_objects(found.get("sources")):
        yield f"  value      {_source(line)}"
    if found.get("agents_own_words"):
        yield f"  the agent's own word, which nobody has checked: {found['agents_own_words']}"
    for need in as_objects(found.get("requirements")):
        state = "missing" if need["missing"] else "given"
        yield f"  needs      {need['quorum']} of {', '.join(as_texts(need['approvers']))} ({need['kind']}): {state}"
    for grant in as_objects(found.get("grants")):
        yield f"  yes of     {grant['person']} as {grant['role']} ({grant['kind']}) at {grant['at']}"
    if found.get("by"):
        yield f"  ended by   {found['by']}"
    yield f"  opened     {found['opened_at']}, expires {found['expires_at']}"
    yield f"  digest     {found['digest']}"


def _arguments(value: Json) -> Iterator[str]:
    if not isinstance(value, dict):
        yield f"{'':{VALUE_INDENT}}(erased)"
        return
    for name, inner in value.items():
        yield f"{'':{VALUE_INDENT}}{name} = {canonical_bytes(inner).decode('utf-8')}"
    if not value:
        yield f"{'':{VALUE_INDENT}}(none)"


def _source(line: JsonObject) -> str:
    where = f" in {line['operation']}{line['field']} of {line['call']}" if line["operation"] else ""
    asked = f" in {line['field']}" if line["field"] else ""
    said = {
        "user": f"from what the user gave{asked}",
        "nowhere": "from NOWHERE that the gateway has seen",
        "untrusted": f"from UNTRUSTED content{where}",
    }.get(str(line["label"]), f"from a system of record{where}")
    return f"{line['pointer']} {said}{'' if line['accepted'] else ': NOT an accepted source'}"


def _waits(found: JsonObject) -> list[str]:
    if found["state"] != "waiting":
        return [] if found["state"] == "approved" else [str(found["state"])]
    return [
        f"waits for {need['quorum']} of {', '.join(as_texts(need['approvers']))} ({need['kind']})"
        for need in as_objects(found.get("requirements"))
        if need["missing"]
    ]


def _confirmation(client: Client, found: JsonObject) -> str:
    """Return what the person logged in has to type for this call; empty: nothing."""
    me = as_object(client.get("/v1/whoami"))
    mine = set(as_texts(me.get("roles"))) | ({REQUESTER} if me.get("person") == found["user"] else set())
    for need in as_objects(found.get("requirements")):
        if need["typed"] and need["missing"] and mine & set(as_texts(need["approvers"])):
            return str(need["typed"])
    return ""


def _fetched(client: Client, approval: str) -> JsonObject:
    return as_object(client.get(_path(approval)))


def _path(approval: str, verb: str = "") -> str:
    return f"/v1/approvals/{path_name(approval, 'an approval')}{f'/{verb}' if verb else ''}"


def _say(line: str, *, err: bool = False) -> None:
    click.echo(printable(line), err=err)  # a value that an agent chose must not steer a terminal
