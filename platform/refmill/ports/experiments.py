"""The DVC experiments of the hosted repositories: Refmill's own and those that people push."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from refmill.formats.measures import Value
from refmill.ports.repositories import Commit


@dataclass(frozen=True, slots=True)
class Experiment:
    """What `refs/exps/<2>/<38>/<name>` holds. `baseline` is None where that commit is not in the repository (any
    more); `time` is the committer's, UTC seconds: DVC sorts by it."""

    name: str
    baseline_sha: str
    commit: Commit
    time: int
    baseline: Commit | None = None

    @property
    def ref(self) -> str:
        """Its full ref."""
        return f"refs/exps/{self.baseline_sha[:2]}/{self.baseline_sha[2:]}/{self.name}"


@dataclass(frozen=True, slots=True)
class Listing:
    """Experiments, newest first; `left_out` counts older ones beyond the limit."""

    experiments: Sequence[Experiment] = ()
    left_out: int = 0


@dataclass(frozen=True, slots=True)
class Values:
    """Metrics and parameters of a commit: file → dotted name → value. `unreadable` names files that should hold some
    and cannot be read; `missing` those that DVC tracks and whose data is not in the store."""

    metrics: Mapping[str, Mapping[str, Value]] = field(default_factory=dict)
    params: Mapping[str, Mapping[str, Value]] = field(default_factory=dict)
    unreadable: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()


class Experiments(Protocol):
    """Reading them, in bounds: of count, of sizes, of time."""

    def list(self, repository_id: str) -> Listing:
        """All of them, newest first."""

    def find(self, repository_id: str, name: str) -> Sequence[Experiment]:
        """Those of that name, newest first: a name is unique only within a baseline."""

    def values(self, repository_id: str, shas: Iterable[str], *, seconds: float) -> Mapping[str, Values]:
        """Values of commits by their shas, read in the order given for about `seconds`; those that were not read by
        then are left out, and asking again goes on from there."""
