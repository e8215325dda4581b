"""What a run is going to do, stage by stage, and why."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from refmill.model.pipelines import DataFile, LockEntry, Pipeline, Stage
from refmill.texts import Text

Verdict: TypeAlias = Literal["run", "cached", "later", "blocked"]
"""run = its inputs are known and nothing recorded answers them; cached = a recorded result is taken over;
later = an input is still to be made above it, so nobody can know yet; blocked = cannot start, see the reasons."""

ReasonKind: TypeAlias = Literal[
    "unchanged", "run-cache", "command", "dependency", "parameter", "output", "new", "forced", "always",
    "upstream", "missing-data", "environment", "image",
]  # fmt: skip


@dataclass(frozen=True, slots=True)
class Reason:
    """Why a stage got its verdict. `subject` is the path or key at fault; `old` and `new` are values or hashes."""

    kind: ReasonKind
    message: Text
    subject: str = ""
    old: str | None = None
    new: str | None = None


@dataclass(frozen=True, slots=True)
class MissingObject:
    """An object that no readable store has: its md5, the path that names it, its size in bytes if known."""

    md5: str
    path: str
    size: int | None = None


@dataclass(frozen=True, slots=True)
class StagePlan:
    """A stage with its verdict. `entry` is the whole lock entry if cached, else cmd, known deps and params."""

    stage: Stage
    verdict: Verdict
    reasons: tuple[Reason, ...]
    entry: LockEntry
    upstream: tuple[str, ...] = ()
    missing: tuple[MissingObject, ...] = ()


@dataclass(frozen=True, slots=True)
class DataPlan:
    """A .dvc file with its verdict: cached (all objects there) or blocked (some are missing)."""

    data: DataFile
    verdict: Literal["cached", "blocked"]
    reasons: tuple[Reason, ...] = ()
    missing: tuple[MissingObject, ...] = ()


@dataclass(frozen=True, slots=True)
class Plan:
    """The whole run. `stages` stand in DVC's execution order."""

    pipeline: Pipeline
    stages: tuple[StagePlan, ...] = ()
    data: tuple[DataPlan, ...] = ()
    warnings: tuple[Text, ...] = field(default=())

    @property
    def nothing(self) -> bool:
        """True if every stage is cached *as the committed lock has it*: there is nothing to do or to record."""
        return all(
            plan.verdict == "cached" and self.pipeline.lock.get(plan.stage.address) == plan.entry
            for plan in self.stages
        )

    def count(self, verdict: Verdict) -> int:
        """How many stages got `verdict`."""
        return sum(plan.verdict == verdict for plan in self.stages)
