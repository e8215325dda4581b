"""What the benches share: the peers by name and version, fresh working copies, and the table of a measurement."""

from __future__ import annotations

import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))

from platforms import DVC, REFMILL, Copy, Platform, new_copy

DVC_REPRO = f"dvc repro {version('dvc')}"
SNAKEMAKE = Path(__file__).resolve().parent.parent / ".build" / "bench" / "snakemake"
"""An environment of its own: Snakemake's dependencies are not ours."""

__all__ = ["DVC", "DVC_REPRO", "REFMILL", "Copy", "Platform", "new_copy"]


@contextmanager
def quiet() -> Iterator[Path]:
    """A folder for the bench; the environment's programs come first, and DVC tells nobody."""
    scripts = Path(sys.executable).parent
    os.environ |= {"PATH": f"{scripts}{os.pathsep}{os.environ['PATH']}", "DVC_NO_ANALYTICS": "1"}
    with tempfile.TemporaryDirectory() as folder:
        yield Path(folder)


def timed(copy: Copy, *command: str) -> float:
    """Seconds that a command takes."""
    began = time.perf_counter()
    copy.run(*command)
    return time.perf_counter() - began


def fresh(pristine: Copy, place: Path, peer: Callable[[Copy], float]) -> float:
    """What `peer` measures in a copy of `pristine`, which is gone afterwards."""
    shutil.copytree(pristine.path, place)
    try:
        return peer(Copy(place))
    finally:
        shutil.rmtree(place)


def run_seconds(run: Mapping[str, str]) -> float:
    """Seconds from a run's start to its end, as `refmill runs --json` tells them."""
    return _second(run["finished"]) - _second(run["started"])


def _second(moment: str) -> float:
    hours, minutes, rest = moment.partition("T")[2].rstrip("Z").split(":")
    return int(hours) * 3600 + int(minutes) * 60 + float(rest)


def git_version() -> str:
    """Git's own name and version."""
    told = subprocess.run(["git", "--version"], capture_output=True, text=True, check=True).stdout
    return told.strip().replace("version ", "")


def make_version() -> str:
    """Make's own name and version."""
    told = subprocess.run(["make", "--version"], capture_output=True, text=True, check=True).stdout
    return f"{told.splitlines()[0]}, -j2"


def snakemake() -> tuple[str, list[str]] | None:
    """Snakemake's name and version, and its command, installed on the first call; None where it cannot be had."""
    program = SNAKEMAKE / "bin" / "snakemake"
    if not program.exists():
        uv = str(Path(sys.executable).with_name("uv"))
        made = subprocess.run([uv, "venv", "--quiet", "--python", sys.executable, str(SNAKEMAKE)], check=False)
        install = [
            uv,
            "pip",
            "install",
            "--quiet",
            "--compile-bytecode",
            "--python",
            str(SNAKEMAKE / "bin" / "python"),
            "snakemake",
        ]
        if made.returncode or subprocess.run(install, check=False).returncode:
            return None
    told = subprocess.run([str(program), "--version"], capture_output=True, text=True, check=True).stdout.strip()
    return f"snakemake {told}, -j2", [str(program), "-j2", "--quiet", "all"]


def show(title: str, took: Mapping[str, Sequence[float]], against: str) -> None:
    """The table, each peer against the one named `against`."""
    floor = statistics.median(took[against])
    load = os.getloadavg()[0]
    print(f"| {title} (load {load:.1f}) | median s | × {against.split(',', maxsplit=1)[0]} |\n| --- | --- | --- |")
    for name, values in took.items():
        median = statistics.median(values)
        ratio = median / floor if floor else float("inf")
        print(f"| {name} | {median:.{2 if median >= 0.1 else 3}f} | {ratio:.3g} |")
