"""A run's commit as one file for its pods: a tar of a real checkout, for `git archive` obeys export-ignore.

It is what the local engine gives to a stage (`refmill.engine.checkouts`), but that its `.git` holds the commit's own
objects, since nothing that it could refer to is there. The rule to keep: one run gives one file, byte for byte,
whoever makes it: times are those of the run, git's pack is made of whole objects in one thread, and its index has no
times in it.
"""

from __future__ import annotations

import gzip
import os
import stat
import tarfile
from collections.abc import Iterator
from pathlib import Path

from refmill.clients import files
from refmill.engine import attempts, checkouts
from refmill.engine.holding import held
from refmill.model.runs import Run

NAME = "commit.tar.gz"
LEVEL = 6  # of gzip: above it costs twice the time for a hundredth


def commit(work: Path, run: Run, repository: Path) -> Path:
    """The file, made when first asked for; of two who ask at once one makes it. Raises Unavailable, OSError."""
    folder = work / run.id
    target = folder / NAME
    if target.exists():
        return target
    with held(folder / f"{NAME}.lock"):
        if target.exists():
            return target
        checkout = folder / attempts.TEMPLATE
        checkouts.make(repository, run.commit, checkout, run.source)
        checkouts.detach(checkout, run.source)
        with files.replacing(target, durable=True) as temporary:
            _pack(checkout, temporary, run.created // 1_000_000)
        checkouts.remove(checkout)
    return target


def _pack(source: Path, target: Path, moment: int) -> None:
    with (
        target.open("xb") as file,
        gzip.GzipFile("", "wb", LEVEL, file, mtime=moment) as packed,
        tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as tar,
    ):
        for path in _listed(source):
            facts = tar.gettarinfo(path, os.fspath(path.relative_to(source)))
            facts.uid = facts.gid = 0
            facts.uname = facts.gname = ""
            facts.mtime = moment
            if facts.islnk():  # a second name of a file that came before: each is a file of its own
                facts.type, facts.linkname, facts.size = tarfile.REGTYPE, "", path.lstat().st_size
            if facts.isreg():
                facts.mode = 0o755 if facts.mode & stat.S_IXUSR else 0o644
                with path.open("rb") as content:
                    tar.addfile(facts, content)
            else:
                facts.mode = 0o755 if facts.isdir() else 0o777
                tar.addfile(facts)


def _listed(folder: Path) -> Iterator[Path]:
    """Everything below, by names, folders before what is in them."""
    with os.scandir(folder) as entries:
        found = sorted(entries, key=lambda entry: os.fsencode(entry.name))
    for entry in found:
        yield Path(entry.path)
        if entry.is_dir(follow_symlinks=False):
            yield from _listed(Path(entry.path))
