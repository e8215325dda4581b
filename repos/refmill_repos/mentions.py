"""Which objects of the data store the history of a repository mentions, for the collection of garbage.

The rule to keep: rather one too many. Every file that DVC records hashes in is searched for what looks like one, in
every commit that any ref leads to, whether it can be parsed or not.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pygit2
from pygit2.enums import ObjectType, SortMode

from refmill import errors
from refmill.texts import text
from refmill_repos.objects import damaged, found_tree, opened

HASH = re.compile(rb"(?<![0-9a-f])[0-9a-f]{32}(?![0-9a-f])")
LONGEST = 256 << 20
"""Bytes of a file of DVC that is searched; a lock of a hundred thousand stages has a tenth of it."""


class BareMentions:
    """`ports.repositories.Mentions` of `<root>/<repository id>.git`."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def of(self, repository_id: str) -> set[str]:
        repository = opened(self._root / f"{repository_id}.git")
        found, trees, files = set[str](), set[pygit2.Oid](), set[pygit2.Oid]()
        try:
            for tree in _tops(repository):
                _gather(repository, tree, trees, files)
            for oid in files:
                found.update(match.decode() for match in HASH.findall(_content(repository, oid)))
        except (pygit2.GitError, KeyError) as error:
            raise errors.Damaged(
                text("the history of the repository cannot be read: %(detail)s", detail=str(error))
            ) from error
        return found


def _tops(repository: pygit2.Repository) -> Iterator[pygit2.Oid]:
    """The root of every commit that a ref leads to, and what else refs name."""
    walker = repository.walk(None, SortMode.NONE)
    for name in repository.references:
        oid = pygit2.Oid(hex=str(repository.references[name].resolve().target))
        found = repository.get(oid)
        while isinstance(found, pygit2.Tag):
            found = repository.get(found.target)
        if isinstance(found, pygit2.Commit):
            walker.push(found.id)
        elif isinstance(found, pygit2.Tree):
            yield found.id
        elif found is None:
            raise damaged(oid)
    for commit in walker:
        yield commit.tree_id


def _gather(repository: pygit2.Repository, top: pygit2.Oid, trees: set[pygit2.Oid], files: set[pygit2.Oid]) -> None:
    """Note the files of DVC below a directory; each directory is looked at once, however many commits have it."""
    left = [top]
    while left:
        oid = left.pop()
        if oid in trees:
            continue
        trees.add(oid)
        for entry in found_tree(repository, oid):
            name = entry.name or ""
            if entry.type == ObjectType.TREE:
                left.append(entry.id)
            elif entry.type == ObjectType.BLOB and (name.endswith(".dvc") or name == "dvc.lock"):
                files.add(entry.id)


def _content(repository: pygit2.Repository, oid: pygit2.Oid) -> bytes:
    try:
        _, size = repository.odb.read_header(oid)
        if size > LONGEST:
            raise errors.LimitExceeded(text("a .dvc file or dvc.lock in the history has %(size)s bytes", size=size))
        return bytes(repository.odb.read(oid)[1])
    except (KeyError, pygit2.GitError) as error:
        raise damaged(oid) from error
