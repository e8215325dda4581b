"""Sixty stages of 0.2 s side by side on two workers: make, refmill run, a push, and dvc repro, interleaved."""

from __future__ import annotations

import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))

from platforms import DVC, REFMILL, Copy, Platform, new_copy

STAGES, ROUNDS = 60, 3
DVC_YAML = """\
stages:
  wide:
    matrix:
      n: [%s]
    cmd: sleep 0.2 && echo ${item.n} > out${item.n}.txt
    deps: [seed.txt]
    outs:
      - out${item.n}.txt
"""
MAKEFILE = "all: {all}\nout%.txt: seed.txt\n\t@sleep 0.2 && echo $* > $@\n"


def main() -> None:
    """Measure and print."""
    scripts = Path(sys.executable).parent
    os.environ |= {"PATH": f"{scripts}{os.pathsep}{os.environ['PATH']}", "DVC_NO_ANALYTICS": "1"}
    numbers = range(STAGES)
    files = {
        "dvc.yaml": DVC_YAML % ", ".join(map(str, numbers)), "seed.txt": "1\n",
        "Makefile": MAKEFILE.format(all=" ".join(f"out{number}.txt" for number in numbers)),
    }  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        platform = Platform(Path(folder, "data")).start("--cpus", "2")
        try:
            platform.user("alice", "--admin")
            pristine = new_copy(Path(folder, "pristine"), files)
            show(measure(platform, pristine, Path(folder)))
        finally:
            platform.stop()


def measure(platform: Platform, pristine: Copy, folder: Path) -> dict[str, list[float]]:
    """Seconds by peer; every round works on a fresh copy."""
    took: dict[str, list[float]] = {}
    for number in range(ROUNDS):
        peers: dict[str, Callable[[Copy], float]] = {
            make_version(): lambda copy: timed(copy, "make", "-s", "-j2"),
            "refmill run -j 2": lambda copy: timed(copy, REFMILL, "run", "-j", "2"),
            "a push to Refmill, 2 cores (run started → finished)": lambda copy, number=number: pushed(
                platform, copy, number
            ),  # type: ignore[misc]
            f"dvc repro {version('dvc')}": lambda copy: timed(copy, DVC, "repro", "--quiet"),
        }
        for name, peer in peers.items():
            if "dvc" in name and number:
                continue
            place = folder / "work"
            shutil.copytree(pristine.path, place)
            took.setdefault(name, []).append(peer(Copy(place)))
            shutil.rmtree(place)
    return took


def timed(copy: Copy, *command: str) -> float:
    """Seconds that a command takes."""
    began = time.perf_counter()
    copy.run(*command)
    return time.perf_counter() - began


def pushed(platform: Platform, copy: Copy, number: int) -> float:
    """Seconds from the start of a run to its end."""
    copy.git("push", "--quiet", platform.url(f"alice/wide{number}", "alice"), "main")
    run = platform.ended(f"alice/wide{number}", seconds=120)
    assert run["status"] == "succeeded", run
    return seconds(run["finished"]) - seconds(run["started"])


def seconds(moment: str) -> float:
    """A time of day in seconds."""
    hours, minutes, rest = moment.partition("T")[2].rstrip("Z").split(":")
    return int(hours) * 3600 + int(minutes) * 60 + float(rest)


def make_version() -> str:
    """Make's own name and version."""
    told = subprocess.run(["make", "--version"], capture_output=True, text=True, check=True).stdout
    return f"{told.splitlines()[0]}, -j2"


def show(took: dict[str, list[float]]) -> None:
    """The table, each peer against make."""
    floor = statistics.median(next(iter(took.values())))
    print(f"| {STAGES} × 0.2 s, 2 workers | median s | × make |\n| --- | --- | --- |")
    for name, values in took.items():
        median = statistics.median(values)
        print(f"| {name} | {median:.2f} | {median / floor:.2f} |")


if __name__ == "__main__":
    main()
