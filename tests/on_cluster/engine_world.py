"""The engine on a real cluster, with records of its own, and pods whose runner is a stand-in that a test leads.

The stand-in asks a small server of the test what to do, so that every end of a pod can be had: it tells its stage's
course through that server, as the step runner does through the platform.
"""

import contextlib
import dataclasses
import io
import json
import time
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from clusters import OnCluster, Silent, served

from refmill.clients.bell import LocalBell
from refmill.clients.database import Records, open_records, sqlite_url
from refmill.clients.resolver.warming import MemoryTree
from refmill.model.pipelines import Output, Pipeline, Stage
from refmill.model.plans import Plan, StagePlan
from refmill.model.runs import Run, StageRun
from refmill.model.stages import StageSettings
from refmill.plans.decide import Memory
from refmill.ports.engines import RunOrder
from refmill.texts import Text
from refmill_argo import kube, manifests
from refmill_argo.engine import ArgoEngine
from refmill_argo.notes import TELLING
from refmill_argo.options import Options
from refmill_argo.parts import Parts

RUNNER = """
import json, os, sys, time, urllib.request
def ask(what):
    said = {"what": what, "pod": int(sys.argv[2]), "who": os.environ["HOSTNAME"], "run": os.environ["REFMILL_RUN"],
            "token": os.environ["REFMILL_TOKEN"]}
    request = urllib.request.Request(os.environ["REFMILL_SERVER"], json.dumps(said).encode())
    return json.load(urllib.request.urlopen(request, timeout=30))
told = ask("begin")
print("told", told["do"], flush=True)
if told["do"] == "memory":
    sys.stderr.write("eating\\n")
    eaten = b"x" * (1 << 30)
elif told["do"] == "sleep":
    time.sleep(600)
elif told["do"] in ("well", "badly"):
    ask(told["do"])
    sys.exit(0 if told["do"] == "well" else 1)
else:
    sys.exit(int(told["do"]))
"""


def runner() -> bytes:
    """The stand-in as one file."""
    whole = io.BytesIO()
    with zipfile.ZipFile(whole, "w") as archive:
        archive.writestr(zipfile.ZipInfo("__main__.py"), RUNNER)
    return whole.getvalue()


@dataclass
class World:
    """One installation: `does` says what the pods of a stage do, one attempt after the other; the last is for all."""

    cluster: OnCluster
    namespace: str
    folder: Path
    image: str
    records: Records
    address: str = ""
    does: dict[str, list[str]] = field(default_factory=dict)
    ended: dict[str, tuple[str, Text | None]] = field(default_factory=dict)
    ends: int = 0
    waited: list[tuple[str, ...]] = field(default_factory=list)
    kept: dict[tuple[str, int], bytes] = field(default_factory=dict)
    pods: dict[str, list[list[str]]] = field(default_factory=dict)
    bell: LocalBell = field(default_factory=LocalBell)
    engine: ArgoEngine | None = None
    asked: list[str] = field(default_factory=list)

    # The listener.

    def stages(self, run_id: str, stages: Sequence[StageRun]) -> None:
        self.records.states.set_stages(run_id, stages)

    def waits(self, run_id: str, stages: Sequence[str]) -> None:
        self.waited.append(tuple(stages))

    def ended_(self, run_id, status, files, entries, explanation=None, *, fault=False) -> None:
        self.records.states.move(run_id, status, expected=("queued", "running", "paused"), explanation=explanation)
        self.ended[run_id] = (status, explanation)
        self.ends += 1

    # The engine.

    def start(self, **parts: Any) -> ArgoEngine:
        """A new engine, as after a start of the platform."""

        def keep(run: Run, address: str, attempt: int, log: Path) -> None:
            self.kept[address, attempt] = log.read_bytes()

        listener: Any = _Listener(self)
        options = self.options()
        chosen = {"cluster": self.api(), "patience": 20.0, "relist": 30.0} | parts
        self.engine = ArgoEngine(
            Parts(
                work=self.folder / "work", listener=listener, options=options, runner=runner(),
                token=lambda run_id: f"token of {run_id}", runs=self.records.runs, states=self.records.states,
                memory=lambda run: Memory(None, None, MemoryTree({})), keep=keep, bell=self.bell, **chosen,
            )  # type: ignore[arg-type, return-value]
        )  # fmt: skip
        return self.engine

    def api(self) -> kube.KubeCluster:
        return kube.connect(self.namespace, str(self.cluster.kubectl.kubeconfig))

    def options(self) -> Options:
        return Options(
            server=self.address, runner="0" * 64, namespace=self.namespace, image=self.image, installation=self.namespace,
            network_policy=False, memory=64 << 20, disk=64 << 20, restarts=2, ttl=600, pods="OnPodSuccess",
        )  # fmt: skip

    def run(self, needs: Mapping[str, Sequence[str]], settings: Mapping[str, Mapping[str, Any]] | None = None,
            name: str = "r", **order: Any) -> RunOrder:  # fmt: skip
        """A run with these stages, in the records; each is alone in its pod."""
        stages = [
            Stage(address, "dvc.yaml", "", "true", outs=(Output(f"{address}.out", f"{address}.out"),))
            for address in needs
        ]
        plan = Plan(
            Pipeline({stage.address: stage for stage in stages}),
            tuple(StagePlan(stage, "run", (), {"cmd": "true"}, tuple(needs[stage.address])) for stage in stages),
        )
        owner = self.records.people.find("ada") or self.records.people.add("ada", None)
        there = self.records.catalogue.find("ada", "demo")
        repository = there or self.records.catalogue.add(owner.name, "demo")
        run = Run(
            id=f"{name}{time.time_ns() % 10**12:x}"[:20], repository_id=repository.id, repository="ada/demo", number=0, commit="0" * 40,
            ref="refs/heads/main", project="", status="queued", subject="x", created_by="ada", created=time.time_ns() // 1000,
            engine="argo",
        )  # fmt: skip
        run = self.records.runs.add(run, plan, [StageRun(address, "pending") for address in needs])
        said = {
            address: StageSettings(
                **{"cpu": 0.05, "memory": 64 << 20, "fuse": False, **((settings or {}).get(address) or {})}
            )
            for address in needs
        }
        self.pods[run.id] = [[address] for address in needs]
        return RunOrder(run, plan, said, "ada", **order)

    def rows(self, run_id: str) -> dict[str, StageRun]:
        return {row.address: row for row in self.records.runs.stages(run_id)}

    def row(
        self, run_id: str, address: str, until: Callable[[StageRun], Any], what: str = "", seconds: float = 90
    ) -> StageRun:
        """The stage as soon as `until` holds."""

        def found() -> StageRun | None:
            row = self.rows(run_id)[address]
            return row if until(row) else None

        return self.cluster.wait_for(found, f"{address}: {what}; {self.rows(run_id)}", seconds)

    def end(self, run_id: str, seconds: float = 120) -> tuple[str, str]:
        """How the run ended."""
        status, why = self.cluster.wait_for(
            lambda: self.ended.get(run_id), f"{run_id} ends; {self.rows(run_id)}", seconds
        )
        return status, str(why) if why is not None else ""

    def workflows(self) -> list[dict[str, Any]]:
        return self.cluster.kubectl.data("get", "workflows.argoproj.io", "-n", self.namespace)["items"]

    def things(self, kind: str) -> list[str]:
        return [
            item["metadata"]["name"] for item in self.cluster.kubectl.data("get", kind, "-n", self.namespace)["items"]
        ]

    def answer(self, said: dict[str, Any]) -> dict[str, Any]:
        """What a pod is told; its stage's state is written as the platform writes it."""
        run, address = said["run"], self.pods[said["run"]][said["pod"] - 1][0]
        assert said["token"] == f"token of {run}"
        row = self.rows(run)[address]
        states = self.records.states
        self.asked.append(f"{said['what']} {address}")
        if said["what"] == "begin":
            script = self.does.get(address, ["well"])
            do = script.pop(0) if len(script) > 1 else script[0]
            if row.status not in ("pending", "queued", "running"):
                do = "1"
            else:  # of a pod that Argo makes anew under the same name it is the same attempt
                (self.folder / "work" / run).mkdir(parents=True, exist_ok=True)
                states.set_stages(run, [StageRun(address, "running", row.attempt, time.time_ns() // 1000)])
            self.bell.ring(TELLING + run)
            return {"do": do}
        status = "succeeded" if said["what"] == "well" else "failed"
        states.set_stages(run, [dataclasses.replace(row, status=status)])
        self.bell.ring(TELLING + run)
        return {}


class _Listener:
    def __init__(self, world: World) -> None:
        self.stages, self.waits, self.ended = world.stages, world.waits, world.ended_


@contextlib.contextmanager
def world(cluster: OnCluster, namespace: str, folder: Path, image: str) -> Iterator[World]:
    """An installation in a namespace, ready to start its engine."""
    records = open_records(sqlite_url(folder / "refmill.db"))
    made = World(cluster, namespace, folder, image, records)

    class Answers(Silent):
        def do_POST(self) -> None:  # noqa: N802 - http.server's name
            said = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            self.answer(json.dumps(made.answer(said)).encode())

    try:
        with served(Answers, cluster.here) as made.address:
            cluster.kubectl("apply", "-f", "-", stdin=manifests.installation(made.options()))
            try:
                yield made
            finally:
                if made.engine is not None:
                    made.engine.close()
    finally:
        records.close()
