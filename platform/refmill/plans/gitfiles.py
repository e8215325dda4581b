"""Files and directories that git holds, hashed as DVC hashes them in a checkout."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from refmill import errors
from refmill.formats import directories, dvcignore
from refmill.formats.hashing import OLD, FileHash, old_md5_bytes
from refmill.plans import links
from refmill.plans.projects import Foreign
from refmill.ports.trees import Tree


class GitFiles:
    """One project's tree, without what .dvcignore hides and without DVC projects inside of the project. `linked` gives
    the file that a link in a directory leads to, None for other things, which DVC does not follow."""

    def __init__(self, tree: Tree, linked: Callable[[str], FileHash | None] | None = None) -> None:
        self._tree = tree
        self._linked = linked or self._link
        self.ignores = dvcignore.DvcIgnore(dvcignore.reader(tree.read))
        self._foreign = Foreign(tree)

    def hash(self, root: str) -> FileHash | None:
        """The hash of a file or directory; None if git holds none there, or something else."""
        entry = self._tree.entry("" if root == "." else root)
        if entry is None or entry.kind in ("link", "submodule"):
            return None
        if entry.kind == "file":
            md5, size = self._tree.md5(root)
            return FileHash(md5, size, None, entry.executable)
        return listed(self.files(root), 0)

    def is_called(self, root: str, found: FileHash, name: str) -> bool:
        """Whether what git holds at `root`, whose hash is `found`, is the object `name`, which may be one of DVC 2."""
        return name.removeprefix(OLD) == found.md5 or (name.startswith(OLD) and self.former(root) == name)

    def former(self, root: str) -> str:
        """The name that DVC 2 gave to the file or directory that git holds there; "" if it cannot be read."""
        inside = "" if root == "." else root + "/"
        try:
            entry = self._tree.entry(root)
            if entry is not None and entry.kind == "file":
                return OLD + old_md5_bytes(self._tree.read(root))
            files = {path: self._former_file(inside + path, md5) for path, (md5, _) in self.files(root).items()}
        except (errors.NotFound, errors.LimitExceeded):
            return ""
        return OLD + directories.Listing.of(files.items()).name

    def _former_file(self, path: str, md5: str) -> str:
        """The same MD5 for a link: what it leads to may be anywhere."""
        entry = self._tree.entry(path)
        return old_md5_bytes(self._tree.read(path)) if entry is not None and entry.kind == "file" else md5

    def files(self, root: str) -> dict[str, tuple[str, int]]:
        """MD5 and size in bytes, by path below `root`, of the files that git holds there."""
        found: dict[str, tuple[str, int]] = {}
        start = "" if root == "." else root
        for path, entry in self._tree.walk(start):
            if entry.kind == "submodule" or self.hidden(path):
                continue
            below = path[len(start) + 1 if start else 0 :]
            if entry.kind == "file":
                found[below] = self._tree.md5(path)
            elif (known := self._linked(path)) is not None:
                found[below] = (known.md5, known.size or 0)
        return found

    def links(self, root: str) -> list[str]:
        """The links below the directory `root` that count."""
        entries = self._tree.walk("" if root == "." else root)
        return [path for path, entry in entries if entry.kind == "link" and not self.hidden(path)]

    def _link(self, path: str) -> FileHash | None:
        try:
            real = links.real(self._tree, path)
        except errors.WrongUse:
            return None
        entry = self._tree.entry(real)
        return FileHash(*self._tree.md5(real)) if entry is not None and entry.kind == "file" else None

    def hidden(self, path: str) -> bool:
        """Whether a directory's listing leaves the file `path` out."""
        return directories.is_ignored(path) or self.ignores(path) or self._foreign(path.rpartition("/")[0])


def listed(files: Mapping[str, tuple[str, int]], more: int) -> FileHash:
    """The hash of a directory of files, whose sizes and `more` bytes add up."""
    listing = directories.Listing.of((path, md5) for path, (md5, _) in files.items())
    return FileHash(listing.name, more + sum(size for _, size in files.values()), len(listing.entries))
