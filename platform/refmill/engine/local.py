"""The engine of one machine: takes runs, starts their stages as room allows, and tells what becomes of them.

One thread, the mind, decides; it never waits. Lookers look at stages; hands make workspaces and collect outputs; one
starter talks to the fork server; builders make environments; a teller tells the listener, in order; a remover takes
away what is over.

The rule to keep: nothing is told before it stands on disk. A successor is given the same orders, finds the attempts,
adopts those that live, collects those that ended, and starts again those that vanished.
"""

from __future__ import annotations

import functools
import logging
import time
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

from refmill import errors
from refmill.engine import attempts, endings, leftovers, stages, supervision
from refmill.engine.courses import Course, StageCourse
from refmill.engine.endings import Failed, told
from refmill.engine.environments import Environment
from refmill.engine.hands import Ending, Hands
from refmill.engine.parts import Parts
from refmill.engine.progress import OVER, WELL
from refmill.engine.removing import Remover
from refmill.engine.scheduler import Load, Scheduler, Turns
from refmill.engine.supervision import Supervisors
from refmill.engine.telling import Teller
from refmill.engine.threads import Workers
from refmill.engine.watching import Watcher
from refmill.model.plans import StagePlan
from refmill.model.runs import CONSENT, StageRun
from refmill.plans.inputs import Inputs
from refmill.ports.engines import RunOrder
from refmill.texts import Text, text

LOG = logging.getLogger(__name__)
HANDS = 4  # hashing and copying wait for the disk more than for a core
LOOKERS = 2  # with a queue of their own: the first of a thousand stages starts before the last has been looked at
BUILDERS = 2  # environments at a time; each may take minutes and most of the line
AHEAD = 2  # workspaces that are made before there is room for their stages
T = TypeVar("T")


class LocalEngine:
    """`ports.engines.Engine` on this machine."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._runs: dict[str, Course] = {}
        self._places: dict[Path, tuple[Course, StageCourse]] = {}
        self._scheduler = Scheduler(parts.budget)
        self._supervisors = Supervisors()
        self._mind = Workers("mind", 1)
        self._hands = Workers("hands", HANDS)
        self._lookers = Workers("looker", LOOKERS)
        self._builders = Workers("builder", BUILDERS)
        self._starter = Workers("starter", 1)
        self._teller = Teller(parts.listener)
        self._remover = Remover()
        self._worker = Hands(parts, self._supervisors, self._remover)
        self._turns = Turns()
        self._coming: dict[str, list[Callable[[Course], None]]] = {}
        parts.work.mkdir(parents=True, exist_ok=True)
        for name in parts.groups.sweep(lambda name: _alive(parts.work, name)):
            LOG.error("the control group %s: something in it cannot be ended", name)
        self._watcher = Watcher(parts.work / "ended.fifo", lambda place: self._mind.do(lambda: self._ended(place)))

    def submit(self, order: RunOrder) -> None:
        run_id = order.run.id
        turn = self._turns.of(order.run.created, time.time_ns() // 1000)

        def read() -> Course:
            return Course(
                order, self._parts.memory(order.run), folder=self._parts.work / run_id,
                repository=lambda: self._parts.repository(order.run.repository_id), defaults=self._parts.defaults,
                turn=turn,
            )  # fmt: skip

        def refused(why: Text, *, fault: bool) -> None:
            self._coming.pop(run_id, None)
            self._teller.do(run_id, lambda: self._parts.listener.ended(run_id, "failed", {}, {}, why, fault=fault))

        self._mind.do(lambda: self._expect(run_id))
        self._give(self._hands, read, self._enter, refused)

    def stop(self, run_id: str) -> None:
        def unknown() -> None:
            self._teller.do(run_id, lambda: self._parts.listener.ended(run_id, "stopped", {}, {}))

        self._mind.do(lambda: self._wish(run_id, self._stop, unknown))

    def pause(self, run_id: str) -> None:
        self._mind.do(lambda: self._wish(run_id, self._pause))

    def resume(self, run_id: str, consent: Iterable[str] = ()) -> None:
        allowed = tuple(consent)
        self._mind.do(lambda: self._wish(run_id, lambda course: self._resume(course, allowed)))

    @property
    def load(self) -> Load:
        """What stages have of the machine now."""
        return self._scheduler.load

    def close(self) -> None:
        self._mind.close()
        self._worker.leaving.set()
        for workers in (self._starter, self._hands, self._lookers, self._builders, self._teller, self._remover):
            workers.close()
        self._watcher.close()
        self._supervisors.close()
        self._parts.groups.leave()

    def clean(self, keep: Iterable[str]) -> None:
        """End what runs of runs that are not in `keep`, and take their folders away. At start-up."""
        kept = set(keep)
        for folder in self._parts.work.iterdir():
            if folder.name not in kept and folder.is_dir():
                self._hands.do(functools.partial(_end, folder))

    # The mind: everything below, up to the hands, runs in one thread.

    def _expect(self, run_id: str) -> None:
        """From here until the run enters, wishes for it are kept."""
        if run_id not in self._runs:
            self._coming.setdefault(run_id, [])

    def _wish(self, run_id: str, grant: Callable[[Course], None], unknown: Callable[[], None] = lambda: None) -> None:
        if run_id in self._coming:
            self._coming[run_id].append(grant)
        elif run_id in self._runs:
            grant(self._runs[run_id])
        else:
            unknown()

    def _enter(self, course: Course) -> None:
        """A run begins, or goes on after a restart."""
        if course.run_id in self._runs:
            return
        self._runs[course.run_id] = course
        refusal = self._parts.sandbox.refusal(course.order.owner, trusted=course.order.trusted)
        for address, stage in course.stages.items():
            if course.progress[address] in OVER:
                continue
            stage.attempt = attempts.latest(self._parts.work, course.run_id, address)
            if stage.attempt:
                self._adopt(course, stage)
            elif refusal is not None:
                self._over(course, stage, StageRun(address, "failed", 1, explanation=refusal))
        for grant in self._coming.pop(course.run_id, ()):
            grant(course)
        self._advance(course, course.progress.ready())
        self._hopeless(course)

    def _adopt(self, course: Course, stage: StageCourse) -> None:
        """An attempt of an earlier engine: go on where it stands."""
        for number in range(1, stage.attempt):
            self._count(stage, _reason(self._parts.work, course.run_id, stage.address, number))
        place = attempts.directory(self._parts.work, course.run_id, stage.address, stage.attempt)
        known = stages.known(supervision.spec_of(place)) or stage.plan.entry
        stage.job = course.job(stage, stage.attempt, known)
        stage.allowed = True
        self._places[place] = (course, stage)
        course.progress.set(stage.address, "running")
        if supervision.signs(place) == "alive":
            self._scheduler.adopt(stage.task, supervision.spec_of(place).get("gpus", ()))
            self._tell_stage(course, StageRun(stage.address, "running", stage.attempt, supervision.started(place)))
            self._watcher.watch(place)
        else:
            self._ended(place)

    def _advance(self, course: Course, addresses: Iterable[str]) -> None:
        """Look at stages whose inputs have been made."""
        if course.paused:
            return
        for address in addresses:
            stage = course.stages[address]
            course.progress.set(address, "queued")
            look = functools.partial(self._worker.look, course, stage)
            self._hand(course, stage, look, self._looked, self._lookers)

    def _looked(self, course: Course, stage: StageCourse, found: tuple[StagePlan, Inputs, Environment | None]) -> None:
        stage.plan, stage.inputs, stage.environment = found
        number = stage.attempt + 1 if stage.told else max(1, stage.attempt)
        if stage.plan.verdict == "cached":
            note = next((reason.message for reason in stage.plan.reasons if reason.kind == "environment"), None)
            self._over(
                course, stage, StageRun(stage.address, "cached", number, explanation=note, entry=stage.plan.entry)
            )
        elif stage.plan.verdict != "run":
            why = stage.plan.reasons[0].message if stage.plan.reasons else None
            self._over(course, stage, StageRun(stage.address, "blocked", number, explanation=why))
        elif (shortage := self._scheduler.shortage(stage.task.need)) is not None:
            self._fail(course, stage, shortage)
        elif not stage.allowed:
            course.asking.add(stage.address)
            self._tell_stage(course, StageRun(stage.address, "blocked", stage.attempt + 1, explanation=CONSENT))
            self._rest(course)
        elif stage.environment is None:
            self._hand(course, stage, lambda: self._worker.build(course, stage), self._equipped, self._builders)
        else:
            self._equipped(course, stage, stage.environment)

    def _equipped(self, course: Course, stage: StageCourse, environment: Environment) -> None:
        stage.environment = environment
        if not course.paused:
            self._scheduler.add(stage.task)
            self._schedule()
        if stage.grant is None and not stage.told:
            stage.told = True
            # Its workspace may be made ahead already, and then the attempt has its number.
            begun = stage.preparing or stage.prepared
            self._tell_stage(course, StageRun(stage.address, "queued", stage.attempt if begun else stage.attempt + 1))

    def _schedule(self) -> None:
        """Start what there is room for, and make the next ones ready."""
        for grant in self._scheduler.grant():
            course, stage = self._find(grant.task.key)
            stage.grant = grant
            if stage.prepared:
                self._launch(course, stage)
            else:
                self._prepare(course, stage)
        for task in self._scheduler.ahead(AHEAD):
            self._prepare(*self._find(task.key))

    def _prepare(self, course: Course, stage: StageCourse) -> None:
        if stage.preparing or stage.prepared:
            return
        stage.preparing = True
        stage.attempt += 1
        job = stage.job = course.job(stage, stage.attempt, stage.plan.entry)
        self._hand(course, stage, lambda: self._worker.prepare(course, job), self._prepared)

    def _prepared(self, course: Course, stage: StageCourse, job: stages.Job) -> None:
        stage.job, stage.preparing, stage.prepared = job, False, True
        if stage.grant is not None and course.paused:  # its room is for others until the run goes on
            self._drop(stage)
            self._schedule()
        elif stage.grant is not None:
            self._launch(course, stage)

    def _launch(self, course: Course, stage: StageCourse) -> None:
        job, environment, grant = stage.job, stage.environment, stage.grant
        if job is None or environment is None or grant is None:
            raise errors.WrongUse(text("%(address)s is not ready", address=stage.address))
        course.progress.set(stage.address, "running")
        self._places[job.directory] = (course, stage)

        def start() -> None:
            spec = stages.spec(
                job, self._parts.sandbox, environment, grant.gpus, self._watcher.fifo, self._parts.groups
            )
            self._supervisors.start(job.directory, spec, self._worker.secrets(course, stage))

        self._hand(course, stage, start, self._launched, self._starter)

    def _launched(self, course: Course, stage: StageCourse, _: None) -> None:
        if stage.job is None:
            return
        began = supervision.started(stage.job.directory) or time.time_ns() // 1000
        self._tell_stage(course, StageRun(stage.address, "running", stage.attempt, began))
        if course.progress.stopping:
            supervision.stop(stage.job.directory)
        self._watcher.watch(stage.job.directory)

    def _ended(self, place: Path) -> None:
        """An attempt is over or lost: its room is free at once, its outputs are collected beside what runs."""
        course, stage = self._places.pop(place, (None, None))
        if course is None or stage is None:
            return
        self._scheduler.release(stage.task.key)
        stage.grant, stage.prepared = None, False
        self._schedule()
        self._hand(course, stage, lambda: self._worker.collect(course, stage), self._collected)

    def _collected(self, course: Course, stage: StageCourse, found: Ending) -> None:
        end = found.end
        finished = end.started + int(end.seconds * 1_000_000)  # also where the clock was set meanwhile
        state = StageRun(
            stage.address, "succeeded", stage.attempt, end.started, finished, end.seconds, end.code,
            found.why, found.result.entry if found.result else None,
            replace(end.usage, output_bytes=found.result.output_bytes if found.result else 0),
            course.order.environments.get(stage.address, ""),
        )  # fmt: skip
        if found.result is not None:
            self._over(course, stage, state)
            return
        again = self._count(stage, end.reason) and not course.progress.closed
        stopped = end.reason == "stopped" or course.progress.stopping
        state = replace(state, status="stopped" if stopped else "failed", fault=found.fault and not stopped)
        if not again:
            self._over(course, stage, state)
            return
        # Together: a successor that is told of the failure alone takes it for the stage's end.
        self._teller.stage(course.run_id, state, StageRun(stage.address, "queued", stage.attempt + 1))
        course.progress.set(stage.address, "queued")
        stage.told = True
        if stage.environment is None:  # adopted: it has not been looked at here
            course.progress.set(stage.address, "pending")
            self._advance(course, [stage.address])
        else:
            self._equipped(course, stage, stage.environment)

    def _count(self, stage: StageCourse, reason: str) -> bool:
        """Count an attempt that gave no result; whether there is another one."""
        again = endings.again(reason, failures=stage.failures, losses=stage.losses, retries=stage.settings.retries)
        if reason == "lost":
            stage.losses += 1
        else:
            stage.failures += 1
        return again

    def _fail(self, course: Course, stage: StageCourse, why: Text, *, fault: bool = False) -> None:
        """Something other than the command went wrong."""
        if course.progress[stage.address] in OVER:
            self._late(course)
            return
        if stage.job is not None:
            self._places.pop(stage.job.directory, None)
            self._remover.remove(*stages.workspace(stage.job.directory))
        number = max(1, stage.attempt)
        self._over(course, stage, StageRun(stage.address, "failed", number, explanation=why, fault=fault))

    def _late(self, course: Course) -> None:
        """Work on a stage that is over came to its end, maybe in the folder of a run that was stopped meanwhile."""
        if course.run_id not in self._runs:
            self._remover.remove(course.folder)

    def _over(self, course: Course, stage: StageCourse, state: StageRun) -> None:
        """A stage has ended for good."""
        self._drop(stage)
        course.progress.set(stage.address, state.status)
        course.why[stage.address] = state
        self._tell_stage(course, state)
        if state.entry is not None:
            course.known.learn(stage.address, state.entry)
        if state.status in WELL:
            self._advance(course, course.progress.freed(stage.address))
        self._hopeless(course)
        self._schedule()
        self._rest(course)

    def _rest(self, course: Course) -> None:
        """Tell when a run has come to where nothing but somebody's consent lets it go on."""
        if not course.asking or course.progress.named(["running"]):
            return
        waiting = course.progress.named(["queued"])
        if course.asking.issuperset(waiting):
            self._teller.do(course.run_id, lambda: self._parts.listener.waits(course.run_id, waiting))

    def _hopeless(self, course: Course) -> None:
        """Close the stages that will never start, and the run when nothing is left."""
        for address, blamed in course.progress.hopeless():
            self._drop(course.stages[address])
            course.asking.discard(address)
            state = StageRun(address, "stopped")
            if blamed:
                state = StageRun(address, "skipped", explanation=text("%(address)s did not succeed", address=blamed))
            course.progress.set(address, state.status)
            self._tell_stage(course, state)
        if course.progress.over and not course.closing:
            course.closing = True
            self._give(self._hands, lambda: self._worker.files(course), lambda files: self._close_run(course, files),
                       functools.partial(self._close_run, course, {}))  # fmt: skip

    def _close_run(
        self, course: Course, files: dict[str, bytes], trouble: Text | None = None, *, fault: bool = False
    ) -> None:
        outcome = course.progress.outcome if trouble is None else "failed"
        why = trouble or _explanation(course)

        def tell() -> None:
            self._parts.listener.ended(course.run_id, outcome, files, dict(course.known.entries), why, fault=fault)
            self._remover.remove(course.folder)

        def give_up(detail: str) -> None:
            lost = text("its results could not be recorded: %(detail)s", detail=detail)
            self._parts.listener.ended(course.run_id, "failed", {}, {}, lost, fault=True)
            self._remover.remove(course.folder)

        self._teller.do(course.run_id, tell, give_up)
        self._runs.pop(course.run_id, None)

    def _drop(self, stage: StageCourse) -> None:
        self._scheduler.remove(stage.task.key)
        self._scheduler.release(stage.task.key)
        stage.grant = None

    def _find(self, key: str) -> tuple[Course, StageCourse]:
        run_id, _, address = key.partition("/")
        course = self._runs[run_id]
        return course, course.stages[address]

    def _stop(self, course: Course) -> None:
        course.progress.stopping = True
        for place, (owner, _) in self._places.items():
            if owner is course and place.exists():
                supervision.stop(place)
        self._hopeless(course)
        self._schedule()

    def _pause(self, course: Course) -> None:
        course.paused = True
        for address in course.progress.named(["queued"]):
            if course.stages[address].grant is None:
                self._scheduler.remove(course.stages[address].task.key)

    def _resume(self, course: Course, consent: Iterable[str]) -> None:
        """Go on, also with the stages that waited for the consent now given."""
        course.paused = False
        for address in consent:
            if address in course.stages:
                course.stages[address].allowed = True
        for address in course.progress.named(["queued"]):
            stage = course.stages[address]
            if address in course.asking and stage.allowed:
                course.asking.remove(address)
                self._looked(course, stage, (stage.plan, stage.inputs, stage.environment))
            elif stage.environment is not None and address not in course.asking:
                self._scheduler.add(stage.task)
        self._advance(course, course.progress.ready())
        self._schedule()

    def _hand(
        self, course: Course, stage: StageCourse, work: Callable[[], T],
        then: Callable[[Course, StageCourse, T], None], workers: Workers | None = None,
    ) -> None:  # fmt: skip
        """Have `work` done, then go on in the mind, unless the stage has been closed meanwhile."""

        def go_on(value: T) -> None:
            if course.progress[stage.address] not in OVER:
                then(course, stage, value)
            else:
                self._late(course)

        def failed(why: Text, *, fault: bool) -> None:
            # What an environment is made of comes from the repository: it seldom fails for another reason.
            self._fail(course, stage, why, fault=fault and workers is not self._builders)

        self._give(workers or self._hands, work, go_on, failed)

    def _give(self, workers: Workers, work: Callable[[], T], then: Callable[[T], None], failed: Failed) -> None:
        def job() -> None:
            try:
                value = work()
            except errors.RefmillError as error:
                why, ours = told(error), endings.ours(error)
            except Exception as error:
                fault, ours = errors.of_disk(error) if isinstance(error, OSError) else None, True
                if fault is None:
                    LOG.exception("the engine failed at a job")
                    why = text("Refmill itself failed: %(detail)s", detail=f"{type(error).__name__}: {error}")
                else:
                    LOG.warning("a stage fails: %s", error)
                    why = told(fault)
            else:
                self._mind.do(lambda: then(value))
                return
            self._mind.do(lambda: failed(why, fault=ours))

        workers.do(job)

    def _tell_stage(self, course: Course, state: StageRun) -> None:
        self._teller.stage(course.run_id, state)


def _alive(work: Path, group: str) -> bool:
    """Whether the attempt with that control group has its supervisor still."""
    run_id, _, place = group.partition(".")
    return supervision.signs(work / run_id / place) == "alive"


def _end(folder: Path) -> None:
    if not leftovers.end(folder):
        LOG.error("%s: something of an earlier run lives on in it", folder)


def _reason(work: Path, run_id: str, address: str, attempt: int) -> str:
    try:
        return supervision.exit_of(attempts.directory(work, run_id, address, attempt)).reason
    except errors.Damaged:
        return "lost"


def _explanation(course: Course) -> Text | None:
    bad = [course.why[address] for address in course.progress.named(["failed", "blocked"]) if address in course.why]
    if not bad or bad[0].explanation is None:
        return None
    return text("%(address)s %(why)s", address=bad[0].address, why=bad[0].explanation)
