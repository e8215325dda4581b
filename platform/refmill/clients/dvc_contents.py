"""What git holds where a stage reads: files, and in directories whatever DVC would follow or refuse there."""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import islice

from refmill import errors
from refmill.clients.dvc_graph import Outputs
from refmill.formats import directories, dvcignore
from refmill.plans import links
from refmill.plans.projects import Foreign
from refmill.ports.trees import Entry, Tree
from refmill.texts import Text, text

MAX_FILES = 200_000
"""Files of one directory that are looked through."""
_POINTER = re.compile(rb"version https://git-lfs\.github\.com/spec/v1\n(?:[a-z0-9.-]+ .*\n)*oid sha256:[0-9a-f]{64}\n")
_MAX_POINTER = 1024


@dataclass(frozen=True, slots=True)
class Fault:
    """Why a stage cannot read something: a problem's kind, message and remedy."""

    kind: str
    message: Text
    remedy: Text


class Contents:
    """Looks at each path once."""

    def __init__(self, tree: Tree, outputs: Outputs, hidden: dvcignore.Ignores) -> None:
        self._tree = tree
        self._outputs = outputs
        self._hidden = hidden
        self._seen: dict[str, tuple[str, Fault | None]] = {}
        self._lfs: dict[str, bool] = {}
        self._foreign = Foreign(tree)

    def look(self, root: str) -> tuple[str, Fault | None]:
        """What a stage finds at `root`, links followed: "file", "directory", "output", or "" for nothing in git; and
        why it cannot be read."""
        if root not in self._seen:
            self._seen[root] = self._look(root)
        return self._seen[root]

    def real(self, root: str) -> str:
        """Where `root` really lies; itself where its links lead nowhere that it could."""
        try:
            return root if self._outputs.overlapping(root) else links.real(self._tree, root)
        except errors.WrongUse:
            return root

    def behind_link(self, root: str) -> bool:
        """Whether a link stands on the way to `root`."""
        parts = root.split("/")
        tops = (self._tree.entry("/".join(parts[:depth])) for depth in range(1, len(parts)))
        return any(entry is not None and entry.kind == "link" for entry in tops)

    def _look(self, root: str) -> tuple[str, Fault | None]:
        if self._outputs.overlapping(root):
            return "output", self._inside(root)
        try:
            real = links.real(self._tree, root)
        except errors.WrongUse as error:
            return "", Fault("unsupported", error.message, error.remedy or error.message)
        if self._outputs.overlapping(real):
            return "output", self._made(root, real)
        submodule = self._submodule(real)
        entry = self._tree.entry(real)
        if submodule or entry is None:
            return "", Fault("unsupported", _not_followed(submodule), _COMMIT) if submodule else None
        if entry.kind == "directory":
            return entry.kind, self._inside(real)
        return entry.kind, self._pointer(real, entry)

    def _submodule(self, path: str) -> str:
        """The submodule that `path` is or lies in, or ""."""
        parts = path.split("/")
        for depth in range(1, len(parts) + 1):
            entry = self._tree.entry("/".join(parts[:depth]))
            if entry is None or entry.kind == "submodule":
                return "/".join(parts[:depth]) if entry else ""
        return ""

    def _inside(self, root: str) -> Fault | None:
        """The first thing in a directory of git that cannot be read as DVC would."""
        try:
            for path, entry in islice(self._tree.walk(root), MAX_FILES):
                if directories.is_ignored(path) or self._hidden(path) or self._outputs.above(path):
                    continue
                if self._foreign(path.rpartition("/")[0]):
                    continue  # DVC leaves a project inside of the directory out
                if fault := self._fault(path, entry):
                    return fault
        except errors.LimitExceeded as error:
            return Fault("too-much", error.message, text("Keep fewer files there, or track the directory with DVC."))
        return None

    def _fault(self, path: str, entry: Entry) -> Fault | None:
        if entry.kind == "submodule":
            return Fault("unsupported", _not_followed(path), _COMMIT)
        if path.rpartition("/")[2] == dvcignore.FILE:
            return Fault(
                "ignore-file-inside",
                text("“%(path)s” lies in a directory that the stage depends on: DVC refuses that", path=path),
                text("Move its patterns into a .dvcignore above the directory."),
            )
        if entry.kind != "link":
            return self._pointer(path, entry)
        try:
            real = links.real(self._tree, path)
        except errors.WrongUse as error:
            return Fault("unsupported", error.message, error.remedy or error.message)
        if self._outputs.overlapping(real):
            return self._made(path, real)
        found = self._tree.entry(real)
        if found is None:
            message = text("“%(path)s” is a symbolic link that leads nowhere: DVC cannot read it", path=path)
            return Fault("broken-link", message, text("Let the link lead to a file or directory."))
        return self._pointer(real, found) if found.kind == "file" else None

    def _made(self, path: str, real: str) -> Fault | None:
        """A link to what a stage writes: DVC does not see that the one stage needs the other."""
        if all(self._outputs.owner(out).endswith(".dvc") for out in self._outputs.overlapping(real)):
            return None
        return Fault(
            "unsupported",
            text("“%(path)s” is a symbolic link to “%(real)s”, which a stage writes", path=path, real=real),
            text("Name “%(real)s” itself as the dependency, so that the stages run in order.", real=real),
        )

    def _pointer(self, path: str, entry: Entry) -> Fault | None:
        """A file that Git LFS keeps, of which git has only the pointer."""
        if entry.kind != "file" or not 0 < entry.size <= _MAX_POINTER or not self._kept(path.rpartition("/")[0]):
            return None
        if not _POINTER.match(self._tree.read(path, _MAX_POINTER)):
            return None
        return Fault(
            "lfs-pointer",
            text("Git LFS keeps “%(path)s”: its content is not in git, and Refmill does not host LFS", path=path),
            text("Track it with DVC instead: `git rm --cached %(path)s`, then `dvc add %(path)s`.", path=path),
        )

    def _kept(self, folder: str) -> bool:
        """Whether .gitattributes in `folder` or above it speak of Git LFS."""
        if folder not in self._lfs:
            try:
                file = f"{folder}/.gitattributes" if folder else ".gitattributes"
                speaks = b"filter=lfs" in self._tree.read(file, 1 << 20)
            except (errors.NotFound, errors.LimitExceeded):
                speaks = False
            self._lfs[folder] = speaks or (bool(folder) and self._kept(folder.rpartition("/")[0]))
        return self._lfs[folder]


_COMMIT = text("Commit the files themselves.")


def _not_followed(path: str) -> Text:
    return text("“%(path)s” is a submodule: this is not supported yet", path=path)
