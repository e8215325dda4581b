"""Runs on a cluster: what a push costs until its Workflow is there, what a stage costs in a pod, chains, and many runs.

    make cluster-up && make servers
    make bench-cluster BENCH_ARGS="[--pushes 12] [--rounds 3] [--runs 200] [submit render stages chains queue spread]"

On the test cluster of this machine, with Argo's programs and MinIO. Peers in the same run: `kubectl create` of the same
YAML, and `argo submit` of the same chain. Each run goes through a real push over the link to the cluster.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import itertools
import os
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import bench_render
import bench_runner
import peers

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests" / "on_cluster"))

import yaml
from clusters import OnCluster
from pushing import FIT, SPEC, Pushed, platform_on, push, push_new

import s3_servers
from cluster import argo, components, images, lifecycle, network
from cluster.configuration import Files
from cluster.kubectl import Kubectl
from cluster.places import places
from platforms import Copy, Platform, new_copy, wait
from refmill_argo import kube
from refmill_argo.cluster import WORKFLOWS

PARTS = ("submit", "render", "stages", "chains", "queue", "spread")
SETTINGS = {"stage_cpus": "0.5", "stage_disk": "1Gi"}
WHOLE = "  resources: {cpu: 1}\n"
"""A core for a stage, so that no limit slows down what is measured."""
CHAIN, BRANCHES = 10, 5
SECONDS = 3600.0
CONTROL = ("kube-apiserver", "etcd", "workflow-controller")
TICK = os.sysconf("SC_CLK_TCK")


@dataclasses.dataclass(frozen=True)
class World:
    """What is measured: a platform, its cluster and namespace, Argo's programs, and where working copies lie."""

    platform: Platform
    cluster: OnCluster
    namespace: str
    argo: argo.Argo
    image: str
    folder: Path


def main() -> None:
    """Measure and print."""
    asked = argparse.ArgumentParser(description="Runs on the test cluster.")
    asked.add_argument("--pushes", type=int, default=12)
    asked.add_argument("--rounds", type=int, default=3)
    asked.add_argument("--runs", type=int, default=200)
    asked.add_argument("parts", nargs="*", metavar="PART", help=", ".join(PARTS))
    said = asked.parse_args()
    parts = said.parts or PARTS
    if unknown := set(parts) - set(PARTS):
        asked.error(f"no such part: {', '.join(unknown)}")
    cluster, programs = _cluster()
    with _world(cluster, programs) as world:
        print(_versions(world))
        todo: dict[str, Callable[[], None]] = {
            "submit": lambda: submit(world, said.pushes), "render": render, "stages": lambda: stages(world),
            "chains": lambda: chains(world, said.rounds), "queue": lambda: queue(world, said.runs),
            "spread": lambda: spread(world, said.runs),
        }  # fmt: skip
        for part in parts:
            todo[part]()


def _cluster() -> tuple[OnCluster, argo.Argo]:
    """The test cluster of this machine. Ends the bench with the reason where something is not there."""
    now, found = lifecycle.status(), argo.find(places().argo)
    if now.kubeconfig is None or now.state != "running":
        sys.exit(f"bench_cluster: no test cluster runs here ({now.state}): make cluster-up")
    if isinstance(found, str):
        sys.exit(f"bench_cluster: {found}")
    if not now.argo:
        sys.exit("bench_cluster: the cluster that is up came without Argo: make cluster-down cluster-up")
    if s3_servers.program("minio") is None:
        sys.exit(f"bench_cluster: {s3_servers.MISSING}")
    kubectl = Kubectl(components.programs(places().cache, print)["kubectl"], now.kubeconfig)
    return OnCluster(kubectl, Files(now.kubeconfig.parent)), found


@contextlib.contextmanager
def _world(cluster: OnCluster, programs: argo.Argo) -> Iterator[World]:
    """A platform with its objects in MinIO, whose runs go into a namespace of their own."""
    image = images.python(places().cache, print)
    cluster.load(image)
    namespace = f"bench-{os.getpid()}"
    cluster.kubectl("create", "namespace", namespace)
    try:
        with (
            peers.quiet() as folder,
            s3_servers.s3_server("minio", folder / "s3", network.HOST) as s3,
            platform_on(cluster, namespace, image.name, folder, **s3.settings(), **SETTINGS) as platform,
        ):
            yield World(platform, cluster, namespace, programs, image.name, folder)
    finally:
        cluster.kubectl("delete", "namespace", namespace, "--wait=false")


def _versions(world: World) -> str:
    told = world.cluster.kubectl.data("version")["serverVersion"]["gitVersion"]
    node = world.cluster.kubectl.data("get", "nodes")["items"][0]["status"]["nodeInfo"]
    python = subprocess.run(["python3", "--version"], capture_output=True, text=True, check=True).stdout.strip()
    return (
        f"Kubernetes {told}, Argo Workflows {world.argo.version()}, {node['containerRuntimeVersion']}, "
        f"{node['osImage']}, Linux {node['kernelVersion']}, {os.cpu_count()} cores, {python}, MinIO as the store\n"
    )


def submit(world: World, pushes: int) -> None:
    """From the beginning of a push, and of `kubectl create` of the same YAML, to the Workflow on the cluster."""
    seen = Watch(world)
    copy = new_copy(world.folder / "small", {"dvc.yaml": _chain(1, "true"), "in.txt": "start\n"})
    took: dict[str, list[float]] = {}
    for number in range(pushes + 1):
        copy.write({"in.txt": f"{number}\n"}).commit(str(number))
        began = time.perf_counter()
        push(world.platform, "small", copy)
        pushed = time.perf_counter() - began
        name, at = seen.next()
        _ended(world, "small", number + 1)
        again = _copied(world.cluster.kubectl.data("get", "workflows.argoproj.io", name, "-n", world.namespace))
        start = time.perf_counter()
        world.cluster.kubectl("create", "-f", "-", stdin=yaml.safe_dump(again))
        copied, there = seen.next()
        assert copied == again["metadata"]["name"]
        world.cluster.kubectl("delete", "workflows.argoproj.io", copied, "-n", world.namespace)
        if number:  # the first one brings the step runner
            took.setdefault("git push, until it answers", []).append(pushed)
            took.setdefault("git push → Workflow", []).append(at - began)
            took.setdefault("kubectl create → Workflow", []).append(there - start)
    peers.show(f"{pushes} pushes, one at a time", took, "kubectl create → Workflow")
    print()


def _copied(found: dict[str, Any]) -> dict[str, Any]:
    """The same Workflow under another name; it waits, so that nothing of it is run a second time."""
    told = found["metadata"]
    kept = {"name": f"copy-{told['name']}", "namespace": told["namespace"], "annotations": told.get("annotations", {})}
    return {**{key: found[key] for key in ("apiVersion", "kind")}, "metadata": kept,
            "spec": {**found["spec"], "suspend": True}}  # fmt: skip


class Watch:
    """When Workflows came to be, as whoever watches the namespace sees it."""

    def __init__(self, world: World) -> None:
        self._api = kube.connect(world.namespace, str(world.cluster.kubectl.kubeconfig))
        self._found: list[tuple[str, float]] = []
        self._some = threading.Condition()
        version = self._api.list(WORKFLOWS, "").version
        threading.Thread(target=self._look, args=(version,), daemon=True).start()

    def _look(self, version: str) -> None:
        while True:
            for change in self._api.watch(WORKFLOWS, "", version):
                version = change.thing["metadata"]["resourceVersion"]
                if change.what == "ADDED":
                    with self._some:
                        self._found.append((change.thing["metadata"]["name"], time.perf_counter()))
                        self._some.notify()

    def next(self) -> tuple[str, float]:
        """The next one and its moment."""
        with self._some:
            assert self._some.wait_for(lambda: self._found, 60), "no Workflow comes"
            return self._found.pop(0)


def render() -> None:
    """As `bench_render` does."""
    took = bench_render.measure(bench_render.ordered(300))
    peers.show("300 stages as Argo Workflows", took, "yaml.CSafeDumper, of the finished objects")
    print()


def stages(world: World) -> None:
    """What a stage costs in a pod beside its command: of a chain in one pod, from one stage's beginning to the next
    one's, less the seconds of the command as the step runner measured them."""
    files = bench_runner.project() | {FIT: SPEC + WHOLE}
    costs, commands = [], []
    for number in range(bench_runner.ROUNDS):
        pushed = push_new(world.platform, f"costs{number}", world.folder, files)
        pushed.ended(seconds=600)
        rows = world.platform.query(_ATTEMPTS, pushed.run)
        costs += [(after - before) / 1e6 - own for (before, own), (after, _) in itertools.pairwise(rows)]
        commands += [own for _, own in rows[:-1]]
    title = f"{len(costs)} stages of chains in one pod, among {bench_runner.FILES} files, objects in MinIO"
    print(f"| {title} (load {os.getloadavg()[0]:.1f}) | median ms | 90 % ms |\n| --- | --- | --- |")
    for name, values in (("beside the command", costs), ("the command", commands)):
        ordered = sorted(value * 1000 for value in values)
        print(f"| {name} | {statistics.median(ordered):.0f} | {ordered[int(len(ordered) * 0.9) - 1]:.0f} |")
    print()


_ATTEMPTS = "SELECT started, seconds FROM stage_attempts WHERE run_id = ? ORDER BY started"


def chains(world: World, rounds: int) -> None:
    """Ten stages of a second, one after another: in one pod, each in its own, and as `argo submit` runs them."""
    took: dict[str, list[float]] = {}
    peer = f"argo submit {world.argo.version()}, a pod each"
    for number in range(rounds):
        for name, fuse in (("Refmill, stages that share a pod", "true"), ("Refmill, fuse: false", "false")):
            files = {"dvc.yaml": _chain(CHAIN, "sleep 1"), "in.txt": f"{number}\n",
                     FIT: SPEC + WHOLE + f"  fuse: {fuse}\n"}  # fmt: skip
            copy = new_copy(world.folder / f"chain{number}{fuse}", files)
            began = time.perf_counter()
            pushed = push(world.platform, f"chain{number}{fuse}", copy)
            pushed.ended(seconds=900)
            took.setdefault(name, []).append(time.perf_counter() - began)
        took.setdefault(peer, []).append(_argo_chain(world))
    peers.show(f"a chain of {CHAIN} stages of 1 s, from push or submit to the end", took, peer)
    print()


def _argo_chain(world: World) -> float:
    """Seconds of the same chain without Refmill: the same image and the same commands, files left out."""
    tasks = [
        {"name": f"s{number}", "template": "one"} | ({"dependencies": [f"s{number - 1}"]} if number > 1 else {})
        for number in range(1, CHAIN + 1)
    ]
    amounts = {"cpu": "1", "memory": "256Mi"}
    workflow = {
        "apiVersion": "argoproj.io/v1alpha1", "kind": "Workflow",
        "metadata": {"generateName": "chain-", "namespace": world.namespace},
        "spec": {
            "entrypoint": "main", "serviceAccountName": "refmill-stage", "automountServiceAccountToken": False,
            "executor": {"serviceAccountName": "refmill-executor"}, "podGC": {"strategy": "OnPodSuccess"},
            "templates": [
                {"name": "main", "dag": {"tasks": tasks}},
                {"name": "one", "container": {
                    "image": world.image, "imagePullPolicy": "IfNotPresent", "command": ["sh", "-c", "sleep 1"],
                    "resources": {"requests": amounts, "limits": amounts},
                }},
            ],
        },
    }  # fmt: skip
    place = world.folder / "chain.yaml"
    place.write_text(yaml.safe_dump(workflow))
    command = [world.argo.program("argo"), "submit", "--wait", "--output=json", "-n", world.namespace, place]
    began = time.perf_counter()
    done = subprocess.run(
        command, env=os.environ | {"KUBECONFIG": str(world.cluster.kubectl.kubeconfig)}, capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    took = time.perf_counter() - began
    assert done.returncode == 0, done.stdout + done.stderr
    return took


def queue(world: World, runs: int) -> None:
    """Many runs at once, each of a chain that one pod takes."""
    _many(world, "many", _chain(BRANCHES, "true"), f"{runs} runs of {BRANCHES} stages, one pod each", runs)


def spread(world: World, runs: int) -> None:
    """Many runs at once, each of stages that need nothing of each other."""
    _many(world, "wide", _wide(BRANCHES, "true"), f"{runs} runs of {BRANCHES} stages, a pod for each stage", runs)


def _many(world: World, name: str, pipeline: str, title: str, runs: int) -> None:
    """The processor time of the platform, and of those that Kubernetes and Argo need for them."""
    copy = new_copy(world.folder / name, {"dvc.yaml": pipeline, "in.txt": "start\n"})
    for number in range(runs):
        copy.write({"in.txt": f"{number}\n"}).commit(str(number))
        copy.git("branch", f"b{number}")
    before, began = _used(world), time.perf_counter()
    copy.git("push", "--quiet", world.platform.url(f"alice/{name}", "alice"), "refs/heads/b*")
    wait(lambda: _over(world, name) >= runs, f"{runs} runs end", SECONDS)
    seconds, after = time.perf_counter() - began, _used(world)
    bad = world.platform.query(_COUNT + " AND runs.status != 'succeeded'", name)[0][0]
    spent = {part: after[part] - before.get(part, 0.0) for part in after}
    theirs = sum(spent[part] for part in CONTROL)
    title = f"{title}, queued at once: {seconds:.0f} s, {bad} failed (load {os.getloadavg()[0]:.1f})"
    print(f"| {title} | s of CPU | ms a run | × API server, etcd and Argo |\n| --- | --- | --- | --- |")
    ours = {part: used for part, used in sorted(spent.items()) if part not in CONTROL}
    rows = {"Refmill": sum(ours.values()), **ours, "API server, etcd and Argo": theirs}
    rows |= {part: spent[part] for part in CONTROL}
    for part, used in rows.items():
        print(f"| {part} | {used:.1f} | {used / runs * 1000:.0f} | {used / theirs:.3f} |")
    print()


_COUNT = (
    "SELECT count(*) FROM runs JOIN repositories ON repository_id = repositories.id"
    " WHERE repositories.name = ? AND runs.finished IS NOT NULL"
)


def _over(world: World, name: str) -> int:
    time.sleep(1)  # who asks all the time is in the way of what is measured
    return int(world.platform.query(_COUNT, name)[0][0])


def _used(world: World) -> dict[str, float]:
    """Seconds of CPU that processes had until now, with children that have ended, by name."""
    assert world.platform.process is not None
    parents, used, words = {}, {}, {}
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError, ValueError):
            rest = (folder / "stat").read_bytes().rpartition(b")")[2].split()
            pid = int(folder.name)
            parents[pid], used[pid] = int(rest[1]), sum(map(int, rest[11:15])) / TICK
            words[pid] = (folder / "cmdline").read_bytes().decode().split("\0")
    found = {name: sum(used[pid] for pid, said in words.items() if Path(said[0]).name == name) for name in CONTROL}
    mine, more = {world.platform.process.pid}, True
    while more:
        below = {pid for pid, parent in parents.items() if parent in mine} - mine
        mine, more = mine | below, bool(below)
    for pid in mine & words.keys():
        part = words[pid][2].rpartition(".")[2] if words[pid][1:2] == ["-m"] else "the rest"
        name = f"Refmill: {part if part in ('web', 'engine', 'resolver') else 'the rest'}"
        found[name] = found.get(name, 0.0) + used[pid]
    return found


def _ended(world: World, name: str, number: int) -> None:
    copy = Copy(world.folder / name)
    Pushed(world.platform, copy, name, number=number).ended()


def _wide(stages: int, command: str) -> str:
    """Stages side by side, all with the same file."""
    return _stages(command, ["in.txt"] * stages)


def _chain(stages: int, command: str) -> str:
    """Stages one after another, each with the file of the one before it."""
    return _stages(command, ["in.txt", *(f"out{number}.txt" for number in range(1, stages))])


def _stages(command: str, needed: Sequence[str]) -> str:
    """A stage for each of these files, which copies it."""
    return "stages:\n" + "".join(
        f"  s{number}: {{cmd: '{command} && cat {need} > out{number}.txt', deps: [{need}], outs: [out{number}.txt]}}\n"
        for number, need in enumerate(needed, 1)
    )


if __name__ == "__main__":
    main()
