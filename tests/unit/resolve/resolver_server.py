"""A program: a resolver's server over projects in memory; the commit of a source chooses the project."""

from __future__ import annotations

import os
import resource
import sys
import time
from pathlib import Path

from refmill import errors
from refmill.clients.resolver import Limits, serve
from refmill.clients.resolver.warming import MemoryTree
from refmill.ports.resolver import Checked, Source
from refmill.ports.trees import Tree
from refmill.problems import Place, Problem
from refmill.texts import text

BOMB = b"a: &a [" + b"x, " * 99 + b"x]\n" + b"".join(
    b"%c: &%c [%s]\n" % (98 + n, 98 + n, b", ".join([b"*%c" % (97 + n)] * 99)) for n in range(7)
)  # fmt: skip
MATRIX = b"stages:\n  s:\n    matrix: {" + b", ".join(b"k%d: [%s]" % (n, b"1, " * 9 + b"1") for n in range(8))
PROJECTS = {
    "good": {"dvc.yaml": b"stages:\n  s: {cmd: x}\n"},
    "bad": {"dvc.yaml": b"stages:\n  s: {comand: x}\n"},
    "aliases": {"dvc.yaml": b"stages:\n  s: {cmd: x}\n", "params.yaml": BOMB},
    "matrix": {"dvc.yaml": MATRIX + b"}\n    cmd: x\n"},
    "further": {"dvc.yaml": b"stages:\n  s: {cmd: x, deps: [nothing]}\n", "x": b""},
    "bad and further": {"dvc.yaml": b"stages:\n  s: {comand: x}\n", "x": b""},
    "busy": {"dvc.yaml": b"stages:\n  s: {cmd: x}\n", "busy": b""},
    "odd values": {
        "dvc.yaml": b"stages:\n  s: {cmd: x, meta: {1: 2020-01-01, 2.5: .inf}}\n",
        "dvc.lock": b"schema: '2.0'\nstages:\n  s:\n    cmd: x\n    params:\n      p.yaml:\n        k:\n          0: 1e-07\n",
    },
}

FURTHER = Problem("workflow-template", Place("x"), text("Further"), text("Mend it."))


def further(tree: Tree, checked: Checked) -> tuple[Problem, ...]:
    """Some projects have faults that DVC's parser knows nothing of; to find some takes a machine that has time."""
    if tree.entry("busy"):
        raise errors.Unavailable(text("busy"))
    return (FURTHER,) if tree.entry("x") and checked.pipeline else ()


def open_tree(source: Source) -> Tree:
    """Some commits misbehave instead of being a project."""
    if source.commit == "sleeps":
        time.sleep(60)
    if source.commit == "computes":
        while True:
            pass
    if source.commit == "grows":
        bytearray(1 << 30)  # twice the limit at once: filling it bit by bit could meet the limit of time first
    if source.commit == "is killed" or (source.commit == "is killed once" and not source.path.exists()):
        source.path.touch()
        os.kill(os.getpid(), 9)
    if source.commit == "is killed once":
        return MemoryTree(PROJECTS["good"])
    if source.commit == "dies":
        os.kill(os.getpid(), 11)
    if source.commit == "looks around":
        names = sorted(os.listdir("/proc/self/fd"))
        seconds, _ = resource.getrlimit(resource.RLIMIT_CPU)
        return MemoryTree({"dvc.yaml": f"stages:\n  s: {{cmd: 'x', desc: '{len(names)} {seconds}'}}\n".encode()})
    if source.commit not in PROJECTS:
        raise errors.NotFound(text("There is no commit %(commit)s", commit=source.commit))
    return MemoryTree(PROJECTS[source.commit])


def _ready() -> None:
    sys.stdout.write("ready\n")
    sys.stdout.flush()


def main() -> None:
    """Serve at the path that is the first argument; the second is the limit of seconds on the clock."""
    limits = Limits(memory=512 << 20, cpu=1, wall=float(sys.argv[2]), children=2)
    serve(Path(sys.argv[1]), open_tree, 50, limits=limits, further=further, ready=_ready)


if __name__ == "__main__":
    main()
