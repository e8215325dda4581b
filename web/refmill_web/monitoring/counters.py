"""What a process counts while it lives. Each process has its own; they are told side by side when somebody asks."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from typing import Literal, TypeAlias

from prometheus_client import Metric
from prometheus_client.registry import Collector, CollectorRegistry

from refmill.engine.scheduler import Load
from refmill.model.runs import STAGE_ENDED, Run, StageRun
from refmill_web import remote
from refmill_web.monitoring import known
from refmill_web.monitoring.families import family
from refmill_web.monitoring.known import Role

_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS"})
_CODE = re.compile(r"[1-5]\d\d", re.ASCII)
_FAULTS = ("500", "503")
"""Codes that are told with a 0 before there is one: of what was not told at all before, Prometheus sees no increase."""
_GIT = {"git-receive-pack": "push", "git-upload-pack": "fetch", "info/refs": "refs"}
_FIRST = {
    "ws": "live", "api": "api", "static": "static", "healthz": "health", "readyz": "health", "metrics": "health",
}  # fmt: skip
_LIVE = "live"
Errors: TypeAlias = Callable[[], int]


def kind_of(path: str) -> str:
    """What kind of request asks for `path`."""
    _, of_git, asked = path.partition(".git/")
    if of_git and asked in _GIT:
        return _GIT[asked]
    if remote.ADDRESS.match(path):
        return "data"
    if path.startswith("/api/runs/"):
        return "pods"
    return _FIRST.get(path.lstrip("/").partition("/")[0], "pages")


class Counters:
    """The counters of a process that does the work of `role`. For any thread."""

    def __init__(self, role: Role) -> None:
        self._role = role
        self.registry = registry = CollectorRegistry()
        self._runs_ended = known.counter(known.RUNS_ENDED, registry, role)
        self._run_wait = known.histogram(known.RUN_WAIT, registry, role)
        self._run_length = known.histogram(known.RUN_LENGTH, registry, role)
        self._stages_ended = known.counter(known.STAGES_ENDED, registry, role)
        self._faults = known.counter(known.FAULTS, registry, role)
        if role == "web":
            self._requests = known.counter(known.HTTP_REQUESTS, registry, role)
            self._request_seconds = known.histogram(known.HTTP_SECONDS, registry, role)
            self._requests_open = known.gauge(known.HTTP_OPEN, registry, role)
            self._pushes = known.counter(known.PUSHES, registry, role)
            self._push_check = known.histogram(known.PUSH_CHECK, registry, role)
        else:
            self._turns = known.counter(known.TURNS, registry, role)
            self._turn_time = known.gauge(known.TURN_TIME, registry, role)
            self._turn_time.set(time.time())

    def watch_errors(self, *, database: Errors, store: Errors) -> None:
        """Tell how often the database and the object store failed, as they count it themselves."""
        self.registry.register(_Errors(self._role, database, store))

    def watch_machine(self, load: Callable[[], Load]) -> None:
        """Tell how full the machine of the local engine is."""
        self.registry.register(_Machine(load))

    def run_ended(self, run: Run) -> None:
        """A run has come to its end."""
        engine = run.engine if run.engine in known.ENGINES else known.ENGINES[0]
        self._runs_ended.labels(self._role, run.status, engine).inc()
        if run.started is not None and run.finished is not None:  # clocks may be set back
            self._run_wait.labels(self._role, engine).observe(max(0, run.started - run.created) / 1e6)
            self._run_length.labels(self._role, engine).observe(max(0, run.finished - run.started) / 1e6)

    def stage_told(self, stage: StageRun) -> None:
        """The state of a stage was stored."""
        if stage.status in STAGE_ENDED:
            self._stages_ended.labels(self._role, stage.status).inc()
        if stage.fault:
            self.fault("stage")

    def fault(self, what: Literal["stage", "run", "push"]) -> None:
        """Something failed for which the platform is to blame."""
        self._faults.labels(self._role, what).inc()

    def turn(self, *, whole: bool) -> None:
        """The engine's loop ended a turn."""
        self._turns.labels("whole" if whole else "broken").inc()
        self._turn_time.set(time.time())

    def push_checked(self, seconds: float) -> None:
        """How long that took."""
        self._push_check.observe(seconds)

    def push_ended(self, outcome: Literal["taken", "refused", "failed"]) -> None:
        """What became of a push."""
        self._pushes.labels(outcome).inc()

    def request_began(self, path: str) -> float:
        """A thread took a request; gives what `request_ended` asks for."""
        self._requests_open.labels(kind_of(path)).inc()
        return time.monotonic()

    def request_ended(self, path: str, method: str, code: str, began: float) -> None:
        """It is done with it, whatever became of it."""
        kind = kind_of(path)
        self._requests_open.labels(kind).dec()
        method = method if method in _METHODS else "other"
        self._requests.labels(kind, method, code if _CODE.fullmatch(code) else "0").inc()
        for fault in _FAULTS:
            self._requests.labels(kind, method, fault)
        if kind != _LIVE:
            self._request_seconds.labels(kind).observe(time.monotonic() - began)


class _Errors(Collector):
    """What clients count themselves."""

    def __init__(self, role: Role, database: Errors, store: Errors) -> None:
        self._role, self._database, self._store = role, database, store

    def collect(self) -> Iterator[Metric]:
        yield family(known.DATABASE_ERRORS, {(self._role,): self._database()})
        yield family(known.STORE_ERRORS, {(self._role,): self._store()})


class _Machine(Collector):
    """How full the machine is."""

    def __init__(self, load: Callable[[], Load]) -> None:
        self._load = load

    def collect(self) -> Iterator[Metric]:
        load = self._load()
        yield family(known.MACHINE_CPUS, load.budget.cpus)
        yield family(known.MACHINE_CPUS_TAKEN, max(0.0, load.taken.cpu))
        yield family(known.MACHINE_MEMORY, load.budget.memory)
        yield family(known.MACHINE_MEMORY_TAKEN, load.taken.memory)
        yield family(known.MACHINE_GPUS, load.budget.gpus)
        yield family(known.MACHINE_GPUS_TAKEN, load.taken.gpu)
        yield family(known.MACHINE_RUNNING, load.running)
        yield family(known.MACHINE_WAITING, load.waiting)
