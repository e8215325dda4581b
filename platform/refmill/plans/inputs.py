"""What a stage reads, as hashes and values: from git, from .dvc files, from results of the stages above it."""

from __future__ import annotations

import bisect
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from refmill import errors
from refmill.formats import directories, gitignore, hashing, params
from refmill.formats.hashing import OLD, FileHash, md5_bytes, old_md5_bytes
from refmill.model.pipelines import LockEntry, ParamsDependency, Pipeline, Stage, by_path
from refmill.model.plans import MissingObject
from refmill.plans import links
from refmill.plans.gitfiles import GitFiles, listed
from refmill.ports.objects import Objects
from refmill.ports.trees import Tree
from refmill.texts import text


@dataclass(frozen=True, slots=True)
class Produced:
    """An output that stands at `root`: its hash (None while it is still to be made), who makes it, whether it lives
    in the cache (else git holds it once it is committed), and whether a .dvc file tracks it."""

    root: str
    hash: FileHash | None
    address: str
    cache: bool = True
    tracked: bool = False


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
    """Where inputs come from: one project's tree, its tracked data, and the results known so far.

    `before` is the tree without what a run writes into its .gitignore files, if that is another one; `around` is what
    lies around the project.
    """

    def __init__(
        self, pipeline: Pipeline, tree: Tree, objects: Objects, before: Tree | None = None,
        around: gitignore.Surroundings | None = None,
    ) -> None:  # fmt: skip
        self._tree = tree
        self._around = around
        self._before = before or tree
        self._objects = objects
        self._git = GitFiles(tree, self._linked)
        self._produced: dict[str, Produced] = {}
        self._order = {address: number for number, address in enumerate(pipeline.order)}
        self._lock = pipeline.lock
        self._listings: dict[str, directories.Listing] = {}
        self._links: dict[str, tuple[str, ...]] = {}
        self._old: dict[str, str] = {}
        self._hashes: dict[str, FileHash | None] = {}
        for data in pipeline.data.values():
            for out in data.outs:
                known = FileHash(out.md5, out.size, out.nfiles, out.isexec)
                self._produced[out.root] = Produced(out.root, known, data.address, tracked=True)
        for stage in pipeline.stages.values():
            for stage_out in stage.outs:
                self._produced[stage_out.root] = Produced(stage_out.root, None, stage.address, stage_out.cache)
        self._place = {path: number for number, path in enumerate(self._produced)}
        self._sorted = sorted(self._produced)

    def learn(self, stage: Stage, entry: LockEntry) -> None:
        """A stage's result is known: those below it can be looked at."""
        recorded = by_path(entry)
        for out in stage.outs:
            if item := recorded.get(out.path):
                self._produced[out.root] = Produced(out.root, FileHash.of(item), stage.address, out.cache)

    def inputs(self, stage: Stage) -> Inputs:
        """All that `stage` reads, as far as it can be known now."""
        deps: dict[str, FileHash] = {}
        unknown: list[str] = []
        absent: list[str] = []
        objects: list[MissingObject] = []
        recorded = by_path(self._lock.get(stage.address), "deps")
        for dependency in stage.deps:
            root = self._real(dependency.root)
            if root is None:
                absent.append(dependency.root)
                continue
            makers = list(self._makers(root))
            needed = [*makers, *self._borrowed(root)]
            if any(maker.hash is None for maker in needed):
                unknown.append(dependency.root)
                continue
            objects += self._stored(needed)
            found = self._hash(root, makers)
            if found is None and self._lacking(makers):
                continue  # nobody can say what is in a directory whose listing is still to come
            if found is None:
                absent.append(dependency.root)
            else:
                deps[dependency.root] = self._as_recorded(root, makers, found, recorded.get(dependency.path))
        for item in stage.params:
            objects += self._stored(filter(None, [self._above(self._real(item.root) or item.root)]))
        values, late, without = self._params(stage.params)
        return Inputs(deps, values, (*unknown, *late), (*absent, *without), tuple(objects))

    def _as_recorded(
        self, root: str, makers: list[Produced], found: FileHash, item: Mapping[str, Any] | None
    ) -> FileHash:
        """`found`, by the name that DVC 2 gave it if `item` of dvc.lock does so: DVC keeps to that for what has not
        changed (dvc.output.Output.update_legacy_hash_name)."""
        name = hashing.former(item)
        if not name or name.endswith(".dir") != found.is_directory:
            return found
        same = (item is not None and found.recorded_by(item)) or self._former(root, makers, found) == name
        return replace(found, md5=name, old=name) if same else found

    def _former(self, root: str, makers: list[Produced], found: FileHash) -> str:
        """The name that DVC 2 would give to what lies at `root`; "" if nobody can say."""
        if not makers:
            return self._git.former(root)
        try:
            if not found.is_directory:
                return OLD + old_md5_bytes(self._content(root))
            listing = self._listing(found.md5)
            files = {entry.relpath: self._former_file(entry.md5) for entry in listing.entries} if listing else {}
        except (errors.NotFound, errors.LimitExceeded):
            return ""
        return OLD + directories.Listing.of(files.items()).name if files else ""

    def _former_file(self, md5: str) -> str:
        known = self._old.get(md5)
        return known.removeprefix(OLD) if known else old_md5_bytes(self._objects.read(md5))

    def _real(self, root: str) -> str | None:
        """Where `root` lies if links are followed, None for one that leads out; outputs are where they are, links or
        not (DVC links them into its cache)."""
        if next(self._makers(root), None) is not None:
            return root
        try:
            return links.real(self._tree, root)
        except errors.WrongUse:
            return None

    def _borrowed(self, root: str) -> tuple[Produced, ...]:
        """Outputs outside of the directory `root` that links of git in it lead to."""
        if self._above(root) is not None:
            return ()
        if root not in self._links:
            targets = map(self._real, self._git.links(root))
            self._links[root] = tuple(maker.root for target in targets if target for maker in self._makers(target))
        return tuple(self._produced[path] for path in self._links[root])

    def _linked(self, path: str) -> FileHash | None:
        """The file that the link `path` in a directory leads to; None for other things, which DVC does not follow."""
        real = self._real(path)
        if real is None:
            return None
        makers = list(self._makers(real))
        entry = None if makers else self._tree.entry(real)
        if not makers and (entry is None or entry.kind != "file"):
            return None
        if makers and self._above(real) is None:
            return None  # a directory in which outputs lie
        found = self._hash(real, makers)
        return None if found is None or found.is_directory else found

    def _makers(self, root: str) -> Iterator[Produced]:
        """The outputs that `root` is, lies in, or contains."""
        if maker := self._above(root):
            yield maker
            return
        if root in ("", "."):
            yield from self._produced.values()
            return
        inside = root + "/"
        first = last = bisect.bisect_left(self._sorted, inside)
        while last < len(self._sorted) and self._sorted[last].startswith(inside):
            last += 1
        for path in sorted(self._sorted[first:last], key=self._place.__getitem__):
            yield self._produced[path]

    def _above(self, root: str) -> Produced | None:
        """The output that `root` is or lies in."""
        parts = root.split("/")
        above = ("/".join(parts[:depth]) for depth in range(len(parts), 0, -1))
        return next((self._produced[path] for path in above if path in self._produced), None)

    def _hash(self, root: str, makers: list[Produced]) -> FileHash | None:
        if makers and makers[0].root == root:
            found = self._seen(makers[0])
            return None if found is None else self._measured(self._today(found))
        if makers and not makers[0].root.startswith(root + "/"):
            return self._inside(root, makers[0])
        if makers:
            return self._mixed(root, makers)
        if root not in self._hashes:
            self._hashes[root] = self._git.hash(root)
        return self._hashes[root]

    def _seen(self, maker: Produced) -> FileHash | None:
        """What DVC finds where `maker` is: tracked directories may hold files that .dvcignore hides from stages."""
        found = maker.hash
        if found is None or not (found.is_directory and maker.tracked and self._git.ignores.speaks_of(maker.root)):
            return found
        listing = self._listing(found.md5)
        if listing is None:
            return found
        seen = self._visible(listing, maker.root)
        return found if seen == listing else self._whole(seen)

    def _today(self, found: FileHash) -> FileHash:
        """What DVC 3 calls an object of DVC 2; the same if it is none, or is not here yet."""
        if not found.md5.startswith(OLD):
            return found
        if found.is_directory:
            listing = self._listing(found.md5)
            return replace(found, md5=listing.name, old=found.md5) if listing else found
        md5 = self._objects.today(found.md5)
        size = self._objects.sizes([found.md5]).get(found.md5, found.size)  # of whichever line ends are kept
        return replace(found, md5=md5, size=size, old=found.md5) if md5 else found

    def _measured(self, found: FileHash) -> FileHash:
        """With the size that DVC counts where it reads the data: .dvc files of DVC 1 do not tell it."""
        name = found.old or found.md5
        if found.size is not None and (found.nfiles is not None or not found.is_directory):
            return found
        if not found.is_directory:
            return replace(found, size=self._objects.sizes([name]).get(name))
        listing = self._listing(name)
        whole = self._whole(listing) if listing else found
        return replace(found, size=whole.size, nfiles=whole.nfiles)

    def _sizes(self, md5s: Collection[str]) -> dict[str, int]:
        """Bytes of files of listings; those that only DVC 2's names lead to are looked for under these."""
        found = self._objects.sizes(md5s)
        others = {md5: self._old[md5] for md5 in md5s if md5 not in found and md5 in self._old}
        sizes = self._objects.sizes(others.values()) if others else {}
        return found | {md5: sizes[name] for md5, name in others.items() if name in sizes}

    def _visible(self, listing: directories.Listing, root: str) -> directories.Listing:
        if not self._git.ignores.speaks_of(root):
            return listing
        entries = (entry for entry in listing.entries if not self._git.ignores(f"{root}/{entry.relpath}"))
        return directories.Listing(tuple(entries))

    def _whole(self, listing: directories.Listing) -> FileHash:
        self._listings.setdefault(listing.name, listing)
        sizes = self._sizes({entry.md5 for entry in listing.entries})
        known = all(entry.md5 in sizes for entry in listing.entries)
        size = sum(sizes[entry.md5] for entry in listing.entries) if known else None
        return FileHash(listing.name, size, len(listing.entries))

    def _inside(self, root: str, maker: Produced) -> FileHash | None:
        """A path inside a directory output: a file of its listing, or the listing of a sub-directory."""
        if maker.hash is None or not maker.hash.md5.endswith(".dir"):
            return None
        if self._in_git(maker):
            return self._git.hash(root)
        below = root[len(maker.root) + 1 :]
        listing = self._listing(maker.hash.md5)
        if listing is None:
            return None
        for entry in listing.entries:
            if entry.relpath == below:
                return FileHash(entry.md5, self._sizes({entry.md5}).get(entry.md5))
        part = listing.below(below)
        return self._whole(self._visible(part, root)) if part.entries else None

    def _stored(self, makers: Iterable[Produced]) -> list[MissingObject]:
        """What of the inputs comes from the object store."""
        return [
            MissingObject(maker.hash.md5, maker.root, maker.hash.size)
            for maker in makers
            if maker.hash and not self._in_git(maker)
        ]

    def _lacking(self, makers: Iterable[Produced]) -> bool:
        """Whether an object of an output is still to come."""
        return any(maker.hash is not None and not self._objects.present([maker.hash.md5]) for maker in makers)

    def _in_git(self, made: Produced) -> bool:
        """Whether the commit itself holds this very output, as it may a `cache: false` one; others are not hashed."""
        if made.cache or made.hash is None:
            return False
        found = self._git.hash(made.root)
        return found is not None and found.md5 == made.hash.md5

    def _mixed(self, root: str, makers: list[Produced]) -> FileHash | None:
        """A directory of git that outputs lie in: one listing over both, and the .gitignore lines of these outputs,
        which DVC has written before a stage reads the directory."""
        found = self._git.files(root)
        for path, data in self._ignoring(makers).items():
            if not self._git.hidden(path):
                found[path[len(root) + 1 :]] = (md5_bytes(data), len(data))
        size = 0
        for maker in makers:
            if maker.hash is None:
                return None
            below = maker.root[len(root) + 1 :]
            seen = self._measured(self._seen(maker) or maker.hash)
            size += seen.size or 0
            if not maker.hash.is_directory:
                if not self._git.ignores(maker.root):
                    found[below] = (self._today(maker.hash).md5, 0)
                continue
            listing = self._listing(maker.hash.md5)
            if listing is None:
                return None
            found = {path: item for path, item in found.items() if not path.startswith(f"{below}/")}
            listing = self._visible(listing, maker.root)
            found |= {f"{below}/{entry.relpath}": (entry.md5, 0) for entry in listing.entries}
        return listed(found, size)

    def _ignoring(self, makers: Iterable[Produced]) -> dict[str, bytes]:
        def read(path: str) -> bytes | None:
            try:
                return self._before.read(path)
            except errors.NotFound:
                return None

        mine = [maker for maker in makers if maker.cache and maker.hash and not maker.tracked]
        mine.sort(key=lambda maker: self._order.get(maker.address, 0))
        outputs = [(maker.root, maker.hash.is_directory) for maker in mine if maker.hash]
        return gitignore.update(outputs, read, self._around)

    def _listing(self, md5: str) -> directories.Listing | None:
        if md5 not in self._listings:
            try:
                listing = directories.parse(self._objects.read(md5), md5)
            except errors.NotFound:
                return None
            if md5.startswith(OLD):
                names = {entry.relpath: self._objects.today(entry.md5) for entry in listing.entries}
                known = {path: name for path, name in names.items() if name}
                if len(known) < len(names):
                    return None
                self._old |= {known[entry.relpath]: entry.md5 for entry in listing.entries}
                listing = directories.Listing.of(known.items())
            self._listings[md5] = listing
        return self._listings[md5]

    def _content(self, root: str) -> bytes:
        """A parameter file: from git, or from the store if a stage wrote it and it is not committed as written."""
        real = self._real(root)
        if real is None:
            raise errors.NotFound(text("%(path)s does not exist", path=root))
        made = self._above(real)
        if made is None or made.hash is None or self._in_git(made):
            return self._tree.read(real)
        if made.root == real:
            return self._objects.read(made.hash.md5)
        found = self._inside(real, made)
        if found is None:
            raise errors.NotFound(text("%(path)s does not exist", path=root))
        here = self._objects.present([found.md5])
        return self._objects.read(found.md5 if here else self._old.get(found.md5, found.md5))

    def _params(
        self, wanted: Iterable[ParamsDependency]
    ) -> tuple[dict[str, Mapping[str, Any]], tuple[str, ...], tuple[str, ...]]:
        values: dict[str, Mapping[str, Any]] = {}
        late: list[str] = []
        absent: list[str] = []
        for item in wanted:
            made = self._above(self._real(item.root) or item.root)
            if made is not None and made.hash is None:
                late.append(item.root)
                continue
            try:
                data = self._content(item.root)
            except errors.NotFound:
                if not self._lacking(filter(None, [made])):
                    absent.append(item.root)
                continue
            chosen = params.recordable(params.select(params.load(data, item.root), item.keys), item.root)
            values[item.root] = chosen
            absent += [f"{item.root}:{key}" for key in item.keys if key not in chosen]
        return values, tuple(late), tuple(absent)
