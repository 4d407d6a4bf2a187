"""What every command shares: options, arguments read, answers printed, refusals explained."""

import json
import sys
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import ParamSpec, TypeVar

import click

from remit.core import Json, JsonObject, ProjectInvalidError, RemitError, is_name

P = ParamSpec("P")
T = TypeVar("T")

REFUSED, FAULT = 1, 3  # exit codes; 0 is ok, 2 is usage and click's own

project_option = click.option(
    "-C",
    "--project",
    "root",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path(),
    help="The project's folder; the present one if left out.",
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


def answering(run: Callable[P, T]) -> Callable[P, T]:
    """Turn what a command raises into a message with a way to mend it, and an exit code."""

    @wraps(run)
    def answered(*args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return run(*args, **kwargs)
        except ProjectInvalidError as error:
            for found in error.problems:
                click.echo(str(found), err=True)
            click.echo(f"\n{error.code}: {error.message}", err=True)
            sys.exit(REFUSED)
        except RemitError as error:
            for note in getattr(error, "__notes__", ()):
                click.echo(note, err=True)
            click.echo(f"{error.code}: {error.message}", err=True)
            if error.fix:
                click.echo(f"    fix: {error.fix}", err=True)
            sys.exit(FAULT if error.code == "gateway_fault" else REFUSED)
        except BrokenPipeError:  # whoever read our output has seen enough
            sys.stderr.close()
            sys.exit(0)
        except OSError as error:
            click.echo(f"io_error: {error}", err=True)
            sys.exit(FAULT)

    return answered


def read_arguments(given: tuple[str, ...]) -> JsonObject:
    """Read `key=value` pairs; a value is JSON if it reads as JSON, else text. One JSON object serves as well."""
    if len(given) == 1 and given[0].startswith("{"):
        value = _value(given[0])
        if isinstance(value, dict):
            return value
        raise click.UsageError("the arguments are not a JSON object")
    pairs: JsonObject = {}
    for item in given:
        key, found, text = item.partition("=")
        if not found:
            raise click.UsageError(f"`{item}` is not key=value")
        pairs[key] = _value(text)
    return pairs


def _value(text: str) -> Json:
    try:
        value: Json = json.loads(text)
    except ValueError:
        return text
    return value


def task_id(text: str) -> str:
    """Check that `text` can be a task's id before it goes into a path."""
    if not is_name(text):
        raise click.UsageError(f"`{text}` is not a task's id")
    return text


def as_object(value: Json) -> JsonObject:
    """Read an answer's object."""
    return value if isinstance(value, dict) else {}


def as_texts(value: Json) -> list[str]:
    """Read an answer's list of texts."""
    return [str(item) for item in value] if isinstance(value, list) else []


def print_json(value: Json) -> None:
    """Print an answer for programs."""
    click.echo(json.dumps(value, ensure_ascii=False, indent=2))
