"""Runs of real pushes on a real cluster, to whose pods something happens: what becomes of them, and what is said of it."""

import json
import os
import signal
from pathlib import Path

import pytest
from clusters import OnCluster, away, processes
from pushing import FIT, HERE, SPEC, Attempted, Lead, Pushed, assert_alike, push_new

from cluster import images
from cluster.configuration import NODE_NAME
from platforms import Platform

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(900)]


def pods(cluster: OnCluster, pushed: Pushed) -> list[str]:
    """The pods of a run that are not over, by name."""
    found = cluster.kubectl.data("get", "pods", "--all-namespaces", "-l", f"refmill.dev/run={pushed.run}")["items"]
    return [pod["metadata"]["name"] for pod in found if pod["status"]["phase"] in ("Pending", "Running")]


LONG, STRAY, PLAIN = "97531", "97532", "97533"
"""Seconds by which sleeping processes are known."""
SLOW = f"""\
import pathlib, subprocess, sys, time
def left():
    found = []
    for place in pathlib.Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = place.read_bytes().split(b"\\0")
        except OSError:
            continue
        if words[:1] == [b"sleep"]:
            found.append(words[1].decode())
    return sorted(found)
mark = pathlib.Path("/tmp/before")
if mark.exists():
    print("left", left(), flush=True)
    pathlib.Path("slow.txt").write_text("%s\\n" % left())
    sys.exit(0)
subprocess.Popen(["sh", "-c", "trap '' TERM; (setsid sleep {STRAY} &); exec sleep {LONG}"])
while left() != ["{LONG}", "{STRAY}"]:
    time.sleep(0.1)
mark.touch()
time.sleep(600)
"""


def test_a_stage_that_takes_too_long_is_ended_with_all_that_it_started(
    platform: Platform, tmp_path: Path, workflows: OnCluster
):
    pushed = push_new(platform, "timeout", tmp_path, {
        "dvc.yaml": "stages:\n  slow: {cmd: python3 slow.py, deps: [slow.py], outs: [slow.txt]}\n"
        f"  plain: {{cmd: 'sleep {PLAIN} & sleep {PLAIN}', outs: [plain.txt]}}\n  below: {{cmd: 'true', deps: [plain.txt]}}\n",
        "slow.py": SLOW,
        FIT: SPEC + "  onError: continue\n  stages:\n    slow: {timeout: 6s, retries: 1, resources: {cpu: 500m}}\n"
        f"    plain: {{timeout: 3s, image: '{images.BUSYBOX}', python: false}}\n",
    })  # fmt: skip
    pushed.ended("failed")
    assert sorted(pushed.attempts(), key=str) == [
        Attempted("below", 1, "skipped", "plain did not succeed"),
        Attempted("plain", 1, "failed", "took longer than 3 s and was ended"),
        Attempted("slow", 1, "failed", "took longer than 6 s and was ended"),
        Attempted("slow", 2, "succeeded"),
    ]
    assert "left []" in platform.refmill("logs", "alice/timeout#1", "slow")
    sleeping = {PLAIN, LONG, STRAY}
    workflows.wait_for(lambda: sleeping.isdisjoint(_slept()), "the processes of ended stages are gone")


def _slept() -> set[str]:
    """What `sleep` was given, in all processes of this machine."""
    found = set()
    for pid in processes("sleep"):
        try:
            found.add(Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")[1].decode())
        except OSError:
            continue
    return found


def test_pods_that_are_evicted_say_why_and_their_stages_go_on_if_they_may(
    platform: Platform, tmp_path: Path, workflows: OnCluster, namespace_of_all: str, led: Lead
):
    fill = f"head -c {320 << 20} /dev/zero > /tmp/much"
    pushed = push_new(platform, "evicted", tmp_path, {
        "dvc.yaml": "".join(
            ["stages:\n", *(f"  {name}: {{cmd: python3 led.py {name}, outs: [{name}.txt]}}\n" for name in ("moved", "much", "more"))]
        ),
        FIT: SPEC + "  onError: continue\n  stages:\n    much: {retries: 1}\n",
        **led.files,
    })  # fmt: skip
    for name in ("much", "more"):
        led.give(name, f"{fill}; sleep 600")
    led.give("much", "echo little > much.txt")
    led.give("moved", "sleep 600")
    led.give("moved", "echo moved > moved.txt")
    led.wait_for("moved")
    workflows.wait_for(lambda: pushed.is_at("moved", 1, "running"), "it is told")
    name = led.pods["moved"]
    eviction = {
        "apiVersion": "policy/v1",
        "kind": "Eviction",
        "metadata": {"name": name, "namespace": namespace_of_all},
    }
    where = f"/api/v1/namespaces/{namespace_of_all}/pods/{name}/eviction"
    workflows.kubectl("create", "--raw", where, "-f", "-", stdin=json.dumps(eviction))
    pushed.ended("failed")
    full = (
        "its folders took more than 256 MiB of disk and it was ended: write less, or have the operator raise stage_disk"
    )
    assert sorted(pushed.attempts(), key=str) == [
        Attempted("more", 1, "failed", full),
        Attempted("moved", 1, "failed", "its pod was evicted on request, as when its node is drained"),
        Attempted("moved", 2, "succeeded"),
        Attempted("much", 1, "failed", full),
        Attempted("much", 2, "succeeded"),
    ]


IN_A_ROW = {
    "dvc.yaml": "stages:\n  first: {cmd: python3 led.py first, outs: [first.txt]}\n"
    "  slow: {cmd: python3 led.py slow, deps: [first.txt], outs: [slow.txt]}\n"
    "  after: {cmd: cat first.txt slow.txt > after.txt, deps: [first.txt, slow.txt], outs: [after.txt]}\n",
    FIT: SPEC + "  fuse: false\n",
}
"""A pod for each; the first two do what the test says."""


@pytest.mark.parametrize("program", ["kube-apiserver", "workflow-contro"])
def test_a_run_outlives_the_kill_of_what_makes_its_pods(
    program: str, platform: Platform, tmp_path: Path, workflows: OnCluster, revived: None, led: Lead
):
    repository = f"without-{program}"
    pushed = push_new(platform, repository, tmp_path, IN_A_ROW | led.files)
    led.wait_for("first")
    workflows.wait_for(lambda: pushed.is_at("first", 1, "running"), "it is told")
    with away(program):
        assert workflows.kubectl.answers() == (program != "kube-apiserver")
        led.give("first", "echo first > first.txt")
        workflows.wait_for(
            lambda: pushed.is_at("first", 1, "succeeded"), "what runs goes on, and the platform hears it"
        )
        late = push_new(platform, f"{repository}-late", tmp_path, {"dvc.yaml": "stages:\n  only: {cmd: 'true'}\n"})
        workflows.wait_for(late.attempts, "a push is taken")
        assert led.asked == ["first"], "nobody makes the next pod"
    led.give("slow", "echo slow > slow.txt")
    pushed.ended()
    late.ended()
    assert led.asked == ["first", "slow"]
    for name in ("first", "slow"):
        led.give(name, f"echo {name} > {name}.txt")
    here = push_new(platform, f"{repository}-here", tmp_path, IN_A_ROW | {FIT: HERE} | led.files)
    here.ended()
    assert_alike(pushed, here)


GONE = "its pod is gone, and another one takes its place: its node was lost, or somebody deleted it"


def test_a_run_outlives_the_end_of_its_node(
    platform: Platform, tmp_path: Path, workflows: OnCluster, revived: None, led: Lead
):
    pushed = push_new(platform, "node", tmp_path, IN_A_ROW | led.files)
    led.wait_for("first")
    # A kubelet that ends and comes back is no loss: what runs in pods runs on.
    (kubelet,) = processes("kubelet")
    os.kill(kubelet, signal.SIGKILL)
    workflows.wait_for(lambda: processes("kubelet"), "the kubelet is back")
    led.give("first", "echo first > first.txt")
    led.give("slow", "sleep 600")
    led.wait_for("slow")
    workflows.wait_for(lambda: pushed.is_at("slow", 1, "running"), "it is told")
    # The machine is gone: nobody answers for it, and what ran there does not any more.
    (kubelet,) = processes("kubelet")
    os.kill(kubelet, signal.SIGSTOP)
    try:
        for name in pods(workflows, pushed):
            _end_all_of(workflows, name)
        workflows.kubectl("delete", "node", NODE_NAME)
        workflows.wait_for(lambda: pushed.is_at("slow", 1, "failed"), f"it is lost: {pushed.attempts()}", 180)
        assert not pushed.is_at("slow", 2, "running")
    finally:
        os.kill(kubelet, signal.SIGKILL)  # and another one takes its place
    led.give("slow", "echo slow > slow.txt")
    pushed.ended()
    assert pushed.attempts() == [
        Attempted("first", 1, "succeeded"),
        Attempted("slow", 1, "failed", GONE),
        Attempted("slow", 2, "succeeded"),
        Attempted("after", 1, "succeeded"),
    ]
    assert led.asked == ["first", "slow", "slow"]
    assert "after" in pushed.result()["dvc.lock"][1].decode()
    workflows.wait_for(lambda: _ready(workflows), "the node takes pods")


def _end_all_of(cluster: OnCluster, pod: str) -> None:
    """SIGKILL to every process of a pod."""
    found = cluster.kubectl.data("get", "pods", "--all-namespaces", f"--field-selector=metadata.name={pod}")["items"]
    mark = f"pod{found[0]['metadata']['uid']}"
    for place in Path("/proc").glob("[0-9]*/cgroup"):
        try:
            if mark in place.read_text():
                os.kill(int(place.parent.name), signal.SIGKILL)
        except OSError:
            continue


def _ready(cluster: OnCluster) -> bool:
    done = cluster.kubectl.tried("get", "node", NODE_NAME, "-o", "json")
    if done.returncode:
        return False
    node = json.loads(done.stdout)
    conditions = {each["type"]: each["status"] for each in node["status"]["conditions"]}
    return conditions.get("Ready") == "True" and not node["spec"].get("taints")
