"""The datasets of a project's dvc.yaml files, and which version of each its stages read."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from refmill.clients.dvc_sites import Sites
from refmill.clients.findings import Findings
from refmill.formats import datasets
from refmill.model.pipelines import DatasetDependency, Stage
from refmill.problems import Place
from refmill.specs import existing
from refmill.texts import text


class Datasets:
    """Read file by file; a name counts in the whole project, and its lock lies beside the dvc.yaml that declares it."""

    def __init__(self, findings: Findings) -> None:
        self._findings = findings
        self._declared: dict[str, tuple[str, Mapping[str, Any]]] = {}
        self._faults: list[tuple[Place, str]] = []
        self._locked: dict[str, list[Any]] = {}

    def declare(self, file: str, found: Iterable[Any]) -> None:
        """Take the `datasets` of the dvc.yaml `file`."""
        for number, value in enumerate(found):
            try:
                spec = datasets.specification(value if isinstance(value, Mapping) else {})
            except ValueError as error:
                self._faults.append((self._findings.place(file, ("datasets", number)), str(error)))
            else:
                self._declared[spec["name"]] = (file, spec)

    def lock(self, file: str, found: Any) -> None:
        """Take the `datasets` of the dvc.lock beside the dvc.yaml `file`."""
        self._locked[file] = found if isinstance(found, list) else []

    def versions(self, stage: Stage, sites: Sites) -> Stage:
        """`stage` with the version of each dataset that it reads; those that have none are told, and so is what is
        wrong with any dataset: DVC makes them all as soon as one is asked for."""
        for place, detail in self._faults:
            remedy = text("Write it with `dvc dataset add`.")
            self._findings.add("bad-dataset", place, text("This is no dataset: %(detail)s", detail=detail), remedy)
        return replace(stage, datasets=tuple(self._version(stage, item, sites) for item in stage.datasets))

    def _version(self, stage: Stage, item: DatasetDependency, sites: Sites) -> DatasetDependency:
        name = re.split(r"[/?#]", item.path[len("ds://") :], maxsplit=1)[0]
        if name not in self._declared:
            self._findings.add(
                "unknown-dataset",
                sites.place(stage, ("dep", item.path)),
                text("There is no dataset “%(name)s” in any dvc.yaml", name=name[:80]),
                existing(name[:80], self._declared, text("Declare it with `dvc dataset add`.")),
            )
            return item
        file, spec = self._declared[name]
        taken = next((lock for lock in self._locked.get(file, []) if _is(lock, name)), None)
        try:
            version = datasets.version(taken) if taken is not None else None
        except ValueError:
            version = None
        if version is not None and datasets.in_step(spec, version):
            return DatasetDependency(item.path, version)
        if not stage.frozen:
            self._findings.add(
                "dataset-lock",
                sites.place(stage, ("dep", item.path)),
                text("dvc.lock does not say which version of the dataset “%(name)s” is meant", name=name[:80]),
                text("Run `dvc dataset update %(name)s`, and commit dvc.lock.", name=name[:80]),
            )
        return item


def _is(lock: Any, name: str) -> bool:
    return isinstance(lock, dict) and lock.get("name") == name
