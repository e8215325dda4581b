"""What people ask of a run: stop, pause, resume, retry, rerun.

A wish is durable; the engine's process carries it out.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Sequence
from dataclasses import dataclass

from refmill import errors
from refmill.flows.planning import Planner, Wish
from refmill.model.runs import RUN_ENDED, SET, Run, StageRun
from refmill.ports.engines import Engine
from refmill.ports.records import Catalogue, Runs, RunStates
from refmill.ports.repositories import Refs
from refmill.ports.waking import Bell

LOG = logging.getLogger(__name__)
ENDS = ("stop", "supersede")
WISHES = ("stop", "pause", "resume", "retry", "rerun", "supersede")


def retry_with(words: Sequence[str]) -> str:
    """The name of the wish to run again with parameters changed as `words` say; other words are another wish."""
    return f"retry:{hashlib.sha256(json.dumps(list(words)).encode()).hexdigest()[:20]}" if words else "retry"


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
        """Every wish that is open now, oldest first; one that makes no sense any more is struck out.

        The wish for an end stays open until the run has ended: a crash in between must not lose it.
        """
        for run_id, wish in self.states.wishes():
            name = run_id
            try:
                run = self.runs.get(run_id)
                name = run.name
                self._grant(run, wish)
                lasting = wish in ENDS and run.status not in RUN_ENDED
            except errors.Unavailable as error:
                LOG.warning("%s: %s has to wait: %s", name, wish, error)
                continue
            except errors.RefmillError as error:
                LOG.warning("%s: %s is not possible: %s", name, wish, error)
                lasting = False
            except Exception:
                LOG.exception("%s: %s failed, and is struck out", name, wish)
                lasting = False
            if not lasting:
                self.states.grant(run_id, wish)
                self.bell.ring(f"run:{run_id}")

    def _grant(self, run: Run, wish: str) -> None:
        if wish == "rerun" or wish.partition(":")[0] == "retry":
            self._retry(run, self.states.words(run.id, wish), everything=wish == "rerun")
        elif run.status in RUN_ENDED:
            return
        elif wish in ENDS:
            self.engine.stop(run.id)
        elif wish == "pause":
            self.states.move(run.id, "paused", expected=("running", "queued"), explanation=run.explanation)
            self.engine.pause(run.id)
        elif wish == "resume":
            self._resume(run)

    def _resume(self, run: Run) -> None:
        """Go on. Whoever says so consents to every stage that stands at its pause point; the consent is stored first,
        so that a restart does not ask again."""
        asking = [stage for stage in self.runs.stages(run.id) if stage.asks]
        for stage in asking:
            self.states.set_stage(run.id, StageRun(stage.address, "queued", stage.attempt), expected=("blocked",))
        begun = run.started is not None
        why = None if begun or asking else run.explanation  # it may still wait for data
        self.states.move(run.id, "running" if begun else "queued", expected=("paused",), explanation=why)
        self.engine.resume(run.id, [stage.address for stage in asking])

    def _retry(self, run: Run, words: Sequence[str], *, everything: bool) -> None:
        """A new attempt in which the finished stages come from the cache, or in which `everything` runs again; with
        `words`, parameters are changed further than they were."""
        if run.status not in RUN_ENDED:
            return
        repository = self.catalogue.get(run.repository_id)
        commit = self.refs.commit(repository.id, run.commit)
        wanted = (*run.words, *words)
        parameters = {SET: list(wanted)} if wanted else {}
        attempt = 1 + max((
            other.attempt for other in self.runs.list([repository.id], limit=1000, project=run.project)
            if other.commit == run.commit and other.words == wanted
        ), default=0)  # fmt: skip
        force = frozenset(self.runs.plan(run.id).pipeline.stages) if everything else frozenset[str]()
        self.planner.begin(Wish(repository, commit, run.ref, run.created_by, parameters, attempt, force, run.project))
