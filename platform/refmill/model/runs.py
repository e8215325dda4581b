"""Runs and their stages as they go along."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

from refmill.model.pipelines import LockEntry
from refmill.texts import Text, text

RunStatus: TypeAlias = Literal["queued", "running", "paused", "succeeded", "failed", "stopped", "superseded", "nothing"]
StageStatus: TypeAlias = Literal[
    "pending", "blocked", "queued", "running", "cached", "succeeded", "failed", "skipped", "stopped"
]
RUN_STATUSES: tuple[RunStatus, ...] = (
    "queued", "running", "paused", "succeeded", "failed", "stopped", "superseded", "nothing",
)  # fmt: skip
RUN_ENDED: frozenset[RunStatus] = frozenset({"succeeded", "failed", "stopped", "superseded", "nothing"})
STAGE_ENDED: frozenset[StageStatus] = frozenset({"cached", "succeeded", "failed", "skipped", "stopped"})
SET, SOURCE = "set", "commit"
"""Of a run's parameters: the words that change some (`train.lr=0.1`), and the commit with the files changed so."""
SOURCES = "refs/refmill/params/"
"""Where such a commit is kept while its run needs it: behind this stands the run's id."""
CONSENT = text("waits for your consent")
"""Why a stage with a pause point is blocked."""


def run_id(repository_id: str, commit: str, project: str, parameters: Mapping[str, Any], attempt: int) -> str:
    """The run's deterministic id: the same push planned twice gives one run (20 characters of base32, lower case).
    Of parameters counts what was asked for, not the commit that was made of it."""
    asked = {key: value for key, value in parameters.items() if key != SOURCE}
    digest = hashlib.sha256(json.dumps(asked, sort_keys=True).encode()).hexdigest()
    parts = json.dumps([repository_id, commit, project, digest, attempt])
    return base64.b32encode(hashlib.sha256(parts.encode()).digest()).decode().lower()[:20]


@dataclass(frozen=True, slots=True)
class Usage:
    """What a stage used: seconds of CPU, peak resident memory in bytes, bytes of its outputs, bytes that it had written
    to disks (0 where the system does not count them), peak memory of GPUs in bytes, as far as it was seen."""

    cpu_seconds: float = 0.0
    peak_memory: int = 0
    output_bytes: int = 0
    written_bytes: int = 0
    gpu_memory: int = 0


@dataclass(frozen=True, slots=True)
class StageRun:
    """One stage of one run. Times are UTC microseconds; `seconds` comes from a monotonic clock.

    `entry` is the finished lock entry. `explanation` says in words how it ended or what it waits for.
    `reasons` are those of its plan. `attempt` counts from 1. `environment` is the digest of what it ran in
    (`refmill.plans.digests`), "" where that is not known. `fault`: it failed, and the machine or the platform is to
    blame for it; that is for whoever watches them, and is not kept.
    """

    address: str
    status: StageStatus
    attempt: int = 1
    started: int | None = None
    finished: int | None = None
    seconds: float | None = None
    exit_code: int | None = None
    explanation: Text | None = None
    entry: LockEntry | None = None
    usage: Usage = field(default_factory=Usage)
    environment: str = ""
    fault: bool = field(default=False, compare=False)

    @property
    def asks(self) -> bool:
        """Whether it stands at its pause point, until somebody consents."""
        return self.status == "blocked" and self.explanation == CONSENT


@dataclass(frozen=True, slots=True)
class Made:
    """A recorded result: the lock entry that a stage made, and the digest of the environment that it was made in."""

    entry: LockEntry
    environment: str


@dataclass(frozen=True, slots=True)
class Run:
    """One run of one project at one commit. `number` counts up in its repository; `experiment` is `run-N`."""

    id: str
    repository_id: str
    repository: str
    number: int
    commit: str
    ref: str
    project: str
    status: RunStatus
    subject: str
    created_by: str
    created: int
    started: int | None = None
    finished: int | None = None
    attempt: int = 1
    parameters: Mapping[str, Any] = field(default_factory=dict)
    priority: int = 0
    explanation: Text | None = None
    experiment: str | None = None
    engine: str = "local"

    @property
    def name(self) -> str:
        """`owner/name#7`, as people and commands call it."""
        return f"{self.repository}#{self.number}"

    @property
    def words(self) -> tuple[str, ...]:
        """What was asked of its parameters, as after `dvc exp run -S`."""
        return tuple(map(str, self.parameters.get(SET, ())))

    @property
    def source(self) -> str:
        """The commit whose files it runs: its own, or one on top of it in which parameters are others."""
        return str(self.parameters.get(SOURCE) or self.commit)

    @property
    def source_ref(self) -> str:
        """The hidden ref that keeps that commit while the run needs it."""
        return SOURCES + self.id
