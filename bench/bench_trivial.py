"""A hundred stages that take no time, and three hundred of which none has anything to do: what a stage costs."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import peers
from peers import DVC, DVC_REPRO, REFMILL, Copy, Platform, new_copy

TRIVIAL, UNCHANGED, ROUNDS = 100, 300, 3
SNAKEFILE = """\
rule all:
    input: expand("out{{n}}.txt", n=range({stages}))
rule one:
    input: "seed.txt"
    output: "out{{n}}.txt"
    shell: "cp seed.txt {{output}}"
"""


def project(stages: int) -> dict[str, str]:
    """`stages` stages, each of which copies a file."""
    blocks = [
        f"  s{number}:\n    cmd: cp seed.txt out{number}.txt\n    deps: [seed.txt]\n    outs: [out{number}.txt]\n"
        for number in range(stages)
    ]
    outs = " ".join(f"out{number}.txt" for number in range(stages))
    return {
        "dvc.yaml": "stages:\n" + "".join(blocks), "seed.txt": "1\n",
        "Makefile": f"all: {outs}\nout%.txt: seed.txt\n\t@cp seed.txt $@\n",
        "Snakefile": SNAKEFILE.format(stages=stages),
        "refmill.yaml": "apiVersion: refmill/v1\nkind: Pipeline\nmetadata: {name: bench}\nspec: {results: commit}\n",
    }  # fmt: skip


def main() -> None:
    """Measure and print."""
    with peers.quiet() as folder:
        platform = Platform(folder / "data").start("--cpus", "2")
        try:
            platform.user("alice", "--admin")
            trivial(platform, folder)
            unchanged(platform, folder)
        finally:
            platform.stop()


def trivial(platform: Platform, folder: Path) -> None:
    """All of them run."""
    pristine = new_copy(folder / "trivial", project(TRIVIAL))
    took: dict[str, list[float]] = {}
    third = peers.snakemake()

    def pushed(copy: Copy, number: int) -> float:
        copy.git("push", "--quiet", platform.url(f"alice/trivial{number}", "alice"), "main")
        run = platform.ended(f"alice/trivial{number}", seconds=120)
        assert run["status"] == "succeeded", run
        return peers.run_seconds(run)

    for number in range(ROUNDS):
        todo: dict[str, Callable[[Copy], float]] = {
            peers.make_version(): lambda copy: peers.timed(copy, "make", "-s", "-j2"),
            "refmill run -j 2, the first in this working copy": lambda copy: peers.timed(copy, REFMILL, "run", "-j2"),
            "refmill run -j 2, resolved before": resolved_before,
            "a push to Refmill, 2 cores (run started → finished)": lambda copy: pushed(copy, number),  # noqa: B023 - called in this very turn
        }
        if not number:
            todo[DVC_REPRO] = lambda copy: peers.timed(copy, DVC, "repro", "--quiet")
            if third:
                todo[third[0]] = lambda copy: peers.timed(copy, *third[1])
        for name, peer in todo.items():
            took.setdefault(name, []).append(peers.fresh(pristine, folder / "work", peer))
    peers.show(f"{TRIVIAL} trivial stages, 2 workers", took, DVC_REPRO)


def resolved_before(copy: Copy) -> float:
    """A run after somebody has looked at the plan."""
    copy.run(REFMILL, "plan")
    return peers.timed(copy, REFMILL, "run", "-j2")


def unchanged(platform: Platform, folder: Path) -> None:
    """None of them runs; the push changes a file that no stage reads, and is timed whole, with its answer."""
    took: dict[str, list[float]] = {}
    copy = new_copy(folder / "unchanged", project(UNCHANGED))
    copy.git("remote", "add", "origin", platform.url("alice/unchanged", "alice"))
    copy.git("push", "--quiet", "origin", "main")
    assert platform.ended("alice/unchanged", seconds=300)["status"] == "succeeded"
    copy.git("pull", "--quiet", "origin", "main")
    copy.run(REFMILL, "run")
    copy.run("make", "-s")
    third = peers.snakemake()
    for number in range(2, ROUNDS + 2):
        took.setdefault(DVC_REPRO, []).append(peers.timed(copy, DVC, "repro", "--quiet"))
        took.setdefault("refmill run", []).append(peers.timed(copy, REFMILL, "run"))
        took.setdefault(peers.make_version(), []).append(peers.timed(copy, "make", "-s", "-j2"))
        if third and third[0] not in took:
            took[third[0]] = [peers.timed(copy, *third[1])]
        copy.write({"README": f"{number}\n"}).commit(f"turn {number}")
        began = time.perf_counter()
        copy.git("push", "--quiet", "origin", "main")
        took.setdefault("git push to Refmill, with its answer", []).append(time.perf_counter() - began)
        assert platform.ended("alice/unchanged", number)["status"] == "nothing"
    peers.show(f"{UNCHANGED} unchanged stages", took, DVC_REPRO)


if __name__ == "__main__":
    main()
