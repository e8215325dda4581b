"""A repository in git, its objects, and an engine on them; `bench.run({...})` carries out a dvc.yaml."""

from __future__ import annotations

import itertools
import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from refmill.clients import dvc_parsing
from refmill.clients.objects import DirectoryObjects, DirectoryRunCache
from refmill.engine import supervision
from refmill.engine.courses import Defaults
from refmill.engine.environments import Environments
from refmill.engine.local import LocalEngine
from refmill.engine.parts import Parts
from refmill.engine.sandbox import Sandbox
from refmill.engine.scheduler import Budget
from refmill.model.runs import Run, StageRun
from refmill.plans import make
from refmill.plans.decide import Memory
from refmill.ports.engines import RunOrder, StageSettings
from refmill_repos.trees import GitTree

GIT = {
    "PATH": os.environ["PATH"], "HOME": "/nonexistent", "GIT_CONFIG_NOSYSTEM": "1", "GIT_AUTHOR_NAME": "Ann",
    "GIT_AUTHOR_EMAIL": "ann@example.org", "GIT_COMMITTER_NAME": "Ann", "GIT_COMMITTER_EMAIL": "ann@example.org",
}  # fmt: skip


@dataclass
class Told:
    """A listener that remembers."""

    heard: list[tuple[str, StageRun]] = field(default_factory=list)
    ends: list[tuple[str, str, Mapping[str, bytes], Mapping[str, Any], Any]] = field(default_factory=list)
    waiting: list[tuple[str, list[str]]] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    changed: threading.Condition = field(default_factory=threading.Condition)

    def stages(self, run_id: str, stages: Sequence[StageRun]) -> None:
        with self.changed:
            self.heard += [(run_id, stage) for stage in stages]
            self.changed.notify_all()

    def waits(self, run_id: str, stages: list[str]) -> None:
        with self.changed:
            self.waiting.append((run_id, stages))
            self.changed.notify_all()

    def ended(self, run_id, status, files, entries, explanation=None, *, fault=False) -> None:
        with self.changed:
            self.ends.append((run_id, status, files, entries, explanation))
            self.faults += [run_id] if fault else []
            self.changed.notify_all()

    def wait(self, met: Callable[[], bool], seconds: float = 20) -> None:
        with self.changed:
            assert self.changed.wait_for(met, seconds), (self.ends, self.heard)

    def course(self, address: str) -> list[str]:
        return [stage.status for _, stage in self.heard if stage.address == address]

    def last(self, address: str) -> StageRun:
        return [stage for _, stage in self.heard if stage.address == address][-1]


class Bench:
    """One repository and as many engines as a test starts."""

    def __init__(self, root: Path, environments: Path) -> None:
        self.root = root
        self.source = root / "source"
        self.bare = root / "repo.git"
        self.objects = DirectoryObjects(root / "objects")
        self.runcache = DirectoryRunCache(root / "objects")
        self.sandbox = Sandbox("off")
        self.budget = Budget(2.0, 8 << 30)
        self.told = Told()
        self.kept: dict[tuple[str, int], str] = {}
        self.engines: list[LocalEngine] = []
        self._environments = environments
        self._numbers = itertools.count(1)
        self.source.mkdir(parents=True)
        self.git("init", "--quiet", "-b", "main")

    def git(self, *arguments: str) -> str:
        done = subprocess.run(["git", *arguments], cwd=self.source, env=GIT, check=True, capture_output=True, text=True)
        return done.stdout.strip()

    def commit(self, files: Mapping[str, str]) -> str:
        for path, content in files.items():
            place = self.source / path
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_text(content)
        self.git("add", "-A")
        self.git("commit", "--quiet", "--allow-empty", "-m", "change")
        if not self.bare.exists():
            subprocess.run(["git", "clone", "--quiet", "--bare", self.source, self.bare], env=GIT, check=True)
        self.git("push", "--quiet", "--force", str(self.bare), "HEAD:refs/heads/main")
        return self.git("rev-parse", "HEAD")

    def memory(self, run: Run) -> Memory:
        return Memory(self.objects, self.runcache, GitTree(self.bare, run.commit, project=run.project))

    def engine(self, **changes: Any) -> LocalEngine:
        environments = Environments(
            self._environments, self._environments / "cache", uv=shutil.which("uv") or uv(), sandbox=self.sandbox
        )

        def keep(run: Run, address: str, attempt: int, log: Path) -> None:
            self.kept[address, attempt] = log.read_text()

        values = {
            "work": self.root / "work", "listener": self.told, "memory": self.memory, "sandbox": self.sandbox,
            "repository": lambda _: self.bare, "environments": environments, "budget": self.budget, "keep": keep,
            "defaults": Defaults(1 << 30),
        }  # fmt: skip
        engine = LocalEngine(Parts(**(values | changes)))
        self.engines.append(engine)
        return engine

    def order(
        self, files: Mapping[str, str], settings: Mapping[str, StageSettings] | None = None, **more: Any
    ) -> RunOrder:
        sha = self.commit(files)
        number = next(self._numbers)
        run = Run(f"run{number}", "repo", "ann/repo", number, sha, "refs/heads/main", "", "queued", "change", "ann", 0)
        memory = self.memory(run)
        checked = dvc_parsing.check(memory.tree, max_stages=1000)
        assert checked.pipeline is not None, checked.problems
        return RunOrder(
            run, make.make(checked.pipeline, memory), settings or {}, more.pop("owner", "ann"), trusted=True, **more
        )

    def run(self, files: Mapping[str, str], settings: Mapping[str, StageSettings] | None = None, **more: Any) -> str:
        """Carry out a commit; gives the run's end."""
        engine = self.engines[-1] if self.engines else self.engine()
        order = self.order(files, settings, **more)
        engine.submit(order)
        return self.end(order)

    def end(self, order: RunOrder, seconds: float = 20) -> str:
        self.told.wait(lambda: any(end[0] == order.run.id for end in self.told.ends), seconds)
        return next(end[1] for end in self.told.ends if end[0] == order.run.id)

    def close(self) -> None:
        for engine in self.engines:
            engine.close()
        for lock in self.root.glob("work/*/*/lock"):
            supervision.stop(lock.parent)
        until = time.monotonic() + 10
        while time.monotonic() < until:
            if all(supervision.signs(lock.parent) != "alive" for lock in self.root.glob("work/*/*/lock")):
                return
            time.sleep(0.02)


def uv() -> str:
    return str(Path(sys.executable).parent / "uv")


@pytest.fixture(scope="session")
def environments(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("env")


@pytest.fixture
def bench(tmp_path: Path, environments: Path) -> Iterator[Bench]:
    bench = Bench(tmp_path, environments)
    yield bench
    bench.close()
