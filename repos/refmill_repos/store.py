"""The folder of bare repositories: making them with our settings, taking them away, cleaning up after a SIGKILL."""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from refmill import errors
from refmill.ports.trees import Tree
from refmill.texts import text
from refmill_repos import children, guards, names, writers
from refmill_repos.objects import found_commit, opened
from refmill_repos.projects import projects
from refmill_repos.trees import GitTree

CONFIG = b"""\
[core]
\trepositoryformatversion = 0
\tfilemode = true
\tbare = true
\tlogAllRefUpdates = true
\tfsync = committed,loose-object,reference
\tbigFileThreshold = 16m
[receive]
\tadvertisePushOptions = true
\tfsckObjects = true
\tautogc = false
\tdenyDeleteCurrent = refuse
[receive "fsck"]
\tzeroPaddedFilemode = ignore
\tbadTimezone = ignore
\tmissingSpaceBeforeDate = ignore
[fsck]
\tgitattributesLarge = warn
\tgitmodulesLarge = warn
[transfer]
\thideRefs = refs/refmill
\tadvertiseSID = false
[uploadpack]
\tallowFilter = true
\tallowAnySHA1InWant = true
[http]
\treceivepack = true
[gc]
\tauto = 0
[pack]
\twindowMemory = 64m
\tdeltaCacheSize = 64m
"""
"""Why: files above 16 MiB are streamed instead of held in memory, and nobody looks for deltas in them (`git fsck` takes
attribute files that it streams for too large, whatever they hold; receiving reads them); three faults that old, honest
histories have are let in; whoever may read a repository may fetch any object of it (lazy clones ask
for single files); the log of a branch's moves makes a forced push undoable; packing in the background is nobody's
but ours (`maintain`)."""

LOOSE, PACKS = 1500, 50
"""Objects that are files of their own, and packs, above which a repository is packed anew: every fetch looks through
all packs, and small pushes and results leave loose objects."""
_NEVER = 4_102_444_800  # the year 2100
_NEW, _GONE = ".new-", ".gone-"


class BareRepositories:
    """`ports.repositories.Repositories` on the folder `root`: `<repository id>.git` each."""

    def __init__(self, root: Path) -> None:
        self._root = root
        root.mkdir(parents=True, exist_ok=True)

    def create(self, repository_id: str, default_branch: str) -> None:
        target = self._place(repository_id)
        if target.is_dir():
            return
        head = names.check_ref(f"refs/heads/{default_branch}")
        made = self._root / f"{_NEW}{secrets.token_hex(8)}"
        with guards.held(self._root) as fd:
            children.run(["init", "--quiet", "--bare", "--template=", "--", str(made)], pass_fds=[fd])
        _write(made / "config", CONFIG)
        _write(made / "HEAD", f"ref: {head}\n".encode())
        _sync(made)
        try:
            made.rename(target)
        except OSError:
            shutil.rmtree(made)
            if not target.is_dir():  # else another thread made the same one
                raise
        _sync(self._root)

    def delete(self, repository_id: str) -> None:
        gone = self._root / f"{_GONE}{secrets.token_hex(8)}"
        try:
            self._place(repository_id).rename(gone)
        except FileNotFoundError:
            return
        _sync(self._root)
        shutil.rmtree(gone, ignore_errors=True)  # a push that is just going on may still write; clean() takes the rest

    def path(self, repository_id: str) -> Path:
        place = self._place(repository_id)
        if not place.is_dir():
            raise errors.NotFound(text("there is no repository “%(id)s”", id=repository_id))
        return place

    def tree(self, repository_id: str, commit: str, *, project: str = "", quarantine: Path | None = None) -> Tree:
        return GitTree(self.path(repository_id), commit, project=project, quarantine=quarantine)

    def projects(self, repository_id: str, commit: str, *, quarantine: Path | None = None) -> Sequence[str]:
        repository = opened(self.path(repository_id), quarantine)
        return sorted(projects(repository, found_commit(repository, commit).tree_id))

    def set_default_branch(self, repository_id: str, branch: str) -> None:
        """What a clone checks out: point HEAD at `branch`, which may still have no commit."""
        head = names.check_ref(f"refs/heads/{branch}")
        place = self.path(repository_id)
        made = place / f"HEAD.{secrets.token_hex(8)}"
        _write(made, f"ref: {head}\n".encode())
        made.replace(place / "HEAD")
        _sync(place)

    def pack_refs(self, repository_id: str) -> None:
        place = self.path(repository_id)
        with guards.held(self._root) as fd, writers.writing(place) as own:
            children.run(["pack-refs", "--all"], options=[f"--git-dir={place}"], pass_fds=[fd, own])

    def worn(self, repository_id: str) -> bool:
        objects = self.path(repository_id) / "objects"
        # Names are hashes: one folder of 256 tells how full the others are (git's own gc looks at this one too).
        loose = sum(len(path.name) == 38 for path in (objects / "17").iterdir()) if (objects / "17").is_dir() else 0
        packs = sum(1 for _ in (objects / "pack").glob("*.pack"))
        return loose * 256 > LOOSE or packs > PACKS

    def maintain(self, repository_id: str, stopping: Callable[[], bool] = lambda: False) -> None:
        place = self.path(repository_id)
        _hold_folders(place / "objects")
        # gc runs pack-refs, repack and prune in the order that is safe beside writers.
        with guards.held(self._root) as fd, writers.writing(place) as own:
            children.run_long(["gc", "--quiet"], stopping, options=[f"--git-dir={place}"], pass_fds=[fd, own])

    def _place(self, repository_id: str) -> Path:
        return self._root / f"{names.repository_id(repository_id)}.git"


def _hold_folders(objects: Path) -> None:
    """Let no folder of loose objects ever be empty: gc removes empty ones, also that which another git has just made
    to put its object into. A push then fails, and libgit2 goes on as if the object were there.

    What is called `tmp_obj_…` is no object to git, and no fault, and goes once it is older than two weeks.
    """
    for number in range(256):
        holder = objects / f"{number:02x}" / writers.HOLDER
        if not holder.exists():
            holder.parent.mkdir(exist_ok=True)
            holder.touch()
            os.utime(holder, (_NEVER, _NEVER))


def clean(root: Path, patience: float = 30.0) -> list[Path]:
    """At start-up, before anything else uses `root`: take away what a killed server and its git children left behind.

    Waits up to `patience` seconds until no git child lives any more (else raises Unavailable). Gives what was removed.
    """
    root.mkdir(parents=True, exist_ok=True)
    fd = guards.alone(root, patience)
    try:
        stale = list(_stale(root))
        for path in stale:
            writers.take_away(path)
    finally:
        os.close(fd)
    return stale


def _stale(root: Path) -> Iterator[Path]:
    """Half-made and half-deleted repositories; locks and quarantines in the whole ones."""
    for place in sorted(root.iterdir()):
        if place.name.startswith((_NEW, _GONE)):
            yield place
        elif place.name.endswith(".git"):
            yield from writers.left(place)
            yield from place.glob("HEAD.????????????????")
            yield from place.glob("objects/tmp_object_git2_*")  # of this process, not of git


def _write(path: Path, data: bytes) -> None:
    with path.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def _sync(folder: Path) -> None:
    fd = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
