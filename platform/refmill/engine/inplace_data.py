"""Data tracked by .dvc files in a working copy, before a run reads them: restored where they lack, adopted where they
were changed, as `dvc repro` does it ("Verifying data sources in stage …")."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from refmill import errors
from refmill.engine import attempts
from refmill.formats import directories, dvcfile, dvcignore
from refmill.formats.directories import Hasher
from refmill.formats.hashing import OLD, FileHash, old_md5
from refmill.model.pipelines import DataFile, DataOutput, LockEntry, Output, Pipeline
from refmill.plans.decide import absent_objects
from refmill.plans.outputs import restore_output, store_output
from refmill.ports.objects import Objects
from refmill.texts import text


class CopyObjects:
    """The cache of a working copy, and beside it what lies in the copy itself: a stage can read that as well."""

    def __init__(self, objects: Objects) -> None:
        self._objects = objects
        self._sizes: dict[str, int] = {}
        self._listings: dict[str, bytes] = {}
        self._today: dict[str, str] = {}

    def note(self, found: directories.Directory | None, md5: str, size: int) -> None:
        """A file or directory lies in the working copy."""
        self._sizes[md5] = size
        if found is not None:
            self._listings[md5] = found.listing.to_bytes()
            self._sizes |= {file.md5: file.size or 0 for file in found.files.values()}

    def rename(self, old: str, md5: str, listing: directories.Listing | None, names: Mapping[str, str]) -> None:
        """What lies here as `md5` was tracked as `old` by DVC 2; of a directory, its `listing` then, and today's MD5 of
        each file by its name in it."""
        if listing is None:
            names = {old: md5}
        else:
            self._listings[old] = listing.to_bytes()
        self._sizes |= {name: self._sizes[today] for name, today in {**names, old: md5}.items()}
        self._today |= names

    def today(self, name: str) -> str | None:
        return self._today.get(name) or self._objects.today(name)

    def present(self, md5s: Iterable[str]) -> set[str]:
        asked = set(md5s)
        here = asked & self._sizes.keys()
        return here | self._objects.present(asked - here)

    def sizes(self, md5s: Iterable[str]) -> dict[str, int]:
        asked = set(md5s)
        here = {md5: self._sizes[md5] for md5 in asked & self._sizes.keys()}
        return here | self._objects.sizes(asked - here.keys())

    def read(self, md5: str, limit: int = 256 << 20) -> bytes:
        return self._listings[md5] if md5 in self._listings else self._objects.read(md5, limit)

    def write(self, data: bytes, suffix: str = "") -> str:
        return self._objects.write(data, suffix)

    def put(self, source: Path, md5: str, *, move: bool = False) -> None:
        self._objects.put(source, md5, move=move)

    def get(self, md5: str, target: Path, *, link: bool = False, executable: bool = False) -> None:
        self._objects.get(md5, target, link=link, executable=executable)

    def fetch(self, md5s: Iterable[str]) -> None:
        self._objects.fetch(md5s)

    def put_all(self, files: Mapping[str, Path], *, move: bool = False) -> None:
        self._objects.put_all(files, move=move)


@dataclass(frozen=True, slots=True)
class DataSources:
    """The tracked data of a working copy. `objects` is the cache, to which `seen` and `settled` add what lies here;
    `written` are the .dvc files that `settled` has changed."""

    root: Path
    hasher: Hasher
    cache: Objects
    ignores: dvcignore.Ignores = dvcignore.nothing
    objects: CopyObjects = field(init=False)
    written: list[str] = field(init=False, default_factory=list)

    def __post_init__(self) -> None:
        object.__setattr__(self, "objects", CopyObjects(self.cache))

    def seen(self, pipeline: Pipeline, wanted: Collection[str]) -> Pipeline:
        """`pipeline` with the data of the .dvc files `wanted` as they lie there now; what lacks stays as tracked."""
        data = {address: self._seen(item) if address in wanted else item for address, item in pipeline.data.items()}
        return replace(pipeline, data=data)

    def settled(self, pipeline: Pipeline, wanted: Collection[str]) -> Pipeline:
        """The same, and made so: changed data go into the cache and their .dvc file tells the new hash; data that lack
        here are restored from the cache, and data that the cache lacks are put there. Raises Conflict for imported
        data that were changed here."""
        now = self.seen(pipeline, wanted)
        for address in wanted:
            before, after = pipeline.data[address], now.data[address]
            if before != after:
                self._adopt(before, after)
            for out in after.outs:
                path = self.root / out.root
                lacks = out.cache and bool(absent_objects([out.md5], self.cache))
                if lacks and path.exists() and not out.md5.startswith(OLD):
                    store_output(path, self.cache, hasher=self.hasher, root=out.root, ignores=self.ignores)
                elif out.cache and not lacks and not path.exists():
                    restore_output(FileHash(out.md5, None, isexec=out.isexec).item(out.path), path, self.cache)
        return now

    def beside(self, pipeline: Pipeline, wanted: Collection[str]) -> dict[str, LockEntry]:
        """The outputs, as they lie here, of stages that are not `wanted` themselves and whose outputs these read: by
        address, as entries of a lock."""
        above = {other for address in wanted for other in pipeline.upstream.get(address, ())}
        return {
            address: {"outs": [found for out in pipeline.stages[address].outs if (found := self._item(out))]}
            for address in above.difference(wanted)
            if address in pipeline.stages
        }

    def _item(self, out: Output) -> dict[str, Any] | None:
        path = self.root / out.root
        return self._hash(out.root)[0].item(out.path) if path.exists() else None

    def _hash(self, root: str) -> tuple[FileHash, directories.Directory | None]:
        """What lies at `root`, which can be read from now on."""
        path = self.root / root
        directory = (
            directories.hash_directory(path, hasher=self.hasher, root=root, ignores=self.ignores)
            if path.is_dir()
            else None
        )
        found = directory.hash if directory else self.hasher(path)
        self.objects.note(directory, found.md5, found.size or 0)
        return found, directory

    def _is_old(self, out: DataOutput, found: FileHash, directory: directories.Directory | None) -> bool:
        """Whether what lies here is what DVC 2 tracked, whose hashes leave line ends out."""
        if directory is None:
            name = out.md5.removeprefix(OLD)
            same = name == found.md5 or name == old_md5(self.root / out.root)
            names: dict[str, str] = {}
            listing = None
        else:
            olds = {path: file.md5 for path, file in directory.files.items()}
            if out.md5.removeprefix(OLD) != found.md5:
                olds = {path: old_md5(self.root / out.root / path) for path in directory.files}
            listing = directories.Listing.of(olds.items())
            same = OLD + listing.name == out.md5
            names = {OLD + olds[path]: file.md5 for path, file in directory.files.items()}
        if same:
            self.objects.rename(out.md5, found.md5, listing, names)
        return same

    def _seen(self, data: DataFile) -> DataFile:
        return replace(data, outs=tuple(map(self._out_seen, data.outs)))

    def _out_seen(self, out: DataOutput) -> DataOutput:
        path = self.root / out.root
        if not path.exists():
            return out
        found, directory = self._hash(out.root)
        if found.md5 == out.md5 or (out.md5.startswith(OLD) and self._is_old(out, found, directory)):
            return out
        return replace(out, md5=found.md5, size=found.size, nfiles=found.nfiles, isexec=found.isexec)

    def _adopt(self, before: DataFile, after: DataFile) -> None:
        if before.source is not None or before.frozen:
            raise errors.Conflict(
                text("%(file)s was imported, and its data have been changed here", file=before.file),
                text("Take the change back with `dvc checkout %(file)s`, or keep it with `dvc commit %(file)s`.",
                     file=before.file),
            )  # fmt: skip
        for out in after.outs:
            if out not in before.outs:
                store_output(self.root / out.root, self.cache, hasher=self.hasher, root=out.root, ignores=self.ignores)
        file = self.root / before.file
        changed = dvcfile.updated(file.read_bytes(), {out.path: out for out in after.outs})
        attempts.write(file, changed, durable=False)
        self.written.append(before.file)


def needed(pipeline: Pipeline, stages: Collection[str]) -> list[str]:
    """The .dvc files whose data `stages` read."""
    read = {above for stage in stages for above in pipeline.upstream.get(stage, ())}
    return [address for address in pipeline.data if address in read]
