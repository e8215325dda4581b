"""Runs a plan in a working copy, as `dvc repro` does, but side by side: no server, no sandbox, no checkout.

The rule to keep: after every stage the working copy is one that DVC understands. dvc.lock is written whole after each
stage, outputs are in the cache before their entry is in the lock, and DVC's own lock is held throughout.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

from refmill import errors
from refmill.engine import results
from refmill.engine.progress import Outcome, Progress
from refmill.formats import lockfile, runcache
from refmill.formats.directories import hash_directory, hash_file
from refmill.formats.hashing import FileHash
from refmill.model.pipelines import LockEntry, Stage
from refmill.model.plans import Plan, StagePlan
from refmill.model.runs import StageStatus
from refmill.plans import locks
from refmill.plans.decide import Memory, decide
from refmill.plans.inputs import Sources
from refmill.plans.outputs import remove_output, restore_output, store_output
from refmill.ports.trees import Entry, Tree
from refmill.texts import Text, text

GRACE = 5.0
"""Seconds between asking a command to end and killing it."""


class Report(Protocol):
    """Whoever shows what happens; called from several threads."""

    def stage(self, address: str, status: StageStatus, seconds: float | None, why: Text | None) -> None:
        """A stage changed its state."""

    def line(self, address: str, line: str) -> None:
        """A command printed a line."""


@dataclass(frozen=True, slots=True)
class Place:
    """The working copy: its root, the files outside of outputs (`dvc.lock` by its directory), how the cache links."""

    root: Path
    memory: Memory
    links: tuple[str, ...] = ("reflink", "copy")

    @property
    def hard_links(self) -> bool:
        """Whether outputs become read-only hard links into the cache."""
        return self.links[0] in ("hardlink", "symlink")


class InPlace:
    """One run in a working copy."""

    def __init__(
        self, plan: Plan, place: Place, report: Report, *, jobs: int = 1, keep_going: bool = False,
        force: frozenset[str] = frozenset(),
    ) -> None:  # fmt: skip
        self._plan, self._place, self._report, self._jobs, self._force = plan, place, report, jobs, force
        self._stages = {item.stage.address: item for item in plan.stages}
        self._progress = Progress(plan, {}, on_error="continue" if keep_going else "stop")
        self._sources = Sources(plan.pipeline, place.memory.tree, place.memory.objects)
        self._before = replace(place.memory, tree=_Before(place.memory.tree))
        self._entries: dict[str, LockEntry] = {}
        self._children: set[subprocess.Popen[bytes]] = set()
        self._guard = threading.Lock()

    def run(self) -> Outcome:
        """Until every stage has ended; on KeyboardInterrupt ends what runs, and raises it again."""
        with repository_lock(self._place.root), ThreadPoolExecutor(self._jobs) as pool:
            running: dict[Future[LockEntry | None], str] = {}
            try:
                while True:
                    for address in self._progress.ready()[: self._jobs - len(running)]:
                        self._progress.set(address, "running")
                        running[pool.submit(self._do, self._stages[address])] = address
                    if not running:
                        break
                    done, _ = wait(running, return_when=FIRST_COMPLETED)
                    for future in done:
                        self._finish(running.pop(future), future)
            except KeyboardInterrupt:
                self._progress.stopping = True
                self._end_children()
                raise
        for address, _ in self._progress.hopeless():
            self._progress.set(address, "skipped")
            self._report.stage(address, "skipped", None, text("a stage above it failed"))
        return self._progress.outcome

    def _finish(self, address: str, future: Future[LockEntry | None]) -> None:
        try:
            entry = future.result()
        except errors.RefmillError as error:
            entry = None
            self._report.stage(address, "failed", None, error.message)
        if entry is None:
            self._progress.set(address, "failed")
            return
        self._progress.set(address, "succeeded")
        with self._guard:
            self._entries[address] = entry
            self._sources.learn(self._stages[address].stage, entry)
            self._write()

    def _do(self, item: StagePlan) -> LockEntry | None:
        """One stage: taken over from the cache, or run. None if it failed and has been reported."""
        stage, memory = item.stage, self._place.memory
        locked = self._plan.pipeline.lock.get(stage.address)
        with self._guard:
            inputs = self._sources.inputs(stage)
        found = decide(stage, inputs, locked, memory, upstream=item.upstream, force=stage.address in self._force)
        why = found.reasons[0].message if found.reasons else None
        if found.verdict == "cached":
            self._restore(stage, found.entry)
            self._report.stage(stage.address, "cached", None, why)
            return found.entry
        if found.verdict != "run":
            self._report.stage(stage.address, "blocked", None, why)
            return None
        self._report.stage(stage.address, "running", None, why)
        began = time.monotonic()
        code = self._execute(stage)
        seconds = time.monotonic() - began
        if code != 0:
            self._report.stage(stage.address, "failed", seconds, text("ended with exit code %(code)s", code=code))
            return None
        outs = {out.root: self._store(stage, out.root, is_cached=out.cache) for out in stage.outs}
        entry = lockfile.entry(stage, inputs.deps, inputs.params, outs)
        if runcache.eligible(stage, entry):
            memory.runcache.save(runcache.key(entry), runcache.value(entry), entry)
        self._report.stage(stage.address, "succeeded", seconds, None)
        return entry

    def _execute(self, stage: Stage) -> int:
        """The stage's commands one after another, until one fails; gives the exit code."""
        folder = self._place.root / stage.wdir
        folder.mkdir(parents=True, exist_ok=True)
        for out in stage.outs:
            target = self._place.root / out.root
            target.parent.mkdir(parents=True, exist_ok=True)
            if not out.persist:
                remove_output(target)
        environ = os.environ | {"DVC_ROOT": str(self._place.root), "DVC_STAGE": stage.address}
        # DVC runs commands in the user's own shell (dvc.stage.run.get_executable).
        shell = os.environ.get("SHELL") or "/bin/sh"
        for command in stage.cmd.splitlines() if isinstance(stage.cmd, str) else stage.cmd:
            if self._progress.stopping:
                return 130
            child = subprocess.Popen(
                [shell, "-c", command], cwd=folder, env=environ, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT, start_new_session=True,
            )  # fmt: skip
            self._children.add(child)
            for line in child.stdout or ():
                self._report.line(stage.address, line.decode("utf-8", "replace").rstrip("\r\n"))
            code = child.wait()
            self._children.discard(child)
            if child.stdout:
                child.stdout.close()
            if code != 0:
                return code
        return 0

    def _store(self, stage: Stage, root: str, *, is_cached: bool) -> FileHash:
        """Commit an output to the cache, and link it from there where the configuration says so."""
        path, objects = self._place.root / root, self._place.memory.objects
        try:
            found = store_output(path, objects, is_cached=is_cached, move=is_cached and self._place.hard_links)
        except errors.NotFound as error:
            raise errors.NotFound(
                text("%(stage)s did not make its output %(path)s", stage=stage.address, path=root)
            ) from error
        if is_cached and self._place.hard_links:
            remove_output(path)
            restore_output(found.item(root), path, objects, link=True)
        return found

    def _restore(self, stage: Stage, entry: LockEntry) -> None:
        """Make every output on disk what `entry` says; what is so already is not touched."""
        recorded = {out["path"]: out for out in entry.get("outs", ())}
        for out in stage.outs:
            target = self._place.root / out.root
            item = recorded[out.path]
            if _hash(target) == item["md5"]:
                continue
            remove_output(target)
            restore_output(item, target, self._place.memory.objects, link=out.cache and self._place.hard_links)

    def _write(self) -> None:
        """dvc.lock and .gitignore as DVC would have them after the stages that are done."""
        files = results.files(self._plan, self._entries, self._before)
        outputs = {out.root for item in self._plan.stages for out in item.stage.outs}
        wanted = {path: data for path, data in files.items() if path.endswith(".gitignore") and path not in outputs}
        wanted |= locks.merged(self._before.tree, self._plan.pipeline, self._entries)
        for path, data in wanted.items():
            target = self._place.root / path
            if not target.exists() or target.read_bytes() != data:
                _replace(target, data)

    def _end_children(self) -> None:
        """Ask every command's process group to end, and kill what does not."""
        for number in (signal.SIGTERM, signal.SIGKILL):
            until = time.monotonic() + GRACE
            for child in list(self._children):
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(child.pid, number)
            while self._children and time.monotonic() < until:
                time.sleep(0.02)


class _Before:
    """A tree whose files, once read, stay as they were: what the stages change on the way does not count.

    Without it the order of the lock's entries would be that in which the stages happened to end.
    """

    def __init__(self, tree: Tree) -> None:
        self._tree = tree
        self._read: dict[str, bytes | None] = {}

    def entry(self, path: str) -> Entry | None:
        return self._tree.entry(path)

    def read(self, path: str, limit: int = 64 << 20) -> bytes:
        if path not in self._read:
            try:
                self._read[path] = self._tree.read(path, limit)
            except errors.NotFound:
                self._read[path] = None
        found = self._read[path]
        if found is None:
            raise errors.NotFound(text("%(path)s does not exist", path=path))
        return found

    def children(self, path: str) -> dict[str, Entry]:
        return self._tree.children(path)

    def walk(self, path: str = "") -> Iterator[tuple[str, Entry]]:
        return self._tree.walk(path)

    def md5(self, path: str) -> tuple[str, int]:
        return self._tree.md5(path)


@contextlib.contextmanager
def repository_lock(root: Path) -> Iterator[None]:
    """DVC's own lock on the repository (zc.lockfile: flock on .dvc/tmp/lock). Raises Conflict if somebody has it."""
    folder = root / ".dvc"
    if not folder.is_dir():
        yield
        return
    (folder / "tmp").mkdir(exist_ok=True)
    descriptor = os.open(folder / "tmp" / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise errors.Conflict(
                text("another DVC or Refmill command works in %(root)s", root=str(root)),
                text("Wait until it has ended."),
            ) from error
        os.ftruncate(descriptor, 0)
        os.write(descriptor, f" {os.getpid()}\n".encode())
        yield
    finally:
        os.close(descriptor)


def _hash(path: Path) -> str | None:
    """The MD5 of what stands at `path`, None if there is nothing."""
    try:
        return hash_directory(path).listing.name if path.is_dir() else hash_file(path).md5
    except FileNotFoundError:
        return None


def _replace(path: Path, data: bytes) -> None:
    new = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    new.write_bytes(data)
    new.replace(path)
