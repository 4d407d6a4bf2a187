"""Run the benchmark: `python -m benchmarks.agentdojo [--runs agentdojo_runs.tar.xz] [--out FOLDER]`.

Ends with 1 when a control fails: then the numbers mean nothing.
"""

import argparse
import asyncio
import sys
import time
import warnings
from collections.abc import Mapping
from pathlib import Path

from benchmarks.agentdojo._dojo import SUITES, VERSION
from benchmarks.agentdojo._measure import Picks, any_use_case, controls, measured
from benchmarks.agentdojo._project import AS_WRITTEN, CONFIRMED_DELETIONS
from benchmarks.agentdojo._report import keep, say, summary
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
        say(f"{suite} {VERSION}: controls", shares, {})
        keep(arguments.out, f"{suite}-controls", shares, {})
    for line in sorted(wrong)[:WRONG_MAX]:
        print(f"WRONG {line}")
    if wrong:
        print(f"{len(wrong)} things are not as the controls must be: nothing is measured")
        return 1
    for way in arguments.way or WAYS:
        variant, picks = WAYS[way]
        for suite in arguments.suite or SUITES:
            found_here = await measured(suite, variant, picks)
            say(f"{suite} {VERSION}: {way}", found_here.shares, found_here.counts)
            keep(arguments.out, f"{suite}-{way}", found_here.shares, found_here.counts)
    if arguments.runs is not None:
        for way in arguments.way or WAYS:
            shares = await replayed(arguments.runs, *WAYS[way])
            say(f"recorded runs {RUNS_VERSION}: {way}", shares, {})
            keep(arguments.out, f"recorded-{RUNS_VERSION}-{way}", shares, {})
    summary(arguments.out)
    return 0


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
