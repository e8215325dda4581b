"""Reading what somebody pushed: dvc.yaml, refmill.yaml, parameters, locks, .dvc files of one commit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from refmill.model.pipelines import Pipeline
from refmill.problems import Problem
from refmill.specs import Documents


@dataclass(frozen=True, slots=True)
class Source:
    """Where the files are: a commit of a bare repository (with the objects of a push not yet accepted), or, when
    `commit` is "", the working copy at `path`. `project` is a directory below the root, "" for the root itself.
    `words` change parameters first, as those of `dvc exp run --set-param` do."""

    path: Path
    commit: str = ""
    project: str = ""
    quarantine: Path | None = None
    words: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Checked:
    """What the files say, and every problem in them. `pipeline` is None if they cannot be understood at all. `changed`
    are the parameter files that the source's `words` change, by path from the project's root, as they are then."""

    pipeline: Pipeline | None
    documents: Documents = field(default_factory=Documents)
    problems: tuple[Problem, ...] = ()
    changed: Mapping[str, str] = field(default_factory=dict)

    @property
    def errors(self) -> tuple[Problem, ...]:
        """The problems that refuse a push."""
        return tuple(problem for problem in self.problems if not problem.warning)


class Resolver(Protocol):
    """Parses untrusted files within limits of memory, CPU and stages; a file that breaks them is itself a problem."""

    def check(self, source: Source) -> Checked:
        """All problems at once, with file, line and column. Never raises for anything that the files contain."""
