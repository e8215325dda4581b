"""Metrics and plots of stages that run in pods, kept while they run where pages read those of the local engine
(`refmill.engine.live`).

A pod says what it likes. The rule to keep: only files that its own stage declares are taken, and a run never has more
than STAGES times `live.MOST` bytes here, whatever its pods send and however long. They are worth nothing after a crash.
"""

from __future__ import annotations

import os
from pathlib import Path

from refmill import errors
from refmill.engine import checkouts, live, workspaces
from refmill.model.pipelines import Stage
from refmill.plans import projects
from refmill.texts import text
from refmill_argo.notes import Place

STAGES = 64
"""Of a run that may have figures at the same time; of further ones they are seen at the end."""
PATH, NAME = 1024, 255
"""Bytes of a path, and of one name in it, as file systems take them."""
FRESH = "figure"
"""Beside an attempt's log: what comes in, until it is whole."""


def keep(mine: Place, project: str, stage: Stage, path: str, data: bytes) -> None:
    """Put what the file `path` of `stage` says, at most `live.LIMIT` bytes, in its place. Whoever calls holds the
    stage's lock. Raises WrongUse for a file that is none of its metrics and plots, LimitExceeded, Unavailable."""
    if not _declared(stage, path):
        raise errors.WrongUse(text("%(path)s is no metrics or plots file of this stage", path=path[:PATH]))
    inside = projects.full(project, path)
    try:
        _check_room(mine.figures, mine.figures / inside, len(data))
        for folder in (mine.figures.parent, mine.figures):  # and not the run's, which may just have been taken away
            folder.mkdir(exist_ok=True)
        target = workspaces.place(mine.figures, inside)
        if target.is_dir():
            checkouts.remove(target)
        fresh = mine.folder / FRESH
        fresh.write_bytes(data)
        fresh.rename(target)
    except OSError as error:
        raise errors.Unavailable(text("figures cannot be kept: %(why)s", why=error.strerror or str(error))) from error


def _declared(stage: Stage, path: str) -> bool:
    parts = path.split("/")
    if len(path.encode()) > PATH or any(part in ("", ".", "..") or len(part.encode()) > NAME for part in parts):
        return False
    if not path.isprintable():
        return False
    roots = [out.root for out in stage.outs if out.kind in live.KINDS]
    return any(
        path == root or (path.startswith(f"{root}/") and path.count("/") - root.count("/") <= live.DEPTH)
        for root in roots
    )


def _check_room(folder: Path, target: Path, size: int) -> None:
    """Raises LimitExceeded if `size` more bytes at `target` were too much for the stage or the run, OSError."""
    if not folder.exists() and folder.parent.exists() and len(os.listdir(folder.parent)) >= STAGES:
        raise errors.LimitExceeded(text("figures of %(count)s stages of this run are kept already", count=STAGES))
    others = [file for file in folder.rglob("*") if file != target and file.is_file()]
    if len(others) >= live.FILES or sum(file.stat().st_size for file in others) + size > live.MOST:
        raise errors.LimitExceeded(
            text("figures of a stage may have %(count)s files and %(limit)s bytes", count=live.FILES, limit=live.MOST)
        )
