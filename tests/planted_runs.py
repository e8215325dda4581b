"""Runs for pods, put where the cluster's engine puts them: records and plan.json, and nothing that carries them out."""

import subprocess
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from wsgiref.types import WSGIApplication

from werkzeug.test import Client

from played_pods import Pod, Said
from refmill.clients.resolver.inprocess import DirectResolver
from refmill.clients.worktree import WorkTree
from refmill.flows.planning import STAGE_BEFORE
from refmill.model.people import Repository
from refmill.model.runs import Run, StageRun, run_id
from refmill.plans import make
from refmill.ports.resolver import Source
from refmill.settings import Settings
from refmill_argo import papers, tokens
from refmill_argo.compiling import compile_run
from refmill_argo.options import options
from refmill_repos.trees import tree_factory
from refmill_web import local_engine, places, wiring
from refmill_web.wiring import Parts


def plant(
    parts: Parts, repository: Repository, commit: str, *, attempt: int = 1, project: str = "",
    force: Collection[str] = (), **more: Any,
) -> Run:  # fmt: skip
    """A run of that commit as the engine of a cluster takes it; stages in `force` run whatever is known."""
    checked = parts.resolver.check(Source(parts.repositories.path(repository.id), commit, project))
    assert checked.pipeline is not None, checked.problems
    run = Run(
        run_id(repository.id, commit, project, {}, attempt), repository.id, repository.full_name, 0, commit,
        "refs/heads/main", project, "queued", "a change", "alice", 1_700_000_000_000_000 + attempt, attempt=attempt,
        engine="argo", **more,
    )  # fmt: skip
    memory = local_engine.remembering(parts.storage, parts.records.history.made, parts.repositories)(run)
    plan = make.make(checked.pipeline, memory, force=force)
    before = [
        StageRun(item.stage.address, STAGE_BEFORE[item.verdict], entry=item.entry if item.verdict == "cached" else None)
        for item in plan.stages
    ]
    run = parts.records.runs.add(run, plan, before)
    bundle = compile_run(wiring.order(parts, run, plan, checked), options(parts.settings, "f" * 64))
    papers.write_plan(parts.settings.path("work"), run.id, bundle.plan)
    return run


def token(parts: Parts, run: Run) -> str:
    """The run's token."""
    return tokens.run_token(places.key(parts.settings), run.id)


@dataclass
class NearPod(Pod):
    """A pod that asks an application in this process."""

    application: WSGIApplication | None = None

    def ask(
        self, method: str, path: str, body: bytes | None = None, headers: Mapping[str, str] | None = None
    ) -> tuple[int, bytes]:
        """One request. Raises Said."""
        known = {"Authorization": f"Bearer {self.token}", **(headers or {})}
        with Client(self.application).open(
            path.removeprefix(self.address), method=method, data=body, headers=known, base_url=self.address
        ) as answer:
            if answer.status_code >= 300:
                raise Said(answer.status_code, answer.get_data(), dict(answer.headers))
            return answer.status_code, answer.get_data()


@dataclass
class Ground:
    """A data directory with a repository, and the whole web over it, without a process of its own."""

    root: Path
    settings: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.parts = self.another()
        self.application = wiring.web_application(self.parts)
        self.parts.records.people.add("alice", "correct horse", admin=True)

    def another(self) -> Parts:
        """The parts of one more process."""
        settings = Settings(data=self.root / "data", **self.settings)
        for name in wiring.FOLDERS:
            settings.path(name).mkdir(parents=True, exist_ok=True)
        made = wiring.parts(settings, "http://127.0.0.1:1")
        return replace(made, resolver=DirectResolver(tree_factory(lambda source: WorkTree(source.path))))

    def repository(self, files: Mapping[str, str | bytes], name: str = "digits") -> Repository:
        """A hosted repository with one commit."""
        made = self.parts.records.catalogue.add("alice", name)
        self.parts.repositories.create(made.id, "main")
        copy = self.root / "copies" / name
        copy.mkdir(parents=True)
        self._git(copy, "init", "--quiet", "--initial-branch=main")
        self.push(made, files)
        return made

    def push(self, repository: Repository, files: Mapping[str, str | bytes]) -> str:
        """One more commit; gives its sha. No flow hears of it."""
        copy = self.root / "copies" / repository.name
        for path, content in files.items():
            (copy / path).parent.mkdir(parents=True, exist_ok=True)
            (copy / path).write_bytes(content if isinstance(content, bytes) else content.encode())
        self._git(copy, "add", "--all")
        self._git(copy, "commit", "--quiet", "--message", "a change")
        self._git(copy, "push", "--quiet", str(self.parts.repositories.path(repository.id)), "main")
        return self.tip(repository)

    def tip(self, repository: Repository) -> str:
        """The newest commit."""
        return self._git(self.root / "copies" / repository.name, "rev-parse", "HEAD")

    def run(self, repository: Repository, **more: Any) -> Run:
        """A run of the newest commit."""
        return plant(self.parts, repository, self.tip(repository), **more)

    def pod(self, run: Run, number: int = 1, who: str = "pod-a", application: WSGIApplication | None = None) -> NearPod:
        """A pod of a run."""
        folder = self.root / "pods" / f"{run.id}-{number}-{who}"
        return NearPod(
            "http://127.0.0.1:1", run.id, token(self.parts, run), folder, number, who,
            application=application or self.application,
        )  # fmt: skip

    def stages(self, run: Run) -> dict[str, StageRun]:
        """How the run's stages stand."""
        return {stage.address: stage for stage in self.parts.records.runs.stages(run.id)}

    def attempts(self, run: Run, address: str) -> list[tuple[int, str]]:
        """Numbers and states of a stage's attempts."""
        found = self.parts.records.history.attempts(run.id)
        return [(stage.attempt, stage.status) for stage in found if stage.address == address]

    @staticmethod
    def _git(place: Path, *arguments: str) -> str:
        done = subprocess.run(["git", *arguments], cwd=place, capture_output=True, text=True, check=True)
        return done.stdout.strip()
