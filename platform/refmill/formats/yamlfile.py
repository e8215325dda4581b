"""Reading YAML that somebody else wrote: values exactly as DVC reads them, positions for messages, limits on all.

The rule to keep: values come from ruamel.yaml (YAML 1.2, as in DVC) and nowhere else; libyaml's events give line and
column and never a value, because it reads `yes`, `010` and `1e-3` differently.
"""

from __future__ import annotations

from typing import Any

from refmill.formats.yamlmarks import Marks, excerpt

__all__ = ["MAX_BYTES", "Marks", "excerpt", "load", "load_all"]

MAX_BYTES = 8 << 20
"""A dvc.yaml, parameter or lock file beyond this is a mistake; ruamel reads about 0.3 MB a second."""


def load(data: bytes, file: str, *, max_bytes: int = MAX_BYTES) -> Any:
    """The value of the only document in `data`; an empty one is {}, as in DVC. Raises Invalid with the place."""
    documents = _documents(data, file, max_bytes, several=False)
    return (documents[0] if documents else None) or {}


def load_all(data: bytes, file: str, *, max_bytes: int = MAX_BYTES) -> list[Any]:
    """The values of all documents in `data`, empty ones as None. Raises Invalid with the place."""
    return _documents(data, file, max_bytes, several=True)


def _documents(data: bytes, file: str, max_bytes: int, *, several: bool) -> list[Any]:
    from refmill.formats import yamlreader  # noqa: PLC0415 - most commands get along without ruamel, which starts slowly

    return yamlreader.documents(data, file, max_bytes, several=several)
