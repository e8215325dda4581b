"""Records what an engine tells: each stage's course, and at the end the result, in git.

The rule to keep: the experiment is made before the run is called succeeded, and making it again gives the same commit;
so a crash between the two costs nothing and records nothing twice.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Literal

from refmill import errors
from refmill.flows.planning import AUTHOR, EMAIL, RESULT_TRAILER
from refmill.model.pipelines import LockEntry
from refmill.model.runs import RUN_ENDED, STAGE_ENDED, Run, RunStatus, StageRun
from refmill.plans import locks, projects
from refmill.ports.records import Runs, RunStates
from refmill.ports.repositories import NewCommit, Refs, Repositories
from refmill.ports.trees import Tree
from refmill.ports.waking import Bell
from refmill.texts import Text, text

LOG = logging.getLogger(__name__)
RESULTS = 200
"""Result commits that are looked through: as many as a commit may have projects, and some that were run again."""
TRIES = 5
"""How often a branch is looked at anew because it moved meanwhile."""


class Recorder:
    """The engine's listener. `commits_results` tells whether a run's results go onto its branch; `archive` keeps
    `run.json` of an ended run in the object store."""

    def __init__(
        self, *, runs: Runs, states: RunStates, repositories: Repositories, refs: Refs, bell: Bell,
        commits_results: Callable[[Run], bool], archive: Callable[[Run], None],
    ) -> None:  # fmt: skip
        self._runs, self._states, self._repositories, self._refs, self._bell = runs, states, repositories, refs, bell
        self._commits_results, self._archive = commits_results, archive

    def stages(self, run_id: str, stages: Sequence[StageRun]) -> None:
        """Stages changed their states."""
        try:
            self._states.set_stages(run_id, stages)
        except errors.NotFound:
            LOG.info("run %s is deleted: nobody notes the states of %s stages", run_id, len(stages))
        self._bell.ring(f"run:{run_id}")

    def waits(self, run_id: str, stages: Sequence[str]) -> None:
        """Nothing can run until somebody consents; that somebody may have done so while this was on its way."""
        why = text("waits for your consent to start %(stages)s", stages=", ".join(stages))
        moved = self._states.move(run_id, "paused", expected=("queued", "running"), explanation=why)
        if moved and not any(stage.asks for stage in self._runs.stages(run_id)):
            self._states.move(run_id, "running", expected=("paused",))
        self._bell.ring(f"run:{run_id}")

    def ended(
        self, run_id: str, status: Literal["succeeded", "failed", "stopped"], files: Mapping[str, bytes],
        entries: Mapping[str, LockEntry], explanation: Text | None = None, *, fault: bool = False,
    ) -> None:  # fmt: skip
        """The run is over: record its results, then its status."""
        try:
            run = self._runs.get(run_id)
        except errors.NotFound:
            LOG.info("run %s is deleted: nobody notes that it %s", run_id, status)
            return
        if run.status in RUN_ENDED:
            return
        end: RunStatus = status
        if status == "succeeded":
            explanation = self._record(run, files, entries) or explanation
        elif status == "stopped" and (run_id, "supersede") in self._states.wishes():
            branch = run.ref.removeprefix("refs/heads/")
            end, explanation = "superseded", text("a newer push to %(ref)s took its place", ref=branch)
        if status == "stopped":
            self._stop_stages(run_id)
        over = self._ending(run_id, end, explanation)
        self._archive(over)  # first: a run that is called ended has its archive
        moved = self._states.move(
            run_id, end, expected=("queued", "running", "paused"), explanation=explanation, finished=over.finished
        )
        if not moved:
            with contextlib.suppress(errors.NotFound):  # deleted just now
                self._archive(self._runs.get(run_id))
        if run.source != run.commit:
            with contextlib.suppress(errors.Conflict, errors.NotFound):  # a crash before this had taken it away
                self._refs.remove(run.repository_id, {run.source_ref: run.source})
        self._bell.ring(f"run:{run_id}")
        self._bell.ring("runs")

    def _stop_stages(self, run_id: str) -> None:
        """The stages of a run that the engine did not hold, as one that waits for data."""
        left = [stage for stage in self._runs.stages(run_id) if stage.status not in STAGE_ENDED]
        self._states.set_stages(run_id, [StageRun(stage.address, "stopped", stage.attempt) for stage in left])

    def _ending(self, run_id: str, status: RunStatus, explanation: Text | None) -> Run:
        """The run as it is about to be."""
        run = self._runs.get(run_id)
        return replace(run, status=status, finished=self._states.end_of(run), explanation=explanation)

    def _record(self, run: Run, files: Mapping[str, bytes], entries: Mapping[str, LockEntry]) -> Text | None:
        """Make the experiment, and the commit on the branch if it is asked for. A note if that could not be."""
        tree = self._repositories.tree(run.repository_id, run.commit, project=run.project)
        recorded = locks.merged(tree, self._runs.plan(run.id).pipeline, entries)
        changed = {
            projects.full(run.project, path): data
            for path, data in ({**files, **recorded}).items()
            if _differs(tree, path, data)
        } | self._parameters(run)
        name = f"run-{run.number}"
        message = f"refmill: {run.repository} run {run.number}\n\n{run.subject}\n\n{RESULT_TRAILER}{run.id}\n"
        commit = NewCommit(run.commit, changed, message, AUTHOR, EMAIL, run.created // 1_000_000)
        ref = f"refs/exps/{run.commit[:2]}/{run.commit[2:]}/{name}"
        self._refs.record(run.repository_id, commit, ref, None)
        self._states.set_experiment(run.id, name)
        if not changed or run.words or not (run.ref.startswith("refs/heads/") and self._commits_results(run)):
            return None  # other parameters than the branch has are an experiment, until somebody applies it
        if not self._put(run, commit):
            return text("%(ref)s has moved on: the results are in the experiment %(name)s only", ref=run.ref, name=name)
        return None

    def _parameters(self, run: Run) -> dict[str, bytes]:
        """The parameter files that are others than in the run's commit."""
        if run.source == run.commit:
            return {}
        there = self._repositories.tree(run.repository_id, run.source)
        changed = self._refs.changed_paths(run.repository_id, run.commit, run.source)
        return {path: there.read(path) for path in changed}

    def _put(self, run: Run, commit: NewCommit) -> bool:
        """Put the results onto the branch, also onto results of other projects of the same commit; False if it has
        moved otherwise."""
        for _ in range(TRIES):
            tip = self._refs.tip(run.repository_id, run.ref) or ""
            theirs = self._results_since(run, tip) if tip else None
            if theirs is None:
                return False
            there = self._repositories.tree(run.repository_id, tip)
            if run.id in theirs or not any(_differs(there, path, data or b"") for path, data in commit.files.items()):
                return True
            with contextlib.suppress(errors.Conflict):
                self._refs.record(run.repository_id, replace(commit, parent=tip), run.ref, tip)
                return True
        return False

    def _results_since(self, run: Run, tip: str) -> set[str] | None:
        """The runs whose results alone lie between a run's commit and `tip`; None if there is something else."""
        found: set[str] = set()
        for _ in range(RESULTS):
            if tip == run.commit:
                return found
            try:
                there = self._refs.commit(run.repository_id, tip)
            except errors.NotFound:
                return None
            lines = there.message.splitlines()
            ids = [line.removeprefix(RESULT_TRAILER) for line in lines if line.startswith(RESULT_TRAILER)]
            if not ids or len(there.parents) != 1:
                return None
            found.update(ids)
            tip = there.parents[0]
        return None


def _differs(tree: Tree, path: str, data: bytes) -> bool:
    try:
        return tree.read(path) != data
    except errors.NotFound:
        return True
