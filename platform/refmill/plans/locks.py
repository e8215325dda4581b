"""The dvc.lock files of a project with a run's entries in them."""

from __future__ import annotations

from collections.abc import Mapping

from refmill import errors
from refmill.formats import lockfile
from refmill.model.pipelines import LockEntry, Pipeline
from refmill.ports.trees import Tree


def merged(tree: Tree, pipeline: Pipeline, entries: Mapping[str, LockEntry]) -> dict[str, bytes]:
    """The dvc.lock files, by path, as DVC writes them after the stages in `entries`, whatever their order there."""
    by_file: dict[str, dict[str, LockEntry]] = {}
    for address in pipeline.order:
        if address in entries and (stage := pipeline.stages.get(address)):
            by_file.setdefault(lockfile.path_for(stage.file), {})[stage.name] = entries[address]
    found: dict[str, bytes] = {}
    for path, mine in by_file.items():
        try:
            lock = lockfile.parse(tree.read(path), path)
        except errors.NotFound:
            lock = lockfile.Lock()
        found[path] = lockfile.emit(lockfile.merge(lock, mine))
    return found
