"""A release of the chart with two servers on one volume: one works, the other stands by and takes over in the middle of
a run in pods, whatever becomes of the first one. Nothing is run twice, and nothing is lost."""

import functools
import hashlib
import itertools
import json
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from clusters import OnCluster
from pushing import FIT, HERE, SPEC, Lead
from releases import MINUTES, RELEASE, Installed, release_in
from standing_by import LEASE, RENEWED, Pod, Roles, Servers, container, name

from platforms import Copy, new_copy

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(1800)]
CLAIM = f"data-{RELEASE}-0"
SETTINGS = {
    "lease_seconds": LEASE, "engines": "local", "stage_cpus": 0.1, "stage_memory": "256Mi", "stage_disk": "256Mi",
}  # fmt: skip
_numbers = itertools.count(1)
OK = 200
STALLED = ("-c", "http.lowSpeedLimit=1", "-c", "http.lowSpeedTime=30")
"""A request to a server that hangs is given up: the Service sends some there until its pod is not ready any more."""


@pytest.fixture(scope="module")
def servers(
    workflows: OnCluster, namespace_of_module: str, platform_images: dict[str, str], postgresql_image: str,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Servers]:  # fmt: skip
    """The release, which the tests of this file share."""
    folder, namespace = tmp_path_factory.mktemp("standbys"), namespace_of_module
    modes = ["ReadWriteMany"]
    with release_in(
        workflows, namespace, platform_images, folder / "volume", beside={"database": folder / "database"}, replicas=2,
        storage={"existingClaim": CLAIM, "accessModes": modes}, podDisruptionBudget={"enabled": True},
        database={"trial": {"enabled": True, "image": postgresql_image, "size": "1Gi"}},
    ) as made:  # fmt: skip
        workflows.kubectl.apply({
            "apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": CLAIM, "namespace": namespace},
            "spec": {
                "accessModes": modes, "storageClassName": "", "resources": {"requests": {"storage": "5Gi"}},
            },
        })  # fmt: skip
        found = Servers(made.cluster, namespace, made.values | {"settings": made.values["settings"] | SETTINGS})
        found.install()
        yield found


@dataclass
class Work:
    """A project whose first stage ends when it may, in a pod of its own, and its runs."""

    servers: Servers
    led: Lead
    copy: Copy
    name: str
    commit: str = ""

    @property
    def repository(self) -> str:
        return f"operator/{self.name}"

    @property
    def url(self) -> str:
        return f"http://operator:{self.servers.password}@{self.servers.address}/{self.repository}.git"

    def begin(self) -> Roles:
        """Push, and wait until the stage runs and that is recorded; gives who works and who waits."""
        roles = self.servers.settled()
        self.copy.git("push", "--quiet", self.url, "main")
        self.led.wait_for("slow", seconds=180)
        self.servers.cluster.wait_for(lambda: self.runs()[0]["stages"][0]["status"] == "running", "that is recorded")
        return roles

    def push_until_taken(self) -> None:
        """A push of another branch as soon as the Service leads to a server that works. (What asks for a connection in
        the moment in which the pods behind it change may wait for two minutes, as TCP does; git has no limit for that.)"""
        reachable = functools.partial(self.servers.answers, self.servers.address, "/readyz")
        self.servers.cluster.wait_for(lambda: reachable() == OK, "the Service leads to a server that works", 180)
        self.copy.git("checkout", "--quiet", "-b", "meanwhile")
        self.commit = self.copy.write({"in.txt": "y\n"}).commit("meanwhile")
        said: list[str] = []

        def pushed() -> bool:
            done = self.copy.git(*STALLED, "push", "--quiet", self.url, "meanwhile", check=False)
            said.append(done.stderr)
            return done.returncode == 0

        try:
            self.servers.cluster.wait_for(pushed, "a push is taken", 240)
        except AssertionError as error:
            raise AssertionError(f"{said}\n{self.servers.story()}") from error

    def end(self) -> None:
        """Let both runs end, and see that each has succeeded, once, with its results in git."""
        for _ in range(2):
            self.led.give("slow", "cp in.txt a.txt")
        second = self.servers.newest(self.repository, self.commit, over=True, seconds=300)
        self.servers.cluster.wait_for(lambda: all(run["finished"] for run in self.runs()), "both have ended", 300)
        runs = self.runs()
        assert [run["number"] for run in runs] == [2, 1]
        for run in runs:
            told = json.dumps(runs) + self.servers.story()
            assert run["status"] == "succeeded", told
            assert [(stage["status"], stage["attempt"]) for stage in run["stages"]] == [("succeeded", 1)] * 2, told
            assert self.servers.pods_of(run) == ["Succeeded"] * 2
        assert self.led.asked == ["slow", "slow"]
        assert second["number"] == 2
        for number, content in ((1, b"x\n"), (2, b"y\n")):
            stages = yaml.safe_load(self.result(number))["stages"]
            assert [stages[stage]["outs"][0]["md5"] for stage in ("slow", "after")] == [
                hashlib.md5(content * times, usedforsecurity=False).hexdigest() for times in (1, 2)
            ]

    def runs(self) -> list[dict[str, Any]]:
        """All of them, newest first."""
        found: list[dict[str, Any]] = json.loads(self.servers.refmill("runs", self.repository, "--json"))
        return found

    def result(self, number: int) -> str:
        """The lock file of the one experiment that a run has."""
        listed = self.copy.git("ls-remote", self.url, f"refs/exps/*/run-{number}").stdout
        (ref,) = (line.split()[1] for line in listed.splitlines())
        self.copy.git("fetch", "--quiet", self.url, ref)
        return self.copy.git("show", "FETCH_HEAD:dvc.lock").stdout


def project(servers: Servers, led: Lead, folder: Path, spec: str) -> Work:
    """One that nobody has pushed yet."""
    copy = new_copy(folder / "copy", {
        "dvc.yaml": "stages:\n  slow: {cmd: python3 led.py slow, deps: [in.txt], outs: [a.txt]}\n"
        "  after: {cmd: cat a.txt a.txt > b.txt, deps: [a.txt], outs: [b.txt]}\n",
        "in.txt": "x\n",
        FIT: spec,
        **led.files,
    })  # fmt: skip
    return Work(servers, led, copy, f"work-{next(_numbers)}")


@pytest.fixture
def work(servers: Servers, led: Lead, tmp_path: Path) -> Work:
    """One whose stages run in pods, each in its own."""
    return project(servers, led, tmp_path, SPEC + "  fuse: false\n")


def test_one_server_works_and_the_other_one_stands_by(servers: Servers, tmp_path: Path) -> None:
    roles = servers.settled()
    assert all(init["restartCount"] == 0 for pod in servers.pods() for init in pod["status"]["initContainerStatuses"])
    assert all(container(pod)["restartCount"] == 0 for pod in servers.pods())
    works, waits = roles.names
    assert "Refmill is ready" in servers.said(works)
    said = servers.said(waits)
    assert "stands by" in said
    assert f"another server has the lease: {works}:" in said
    there = f"{roles.waits['status']['podIP']}:8700"
    assert [servers.answers(there, path) for path in ("/healthz", "/readyz", "/")] == [200, 503, 503]
    # All that comes by the Service comes to the one that works, also pushes; commands run in any of them.
    assert {servers.answers(servers.address, "/") for _ in range(20)} == {200}
    copy = new_copy(tmp_path / "copy", {
        "dvc.yaml": "stages:\n  count: {cmd: 'wc -l < rows.txt > count.txt', deps: [rows.txt], outs: [count.txt]}\n",
        "rows.txt": "1\n2\n3\n",
    })  # fmt: skip
    run = servers.push(copy)
    assert run["status"] == "succeeded", servers.story()
    inside = ("exec", waits, "-c", "refmill", "-n", servers.namespace, "--")
    runs = json.loads(servers.cluster.kubectl(*inside, "refmill", "runs", "operator/tiny", "--json"))
    assert [run["number"] for run in runs] == [1]


def forced(servers: Servers, pod: Pod) -> None:
    """As somebody does who takes its node to be dead."""
    servers.delete(name(pod), "--force", "--grace-period=0")


def killed(servers: Servers, pod: Pod) -> None:
    """As the kernel does when memory is short."""
    servers.signal(pod, signal.SIGKILL, main=True)


@pytest.mark.parametrize("harm", [forced, killed])
def test_a_run_goes_on_when_the_server_that_works_is_gone(
    servers: Servers, work: Work, harm: Callable[[Servers, Pod], None]
) -> None:
    before = work.begin()
    first, second = before.names
    browser = servers.signed_in()
    began = time.monotonic()
    harm(servers, before.works)
    # On the same machine at once: nobody has to wait for the end of the lease.
    assert servers.taken_over(first, began) < LEASE - RENEWED
    assert servers.holder() == second
    work.push_until_taken()
    after = servers.settled()
    assert name(after.works) == second
    page = browser.get(f"http://{servers.address}/{work.repository}/runs/1", timeout=30)
    assert page.ok
    assert page.url.endswith("/runs/1")  # and is no invitation to sign in again
    if harm is killed:
        assert servers.again(first)["exitCode"] == 128 + signal.SIGKILL
    assert name(after.waits) != first or harm is killed
    assert "stands by" in servers.said(name(after.waits))
    work.end()


def test_a_stage_of_the_local_engine_ends_with_its_pod_and_begins_again_in_the_other_one(
    servers: Servers, led: Lead, tmp_path: Path
) -> None:
    work = project(servers, led, tmp_path, HERE)
    before = work.begin()
    assert led.pods["slow"] == name(before.works)
    forced(servers, before.works)
    led.wait_for("slow", 2)
    assert led.pods["slow"] == name(before.waits)
    led.give("slow", "exit 1")  # for the first one, which is no more
    led.give("slow", "cp in.txt a.txt")
    run = servers.newest(work.repository, work.copy.git("rev-parse", "HEAD").stdout.strip(), over=True)
    assert run["status"] == "succeeded", servers.story()
    assert [(stage["name"], stage["attempt"]) for stage in run["stages"]] == [("slow", 2), ("after", 1)]
    assert led.asked == ["slow", "slow"]
    assert work.result(1)


def test_a_server_that_hangs_is_overtaken_and_ends_itself_when_it_goes_on(servers: Servers, work: Work) -> None:
    before = work.begin()
    first, second = before.names
    began = time.monotonic()
    servers.signal(before.works, signal.SIGSTOP)
    try:
        # Its locks are held, so nothing but the lease says that it is over.
        assert LEASE - RENEWED - 1 < servers.taken_over(first, began) < LEASE + 15
        assert servers.holder() == second
        work.push_until_taken()
        servers.settled()
    finally:
        servers.signal(before.works, signal.SIGCONT)
    assert servers.again(first)["exitCode"] == 128 + signal.SIGALRM
    after = servers.settled()
    assert after.names == (second, first)
    work.end()


def test_an_upgrade_replaces_both_servers_and_a_run_goes_on(servers: Servers, work: Work) -> None:
    work.begin()
    before = {pod["metadata"]["uid"] for pod in servers.pods()}
    servers.install(stage_memory="300Mi")
    work.push_until_taken()
    after = servers.settled(without=before)
    assert "stands by" in servers.said(name(after.waits))
    settings = ("get", "configmap", f"{RELEASE}-settings", "-n", servers.namespace)
    assert servers.cluster.kubectl.data(*settings)["data"]["REFMILL_STAGE_MEMORY"] == "300Mi"
    work.end()


def test_the_server_that_works_is_not_evicted_and_the_other_one_is(servers: Servers, work: Work) -> None:
    works, waits = work.begin().names
    refused = servers.evicted(works)
    assert refused.returncode != 0
    assert "TooManyRequests" in refused.stderr  # 429
    assert "disruption budget" in refused.stderr
    assert servers.holder() == works
    assert servers.evicted(waits).returncode == 0
    after = servers.settled()
    assert name(after.works) == works
    assert name(after.waits) != waits
    # Whoever drains the node deletes it: it hands over, and may then go.
    began = time.monotonic()
    servers.delete(works)
    assert servers.taken_over(works, began) < LEASE - RENEWED
    work.push_until_taken()
    assert name(servers.settled().works) == name(after.waits)
    work.end()


def test_for_maintenance_all_servers_end_and_a_run_goes_on_when_they_are_back(servers: Servers, work: Work) -> None:
    work.begin()
    before = {pod["metadata"]["uid"] for pod in servers.pods()}
    servers.change("maintenance=true", "--wait", f"--timeout={MINUTES}m")
    (pod,) = servers.pods(ending=True)
    assert pod["metadata"]["uid"] not in before
    assert (servers.holder(), servers.answers(servers.address, "/healthz")) == ("", 0)
    servers.refmill("gc", "--yes")
    servers.refmill("repo", "reindex")
    assert servers.holder() == ""
    servers.change("maintenance=false")
    work.push_until_taken()
    servers.settled(without={*before, pod["metadata"]["uid"]})
    work.end()


def test_from_two_servers_to_one_and_back_goes_by_none(servers: Servers, work: Work) -> None:
    work.begin()
    work.led.give("slow", "cp in.txt a.txt")
    servers.cluster.wait_for(lambda: work.runs()[0]["finished"], "its run ends", 180)
    one = Installed(servers.cluster, servers.namespace, servers.values | {"replicas": 1})
    none = replace(one, values=one.values | {"replicas": 0})
    none.upgrade()
    servers.cluster.wait_for(lambda: not servers.pods(ending=True), "all servers have ended", 120)
    one.install()
    assert [run["status"] for run in json.loads(one.refmill("runs", work.repository, "--json"))] == ["succeeded"]
    none.install()
    servers.install()
    assert [run["status"] for run in work.runs()] == ["succeeded"]
    assert "stands by" in servers.said(name(servers.settled().waits))
