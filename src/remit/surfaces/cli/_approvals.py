"""Commands on held calls: list, show, approve, deny, edit. What is approved or changed is what was shown."""

import re
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

import click

from remit.catalogue import Extension, sign_extension
from remit.core import Json, JsonObject, RemitError, canonical_bytes, is_name, parse_utc, utc_text
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
    read_arguments,
)

REQUESTER = "requester"  # among approvers: the user for whom the agent acts
VALUE_INDENT = 4
_UNTIL = re.compile(r"([1-9][0-9]{0,3})([hd])", re.ASCII)


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
        _say(f"    {'; '.join((*_told(each), *_edits(each)))}; until {each['expires_at']}")
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
@click.option("--trust", "trusted", multiple=True, metavar="ARGUMENT[=VALUE]", help="Trust this value from now on.")
@click.option("--directory", help="With --trust: the directory that it belongs in.")
@click.option("--until", help="With --trust: for how long, such as 30d or 12h.")
@click.option(
    "--key",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="With --trust: your private key; it signs here and goes nowhere.",
)
@project_option
@json_option
@answering
def approve_call(
    approval: str,
    yes: bool,
    typed: str | None,
    trusted: tuple[str, ...],
    directory: str | None,
    until: str | None,
    key: Path | None,
    root: Path,
    as_json: bool,
) -> None:
    """Show a held call, ask, and approve exactly what was shown."""
    if any((trusted, directory, until, key)) and not all((trusted, directory, until, key)):
        raise click.UsageError("--trust, --directory, --until and --key go together")
    client = connect(root)
    found = _shown(client, approval, as_json=as_json)
    extensions = _extensions(found, trusted, directory or "", until or "") if trusted else []
    for each in extensions:
        line = f"  trusts     {each.value} in the directory {each.directory} until {utc_text(each.until)}"
        _say(line, err=as_json)
    text = _confirmation(client, found)
    if text and typed is None:
        typed = click.prompt(f"\nit cannot be undone; to confirm, type {printable(text)}", err=as_json)
    elif not yes and not text:
        click.confirm("\napprove exactly this?", abort=True, err=as_json)
    body: JsonObject = {"digest": found["digest"], "typed": typed or ""}
    if key is not None:
        private_key = key.read_bytes()
        body["trust"] = [_signed(each, private_key) for each in extensions]
    said = as_object(client.post(_path(approval, "approve"), body))
    if as_json:
        return print_json(said)
    _say(f"{said['id']}: {'; '.join(_waits(said)) or 'approved: the agent may make this very call, once'}")
    for each in extensions:
        _say(f"{each.value} is trusted until {utc_text(each.until)} in {each.directory}")
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


@approvals.command("edit")
@click.argument("approval")
@click.option("--set", "changed", multiple=True, metavar="NAME=VALUE", help="Give an argument another value.")
@click.option("--unset", "removed", multiple=True, metavar="NAME", help="Leave an argument out.")
@click.option("--why", required=True, help="Why, in one line; it goes on record.")
@project_option
@json_option
@answering
def edit_call(
    approval: str, changed: tuple[str, ...], removed: tuple[str, ...], why: str, root: Path, as_json: bool
) -> None:
    """Change the arguments of a held call. Others have to approve it then: what was given is void, and you count not.

    A value is JSON if it reads as JSON and the argument may be that, else text.
    """
    if not changed and not removed:
        raise click.UsageError("give --set or --unset")
    client = connect(root)
    found = _shown(client, approval, as_json=as_json)
    body: JsonObject = {"digest": found["digest"], "arguments": _edited(found, changed, removed), "why": why}
    said = as_object(client.post(_path(approval, "edit"), body))
    if as_json:
        return print_json(said)
    _say(f"{approval}: void; the edited call waits as {said['id']}")
    for line in _arguments(said):
        _say(line)
    _say(f"{said['id']}: {'; '.join(_waits(said)) or 'the agent may make the edited call, once'}")
    return None


def screen(found: JsonObject) -> Iterator[str]:
    """Tell an approval on one screen, a line each. Nothing of it is left out, whatever its length."""
    yield f"{found['operation']}, by the agent {found['agent']} (owned by {found['owner']}) for {found['user']}"
    yield f"  approval   {found['id']}: {found['state']}"
    yield f"  task       {found['task']} in {found['use_case']}"
    yield f"  held       {found['code']}: {found['message']}"
    yield "  arguments"
    yield from _arguments(found)
    yield from _before(found)
    if found.get("edited_by"):
        yield f"  edited by  {found['edited_by']}, who does not count for it"
    for line in as_objects(found.get("sources")):
        yield f"  value      {_source(line)}"
    for line in as_objects(found.get("links")):
        yield f"  {line['kind']:<10} {_source({**line, 'accepted': False})}"
    for line in as_objects(found.get("exposed")):
        yield f"  exposes    {_exposed(line)}"
    if found.get("strangers"):
        yield "  untrusted content has entered this task"
    if found.get("agents_own_words"):
        yield f"  the agent's own word, which nobody has checked: {found['agents_own_words']}"
    for need in as_objects(found.get("requirements")):
        state = "missing" if need["missing"] else "given"
        apart = ", somebody else than for the others" if need.get("apart") else ""
        yield f"  needs      {need['quorum']} of {_roles(need)} ({need['kind']}){apart}: {state}"
    for grant in as_objects(found.get("grants")):
        yield f"  yes of     {grant['person']} as {grant['role']} ({grant['kind']}) at {grant['at']}"
    if found.get("by"):
        yield f"  ended by   {found['by']}"
    yield f"  opened     {found['opened_at']}, expires {found['expires_at']}"
    yield f"  digest     {found['digest']}"


def _arguments(found: JsonObject) -> Iterator[str]:
    """Tell the arguments, each beside what it would replace and what the agent gave instead."""
    value, indent = found.get("arguments"), " " * VALUE_INDENT
    if not isinstance(value, dict):
        yield f"{indent}(erased)"
        return
    changes = {str(each["name"]): each["before"] for each in as_objects(found.get("effect")) if each["changes"]}
    given = found.get("agents_arguments")
    for name, inner in value.items():
        line = f"{indent}{name} = {_json(inner)}"
        if name in changes:
            line += f"    (is now {_json(changes[name])})"
        if isinstance(given, dict) and given.get(name) != inner:
            line += f"    (the agent gave {_json(given[name]) if name in given else 'nothing'})"
        yield line
    for name, inner in given.items() if isinstance(given, dict) else ():
        if name not in value:
            yield f"{indent}{name} left out    (the agent gave {_json(inner)})"
    if not value:
        yield f"{indent}(none)"


def _before(found: JsonObject) -> Iterator[str]:
    if found.get("before") is None:
        return
    yield f"  before     as it was at {found['before_at']}"
    before = found["before"]
    for name, inner in before.items() if isinstance(before, dict) else (("", before),):
        yield f"{'':{VALUE_INDENT}}{name}{' = ' * bool(name)}{_json(inner)}"


def _json(value: Json) -> str:
    return canonical_bytes(value).decode("utf-8")


def _source(line: JsonObject) -> str:
    where = f" in {line['operation']}{line['field']} of {line['call']}" if line["operation"] else ""
    asked = f" in {line['field']}" if line["field"] else ""
    said = {
        "user": f"from what the user gave{asked}",
        "nowhere": "from NOWHERE that the gateway has seen",
        "untrusted": f"from UNTRUSTED content{where}",
    }.get(str(line["label"]), f"from a system of record{where}")
    return f"{line['pointer']} {said}{'' if line['accepted'] else ': NOT an accepted source'}"


def _exposed(line: JsonObject) -> str:
    to = f"to {line['pointer']}" if line["pointer"] else "to whoever gets it"
    return f"{line['data_class']} {to}, who may not know it; it was read in {line['operation']}{line['field']}"


def _waits(found: JsonObject) -> list[str]:
    if found["state"] != "waiting":
        return [] if found["state"] == "approved" else [str(found["state"])]
    needed = as_texts(found.get("still_needed"))
    if needed:
        return [f"waits for {each}" for each in needed]
    return [
        f"waits for {need['quorum']} of {_roles(need)} ({need['kind']})"
        for need in as_objects(found.get("requirements"))
        if need["missing"]
    ]


def _told(found: JsonObject) -> list[str]:
    """Say what it waits for, or what became of it: of one that was edited, `_edits` does."""
    return [] if found.get("edited_into") else _waits(found) or ["waits for nobody"]


def _edits(found: JsonObject) -> list[str]:
    into = [f"edited into {found['edited_into']}"] if found.get("edited_into") else []
    return [*into, f"edited by {found['edited_by']}"] if found.get("edited_by") else into


def _roles(need: JsonObject) -> str:
    return ", ".join(as_texts(need["approvers"]))


def _confirmation(client: Client, found: JsonObject) -> str:
    """Return what the person logged in has to type for this call; empty: nothing."""
    me = as_object(client.get("/v1/whoami"))
    mine = set(as_texts(me.get("roles"))) | ({REQUESTER} if me.get("person") == found["user"] else set())
    for need in as_objects(found.get("requirements")):
        if need["typed"] and need["missing"] and mine & set(as_texts(need["approvers"])):
            return str(need["typed"])
    return ""


def _shown(client: Client, approval: str, *, as_json: bool) -> JsonObject:
    """Show a held call, and return what was shown.

    Raises:
        RemitError: `arguments_erased`, since nobody can decide what nobody can see.
    """
    found = _fetched(client, approval)
    for line in screen(found):
        _say(line, err=as_json)
    if found.get("arguments") is None:
        raise RemitError("arguments_erased", "the call's arguments are no longer there to be seen", "deny it")
    return found


def _edited(found: JsonObject, changed: tuple[str, ...], removed: tuple[str, ...]) -> JsonObject:
    arguments, types = dict(as_object(found.get("arguments"))), as_object(found.get("types"))
    for name in removed:
        if name not in arguments:
            raise click.UsageError(f"`{printable(name)}` is not among the arguments")
        del arguments[name]
    for item in changed:
        name, given, text = item.partition("=")
        if not given or not name or name[0] == "{":
            raise click.UsageError(f"`{printable(item)}` is not NAME=VALUE")
        may_be = types.get(name)
        arguments[name] = text if may_be == ["string"] else read_arguments((item,))[name]
    return arguments


def _extensions(found: JsonObject, trusted: tuple[str, ...], directory: str, until: str) -> list[Extension]:
    """Say what is to be trusted, until a time by the gateway's clock."""
    lasts = _UNTIL.fullmatch(until)
    if lasts is None:
        raise click.UsageError(f"`{printable(until)}` is not a time such as 30d or 12h")
    if not is_name(directory):
        raise click.UsageError(f"`{printable(directory)}` is not the name of a directory")
    ends = parse_utc(str(found["now"])) + timedelta(**{"days" if lasts[2] == "d" else "hours": int(lasts[1])})
    return [_extension(found, each, directory, ends) for each in trusted]


def _extension(found: JsonObject, trusted: str, directory: str, until: datetime) -> Extension:
    name, given, text = trusted.partition("=")
    value = text if given else _value_at(found.get("arguments"), name)
    return Extension(directory=directory, value=value, until=until, approval=str(found["id"]))


def _value_at(arguments: Json, name: str) -> str:
    """Return the argument `name`, or the value at a JSON pointer in them (RFC 6901), as text."""
    value, steps = arguments, name.split("/")[1:] if name.startswith("/") else [name]
    for step in steps:
        key = step.replace("~1", "/").replace("~0", "~") if name.startswith("/") else step
        if isinstance(value, list) and key.isdecimal() and int(key) < len(value):
            value = value[int(key)]
        else:
            value = value.get(key) if isinstance(value, dict) else None
    if not isinstance(value, str | int) or isinstance(value, bool) or value == "":
        raise click.UsageError(f"`{printable(name)}` is no text among the arguments; give ARGUMENT=VALUE")
    return str(value)


def _signed(extension: Extension, private_key: bytes) -> JsonObject:
    return {
        "directory": extension.directory,
        "value": extension.value,
        "until": utc_text(extension.until),
        "envelope": sign_extension(extension, private_key).decode("ascii"),
    }


def _fetched(client: Client, approval: str) -> JsonObject:
    return as_object(client.get(_path(approval)))


def _path(approval: str, verb: str = "") -> str:
    return f"/v1/approvals/{path_name(approval, 'an approval')}{f'/{verb}' if verb else ''}"


def _say(line: str, *, err: bool = False) -> None:
    click.echo(printable(line), err=err)  # a value that an agent chose must not steer a terminal
