"""A small installation for the pages: real records, repositories and objects; only logs and the engine are played."""

import functools
import json
import subprocess
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from flask import Flask
from flask.testing import FlaskClient

from refmill.clients.bell import LocalBell
from refmill.clients.database import Records, open_records, sqlite_url
from refmill.clients.objects import DirectoryObjects, DirectoryRunCache
from refmill.clients.resolver.inprocess import DirectResolver
from refmill.clients.worktree import WorkTree
from refmill.flows.planning import Storage
from refmill.model.asides import Aside
from refmill.model.people import Repository
from refmill.model.pipelines import Dependency, LockEntry, Output, Pipeline, Stage
from refmill.model.plans import Plan, Reason, StagePlan
from refmill.model.runs import Run, StageRun, run_id
from refmill.ports.logs import LogLine, LogPage
from refmill.settings import Settings
from refmill.texts import text
from refmill_repos.experiments import BareExperiments
from refmill_repos.history import History
from refmill_repos.refs import BareRefs
from refmill_repos.store import BareRepositories
from refmill_repos.trees import tree_factory
from refmill_web import desks, places
from refmill_web.app import create_app
from refmill_web.monitoring.counters import Counters
from refmill_web.monitoring.exposing import Exposition, Sources
from refmill_web.services import Services

PASSWORDS = {"alice": "correct horse", "bob": "battery staple"}
FILES = {
    "README.md": "# Churn\n\nSee [the code](src/train.py).\n\n| a | b |\n|---|---|\n| 1 | 2 |\n",
    "dvc.yaml": "stages:\n  prepare:\n    cmd: python prepare.py\n",
    "src/train.py": 'def train() -> None:\n    print("<b>hello</b>")\n',
    "metrics.json": '{"auc": 0.8, "loss": 0.5}',
}


class MemoryLogs:
    """`ports.logs.Logs` in a list that a test may make longer."""

    def __init__(self) -> None:
        self.lines: dict[tuple[str, str, int], list[str]] = {}
        self.closed: set[tuple[str, str, int]] = set()
        self._lock = threading.Lock()

    def print(self, run: Run, address: str, *words: str, attempt: int = 1) -> None:
        """Add lines."""
        with self._lock:
            self.lines.setdefault((run.id, address, attempt), []).extend(words)

    def close(self, run: Run, address: str, attempt: int = 1) -> None:
        """Nothing more will come."""
        self.closed.add((run.id, address, attempt))

    def read(self, run: Run, address: str, attempt: int, *, start: int = 1, limit: int = 1000) -> LogPage:
        key = (run.id, address, attempt)
        with self._lock:
            lines = list(self.lines.get(key, ()))
        start = max(1, len(lines) + start + 1) if start < 0 else max(1, start)
        chosen = lines[start - 1 : start - 1 + limit]
        shown = tuple(LogLine(start + place, 1_700_000_000_000_000, "out", words) for place, words in enumerate(chosen))
        return LogPage(shown, start + len(shown), key in self.closed and start + len(shown) > len(lines))


@dataclass
class World:
    """The parts, and short ways to fill them."""

    root: Path
    records: Records
    repositories: BareRepositories
    logs: MemoryLogs
    bell: LocalBell
    app: Flask
    commits: dict[str, str] = field(default_factory=dict)

    def objects(self, repository_id: str) -> DirectoryObjects:
        """A repository's objects."""
        return DirectoryObjects(self.root / "objects" / repository_id, durable=False)

    def repository(
        self, owner: str, name: str, files: Mapping[str, str] = FILES, *, public: bool = False
    ) -> Repository:
        """A hosted repository with one commit."""
        made = self.records.catalogue.add(owner, name, public=public)
        self.repositories.create(made.id, "main")
        if files:
            self.push(made, files, "Deeper trees\n\nThey see more.")
        return made

    def push(self, repository: Repository, files: Mapping[str, str], message: str, branch: str = "main") -> str:
        """A commit with these files on a branch."""
        copy = self.root / "copies" / repository.id
        if not copy.exists():
            self._git(self.root, "clone", "--quiet", str(self.repositories.path(repository.id)), str(copy))
        self._git(copy, "checkout", "--quiet", "-B", branch)
        for name, content in files.items():
            (copy / name).parent.mkdir(parents=True, exist_ok=True)
            (copy / name).write_text(content, encoding="utf-8")
        self._git(copy, "add", "--all")
        self._git(copy, "commit", "--quiet", "--allow-empty", "--message", message)
        self._git(copy, "push", "--quiet", "--force", "origin", branch)
        self.commits[repository.id] = self._git(copy, "rev-parse", "HEAD")
        return self.commits[repository.id]

    def rewrite(self, repository: Repository) -> None:
        """A forced push of another history, and git forgets the old one as it does after some weeks."""
        copy, bare = self.root / "copies" / repository.id, self.repositories.path(repository.id)
        self._git(copy, "checkout", "--quiet", "--orphan", "other")
        self._git(copy, "commit", "--quiet", "--message", "another beginning")
        self._git(copy, "push", "--quiet", "--force", "origin", "HEAD:main")
        self._git(bare, "reflog", "expire", "--expire=now", "--all")
        self._git(bare, "gc", "--quiet", "--prune=now")
        self.commits[repository.id] = self._git(copy, "rev-parse", "HEAD")

    @property
    def refs(self) -> BareRefs:
        """The refs of the repositories."""
        return BareRefs(self.root / "repos")

    @staticmethod
    def _git(place: Path, *arguments: str) -> str:
        done = subprocess.run(["git", *arguments], cwd=place, capture_output=True, text=True, check=True)
        return done.stdout.strip()

    def run(self, repository: Repository, *, attempt: int = 1, project: str = "", outs: tuple[Output, ...] = ()) -> Run:
        """A running run of two stages: `prepare` from the cache, `train` for a changed parameter."""
        commit = self.commits[repository.id]
        now = time.time_ns() // 1000
        new = Run(
            run_id(repository.id, commit, project, {}, attempt), repository.id, repository.full_name, 0, commit,
            "refs/heads/main", project, "queued", "Deeper trees", "alice", now, attempt=attempt,
        )  # fmt: skip
        stages = [StageRun("prepare", "cached", entry=PREPARED), StageRun("train", "pending")]
        added = self.records.runs.add(new, plan(*outs), stages)
        self.records.states.move(added.id, "running", expected=("queued",))
        self.records.states.set_stage(added.id, StageRun("train", "running", started=now))
        return self.records.runs.get(added.id)

    def finish(
        self, run: Run, metrics: Mapping[str, object], *, failed: bool = False, files: Mapping[str, bytes] | None = None
    ) -> Run:
        """`train` ends, and the run with it."""
        md5 = self.objects(run.repository_id).write(json.dumps(metrics).encode())
        outs = [{"path": "metrics.json", "hash": "md5", "md5": md5, "size": 20}]
        for path, content in (files or {}).items():
            outs.append({"path": path, "hash": "md5", "md5": self.objects(run.repository_id).write(content)})
        entry = {**TRAIN_ENTRY, "outs": outs}
        end = StageRun("train", "succeeded", seconds=12.3, exit_code=0, entry=entry)
        if failed:
            words = text("ran out of its %(limit)s of memory: try %(more)s", limit="2 GiB", more="4 GiB")
            end = StageRun("train", "failed", seconds=3.0, exit_code=137, explanation=words)
        self.records.states.set_stage(run.id, end)
        self.records.states.move(run.id, "failed" if failed else "succeeded", expected=("running",))
        self.logs.close(run, "train")
        self.bell.ring(f"run:{run.id}")
        return self.records.runs.get(run.id)

    def browser(self, name: str | None = "alice", language: str = "en") -> FlaskClient:
        """A browser, signed in as `name`."""
        client = self.app.test_client()
        client.environ_base["HTTP_ACCEPT_LANGUAGE"] = language
        if name is not None:
            answer = post(client, "/login", name=name, password=PASSWORDS[name])
            assert answer == 303
        return client


def post(client: FlaskClient, address: str, **values: str) -> int:
    """Send a form as a page of ours would, with its token; gives the status."""
    page = client.get("/login" if client.get_cookie("refmill_session") is None else "/settings/tokens").text
    token = page.partition('name="csrf" value="')[2].partition('"')[0]
    return client.post(address, data={**values, "csrf": token}).status_code


PREPARED: LockEntry = {
    "cmd": "python prepare.py",
    "outs": [{"path": "data/clean.csv", "hash": "md5", "md5": "9f3c1e2" + "0" * 25, "size": 42_991_616}],
}
TRAIN_ENTRY: LockEntry = {"cmd": "python train.py", "params": {"params.yaml": {"train": {"depth": 8, "trees": 400}}}}


def plan(*outs: Output) -> Plan:
    """Two stages, the second below the first; `outs` are further outputs of the second."""
    prepare = Stage("prepare", "dvc.yaml", "", "python prepare.py", outs=(Output("data/clean.csv", "data/clean.csv"),))
    train = Stage(
        "train", "dvc.yaml", "", "python train.py --model rf", deps=(Dependency("data/clean.csv", "data/clean.csv"),),
        outs=(Output("metrics.json", "metrics.json", "metric", cache=False), *outs),
    )  # fmt: skip
    why = text("%(file)s: %(key)s %(old)s → %(new)s", file="params.yaml", key="train.depth", old="6", new="8")
    return Plan(
        Pipeline(
            {"prepare": prepare, "train": train}, order=("prepare", "train"),
            upstream={"prepare": (), "train": ("prepare",)}, metrics=("metrics.json",),
        ),
        (
            StagePlan(prepare, "cached", (Reason("unchanged", text("nothing it depends on changed")),), PREPARED),
            StagePlan(train, "run", (Reason("parameter", why, "train.depth", "6", "8"),), TRAIN_ENTRY, ("prepare",)),
        ),
    )  # fmt: skip


def make_world(root: Path, settings: Settings | None = None) -> World:
    """An installation with the users alice (an administrator) and bob."""
    records = open_records(sqlite_url(root / "refmill.db"), key_file=root / "secrets.key")
    records.people.add("alice", PASSWORDS["alice"], admin=True)
    records.people.add("bob", PASSWORDS["bob"])

    def objects(repository_id: str) -> DirectoryObjects:
        return DirectoryObjects(root / "objects" / repository_id, durable=False)

    repositories, logs, bell = BareRepositories(root / "repos"), MemoryLogs(), LocalBell()
    aside: list[Aside] = []
    counters = Counters("web")
    chosen = replace(settings or Settings(), data=root)
    storage = Storage(objects, lambda repository_id: DirectoryRunCache(root / "objects" / repository_id))
    services = Services(
        settings=chosen, people=records.people, profiles=records.profiles,
        sessions=records.sessions, journal=records.journal, secrets=records.secrets, catalogue=records.catalogue, runs=records.runs,
        states=records.states, history=records.history, repositories=repositories, refs=BareRefs(root / "repos"),
        past=History(root / "repos"), experiments=BareExperiments(root / "repos", objects), bell=bell, logs=logs,
        resolver=DirectResolver(tree_factory(lambda source: WorkTree(source.path))),
        figures=Exposition(counters, Sources(
            data=root, reserve=1 << 30, overview=records.overview, engine=root / "figures.sock", resolver=list,
            asides=lambda: aside, upkeep=lambda: None, parent=lambda: 0,
        )).text,
        aside=lambda repository_id: [item for item in aside if item.repository_id == repository_id],
        objects=objects, ready=list, packed=functools.partial(places.packed, chosen),
        desk=desks.make(
            chosen, records=records, storage=storage, repositories=repositories, bell=bell, own="http://localhost"
        ),
    )  # fmt: skip
    return World(root, records, repositories, logs, bell, create_app(services))
