"""Commands that tell who did what: an agent's activity in figures, and who had a part in a task or call."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from remit.core import JsonObject
from remit.records import printable
from remit.surfaces.cli._client import connect
from remit.surfaces.cli._common import as_object, as_objects, as_texts, path_name, print_json

Command = Callable[..., Any]

_ACTIVITY = (
    "Instead, what it did for whom, in figures over the newest entries: tells a user who tries many agents from an "
    "agent that loops."
)


def activity_options(command: Command) -> Command:
    """Give a command `--activity`, and `--hours` for how far back."""
    activity = click.option("--activity", is_flag=True, help=_ACTIVITY)
    hours = click.option(
        "--hours", type=click.IntRange(1, 24 * 366), help="The same, over the last so many hours only."
    )
    return activity(hours(command))


def show_activity(agent: str, hours: int | None, root: Path, *, as_json: bool) -> None:
    """Print the figures of an agent, and of every user it acted for."""
    query = "" if hours is None else f"?hours={hours}"
    said = as_object(connect(root).get(f"/v1/agents/{path_name(agent, 'an agent')}/activity{query}"))
    if as_json:
        return print_json(said)
    lines = as_texts(said["told"])
    for line in lines or [f"{agent}: no calls"]:
        click.echo(printable(line))
    since = f", since {said['since']}" if said["since"] else ""
    click.echo(printable(f"({said['entries']} entries counted{since})"))
    return None


def show_who(name: str, root: Path, *, as_json: bool) -> None:
    """Print who had a part in a task or call."""
    said = as_object(connect(root).get(f"/v1/records/{path_name(name, 'a task or call')}/who"))
    if as_json:
        return print_json(said)
    before = ""
    for part in as_objects(said["who"]):
        click.echo(printable(_line(part, before)))
        before = str(part["what"])
    return None


def _line(part: JsonObject, before: str) -> str:
    what = str(part["what"])
    return f"{'' if what == before else what:<11}{part['who']}"
