"""The command: `python -m remit_verifier EXPORT --key VKEY|@file [--checkpoints FILE] [--json]`.

Exit codes: 0 proven, 1 not proven, 2 usage, 3 a file that cannot be read.
"""

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import BinaryIO

from remit_verifier._notes import read_key
from remit_verifier._report import OPEN_MAX, Report, shown
from remit_verifier._strict import UnreadableError
from remit_verifier._verify import LINE_CHARACTERS_MAX, verify

PROVEN, NOT_PROVEN, USAGE, UNREADABLE = range(4)
KEY_BYTES_MAX = 4096  # a key file
CHECKPOINTS_BYTES_MAX = 256 * 1024 * 1024  # the file of outside checkpoints: about a million

NO_CHECKPOINTS = "no outside checkpoints given: a log cut back to an earlier signed checkpoint would not be seen"


class _TooLargeError(OSError):
    """A file over its limit. An `OSError`, since to the caller it is a file that cannot be read."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code; prints to standard output, faults to standard error."""
    try:
        options = _parser().parse_args(arguments)
    except SystemExit as ended:  # argparse has said what was wrong, or has printed its help
        return int(ended.code or PROVEN)
    try:
        key = _read_text(Path(options.key[1:]), KEY_BYTES_MAX).strip() if options.key.startswith("@") else options.key
        read_key(key)
        notes = None if options.checkpoints is None else _read_text(options.checkpoints, CHECKPOINTS_BYTES_MAX)
        with options.export.open("rb") as file:
            report = verify(_lines(file), key, notes)
    except UnreadableError as error:
        print(f"remit-verify: --key: {error}", file=sys.stderr)
        return USAGE
    except (OSError, ValueError) as error:  # ValueError: a file name with a NUL in it
        print(f"remit-verify: cannot read: {shown(str(error))}", file=sys.stderr)
        return UNREADABLE
    print(json.dumps(asdict(report)) if options.json else render(report, outside=notes is not None))
    return PROVEN if report.proven else NOT_PROVEN


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="remit-verify",
        description="Check an exported log without trusting whoever exported it.",
        epilog="exit codes: 0 proven, 1 not proven, 2 usage, 3 a file that cannot be read",
    )
    parser.add_argument("export", metavar="EXPORT", type=Path, help="the export, JSON lines")
    parser.add_argument("--key", required=True, metavar="VKEY", help="the log's verifier key, or @FILE that holds it")
    parser.add_argument("--checkpoints", metavar="FILE", type=Path, help="every checkpoint written outside the store")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    return parser


def _read_text(path: Path, at_most: int) -> str:
    with path.open("rb") as file:
        body = file.read(at_most + 1)
    if len(body) > at_most:
        raise _TooLargeError(f"{path} is larger than {at_most} bytes")
    return body.decode("utf-8", "surrogateescape")


def _lines(file: BinaryIO) -> Iterator[str]:
    """Read lines of bounded length. Bytes that are not UTF-8 become surrogates, which the reader refuses by entry."""
    while line := file.readline(LINE_CHARACTERS_MAX + 2):
        yield line.decode("utf-8", "surrogateescape")


def render(report: Report, *, outside: bool) -> str:
    """Write a report for people. `outside` says whether checkpoints from outside the store were given."""
    counts = (
        f"{report.entries} entries: {report.intents} intents, {report.outcomes} outcomes, {report.unknown} unknown,"
        f" {report.open} open, {report.erased} payloads erased"
    )
    kept = (
        f"{report.checkpoints} outside checkpoint{'' if report.checkpoints == 1 else 's'} hold"
        if outside
        else NO_CHECKPOINTS
    )
    lines = ["proven" if report.proven else "NOT PROVEN", counts, kept]
    if report.observed:
        calls = "1 call" if report.observed == 1 else f"{report.observed} calls"
        lines.append(f"observed: {calls} went out in observe mode, with nothing enforced: no evidence")
    lines += [f"open: entry {each.index}, call {shown(each.call)}" for each in report.open_calls]
    if report.open > OPEN_MAX:
        lines.append(f"open: and {report.open - OPEN_MAX} more")
    lines += [f"problem: {each.code}: {each.message}" for each in report.problems]
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
