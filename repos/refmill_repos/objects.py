"""Opening a repository with pygit2, and finding commits in it without ever parsing a revision expression.

`git rev-parse` syntax (`@{…}`, `:/text`, `~9999`) is an interface for people at their own keyboard: here a revision is
a sha, a full ref, a branch, a tag or HEAD, and nothing else.
"""

from __future__ import annotations

import re
from pathlib import Path

import pygit2
from pygit2.enums import ConfigLevel, Option

from refmill import errors
from refmill.texts import text
from refmill_repos import names

MAX_TREE, MAX_COMMIT = 64 << 20, 4 << 20
"""Bytes of a directory (a million files and more), and of a commit or tag."""
_TAGS = 20
"""Tags of tags that are followed."""
_SHORT = re.compile(r"[0-9a-f]{7,39}", re.ASCII)


def _settle() -> None:
    """Process-wide switches of libgit2: no settings from outside, our folders whoever owns them, durable writes."""
    for level in (ConfigLevel.GLOBAL, ConfigLevel.XDG, ConfigLevel.SYSTEM, ConfigLevel.PROGRAMDATA):
        pygit2.settings.search_path[level] = ""
    pygit2.option(Option.SET_OWNER_VALIDATION, False)
    pygit2.option(Option.ENABLE_FSYNC_GITDIR, True)


_settle()


def opened(path: Path, quarantine: Path | None = None) -> pygit2.Repository:
    """The repository at `path`, which also sees the objects in `quarantine`. Raises NotFound.

    Not to be shared between threads; opening takes a tenth of a millisecond.
    """
    try:
        repository = pygit2.Repository(str(path))
    except (pygit2.GitError, KeyError) as error:
        raise errors.NotFound(text("there is no repository here")) from error
    if quarantine is not None:
        try:
            repository.odb.add_disk_alternate(str(quarantine))
        except (pygit2.GitError, OSError) as error:
            raise errors.NotFound(text("the pushed objects are not there any more")) from error
    return repository


def found_commit(repository: pygit2.Repository, revision: str) -> pygit2.Commit:
    """The commit that a sha (40 digits, or 7 and more), full ref, branch, tag or HEAD names. Raises NotFound, and
    LimitExceeded where it is too large to be read."""
    commit = _by_sha(repository, revision) if names.SHA.fullmatch(revision) else _by_ref(repository, revision)
    if commit is None and _SHORT.fullmatch(revision):
        commit = _by_prefix(repository, revision)
    if commit is None:
        raise errors.NotFound(text("there is no commit “%(revision)s”", revision=names.shown(revision, 120)))
    return commit


def _by_sha(repository: pygit2.Repository, sha: str) -> pygit2.Commit | None:
    try:
        return _peeled(repository, pygit2.Oid(hex=sha))
    except (pygit2.GitError, ValueError) as error:
        raise damaged(sha) from error


def _by_prefix(repository: pygit2.Repository, prefix: str) -> pygit2.Commit | None:
    try:
        return _by_sha(repository, str(repository.expand_id(prefix)))
    except (pygit2.GitError, ValueError, KeyError):  # no object begins so, or several do
        return None


def _by_ref(repository: pygit2.Repository, revision: str) -> pygit2.Commit | None:
    """By full name, as HEAD, as a branch, as a tag, in this order."""
    candidates = [revision] if revision.startswith("refs/") else [f"refs/heads/{revision}", f"refs/tags/{revision}"]
    if revision == "HEAD":
        try:
            candidates = [] if repository.head_is_unborn else [repository.head.name]
        except pygit2.GitError:
            return None
    for name in candidates:
        if names.ref_fault(name):
            continue
        try:
            return _peeled(repository, pygit2.Oid(hex=str(repository.references[name].resolve().target)))
        except (KeyError, ValueError, pygit2.GitError):
            continue
    return None


def _peeled(repository: pygit2.Repository, oid: pygit2.Oid) -> pygit2.Commit | None:
    """The commit that `oid` is, or that a tag (of a tag) names; None for a file, a directory, or nothing.

    Raises LimitExceeded for what is too large to be read; a file of gigabytes is not read at all.
    """
    for _ in range(_TAGS):
        try:
            kind, _ = repository.odb.read_header(oid)
        except KeyError:
            return None
        if kind not in (pygit2.enums.ObjectType.COMMIT, pygit2.enums.ObjectType.TAG):
            return None
        _check_size(repository, oid, MAX_COMMIT)
        found = repository.get(oid)
        if isinstance(found, pygit2.Commit):
            return found
        if not isinstance(found, pygit2.Tag):
            return None
        oid = found.target
    return None


def found_tree(repository: pygit2.Repository, oid: pygit2.Oid) -> pygit2.Tree:
    """The directory `oid`. Raises Damaged where there is none, LimitExceeded above `MAX_TREE` bytes."""
    _check_size(repository, oid, MAX_TREE)
    tree = repository.get(oid)
    if not isinstance(tree, pygit2.Tree):
        raise damaged(oid)
    return tree


def _check_size(repository: pygit2.Repository, oid: pygit2.Oid, limit: int) -> None:
    """Of a directory, commit or tag, which are held in memory whole; a delta makes gigabytes of a few bytes."""
    try:
        _, size = repository.odb.read_header(oid)
    except (KeyError, pygit2.GitError) as error:
        raise damaged(oid) from error
    if size > limit:
        raise errors.LimitExceeded(
            text(
                "the git object %(oid)s has %(size)s bytes; at most %(limit)s are read",
                oid=str(oid),
                size=size,
                limit=limit,
            )
        )


def damaged(oid: object) -> errors.Damaged:
    """The error for an object that should be there and is not, or cannot be read."""
    return errors.Damaged(text("the git object %(oid)s cannot be read", oid=str(oid)))
