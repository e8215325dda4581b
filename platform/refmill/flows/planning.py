"""Turns landed pushes into runs.

The rule to keep: planning the same event twice, in two processes, before and after a crash, gives one run: its id
is computed from what is to be run, and inserting it is idempotent.
"""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from refmill import errors, specs
from refmill.flows.answers import blocked_lines, hopeless_lines, idle_lines, invalid_lines, nothing_to_run, plan_lines
from refmill.flows.hindsight import results_before
from refmill.flows.lacking import waits_for
from refmill.flows.receive import WARN
from refmill.model.people import Repository, User
from refmill.model.plans import Plan
from refmill.model.pushes import ZERO, Event
from refmill.model.runs import RUN_ENDED, SET, SOURCE, SOURCES, Run, StageRun, StageStatus, run_id
from refmill.plans import digests, environments, make, projects
from refmill.plans.decide import Memory
from refmill.ports.imports import Elsewhere, Imports
from refmill.ports.objects import Objects, RunCache
from refmill.ports.records import Catalogue, Inbox, RunHistory, Runs, RunStates, Waiting
from refmill.ports.repositories import Commit, NewCommit, Refs, Repositories
from refmill.ports.resolver import Checked, Resolver, Source
from refmill.ports.trees import Tree
from refmill.ports.waking import Bell
from refmill.specs import Documents
from refmill.texts import Text, Translate, text

LOG = logging.getLogger(__name__)
SKIP_WORDS = ("[skip ci]", "[ci skip]", "[no ci]", "[skip refmill]")
VOID_AFTER = 3600.0
"""Seconds after which an announced ref that never moved is given up: no push takes longer between hook and ref."""
CONFIG_LIMIT = 1 << 20
SWEPT = "refmill.swept"
"""The option of events that no push made, but the comparing of branches with events."""
FOUND = text("found by comparing branches with pushes: no push told of this commit")
RESULT_TRAILER = "Refmill-Run: "
AUTHOR, EMAIL = "Refmill", "refmill@localhost"
"""Of the commits that we make."""
EVERYWHERE = User(0, "", admin=True)
STAGE_BEFORE: Mapping[str, StageStatus] = {
    "run": "pending",
    "later": "pending",
    "cached": "cached",
    "blocked": "blocked",
}


@dataclass(frozen=True, slots=True)
class Storage:
    """Where a repository's data lies, by its id."""

    objects: Callable[[str], Objects]
    runcache: Callable[[str], RunCache]


@dataclass(frozen=True, slots=True)
class Wish:
    """A run that is asked for: by a push, a retry, a person. `note` stands among the warnings of its plan."""

    repository: Repository
    commit: Commit
    ref: str
    user: str
    parameters: Mapping[str, Any]
    attempt: int = 1
    force: frozenset[str] = frozenset()
    project: str = ""
    note: Text | None = None

    @property
    def source(self) -> str:
        """The commit whose files are run."""
        return str(self.parameters.get(SOURCE) or self.commit.sha)


@dataclass(frozen=True, slots=True)
class Landed:
    """A push that has landed: its commit, the DVC projects in it (the root in any case), the pusher's language.

    `changed` are the paths that differ from the ref's old tip, from the repository's root; None if nobody knows.
    """

    event: Event
    repository: Repository
    commit: Commit
    projects: tuple[str, ...]
    say: Translate
    changed: tuple[str, ...] | None

    def touched(self, project: str) -> set[str] | None:
        """Files of one project that differ, by path from its root."""
        return None if self.changed is None else projects.share(self.changed, project, self.projects)


class Planner:
    """Settles events. `engine` names the one that carries a project's runs out, as far as the operator lets it choose
    (raises WrongUse); `submit` hands a new run to the engine, `archive` keeps `run.json` of one that has nothing to do;
    `now` is the clock in UTC microseconds, `steady` counts seconds whatever is done to the clock."""

    def __init__(  # noqa: PLR0913 - a flow's ports are its arguments
        self, *, inbox: Inbox, catalogue: Catalogue, runs: Runs, states: RunStates, history: RunHistory,
        waiting: Waiting, repositories: Repositories, refs: Refs, resolver: Resolver, storage: Storage,
        imports: Imports, elsewhere: Elsewhere, bell: Bell, submit: Callable[[Run, Plan, Checked], None],
        engine: Callable[[Documents], str], archive: Callable[[Run], None], speak: Callable[[str], Translate],
        address: Callable[[Repository], str], now: Callable[[], int] = lambda: time.time_ns() // 1000,
        steady: Callable[[], float] = time.monotonic,
    ) -> None:  # fmt: skip
        self._inbox, self._catalogue, self._runs, self._states, self._waiting = inbox, catalogue, runs, states, waiting
        self._history = history
        self._repositories, self._refs, self._resolver, self._storage = repositories, refs, resolver, storage
        self._imports, self._elsewhere, self._bell, self._submit = imports, elsewhere, bell, submit
        self._speak, self._engine = speak, engine
        self._archive = archive
        self._address, self._now, self._steady = address, now, steady
        self._announced: dict[int, float] = {}  # since when events have been seen to wait, whatever the clock says

    def settle(self, event: Event) -> None:
        """Close one event if it can be closed now."""
        if event.state == "announced" and not self._landed(event):
            return
        self._announced.pop(event.id, None)
        try:
            run, lines = self._plan(event)
        except (errors.NotFound, errors.LimitExceeded, errors.WrongUse, errors.Damaged, errors.Invalid) as error:
            # What is in the repository cannot be planned, now or later: the pusher is told, and nobody waits for it.
            LOG.warning("event %s leads to no run: %s", event.id, error)
            run, lines = None, [error.message.to(self._speak(event.pusher))]
        self._inbox.settle(event.id, handled=True, run_id=run, answer=lines)
        self._bell.ring(f"event:{event.id}")

    def _landed(self, event: Event) -> bool:
        """Whether an announced ref has moved after all: git told the pusher "ok" and was killed before telling us."""
        update = event.update
        try:
            tip = self._refs.tip(event.repository_id, update.ref)
        except errors.NotFound:
            tip = None
        moved = tip is None if update.deletes else tip == update.new
        if not moved and tip and not update.deletes:
            try:
                moved = self._refs.is_ancestor(event.repository_id, update.new, tip)
            except errors.NotFound:
                moved = False
        if moved:
            self._inbox.land([event.id])
        elif self._steady() - self._announced.setdefault(event.id, self._steady()) > VOID_AFTER:
            self._inbox.settle(event.id, handled=False)
            del self._announced[event.id]
        return moved

    def _plan(self, event: Event) -> tuple[str | None, list[str]]:
        """The run an event makes (or None), and the lines for the pusher."""
        update, say = event.update, self._speak(event.pusher)
        if update.deletes or not update.ref.startswith(("refs/heads/", "refs/tags/")):
            return None, []
        commit = self._refs.commit(event.repository_id, update.new)
        if (silence := _silenced(commit, event)) is not None:
            return None, [sentence.to(say) for sentence in silence]
        landed = self._look(event, commit, say)
        if len(landed.projects) == 1:
            return self._start(landed, "")
        first, lines = None, list[str]()
        for project in landed.projects:
            if self._news(landed, project):
                run, told = self._start(landed, project)
                first = first or run
                lines += told
        if not lines and update.branch:
            lines = [text("nothing started: no project changed since its last run on this branch").to(say)]
        return first, lines

    def _look(self, event: Event, commit: Commit, say: Translate) -> Landed:
        """What landed. Of a repository with too many projects, which git took as asked, the root alone is run."""
        inner: Sequence[str] = ()
        with contextlib.suppress(errors.LimitExceeded):
            inner = self._repositories.projects(event.repository_id, commit.sha)
        changed, old = None, event.update.old
        if old != ZERO:
            with contextlib.suppress(errors.NotFound, errors.LimitExceeded):
                changed = tuple(self._refs.changed_paths(event.repository_id, old, commit.sha))
        found = tuple(sorted({"", *inner}))
        return Landed(event, self._catalogue.get(event.repository_id), commit, found, say, changed)

    def _news(self, landed: Landed, project: str) -> bool:
        """Whether one of several projects is another one than at its last run for the same ref."""
        repository, commit = landed.repository, landed.commit
        ran = self._runs.list([repository.id], project=project, ref=landed.event.update.ref, limit=1)
        if not ran or ran[0].commit == commit.sha:
            return True
        try:
            paths = tuple(self._refs.changed_paths(repository.id, ran[0].commit, commit.sha))
        except (errors.NotFound, errors.LimitExceeded):
            return True
        return bool(projects.share(paths, project, landed.projects))

    def _start(self, landed: Landed, project: str) -> tuple[str | None, list[str]]:
        """The run that a push makes of a project (or None), and the lines for the pusher."""
        event, repository, commit, say = landed.event, landed.repository, landed.commit, landed.say
        update, base = event.update, self._address(repository)
        several, touched = len(landed.projects) > 1, landed.touched(project)
        quiet = several and touched == set()  # told of when it was pushed
        checked = self._check(repository, commit.sha, project)
        if checked.pipeline is None or checked.errors:
            # With WARN what is new of it was told in full before the push was taken in.
            tell = hopeless_lines if WARN in event.options else invalid_lines
            return None, [] if quiet else tell(checked.problems, say, project)
        if not checked.pipeline.stages or not specs.wants(checked.documents, update.ref, touched or None):
            quiet = quiet or (several and not (project or checked.pipeline.stages or checked.pipeline.data))
            return None, [] if quiet else idle_lines(update, checked.pipeline, base, say, project)
        attempt = self._attempt(repository, commit, project)
        note = FOUND if SWEPT in event.options else None
        wish = Wish(repository, commit, update.ref, event.pusher, {}, attempt, project=project, note=note)
        run, plan = self.begin(wish, checked)
        if checked.documents.pipeline.cancel_superseded and update.branch:
            self._supersede(run, update.ref)
        lines = plan_lines(run, plan, f"{base}/runs/{run.number}", say)
        config = _dvc_config(self._repositories.tree(repository.id, commit.sha, project=project))
        asked = self._elsewhere.asks(config or b"")
        lines += blocked_lines(plan, f"{base}.dvc", config or b"", asked, say, project)
        if config is None and not project:
            lines.append(text("this repository has no .dvc folder: `dvc init` lets people pull its results").to(say))
        return run.id, lines

    def begin(self, wish: Wish, checked: Checked | None = None) -> tuple[Run, Plan]:
        """Plan, insert and (unless nothing is to do or data is missing) submit a run. Raises Invalid."""
        repository, commit = wish.repository, wish.commit
        words = tuple(map(str, wish.parameters.get(SET, ())))
        checked = checked or self._check(repository, commit.sha, wish.project, words)
        if checked.pipeline is None or checked.errors:
            raise errors.Invalid(checked.problems)
        identity = run_id(repository.id, commit.sha, wish.project, wish.parameters, wish.attempt)
        if words:
            wish = replace(wish, parameters={SET: list(words), SOURCE: self._changed(wish, checked, identity)})
        plan = self._make(wish, checked)
        missing = {item.md5 for stage in plan.stages for item in stage.missing}
        nothing = plan.nothing and not wish.force
        spec = checked.documents.pipeline
        run = self._runs.add(
            Run(
                id=identity, repository_id=repository.id, repository=repository.full_name, number=0, commit=commit.sha,
                ref=wish.ref, project=wish.project, status="nothing" if nothing else "queued", subject=commit.subject,
                created_by=wish.user, created=self._now(), attempt=wish.attempt, parameters=wish.parameters,
                priority=spec.priority, explanation=_explain(plan, nothing=nothing, missing=len(missing)),
                engine=self._engine(checked.documents),
            ),
            plan,
            [StageRun(item.stage.address, STAGE_BEFORE[item.verdict],
                      entry=item.entry if item.verdict == "cached" else None,
                      explanation=item.reasons[0].message if item.reasons else None) for item in plan.stages],
        )  # fmt: skip
        LOG.info("planned %s at %s: %d stages", run.name, commit.sha, len(plan.stages))
        if missing:
            self._wait(run, missing)
        elif run.status == "queued":
            self._submit(run, plan, checked)
        elif run.status == "nothing":
            self._archive(run)
        return run, plan

    def _changed(self, wish: Wish, checked: Checked, identity: str) -> str:
        """The commit with the parameters that were asked for, under a hidden ref until the run has ended."""
        files = {projects.full(wish.project, path): data.encode() for path, data in checked.changed.items()}
        message = f"refmill: parameters of run {identity}\n\n" + "\n".join(wish.parameters[SET]) + "\n"
        commit = NewCommit(wish.commit.sha, files, message, AUTHOR, EMAIL, wish.commit.time)
        return self._refs.record(wish.repository.id, commit, SOURCES + identity, None)

    def resume(self, run: Run) -> None:
        """Go on with a run: after a restart, or when the data that it waited for has arrived. Raises RefmillError."""
        if run.status in RUN_ENDED:
            self._waiting.done(run.id)
            return
        plan = self._runs.plan(run.id)
        repository = self._catalogue.get(run.repository_id)
        checked = self._check(repository, run.source, run.project)
        if any(stage.verdict == "blocked" for stage in plan.stages):
            wish = Wish(
                repository,
                self._refs.commit(repository.id, run.commit),
                run.ref,
                run.created_by,
                run.parameters,
                run.attempt,
                forced(plan),
                run.project,
                FOUND if FOUND in plan.warnings else None,
            )
            plan = self._make(wish, checked)
            missing = {item.md5 for stage in plan.stages for item in stage.missing}
            if missing:
                self._wait(run, missing)
                return
            self._waiting.replan(run.id, plan)
            self._waiting.done(run.id)
            for item in plan.stages:
                state = StageRun(
                    item.stage.address,
                    STAGE_BEFORE[item.verdict],
                    entry=item.entry if item.verdict == "cached" else None,
                )
                self._states.set_stage(run.id, state, expected=("blocked", "pending"))
        self._submit(run, plan, checked)

    def _make(self, wish: Wish, checked: Checked) -> Plan:
        pipeline, repository = checked.pipeline, wish.repository
        if pipeline is None:
            raise errors.Invalid(checked.problems)
        tree = self._repositories.tree(repository.id, wish.source, project=wish.project)
        whole = self._repositories.tree(repository.id, wish.source)
        memory = Memory(
            self._storage.objects(repository.id), self._storage.runcache(repository.id), tree,
            lambda entry: self._history.made(repository.id, [entry])[0],
            around=projects.surroundings(whole, wish.project),
        )  # fmt: skip
        for file, missing in make.missing_data(pipeline, memory).items():
            if source := pipeline.data[file].source:
                self._imports.bring(wish.user, source.url, [item.md5 for item in missing], into=repository.id)
        today = digests.digests(checked.documents, pipeline, tree)
        counts = checked.documents.pipeline.rerun_on_environment_change
        earlier = results_before(self._runs, repository.id, wish.project)
        plan = make.make(pipeline, memory, force=wish.force, earlier=earlier, environments=today if counts else {})
        plan = plan if counts else self._noted(repository, plan, today)
        warnings = [problem.message for problem in checked.problems if problem.warning]
        return replace(plan, warnings=(*([wish.note] if wish.note else []), *warnings))

    def _noted(self, repository: Repository, plan: Plan, today: Mapping[str, str]) -> Plan:
        """The plan with a note on each stage that is cached although its environment changed."""
        entries = [item.entry if item.verdict == "cached" else {} for item in plan.stages]
        made = self._history.made(repository.id, entries)
        stages = [
            environments.noted(item, results, today[item.stage.address]) if item.verdict == "cached" else item
            for item, results in zip(plan.stages, made, strict=True)
        ]
        return replace(plan, stages=tuple(stages))

    def _wait(self, run: Run, missing: set[str]) -> None:
        """Let a run wait for objects, also for one that came while it was planned: nobody else tells of that one."""
        self._waiting.wait_for(run.id, missing)
        self._waiting.arrived(run.repository_id, self._storage.objects(run.repository_id).present(missing))
        config = _dvc_config(self._repositories.tree(run.repository_id, run.commit, project=run.project))
        self._elsewhere.fetch(run.repository_id, config or b"", missing)

    def _attempt(self, repository: Repository, commit: Commit, project: str) -> int:
        """Which attempt a push of `commit` means: the one there is, but a new one where a push had ended the old."""
        attempt, ending = 1, self._states.wishes()
        with contextlib.suppress(errors.NotFound):
            while True:
                run = self._runs.get(run_id(repository.id, commit.sha, project, {}, attempt))
                if run.status != "superseded" and (run.id, "supersede") not in ending:
                    break
                attempt += 1
        return attempt

    def _supersede(self, run: Run, ref: str) -> None:
        """End what else of the project runs for that branch, but for commits that are the tip of a branch: somebody
        wants those."""
        unfinished = self._runs.list(
            [run.repository_id], statuses=("queued", "running", "paused"), limit=1000, project=run.project, ref=ref
        )
        others = [other for other in unfinished if other.id != run.id]
        tips = set(self._refs.list(run.repository_id, "refs/heads/").values()) if others else ()
        for other in others:
            if other.commit not in tips:
                self._states.ask(other.id, "supersede")
        self._bell.ring("wishes")

    def _check(self, repository: Repository, commit: str, project: str, words: tuple[str, ...] = ()) -> Checked:
        return self._resolver.check(Source(self._repositories.path(repository.id), commit, project, words=words))


def _dvc_config(tree: Tree) -> bytes | None:
    """`.dvc/config` of a commit; None if it has none."""
    try:
        return tree.read(".dvc/config", CONFIG_LIMIT)
    except (errors.NotFound, errors.LimitExceeded):
        return None


def forced(plan: Plan) -> frozenset[str]:
    """The stages that somebody asked for, whatever is known of them."""
    return frozenset(
        item.stage.address for item in plan.stages if any(reason.kind == "forced" for reason in item.reasons)
    )


def _silenced(commit: Commit, event: Event) -> list[Text] | None:
    """None if a landed commit may start a run, else what to say about it; of our own result commits nothing at all."""
    if "refmill.skip" in event.options:
        return [text("nothing started: the push asked for it (refmill.skip)")]
    lowered = commit.message.lower()
    for word in SKIP_WORDS:
        if word in lowered:
            return [text("nothing started: the commit message says %(word)s", word=word)]
    if any(line.startswith(RESULT_TRAILER) for line in commit.message.splitlines()):
        return []
    return None


def _explain(plan: Plan, *, nothing: bool, missing: int) -> Text | None:
    if nothing:
        return nothing_to_run(plan)
    if missing:
        return waits_for(missing)
    return None
