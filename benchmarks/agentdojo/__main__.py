"""Run the benchmark: `python -m benchmarks.agentdojo [--runs agentdojo_runs.tar.xz] [--out FOLDER]`.

Ends with 1 when a control fails: then the numbers mean nothing.
"""

import argparse
import asyncio
import json
import sys
import time
import warnings
from collections.abc import Mapping
from pathlib import Path

from benchmarks.agentdojo._dojo import SUITES, VERSION
from benchmarks.agentdojo._measure import Picks, Share, any_use_case, controls, measured
from benchmarks.agentdojo._project import AS_WRITTEN, CONFIRMED_DELETIONS
from benchmarks.agentdojo._runs import VERSION as RUNS_VERSION
from benchmarks.agentdojo._runs import replayed
from benchmarks.agentdojo._use_cases import use_case_for

WRONG_MAX = 20  # lines about controls that fail

WAYS: Mapping[str, tuple[str, Picks]] = {
    "use_cases": (AS_WRITTEN, use_case_for),
    "one_use_case": (AS_WRITTEN, any_use_case),
    "use_cases_confirmed_deletions": (CONFIRMED_DELETIONS, use_case_for),
}
"""The ways the project is measured: the project's variant, and how a task's use case is chosen."""


async def main(arguments: argparse.Namespace) -> int:
    """Measure what was asked for, print it, and write one file for each way and suite."""
    wrong: list[str] = []
    for suite in arguments.suite or SUITES:
        shares, found = await controls(suite)
        wrong += found
        _say(f"{suite} {VERSION}: controls", shares)
        _write(arguments.out / f"{suite}-controls.json", shares, {})
    for line in sorted(wrong)[:WRONG_MAX]:
        print(f"WRONG {line}")
    if wrong:
        print(f"{len(wrong)} things are not as the controls must be: nothing is measured")
        return 1
    for way in arguments.way or WAYS:
        variant, picks = WAYS[way]
        for suite in arguments.suite or SUITES:
            found_here = await measured(suite, variant, picks)
            _say(f"{suite} {VERSION}: {way}", found_here.shares, found_here.counts)
            _write(arguments.out / f"{suite}-{way}.json", found_here.shares, found_here.counts)
    if arguments.runs is not None:
        for way in arguments.way or WAYS:
            shares = await replayed(arguments.runs, *WAYS[way])
            _say(f"recorded runs {RUNS_VERSION}: {way}", shares)
            _write(arguments.out / f"recorded-{RUNS_VERSION}-{way}.json", shares, {})
    return 0


def _say(title: str, shares: Mapping[str, Share], counts: Mapping[str, int] | None = None) -> None:
    print(f"\n{title}")
    for name, share in shares.items():
        print(f"  {name:72s} {share}")
    for name, count in (counts or {}).items():
        print(f"  {name:72s} {count:4d}")
    sys.stdout.flush()


def _write(path: Path, shares: Mapping[str, Share], counts: Mapping[str, int]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    said = {"shares": {name: share.json() for name, share in shares.items()}, "counts": dict(counts)}
    path.write_text(json.dumps(said, indent=1, sort_keys=True) + "\n", "utf-8")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.agentdojo", description=__doc__)
    parser.add_argument("--suite", choices=SUITES, action="append", help="only this suite; may be given again")
    parser.add_argument("--way", choices=[*WAYS], action="append", help="only this way; may be given again")
    parser.add_argument("--runs", type=Path, help="a tar archive of recorded runs")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results", help="where results are written")
    return parser.parse_args()


if __name__ == "__main__":
    warnings.filterwarnings("ignore")  # the suites' own
    began = time.monotonic()
    code = asyncio.run(main(_arguments()))
    print(f"\n{time.monotonic() - began:.0f} s")
    sys.exit(code)
