"""Owners whose runs share a real cluster: how many of them are there, which comes next, and what the others say."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from clusters import OnCluster
from pushing import FIT, SPEC, Lead, Pushed, platform_on, push_new, restart

from platforms import Platform

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(600)]


@pytest.fixture
def platform(workflows: OnCluster, python_image: str, namespace: str, tmp_path: Path) -> Iterator[Platform]:
    """Two runs at a time, and one of each owner."""
    limits = {"argo_runs": "2", "argo_owner_runs": "1"}
    with platform_on(workflows, namespace, python_image, tmp_path / "platform", **limits) as made:
        yield made


def test_an_owner_has_one_run_on_the_cluster_also_after_a_restart(
    platform: Platform, workflows: OnCluster, namespace: str, tmp_path: Path, led: Lead
):
    def pushed(name: str, owner: str, priority: int = 0) -> Pushed:
        files = {
            "dvc.yaml": f"stages:\n  one: {{cmd: python3 led.py {name}, outs: [out.txt]}}\n",
            FIT: f"{SPEC}  priority: {priority}\n",
        }
        return push_new(platform, name, tmp_path, files | led.files, owner)

    def there() -> set[str]:
        """The repositories of whose runs there is a Workflow that goes on."""
        found = workflows.kubectl.data("get", "workflows.argoproj.io", "-n", namespace)["items"]
        going = {
            item["metadata"]["labels"]["refmill.dev/run"]
            for item in found
            if item.get("status", {}).get("phase") not in ("Succeeded", "Failed", "Error")
        }
        return {run.name for run in runs if run.run in going}

    def why(run: Pushed) -> str:
        return next((each.why for each in run.attempts("one")), "")

    has_one = "waits for its turn: alice has 1 run on the cluster, as many as one owner may have"
    runs = [first := pushed("first", "alice")]
    led.wait_for("first")
    runs += [
        second := pushed("second", "alice"),
        third := pushed("third", "alice", 10),
        other := pushed("other", "bob"),
    ]
    led.wait_for("other")
    workflows.wait_for(lambda: why(second) == why(third) == has_one, "they say why")
    assert there() == {"first", "other"}
    restart(platform)
    assert has_one in " ".join(platform.refmill("show", "alice/second#1").split())
    platform.environment["REFMILL_LANGUAGE"] = "zh"
    assert "alice 在集群上已有 1 个运行，达到单个所有者的上限" in platform.refmill("show", "alice/third#1")
    led.give("other", "echo > out.txt")
    other.ended()  # there is room now, and none for alice
    workflows.wait_for(lambda: there() == {"first"}, "only the first is there")
    assert (led.asked.count("second"), led.asked.count("third")) == (0, 0)
    for run, behind in ((first, "third"), (third, "second"), (second, "")):
        led.give(run.name, "echo > out.txt")
        run.ended()
        if behind:
            led.wait_for(behind)
            workflows.wait_for(lambda behind=behind: there() == {behind}, f"{behind} alone is there")
