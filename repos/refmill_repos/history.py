"""What pages show of a repository's past: who changed each entry of a folder last, and what a commit changed.

All of it is bounded, because a page must come quickly and a repository may be built to make it slow.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Literal, TypeAlias

import pygit2
from pygit2.enums import SortMode

from refmill import errors
from refmill.ports.repositories import Commit
from refmill.ports.trees import Entry
from refmill.texts import text
from refmill_repos import names
from refmill_repos.objects import found_commit, found_tree, opened
from refmill_repos.refs import Place, differences, plain
from refmill_repos.trees import GitTree

Change: TypeAlias = Literal["added", "deleted", "modified", "renamed"]

MAX_FILES = 300
MAX_LINES = 2000
"""Lines of all files of a comparison together."""
MAX_BYTES = 512 << 10
"""A file above this is shown by its name and size only."""
PATIENCE = 0.25
"""Seconds spent on looking for the last changes of a folder's entries; the rest stays without."""


@dataclass(frozen=True, slots=True)
class Row:
    """An entry of a folder. `last` is the commit that changed it last, None if that lies too far back."""

    name: str
    entry: Entry
    last: Commit | None


@dataclass(frozen=True, slots=True)
class DiffLine:
    """A line of a comparison; a number is None on the side where the line does not stand. " " is unchanged."""

    sign: Literal[" ", "+", "-", "@"]
    text: str
    old: int | None = None
    new: int | None = None


@dataclass(frozen=True, slots=True)
class FileDiff:
    """One file of a comparison. `lines` is empty where `binary` or `cut` (too large) is set."""

    path: str
    change: Change
    old_path: str = ""
    added: int = 0
    removed: int = 0
    binary: bool = False
    cut: bool = False
    lines: tuple[DiffLine, ...] = ()


@dataclass(frozen=True, slots=True)
class Comparison:
    """What differs between two commits; `more` is set if further files were left out."""

    files: tuple[FileDiff, ...]
    more: bool = False


class History:
    """Pages' view into `<root>/<repository id>.git`. `revision`s are shas, branches, tags or full refs."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def folder(self, repository_id: str, revision: str, path: str = "") -> Sequence[Row]:
        """A folder's entries, directories first, each with its last commit. Raises NotFound."""
        place = self._place(repository_id)
        repository = opened(place)
        tip = found_commit(repository, revision)
        tree = GitTree(place, str(tip.id), project=path)
        entries = tree.children("")
        last = _last_changes(repository, tip, path.strip("/"))
        rows = [Row(name, entry, last.get(name)) for name, entry in entries.items()]
        return sorted(rows, key=lambda row: (row.entry.kind != "directory", row.name))

    def diff(self, repository_id: str, old: str | None, new: str) -> Comparison:
        """What changed from `old` (None: from nothing) to `new`. Raises NotFound."""
        repository = opened(self._place(repository_id))
        before = found_commit(repository, old).tree_id if old else None
        after = found_commit(repository, new).tree_id
        found = list(islice(differences(repository, before, after), MAX_FILES + 1))
        budget = MAX_LINES
        files: list[FileDiff] = []
        for path, change, old_path, was, now in _with_renames(sorted(found[:MAX_FILES])):
            files.append(_compared(repository, path, change, old_path, was, now, budget))
            budget -= len(files[-1].lines)
        return Comparison(tuple(files), more=len(found) > MAX_FILES)

    def diff_of(self, repository_id: str, revision: str) -> Comparison:
        """What a commit changed against its first parent."""
        commit = found_commit(opened(self._place(repository_id)), revision)
        parents = commit.parent_ids
        return self.diff(repository_id, str(parents[0]) if parents else None, str(commit.id))

    def _place(self, repository_id: str) -> Path:
        place = self._root / f"{names.repository_id(repository_id)}.git"
        if not place.is_dir():
            raise errors.NotFound(text("there is no repository “%(id)s”", id=repository_id))
        return place


def _last_changes(repository: pygit2.Repository, tip: pygit2.Commit, path: str) -> dict[str, Commit]:
    """For each name in the folder `path` the newest commit from whose every parent it differs."""
    wanted = _names(repository, tip, path)
    found: dict[str, Commit] = {}
    until = time.monotonic() + PATIENCE
    listings = {tip.id: wanted}
    # NONE is git's own order, found as one goes; any other one reads the whole history first.
    for commit in repository.walk(tip.id, SortMode.NONE):
        here = listings.pop(commit.id, None)
        if here is None:
            here = _names(repository, commit, path)
        parents = []
        for parent in commit.parents:
            listings.setdefault(parent.id, _names(repository, parent, path))
            parents.append(listings[parent.id])
        changed = [
            name for name, oid in here.items()
            if name not in found and wanted.get(name) == oid and all(other.get(name) != oid for other in parents)
        ]  # fmt: skip
        found |= dict.fromkeys(changed, plain(commit))
        if len(found) == len(wanted) or time.monotonic() > until:
            break
    return found


def _names(repository: pygit2.Repository, commit: pygit2.Commit, path: str) -> dict[str, pygit2.Oid]:
    tree = found_tree(repository, commit.tree_id)
    for part in path.split("/") if path else ():
        if part not in tree or tree[part].filemode != pygit2.GIT_FILEMODE_TREE:
            return {}
        tree = found_tree(repository, tree[part].id)
    return {item.raw_name.decode("utf-8", "surrogateescape"): item.id for item in tree if item.raw_name}


def _with_renames(
    found: Sequence[tuple[str, Place | None, Place | None]],
) -> list[tuple[str, Change, str, Place | None, Place | None]]:
    """Path, change, old path and both places; a file that is gone here and stands there unchanged was renamed."""
    gone = {was[1]: path for path, was, now in found if was and not now}
    come = {now[1] for _, was, now in found if now and not was}
    moved = {path for oid, path in gone.items() if oid in come}
    rows: list[tuple[str, Change, str, Place | None, Place | None]] = []
    for path, was, now in found:
        if was and now:
            rows.append((path, "modified", "", was, now))
        elif now:
            old_path = gone.pop(now[1], "")
            rows.append((path, "renamed" if old_path else "added", old_path, now if old_path else None, now))
        elif path not in moved:
            rows.append((path, "deleted", "", was, None))
    return rows


def _compared(
    repository: pygit2.Repository, path: str, change: Change, old_path: str,
    was: Place | None, now: Place | None, budget: int,
) -> FileDiff:  # fmt: skip
    """One file's difference as numbered lines, at most `budget` of them."""
    sides: list[bytes] = []
    for place in (was, now):
        if place is None:
            sides.append(b"")
        elif place[0] == pygit2.GIT_FILEMODE_COMMIT:
            sides.append(f"submodule {place[1]}\n".encode())
        elif repository.odb.read_header(place[1])[1] > MAX_BYTES:
            return FileDiff(path, change, old_path, cut=True)
        else:
            sides.append(repository.odb.read(place[1])[1])
    patch = pygit2.Patch.create_from(sides[0], sides[1])
    if patch.delta.is_binary:
        return FileDiff(path, change, old_path, binary=True)
    _, added, removed = patch.line_stats
    lines = tuple(_lines(patch, budget + 1))
    cut = len(lines) > budget
    return FileDiff(path, change, old_path, added, removed, cut=cut, lines=() if cut else lines)


def _lines(patch: pygit2.Patch, limit: int) -> Iterator[DiffLine]:
    """At most `limit` lines of a patch, each part led by its "@" line."""
    lines = (line for hunk in patch.hunks for line in _hunk(hunk))
    return islice(lines, limit)


def _hunk(hunk: pygit2.DiffHunk) -> Iterator[DiffLine]:
    yield DiffLine("@", hunk.header.rstrip())
    for line in hunk.lines:
        if line.origin in _SIGNS:
            content = line.raw_content.decode("utf-8", "replace").removesuffix("\n")
            numbers = (number if number > 0 else None for number in (line.old_lineno, line.new_lineno))
            yield DiffLine(_SIGNS[line.origin], content, *numbers)


_SIGNS: dict[str, Literal[" ", "+", "-"]] = {" ": " ", "+": "+", "-": "-"}
