"""What people ask of a run: stop, pause, resume, retry. A wish is durable; the engine's process carries it out."""

from __future__ import annotations

import logging
from dataclasses import dataclass

from refmill import errors
from refmill.flows.planning import Planner, Wish
from refmill.model.runs import RUN_ENDED, Run, StageRun
from refmill.ports.engines import Engine
from refmill.ports.records import Catalogue, Runs, RunStates
from refmill.ports.repositories import Refs
from refmill.ports.waking import Bell
from refmill.texts import text

LOG = logging.getLogger(__name__)
WISHES = ("stop", "pause", "resume", "retry", "supersede")


@dataclass(frozen=True, slots=True)
class Control:
    """Carries out wishes, in the engine's process."""

    runs: Runs
    states: RunStates
    catalogue: Catalogue
    refs: Refs
    engine: Engine
    planner: Planner
    bell: Bell

    def grant_all(self) -> None:
        """Every wish that is open now, oldest first; one that makes no sense any more is struck out."""
        for run_id, wish in self.states.wishes():
            try:
                self._grant(self.runs.get(run_id), wish)
            except errors.RefmillError as error:
                LOG.warning("run %s: %s is not possible: %s", run_id, wish, error)
            self.states.grant(run_id, wish)
            self.bell.ring(f"run:{run_id}")

    def _grant(self, run: Run, wish: str) -> None:
        if wish == "retry":
            self._retry(run)
        elif run.status in RUN_ENDED:
            return
        elif wish in ("stop", "supersede"):
            self._end(run, wish)
        elif wish == "pause" and self.states.move(run.id, "paused", expected=("running", "queued")):
            self.engine.pause(run.id)
        elif wish == "resume" and self.states.move(run.id, "running", expected=("paused",)):
            self.engine.resume(run.id)

    def _end(self, run: Run, wish: str) -> None:
        """Superseded is told at once; the engine's later "stopped" then finds the run ended."""
        if wish == "supersede":
            newer = text("a newer push to %(ref)s took its place", ref=run.ref)
            self.states.move(run.id, "superseded", expected=("queued", "running", "paused"), explanation=newer)
        self.engine.stop(run.id)
        if run.status == "queued":
            self.states.move(run.id, "stopped", expected=("queued",))
        for stage in self.runs.stages(run.id):
            self.states.set_stage(
                run.id, StageRun(stage.address, "stopped", stage.attempt), expected=("pending", "blocked", "queued")
            )

    def _retry(self, run: Run) -> None:
        """A new attempt in which the finished stages come from the cache."""
        if run.status not in RUN_ENDED:
            return
        repository = self.catalogue.get(run.repository_id)
        commit = self.refs.commit(repository.id, run.commit)
        attempt = 1 + max(
            other.attempt for other in self.runs.list([repository.id], limit=1000)
            if other.commit == run.commit and other.parameters == run.parameters
        )  # fmt: skip
        self.planner.begin(Wish(repository, commit, run.ref, run.created_by, run.parameters, attempt))
