"""Lets DVC's own resolver read a `Tree`: the few calls of DVC's file system that dvc.parsing makes.

The rule to keep: what DVC reads through this is read by our own readers (limits, places); DVC parses nothing itself.
"""

from __future__ import annotations

import io
import posixpath
from typing import Any, TextIO

from configobj import ConfigObj, ConfigObjError
from dvc.utils.serialize import LOADERS

from refmill import errors
from refmill.formats import params
from refmill.plans import links
from refmill.ports.trees import Tree
from refmill.problems import Place, Problem
from refmill.texts import text

SUFFIX = ".refmill-tree"
"""What `TreeFiles.suffix` answers for files that our own readers load; dvc.utils.serialize chooses loaders by it."""
MAX_BYTES = 8 << 20


class TreeFiles:
    """The part of a DVC file system that dvc.parsing uses, over a `Tree`."""

    def __init__(self, tree: Tree) -> None:
        self._tree = tree
        self._values: dict[str, Any] = {}

    def exists(self, path: str) -> bool:
        """Whether anything stands there."""
        return self._tree.entry(self._real(path)) is not None

    def isdir(self, path: str) -> bool:
        """Whether a directory stands there."""
        entry = self._tree.entry(self._real(path))
        return entry is not None and entry.kind == "directory"

    def open(self, path: str, **_: Any) -> TextIO:
        """The file as text, line ends unified."""
        return io.TextIOWrapper(io.BytesIO(self._tree.read(self._real(path), MAX_BYTES)), encoding="utf-8")

    def load(self, path: str) -> Any:
        """The values in a parameter file, each file read once. Raises Invalid, NotFound, LimitExceeded."""
        path = self.normpath(path)
        if path not in self._values:
            self._values[path] = params.load(self._tree.read(self._real(path), MAX_BYTES), path)
        return self._values[path]

    def _real(self, path: str) -> str:
        path = self.normpath(path)
        try:
            return links.real(self._tree, path)
        except errors.WrongUse:
            return path  # a link that leads out is not there

    @staticmethod
    def suffix(_path: str) -> str:
        """What DVC chooses its reader by."""
        return SUFFIX

    @staticmethod
    def join(*parts: str) -> str:
        """As in posixpath."""
        return posixpath.join(*parts)

    @staticmethod
    def normpath(path: str) -> str:
        """As in posixpath, but "" for the root."""
        path = posixpath.normpath(path)
        return "" if path == "." else path

    @staticmethod
    def relpath(path: str) -> str:
        """Paths are relative to the root already."""
        return path


class Project:
    """What dvc.parsing wants to know of a DVC repository: its files and the `[parsing]` section of its config."""

    def __init__(self, tree: Tree) -> None:
        self.fs = TreeFiles(tree)
        self.config: dict[str, Any] = {}

    def load_config(self) -> list[Problem]:
        """Read `.dvc/config` as DVC does (configobj); gives what is wrong with it."""
        try:
            data = self.fs.open(".dvc/config").read()
            parsed = ConfigObj(io.StringIO(data), interpolation=False)
        except errors.NotFound:
            return []
        except (ConfigObjError, UnicodeDecodeError, errors.LimitExceeded) as error:
            place = Place(
                ".dvc/config", getattr(error, "line_number", None) or 0, 1 if getattr(error, "line_number", None) else 0
            )
            return [
                Problem(
                    "dvc-config",
                    place,
                    text("The file is not a valid DVC configuration: %(detail)s", detail=str(error)[:200]),
                    text("Mend the file; `dvc config --list` checks it."),
                )
            ]
        section = parsed.get("parsing", {})
        if isinstance(section, dict):
            self.config = {"parsing": {str(key).lower(): str(value).lower() for key, value in section.items()}}
        return []


def _load(path: str, fs: TreeFiles, **_: Any) -> Any:
    return fs.load(path)


LOADERS[SUFFIX] = _load
