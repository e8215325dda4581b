"""What runs a plan. One plan, one result, several engines: local here, Argo Workflows elsewhere."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol

from refmill.model.pipelines import LockEntry
from refmill.model.plans import Plan
from refmill.model.runs import Run, StageRun
from refmill.model.stages import StageSettings
from refmill.texts import Text

__all__ = ["Engine", "Listener", "RunOrder", "StageSettings"]


@dataclass(frozen=True, slots=True)
class RunOrder:
    """All that an engine needs to carry out a run, also after a restart.

    `done` are the stages that ended in this run before (from the database); `on_error` as in decisions: `stop` lets
    running stages finish and starts no new one, `continue` goes on with what does not depend on the failed one.
    `paused`: it goes on only after `resume`. `allowed` are stages with a pause point to which somebody consented.
    `environments` are the digests of what the stages run in, by address; they are recorded with results, and count as
    inputs where `rerun_on_environment_change` is set. `network`: its stages may use the network, where a sandbox can
    take it from them.
    """

    run: Run
    plan: Plan
    settings: Mapping[str, StageSettings]
    owner: str
    done: Mapping[str, StageRun] = field(default_factory=dict)
    on_error: Literal["stop", "continue"] = "stop"
    trusted: bool = False
    paused: bool = False
    allowed: frozenset[str] = frozenset()
    environments: Mapping[str, str] = field(default_factory=dict)
    rerun_on_environment_change: bool = False
    network: bool = True


class Engine(Protocol):
    """Carries out runs. Every method returns at once; what happens is told to the `Listener`."""

    def submit(self, order: RunOrder) -> None:
        """Begin (or, after a restart, go on with) a run; the same run twice is no error."""

    def stop(self, run_id: str) -> None:
        """End the run's processes now; its unfinished stages end as stopped. One that the engine does not hold is told
        as stopped at once; again is no error."""

    def pause(self, run_id: str) -> None:
        """Start nothing new; running stages finish."""

    def resume(self, run_id: str, consent: Iterable[str] = ()) -> None:
        """Go on after a pause, also with those stages in `consent` that waited for it."""

    def clean(self, keep: Iterable[str]) -> None:
        """End what still runs of runs that are not in `keep`. At start-up."""

    def close(self) -> None:
        """Stop watching, without ending what runs: a later start adopts it."""


class Listener(Protocol):
    """Whoever keeps the record. Called from the engine's threads; each call is durable on return."""

    def stages(self, run_id: str, stages: Sequence[StageRun]) -> None:
        """Stages changed their states, in this order; one may be among them several times."""

    def waits(self, run_id: str, stages: Sequence[str]) -> None:
        """Nothing of the run runs or can run until somebody consents to `stages`."""

    def ended(
        self, run_id: str, status: Literal["succeeded", "failed", "stopped"], files: Mapping[str, bytes],
        entries: Mapping[str, LockEntry], explanation: Text | None = None, *, fault: bool = False,
    ) -> None:  # fmt: skip
        """The run is over. `entries` are all finished stages' lock entries by address (cached ones included), `files`
        the small results that belong into git: `cache: false` outputs and .gitignore files, by path from the root.
        `fault`: the machine or the platform is to blame that it failed, and none of its stages."""
