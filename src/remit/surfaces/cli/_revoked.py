"""What the commands share that cut something off: the reason they ask for, and what they print."""

import click

from remit.core import Json, JsonObject
from remit.records import printable
from remit.surfaces.cli._common import as_object, as_texts, print_json

reason_option = click.option("--reason", required=True, help="Why, in one line; it goes on record.")


def print_revoked(what: str, said: Json, *, as_json: bool, key: bool = False) -> None:
    """Print what died with `what`, and how soon. No task rests on a `key`, but every token that was got with it."""
    if as_json:
        return print_json(said)
    died = as_object(said)
    ended = (
        f"{died['tasks']} task(s), {died['approvals']} approval(s), {died['calls']} call(s) under way, "
        f"{died['tokens']} token(s) ended"
    )
    if key:
        ended = f"tokens that rest on it count no more; {died['calls']} call(s) under way ended"
    took = f"{float(str(died['elapsed_us'])) / 1000:.1f} ms"
    click.echo(printable(f"revoked {what}: {ended}, after {took}"))
    return None


def but(said: JsonObject) -> str:
    """Say what still stands of what was cut off, after somebody was restored."""
    stands = as_texts(said["stands"])
    return f"; still REVOKED: {'; '.join(stands)}" if stands else ""
