"""DVC's run-cache: which inputs gave which outputs, by hashes that DVC computes in the same way (dvc.stage.cache)."""

from __future__ import annotations

from refmill.formats.hashing import dict_sha256
from refmill.model.pipelines import LockEntry, Stage

_EXCLUDED = ("size", "nfiles")


def key(entry: LockEntry) -> str:
    """What a stage's inputs are called: 64 hex digits of command, dependencies, parameters and *paths* of outputs.

    Raises TypeError if a parameter is something that JSON cannot hold (a date); ask `eligible` first.
    """
    return dict_sha256({**entry, "outs": [out["path"] for out in entry.get("outs", ())]}, _EXCLUDED)


def value(entry: LockEntry) -> str:
    """What inputs together with their outputs are called: the name of the entry's file below its key."""
    return dict_sha256(entry, _EXCLUDED)


def eligible(stage: Stage, entry: LockEntry) -> bool:
    """Whether DVC keeps this stage's results in its run-cache (dvc.stage.Stage.run): those that can be put back, but
    for stages with an output that is neither cached nor a metric or plot. `entry` as for `restorable`."""
    return restorable(stage, entry) and not any(out.kind == "out" and not out.cache for out in stage.outs)


def restorable(stage: Stage, entry: LockEntry) -> bool:
    """Whether DVC puts this stage's results back instead of running it, where it knows them and has all their objects
    (dvc.stage.cache._can_hash).

    `entry` holds the dependencies and parameters known now. Not put back are those of stages without dependencies or
    outputs, that always run, that depend on datasets, with an output that persists, and those of which an input's hash
    is unknown or empty.
    """
    if stage.always_changed or stage.datasets or not stage.outs or not (stage.deps or stage.params):
        return False
    if any(out.persist for out in stage.outs):
        return False
    hashes = {item["path"]: item.get("md5") for item in entry.get("deps", ())}
    values = entry.get("params", {})
    if not all(hashes.get(dep.path) for dep in stage.deps) or not all(values.get(item.path) for item in stage.params):
        return False
    try:
        dict_sha256(values)
    except TypeError:
        return False
    return True
