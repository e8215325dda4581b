"""The DVC projects that a commit holds: the directories with a `.dvc` of their own."""

from __future__ import annotations

import pygit2

from refmill import errors
from refmill.texts import text
from refmill_repos.memos import Memo

MAX_PROJECTS = 100
"""Projects of one commit: each is read, planned and told of by itself."""
_FOLDERS = 100_000
"""Directories of one search. Those that a commit before had too are remembered."""
_DEPTH = 64
_KEPT = ".dvc"

_found: Memo[bytes, tuple[str, ...]] = Memo(50_000)
"""Directory → the projects below it, by their paths from there; "" is the directory itself."""


def projects(repository: pygit2.Repository, tree: pygit2.Oid) -> tuple[str, ...]:
    """Paths of the projects below a tree, each before those inside of it, by name.

    Raises LimitExceeded where there are too many of them, or too many directories to look into.
    """
    found = _below(repository, tree, 0, [_FOLDERS])
    if len(found) > MAX_PROJECTS:
        raise errors.LimitExceeded(text("the repository has more than %(limit)s DVC projects", limit=MAX_PROJECTS))
    return found


def _below(repository: pygit2.Repository, oid: pygit2.Oid, depth: int, budget: list[int]) -> tuple[str, ...]:
    if (known := _found.get(oid.raw)) is not None:
        return known
    budget[0] -= 1
    if budget[0] < 0 or depth > _DEPTH:
        raise errors.LimitExceeded(
            text("the repository has too many files, or too deep folders"),
            text("Keep fewer files there, or track the directory with DVC."),
        )
    tree = repository.get(oid)
    found: list[str] = []
    for item in tree if isinstance(tree, pygit2.Tree) else ():
        if item.filemode != pygit2.GIT_FILEMODE_TREE:
            continue
        name = (item.raw_name or b"").decode("utf-8", "surrogateescape")
        if name == _KEPT:
            found.insert(0, "")
        elif len(found) <= MAX_PROJECTS and name.lower() != ".git":
            found += [f"{name}/{path}".rstrip("/") for path in _below(repository, item.id, depth + 1, budget)]
    known = tuple(found[: MAX_PROJECTS + 1])
    _found.put(oid.raw, known)
    return known
