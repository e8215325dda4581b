"""A directory as rows: folders first, with the DVC data that a .dvc file stands for."""

from __future__ import annotations

import posixpath
from dataclasses import dataclass
from typing import Literal

from refmill.ports.trees import Tree
from refmill_web.addresses import Spot

SHOWN = 1000


@dataclass(frozen=True, slots=True)
class Row:
    """One entry; `path` from the root, `size` in bytes for files."""

    name: str
    path: str
    kind: Literal["file", "directory", "link", "submodule"]
    size: int | None


def listing(tree: Tree, here: Spot) -> tuple[Row, ...]:
    """The first thousand entries of the directory at `here`, folders first."""
    rows = [
        Row(name, posixpath.join(here.path, name), entry.kind, entry.size if entry.kind == "file" else None)
        for name, entry in tree.children(here.path).items()
    ]
    rows.sort(key=lambda row: (row.kind != "directory", row.name))
    return tuple(rows[:SHOWN])
