"""Writes the Workflows of a run: by the built-in template, or by one that the repository has in place of it."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any, TypeAlias

from refmill import errors
from refmill.formats import plainyaml
from refmill.ports.trees import Tree
from refmill.problems import Place, Problem
from refmill.texts import text
from refmill_argo import allowing, apart, owntemplates
from refmill_argo.allowing import Refusal
from refmill_argo.apart import Filled, Limit
from refmill_argo.options import Options
from refmill_templates import render

Context: TypeAlias = Mapping[str, Any]
Writer: TypeAlias = Callable[[Sequence[Context]], list[str]]
"""Gives the YAML for each context. Raises Invalid for what a repository's template may not be."""
SHOWN = 20
"""Refusals that are told of one project."""
LOOKED = 1000
"""Refusals of one Workflow among which they are chosen: each of its templates may have the same ones."""
_LIMITS = {
    "time": text("Filling in the template takes too long"),
    "memory": text("Filling in the template takes too much memory"),
    "size": text("More comes out of the template than a Workflow may be"),
    "crash": text("The template could not be filled in: what fills it in broke down"),
}
_SMALLER = text("Look for loops inside loops, for texts that grow, and for templates that include each other.")


def built_in(contexts: Sequence[Context]) -> list[str]:
    """By Refmill's own template."""
    return [render("workflow", context) for context in contexts]


def writer(tree: Tree, options: Options) -> Writer:
    """By the templates of a project's files, if it has any. Raises Invalid if they cannot even be read."""
    files = owntemplates.read(tree)
    return _Overridden(files, options) if files else built_in


class _Overridden:
    """By templates that a stranger wrote: filled in apart, and compared with what ours make of the same values."""

    def __init__(self, files: Mapping[str, str], options: Options) -> None:
        self._files, self._options = files, options

    def __call__(self, contexts: Sequence[Context]) -> list[str]:
        filled = apart.filled(self._files, contexts)
        if filled.limit or filled.fault:
            raise errors.Invalid([self._failed(filled)])
        ours = built_in(contexts)
        refused: dict[tuple[allowing.Path, str], Refusal] = {}
        try:
            for mine, theirs in zip(ours, filled.documents, strict=True):
                for refusal in islice(allowing.refusals(plainyaml.load(mine), theirs, self._options), LOOKED):
                    refused.setdefault((allowing.pattern(refusal.path), refusal.message.english), refusal)
        except RecursionError as error:  # a Workflow has some ten levels, this one hundreds
            raise errors.Invalid([self._limited("crash")]) from error
        if refused:
            raise errors.Invalid(self._problem(refusal) for refusal in islice(refused.values(), SHOWN))
        # What was checked is what is written: no YAML of a stranger reaches the cluster.
        return [render("checked", document) for document in filled.documents]

    def _failed(self, filled: Filled) -> Problem:
        if filled.limit:
            return self._limited(filled.limit)
        place, line = owntemplates.spot(self._files, filled.file, filled.line)
        if filled.fault == "template":
            message = text("The template cannot be filled in: %(detail)s", detail=filled.detail)
            remedy = text("Look at the names and the blocks of the built-in template, which docs/user-guide.md lists.")
        else:
            message = text(
                "What comes out of the template is not valid YAML: %(detail)s (its line %(line)s)",
                detail=filled.detail, line=filled.line,
            )  # fmt: skip
            remedy = text("Look at what comes out with `refmill render`, and at what each block has to begin with.")
            place, line = Place(f"{owntemplates.FOLDER}/{owntemplates.MAIN}"), filled.excerpt
        return Problem("workflow-template", place, message, remedy, line)

    def _limited(self, limit: Limit) -> Problem:
        place = Place(f"{owntemplates.FOLDER}/{owntemplates.MAIN}")
        return Problem("workflow-limit", place, _LIMITS[limit], _SMALLER)

    def _problem(self, refusal: Refusal) -> Problem:
        place, line = owntemplates.spot(self._files, *self._line(refusal.path))
        return Problem("workflow-not-allowed", place, refusal.message, refusal.remedy, line)

    def _line(self, path: allowing.Path) -> tuple[str, int]:
        """Where the template most likely says it: the innermost key of `path` that stands in one of the files."""
        for part in reversed(path):
            word = re.compile(rf"(?<![\w./-]){re.escape(part.strip('[]'))}(?![\w./-])")
            for file, line in self._lines():
                if word.search(line[1]):
                    return file, line[0]
        return owntemplates.MAIN, 0

    def _lines(self) -> Iterator[tuple[str, tuple[int, str]]]:
        for file in sorted(self._files, key=lambda name: (name != owntemplates.MAIN, name)):
            for line in enumerate(self._files[file].split("\n"), 1):
                yield file, line
