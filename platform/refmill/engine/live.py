"""Metrics and plots of a stage that still runs, read out of its workspace: live curves without any SDK.

The rule to keep: the command may change everything in there while we look, so each step of a path is opened without
following links, and never more than LIMIT bytes of one file and FILES files are read.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

from refmill.engine import attempts, workspaces
from refmill.model.pipelines import Stage
from refmill.model.runs import Run
from refmill.plans import projects

LIMIT = 1 << 20  # bytes of one file; a curve of 20,000 points
FILES = 64  # of one stage
DEPTH = 4  # folders below an output; DVCLive's plots lie three deep


def read(work: Path, run: Run, stage: Stage, attempt: int) -> dict[str, bytes]:
    """What is there now of the stage's metrics and plots, by path from the project's root."""
    tree = attempts.directory(work, run.id, stage.address, attempt) / "tree"
    found: dict[str, bytes] = {}
    for out in stage.outs:
        if out.kind == "out":
            continue
        for path in _files(tree / run.project, out.root, DEPTH):
            if len(found) >= FILES:
                return found
            data = workspaces.read_inside(tree, projects.full(run.project, path), LIMIT)
            if data is not None:
                found[path] = data
    return found


def _files(root: Path, path: str, depth: int) -> Iterator[str]:
    """`path`, or the files below it if it is a folder; links are passed over."""
    try:
        mode = (root / path).lstat().st_mode
        if stat.S_ISREG(mode):
            yield path
        elif stat.S_ISDIR(mode) and depth:
            for name in sorted(os.listdir(root / path))[:FILES]:
                yield from _files(root, f"{path}/{name}", depth - 1)
    except OSError:
        return  # it went away while we looked
