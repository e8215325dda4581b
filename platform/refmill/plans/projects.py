"""Which of a repository's DVC projects a file belongs to.

A project is a directory with a `.dvc` of its own; one inside of another is none of the outer one's business, as in DVC.
The repository's root is "" and counts as a project in any case: it may have stages without `dvc init`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable

from refmill import errors
from refmill.formats.gitignore import FILE, Surroundings
from refmill.ports.trees import Tree

OWN = ".dvc"


class Foreign:
    """Whether a directory of a project is, or lies in, a project of its own; each is looked at once."""

    def __init__(self, tree: Tree) -> None:
        self._tree = tree
        self._known = {"": False}

    def __call__(self, folder: str) -> bool:
        """Ask about a directory by its path from the project's root."""
        if folder not in self._known:
            entry = self._tree.entry(f"{folder}/{OWN}")
            self._known[folder] = self(folder.rpartition("/")[0]) or (entry is not None and entry.kind == "directory")
        return self._known[folder]


def owner(path: str, projects: Collection[str]) -> str:
    """The project that `path`, which counts from the repository's root, lies in."""
    folder = path
    while folder:
        folder = folder.rpartition("/")[0]
        if folder in projects:
            return folder
    return ""


def share(paths: Iterable[str], project: str, projects: Collection[str]) -> set[str]:
    """Those of `paths` that belong to `project`, as it sees them. What lies in a `.dvc` decides where the project
    around that one ends, and so belongs to both."""
    inside = f"{project}/" if project else ""
    found: set[str] = set()
    for path in paths:
        if not path.startswith(inside):
            continue
        mine = owner(path, projects) == project
        around, _, kept = path.rpartition(f"/{OWN}/")
        if mine or (kept and around != project and owner(around, projects) == project):
            found.add(path[len(inside) :])
    return found


def full(project: str, path: str) -> str:
    """A path of a project from the repository's root."""
    return f"{project}/{path}" if project else path


def surroundings(tree: Tree, project: str) -> Surroundings:
    """What .gitignore files above a project say; `tree` is the repository's."""
    files: dict[str, bytes] = {}
    parts = project.split("/") if project else []
    for depth in range(len(parts)):
        path = "/".join([*parts[:depth], FILE])
        try:
            files[path] = tree.read(path)
        except (errors.NotFound, errors.LimitExceeded):
            continue
    return Surroundings(project, files)
