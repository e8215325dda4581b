"""What a pod says of its outputs, and what of it counts: the server chooses files as DVC does and makes the listings.

The rule to keep: a pod is believed in nothing but names of objects, which are compared with their bytes when they are
stored. Paths are those of the stage's outputs; sizes that are recorded are the store's.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeAlias

from refmill import errors
from refmill.formats import directories, dvcignore
from refmill.formats.hashing import FileHash, is_object_name, md5_bytes
from refmill.model.pipelines import Stage
from refmill.ports.objects import Objects
from refmill.texts import text

Told: TypeAlias = "dict[str, FileHash | dict[str, FileHash]]"
"""By path as dvc.yaml has it: a file, or the files of a directory by their paths in it."""
_MOST_BYTES = 1 << 62


class Unfit(errors.WrongUse):
    """The outputs of a command that ended well cannot be taken: the attempt has failed."""

    kind, status = "output-refused", 422


@dataclass(frozen=True, slots=True)
class Outputs:
    """What a stage made, as its lock entry will have it, by path from the root; `objects` are all that this needs in
    the store with their sizes as told, `listings` those of directories by path, `bytes` are those of all files."""

    hashes: Mapping[str, FileHash] = field(default_factory=dict)
    objects: Mapping[str, int] = field(default_factory=dict)
    listings: Mapping[str, directories.Listing] = field(default_factory=dict)
    bytes: int = 0

    def wanted(self, objects: Objects) -> list[str]:
        """The objects that are not there."""
        return sorted(self.objects.keys() - objects.present(self.objects))

    def stored(self, objects: Objects) -> Outputs:
        """The same with the sizes that the store knows, and with the listings in it. What is `wanted` is there."""
        sizes = objects.sizes(self.objects)
        hashes = dict(self.hashes)
        for path, found in hashes.items():
            listing = self.listings.get(path)
            if listing is None:
                hashes[path] = replace(found, size=sizes[found.md5])
                continue
            hashes[path] = replace(found, size=sum(sizes[entry.md5] for entry in listing.entries))
            objects.write(listing.to_bytes(), ".dir")
        return replace(self, hashes=hashes)


def told(said: object, most: int) -> Told:
    """What a pod says of its outputs, of at most `most` files. Raises WrongUse, LimitExceeded."""
    if not isinstance(said, dict):
        raise _odd("outs")
    found: Told = {}
    left = most
    for path, item in said.items():
        if not isinstance(item, dict):
            raise _odd(path)
        listed = item.get("files")
        if listed is None:
            found[path] = _file(path, item)
            left -= 1
        elif isinstance(listed, dict):
            found[path] = {name: _file(name, each) for name, each in listed.items()}
            left -= len(listed)
        else:
            raise _odd(path)
    if left < 0:
        raise errors.LimitExceeded(
            text("a stage may have %(limit)s files in its outputs here", limit=most),
            text("Pack them together, or have the operator raise stage_files."),
        )
    return found


def sizes(said: object, stage: Stage) -> dict[str, int]:
    """The bytes that a pod counted at the stage's inputs, by path from the root. Raises WrongUse."""
    if not isinstance(said, dict):
        raise _odd("measured")
    return {dep.root: _size(dep.path, said[dep.path]) for dep in stage.deps if dep.path in said}


def outputs(stage: Stage, found: Told, ignores: dvcignore.Ignores) -> Outputs:
    """The stage's outputs out of what its pod says. Raises WrongUse for what is no output of it, Unfit for one that is
    missing or cannot be taken."""
    if odd := next(iter(found.keys() - {out.path for out in stage.outs}), None):
        raise errors.WrongUse(text("%(path)s is no output of %(stage)s", path=odd[:200], stage=stage.address))
    hashes: dict[str, FileHash] = {}
    needed: dict[str, int] = {}
    listings: dict[str, directories.Listing] = {}
    total = 0
    for out in stage.outs:
        item = found.get(out.path)
        if item is None:
            raise Unfit(text("output %(path)s was not made", path=out.root))
        if ignores(out.root, is_directory=isinstance(item, dict)):
            raise _unfit(out.root, errors.Damaged(text("a pattern in .dvcignore hides it from DVC")))
        if isinstance(item, FileHash):
            hashes[out.root] = item
            needed[item.md5] = item.size or 0
            total += item.size or 0
            continue
        total += sum(file.size or 0 for file in item.values())
        kept = {path: item[path] for path in _chosen(item, out.root, ignores)}
        listing = listings[out.root] = _listing(out.root, kept)
        hashes[out.root] = FileHash(listing.name, sum(file.size or 0 for file in kept.values()), len(kept))
        needed |= {file.md5: file.size or 0 for file in kept.values()}
    return Outputs(hashes, needed, listings, total)


def lacking(wanted: Sequence[str], along: object, objects: Objects) -> list[str]:
    """Of the objects `wanted` those that are not among `along`, which has bytes in base64 by their MD5; the others are
    stored."""
    brought = along if isinstance(along, dict) else {}
    left = []
    for md5 in wanted:
        try:
            data = base64.b64decode(brought.get(md5, ""), validate=True)
        except (TypeError, ValueError):
            data = b""
        if md5_bytes(data) == md5:
            objects.write(data)
        else:
            left.append(md5)
    return left


def _chosen(paths: Iterable[str], root: str, ignores: dvcignore.Ignores) -> list[str]:
    """The files that DVC tracks of a directory, as `directories.hash_directory` walks it."""
    every = list(paths)
    inner = {path[: path.index("/.dvc/")] for path in every if "/.dvc/" in path}  # projects of their own
    chosen: list[str] = []
    for path in every:
        if directories.is_ignored(path) or any(folder in inner for folder in directories.folders(path)):
            continue
        if ignores(f"{root}/{path}"):
            continue
        if path.rpartition("/")[2] == dvcignore.FILE:
            raise _unfit(
                root, errors.Damaged(text("%(path)s: a tracked directory must not hold a .dvcignore", path=path))
            )
        chosen.append(path)
    return chosen


def _listing(root: str, kept: Mapping[str, FileHash]) -> directories.Listing:
    items = [{"md5": file.md5, "relpath": path} for path, file in kept.items()]
    try:
        return directories.parse(json.dumps(items).encode())
    except errors.Damaged as error:
        raise errors.WrongUse(text("output %(path)s: %(reason)s", path=root, reason=error.message)) from error


def _file(path: str, item: object) -> FileHash:
    md5 = item.get("md5") if isinstance(item, dict) else None
    if not isinstance(item, dict) or not isinstance(md5, str) or not is_object_name(md5) or md5.endswith(".dir"):
        raise _odd(path)
    return FileHash(md5, _size(path, item.get("size")), isexec=item.get("isexec") is True)


def _size(path: str, size: object) -> int:
    if not isinstance(size, int) or isinstance(size, bool) or not 0 <= size <= _MOST_BYTES:
        raise _odd(path)
    return size


def _odd(path: str) -> errors.WrongUse:
    return errors.WrongUse(text("what is said of %(path)s cannot be understood", path=path[:200]))


def _unfit(root: str, why: errors.RefmillError) -> Unfit:
    return Unfit(text("output %(path)s: %(reason)s", path=root, reason=why.message))
