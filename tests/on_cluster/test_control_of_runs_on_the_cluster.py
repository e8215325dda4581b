"""What people do about runs of real pushes on a real cluster, by command: retry, pause, resume, and which one is first."""

import json
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from clusters import OnCluster
from pushing import FIT, SPEC, Attempted, Lead, Pushed, platform_on, push_new, restart

from platforms import Platform

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(900)]
CHAIN = {
    "dvc.yaml": "stages:\n  first: {cmd: python3 led.py first, deps: [in.txt], outs: [first.txt]}\n"
    "  second: {cmd: python3 led.py second, deps: [first.txt], outs: [second.txt]}\n"
    "  third: {cmd: cat first.txt second.txt > third.txt, deps: [first.txt, second.txt], outs: [third.txt]}\n",
    "in.txt": "in\n",
    FIT: SPEC + "  fuse: false\n",
}
TURN = "waits for its turn: 1 other run is on the cluster, as many as may be"


@pytest.fixture(scope="module")
def platform(
    workflows: OnCluster, python_image: str, namespace_of_module: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Platform]:
    """One of this file's own: it is killed, and has room for one run on the cluster."""
    folder = tmp_path_factory.mktemp("platform")
    with platform_on(workflows, namespace_of_module, python_image, folder, argo_runs="1") as made:
        yield made


class Seen:
    """What the cluster shows of runs."""

    def __init__(self, cluster: OnCluster, namespace: str) -> None:
        self.cluster, self.namespace = cluster, namespace

    def workflow(self, pushed: Pushed) -> dict[str, Any]:
        """The Workflow of a run."""
        return self.cluster.kubectl.data("get", "workflows.argoproj.io", f"rf-{pushed.run}", "-n", self.namespace)

    def pods(self, pushed: Pushed) -> list[tuple[str, str]]:
        """The tasks that Argo ever made pods for, and how each is."""
        nodes = self.workflow(pushed).get("status", {}).get("nodes", {}).values()
        return sorted((node["displayName"].partition("(")[0], node["phase"]) for node in nodes if node["type"] == "Pod")


@pytest.fixture
def seen(workflows: OnCluster, namespace_of_module: str) -> Seen:
    return Seen(workflows, namespace_of_module)


def test_a_retry_is_a_new_attempt_that_makes_pods_for_what_was_not_done_alone(
    platform: Platform, tmp_path: Path, seen: Seen, led: Lead
):
    pushed = push_new(platform, "retried", tmp_path, CHAIN | led.files)
    led.give("first", "echo first > first.txt")
    led.give("second", "echo this goes wrong; exit 3")
    pushed.ended("failed")
    assert pushed.attempts() == [
        Attempted("first", 1, "succeeded"),
        Attempted("second", 1, "failed", "ended with exit code 3"),
        Attempted("third", 1, "skipped", "second did not succeed"),
    ]
    assert len(seen.pods(pushed)) == 2

    told = json.loads(platform.refmill("retry", "alice/retried#1", "--json"))
    assert (told["number"], told["attempt"], told["commit"]) == (
        2,
        2,
        pushed.copy.git("rev-parse", "HEAD").stdout.strip(),
    )
    again = replace(pushed, number=2)
    led.give("second", "echo second > second.txt")
    again.ended()
    assert again.engine == "argo"
    assert [(each.address, each.status) for each in again.attempts()] == [
        ("first", "cached"), ("second", "succeeded"), ("third", "succeeded"),
    ]  # fmt: skip
    assert led.asked == ["first", "second", "second"]
    seen.cluster.wait_for(lambda: seen.workflow(again)["status"]["phase"] == "Succeeded", "Argo has seen its end")
    assert [phase for _, phase in seen.pods(again)] == ["Succeeded", "Succeeded"], "none for the one that was done"
    assert seen.workflow(again)["metadata"]["annotations"]["refmill.dev/attempt"] == "2"
    assert pushed.ended("failed")["status"] == "failed", "the first one stays as it was"
    assert "this goes wrong" in platform.refmill("logs", "alice/retried#1", "second")
    assert again.result()["dvc.lock"]


def test_a_paused_run_ends_what_runs_and_starts_nothing_until_it_is_resumed_also_through_a_kill(
    platform: Platform, tmp_path: Path, seen: Seen, led: Lead
):
    pushed = push_new(platform, "paused", tmp_path, CHAIN | led.files)
    led.wait_for("first")
    seen.cluster.wait_for(lambda: pushed.is_at("first", 1, "running"), "it is told")
    assert platform.refmill("pause", "alice/paused#1") == "alice/paused#1: paused; still running: first\n"
    seen.cluster.wait_for(lambda: seen.workflow(pushed)["spec"].get("suspend"), "the Workflow is suspended")
    led.give("first", "echo first > first.txt")
    seen.cluster.wait_for(lambda: pushed.is_at("first", 1, "succeeded"), "what runs goes on to its end")
    seen.cluster.wait_for(lambda: seen.pods(pushed) == [("s0001", "Succeeded")], "Argo has seen that")
    restart(platform)
    time.sleep(5)  # Argo makes the next pod within a second or two when it may
    assert platform.runs("alice/paused")[0]["status"] == "paused"
    assert seen.pods(pushed) == [("s0001", "Succeeded")]
    assert led.asked == ["first"]

    led.give("second", "echo second > second.txt")
    told = json.loads(platform.refmill("resume", "alice/paused#1", "--json"))
    assert told["status"] == "running"
    pushed.ended()
    assert pushed.attempts() == [Attempted(name, 1, "succeeded") for name in ("first", "second", "third")]
    assert led.asked == ["first", "second"]
    assert not seen.workflow(pushed)["spec"].get("suspend")


def one(name: str, priority: int = 0) -> dict[str, str]:
    """A project of one stage that is led by the project's name."""
    return {
        "dvc.yaml": f"stages:\n  only: {{cmd: python3 led.py {name}, outs: [only.txt]}}\n",
        FIT: SPEC + f"  priority: {priority}\n",
    }


def test_of_two_runs_that_wait_the_one_of_higher_priority_begins_first(
    platform: Platform, tmp_path: Path, seen: Seen, led: Lead
):
    first = push_new(platform, "first", tmp_path, one("first") | led.files)
    led.wait_for("first")
    low = push_new(platform, "low", tmp_path, one("low", 1) | led.files)
    seen.cluster.wait_for(lambda: _waits(low), "the second one waits")
    high = push_new(platform, "high", tmp_path, one("high", 7) | led.files)
    seen.cluster.wait_for(lambda: _waits(high), "the third one waits")
    for name in ("first", "high", "low"):
        led.wait_for(name)
        assert led.asked[-1] == name
        led.give(name, f"echo {name} > only.txt")
    for pushed in (first, low, high):
        pushed.ended()
    assert led.asked == ["first", "high", "low"]
    assert [seen.workflow(pushed)["spec"].get("priority") for pushed in (first, low, high)] == [None, 1, 7]


def _waits(pushed: Pushed) -> bool:
    return [each.why for each in pushed.attempts()] == [TURN]
