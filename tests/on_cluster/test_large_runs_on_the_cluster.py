"""Runs that are too large for one Workflow, pushed to a real platform on a real cluster: a parent and its children."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from clusters import OnCluster
from pushing import FIT, HERE, SPEC, Attempted, Lead, Pushed, assert_alike, platform_on, push, push_new, restart

from platforms import Platform
from refmill_argo.layout import KINDS
from refmill_argo.sights import nodes_of

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(1500)]
PARTS = [f"p{number:02}" for number in range(KINDS - 1)]
"""With the stage that they need as many kinds of pods as the first child takes: `whole` and `alone` are the second's."""
LED = "python3 led.py"


def large(first: str, *, crosses: bool = True, alone: str = "echo alone > alone.txt") -> dict[str, str]:
    """A project in which every stage has a time limit of its own, so that no two pods are of a kind."""
    parts = "".join(
        f"  {name}: {{cmd: 'sed s/^/{name}/ first.txt > parts/{name}.txt', deps: [first.txt], outs: [parts/{name}.txt]}}\n"
        for name in PARTS
    )
    needed = ", ".join(["in.txt", *(f"parts/{name}.txt" for name in PARTS if crosses)])
    limits = "".join(
        f"    {name}: {{timeout: {600 + number}s}}\n" for number, name in enumerate(["first", *PARTS, "whole", "alone"])
    )
    return {
        "dvc.yaml": f"stages:\n  first: {{cmd: '{first}', outs: [first.txt]}}\n{parts}"
        f"  whole: {{cmd: 'cat {needed.replace(',', '')} > whole.txt && wc -l < whole.txt > lines.json', "
        f"deps: [{needed}], outs: [whole.txt], metrics: [lines.json: {{cache: false}}]}}\n"
        f"  alone: {{cmd: '{alone}', outs: [alone.txt]}}\n",
        FIT: SPEC + "  fuse: false\n  stages:\n" + limits,
        "in.txt": "in\n",
        "parts/.gitignore": "",
    }


@dataclass(frozen=True)
class Seen:
    """What the cluster shows of a run."""

    cluster: OnCluster
    namespace: str
    run: str

    def things(self, kind: str) -> dict[str, dict[str, Any]]:
        """All of its objects of a kind, by name."""
        found = self.cluster.kubectl.data("get", kind, "-n", self.namespace, "-l", f"refmill.dev/run={self.run}")
        return {item["metadata"]["name"]: item for item in found["items"]}

    def workflows(self) -> dict[str, dict[str, Any]]:
        """Its Workflows by what distinguishes them: the parent's is ""."""
        name = f"rf-{self.run}"
        return {each.removeprefix(name): item for each, item in self.things("workflows.argoproj.io").items()}

    def phases(self) -> dict[str, str]:
        """How far Argo is with each."""
        return {each: item.get("status", {}).get("phase", "") for each, item in self.workflows().items()}

    def pods(self, child: str) -> list[tuple[str, str]]:
        """All pods that Argo has made of a child: number and phase."""
        nodes = (nodes_of(self.workflows()[child]) or {}).values()
        return sorted(
            (node["inputs"]["parameters"][0]["value"], node["phase"]) for node in nodes if node["type"] == "Pod"
        )

    def is_over(self) -> bool:
        """Whether nothing of it goes on, and its token is no more."""
        working = [pod for pod in self.things("pods").values() if pod["status"]["phase"] in ("Pending", "Running")]
        phases = set(self.phases().values())
        return not working and phases <= {"Succeeded", "Failed"} and not self.things("secrets")


@pytest.fixture(scope="module")
def platform(
    workflows: OnCluster, python_image: str, namespace_of_module: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Platform]:
    """One of this file's own, for it is killed."""
    folder = tmp_path_factory.mktemp("platform")
    with platform_on(workflows, namespace_of_module, python_image, folder, argo_parallelism="24") as made:
        yield made


@pytest.fixture
def seen(workflows: OnCluster, namespace_of_module: str) -> Seen:
    return Seen(workflows, namespace_of_module, "")


def rows(*ends: Attempted, parts: Attempted) -> list[Attempted]:
    """The attempts of all stages, each one's first, where all parts came to the same."""
    return sorted([*ends, *(replace(parts, address=name) for name in PARTS)], key=str)


def attempts(pushed: Pushed) -> list[Attempted]:
    return sorted(pushed.attempts(), key=str)


def test_a_run_in_children_outlives_kills_and_comes_to_the_local_engines_bytes(
    platform: Platform, tmp_path: Path, seen: Seen, led: Lead
):
    files = large(f"{LED} first") | led.files
    led.give("first", "echo one > first.txt")
    here = push_new(platform, "large-here", tmp_path, files | {FIT: HERE})
    here.ended()
    there = push_new(platform, "large", tmp_path, files)
    seen = replace(seen, run=seen.cluster.wait_for(lambda: _run(there), "the run is there"))
    seen.cluster.wait_for(seen.workflows, "the parent is made")
    restart(platform)
    led.wait_for("first", 2)
    before = seen.workflows()
    assert set(before) == {"", "-c1"}
    led.give("first", "echo one > first.txt")
    seen.cluster.wait_for(lambda: len(_well(there)) > 4, "some of the first child are done", 300)
    restart(platform)
    assert set(seen.workflows()) == {"", "-c1"}
    there.ended(seconds=900)
    assert_alike(there, here)
    well = Attempted("", 1, "succeeded")
    assert attempts(there) == rows(*(replace(well, address=name) for name in ("first", "whole", "alone")), parts=well)
    assert there.result()["lines.json"][1] == b"%d\n" % (len(PARTS) + 1)
    seen.cluster.wait_for(seen.is_over, "the cluster is done with it")
    found = seen.workflows()
    assert seen.phases() == {"": "Succeeded", "-c1": "Succeeded", "-c2": "Succeeded"}
    for name, item in before.items():
        assert item["metadata"]["uid"] == found[name]["metadata"]["uid"]
    assert seen.pods("") == []
    for child, numbers in (("-c1", range(1, KINDS + 1)), ("-c2", range(KINDS + 1, KINDS + 3))):
        assert seen.pods(child) == sorted((str(number), "Succeeded") for number in numbers)
        for key in ("labels", "annotations"):
            assert _ours(found[child], key) == _ours(found[""], key)
    assert _ours(found[""], "labels")["refmill.dev/run"] == there.run


def _run(pushed: Pushed) -> str:
    found = pushed.platform.query(
        "SELECT runs.id FROM runs JOIN repositories ON repository_id = repositories.id WHERE repositories.name = ?",
        pushed.name,
    )
    return found[0][0] if found else ""


def _well(pushed: Pushed) -> list[Attempted]:
    return [each for each in pushed.attempts(*PARTS) if each.status == "succeeded"]


def _ours(workflow: dict[str, Any], key: str) -> dict[str, str]:
    return {name: value for name, value in workflow["metadata"][key].items() if name.startswith("refmill.dev/")}


def test_what_fails_in_a_child_is_the_runs_failure_and_other_children_go_on_where_they_may(
    platform: Platform, tmp_path: Path, seen: Seen
):
    files = large("echo this is bad; exit 3")
    stop = push_new(platform, "bad", tmp_path, files)
    stop.ended("failed")
    seen = replace(seen, run=stop.run)
    failed = Attempted("first", 1, "failed", "ended with exit code 3")
    skipped = Attempted("", 1, "skipped", "first did not succeed")
    whole, alone = replace(skipped, address="whole"), replace(skipped, address="alone")
    assert attempts(stop) == rows(failed, whole, alone, parts=skipped)
    seen.cluster.wait_for(seen.is_over, "the cluster is done with it")
    assert seen.phases() == {"": "Failed", "-c1": "Failed"}

    stop.copy.write({FIT: files[FIT].replace("fuse: false\n", "fuse: false\n  onError: continue\n")}).commit("go on")
    push(platform, "bad", stop.copy)
    go_on = replace(stop, number=2)
    go_on.ended("failed")
    seen = replace(seen, run=go_on.run)
    assert attempts(go_on) == rows(failed, whole, Attempted("alone", 1, "succeeded"), parts=skipped)
    seen.cluster.wait_for(seen.is_over, "the cluster is done with it")
    assert set(seen.phases()) == {"", "-c1", "-c2"}


def test_a_stop_ends_all_children_that_run(platform: Platform, tmp_path: Path, seen: Seen, led: Lead):
    files = large(f"{LED} first", crosses=False, alone=f"{LED} alone")
    pushed = push_new(platform, "stopped", tmp_path, files | led.files)
    for name in ("first", "alone"):
        led.wait_for(name)
        seen.cluster.wait_for(lambda name=name: pushed.is_at(name, 1, "running"), f"{name} runs")
    platform.refmill("stop", "alice/stopped#1")
    pushed.ended("stopped")
    seen = replace(seen, run=pushed.run)
    assert {each.status for each in pushed.attempts("first", "alone", *PARTS)} == {"stopped"}
    seen.cluster.wait_for(seen.is_over, "the cluster is done with it")
    assert seen.phases() == {"": "Failed", "-c1": "Failed", "-c2": "Failed"}
