"""What every command shares: options, arguments read, answers printed, refusals explained."""

import json
import sys
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import ParamSpec, TypeVar

import click

from remit.core import (
    InputRefusedError,
    Json,
    JsonObject,
    Problem,
    ProjectInvalidError,
    RemitError,
    is_name,
    parse_strict,
)
from remit.records import printable

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
        except RemitError as error:
            if kwargs.get("as_json"):
                print_json(_refused(error))
                sys.exit(_status(error))
            _explain(error)
            sys.exit(_status(error))
        except BrokenPipeError:  # whoever read our output has seen enough
            sys.stderr.close()
            sys.exit(0)
        except OSError as error:
            click.echo(f"io_error: {error}", err=True)
            sys.exit(FAULT)

    return answered


def _status(error: RemitError) -> int:
    return FAULT if error.code == "gateway_fault" else REFUSED


def _explain(error: RemitError) -> None:
    if isinstance(error, ProjectInvalidError):
        for found in error.problems:
            click.echo(str(found), err=True)
        click.echo(err=True)
    for note in getattr(error, "__notes__", ()):
        click.echo(note, err=True)
    click.echo(f"{error.code}: {error.message}", err=True)
    if error.fix:
        click.echo(f"    fix: {error.fix}", err=True)


def _refused(error: RemitError) -> JsonObject:
    said: JsonObject = {"code": error.code, "message": error.message, "fix": error.fix}
    if isinstance(error, ProjectInvalidError):
        said["problems"] = [problem_json(found) for found in error.problems]
    return said


def problem_json(found: Problem) -> Json:
    """Write a problem or a warning for programs."""
    return {"code": found.code, "file": found.file, "line": found.line, "message": found.message, "fix": found.fix}


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
        return parse_strict(text.encode("utf-8", "surrogateescape"))
    except InputRefusedError as error:
        if error.code == "json_invalid":
            return text
        raise click.UsageError(f"{error.code}: {error.message}") from error


def path_name(text: str, noun: str) -> str:
    """Check that `text` can be the name or id of `noun` before it goes into a path."""
    if not is_name(text):
        raise click.UsageError(f"`{printable(text)}` is not the name of {noun}")
    return text


def as_object(value: Json) -> JsonObject:
    """Read an answer's object."""
    return value if isinstance(value, dict) else {}


def as_objects(value: Json) -> list[JsonObject]:
    """Read an answer's list of objects."""
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def as_texts(value: Json) -> list[str]:
    """Read an answer's list of texts."""
    return [str(item) for item in value] if isinstance(value, list) else []


def print_json(value: Json) -> None:
    """Print an answer for programs."""
    click.echo(json.dumps(value, indent=2))  # ASCII: nothing in it can steer a terminal
