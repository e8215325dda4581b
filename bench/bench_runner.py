"""What a stage costs beside its command, in a repository of two hundred files: a chain of stages that do nothing.

The commands by themselves, one shell after the other, are taken off; what a command line needs to start and to find out
that nothing is to do is told apart.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from pathlib import Path

import peers
from peers import DVC, DVC_REPRO, REFMILL, Copy, Platform, new_copy

STAGES, FILES, ROUNDS = 20, 200, 3
COMMAND = "cat out{above}.txt > out{number}.txt"
SNAKEFILE = """\
rule all:
    input: "out{stages}.txt"
rule one:
    input: lambda wildcards: "out%d.txt" % (int(wildcards.n) - 1)
    output: "out{{n,[1-9][0-9]*}}.txt"
    shell: "cat {{input}} > {{output}}"
"""


def project() -> dict[str, str]:
    """The chain, and the files beside it."""
    numbers = range(1, STAGES + 1)
    blocks = [
        f"  s{number}:\n    cmd: {COMMAND.format(above=number - 1, number=number)}\n"
        f"    deps: [out{number - 1}.txt]\n    outs: [out{number}.txt]\n"
        for number in numbers
    ]
    rules = [
        f"out{number}.txt: out{number - 1}.txt\n\t@{COMMAND.format(above=number - 1, number=number)}\n"
        for number in numbers
    ]
    return {
        **{f"src/folder{number % 10}/file{number}.py": "x = 1\n" * 50 for number in range(FILES)},
        "dvc.yaml": "stages:\n" + "".join(blocks), "out0.txt": "1\n", "Snakefile": SNAKEFILE.format(stages=STAGES),
        "Makefile": f"all: out{STAGES}.txt\n" + "".join(rules),
    }  # fmt: skip


def main() -> None:
    """Measure and print."""
    with peers.quiet() as folder:
        platform = Platform(folder / "data").start("--cpus", "2")
        try:
            platform.user("alice", "--admin")
            table(measure(platform, new_copy(folder / "pristine", project()), folder))
        finally:
            platform.stop()


def measure(platform: Platform, pristine: Copy, folder: Path) -> dict[str, list[tuple[float, float]]]:
    """By peer the seconds of all stages, and of a second start that has nothing to do."""
    took: dict[str, list[tuple[float, float]]] = {}
    third = peers.snakemake()

    def twice(*command: str) -> Callable[[Copy], tuple[float, float]]:
        return lambda copy: (peers.timed(copy, *command), peers.timed(copy, *command))

    def resolved(copy: Copy) -> tuple[float, float]:
        copy.run(REFMILL, "plan")  # DVC's parser is not what a stage costs
        return twice(REFMILL, "run", "-j1")(copy)

    def pushed(copy: Copy, number: int) -> tuple[float, float]:
        copy.git("push", "--quiet", platform.url(f"alice/chain{number}", "alice"), "main")
        run = platform.ended(f"alice/chain{number}", seconds=120)
        assert run["status"] == "succeeded", run
        return peers.run_seconds(run), 0.0

    for number in range(ROUNDS):
        todo: dict[str, Callable[[Copy], tuple[float, float]]] = {
            "the commands by themselves": bare,
            peers.make_version().replace("-j2", "-j1"): twice("make", "-s"),
            "a push to Refmill": lambda copy: pushed(copy, number),  # noqa: B023 - called in this very turn
            "refmill run -j 1": resolved,
        }
        if not number:
            todo[DVC_REPRO] = twice(DVC, "repro", "--quiet")
            if third:
                todo[third[0].replace("-j2", "-j1")] = twice(third[1][0], "-j1", "--quiet", "all")
        for name, peer in todo.items():
            took.setdefault(name, []).append(peers.fresh(pristine, folder / "work", peer))
    return took


def bare(copy: Copy) -> tuple[float, float]:
    """One shell after the other."""
    began = time.perf_counter()
    for number in range(1, STAGES + 1):
        copy.run("/bin/sh", "-c", COMMAND.format(above=number - 1, number=number))
    return time.perf_counter() - began, 0.0


def table(took: dict[str, list[tuple[float, float]]]) -> None:
    """Milliseconds a stage beside the command, and of a start."""
    floor = statistics.median(whole for whole, _ in took["the commands by themselves"])
    print(f"| a chain of {STAGES} stages among {FILES} files | ms a stage beside its command | ms of a start |")
    print("| --- | --- | --- |")
    for name, values in took.items():
        start = statistics.median(again for _, again in values)
        whole = statistics.median(whole for whole, _ in values)
        print(f"| {name} | {(whole - start - floor) / STAGES * 1000:.1f} | {start * 1000:.0f} |")


if __name__ == "__main__":
    main()
