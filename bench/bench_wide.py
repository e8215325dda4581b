"""Sixty stages of 0.2 s side by side on two workers: make, refmill run, a push, dvc repro, snakemake, interleaved.

A second table takes the time of `refmill run` apart: its start, reading the project, and what is left for each stage.
"""

from __future__ import annotations

import os
import statistics
from collections.abc import Callable
from pathlib import Path

import peers
from bench_trivial import resolved_before
from peers import DVC, DVC_REPRO, REFMILL, Copy, Platform, new_copy

STAGES, SECONDS, WORKERS, ROUNDS = 60, 0.2, 2, 3
FIRST, RESOLVED = "refmill run -j 2, the first in this working copy", "refmill run -j 2, resolved before"
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
SNAKEFILE = """\
rule all:
    input: expand("out{{n}}.txt", n=range({stages}))
rule wide:
    input: "seed.txt"
    output: "out{{n}}.txt"
    shell: "sleep 0.2 && echo {{wildcards.n}} > {{output}}"
"""


def main() -> None:
    """Measure and print."""
    numbers = range(STAGES)
    files = {
        "dvc.yaml": DVC_YAML % ", ".join(map(str, numbers)), "seed.txt": "1\n",
        "Makefile": MAKEFILE.format(all=" ".join(f"out{number}.txt" for number in numbers)),
        "Snakefile": SNAKEFILE.format(stages=STAGES),
    }  # fmt: skip
    with peers.quiet() as folder:
        platform = Platform(folder / "data").start("--cpus", "2")
        try:
            platform.user("alice", "--admin")
            again: list[float] = []
            took = measure(platform, new_copy(folder / "pristine", files), folder, again)
        finally:
            platform.stop()
    peers.show(f"{STAGES} × {SECONDS} s, {WORKERS} workers", took, peers.make_version())
    print()
    parts(took, again)


def measure(platform: Platform, pristine: Copy, folder: Path, again: list[float]) -> dict[str, list[float]]:
    """Seconds by peer; every round works on a fresh copy. The slow ones run once. `again` gets the seconds of runs that
    find nothing to do."""
    took: dict[str, list[float]] = {}
    third = peers.snakemake()
    for number in range(ROUNDS):
        todo: dict[str, Callable[[Copy], float]] = {
            peers.make_version(): lambda copy: peers.timed(copy, "make", "-s", "-j2"),
            FIRST: lambda copy: twice(copy, again),
            RESOLVED: resolved_before,
            "a push to Refmill, 2 cores (run started → finished)": lambda copy: pushed(platform, copy, number),  # noqa: B023 - called in this very turn
        }
        if not number:
            todo[DVC_REPRO] = lambda copy: peers.timed(copy, DVC, "repro", "--quiet")
            if third:
                todo[third[0]] = lambda copy: peers.timed(copy, *third[1])
        for name, peer in todo.items():
            took.setdefault(name, []).append(peers.fresh(pristine, folder / "work", peer))
    return took


def twice(copy: Copy, again: list[float]) -> float:
    """Seconds of the first run in a working copy; those of the next one, which has nothing to do, go into `again`."""
    first = peers.timed(copy, REFMILL, "run", "-j2")
    again.append(peers.timed(copy, REFMILL, "run", "-j2"))
    return first


def parts(took: dict[str, list[float]], again: list[float]) -> None:
    """Where the time of `refmill run` goes that is not its commands'."""
    first, resolved, start = (statistics.median(values) for values in (took[FIRST], took[RESOLVED], again))
    turns = STAGES / WORKERS
    rows = {
        "start and end, with nothing to do": start, "reading the project the first time": first - resolved,
        f"beside {SECONDS} s in each of a worker's {turns:.0f} turns": (resolved - start) / turns - SECONDS,
    }  # fmt: skip
    print(f"| of refmill run (load {os.getloadavg()[0]:.1f}) | ms |\n| --- | --- |")
    print("\n".join(f"| {name} | {value * 1000:.0f} |" for name, value in rows.items()))


def pushed(platform: Platform, copy: Copy, number: int) -> float:
    """Seconds from the start of a run to its end."""
    copy.git("push", "--quiet", platform.url(f"alice/wide{number}", "alice"), "main")
    run = platform.ended(f"alice/wide{number}", seconds=120)
    assert run["status"] == "succeeded", run
    return peers.run_seconds(run)


if __name__ == "__main__":
    main()
