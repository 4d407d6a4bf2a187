"""`remit demo` tells the truth: it passes on the product, and fails where something is not as told."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from remit.surfaces.cli import _chapters, _demo
from remit.surfaces.cli._stage import Stage, Story

DESK = Path(__file__).parents[3] / "examples" / "refund_desk"
WAIT_S = 400


@pytest.mark.requirement("R1.2", "R3.2", "R3.8", "R4.1", "R5.1", "R5.6")
def test_everything_happens_as_told() -> None:
    told = subprocess.run(
        [sys.executable, "-m", "remit", "demo"], capture_output=True, text=True, timeout=WAIT_S, check=False
    )
    assert told.returncode == 0, told.stdout + told.stderr
    assert "everything happened as told" in told.stdout
    assert "FAIL" not in told.stdout


def _tell_the_beginning(story: Story, stage: Stage) -> None:
    """Tell no further than the million: what comes after it has its own checks."""
    with stage.orders() as ready:
        _chapters._reviewed(story, stage, ready)
        with stage.gateway() as said:
            _chapters._registered(story, stage, said)
            _chapters._within_bounds(story, stage)
            _chapters._out_of_bounds(story, stage)


def test_a_policy_that_lets_the_million_through_is_noticed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(DESK, tmp_path / "desk")
    policy = tmp_path / "desk/project/agents/refunds/policies/refunds.cedar"
    policy.write_text(policy.read_text("utf-8").replace("00000", "000000000"), "utf-8")
    monkeypatch.setattr(_demo, "example_folder", lambda: tmp_path / "desk")
    monkeypatch.setattr(_demo, "tell", _tell_the_beginning)
    assert _demo.demo(keep=False) == 1
    told = capsys.readouterr().out
    assert "FAIL the refund is denied by policy" in told
    assert "NOT as told" in told
