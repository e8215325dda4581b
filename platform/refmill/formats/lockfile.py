"""dvc.lock: read, merged and written as `dvc repro` does it, byte for byte.

The rule to keep: an entry is written once, from its values, and a committed file that nobody changed keeps its bytes.
DVC itself reads and rewrites the whole file after every stage; where that alters values (floats such as
1.112733043744429e-14 lose their last digit each time, ruamel.yaml) we do not follow, because `dvc status` would then
call the result changed.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from refmill.errors import Invalid
from refmill.formats import blockyaml, yamlfile
from refmill.formats.hashing import FileHash
from refmill.formats.yamlfile import Marks
from refmill.model.pipelines import Dependency, LockEntry, Output, Stage
from refmill.problems import Problem
from refmill.texts import Text, text

MAX_BYTES = 64 << 20
"""Some 100,000 stages as DVC writes them; what is not in its own form is held to yamlfile.MAX_BYTES."""
_HEAD = "schema: '2.0'\nstages:\n"
_STAGES = "stages:\n"
_DEFAULT_PARAMS = "params.yaml"
_ANCHOR = "&id0"
_ENTRY_KEYS = frozenset({"cmd", "deps", "params", "outs"})


@dataclass(frozen=True, slots=True)
class Lock:
    """A dvc.lock: entries by stage name in the file's order, and the top-level `datasets` (None if there are none).

    `source` is the file as it was read; it is written back as it is as long as nothing is `changed`. A file that is
    not in DVC's own form (comments, other quotes) is `edited`, and is then changed in place, as DVC does it.
    """

    stages: Mapping[str, LockEntry] = field(default_factory=dict)
    datasets: Any = None
    source: bytes = b""
    edited: bool = False
    changed: Mapping[str, LockEntry] = field(default_factory=dict)


def path_for(dvc_yaml: str) -> str:
    """Where the lock of `dvc_yaml` lies: beside it, with the ending changed."""
    return os.path.splitext(dvc_yaml)[0] + ".lock"


def parse(data: bytes, file: str) -> Lock:
    """The lock that `data` holds; an empty file is an empty lock. Raises Invalid with the places of what is wrong."""
    stages = _quick(data) if len(data) <= MAX_BYTES else None
    if stages is not None:
        _check(data, file, {"schema": "2.0", "stages": stages})
        return Lock(stages, source=data)
    value = yamlfile.load(data, file)
    if value == {}:
        return Lock(source=data, edited=bool(data.strip()))
    _check(data, file, value)
    return Lock(value.get("stages") or {}, value.get("datasets"), data, edited=True)


def groups(data: bytes, file: str, wanted: Collection[str], *, max_bytes: int) -> Mapping[str, LockEntry]:
    """The entries of the stages whose name before any `@` is `wanted`, without reading the rest where DVC wrote the
    file. Raises Invalid, also for a file above `max_bytes` that is in another form."""
    found: dict[str, LockEntry] = {}
    source = data.decode("utf-8", "replace")
    for block in _blocks(source[len(_HEAD) :]) if source.startswith(_HEAD) else ("",):
        name = block.partition("\n")[0].strip().removesuffix(":").strip("'\"")
        if name and name.partition("@")[0] not in wanted:
            continue
        entries = blockyaml.parse(block, 2)
        if entries is None or not all(isinstance(item, dict) for item in entries.values()):
            whole = yamlfile.load(data, file, max_bytes=max_bytes)
            _check(data, file, whole or {"schema": "2.0"})
            stages = whole.get("stages") or {}
            return {name: item for name, item in stages.items() if name.partition("@")[0] in wanted}
        found |= entries
    return found


def merge(lock: Lock, entries: Mapping[str, LockEntry]) -> Lock:
    """`lock` with new `entries`, given in the order in which DVC would have run them: a stage that is there keeps its
    place, others are appended; entries of stages that no longer exist stay."""
    new = {name: item for name, item in entries.items() if name not in lock.stages or lock.stages[name] != item}
    return replace(lock, stages={**lock.stages, **new}, changed={**lock.changed, **new})


def emit(lock: Lock) -> bytes:
    """The bytes of the file; b"" for a lock without anything in it, which DVC does not write."""
    if not lock.changed and (lock.source or not lock.stages):
        return lock.source
    if lock.edited:
        return _edit(lock)
    head = {"schema": "2.0"} if lock.datasets is None else {"schema": "2.0", "datasets": lock.datasets}
    blocks = [_block(name, item) for name, item in lock.stages.items()]
    if any(_ANCHOR in block for block in blocks):
        # Anchors are numbered through the whole file.
        return blockyaml.dump({**head, "stages": dict(lock.stages)}).encode()
    return (blockyaml.dump(head) + _STAGES + "".join(blocks)).encode()


def entry(
    stage: Stage,
    deps: Mapping[str, FileHash],
    params: Mapping[str, Mapping[str, Any]],
    outs: Mapping[str, FileHash],
) -> LockEntry:
    """The entry that DVC would write for `stage` (dvc.stage.serialize.to_single_stage_lockfile).

    The mappings go by path from the project's root (`root`); what they do not know is left out of the entry. `params`
    holds, for each file, the values of its keys (see `params.select`).
    """
    result: LockEntry = {"cmd": stage.cmd if isinstance(stage.cmd, str) else list(stage.cmd)}
    versions = [{"path": item.path, "dataset": dict(item.version)} for item in stage.datasets if item.version]
    if items := sorted(_items(stage.deps, deps) + versions, key=lambda item: str(item["path"])):
        result["deps"] = items
    if values := _params(stage, params):
        result["params"] = values
    if items := _items(stage.outs, outs):
        result["outs"] = items
    return result


def _items(files: Iterable[Dependency | Output], known: Mapping[str, FileHash]) -> list[dict[str, Any]]:
    listed = sorted(((file.path, known[file.root]) for file in files if file.root in known), key=lambda pair: pair[0])
    return [found.item(path) for path, found in listed]


def _params(stage: Stage, params: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """Parameter values by file as it is written in dvc.yaml: params.yaml first, the others by name, keys sorted."""
    paths = {item.path: item.root for item in stage.params if item.root in params}
    order = sorted(paths, key=lambda path: (path != _DEFAULT_PARAMS, path))
    return {path: {key: params[paths[path]][key] for key in sorted(params[paths[path]])} for path in order}


def _block(name: str, item: LockEntry) -> str:
    """One stage as it stands below `stages:`."""
    block = blockyaml.emit({name: item}, 2)
    return blockyaml.dump({"stages": {name: item}})[len(_STAGES) :] if block is None else block


def _quick(data: bytes) -> dict[str, LockEntry] | None:
    """The stages of a lock that is exactly as DVC writes it, read stage by stage; None if it is not."""
    try:
        source = data.decode("utf-8")
    except UnicodeDecodeError:
        return None
    if not source.startswith(_HEAD):
        return None
    stages: dict[str, LockEntry] = {}
    for block in _blocks(source[len(_HEAD) :]):
        found = blockyaml.parse(block, 2) or _slow(block)
        if found is None or len(found) != 1 or not found.keys().isdisjoint(stages):
            return None
        stages |= found
    return stages or None


def _blocks(source: str) -> Iterable[str]:
    """Pieces that begin at each line with just two blanks before its first character."""
    lines = source.splitlines(keepends=True)
    starts = [at for at, line in enumerate(lines) if line.startswith("  ") and line[2:3] not in {" ", "\n", ""}]
    if not starts or starts[0] != 0:
        return [source]
    return ["".join(lines[start:end]) for start, end in zip(starts, [*starts[1:], len(lines)], strict=True)]


def _slow(block: str) -> dict[str, LockEntry] | None:
    """The one stage of an unusual block, if ruamel would write it in just this way."""
    whole = _STAGES + block
    try:
        value = yamlfile.load(whole.encode(), "")
    except Invalid:
        return None
    found = value.get("stages") if isinstance(value, dict) else None
    return found if isinstance(found, dict) and blockyaml.dump(value) == whole else None


def _edit(lock: Lock) -> bytes:
    """Change the file in place with ruamel, so that comments stay (dvc.dvcfile.Lockfile.dump_stages)."""
    from refmill.formats import yamlwriter  # noqa: PLC0415 - a lock that DVC wrote, and nobody since, needs no ruamel

    def change(data: Any) -> None:
        if not data:
            data["schema"] = "2.0"
        data["stages"] = data.get("stages") or {}
        data["stages"].update(lock.changed)

    return yamlwriter.edit(lock.source.decode("utf-8"), change).encode()


def _check(data: bytes, file: str, value: Any) -> None:
    """Raise Invalid unless `value` has the shape that DVC's own schema asks for (dvc.schema.LOCKFILE_SCHEMA)."""
    faults = list(_faults(value))
    if not faults:
        return
    marks = Marks(data)
    remedy = text("Take dvc.lock away and push again, or write it anew with `dvc repro`; it is never edited by hand.")
    places = [(marks.place(file, path), kind, message) for path, kind, message in faults]
    raise Invalid(Problem(kind, place, message, remedy, marks.excerpt(place)) for place, kind, message in places)


def _faults(value: Any) -> Iterable[tuple[tuple[str | int, ...], str, Text]]:
    if not isinstance(value, dict) or value.get("schema") != "2.0":
        yield ("schema",), "lock-schema", text("This dvc.lock is not of DVC 3 (schema 2.0)")
        return
    stages = value.get("stages", {})
    if not isinstance(stages, dict):
        yield ("stages",), "lock-entry", text("The stages of a lock are a mapping")
        return
    for name, item in stages.items():
        yield from _entry_faults(("stages", str(name)), item)


def is_entry(item: Any) -> bool:
    """Whether `item` has the shape of a stage's entry."""
    return not any(_entry_faults((), item))


def _entry_faults(place: tuple[str | int, ...], item: Any) -> Iterable[tuple[tuple[str | int, ...], str, Text]]:
    if not isinstance(item, dict) or not isinstance(item.get("cmd"), str | list):
        yield place, "lock-entry", text("A stage's lock entry has no command")
        return
    for key in item.keys() - _ENTRY_KEYS:
        yield (*place, str(key)), "lock-entry", text("A lock entry has no key “%(key)s”", key=str(key))
    for part in ("deps", "outs"):
        files = item.get(part, [])
        for number, found in enumerate(files if isinstance(files, list) else [None]):
            if not isinstance(found, dict) or not _is_item(found):
                yield (*place, part, number), "lock-entry", text("This is no path with its hash")
            elif "files" in found:
                # Instead of a hash; `cloud`, `etag` and `version_id` beside one count for nothing, as in DVC.
                message = text("“%(key)s” (data versioned by another storage) is not supported yet", key="files")
                yield (*place, part, number, "files"), "dvc-cloud", message
    params = item.get("params", {})
    if not isinstance(params, dict) or not all(isinstance(values, dict) for values in params.values()):
        yield (*place, "params"), "lock-entry", text("The parameters of a lock entry are keys and values by file")


def _is_item(item: dict[Any, Any]) -> bool:
    kinds: dict[str, type | tuple[type, ...]] = {
        "md5": (str, int, type(None)), "hash": str, "size": int, "nfiles": int, "isexec": bool, "dataset": dict,
    }  # fmt: skip
    right = all(isinstance(item[key], kind) for key, kind in kinds.items() if key in item)
    return right and isinstance(item.get("path"), str)
