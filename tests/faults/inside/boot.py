"""Starts the step runner with fault points in it: it is started by its path and isolated, so nothing imports them."""

import runpy
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
import sitecustomize  # noqa: F401

sys.path.pop(0)
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
