"""What a run is and does, put together for its page from the plan, the course of its stages and earlier runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from refmill import errors
from refmill.flows import hindsight
from refmill.model.pipelines import LockEntry
from refmill.model.plans import DataPlan, Plan, Reason, StagePlan, Verdict
from refmill.model.runs import CONSENT, RUN_ENDED, STAGE_ENDED, Run, StageRun, StageStatus
from refmill.texts import Text, counted, text
from refmill_web.display import duration, now, size
from refmill_web.i18n import say
from refmill_web.services import services


@dataclass(frozen=True, slots=True)
class File:
    """A dependency or an output: path from the root, md5 ("" while unknown), size in bytes, number of files."""

    path: str
    md5: str = ""
    size: int | None = None
    nfiles: int | None = None
    cached: bool = True


@dataclass(frozen=True, slots=True)
class Node:
    """A stage or a .dvc file in the graph. `typical` is how many seconds it usually takes, if known."""

    address: str
    kind: Literal["stage", "data"]
    status: StageStatus
    upstream: tuple[str, ...]
    note: str
    started: int | None = None
    seconds: float | None = None
    typical: float | None = None
    attempt: int = 1


@dataclass(frozen=True, slots=True)
class StageReport:
    """All about one stage: its plan, how it went, what it reads and writes."""

    node: Node
    plan: StagePlan | None
    data: DataPlan | None
    course: StageRun | None
    verdict: Verdict
    reasons: tuple[Reason, ...]
    deps: tuple[File, ...]
    outs: tuple[File, ...]

    @property
    def command(self) -> str:
        """The stage's command, several on lines of their own; "" for data."""
        cmd = self.plan.stage.cmd if self.plan else ""
        return cmd if isinstance(cmd, str) else "\n".join(cmd)

    @property
    def ended(self) -> bool:
        """Whether nothing more will happen to it in this run."""
        return self.node.status in STAGE_ENDED

    @property
    def stale(self) -> bool:
        """Whether it was taken over although its environment changed."""
        told = any(reason.kind == "environment" for reason in self.reasons)
        return self.node.status == "cached" and told

    @property
    def question(self) -> Text:
        """What the reasons answer."""
        if self.node.status == "cached":
            return text("Why it is cached:")
        if self.course is not None and self.course.asks:
            return text("Why it will run:")
        if self.node.status == "blocked":
            return text("Why it is blocked:")
        if self.node.status in {"pending", "queued"}:
            return text("Why it waits:") if self.verdict == "later" else text("Why it will run:")
        return text("Why it runs:") if self.node.status == "running" else text("Why it ran:")


@dataclass(frozen=True, slots=True)
class RunReport:
    """A run with its nodes in the plan's order."""

    run: Run
    plan: Plan
    nodes: tuple[Node, ...]
    course: Mapping[str, StageRun]

    @property
    def stages(self) -> tuple[Node, ...]:
        """The nodes that are stages."""
        return tuple(node for node in self.nodes if node.kind == "stage")

    @property
    def ended(self) -> bool:
        """Whether the run is over."""
        return self.run.status in RUN_ENDED

    @property
    def done(self) -> int:
        """How many stages came to their end, cached ones included."""
        return sum(node.status in STAGE_ENDED for node in self.stages)

    def count(self, status: StageStatus) -> int:
        """How many stages stand at `status`."""
        return sum(node.status == status for node in self.stages)

    @property
    def seconds(self) -> float | None:
        """How long it takes or took; None before it began."""
        if self.run.started is None:
            return None
        return max(0.0, ((self.run.finished or now()) - self.run.started) / 1e6)

    @property
    def left(self) -> int | None:
        """Seconds left by earlier runs: the longest chain of what is unfinished; None where that is unknown."""
        if self.run.status != "running":
            return None
        found = _left(self.nodes)
        return None if found is None else max(1, round(found))


def report(run: Run, plan: Plan | None = None) -> RunReport:
    """The whole of a run as it stands now; `plan` saves reading a plan that the caller has already."""
    plan = plan or services().runs.plan(run.id)
    course = {stage.address: stage for stage in services().runs.stages(run.id)}
    addresses = [item.stage.address for item in plan.stages]
    typical = {}
    if run.status not in RUN_ENDED:
        typical = services().history.typical_seconds(run.repository_id, addresses, run.project)
    known = {*addresses, *(item.data.address for item in plan.data)}
    upstream = {
        address: tuple(other for other in plan.pipeline.upstream.get(address, ()) if other in known)
        for address in known
    }
    nodes = [_data_node(item, upstream) for item in plan.data]
    nodes += [_stage_node(item, course, upstream[item.stage.address], typical) for item in plan.stages]
    return RunReport(run, plan, tuple(nodes), course)


def _data_node(item: DataPlan, upstream: Mapping[str, tuple[str, ...]]) -> Node:
    total = sum(out.size or 0 for out in item.data.outs)
    note = say(text("data, %(size)s", size=size(total))) if total else say(text("data"))
    if item.verdict == "blocked":
        note = say(counted("%(count)s object missing", "%(count)s objects missing", len(item.missing)))
    return Node(item.data.address, "data", item.verdict, upstream[item.data.address], note)


def _stage_node(
    item: StagePlan, all_courses: Mapping[str, StageRun], upstream: tuple[str, ...], typical: Mapping[str, float]
) -> Node:
    address = item.stage.address
    course = all_courses.get(address)
    status: StageStatus = "cached" if item.verdict == "cached" else "pending"
    if course is None:
        course = StageRun(address, status)
    above = [all_courses[other] for other in upstream if other in all_courses]
    waits_for = sum(other.status not in STAGE_ENDED for other in above)
    return Node(
        address, "stage", course.status, upstream, _note(item, course, typical.get(address), waits_for),
        course.started, course.seconds, typical.get(address), course.attempt,
    )  # fmt: skip


def _note(item: StagePlan, course: StageRun, typical: float | None, waits_for: int) -> str:
    """The line below a node's name."""
    status = course.status
    if status == "cached":
        return say(text("from the cache"))
    if status == "running" and typical:
        return say(text("about %(duration)s", duration=duration(typical)))
    if status == "succeeded":
        written, took = course.usage.output_bytes, duration(course.seconds)
        return say(text("%(duration)s · %(size)s out", duration=took, size=size(written))) if written else took
    if status == "failed" and course.explanation is not None:
        return say(course.explanation)
    if course.asks:
        return say(CONSENT)
    if status == "blocked" and item.missing:
        return say(counted("%(count)s object missing", "%(count)s objects missing", len(item.missing)))
    if status in {"pending", "queued"}:
        return say(text("waits for %(count)s", count=waits_for) if waits_for else text("waits for its turn"))
    return ""


def _left(nodes: Sequence[Node]) -> float | None:
    longest: dict[str, float] = {}
    by_address = {node.address: node for node in nodes}
    moment = now()
    for node in nodes:
        if node.status in STAGE_ENDED or node.kind == "data":
            longest[node.address] = 0.0
            continue
        if node.typical is None:
            return None
        rest = node.typical
        if node.status == "running" and node.started:
            rest = max(0.0, rest - (moment - node.started) / 1e6)
        above = [longest.get(other, 0.0) for other in node.upstream if other in by_address]
        longest[node.address] = rest + max(above, default=0.0)
    return max(longest.values(), default=None)


def stage_report(whole: RunReport, address: str) -> StageReport:
    """One stage or .dvc file of a run. Raises NotFound."""
    node = next((node for node in whole.nodes if node.address == address), None)
    if node is None:
        raise errors.NotFound(
            text("Run #%(number)s has no stage “%(stage)s”.", number=whole.run.number, stage=address[:200]),
            text("Choose one in the graph of the run's page."),
        )
    data = next((item for item in whole.plan.data if item.data.address == address), None)
    if data is not None:
        outs = tuple(File(out.root, out.md5, out.size, out.nfiles, out.cache) for out in data.data.outs)
        return StageReport(node, None, data, None, data.verdict, data.reasons, (), outs)
    plan = next(item for item in whole.plan.stages if item.stage.address == address)
    course = whole.course.get(address)
    entry: LockEntry = (course.entry if course and course.entry else None) or plan.entry
    deps, outs_known = hashes(entry, "deps"), hashes(entry, "outs")
    reasons = hindsight.reasons(services().runs, whole.run, whole.plan, whole.course, [plan])[address]
    return StageReport(
        node, plan, None, course, plan.verdict, reasons,
        tuple(_file(item.path, item.root, deps) for item in plan.stage.deps),
        tuple(_file(item.path, item.root, outs_known, cached=item.cache) for item in plan.stage.outs),
    )  # fmt: skip


def hashes(entry: LockEntry, part: Literal["deps", "outs"]) -> dict[str, Mapping[str, Any]]:
    """The `deps` or `outs` of a lock entry by path as written there."""
    return {str(item["path"]): item for item in entry.get(part, ()) if isinstance(item, dict) and "path" in item}


def _file(path: str, root: str, known: Mapping[str, Mapping[str, Any]], *, cached: bool = True) -> File:
    found = known.get(path, {})
    return File(root, str(found.get("md5", "")), found.get("size"), found.get("nfiles"), cached)


def default_stage(whole: RunReport) -> str | None:
    """Which stage a visitor wants to see first: a failed one, else a running, a blocked, the last finished one."""
    for status in ("failed", "running", "blocked", "queued"):
        for node in whole.nodes:
            if node.status == status:
                return node.address
    finished = [node for node in whole.stages if node.status == "succeeded"]
    if finished:
        return finished[-1].address
    return whole.stages[-1].address if whole.stages else None
