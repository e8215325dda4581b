"""A stage's lock entry, from what was known before its command ran to what it made: the same for every engine.

The rule to keep: one result gives one entry, byte for byte, whoever ran the command and hashed what it left.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from refmill.formats import lockfile, runcache
from refmill.formats.hashing import FileHash
from refmill.model.pipelines import LockEntry, Stage
from refmill.ports.objects import RunCache


def measured(stage: Stage, known: LockEntry, size: Callable[[str], int | None]) -> LockEntry:
    """The known entry with the sizes that no listing tells: those of inputs inside of another stage's folder. `size`
    gives the bytes at a path from the root, None if nobody counted them."""
    entry = dict(known)
    if "deps" in entry:
        roots = {item.path: item.root for item in stage.deps}
        entry["deps"] = [
            _sized(item, roots[item["path"]], size) if item["path"] in roots else item for item in entry["deps"]
        ]
    return entry


def finished(stage: Stage, known: LockEntry, outs: Mapping[str, FileHash], remembered: RunCache) -> LockEntry:
    """The whole entry of a stage that made `outs`, by path from the root; kept in the run-cache where DVC would."""
    entry = dict(known)
    if outs:
        entry["outs"] = lockfile.entry(stage, {}, {}, outs)["outs"]
    if runcache.eligible(stage, known):
        remembered.save(runcache.key(entry), runcache.value(entry), entry)
    return entry


def _sized(item: dict[str, Any], root: str, size: Callable[[str], int | None]) -> dict[str, Any]:
    """An item of `deps` in DVC's order of keys: path, hash, md5, size, nfiles, isexec."""
    if item.get("size") is not None or (found := size(root)) is None:
        return item
    later = {key: item[key] for key in ("nfiles", "isexec") if key in item}
    return {key: item[key] for key in ("path", "hash", "md5") if key in item} | {"size": found} | later
