"""What a stage reads, as hashes and values: from git, from .dvc files, from results of the stages above it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from refmill import errors
from refmill.formats import directories, params
from refmill.formats.hashing import FileHash
from refmill.model.pipelines import LockEntry, ParamsDependency, Pipeline, Stage
from refmill.model.plans import MissingObject
from refmill.ports.objects import Objects
from refmill.ports.trees import Tree


@dataclass(frozen=True, slots=True)
class Produced:
    """An output that stands at `root`: its hash (None while it is still to be made), who makes it, and whether it lives
    in the cache (else git holds it once it is committed)."""

    root: str
    hash: FileHash | None
    address: str
    cache: bool = True


@dataclass(frozen=True, slots=True)
class Inputs:
    """The inputs of one stage by path from the root. `unknown` are paths that are still to be made by stages above;
    `absent` are paths that nothing provides; `objects` are the inputs that come from the object store."""

    deps: Mapping[str, FileHash] = field(default_factory=dict)
    params: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    unknown: tuple[str, ...] = ()
    absent: tuple[str, ...] = ()
    objects: tuple[MissingObject, ...] = ()


class Sources:
    """Where inputs come from: one project's tree, its tracked data, and the results known so far."""

    def __init__(self, pipeline: Pipeline, tree: Tree, objects: Objects) -> None:
        self._tree = tree
        self._objects = objects
        self._produced: dict[str, Produced] = {}
        self._listings: dict[str, directories.Listing] = {}
        self._hashes: dict[str, FileHash | None] = {}
        for data in pipeline.data.values():
            for out in data.outs:
                known = FileHash(out.md5, out.size, out.nfiles, out.isexec)
                self._produced[out.root] = Produced(out.root, known, data.address)
        for stage in pipeline.stages.values():
            for stage_out in stage.outs:
                self._produced[stage_out.root] = Produced(stage_out.root, None, stage.address, stage_out.cache)

    def learn(self, stage: Stage, entry: LockEntry) -> None:
        """A stage's result is known: those below it can be looked at."""
        by_path = {out["path"]: out for out in entry.get("outs", ())}
        for out in stage.outs:
            if recorded := by_path.get(out.path):
                self._produced[out.root] = Produced(out.root, FileHash.of(recorded), stage.address, out.cache)

    def inputs(self, stage: Stage) -> Inputs:
        """All that `stage` reads, as far as it can be known now."""
        deps: dict[str, FileHash] = {}
        unknown: list[str] = []
        absent: list[str] = []
        objects: list[MissingObject] = []
        for dependency in stage.deps:
            makers = list(self._makers(dependency.root))
            if any(maker.hash is None for maker in makers):
                unknown.append(dependency.root)
                continue
            objects += [
                MissingObject(maker.hash.md5, maker.root, maker.hash.size)
                for maker in makers
                if maker.hash and not self._in_git(maker)
            ]
            found = self._hash(dependency.root, makers)
            if found is None:
                absent.append(dependency.root)
            else:
                deps[dependency.root] = found
        values, late, without = self._params(stage.params)
        return Inputs(deps, values, (*unknown, *late), (*absent, *without), tuple(objects))

    def _makers(self, root: str) -> Iterator[Produced]:
        """The outputs that `root` is, lies in, or contains."""
        parts = root.split("/")
        for depth in range(len(parts), 0, -1):
            if maker := self._produced.get("/".join(parts[:depth])):
                yield maker
                return
        inside = "" if root in ("", ".") else root + "/"
        yield from (maker for path, maker in self._produced.items() if path.startswith(inside))

    def _hash(self, root: str, makers: list[Produced]) -> FileHash | None:
        if makers and makers[0].root == root:
            return makers[0].hash
        if makers and not makers[0].root.startswith(root + "/"):
            return self._inside(root, makers[0])
        if makers:
            return self._mixed(root, makers)
        if root not in self._hashes:
            self._hashes[root] = self._from_git(root)
        return self._hashes[root]

    def _inside(self, root: str, maker: Produced) -> FileHash | None:
        """A path inside a directory output: a file of its listing, or the listing of a sub-directory."""
        if maker.hash is None or not maker.hash.md5.endswith(".dir"):
            return None
        below = root[len(maker.root) + 1 :]
        listing = self._listing(maker.hash.md5)
        if listing is None:
            return None
        for entry in listing.entries:
            if entry.relpath == below:
                return FileHash(entry.md5, self._objects.sizes([entry.md5]).get(entry.md5))
        part = listing.below(below)
        if not part.entries:
            return None
        sizes = self._objects.sizes({entry.md5 for entry in part.entries})
        whole = all(entry.md5 in sizes for entry in part.entries)
        size = sum(sizes[entry.md5] for entry in part.entries) if whole else None
        return FileHash(part.name, size, len(part.entries))

    def _in_git(self, made: Produced) -> bool:
        """Whether the commit itself holds this very file, as it may a `cache: false` output; others are not hashed."""
        if made.cache or made.hash is None:
            return False
        entry = self._tree.entry(made.root)
        return entry is not None and entry.kind == "file" and self._tree.md5(made.root)[0] == made.hash.md5

    def _mixed(self, root: str, makers: Iterable[Produced]) -> FileHash | None:
        """A directory of git that outputs lie in: one listing over both."""
        found, size = self._git_files(root)
        for maker in makers:
            if maker.hash is None:
                return None
            below = maker.root[len(root) + 1 :]
            size += maker.hash.size or 0
            if not maker.hash.md5.endswith(".dir"):
                found[below] = maker.hash.md5
                continue
            listing = self._listing(maker.hash.md5)
            if listing is None:
                return None
            found |= {f"{below}/{entry.relpath}": entry.md5 for entry in listing.entries}
        listing = directories.Listing.of(found.items())
        return FileHash(listing.name, size, len(listing.entries))

    def _from_git(self, root: str) -> FileHash | None:
        entry = self._tree.entry("" if root == "." else root)
        if entry is None or entry.kind in ("link", "submodule"):
            return None
        if entry.kind == "file":
            md5, size = self._tree.md5(root)
            return FileHash(md5, size, None, entry.executable)
        found, size = self._git_files(root)
        listing = directories.Listing.of(found.items())
        return FileHash(listing.name, size, len(listing.entries))

    def _git_files(self, root: str) -> tuple[dict[str, str], int]:
        """MD5 by path below `root` of the files that git holds there, and their size in bytes together."""
        found: dict[str, str] = {}
        total = 0
        start = "" if root == "." else root
        for path, entry in self._tree.walk(start):
            if entry.kind == "file" and not directories.is_ignored(path):
                md5, size = self._tree.md5(path)
                found[path[len(start) + 1 if start else 0 :]] = md5
                total += size
        return found, total

    def _listing(self, md5: str) -> directories.Listing | None:
        if md5 not in self._listings:
            try:
                self._listings[md5] = directories.parse(self._objects.read(md5))
            except errors.NotFound:
                return None
        return self._listings[md5]

    def _content(self, root: str) -> bytes:
        """A parameter file: from git, or from the store if a stage wrote it and it is not committed as written."""
        made = self._produced.get(root)
        if made is None or made.hash is None or self._in_git(made):
            return self._tree.read(root)
        return self._objects.read(made.hash.md5)

    def _params(
        self, wanted: Iterable[ParamsDependency]
    ) -> tuple[dict[str, Mapping[str, Any]], tuple[str, ...], tuple[str, ...]]:
        values: dict[str, Mapping[str, Any]] = {}
        late: list[str] = []
        absent: list[str] = []
        for item in wanted:
            made = self._produced.get(item.root)
            if made is not None and made.hash is None:
                late.append(item.root)
                continue
            try:
                data = self._content(item.root)
            except errors.NotFound:
                absent.append(item.root)
                continue
            chosen = params.select(params.load(data, item.root), item.keys)
            values[item.root] = chosen
            absent += [f"{item.root}:{key}" for key in item.keys if key not in chosen]
        return values, tuple(late), tuple(absent)
