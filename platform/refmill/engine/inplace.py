"""Runs a plan in a working copy, as `dvc repro` does, but side by side: no server, no sandbox, no checkout.

The rule to keep: whenever it is interrupted, the working copy is one that DVC understands. Outputs are in the cache
before their entry is in the lock, files are replaced whole, and DVC's own locks are taken as DVC takes them.
"""

from __future__ import annotations

import os
import queue
import stat
import time
from collections import deque
from collections.abc import Callable, Collection, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol, TypeAlias

from refmill import errors
from refmill.engine.commands import Commands
from refmill.engine.dvclocks import DvcLocks
from refmill.engine.inplace_results import Results
from refmill.engine.progress import Outcome, Progress
from refmill.formats import dvcignore, runcache
from refmill.formats.directories import Directory, Hasher, as_recorded, hash_directory, hash_file
from refmill.formats.hashing import OLD, FileHash, former
from refmill.model.pipelines import LockEntry, Output, Stage, by_path
from refmill.model.plans import Plan, StagePlan
from refmill.model.runs import StageStatus
from refmill.plans import entries
from refmill.plans.decide import UNCHANGED, Memory, decide
from refmill.plans.inputs import Inputs, Sources
from refmill.plans.outputs import free_output, remove_output, restore_output, store_output
from refmill.plans.wording import in_short
from refmill.texts import Text, text

LIGHT = 1 << 20
"""Bytes that are hashed in less time than it takes to hand them to somebody else."""


class Report(Protocol):
    """Whoever shows what happens; called from several threads."""

    def stage(self, address: str, status: StageStatus, seconds: float | None, why: Text | None) -> None:
        """A stage changed its state."""

    def line(self, address: str, line: str) -> None:
        """A command printed a line."""


@dataclass(frozen=True, slots=True)
class Place:
    """The working copy: its root, the files outside of outputs (`dvc.lock` by its directory), how the cache links,
    and what hashes files."""

    root: Path
    memory: Memory
    links: tuple[str, ...] = ("reflink", "copy")
    hasher: Hasher = hash_file

    @property
    def linked(self) -> bool:
        """Whether outputs become read-only links into the cache."""
        return self.links[0] in ("hardlink", "symlink")


@dataclass(slots=True)
class _Work:
    """A stage on its way: its plan, and its inputs as they were when its turn came."""

    item: StagePlan
    inputs: Inputs
    seconds: float | None = None
    put_back: bool = False
    recording: bool = False
    """Its command is over and made its outputs: hashing and storing them keeps no other stage from starting."""


_Ending: TypeAlias = "Future[LockEntry | None]"
_Running: TypeAlias = dict[_Ending, _Work]


class InPlace:
    """One run in a working copy, of at most `jobs` commands at a time. `force` are stages that run whatever is known,
    `known` the results of stages that are not part of it; `locks` may be held already. After it `put_back` is the
    number of stages that did not run and whose outputs on disk were others than the cache has."""

    def __init__(
        self, plan: Plan, place: Place, report: Report, *, jobs: int = 1, keep_going: bool = False,
        force: Collection[str] = (), known: Mapping[str, LockEntry] | None = None, locks: DvcLocks | None = None,
    ) -> None:  # fmt: skip
        self._plan, self._place, self._report, self._jobs, self._force = plan, place, report, jobs, force
        self._stages = {item.stage.address: item for item in plan.stages}
        self._progress = Progress(plan, {}, on_error="continue" if keep_going else "stop")
        self._results = Results(place.root, plan, place.memory)
        self._sources = Sources(
            plan.pipeline, place.memory.tree, place.memory.objects, self._results.before, place.memory.around
        )
        for address, entry in (known or {}).items():
            self._sources.learn(plan.pipeline.stages[address], entry)
        self._commands = Commands(place.root)
        self._news: queue.SimpleQueue[_Ending | None] = queue.SimpleQueue()
        self._locks = locks or DvcLocks(place.root)
        self._executed = False
        self.put_back = 0
        self._ignores = dvcignore.DvcIgnore(dvcignore.reader(place.memory.tree.read))
        self.seconds: dict[str, float] = {}

    @property
    def written(self) -> set[str]:
        """The files that say what was done, as far as it has written them: by path from the root."""
        return self._results.written

    def run(self) -> Outcome:
        """Until every stage has ended; on KeyboardInterrupt ends what runs, and raises it again.

        Raises Conflict if another command works here, or a command of a killed run still does.
        """
        self._commands.refuse_leftovers()
        with ThreadPoolExecutor(self._slots) as pool:
            running: _Running = {}
            try:
                self._turn(pool, running)
            except KeyboardInterrupt:
                self._progress.stopping = True
                self._commands.end()
                self._settle(running)
                raise
            finally:
                with self._locks.held():
                    self._results.write(now=True)
        for address, blamed in self._progress.hopeless():
            self._progress.set(address, "skipped")
            self._report.stage(address, "skipped", None, text("%(address)s did not succeed", address=blamed))
        return self._progress.outcome

    def _settle(self, running: _Running) -> None:
        """Take in what was being recorded when the run was interrupted: those commands had ended well."""
        with self._locks.held():
            for future, work in running.items():
                if work.recording:
                    self._finish(work, future)

    @property
    def _slots(self) -> int:
        """Stages on their way: commands, and as many whose results are recorded beside them. One job alone is as
        `dvc repro`: there the next stage starts when the one before it is recorded."""
        return 2 * self._jobs if self._jobs > 1 else 1

    def _turn(self, pool: ThreadPoolExecutor, running: _Running) -> None:
        ready = deque(self._progress.ready())
        while ready or running:
            with self._locks.held():
                while ready and self._room(running):
                    address = ready.popleft()
                    if self._progress[address] == "pending" and not self._progress.closed:
                        ready += self._begin(address, pool, running)
                self._results.write()
            if not running:
                continue
            done = self._ended(self._results.due)
            with self._locks.held():
                for future in done:
                    ready += self._finish(running.pop(future), future)

    def _room(self, running: _Running) -> bool:
        return len(running) < self._slots and sum(not work.recording for work in running.values()) < self._jobs

    def _ended(self, seconds: float | None) -> list[_Ending]:
        """The stages that have ended; waits until one has, a command has made room for another, or time is up."""
        try:
            news = [self._news.get(timeout=seconds)]
            while not self._news.empty():
                news.append(self._news.get())
        except queue.Empty:
            return []
        return [future for future in news if future is not None]

    def _hand_over(
        self, task: Callable[[_Work], LockEntry | None], work: _Work, pool: ThreadPoolExecutor, running: _Running
    ) -> None:
        self._progress.set(work.item.stage.address, "running")
        future = pool.submit(task, work)
        running[future] = work
        future.add_done_callback(self._news.put)

    def _begin(self, address: str, pool: ThreadPoolExecutor, running: _Running) -> list[str]:
        """Start one stage, or settle it at once; gives the stages that this lets start."""
        work = self._decided(address)
        item, why = work.item, work.item.reasons[0].message if work.item.reasons else None
        if item.verdict in ("blocked", "later"):
            if item.verdict == "later":  # and yet its turn has come: what it needs is made by none of these stages
                paths = ", ".join(work.inputs.unknown)
                why = text("%(paths)s is not there: run %(stages)s first", paths=paths, stages=", ".join(item.upstream))
            self._report.stage(address, "blocked", None, why)
            self._progress.set(address, "failed")
            return []
        if item.verdict == "cached":
            if item.stage.frozen and item.entry != self._plan.pipeline.lock.get(address):
                self._hand_over(self._accepted, work, pool, running)
                return []
            light = self._is_light(item.stage) and not self._renamed(item)
            if light and not self._changed(item.stage, item.entry):
                self._report.stage(address, "cached", None, why)
                return self._done(address, item.entry)
            self._hand_over(self._restored, work, pool, running)
            return []
        self._executed = True
        self._hand_over(self._run, work, pool, running)
        return []

    def _decided(self, address: str) -> _Work:
        """What is to be done with a stage whose turn has come: as planned, unless a command has run since."""
        item = self._stages[address]
        if not self._executed and item.verdict == "cached":
            return _Work(item, Inputs())
        inputs = self._sources.inputs(item.stage)
        locked = self._plan.pipeline.lock.get(address)
        forced = address in self._force
        return _Work(
            decide(item.stage, inputs, locked, self._place.memory, upstream=item.upstream, force=forced), inputs
        )

    def _finish(self, work: _Work, future: _Ending) -> list[str]:
        """Note how a stage ended; gives the stages that this lets start."""
        address = work.item.stage.address
        try:
            entry = future.result()
        except errors.RefmillError as error:
            entry = None
            self._report.stage(address, "failed", work.seconds, error.message)
        if entry is None:
            self._progress.set(address, "failed")
            return []
        if work.item.verdict == "cached":
            why = work.item.reasons[0].message
            if work.put_back:
                self.put_back += 1
                why = text("nothing it depends on changed; its outputs are put back") if why == UNCHANGED else why
            self._report.stage(address, "cached", None, why)
        else:
            self._report.stage(address, "succeeded", work.seconds, None)
            self.seconds[address] = work.seconds or 0.0
        return self._done(address, entry)

    def _done(self, address: str, entry: LockEntry) -> list[str]:
        self._progress.set(address, "succeeded")
        self._results.add(address, entry)
        self._sources.learn(self._stages[address].stage, entry)
        return self._progress.freed(address)

    def _run(self, work: _Work) -> LockEntry | None:
        """One stage's command and what it gave. None if it failed and has been reported."""
        stage = work.item.stage
        self._report.stage(stage.address, "running", None, in_short(work.item.reasons))
        read, written = [dep.root for dep in stage.deps], [out.root for out in stage.outs]
        with self._locks.using(read, written):
            folder = self._prepared(stage)
            commands = stage.commands
            began = time.monotonic()
            code = self._commands.run(
                stage.address, commands, folder, lambda line: self._report.line(stage.address, line)
            )
            work.seconds = time.monotonic() - began
            if code != 0:
                why = text("ended with exit code %(code)s", code=code)
                self._report.stage(stage.address, "stopped" if self._progress.stopping else "failed", work.seconds, why)
                return None
            # One that did not make its outputs fails, and then none may start: that is known before room is made.
            work.recording = all(os.path.lexists(self._place.root / out) for out in written)
            if work.recording:
                self._news.put(None)
            with self._locks.held():
                return self._recorded(work.item)

    def _prepared(self, stage: Stage) -> Path:
        """The directory in which a stage's commands run; its earlier outputs are gone, unless they persist."""
        folder = self._place.root / stage.wdir
        folder.mkdir(parents=True, exist_ok=True)
        for out in stage.outs:
            target = self._place.root / out.root
            target.parent.mkdir(parents=True, exist_ok=True)
            if not out.persist:
                remove_output(target)
            elif self._place.linked:
                free_output(target)
        return folder

    def _accepted(self, work: _Work) -> LockEntry:
        """A frozen stage: its outputs are recorded as they are."""
        with self._locks.held():
            return self._recorded(work.item)

    def _recorded(self, item: StagePlan) -> LockEntry:
        """Outputs in the cache, the result in the run-cache; gives the lock's entry."""
        stage, memory = item.stage, self._place.memory
        # As in DVC, an output that lives in git is in the cache only if the run-cache remembers its stage.
        remembered = runcache.eligible(stage, item.entry)
        outs = {out.root: self._stored(stage, out, keep=out.cache or remembered) for out in stage.outs}
        known = {key: value for key, value in item.entry.items() if key != "outs"}
        return entries.finished(stage, known, outs, memory.runcache)

    def _stored(self, stage: Stage, out: Output, *, keep: bool) -> FileHash:
        """Hash an output and, to `keep` it, commit it to the cache, from where it is linked if the configuration says
        so. Raises NotFound if the stage did not make it."""
        path, objects, linked = self._place.root / out.root, self._place.memory.objects, self._place.linked
        hasher = self._place.hasher
        if not os.path.lexists(path):
            raise errors.NotFound(
                text("%(stage)s did not make its output %(path)s", stage=stage.address, path=out.root)
            )
        if self._ignores(out.root, is_directory=path.is_dir()):
            message = text("a pattern in .dvcignore hides the output %(path)s from DVC", path=out.root)
            raise errors.NotFound(message)
        recorded = by_path(self._plan.pipeline.lock.get(stage.address)).get(out.path)
        if not keep:
            return self._seen(path, out.root, recorded)
        found = store_output(
            path, objects, move=out.cache and linked, hasher=hasher, root=out.root,
            ignores=self._ignores, recorded=recorded,
        )  # fmt: skip
        # Where DVC 2's name is kept the cache may have other line ends: as in DVC, these come back.
        if out.cache and (linked or found.md5.startswith(OLD)):
            remove_output(path)
            restore_output(found.item(out.root), path, objects, link=linked)
        return found

    def _changed(self, stage: Stage, entry: LockEntry) -> list[Output]:
        """The outputs that are on disk not what `entry` says."""
        recorded = by_path(entry)
        return [out for out in stage.outs if not self._stands(out.root, recorded[out.path])]

    def _renamed(self, item: StagePlan) -> bool:
        """Whether what the run-cache remembers of it may get another name in the lock: DVC goes on with a hash of DVC 2
        where the lock has one, not where the run-cache has one."""
        locked = self._plan.pipeline.lock.get(item.stage.address, {})
        return item.entry != locked and any(
            former(out) for entry in (item.entry, locked) for out in entry.get("outs", ())
        )

    def _is_light(self, stage: Stage) -> bool:
        """Whether its outputs can be looked at in passing; the others would keep those waiting that can start."""
        try:
            sizes = [os.lstat(self._place.root / out.root) for out in stage.outs]
        except OSError:
            return False
        return all(stat.S_ISREG(status.st_mode) and status.st_size <= LIGHT for status in sizes)

    def _restored(self, work: _Work) -> LockEntry:
        """Make the outputs on disk what the entry says."""
        recorded = by_path(work.item.entry)
        changed = self._changed(work.item.stage, work.item.entry)
        work.put_back = bool(changed)
        with self._locks.held():
            for out in changed:
                target = self._place.root / out.root
                remove_output(target)
                link = out.cache and self._place.linked
                restore_output(recorded[out.path], target, self._place.memory.objects, link=link)
            entry = work.item.entry
            if changed and runcache.eligible(work.item.stage, entry):  # a lock that was cloned has come without it
                self._place.memory.runcache.save(runcache.key(entry), runcache.value(entry), entry)
            return self._recorded(work.item) if self._renamed(work.item) else entry

    def _directory(self, root: str) -> Directory:
        path = self._place.root / root
        return hash_directory(path, hasher=self._place.hasher, root=root, ignores=self._ignores)

    def _stands(self, root: str, recorded: Mapping[str, Any]) -> bool:
        """Whether what stands at `root` is what is `recorded`."""
        try:
            return self._seen(self._place.root / root, root, recorded).md5 == FileHash.of(recorded).md5
        except FileNotFoundError:
            return False

    def _seen(self, path: Path, root: str, recorded: Mapping[str, Any] | None) -> FileHash:
        """The hash of what stands at `root`; that of DVC 2 if it is `recorded` and still the same."""
        if not path.is_dir():
            return as_recorded(path, self._place.hasher(path), recorded)
        directory = self._directory(root)
        old = directory.as_recorded(path, recorded)
        return replace(directory.hash, md5=OLD + old.name) if old else directory.hash
