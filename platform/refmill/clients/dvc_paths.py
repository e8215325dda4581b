"""Paths as they stand in dvc.yaml, and why some of them cannot be used."""

from __future__ import annotations

import posixpath
import re

from refmill.texts import Text, text

MAX_PATH = 1024
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")
_DRIVE = re.compile(r"[A-Za-z]:[\\/]")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_OWN = {".git", ".dvc", ".hg"}


class BadPath(Exception):
    """A path that cannot be used: stable kind, message and remedy."""

    def __init__(self, kind: str, message: Text, remedy: Text) -> None:
        super().__init__(str(message))
        self.kind, self.message, self.remedy = kind, message, remedy


def rooted(path: str, wdir: str) -> str:
    """`path`, written relative to `wdir`, as seen from the project's root ("" is the root). Raises BadPath."""
    if not path or len(path) > MAX_PATH or _CONTROL.search(path):
        raise BadPath(
            "bad-path",
            text("This is not a usable path"),
            text("A path has 1 to %(limit)s characters, and no control characters.", limit=MAX_PATH),
        )
    if _SCHEME.match(path):
        raise BadPath(
            "unsupported",
            text("“%(path)s” is outside of the repository: this is not supported yet", path=path[:200]),
            text("Bring the data in with `dvc import-url`, `dvc import` or `dvc add`."),
        )
    if path.startswith(("/", "~/")) or path == "~" or _DRIVE.match(path):
        raise BadPath(
            "absolute-path",
            text("“%(path)s” is an absolute path: it means another place on every machine", path=path[:200]),
            text("Write a path inside the repository, relative to the stage's working directory."),
        )
    normal = posixpath.normpath(posixpath.join(wdir, path))
    if normal == ".." or normal.startswith("../"):
        raise BadPath(
            "escaping-path",
            text("“%(path)s” leads out of the repository", path=path[:200]),
            text("Move the file into the repository, or track it there with DVC."),
        )
    parts = normal.split("/")
    if _OWN & set(parts):
        raise BadPath(
            "reserved-path",
            text("“%(path)s” lies inside of git's or DVC's own files", path=path[:200]),
            text("Write it elsewhere."),
        )
    return "" if normal == "." else normal


def is_dataset(path: object) -> bool:
    """Whether a dependency is a dataset, `ds://name` (dvc.dependency.DatasetDependency)."""
    return isinstance(path, str) and path[:5].lower() == "ds://"


def is_definition(path: str) -> bool:
    """Whether DVC would read a file of that name itself (dvc.dvcfile.is_valid_filename)."""
    return path.endswith(".dvc") or posixpath.basename(path) == "dvc.yaml"
