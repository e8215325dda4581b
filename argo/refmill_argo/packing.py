"""The step runner as one file: `runner.pyz`, which any Python from 3.8 on runs.

The rule to keep: the same sources give the same bytes, on any machine; so they are neither compressed nor dated.
"""

from __future__ import annotations

import functools
import io
import zipfile
from collections.abc import Iterator
from importlib.resources import files
from importlib.resources.abc import Traversable

FOLDER = "refmill/step"
MAIN = """\
from refmill.step.pods import main

main.start()
"""
_EARLIEST = (1980, 1, 1, 0, 0, 0)  # as zip can say it
_MODE = 0o644 << 16


@functools.cache
def runner() -> bytes:
    """The file."""
    whole = io.BytesIO()
    with zipfile.ZipFile(whole, "w") as archive:
        for name, content in sorted({**dict(_sources(files("refmill") / "step", FOLDER)), **_OWN}.items()):
            facts = zipfile.ZipInfo(name, _EARLIEST)
            facts.create_system, facts.external_attr = 3, _MODE  # 3: Unix, also where this runs elsewhere
            archive.writestr(facts, content)
    return whole.getvalue()


_OWN = {"__main__.py": MAIN.encode(), "refmill/__init__.py": b""}
"""What is not a source: the program's beginning, and the package without what else is in it."""


def _sources(folder: Traversable, name: str) -> Iterator[tuple[str, bytes]]:
    for item in folder.iterdir():
        path = f"{name}/{item.name}"
        if item.is_dir():
            yield from _sources(item, path)
        elif item.name.endswith(".py"):
            yield path, item.read_bytes()
