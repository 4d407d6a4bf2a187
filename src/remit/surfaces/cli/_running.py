"""Commands of those who use a running gateway: login, try, tasks."""

import sys
from dataclasses import dataclass
from pathlib import Path

import click

from remit.surfaces.cli._client import Client, connect, log_in
from remit.surfaces.cli._common import (
    REFUSED,
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
from remit.surfaces.cli._revoked import print_revoked, reason_option
from remit.surfaces.cli._try import open_task, try_call


@dataclass(frozen=True, slots=True)
class UseCase:
    """One use case of an agent that runs."""

    agent: str
    use_case: str
    operations: tuple[str, ...]


@click.command()
@click.argument("person")
@project_option
@answering
def login(person: str, root: Path) -> None:
    """Log in at the running gateway as a person of the development profile."""
    log_in(root, person)
    click.echo(f"logged in as {person}")


@click.command("try")
@click.argument("operation")
@click.argument("arguments", nargs=-1)
@click.option("--agent", help="Which agent acts; the first whose charter lists the operation if left out.")
@click.option("--use-case", help="In which use case; the first that lists the operation if left out.")
@project_option
@json_option
@answering
def try_operation(
    operation: str,
    arguments: tuple[str, ...],
    agent: str | None,
    use_case: str | None,
    root: Path,
    as_json: bool,
) -> None:
    """Make one governed call by hand. ARGUMENTS are key=value pairs, or one JSON object."""
    if not (operation.isascii() and operation.isprintable()):
        raise click.UsageError("an operation's name is printable ASCII")
    given = read_arguments(arguments)
    client = connect(root)
    chosen = _choose(_use_cases(client), operation, agent, use_case)
    outcome = try_call(client, chosen.agent, chosen.use_case, operation, given)
    if as_json:
        print_json({"ok": outcome.ok, "task": outcome.task, "answer": outcome.answer})
    else:
        click.echo(outcome.text)
        if outcome.observed:
            click.echo("\nOBSERVED: nothing was enforced; the record says what would have been decided")
        if "remit/approval" in str(outcome.answer):
            click.echo("\nheld: an approval counts for this task's call alone, and each `remit try` opens a new task")
        click.echo(f"\nthe record: remit records explain {outcome.task}")
    if not outcome.ok:
        sys.exit(REFUSED)


@click.group()
def tasks() -> None:
    """Tasks, the units of authority."""


@tasks.command("open")
@click.argument("agent")
@click.argument("use_case")
@click.option("--input", "given", default="", help="What the agent is asked to do; it goes on record as the user's.")
@click.option(
    "--delegation/--bearer",
    default=None,
    help="What the agent exchanges for a token of its own, by its key, or a token for whoever bears it; else what "
    "suits the agent.",
)
@project_option
@json_option
@answering
def open_new(agent: str, use_case: str, given: str, delegation: bool | None, root: Path, as_json: bool) -> None:
    """Open a task as the person logged in, and print what to hand to the agent.

    That is a delegation where the agent has a key of its own, else a token, its MCP bearer.
    """
    hand = "" if delegation is None else "delegation" if delegation else "bearer"
    opened = open_task(connect(root), agent, use_case, given, hand)
    if as_json:
        return print_json(opened)
    delegated = "delegation" in opened
    what = "delegation, to be exchanged" if delegated else "bearer token"
    click.echo(f"opened {opened['task']} until {opened['expires_at']}; the agent's {what}:", err=True)
    click.echo(opened["delegation" if delegated else "token"])
    return None


@tasks.command("list")
@project_option
@json_option
@answering
def list_tasks(root: Path, as_json: bool) -> None:
    """Show the newest tasks."""
    said = connect(root).get("/v1/tasks")
    if as_json:
        return print_json(said)
    for task in as_objects(said):
        click.echo(f"{task['task']}  {task['opened_at']}  {task['agent']} for {task['user']} in {task['use_case']}")
    return None


@tasks.command("revoke")
@click.argument("task")
@reason_option
@project_option
@json_option
@answering
def revoke_task(task: str, reason: str, root: Path, as_json: bool) -> None:
    """End a task at once, with whatever was handed on from it."""
    said = connect(root).post(f"/v1/tasks/{path_name(task, 'a task')}/revoke", {"why": reason})
    return print_revoked(task, said, as_json=as_json)


def _use_cases(client: Client) -> tuple[UseCase, ...]:
    """Read what runs, which need not be what the project's files say by now."""
    return tuple(
        UseCase(str(agent["agent"]), name, tuple(as_texts(operations)))
        for agent in as_objects(client.get("/v1/agents"))
        for name, operations in as_object(agent["use_cases"]).items()
    )


def _choose(cases: tuple[UseCase, ...], operation: str, agent: str | None, use_case: str | None) -> UseCase:
    fitting = [case for case in cases if agent in (None, case.agent) and use_case in (None, case.use_case)]
    if not fitting:
        known = ", ".join(f"{case.agent}/{case.use_case}" for case in cases)
        raise click.UsageError(f"no such agent and use case; the project has: {known or 'none'}")
    return next((case for case in fitting if operation in case.operations), fitting[0])
