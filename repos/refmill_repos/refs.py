"""Refs and history: `ports.repositories.Refs` on a folder of bare repositories."""

from __future__ import annotations

import itertools
import re
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import pygit2
from pygit2.enums import SortMode

from refmill import errors
from refmill.model.pushes import ZERO
from refmill.ports.repositories import Commit, NewCommit
from refmill.texts import Text, text
from refmill_repos import children, guards, names, writers
from refmill_repos.faults import faults
from refmill_repos.objects import found_commit, found_tree, opened

MAX_CHANGED = 50_000
"""Paths that a comparison names before it gives up: a repository can hold billions of paths in a few kB."""


class BareRefs:
    """The refs of `<root>/<repository id>.git`; each call opens the repository anew, so it may come from any thread."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def list(self, repository_id: str, prefix: str = "refs/heads/", limit: int | None = None) -> dict[str, str]:
        repository = self._open(repository_id)
        every = (raw.decode("utf-8", "replace") for raw in repository.raw_listall_references())
        tips = ((name, _tip(repository, name)) for name in sorted(name for name in every if name.startswith(prefix)))
        return dict(itertools.islice(((name, sha) for name, sha in tips if sha), limit))

    def tip(self, repository_id: str, ref: str) -> str | None:
        return _tip(self._open(repository_id), ref)

    def count(self, repository_id: str) -> int:
        return len(self._open(repository_id).raw_listall_references())

    def faults(self, repository_id: str, readable: Container[str] = ()) -> Sequence[Text]:
        return list(faults(self._open(repository_id), readable))

    def commit(self, repository_id: str, revision: str, *, quarantine: Path | None = None) -> Commit:
        return plain(found_commit(self._open(repository_id, quarantine), revision))

    def log(self, repository_id: str, revision: str, *, limit: int, skip: int = 0) -> Sequence[Commit]:
        repository = self._open(repository_id)
        # NONE is git's own order, found as one goes; any other one reads the whole history first.
        walker = repository.walk(found_commit(repository, revision).id, SortMode.NONE)
        return [plain(commit) for commit in itertools.islice(walker, skip, skip + limit)]

    def is_ancestor(self, repository_id: str, old: str, new: str, *, quarantine: Path | None = None) -> bool:
        repository = self._open(repository_id, quarantine)
        above, below = found_commit(repository, old), found_commit(repository, new)
        return above.id == below.id or repository.descendant_of(below.id, above.id)

    def changed_paths(
        self, repository_id: str, old: str | None, new: str, *, quarantine: Path | None = None
    ) -> Iterable[str]:
        """… Raises LimitExceeded above `MAX_CHANGED` paths."""
        repository = self._open(repository_id, quarantine)
        before = None if old in (None, ZERO) else found_commit(repository, old or "").tree_id
        after = found_commit(repository, new).tree_id
        for count, (path, _, _) in enumerate(differences(repository, before, after)):
            if count >= MAX_CHANGED:
                raise errors.LimitExceeded(text("more than %(limit)s files differ", limit=MAX_CHANGED))
            yield path

    def record(self, repository_id: str, commit: NewCommit, ref: str, expected: str | None) -> str:
        names.check_ref(ref)
        repository = self._open(repository_id)
        try:
            sha = _made(repository, commit)
        except (pygit2.GitError, OSError) as error:
            detail = str(error)
            raise errors.of_disk(detail) or errors.Damaged(
                text("the results cannot be written into git: %(detail)s", detail=detail[:200])
            ) from error
        try:
            self._update(repository_id, [f"update {ref}", sha, expected or ZERO])
        except children.GitFailed as error:
            # After a SIGKILL the same result is recorded again: then the ref stands where it should already.
            tip = _tip(self._open(repository_id), ref)
            if tip == sha:
                return sha
            # A run of which a damaged database had forgotten everything has made its result anew.
            if tip is not None and expected is None and _is_another(self._open(repository_id), tip, commit):
                return self.record(repository_id, commit, ref, tip)
            raise errors.Conflict(text("%(ref)s moved in the meantime", ref=names.shown(ref))) from error
        return sha

    def remove(self, repository_id: str, refs: Mapping[str, str]) -> None:
        parts = [part for ref, sha in refs.items() for part in (f"delete {names.check_ref(ref)}", sha)]
        try:
            self._update(repository_id, parts)
        except children.GitFailed as error:
            raise errors.Conflict(
                text("these refs could not be removed together: %(detail)s", detail=error.words[:200])
            ) from error

    def _update(self, repository_id: str, parts: Sequence[str]) -> None:
        """One transaction of refs, in the words of `git update-ref -z --stdin`. Raises GitFailed."""
        lines = b"".join(part.encode() + b"\0" for part in parts)
        place = self._root / f"{names.repository_id(repository_id)}.git"
        with guards.held(self._root) as fd, writers.writing(place) as own:
            children.run(
                ["update-ref", "--no-deref", "-z", "--stdin"], options=[f"--git-dir={place}"], stdin=lines,
                pass_fds=[fd, own],
            )  # fmt: skip

    def _open(self, repository_id: str, quarantine: Path | None = None) -> pygit2.Repository:
        return opened(self._root / f"{names.repository_id(repository_id)}.git", quarantine)


def plain(commit: pygit2.Commit) -> Commit:
    """A commit as plain data; what is not UTF-8 in it is replaced."""
    author = commit.author
    return Commit(
        sha=str(commit.id),
        parents=tuple(str(parent) for parent in commit.parent_ids),
        author=author.raw_name.decode("utf-8", "replace"),
        email=author.raw_email.decode("utf-8", "replace"),
        time=int(author.time),
        message=commit.raw_message.decode("utf-8", "replace"),
    )


Place = tuple[int, pygit2.Oid]
"""File mode and object."""


def differences(
    repository: pygit2.Repository, old: pygit2.Oid | None, new: pygit2.Oid | None
) -> Iterator[tuple[str, Place | None, Place | None]]:
    """Paths at which two trees differ, with what stood and stands there (None: nothing); directories are not named.

    Goes down only where object ids differ, and yields as it goes, so that the asker can stop.
    """
    pending: list[tuple[str, pygit2.Oid | None, pygit2.Oid | None]] = [("", old, new)]
    while pending:
        prefix, left, right = pending.pop()
        if left == right:
            continue
        before, after = _listing(repository, left), _listing(repository, right)
        for name in sorted(before.keys() | after.keys()):
            was, now = before.get(name), after.get(name)
            if was == now:
                continue
            (was_folder, was_file), (now_folder, now_file) = _parted(was), _parted(now)
            if was_folder or now_folder:
                pending.append((f"{prefix}{name}/", was_folder, now_folder))
            if was_file or now_file:
                yield f"{prefix}{name}", was_file, now_file


def _parted(place: Place | None) -> tuple[pygit2.Oid | None, Place | None]:
    """A place as (directory, None) or (None, file)."""
    if place is not None and place[0] == pygit2.GIT_FILEMODE_TREE:
        return place[1], None
    return None, place


def _listing(repository: pygit2.Repository, oid: pygit2.Oid | None) -> dict[str, Place]:
    if oid is None:
        return {}
    return {
        item.raw_name.decode("utf-8", "surrogateescape"): (int(item.filemode), item.id)
        for item in found_tree(repository, oid)
        if item.raw_name
    }


def _tip(repository: pygit2.Repository, ref: str) -> str | None:
    """The commit at a full ref, tags peeled; None where it names none that can be read."""
    try:
        return str(found_commit(repository, ref).id)
    except (errors.NotFound, errors.LimitExceeded):
        return None


def _is_another(repository: pygit2.Repository, sha: str, commit: NewCommit) -> bool:
    """Whether `sha` is the same result made another time: its message names the run, which nobody else's does."""
    found = found_commit(repository, sha)
    return found.message == commit.message and [str(parent) for parent in found.parent_ids] == [commit.parent]


def _made(repository: pygit2.Repository, commit: NewCommit) -> str:
    """Write blobs, trees and the commit; the same values give the same sha."""
    parent = found_commit(repository, commit.parent)
    index = pygit2.Index()
    index.read_tree(parent.tree)
    for path, data in sorted(commit.files.items()):
        _put(repository, index, path, data)
    signature = pygit2.Signature(commit.author, commit.email, commit.time, 0, "utf-8")
    tree = index.write_tree(repository)
    return str(repository.create_commit(None, signature, signature, commit.message, tree, [parent.id]))


def _put(repository: pygit2.Repository, index: pygit2.Index, path: str, data: bytes | None) -> None:
    parts = path.split("/")
    if any(part in ("", ".", "..") or part.lower() == ".git" for part in parts):
        raise errors.WrongUse(text("%(path)s cannot be a file in a repository", path=names.shown(path)))
    try:
        standing = index[path]
    except KeyError:
        standing = None
    if data is None:
        if standing is not None:
            index.remove(path)
        return
    for depth in range(1, len(parts)):  # a file or link where a directory is needed now gives way
        above = "/".join(parts[:depth])
        if above in index:
            index.remove(above)
    index.remove_directory(path)  # and a directory gives way to a file
    executable = standing is not None and standing.mode == pygit2.GIT_FILEMODE_BLOB_EXECUTABLE
    mode = pygit2.enums.FileMode.BLOB_EXECUTABLE if executable else pygit2.enums.FileMode.BLOB
    index.add(pygit2.IndexEntry(path, repository.create_blob(data), mode))


def _escaped(path: str) -> str:
    """`path` as a pathspec that means just itself."""
    return re.sub(r"([*?\[\]\\!])", r"\\\1", path)
