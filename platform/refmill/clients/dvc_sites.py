"""Where in the files the parts of stages and .dvc files stand: for messages that come long after reading."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeAlias

from refmill.clients.findings import Findings
from refmill.model.pipelines import DataFile, Stage
from refmill.problems import Place

Part: TypeAlias = tuple[str, ...]
"""("dep" | "out" | "params", path from the root), or ("param", path from the root, key)."""
Path: TypeAlias = tuple[str | int, ...]


class Sites:
    """The path of keys of every part of every stage; line and column are looked up only when somebody asks."""

    def __init__(self, findings: Findings) -> None:
        self._findings = findings
        self._paths: dict[str, Mapping[Part, Path]] = {}

    def note(self, stage: Stage, paths: Mapping[Part, Path]) -> None:
        """Keep where the parts of `stage` stand."""
        self._paths[stage.address] = paths

    def place(self, node: Stage | DataFile, part: Part = ()) -> Place:
        """Where `part` of `node` stands; the node itself where that is not known."""
        if isinstance(node, DataFile):
            number = next((n for n, out in enumerate(node.outs) if part == ("out", out.root)), None)
            return Place(node.file) if number is None else self._findings.place(node.file, ("outs", number, "path"))
        path = self._paths.get(node.address, {}).get(part)
        return self._findings.place(node.file, path, key=True) if path else node.place or Place(node.file)
