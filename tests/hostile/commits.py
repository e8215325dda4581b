"""Commits of files that no working copy could hold, written object by object."""

from __future__ import annotations

from pathlib import Path
from typing import TypeAlias

import pygit2

FILE, EXECUTABLE, LINK, SUBMODULE, TREE = 0o100644, 0o100755, 0o120000, 0o160000, 0o040000
Files: TypeAlias = dict[bytes, tuple[int, bytes]]
"""Mode and content by path; of a submodule the content is the commit's raw sha."""
Folder: TypeAlias = "dict[bytes, tuple[int, bytes] | Folder]"


class Repository:
    """A bare repository at `path` that takes any files."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._git = pygit2.init_repository(str(path), bare=True)

    def commit(self, files: Files) -> str:
        """A commit without parents; gives its sha."""
        root: Folder = {}
        for path, place in files.items():
            self._put(root, path.split(b"/"), place)
        who = "Eve <eve@example.org> 1700000000 +0000"
        body = f"tree {pygit2.Oid(raw=self._tree(root))!s}\nauthor {who}\ncommitter {who}\n\nhostile\n"
        return str(self._git.write(pygit2.enums.ObjectType.COMMIT, body.encode()))

    def write(self, kind: pygit2.enums.ObjectType, data: bytes) -> str:
        """Any object; gives its sha."""
        return str(self._git.write(kind, data))

    @staticmethod
    def _put(root: Folder, parts: list[bytes], place: tuple[int, bytes]) -> None:
        """Later files give way to earlier ones that stand where they need a folder."""
        folder = root
        for part in parts[:-1]:
            below = folder.setdefault(part, {})
            if not isinstance(below, dict):
                return
            folder = below
        folder.setdefault(parts[-1], place)

    def _tree(self, folder: Folder) -> bytes:
        rows = []
        for name, place in folder.items():
            if isinstance(place, dict):
                rows.append((name + b"/", TREE, name, self._tree(place)))
            else:
                mode, data = place
                raw = data if mode == SUBMODULE else self._git.write(pygit2.enums.ObjectType.BLOB, data).raw
                rows.append((name, mode, name, raw))
        body = b"".join(b"%o %s\0%s" % (mode, name, raw) for _, mode, name, raw in sorted(rows))
        return bytes(self._git.write(pygit2.enums.ObjectType.TREE, body).raw)
