"""What is to be done about a run, by what the database says of it and what the cluster shows. Pure.

The same look at the same things gives the same steps, and steps that were done are not asked for again: so it does not
matter which event was lost, or whether the program was started anew in between.

The rule to keep: what the cluster shows is read before the database. A pod tells how a stage went before it ends; so a
pod that is over, of a stage that still runs, has not told.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal, TypeAlias

from refmill.engine import endings
from refmill.engine.progress import OVER, WELL, Outcome, Progress
from refmill.model.plans import Plan
from refmill.model.runs import CONSENT, StageRun, StageStatus
from refmill.texts import Text, text
from refmill_argo import explaining
from refmill_argo.contract import FAILED
from refmill_argo.explaining import Wanted
from refmill_argo.sights import BADLY, Node, PodSight, WorkflowSight

SKEW = 5.0
"""Seconds by which the clocks of the cluster and of the records may differ."""


@dataclass(frozen=True, slots=True)
class PodPlan:
    """A pod as it was planned: its stages, what it asks for, how often Argo starts it again, its Workflow's name, and
    whether it waits for consent."""

    number: int
    stages: tuple[str, ...]
    wanted: Wanted
    restarts: int
    home: str
    pause: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Sight:
    """All that is known of a run at one time. `rows` are the latest attempts, `failures` and `losses` count the ended
    ones of each stage; `taken` are attempts before them of which their pod (by its name) told that it was taken away;
    `made` names the Workflows that the cluster has taken, `workflows` are those that are there.
    `patience` are the seconds that an image may take to come; `now` is in UTC seconds."""

    plan: Plan
    pods: tuple[PodPlan, ...]
    rows: Mapping[str, StageRun]
    workflows: Mapping[str, WorkflowSight]
    seen: Sequence[PodSight]
    name: str
    made: frozenset[str] = frozenset()
    failures: Mapping[str, int] = field(default_factory=dict)
    losses: Mapping[str, int] = field(default_factory=dict)
    taken: Mapping[str, tuple[str, StageRun]] = field(default_factory=dict)
    retries: Mapping[str, int] = field(default_factory=dict)
    on_error: Literal["stop", "continue"] = "stop"
    stopping: bool = False
    paused: bool = False
    patience: float = 300.0
    now: float = 0.0


@dataclass(frozen=True, slots=True)
class Write:
    """States to be stored together, if the stage is still as `seen`. With a `reason` they are the end of an attempt
    whose pod does not tell it; `pod` may have printed more than it told."""

    states: tuple[StageRun, ...]
    seen: StageRun
    reason: str = ""
    pod: str = ""


@dataclass(frozen=True, slots=True)
class Reword:
    """An earlier attempt than the one that is `seen` ended for a reason that its pod could not know."""

    state: StageRun
    seen: StageRun


@dataclass(frozen=True, slots=True)
class SetNode:
    """A point of waiting is over."""

    workflow: str
    node: str
    phase: Literal["Succeeded", "Failed"]


@dataclass(frozen=True, slots=True)
class MakeChild:
    """A child Workflow is to be made."""

    name: str


@dataclass(frozen=True, slots=True)
class Suspend:
    """A Workflow is to start nothing new, or to go on."""

    workflow: str
    on: bool


@dataclass(frozen=True, slots=True)
class Terminate:
    """A Workflow is to end now."""

    workflow: str


@dataclass(frozen=True, slots=True)
class DropPod:
    """A pod that can do nothing more is to go."""

    name: str


Step: TypeAlias = Write | Reword | SetNode | MakeChild | Suspend | Terminate | DropPod


@dataclass(frozen=True, slots=True)
class Verdict:
    """Steps in their order; `asking` are the stages that alone hold the run up, until somebody consents; `over` is
    what the run came to, once every stage has ended."""

    steps: tuple[Step, ...] = ()
    asking: tuple[str, ...] = ()
    over: Outcome | None = None
    blamed: StageRun | None = None
    later: float | None = None


def status_of(row: StageRun) -> StageStatus:
    """A stage's state as progress counts it: one that waits for consent is not blocked for good."""
    return "queued" if row.asks else row.status


def progress(sight: Sight) -> Progress:
    """How far the run has come."""
    found = Progress(sight.plan, {a: status_of(row) for a, row in sight.rows.items()}, on_error=sight.on_error)
    found.stopping = found.stopping or sight.stopping
    return found


def judge(sight: Sight) -> Verdict:
    """What is to be done now."""
    return _Judgement(sight).verdict()


class _Judgement:
    """One look at one run."""

    def __init__(self, sight: Sight) -> None:
        self._sight = sight
        self._progress = progress(sight)
        self._steps: list[Step] = []
        self._rows = dict(sight.rows)
        self._later: float | None = None
        self._above = {
            item.stage.address: [above for above in item.upstream if above in self._rows] for item in sight.plan.stages
        }
        self._retries: dict[int, Node] = {}
        self._latest: dict[int, Node] = {}
        for workflow in sight.workflows.values():
            self._note(workflow)
        self._pods: dict[int, PodSight] = {}
        for pod in sight.seen:
            known = self._pods.get(pod.number)
            if known is None or (known.again, known.created) < (pod.again, pod.created):
                self._pods[pod.number] = pod

    def _note(self, workflow: WorkflowSight) -> None:
        """The nodes that start the pods, and the newest of each pod."""
        for node in workflow.nodes:
            if node.kind == "Retry" and node.number:
                self._retries[node.number] = node
            elif node.kind == "Pod" and node.number:
                known = self._latest.get(node.number)
                if known is None or known.again <= node.again:
                    self._latest[node.number] = node

    def verdict(self) -> Verdict:
        sight = self._sight
        if sight.stopping:
            self._stop()
        self._hopeless()
        self._reword()
        for pod in sight.pods:
            self._look(pod)
        self._hopeless()
        for workflow in sight.workflows.values():
            self._points(workflow)
            if not workflow.over and not workflow.shutdown and workflow.suspended != sight.paused:
                self._steps.append(Suspend(workflow.name, sight.paused))
        over = self._progress.outcome if self._progress.over else None
        return Verdict(tuple(self._steps), self._asking(), over, self._blamed() if over else None, self._later)

    def _stop(self) -> None:
        for workflow in self._sight.workflows.values():
            if not workflow.over and not workflow.shutdown:
                self._steps.append(Terminate(workflow.name))
        for address in self._progress.named(["running"]):
            row = self._rows[address]
            self._write(row, self._ended(row, "stopped", text("was stopped")), reason="stopped")

    def _hopeless(self) -> None:
        for address, blamed in self._progress.hopeless():
            row = self._rows[address]
            state = StageRun(address, "stopped", row.attempt)
            if blamed:
                why = text("%(address)s did not succeed", address=blamed)
                state = StageRun(address, "skipped", row.attempt, explanation=why)
            self._write(row, state)

    def _reword(self) -> None:
        """A pod that is told to end knows that it is taken away, and not why."""
        seen = {pod.name: pod for pod in self._sight.seen}
        wanted = {address: pod.wanted for pod in self._sight.pods for address in pod.stages}
        for address, (name, state) in self._sight.taken.items():
            why = explaining.moved(seen[name], wanted[address]) if name in seen else None
            if why is not None and _shown(why) != _shown(state.explanation):
                self._steps.append(Reword(replace(state, explanation=why), self._sight.rows[address]))

    def _look(self, planned: PodPlan) -> None:
        """At a pod, by the first of its stages that is not over."""
        address = next((each for each in planned.stages if self._progress[each] not in WELL), None)
        if address is None:
            return
        row, pod = self._rows[address], self._pods.get(planned.number)
        if row.status == "pending" and not all(self._progress[above] in WELL for above in self._above[address]):
            return  # it is the turn of those above it
        if self._progress[address] in OVER:
            if pod is not None and not pod.over and pod.waiting and not pod.leaving:
                self._steps.append(DropPod(pod.name))  # it would try for ever to start, with nothing to do
            return
        workflow = self._sight.workflows.get(planned.home)
        why = self._dead(planned, workflow, pod)
        if why is not None:
            self._fail(row, why, pod)
        elif row.status == "running":
            if pod is not None and pod.over:
                self._lost(planned, row, pod)
            elif pod is None:
                self._vanished(planned, row)
            elif _younger(pod, row):
                self._again(row, explaining.replaced(), None, expected=True)
        elif not row.asks:
            self._wait(planned, row, pod)

    def _dead(self, planned: PodPlan, workflow: WorkflowSight | None, pod: PodSight | None) -> Text | None:
        """Why nothing starts this pod any more; None while something may."""
        if workflow is None:
            parent_gone = self._sight.name in self._sight.made and self._sight.name not in self._sight.workflows
            if planned.home in self._sight.made or parent_gone:
                return text("its Workflow was deleted on the cluster")
            parent = self._sight.workflows.get(self._sight.name)
            return _too_early(parent) if parent is not None and parent.over else None
        retry = self._retries.get(planned.number)
        finished = retry is not None and retry.phase in ("Succeeded", "Failed", "Error")
        if not finished and not workflow.over:
            return None
        if pod is not None and pod.over:
            return explaining.end(pod, planned.wanted)
        if retry is None and workflow.message:
            return _too_early(workflow)
        if retry is None or retry.phase == "Succeeded":
            return text("its pod ended before it told how it went")
        return explaining.said(_message(retry, self._latest.get(planned.number)))

    def _fail(self, row: StageRun, why: Text, pod: PodSight | None) -> None:
        reason = explaining.reason(pod) if row.status == "running" else ""
        failed = replace(self._ended(row, "failed", why), fault=reason in endings.FAULTS)
        self._write(row, failed, reason=reason, pod=pod)

    def _lost(self, planned: PodPlan, row: StageRun, pod: PodSight) -> None:
        """The pod of a running stage is over, and has not told of it."""
        if pod.code == FAILED and not pod.leaving:
            return  # it looks as if the runner had told: Argo says that this was its end, or starts it again
        why = explaining.end(pod, planned.wanted)
        expected = pod.again < planned.restarts and pod.phase == "Failed"
        self._again(row, why, pod, expected=expected)

    def _vanished(self, planned: PodPlan, row: StageRun) -> None:
        """There is no pod of a running stage: Argo knows whether there is one no more, or we have not seen it yet."""
        node = self._latest.get(planned.number)
        if node is not None and node.phase in BADLY:
            expected = node.again < planned.restarts and "(exit code 1)" not in node.message
            self._again(row, explaining.said(node.message), None, expected=expected)

    def _again(self, row: StageRun, why: Text, pod: PodSight | None, *, expected: bool) -> None:
        sight, address = self._sight, row.address
        reason = explaining.reason(pod)
        allowed = endings.again(
            reason, failures=sight.failures.get(address, 0), losses=sight.losses.get(address, 0),
            retries=sight.retries.get(address, 0),
        )  # fmt: skip
        failed = replace(self._ended(row, "failed", why), fault=reason in endings.FAULTS)
        if expected and allowed and not self._progress.closed:
            self._write(row, failed, StageRun(address, "queued", row.attempt + 1), reason=reason, pod=pod)
        else:
            self._write(row, failed, reason=reason, pod=pod)

    def _wait(self, planned: PodPlan, row: StageRun, pod: PodSight | None) -> None:
        """A stage that has not begun: say why, as far as somebody can know."""
        if pod is None:
            node = self._latest.get(planned.number)
            if node is not None and node.phase == "Pending":
                self._queue(row, explaining.postponed(node.message) if node.message else None)
            return
        if pod.over:
            return  # Argo starts it again, or says that it does not
        why = explaining.delay(pod, planned.wanted)
        if pod.waiting and why is not None:
            left = pod.created + self._sight.patience - self._sight.now
            if pod.waiting[0].reason in explaining.HOPELESS or left <= 0:
                self._fail(row, why, None)
                self._steps.append(DropPod(pod.name))
                return
            self._later = min(left, self._later or left)
        self._queue(row, why)

    def _queue(self, row: StageRun, why: Text | None) -> None:
        if row.status != "queued" or _shown(row.explanation) != _shown(why):
            self._write(row, StageRun(row.address, "queued", row.attempt, explanation=why))

    def _points(self, workflow: WorkflowSight) -> None:
        """The points of waiting that a Workflow has reached."""
        by_number = {pod.number: pod for pod in self._sight.pods}
        for node in workflow.suspends("p"):
            pod = by_number.get(_digits(node))
            if pod is not None:
                self._point(workflow, node, pod.stages[0])
        for node in workflow.suspends("c"):
            self._child(workflow, node)

    def _child(self, workflow: WorkflowSight, node: Node) -> None:
        """The turn of a child has come. Once it is over, what its stages told counts and not how Argo saw the end of
        its pods: else the stages that wait for it would have nothing to wait for."""
        name = f"{self._sight.name}-{node.display}"
        child = self._sight.workflows.get(name)
        if child is None and name not in self._sight.made:
            if not self._progress.closed and not self._sight.paused:
                self._steps.append(MakeChild(name))
        elif child is None or child.over:
            mine = [self._progress[each] for pod in self._sight.pods if pod.home == name for each in pod.stages]
            self._set(workflow, node, well=bool(mine) and all(status in WELL for status in mine))

    def _point(self, workflow: WorkflowSight, node: Node, address: str) -> None:
        row = self._rows[address]
        if row.asks or self._progress[address] in OVER:
            return
        if row.status == "pending":
            self._write(row, StageRun(address, "blocked", row.attempt, explanation=CONSENT))
        else:  # somebody has consented
            self._set(workflow, node, well=True)

    def _set(self, workflow: WorkflowSight, node: Node, *, well: bool) -> None:
        if not workflow.over and not workflow.shutdown:
            self._steps.append(SetNode(workflow.name, node.id, "Succeeded" if well else "Failed"))

    def _asking(self) -> tuple[str, ...]:
        asking = tuple(address for address, row in self._rows.items() if row.asks)
        others = self._progress.named(["running", "queued"])
        return asking if set(others) <= set(asking) and not self._progress.ready() else ()

    def _blamed(self) -> StageRun | None:
        return next((self._rows[address] for address in self._progress.named(["failed", "blocked"])), None)

    def _ended(self, row: StageRun, status: StageStatus, why: Text) -> StageRun:
        finished = int(self._sight.now * 1_000_000) if row.started is not None else None
        seconds = (finished - row.started) / 1_000_000 if finished is not None and row.started is not None else None
        return StageRun(
            row.address, status, row.attempt, row.started, finished, seconds, explanation=why,
            environment=row.environment,
        )  # fmt: skip

    def _write(self, seen: StageRun, *states: StageRun, reason: str = "", pod: PodSight | None = None) -> None:
        self._steps.append(Write(states, self._sight.rows[seen.address], reason, pod.name if pod else ""))
        self._rows[seen.address] = states[-1]
        self._progress.set(seen.address, status_of(states[-1]))


def _too_early(workflow: WorkflowSight) -> Text:
    detail = workflow.message or workflow.phase
    return text("its Workflow ended before it could start: %(detail)s", detail=detail[:600])


def _younger(pod: PodSight, row: StageRun) -> bool:
    """Whether an attempt began in another pod than this one, which is in its place: Argo gives it the same name."""
    return pod.phase == "Pending" and row.started is not None and pod.created > row.started / 1_000_000 + SKEW


def _message(*nodes: Node | None) -> str:
    return next((node.message for node in reversed(nodes) if node is not None and node.message), "")


def _shown(why: Text | None) -> tuple[str, str]:
    """What makes a difference to a reader: the words of a pull that is tried again change all the time."""
    return ("", "") if why is None else (why.english, str(why.values.get("why", "")))


def _digits(node: Node) -> int:
    return int(node.display[1:]) if node.display[1:].isdecimal() else 0
