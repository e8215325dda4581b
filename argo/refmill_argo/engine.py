"""The engine of a cluster: submits runs as Argo Workflows, keeps up with what becomes of them, and tells their end.

Pods tell the platform how their stages go, and the platform writes it into the records. This engine looks at the
records and at the cluster together, does what `judging` says, and looks again: after an event, after a bell, and now
and then. So a restart needs nothing but the records, the cluster and plan.json.

The rule to keep: nothing waits in the methods of the port. Whatever asks the cluster or the records is done in rounds,
and done again until it is done.
"""

from __future__ import annotations

import contextlib
import logging
import shutil
import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from refmill import errors
from refmill.engine.endings import told
from refmill.engine.progress import OVER, Outcome
from refmill.model.pipelines import LockEntry
from refmill.model.runs import RUN_ENDED, StageRun
from refmill.ports.engines import RunOrder
from refmill.texts import Text, text
from refmill_argo import closing, contract, courses, doing, judging, papers, sights
from refmill_argo.beyond import Beyond
from refmill_argo.cluster import PODS, SECRETS, WORKFLOWS, Thing
from refmill_argo.compiling import compile_run
from refmill_argo.courses import Course
from refmill_argo.judging import DropPod, MakeChild, Reword, SetNode, Sight, Suspend, Terminate, Verdict, Write
from refmill_argo.manifests import selector
from refmill_argo.notes import TELLING
from refmill_argo.parts import Parts
from refmill_argo.rounds import Rounds
from refmill_argo.turns import Turns
from refmill_argo.watching import Watching
from refmill_argo.writing import writer

LOG = logging.getLogger(__name__)
AGAIN = 10.0  # seconds after which a run is looked at though nothing was told: every hint may be lost
UNKNOWN = 0.5  # seconds between two looks while the cluster has not been listed yet
TAIL = 600.0  # seconds that the Workflow of a run that ended well may take to notice
TAIL_LOOKS = 2.0  # seconds between two looks at one
CLEAN = "the start"


class ArgoEngine:
    """`ports.engines.Engine` on a cluster with Argo Workflows."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._courses: dict[str, Course] = {}
        self._guard = threading.Lock()
        self._turns = Turns(parts.most, parts.each)
        self._keep: frozenset[str] = frozenset()
        self._earlier: set[str] = set()
        self._strays: set[str] = set()
        self._began = time.monotonic()
        self._over = threading.Event()
        self._beyond = Beyond(parts.archive)
        self._rounds = Rounds(self._look, self._give_up)
        chosen = selector(parts.options)
        self._workflows = Watching(
            parts.cluster, WORKFLOWS, chosen, sights.workflow, self._rounds.soon, relist=parts.relist
        )
        self._pods = Watching(parts.cluster, PODS, chosen, sights.pod, self._rounds.soon, relist=parts.relist)
        self._workflows.start()
        self._pods.start()
        self._listener = threading.Thread(target=self._listen, name="refmill-argo-bell", daemon=True)
        self._listener.start()

    def submit(self, order: RunOrder) -> None:
        with self._guard:
            self._courses.setdefault(order.run.id, Course(order, order.paused))
        self._rounds.soon(order.run.id, 0)

    def stop(self, run_id: str) -> None:
        with self._guard:
            course = self._courses.get(run_id)
            if course is not None:
                course.stopping = True
            else:
                self._strays.add(run_id)
        self._rounds.soon(run_id, 0)

    def pause(self, run_id: str) -> None:
        self._set_paused(run_id, paused=True)

    def resume(self, run_id: str, consent: Iterable[str] = ()) -> None:
        # Whoever consents has it written into the records first, and there it is read.
        self._set_paused(run_id, paused=False)

    def close(self) -> None:
        self._over.set()
        self._workflows.close()
        self._pods.close()
        self._rounds.close()

    def clean(self, keep: Iterable[str]) -> None:
        """End what is on the cluster of runs that are not in `keep`. At start-up."""
        self._keep = frozenset(keep)
        with self._guard:
            self._earlier = set(self._keep)
        self._rounds.soon(CLEAN, 0)

    def _set_paused(self, run_id: str, *, paused: bool) -> None:
        with self._guard:
            course = self._courses.get(run_id)
            if course is not None:
                course.paused = paused
                course.told = ()
        self._rounds.soon(run_id, 0)

    def _listen(self) -> None:
        """Look at a run when a pod of it has told something."""
        while not self._over.is_set():
            mine = {TELLING + run_id: run_id for run_id in list(self._courses)}
            for topic in self._parts.bell.wait(frozenset(mine), 1.0):
                self._rounds.soon(mine[topic])

    # The rounds: everything below is done by one thread for one run at a time.

    def _look(self, run_id: str) -> float | None:
        try:
            return self._clean() if run_id == CLEAN else self._look_at(run_id)
        except OSError as error:
            fault = errors.of_disk(error)
            if fault is None:
                raise
            raise fault from error  # a full disk is no run's fault, and may be over in a minute

    def _look_at(self, run_id: str) -> float | None:
        course = self._courses.get(run_id)
        if course is None:
            if run_id in self._strays:
                self._parts.listener.ended(run_id, "stopped", {}, {})
                self._strays.discard(run_id)
            return None
        if course.ended:
            return self._leave(course)
        if course.bundle is None and (refused := self._prepare(course)) is not None:
            return self._refuse(course, refused)
        if course.bundle is not None and course.bundle.workflows:
            if not (self._workflows.known and self._pods.known):
                return UNKNOWN
            if course.name not in papers.made(self._parts.work, run_id) and not course.stopping:
                try:
                    if (pause := self._submit(course)) is not None:
                        return pause
                except errors.WrongUse as error:
                    return self._refuse(course, told(error))
        return self._judge(course)

    def _give_up(self, run_id: str, error: Exception) -> float | None:
        """What cannot be done for a run, now or later, is its end."""
        course = self._courses.get(run_id)
        if course is None or course.ended:
            return None
        detail = error.message if isinstance(error, errors.RefmillError) else f"{type(error).__name__}: {error}"[:500]
        return self._refuse(course, text("Refmill could not go on with it: %(detail)s", detail=detail))

    def _refuse(self, course: Course, why: Text) -> float | None:
        """The run ends for a reason that is none of its stages'."""
        run_id = course.order.run.id
        left = [row for row in self._parts.runs.stages(run_id) if judging.status_of(row) not in OVER]
        states = [
            replace(row, status="failed" if row.status == "running" else "skipped", explanation=why) for row in left
        ]
        if not self._change(run_id, states, left):
            return 0.0
        return self._end(course, "failed", {}, {}, why)

    def _prepare(self, course: Course) -> Text | None:
        """The run's manifests and its plan.json; or why there are none."""
        order, parts = course.order, self._parts
        try:
            write = writer(parts.memory(order.run).tree, parts.options)
            bundle = compile_run(order, parts.options, write)
        except errors.Invalid as error:
            first = error.problems[0]
            return text("%(place)s: %(what)s", place=str(first.place), what=first.message)
        except (errors.WrongUse, errors.LimitExceeded) as error:
            return told(error)
        papers.write_plan(parts.work, order.run.id, bundle.plan)
        document = papers.read_plan(parts.work, order.run.id) or bundle.plan
        course.pods = courses.planned(bundle, document, order, parts)
        course.bundle = bundle
        return None

    def _submit(self, course: Course) -> float | None:
        """Put the run onto the cluster, if it is its turn; else the seconds after which to ask again."""
        order, parts, bundle = course.order, self._parts, course.bundle
        if bundle is None or course.paused:
            self._leave_turn(order.run.id)
            return AGAIN
        self._count_earlier()
        mine = self._turns.take(order)
        self._wake_next()
        if not mine:
            self._say_turn(course)
            return AGAIN
        made = doing.submit(
            parts.cluster, parts.options, order.run.id, token=parts.token(order.run.id), runner=parts.runner,
            manifest=bundle.workflows[course.name],
        )  # fmt: skip
        papers.note_made(parts.work, order.run.id, course.name)
        self._workflows.put(made)
        return None

    def _say_turn(self, course: Course) -> None:
        """Say at the stages that could start why they do not. Not at pause points, whose being queued is a consent."""
        run_id, why = course.order.run.id, self._turns.why(course.order.owner)
        if course.waits == why:
            return  # of hundreds that wait, each is looked at again and again
        rows = {row.address: row for row in self._parts.runs.stages(run_id)}
        pausing = {pod.stages[0] for pod in course.pods if pod.pause}
        progress = judging.progress(self._sight(course, rows=list(rows.values())))
        ready = [*progress.ready(), *(row.address for row in rows.values() if row.status == "queued")]
        told = [rows[address] for address in ready if address not in pausing and rows[address].explanation != why]
        states = [StageRun(row.address, "queued", row.attempt, explanation=why) for row in told]
        if not states or self._change(run_id, states, told):
            course.waits = why

    def _count_earlier(self) -> None:
        """Count in the runs that an earlier start has put onto the cluster, as long as nobody has looked at them since:
        those that wait may be handed in before them."""
        for run_id in tuple(self._earlier):
            owner = self._owner_there(run_id)
            with self._guard:
                if run_id not in self._earlier:
                    continue
                if owner:
                    self._turns.count_in(run_id, owner)
                else:
                    self._turns.leave(run_id)
                    self._earlier.discard(run_id)

    def _owner_there(self, run_id: str) -> str:
        """Whose run it is, if it is on the cluster and goes on; else "". What was made just before a kill is noted
        nowhere."""
        noted = contract.workflow_name(run_id) in papers.made(self._parts.work, run_id)
        if not noted and not self._workflows.of(run_id):
            return ""
        try:
            run = self._parts.runs.get(run_id)
        except errors.NotFound:
            return ""
        return "" if run.status in RUN_ENDED else run.repository.partition("/")[0]

    def _leave_turn(self, run_id: str) -> None:
        with self._guard:
            self._earlier.discard(run_id)
        self._turns.leave(run_id)
        self._wake_next()

    def _wake_next(self) -> None:
        if run_id := self._turns.next:
            self._rounds.soon(run_id, 0)

    def _sight(self, course: Course, rows: list[StageRun] | None = None) -> Sight:
        """The cluster first, the records then."""
        parts, run_id = self._parts, course.order.run.id
        made = papers.made(parts.work, run_id)
        pods = self._pods.of(run_id)
        workflows = {item.name: self._beyond.whole(item) for item in self._workflows.of(run_id)}
        for name in made - workflows.keys():
            found = self._asked(name, run_id)
            if found is not None:
                workflows[name] = found
        for name in workflows.keys() - made - {course.name}:  # a child that was made just before a kill
            papers.note_made(parts.work, run_id, name)
        known = parts.runs.stages(run_id) if rows is None else rows
        return courses.sight(course, parts, made=made, workflows=list(workflows.values()), pods=pods, rows=list(known))

    def _asked(self, name: str, run_id: str) -> sights.WorkflowSight | None:
        """A Workflow that ought to be there and is not: asked for by its name, before anybody says that it is gone."""
        try:
            thing = self._parts.cluster.get(WORKFLOWS, name)
        except errors.NotFound:
            return self._beyond.ended(name, run_id)
        found = self._workflows.put(thing)
        return None if found is None else self._beyond.whole(found)

    def _judge(self, course: Course) -> float | None:
        if course.name in papers.made(self._parts.work, course.order.run.id):
            self._turns.take(course.order, there=True)
        with self._guard:
            self._earlier.discard(course.order.run.id)
        found = self._sight(course)
        verdict = judging.judge(found)
        if not self._do(course, verdict):
            return 0.0
        if verdict.over is not None:
            return self._close(course, verdict)
        if verdict.asking and verdict.asking != course.told:
            self._parts.listener.waits(course.order.run.id, verdict.asking)
        course.told = verdict.asking
        return AGAIN if verdict.later is None else min(AGAIN, max(verdict.later, 0.5))

    def _do(self, course: Course, verdict: Verdict) -> bool:
        """Do the steps; False if the records say something else by now."""
        writes = [step for step in verdict.steps if isinstance(step, Write)]
        cluster, run = self._parts.cluster, course.order.run
        for step in verdict.steps:
            thing: Thing | None = None
            with contextlib.suppress(errors.NotFound):  # it is gone, and the next look sees that
                if isinstance(step, Terminate):
                    thing = doing.terminate(cluster, step)
                elif isinstance(step, Suspend):
                    thing = doing.suspend(cluster, step)
                elif isinstance(step, SetNode):
                    thing = doing.set_node(cluster, step, self._parts.archive)
                elif isinstance(step, MakeChild):
                    thing = self._make_child(course, step)
                elif isinstance(step, DropPod):
                    doing.drop(cluster, step)
                elif isinstance(step, Reword):
                    self._change(run.id, [closing.reword(self._parts, run, step)], [step.seen])
            if thing is not None:
                self._workflows.put(thing)
        states: list[StageRun] = []
        for step in writes:
            states += closing.end_attempt(self._parts, run, step) if step.reason else step.states
        return not writes or self._change(run.id, states, [step.seen for step in writes])

    def _change(self, run_id: str, states: Sequence[StageRun], seen: Sequence[StageRun]) -> bool:
        """Store states, if the records say of their stages what was seen."""
        expected = {row.address: (row.attempt, (row.status,)) for row in seen}
        changed = self._parts.states.set_stages(run_id, states, expected=expected)
        self._parts.bell.ring(f"run:{run_id}")
        return changed

    def _make_child(self, course: Course, step: MakeChild) -> Thing:
        if course.bundle is None or step.name not in course.bundle.workflows:
            raise errors.WrongUse(
                text("it was begun with other settings, and by these it has no Workflow %(name)s", name=step.name)
            )
        thing = doing.make(self._parts.cluster, step.name, course.bundle.workflows[step.name])
        papers.note_made(self._parts.work, course.order.run.id, step.name)
        return thing

    def _close(self, course: Course, verdict: Verdict) -> float | None:
        rows = {row.address: row for row in self._parts.runs.stages(course.order.run.id)}
        if any(judging.status_of(row) not in OVER for row in rows.values()):
            return 0.0
        entries = closing.entries(course.order, rows)
        status, why = verdict.over or "failed", closing.explanation(verdict.blamed)
        files: dict[str, bytes] = {}
        if status == "succeeded":
            try:
                files = closing.files(self._parts, course.order, entries)
            except errors.Unavailable:
                raise
            except errors.RefmillError as error:
                status, why = "failed", told(error)
        return self._end(course, status, files, entries, why)

    def _end(
        self, course: Course, status: Outcome, files: Mapping[str, bytes], entries: Mapping[str, LockEntry],
        why: Text | None,
    ) -> float | None:  # fmt: skip
        run_id = course.order.run.id
        self._parts.listener.ended(run_id, status, files, entries, why)
        course.ended, course.ended_at = status, time.monotonic()
        self._leave_turn(run_id)
        return 0.0

    def _leave(self, course: Course) -> float | None:
        """After the end: nothing of the run works on, and its token is no more. The Workflow stays until its time is
        over, for people who look at the cluster."""
        run_id = course.order.run.id
        shutil.rmtree(self._parts.work / run_id, ignore_errors=True)
        left = [item for item in self._workflows.of(run_id) if not item.over]
        waits = course.ended == "succeeded" and time.monotonic() - course.ended_at < TAIL
        if left and waits:
            self._tell_parent(course.name, left)
            return TAIL_LOOKS
        self._beyond.forget(course.bundle.workflows if course.bundle is not None else ())
        if course.bundle is not None and course.bundle.workflows:
            self._clear(run_id, [item.name for item in left if not item.shutdown])
        with self._guard:
            self._courses.pop(run_id, None)
        return None

    def _tell_parent(self, parent: str, left: Sequence[sights.WorkflowSight]) -> None:
        """All stages ended well, and pods tell that before their Workflow is over: the last children's ends are told to
        the parent here, which would wait for them for ever."""
        going = {item.name for item in left}
        for item in left:
            for node in self._beyond.whole(item).suspends("c"):
                if f"{parent}-{node.display}" in going:
                    continue
                with contextlib.suppress(errors.NotFound, errors.WrongUse):
                    step = SetNode(item.name, node.id, "Succeeded")
                    self._workflows.put(doing.set_node(self._parts.cluster, step, self._parts.archive))

    def _clear(self, run_id: str, workflows: Iterable[str]) -> None:
        for name in workflows:
            with contextlib.suppress(errors.NotFound, errors.WrongUse):
                doing.terminate(self._parts.cluster, Terminate(name))
        self._parts.cluster.delete(SECRETS, contract.secret_name(run_id))

    def _clean(self) -> float | None:
        """Workflows of runs that are over, or that nobody knows. One that ended well just before this engine began is
        given the time to notice, as `_leave` does: ended by hand, it would be called failed on the cluster."""
        if not self._workflows.known:
            return UNKNOWN
        again = None
        for run_id in {item.run for item in self._workflows.all()} - self._keep - self._courses.keys():
            left = [item for item in self._workflows.of(run_id) if not item.over and not item.shutdown]
            if left and time.monotonic() - self._began < TAIL and self._ended_well(run_id):
                self._tell_parent(contract.workflow_name(run_id), left)
                again = TAIL_LOOKS
                continue
            names = [item.name for item in left]
            if names:
                LOG.warning("the Workflows %s are of no run that goes on, and are ended", ", ".join(names))
            self._clear(run_id, names)
            self._keep |= {run_id}  # it is done with, and its Workflow stays listed until its time is over
        return again

    def _ended_well(self, run_id: str) -> bool:
        try:
            return self._parts.runs.get(run_id).status == "succeeded"
        except errors.NotFound:
            return False
