import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_a_short_run_ends_well_and_says_every_ratio(tmp_path: Path) -> None:
    said = tmp_path / "said.json"
    options = ["--quick", "--rounds", "1", "--seconds", "0.3", "--dir", str(tmp_path), "--json", str(said)]

    done = subprocess.run(
        [sys.executable, str(ROOT / "bench/run.py"), *options], capture_output=True, text=True, timeout=180, check=False
    )

    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads(said.read_text("utf-8"))
    assert {ratio["id"] for ratio in found["ratios"]} == {
        "G1",
        "G2",
        "G3",
        "G4",
        "G9",
        "G10",
        "policy",
        "memory",
        "start",
    }
    assert {name for name, seen in found["targets"].items() if seen["errors"] == 0 and seen["requests"] > 0} == {
        f"{name}, {count}"
        for name, busy in (("echo", 32), ("proxy", 32), ("governed", 32), ("sdk", 16), ("governed sdk", 16))
        for count in (1, busy)
    }
    assert found["faults"] == []
