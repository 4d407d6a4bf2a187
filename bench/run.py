"""Measure the call path: `python bench/run.py --help`. It only makes the folder importable and hands over."""

import runpy
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
runpy.run_module("bench.main", run_name="__main__", alter_sys=True)
