"""What is printed and kept: every share with its number and interval, one small file for each measurement, one summary.

keep(folder, "banking-use_cases", shares, counts)
summary(folder)      # results/summary.md, from whatever has been kept
"""

import json
import sys
from collections.abc import Mapping
from pathlib import Path

from benchmarks.agentdojo._measure import Share

_SUMMARY = "summary.md"
_LEFT_OUT_WHO = 12  # names in one line of the summary


def say(title: str, shares: Mapping[str, Share], counts: Mapping[str, int]) -> None:
    """Print a measurement."""
    print(f"\n{title}")
    for name, share in shares.items():
        print(f"  {name:72s} {share}")
    for name, count in counts.items():
        print(f"  {name:72s} {count:4d}")
    sys.stdout.flush()


def keep(folder: Path, name: str, shares: Mapping[str, Share], counts: Mapping[str, int]) -> None:
    """Write a measurement to its file."""
    folder.mkdir(parents=True, exist_ok=True)
    said = {"shares": {key: share.json() for key, share in shares.items()}, "counts": dict(counts)}
    (folder / f"{name}.json").write_text(json.dumps(said, indent=1) + "\n", "utf-8")


def summary(folder: Path) -> None:
    """Write one page of all measurements that are kept in `folder`."""
    lines = ["# Results", "", "Written by the program; the intervals are 95 % (Clopper and Pearson)."]
    for path in sorted(folder.glob("*.json")):
        said = json.loads(path.read_text("utf-8"))
        lines += ["", f"## {path.stem}", "", "| | share | | interval |", "|---|---|---|---|"]
        for name, share in said["shares"].items():
            part = f"{share['hits'] / share['of']:.1%}"
            lines.append(
                f"| {name} | {share['hits']} of {share['of']} | {part} | {share['low']:.2%} to {share['high']:.2%} |"
            )
        lines += [f"| {name} | {count} | | |" for name, count in said["counts"].items()]
        for name, share in said["shares"].items():
            if share["who"]:
                who = ", ".join(share["who"][:_LEFT_OUT_WHO])
                more = len(share["who"]) - _LEFT_OUT_WHO
                lines += ["", f"{name}: {who}{f' and {more} more' if more > 0 else ''}."]
    (folder / _SUMMARY).write_text("\n".join(lines) + "\n", "utf-8")
