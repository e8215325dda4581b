"""Collects every problem in a project's files, each with its place and the offending line."""

from __future__ import annotations

from collections.abc import Iterable

from refmill import errors
from refmill.formats.yamlfile import MAX_BYTES, Marks, excerpt
from refmill.ports.trees import Tree
from refmill.problems import Place, Problem
from refmill.texts import Text, counted, text

MAX_PROBLEMS = 200
"""More than anybody mends in one sitting; the rest is only counted."""


class Findings:
    """The problems found so far in one project, and the files they were found in (each read once)."""

    def __init__(self, tree: Tree) -> None:
        self.tree = tree
        self._data: dict[str, bytes] = {}
        self._marks: dict[str, Marks] = {}
        self._found: dict[tuple[str, Place, str], Problem] = {}

    def read(self, file: str, limit: int = MAX_BYTES) -> bytes | None:
        """The bytes of `file`, or None with a problem where it cannot be read."""
        if file not in self._data:
            try:
                self._data[file] = self.tree.read(file, limit)
            except errors.LimitExceeded:
                self.add("too-large", Place(file), text("The file is larger than %(limit)s bytes", limit=limit),
                         text("Definitions and parameters are small; track data with DVC instead."))  # fmt: skip
                return None
            except errors.NotFound:
                self.add(
                    "missing-file", Place(file), text("The file cannot be read"), text("Commit it as a regular file.")
                )
                return None
        return self._data[file]

    def place(self, file: str, path: tuple[str | int, ...] = (), *, key: bool = False, document: int = 0) -> Place:
        """Where the value (or the key) at `path` of a YAML file stands."""
        data = self._data.get(file)
        if data is None:
            return Place(file)
        if file not in self._marks:
            self._marks[file] = Marks(data)
        return self._marks[file].place(file, path, key, document)

    def within(self, place: Place, needle: str) -> Place:
        """The first spot of `needle` from `place` on, a few lines down; `place` itself where it does not stand."""
        lines = self._data.get(place.file, b"").decode("utf-8", "replace").split("\n")
        for number in range(max(place.line, 1), min(place.line + 50, len(lines) + 1)):
            start = place.column - 1 if number == place.line else 0
            found = lines[number - 1].find(needle, start)
            if found >= 0:
                return Place(place.file, number, found + 1)
        return place

    def add(self, kind: str, place: Place, message: Text, remedy: Text, *, warning: bool = False) -> None:
        """Note a problem; the same one at the same place is noted once."""
        line = excerpt(self._data.get(place.file, b""), place.line)
        self._keep(Problem(kind, place, message, remedy, line, warning))

    def take(self, problems: Iterable[Problem]) -> None:
        """Note problems that somebody else made."""
        for problem in problems:
            self._keep(problem)

    def _keep(self, problem: Problem) -> None:
        self._found.setdefault((problem.kind, problem.place, str(problem.message)), problem)

    @property
    def failed(self) -> bool:
        """Whether there is a problem that is no warning."""
        return any(not problem.warning for problem in self._found.values())

    def problems(self) -> tuple[Problem, ...]:
        """All problems by place, errors first where there are too many of them."""
        found = sorted(self._found.values(), key=lambda problem: (problem.place, problem.kind))
        if len(found) <= MAX_PROBLEMS:
            return tuple(found)
        found.sort(key=lambda problem: problem.warning)
        chosen, hidden = found[:MAX_PROBLEMS], found[MAX_PROBLEMS:]
        more = Problem(
            "too-many-problems",
            Place(hidden[0].place.file),
            counted("%(count)s more problem is not shown", "%(count)s more problems are not shown", len(hidden)),
            text("Mend the ones above first."),
            warning=all(problem.warning for problem in hidden),
        )
        return (*sorted(chosen, key=lambda problem: (problem.place, problem.kind)), more)
