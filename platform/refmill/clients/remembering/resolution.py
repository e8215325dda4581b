"""What a working copy's files said when they were last resolved, as long as every look at them gives the same again.

Resolving asks a tree of files some thousand small questions: what stands here, what does it hold, what lies in this
directory. All of them are written down with their answers; as long as the answers are the same, so is the result, and
neither DVC's parser nor its imports are needed.

The rule to keep: nothing is assumed about which files matter. Only what stages themselves write is left out (outputs,
dvc.lock, .gitignore): the result does not hang on it, and it changes with every run.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
import posixpath
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from refmill import errors
from refmill.clients import files, tagged
from refmill.clients.remembering import shapes
from refmill.formats import dvcignore, lockfile
from refmill.formats.hashing import md5_bytes
from refmill.model.pipelines import LockEntry, Pipeline
from refmill.ports.trees import Entry, Tree
from refmill.problems import Problem

_FORMAT = 3
_WRITTEN = frozenset({"dvc.lock", ".gitignore"})
POINTER = 1024
"""Bytes of the largest pointer of Git LFS (its specification)."""
_PARAMS = "params.yaml"
"""DVC reads it where it is there: an output of this name counts, although stages write it."""


@dataclass(frozen=True, slots=True)
class Resolution:
    """A project's pipeline and what is worth a warning. `files` are its dvc.yaml files."""

    pipeline: Pipeline
    problems: tuple[Problem, ...] = ()
    files: tuple[str, ...] = ()


@dataclass(slots=True)
class _Answers:
    """Questions by path, with their answers."""

    entries: dict[str, str] = field(default_factory=dict)
    contents: dict[str, str] = field(default_factory=dict)
    children: dict[str, list[list[str]]] = field(default_factory=dict)
    walks: dict[str, str] = field(default_factory=dict)
    targets: dict[str, str] = field(default_factory=dict)


class RecordingTree:
    """A tree that notes every question that is put to it."""

    def __init__(self, tree: Tree) -> None:
        self._tree = tree
        self.answers = _Answers()

    def entry(self, path: str) -> Entry | None:
        found = self._tree.entry(path)
        self.answers.entries[path] = _kind(found)
        return found

    def read(self, path: str, limit: int = 64 << 20) -> bytes:
        self.answers.contents[path] = ""
        data = self._tree.read(path, limit)
        self.answers.contents[path] = _oid(self._tree, path) or md5_bytes(data)
        return data

    def children(self, path: str) -> dict[str, Entry]:
        found = self._tree.children(path)
        self.answers.children[path] = _listed(found)
        return found

    def walk(self, path: str = "") -> Iterator[tuple[str, Entry]]:
        if oid := _oid(self._tree, path):
            self.answers.walks[path] = oid
            return self._tree.walk(path)
        found = list(self._tree.walk(path))
        self.answers.walks[path] = _walked(found)
        return iter(found)

    def target(self, path: str) -> str:
        self.answers.targets[path] = ""
        found = self._tree.target(path)
        self.answers.targets[path] = found
        return found

    def md5(self, path: str) -> tuple[str, int]:
        found = self._tree.md5(path)
        self.answers.contents[path] = found[0]
        return found

    def noted(self) -> dict[str, Any]:
        """All questions with their answers, nothing left out; for `same`."""
        answers = self.answers
        children = {path: _trimmed(names, path, set()) for path, names in answers.children.items()}
        return {
            "entries": answers.entries, "contents": answers.contents, "children": children, "walks": answers.walks,
            "targets": answers.targets, "ignored": {}, "outputs": [],
        }  # fmt: skip


class ResolutionMemory:
    """Keeps one resolution in `file`. `ignored` tells which paths git ignores, as the resolver was told."""

    def __init__(self, file: Path) -> None:
        self._file = file

    def recall(self, tree: Tree, ignored: Callable[[str], bool]) -> Resolution | None:
        """What was kept, with today's dvc.lock in it, if `tree` still gives the same answers; else None."""
        try:
            kept = json.loads(self._file.read_bytes())
            if kept["version"] != _version() or not same(kept, tree, ignored):
                return None
            body = tagged.loads(kept["resolution"])
            found = shapes.build(Resolution, body)
            lock = _lock(found.files, tree)
        except (OSError, ValueError, TypeError, KeyError, RecursionError, errors.RefmillError):
            return None
        return replace(found, pipeline=replace(found.pipeline, lock=lock))

    def keep(self, resolution: Resolution, tree: RecordingTree, asked: Mapping[str, bool]) -> None:
        """Note `resolution`, the answers of `tree` that made it, and what was said of paths that git may ignore.

        Versions of datasets come out of dvc.lock, which is not held against what was noted: such a project is not kept.
        """
        if any(stage.datasets for stage in resolution.pipeline.stages.values()):
            return
        outputs = {out.root for stage in resolution.pipeline.stages.values() for out in stage.outs}
        answers = tree.answers
        kept = {
            "version": _version(),
            "entries": {path: kind for path, kind in answers.entries.items() if not _is_written(path, outputs)},
            "contents": {path: md5 for path, md5 in answers.contents.items() if posixpath.basename(path) != "dvc.lock"},
            "children": {path: _trimmed(names, path, outputs) for path, names in answers.children.items()},
            "walks": answers.walks,
            "targets": answers.targets,
            "ignored": dict(asked),
            "outputs": sorted(outputs),
            "resolution": tagged.dumps(replace(resolution, pipeline=replace(resolution.pipeline, lock={}))),
        }
        try:
            self._file.parent.mkdir(parents=True, exist_ok=True)
            with files.replacing(self._file) as temporary:
                temporary.write_text(json.dumps(kept))
        except OSError:
            return  # a copy that may only be read is resolved each time


def same(kept: Mapping[str, Any], tree: Tree, ignored: Callable[[str], bool]) -> bool:
    """Whether every question has the answer that was noted; the cheap ones first. Raises what `tree` raises, and
    KeyError, TypeError and AttributeError for what nobody noted."""
    outputs = set(kept["outputs"])
    return (
        all(_kind(tree.entry(path)) == kind for path, kind in kept["entries"].items())
        and all(tree.target(path) == target for path, target in kept["targets"].items())
        and all(ignored(path) == answer for path, answer in kept["ignored"].items())
        and all(_content(tree, path, noted) == noted for path, noted in kept["contents"].items())
        and all(
            _trimmed(_listed(tree.children(path)), path, outputs) == noted for path, noted in kept["children"].items()
        )
        and all((_oid(tree, path) or _walked(tree.walk(path))) == noted for path, noted in kept["walks"].items())
    )


def _is_written(path: str, outputs: set[str]) -> bool:
    """Whether a stage writes what stands at `path`."""
    name = posixpath.basename(path)
    return name in _WRITTEN or (path in outputs and name != _PARAMS)


def _listed(children: Mapping[str, Entry]) -> list[list[str]]:
    return [[name, entry.kind] for name, entry in children.items()]


def _trimmed(names: list[list[str]], folder: str, outputs: set[str]) -> str:
    """What lies in a folder without what stages write, as a digest."""
    return _digest(item for item in names if not _is_written(posixpath.join(folder, item[0]), outputs))


def _walked(found: Iterable[tuple[str, Entry]]) -> str:
    return _digest([path, _kind(entry)] for path, entry in found)


def _digest(items: Iterable[list[str]]) -> str:
    return hashlib.sha256(json.dumps(list(items)).encode()).hexdigest()


def _kind(entry: Entry | None) -> str:
    """What the resolver asks of an entry. Of a commit's files that is also whether one may be a pointer of Git LFS."""
    if entry is None or not entry.oid:
        return "" if entry is None else entry.kind
    size = entry.size if entry.size <= POINTER else "large"
    return f"{entry.kind} {size} {entry.executable}"


def _oid(tree: Tree, path: str) -> str:
    """What git calls what stands at `path`, all below it included; "" where that is not known."""
    entry = tree.entry(path)
    return f"git:{entry.oid}" if entry is not None and entry.oid else ""


def _content(tree: Tree, path: str, noted: str) -> str:
    """What a file holds now, in the way in which it was noted."""
    if noted.startswith("git:"):
        return _oid(tree, path)
    try:
        return tree.md5(path)[0]
    except errors.RefmillError:
        return ""


def _lock(projects: Iterable[str], tree: Tree) -> dict[str, LockEntry]:
    """The entries of all dvc.lock files by address. Raises Invalid."""
    found: dict[str, LockEntry] = {}
    hidden = dvcignore.DvcIgnore(dvcignore.reader(tree.read))
    for project in projects:
        path = lockfile.path_for(project)
        if hidden(path):
            continue
        try:
            data = tree.read(path, lockfile.MAX_BYTES)
        except errors.NotFound:
            continue
        prefix = "" if project == "dvc.yaml" else f"{project}:"
        found |= {prefix + name: entry for name, entry in lockfile.parse(data, path).stages.items()}
    return found


def _version() -> str:
    """What the resolver is made of: its sources and DVC's version, as they are on this machine."""
    folder = Path(__file__).resolve().parents[2]
    parts = [f"{_FORMAT} {sys.version_info[:2]}"]
    for name in ("clients", "clients/resolver", "clients/remembering", "formats", "specs", "model", "plans"):
        with os.scandir(folder / name) as entries:
            parts += sorted(
                f"{name}/{entry.name} {entry.stat().st_mtime_ns}" for entry in entries if entry.name.endswith(".py")
            )
    dvc = importlib.util.find_spec("dvc")
    if dvc is not None and dvc.origin is not None:
        parts.append(f"{dvc.origin} {os.stat(Path(dvc.origin).with_name('_version.py')).st_mtime_ns}")
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()
