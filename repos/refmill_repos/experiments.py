"""`ports.experiments.Experiments` on a folder of bare repositories.

The rule to keep: a repository may hold ten thousand experiments of any content. Each file is read once, its values are
remembered by its object id, and what takes too long is left for the next time.
"""

from __future__ import annotations

import posixpath
import re
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import pygit2

from refmill import errors
from refmill.formats import hashing, lockfile, measures
from refmill.formats.measures import Declared, Value
from refmill.ports.experiments import Experiment, Listing, Values
from refmill.ports.objects import Objects
from refmill.ports.trees import Tree
from refmill.texts import text
from refmill_repos import names
from refmill_repos.memos import Memo
from refmill_repos.objects import found_commit, found_tree, opened
from refmill_repos.refs import plain
from refmill_repos.trees import GitTree

LISTED = 500
"""Experiments of one listing."""
MAX_REFS = 20_000
"""Experiments that are sorted at all; beyond that, which of them are newest is not looked up."""
_REF = re.compile(r"refs/exps/([0-9a-f]{2})/([0-9a-f]{38})/([^/]+)", re.ASCII)
_FILE_LIMIT = 256 << 10
_LOCK_LIMIT = 4 << 20
_PROJECTS = 20
"""dvc.yaml files of one commit whose metrics are read."""
_FILES = 60
"""Metrics and parameter files of one commit."""
_FOLDERS = 2000
_DEPTH = 6

_values: Memo[tuple[str, str], Values] = Memo(4000)
"""Repository and commit → its values, as far as nothing was missing."""
_parsed: Memo[tuple[bytes, str], tuple[Mapping[str, Value] | None]] = Memo(4000)
"""Object and the file's name → the values in it; (None,) for what cannot be read."""
_declared: Memo[bytes, Declared] = Memo(1000)
_projects: Memo[bytes, tuple[str, ...]] = Memo(20_000)
"""Directory → the dvc.yaml files below it."""


class BareExperiments:
    """The experiments of `<root>/<repository id>.git`; `objects` gives a repository's store of data by its id."""

    def __init__(self, root: Path, objects: Callable[[str], Objects]) -> None:
        self._root = root
        self._objects = objects

    def list(self, repository_id: str) -> Listing:
        repository = opened(self._place(repository_id))
        found = sorted(_refs(repository), key=lambda item: (item[0], item[1].id.raw), reverse=True)
        baselines: dict[str, pygit2.Commit | None] = {}
        shown = [_experiment(repository, *item, baselines) for item in found[:LISTED]]
        return Listing(shown, len(found) - len(shown))

    def find(self, repository_id: str, name: str) -> Sequence[Experiment]:
        repository = opened(self._place(repository_id))
        found = [item for item in _refs(repository, name) if item[3] == name]
        found.sort(key=lambda item: (item[0], item[1].id.raw), reverse=True)
        return [_experiment(repository, *item, {}) for item in found[:LISTED]]

    def values(self, repository_id: str, shas: Iterable[str], *, seconds: float) -> Mapping[str, Values]:
        place, until = self._place(repository_id), time.monotonic() + seconds
        repository = opened(place)
        found: dict[str, Values] = {}
        for sha in shas:
            known = _values.get((repository_id, sha))
            if known is None:
                if time.monotonic() > until:
                    continue
                try:
                    known = self._read(repository_id, repository, sha)
                except errors.RefmillError:  # a baseline may not be here, or not yet
                    found[sha] = Values()
                    continue
                if not known.missing:
                    _values.put((repository_id, sha), known)
            found[sha] = known
        return found

    def _read(self, repository_id: str, repository: pygit2.Repository, sha: str) -> Values:
        files = _dvc_yamls(repository, found_commit(repository, sha).tree_id)
        reader = _Reader(repository_id, GitTree(Path(repository.path), sha), self._objects(repository_id))
        for file in files:
            reader.project(file)
        reader.params("params.yaml")
        return reader.found()

    def _place(self, repository_id: str) -> Path:
        place = self._root / f"{names.repository_id(repository_id)}.git"
        if not place.is_dir():
            raise errors.NotFound(text("there is no repository “%(id)s”", id=repository_id))
        return place


Found = tuple[int, pygit2.Commit, str, str]
"""Time, commit, the baseline's sha, name."""


def _refs(repository: pygit2.Repository, name: str = "") -> Iterator[Found]:
    """Every experiment, or those of a name; DVC's own scratch refs beside them have other forms."""
    ending = f"/{name}" if name else ""
    count = 0
    for raw in repository.raw_listall_references():
        ref = raw.decode("utf-8", "replace")
        match = _REF.fullmatch(ref) if ref.startswith("refs/exps/") and ref.endswith(ending) else None
        if match is None:
            continue
        count += 1
        if count > MAX_REFS:
            return
        try:
            commit = found_commit(repository, ref)
        except errors.RefmillError:  # it points to something else, or was deleted in this moment
            continue
        yield commit.commit_time, commit, match[1] + match[2], match[3]


def _experiment(
    repository: pygit2.Repository, when: int, commit: pygit2.Commit, sha: str, name: str,
    baselines: dict[str, pygit2.Commit | None],
) -> Experiment:  # fmt: skip
    if sha not in baselines:
        try:
            baselines[sha] = found_commit(repository, sha)
        except errors.RefmillError:
            baselines[sha] = None
    baseline = baselines[sha]
    return Experiment(name, sha, plain(commit), when, plain(baseline) if baseline else None)


def _dvc_yamls(repository: pygit2.Repository, root: pygit2.Oid) -> tuple[str, ...]:
    """The dvc.yaml files of a tree, the root's first; the root's alone where there are too many folders."""
    try:
        return _below(repository, root, 0, [_FOLDERS])
    except errors.LimitExceeded:
        return ("dvc.yaml",)


def _below(repository: pygit2.Repository, oid: pygit2.Oid, depth: int, budget: list[int]) -> tuple[str, ...]:
    """The files below one folder, remembered: from commit to commit only few folders are others."""
    key = oid.raw + bytes([depth])
    if (known := _projects.get(key)) is not None:
        return known
    budget[0] -= 1
    if budget[0] < 0:
        raise errors.LimitExceeded(text("the repository has too many files, or too deep folders"))
    found: list[str] = []
    for item in found_tree(repository, oid):
        name = (item.raw_name or b"").decode("utf-8", "replace")
        if item.filemode == pygit2.GIT_FILEMODE_TREE and depth < _DEPTH and not name.startswith("."):
            found += [f"{name}/{file}" for file in _below(repository, item.id, depth + 1, budget)]
        elif name == "dvc.yaml":
            found.insert(0, name)
    known = tuple(found[:_PROJECTS])
    _projects.put(key, known)
    return known


class _Reader:
    """Collects the values of one commit."""

    def __init__(self, repository_id: str, tree: Tree, objects: Objects) -> None:
        self._repository_id, self._tree, self._objects = repository_id, tree, objects
        self._metrics: dict[str, Mapping[str, Value]] = {}
        self._params: dict[str, Mapping[str, Value]] = {}
        self._unreadable: dict[str, None] = {}
        self._missing: dict[str, None] = {}
        self._left = _FILES

    def found(self) -> Values:
        """What was collected."""
        return Values(self._metrics, self._params, tuple(self._unreadable), tuple(self._missing))

    def project(self, file: str) -> None:
        """All that one dvc.yaml names."""
        try:
            named = self._declared(file)
        except (errors.Invalid, errors.LimitExceeded):
            self._unreadable[file] = None
            return
        folder = posixpath.dirname(file)
        for path in named.params:
            self.params(_inside(folder, path))
        unknown: list[measures.Metric] = []
        for metric in named.metrics:
            path = _inside(folder, metric.wdir, metric.path)
            if not (metric.fixed and self._from_git(self._metrics, path)):
                unknown.append(metric)
        if unknown:
            self._from_lock(file, folder, unknown)

    def params(self, path: str) -> None:
        """One parameter file, if it is there."""
        if path not in self._params:
            self._from_git(self._params, path)

    def _declared(self, file: str) -> Declared:
        entry = self._tree.entry(file)
        if entry is None or entry.kind != "file":
            return Declared()
        key = bytes.fromhex(entry.oid)
        known = _declared.get(key)
        if known is None:
            known = measures.declared(self._tree.read(file, _FILE_LIMIT), file)
            _declared.put(key, known)
        return known

    def _from_lock(self, file: str, folder: str, metrics: Sequence[measures.Metric]) -> None:
        """Metrics whose path is a template, or whose data DVC keeps beside git."""
        place = lockfile.path_for(file)
        try:
            stages = measures.locked(self._tree.read(place, _LOCK_LIMIT), place, metrics)
        except errors.NotFound:  # it never ran
            return
        except (errors.Invalid, errors.LimitExceeded):
            self._unreadable[place] = None
            return
        for metric in metrics:
            for below, md5 in measures.outputs(stages, metric):
                path = _inside(folder, below)
                if not self._from_git(self._metrics, path):
                    self._from_store(path, md5)

    def _from_git(self, into: dict[str, Mapping[str, Value]], path: str) -> bool:
        entry = self._tree.entry(path)
        if entry is None or entry.kind != "file":
            return False
        self._take(into, path, bytes.fromhex(entry.oid), lambda: self._tree.read(path, _FILE_LIMIT))
        return True

    def _from_store(self, path: str, md5: str) -> None:
        if not hashing.is_stored_name(md5) or md5.endswith(".dir"):
            return
        # A hash of somebody else's data gives nothing: the memory of one store is not another's.
        key = f"{self._repository_id}:{md5}".encode()
        self._take(self._metrics, path, key, lambda: self._objects.read(md5, _FILE_LIMIT))

    def _take(self, into: dict[str, Mapping[str, Value]], path: str, key: bytes, read: Callable[[], bytes]) -> None:
        """The values of one file, from memory where they are known."""
        self._left -= 1
        if self._left < 0:
            return
        name = posixpath.basename(path)
        known = _parsed.get((key, name))
        if known is None:
            try:
                known = (measures.values(read(), name),)
            except errors.NotFound:
                self._missing[path] = None
                return
            except errors.RefmillError:
                known = (None,)
            _parsed.put((key, name), known)
        if known[0] is None:
            self._unreadable[path] = None
        elif known[0]:
            into[path] = known[0]


def _inside(*parts: str) -> str:
    """A path from the repository's root. One that leaves it names nothing in a tree."""
    return posixpath.normpath(posixpath.join(*parts))
