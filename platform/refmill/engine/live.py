"""Metrics and plots of a stage that still runs: live curves without any SDK.

They are read out of the stage's workspace, or where they are kept as a pod of a cluster sends them. The rule to keep:
the command may change everything in there while we look, so each step of a path is opened without following links, and
never more than LIMIT bytes of one file, MOST of all and FILES files are read, nor more than VISITS places looked at.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Collection, Iterator
from itertools import islice
from pathlib import Path

from refmill.engine import attempts, workspaces
from refmill.model.pipelines import OutputKind, Stage
from refmill.model.runs import Run
from refmill.plans import projects

LIMIT = 1 << 20  # bytes of one file; a curve of 20,000 points
MOST = 4 << 20  # of one stage
FILES = 64  # of one stage
DEPTH = 4  # folders below an output; DVCLive's plots lie three deep
VISITS = 1000  # files and folders that are looked at, and names of one folder
KINDS: frozenset[OutputKind] = frozenset({"metric", "plot"})


def read(
    work: Path, run: Run, stage: Stage, attempt: int, *, kinds: Collection[OutputKind] = KINDS
) -> dict[str, bytes]:
    """What is there now of the stage's metrics and plots, by path from the project's root."""
    tree = attempts.directory(work, run.id, stage.address, attempt) / "tree"
    if not tree.exists():
        tree = attempts.figures(work, run.id, stage.address, attempt)
    found: dict[str, bytes] = {}
    left = MOST
    for path in _files(tree / run.project, [out.root for out in stage.outs if out.kind in kinds]):
        if len(found) >= FILES or left <= 0:
            break
        data = workspaces.read_inside(tree, projects.full(run.project, path), min(LIMIT, left))
        if data is not None:
            found[path] = data
            left -= len(data)
    return found


def _files(root: Path, paths: Collection[str]) -> Iterator[str]:
    """Those of `paths` that are files, and the files below those that are folders; links are passed over."""
    pending = [(path, DEPTH) for path in reversed([*paths])]
    visits = VISITS
    while pending and visits:
        visits -= 1
        path, depth = pending.pop()
        try:
            mode = (root / path).lstat().st_mode
            if stat.S_ISREG(mode):
                yield path
            elif stat.S_ISDIR(mode) and depth:
                with os.scandir(root / path) as entries:
                    names = sorted(entry.name for entry in islice(entries, VISITS))[:FILES]
                pending += [(f"{path}/{name}", depth - 1) for name in reversed(names)]
        except OSError:
            continue  # it went away while we looked
