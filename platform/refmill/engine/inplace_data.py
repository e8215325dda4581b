"""Data tracked by .dvc files in a working copy, before a run reads them: restored where they lack, adopted where they
were changed, as `dvc repro` does it ("Verifying data sources in stage …")."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from refmill import errors
from refmill.formats import directories, dvcfile
from refmill.formats.directories import Hasher
from refmill.formats.hashing import FileHash
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

    def note(self, found: directories.Directory | None, md5: str, size: int) -> None:
        """A file or directory lies in the working copy."""
        self._sizes[md5] = size
        if found is not None:
            self._listings[md5] = found.listing.to_bytes()
            self._sizes |= {file.md5: file.size or 0 for file in found.files.values()}

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


@dataclass(frozen=True, slots=True)
class DataSources:
    """The tracked data of a working copy. `objects` is the cache, to which `seen` and `settled` add what lies here."""

    root: Path
    hasher: Hasher
    cache: Objects
    objects: CopyObjects = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "objects", CopyObjects(self.cache))

    def seen(self, pipeline: Pipeline, wanted: Collection[str]) -> Pipeline:
        """`pipeline` with the data of the .dvc files `wanted` as they lie there now; what lacks stays as tracked."""
        data = {address: self._seen(item) if address in wanted else item for address, item in pipeline.data.items()}
        return replace(pipeline, data=data)

    def settled(self, pipeline: Pipeline, wanted: Collection[str]) -> Pipeline:
        """The same, and made so: changed data go into the cache and their .dvc file tells the new hash; data that lack
        are restored from the cache, where it has them. Raises Conflict for imported data that were changed here."""
        now = self.seen(pipeline, wanted)
        for address in wanted:
            before, after = pipeline.data[address], now.data[address]
            if before != after:
                self._adopt(before, after)
            for out in after.outs:
                path = self.root / out.root
                if out.cache and not path.exists() and not absent_objects([out.md5], self.cache):
                    restore_output({"md5": out.md5, "isexec": out.isexec}, path, self.cache)
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
        return self._hash(path).item(out.path) if path.exists() else None

    def _hash(self, path: Path) -> FileHash:
        """What lies at `path`, which can be read from now on."""
        directory = directories.hash_directory(path, hasher=self.hasher) if path.is_dir() else None
        found = directory.hash if directory else self.hasher(path)
        self.objects.note(directory, found.md5, found.size or 0)
        return found

    def _seen(self, data: DataFile) -> DataFile:
        return replace(data, outs=tuple(map(self._out_seen, data.outs)))

    def _out_seen(self, out: DataOutput) -> DataOutput:
        path = self.root / out.root
        if not path.exists():
            return out
        found = self._hash(path)
        if found.md5 == out.md5:
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
                store_output(self.root / out.root, self.cache, hasher=self.hasher)
        file = self.root / before.file
        new = file.with_name(f".{file.name}.new")
        new.write_bytes(dvcfile.updated(file.read_bytes(), {out.path: out for out in after.outs}))
        new.replace(file)


def needed(pipeline: Pipeline, stages: Collection[str]) -> list[str]:
    """The .dvc files whose data `stages` read."""
    read = {above for stage in stages for above in pipeline.upstream.get(stage, ())}
    return [address for address in pipeline.data if address in read]
