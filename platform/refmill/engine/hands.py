"""What the engine's hands do: look, build, collect. It may wait for disks and programs, and it changes no course."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TypeVar

from refmill import errors
from refmill.engine import attempts, endings, logs, results, stages, supervision
from refmill.engine.courses import Course, StageCourse
from refmill.engine.endings import told
from refmill.engine.environments import Environment
from refmill.engine.parts import Parts
from refmill.engine.removing import Remover
from refmill.engine.supervision import Exit, Supervisors
from refmill.model.plans import StagePlan
from refmill.model.runs import Usage
from refmill.plans.inputs import Inputs
from refmill.texts import Text, text

LOG = logging.getLogger(__name__)
AWAY, PAUSE = 6 * 3600.0, 5.0
"""Seconds that a stage waits for an object store that is away, between two looks too: outputs of a day's work are not
thrown away because somebody restarts the store, or sleeps while it is down."""
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Ending:
    """What collecting an attempt found: how it ended, its result, or why there is none, and whether the machine is to
    blame for that."""

    end: Exit
    result: stages.Result | None = None
    why: Text | None = None
    fault: bool = False


@dataclass(frozen=True, slots=True)
class Hands:
    """`remover` takes away what is no longer needed; once `leaving` is set, nothing is waited for any more."""

    parts: Parts
    supervisors: Supervisors
    remover: Remover
    leaving: threading.Event = field(default_factory=threading.Event)

    def look(self, course: Course, stage: StageCourse) -> tuple[StagePlan, Inputs, Environment | None]:
        """The verdict on a stage, its inputs, and its environment if it is there already."""
        item, inputs = self._patiently(course, lambda: course.known.look(stage.plan))
        if item.verdict != "run":
            return item, inputs, None
        project = course.template().path / course.order.run.project
        return item, inputs, self.parts.environments.known(project, stage.settings.requirements)

    def prepare(self, course: Course, job: stages.Job) -> stages.Job:
        """The workspace of an attempt."""
        return self._patiently(course, lambda: stages.prepare(job, self.parts.sandbox))

    def build(self, course: Course, stage: StageCourse) -> Environment:
        """The stage's environment, made if need be."""
        project = course.template().path / course.order.run.project
        return self.parts.environments.ready(project, stage.settings.requirements, trusted=course.order.trusted)

    def secrets(self, course: Course, stage: StageCourse) -> Mapping[str, str]:
        """The variables that take their value from secrets. Raises NotFound if one of them is not set."""
        wanted = stage.settings.secrets
        if not wanted:
            return {}
        found = self.parts.secrets(course.order.run, set(wanted.values()))
        if missing := next((name for name in wanted.values() if name not in found), None):
            raise errors.NotFound(endings.unset(missing, course.order.run.repository))
        return {variable: found[name] for variable, name in wanted.items()}

    def collect(self, course: Course, stage: StageCourse) -> Ending:
        """What became of the stage's attempt."""
        job = stage.job
        if job is None:
            raise errors.WrongUse(text("%(address)s has no attempt", address=stage.address))
        result = stages.collected(job.directory)
        if result is None and supervision.signs(job.directory) == "lost":
            return self._lost(course, stage, job)
        end = result.end if result else supervision.exit_of(job.directory)
        why = endings.explain(end, memory=job.memory, timeout=job.timeout, bounds=job.bounds)
        fault = end.reason in endings.FAULTS
        if result is None and why is None:
            try:
                result = self._patiently(course, lambda: stages.collect(job, end))
            except errors.RefmillError as error:
                why, fault = told(error), endings.ours(error)
        self._put_away(course, stage, job, why)
        return Ending(end, result, why, fault)

    def files(self, course: Course) -> dict[str, bytes]:
        """The small results of a finished run, which belong into git."""
        if course.progress.outcome != "succeeded":
            return {}
        return results.files(course.order.plan, course.known.entries, self.parts.memory(course.order.run))

    def _patiently(self, course: Course, work: Callable[[], T]) -> T:
        """What `work` gives, once nothing that it needs is away: it is done again from its beginning, as after a crash.
        Raises Away if that takes too long, or if the run is stopped meanwhile."""
        until = time.monotonic() + AWAY
        while True:
            try:
                return work()
            except errors.Away as error:
                if course.progress.stopping or self.leaving.is_set() or time.monotonic() > until:
                    raise
                LOG.warning("%s waits: %s", course.order.run.name, error)
            self.leaving.wait(PAUSE)

    def _lost(self, course: Course, stage: StageCourse, job: stages.Job) -> Ending:
        gone = self.supervisors.reap(job.directory)
        began = supervision.started(job.directory) or 0
        end = Exit("lost" if gone else "stuck", "", None, None, began, 0.0, Usage())
        why = endings.explain(end, memory=job.memory, timeout=job.timeout, bounds=job.bounds)
        self._put_away(course, stage, job, why)
        return Ending(end, None, why, fault=True)

    def _put_away(self, course: Course, stage: StageCourse, job: stages.Job, why: Text | None) -> None:
        """Close the attempt's log, and let its workspace go: also, and above all, where the disk is full."""
        try:
            if why is not None:
                logs.note(job.directory, why)
            (job.directory / "ended").touch()
            self.parts.keep(course.order.run, stage.address, stage.attempt, job.directory / attempts.LOG)
        except OSError as error:
            LOG.warning("the log of %s of %s is not kept: %s", stage.address, course.order.run.name, error)
        finally:
            self.remover.remove(*stages.workspace(job.directory))
