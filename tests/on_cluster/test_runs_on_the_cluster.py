"""Runs on a real cluster with a real Argo: what pods do, and what the cluster does to them, becomes of the run."""

import os
import signal
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from clusters import OnCluster, processes
from engine_world import World, world

from refmill.model.runs import CONSENT, StageRun
from refmill_argo.cluster import WORKFLOWS

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(600)]


@pytest.fixture
def here(workflows: OnCluster, python_image: str, namespace: str, tmp_path: Path) -> Iterator[World]:
    with world(workflows, namespace, tmp_path, python_image) as made:
        yield made


def test_a_run_submitted_twice_runs_once_and_leaves_its_workflow_without_the_token(here: World):
    order = here.run({"one": [], "two": ["one"]})
    engine = here.start()
    engine.submit(order)
    engine.submit(order)
    here.row(order.run.id, "one", lambda row: row.status == "succeeded", "one runs")
    assert f"rf-{order.run.id}" in here.things("secrets")
    engine.submit(order)
    assert here.end(order.run.id) == ("succeeded", "")
    assert here.asked == ["begin one", "well one", "begin two", "well two"]
    assert here.ends == 1
    here.cluster.wait_for(lambda: f"rf-{order.run.id}" not in here.things("secrets"), "the token goes")
    assert [item["status"]["phase"] for item in here.workflows()] == ["Succeeded"]
    assert not (here.folder / "work" / order.run.id).exists()


def test_a_run_is_taken_by_a_namespace_with_the_strictest_level_of_podsecurity(here: World):
    here.cluster.kubectl("label", "namespace", here.namespace, "pod-security.kubernetes.io/enforce=restricted")
    order = here.run({"one": [], "two": ["one"]})
    here.start().submit(order)
    assert here.end(order.run.id) == ("succeeded", "")


def test_a_run_with_nothing_to_run_ends_at_once_and_makes_nothing(here: World):
    order = here.run({"one": []})
    here.records.states.set_stages(order.run.id, [StageRun("one", "cached")])
    pipeline = replace(order.plan.pipeline, lock={"one": {}})
    cached = replace(order.plan, pipeline=pipeline, stages=(replace(order.plan.stages[0], verdict="cached", entry={}),))
    here.start().submit(replace(order, plan=cached))
    assert here.end(order.run.id, 20) == ("succeeded", "")
    assert here.workflows() == []


def test_after_a_failure_nothing_new_starts_and_the_rest_is_skipped(here: World):
    here.does = {"one": ["badly"]}
    order = here.run({"one": [], "two": ["one"]})
    here.start().submit(order)
    assert here.end(order.run.id)[0] == "failed"
    rows = here.rows(order.run.id)
    assert (rows["one"].status, rows["two"].status) == ("failed", "skipped")
    assert str(rows["two"].explanation) == "one did not succeed"


def test_a_pod_that_asks_for_another_one_gets_it(here: World):
    here.does = {"one": ["75", "well"]}
    order = here.run({"one": []})
    here.start().submit(order)
    assert here.end(order.run.id)[0] == "succeeded"
    attempts = here.records.history.attempts(order.run.id)
    assert [(row.attempt, row.status) for row in attempts] == [(1, "failed"), (2, "succeeded")]


@pytest.mark.ci
def test_a_missing_image_fails_with_its_name_once_patience_is_over(here: World):
    order = here.run({"one": [], "two": ["one"]}, {"one": {"image": "10.250.0.1:1/nothing:1"}})
    here.start(patience=12.0).submit(order)
    row = here.row(order.run.id, "one", lambda row: row.status == "queued" and row.explanation, "it waits")
    assert "the image “10.250.0.1:1/nothing:1” cannot be pulled" in str(row.explanation)
    status, why = here.end(order.run.id)
    assert status == "failed"
    assert why.startswith("one the image “10.250.0.1:1/nothing:1” cannot be pulled: ")
    here.cluster.wait_for(lambda: not here.things("pods"), "its pod goes")


@pytest.mark.ci
def test_a_stage_that_no_node_takes_waits_with_its_reason_and_can_be_stopped(here: World):
    order = here.run({"one": []}, {"one": {"gpu": 1}})
    engine = here.start()
    engine.submit(order)
    row = here.row(order.run.id, "one", lambda row: row.status == "queued" and row.explanation, "it waits")
    assert str(row.explanation).startswith("waits for room on the cluster: no node has 1 GPU free (0/1 nodes are")
    engine.stop(order.run.id)
    assert here.end(order.run.id)[0] == "stopped"
    assert here.rows(order.run.id)["one"].status == "stopped"
    here.cluster.wait_for(lambda: not here.things("pods"), "its pod goes")


@pytest.mark.ci
def test_out_of_memory_names_the_limit_and_takes_a_retry(here: World):
    here.does = {"one": ["memory", "well"], "two": ["memory"]}
    order = here.run({"one": [], "two": ["one"]}, {"one": {"retries": 1}})
    here.start().submit(order)
    status, why = here.end(order.run.id, 180)
    assert (status, why) == ("failed", "two ran out of its 64 MiB of memory: try 128 MiB")
    attempts = [(row.address, row.attempt, row.status) for row in here.records.history.attempts(order.run.id)]
    assert attempts == [("one", 1, "failed"), ("one", 2, "succeeded"), ("two", 1, "failed")]
    log = here.kept["one", 1].decode()
    assert "o told memory\n" in log  # the pod's own words, which it had no time to send
    assert "ran out of its 64 MiB of memory" in log


def test_a_stop_ends_what_runs(here: World):
    here.does = {"one": ["sleep"]}
    order = here.run({"one": [], "two": ["one"]})
    engine = here.start()
    engine.submit(order)
    here.row(order.run.id, "one", lambda row: row.status == "running", "it runs")
    engine.stop(order.run.id)
    assert here.end(order.run.id, 30)[0] == "stopped"
    assert {row.status for row in here.rows(order.run.id).values()} == {"stopped"}
    here.cluster.wait_for(
        lambda: all(pod["status"]["phase"] not in ("Pending", "Running") for pod in here.cluster.kubectl.data("get", "pods", "-n", here.namespace)["items"]),
        "its pod ends",
    )  # fmt: skip


def test_a_run_that_nobody_holds_is_told_as_stopped(here: World):
    order = here.run({"one": []})
    here.start().stop(order.run.id)
    assert here.end(order.run.id, 20)[0] == "stopped"


def test_a_paused_run_starts_nothing_until_it_goes_on(here: World):
    here.does = {"one": ["sleep"]}
    order = here.run({"one": [], "two": ["one"]})
    engine = here.start()
    engine.submit(order)
    here.row(order.run.id, "one", lambda row: row.status == "running", "it runs")
    engine.pause(order.run.id)
    here.cluster.wait_for(lambda: here.workflows()[0]["spec"].get("suspend"), "it is suspended")
    here.does = {"one": ["well"]}
    engine.resume(order.run.id)
    here.cluster.wait_for(lambda: not here.workflows()[0]["spec"].get("suspend"), "it goes on")
    here.cluster.kubectl("delete", "pod", "-n", here.namespace, "--all", "--grace-period=1", "--wait=false")
    assert here.end(order.run.id, 180)[0] == "succeeded"


def test_a_pause_point_waits_for_consent_and_then_goes_on(here: World):
    order = here.run({"one": [], "two": ["one"]}, {"two": {"pause": True}})
    engine = here.start()
    engine.submit(order)
    row = here.row(order.run.id, "two", lambda row: row.asks, "it asks")
    assert row.explanation == CONSENT
    here.cluster.wait_for(lambda: here.waited, "somebody is told")
    assert here.waited[0] == ("two",)
    here.records.states.set_stage(order.run.id, StageRun("two", "queued", row.attempt), expected=("blocked",))
    engine.resume(order.run.id, ["two"])
    assert here.end(order.run.id)[0] == "succeeded"


def test_a_workflow_deleted_by_hand_fails_the_run_with_that_reason(here: World):
    here.does = {"one": ["sleep"]}
    order = here.run({"one": [], "two": ["one"]})
    here.start().submit(order)
    here.row(order.run.id, "one", lambda row: row.status == "running", "it runs")
    here.cluster.kubectl("delete", WORKFLOWS.plural + ".argoproj.io", "-n", here.namespace, "--all")
    assert here.end(order.run.id, 60) == ("failed", "one its Workflow was deleted on the cluster")


def test_a_pod_deleted_by_hand_is_made_anew(here: World):
    here.does = {"one": ["sleep", "well"]}
    order = here.run({"one": []})
    here.start().submit(order)
    here.row(order.run.id, "one", lambda row: row.status == "running", "it runs")
    here.cluster.kubectl("delete", "pod", "-n", here.namespace, "--all", "--grace-period=0", "--force")
    assert here.end(order.run.id, 180)[0] == "succeeded"
    assert here.asked == ["begin one", "begin one", "well one"]


def test_a_namespace_without_quota_left_is_named(here: World):
    quota = {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "none", "namespace": here.namespace},
             "spec": {"hard": {"pods": "0"}}}  # fmt: skip
    here.cluster.kubectl.apply(quota)
    order = here.run({"one": []})
    here.start().submit(order)
    row = here.row(order.run.id, "one", lambda row: row.status == "queued" and row.explanation, "it waits")
    assert "the quota of the namespace is used up" in str(row.explanation)
    here.cluster.kubectl("delete", "resourcequota", "none", "-n", here.namespace)
    assert here.end(order.run.id, 120)[0] == "succeeded"


def test_a_workflow_that_the_cluster_refuses_fails_the_run_with_its_words(here: World):
    quota = {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "none", "namespace": here.namespace},
             "spec": {"hard": {"count/workflows.argoproj.io": "0"}}}  # fmt: skip
    here.cluster.kubectl.apply(quota)
    here.cluster.wait_for(
        lambda: here.cluster.kubectl.data("get", "resourcequota", "none", "-n", here.namespace).get("status", {}).get("hard"), "it is in force"
    )  # fmt: skip
    order = here.run({"one": []})
    here.start().submit(order)
    status, why = here.end(order.run.id, 30)
    assert status == "failed"
    assert "exceeded quota: none" in why
    assert here.rows(order.run.id)["one"].status == "skipped"


def test_a_restart_goes_on_from_records_and_cluster_alone(here: World):
    here.does = {"two": ["sleep"]}
    order = here.run({"one": [], "two": ["one"], "three": ["two"]})
    other = here.run({"one": []}, name="other")
    engine = here.start()
    engine.submit(order)
    here.row(order.run.id, "two", lambda row: row.status == "running", "two runs")
    engine.close()
    here.does = {"two": ["well"]}
    here.cluster.kubectl("delete", "pod", "-n", here.namespace, "--all", "--grace-period=1", "--wait=false")
    again = here.start()
    again.clean([order.run.id, other.run.id])
    again.submit(order)
    assert here.end(order.run.id, 180)[0] == "succeeded"
    assert here.asked.count("begin one") == 1


def test_what_runs_of_runs_that_are_over_is_ended_at_the_start(here: World):
    here.does = {"one": ["sleep"]}
    order = here.run({"one": []})
    engine = here.start()
    engine.submit(order)
    here.row(order.run.id, "one", lambda row: row.status == "running", "it runs")
    engine.close()
    here.start().clean([])
    here.cluster.wait_for(lambda: here.workflows()[0]["spec"].get("shutdown") == "Terminate", "it is ended")
    here.cluster.wait_for(lambda: f"rf-{order.run.id}" not in here.things("secrets"), "its token goes")


def test_only_so_many_runs_are_on_the_cluster_and_the_next_says_so(here: World):
    here.does = {"one": ["sleep"]}
    first, second = here.run({"one": []}, name="a"), here.run({"one": []}, name="b")
    engine = here.start(most=1)
    engine.submit(first)
    here.row(first.run.id, "one", lambda row: row.status == "running", "it runs")
    engine.submit(second)
    row = here.row(second.run.id, "one", lambda row: row.status == "queued" and row.explanation, "it waits")
    assert str(row.explanation) == "waits for its turn: 1 other run is on the cluster, as many as may be"
    here.does = {"one": ["well"]}
    engine.stop(first.run.id)
    assert here.end(second.run.id)[0] == "succeeded"


@pytest.mark.ci
def test_while_argo_is_gone_nothing_is_lost_and_then_it_goes_on(here: World, revived: None):
    here.does = {"one": ["sleep", "well"]}
    order = here.run({"one": [], "two": ["one"]})
    here.start().submit(order)
    here.row(order.run.id, "one", lambda row: row.status == "running", "it runs")
    for pid in processes("workflow-contro"):
        os.kill(pid, signal.SIGKILL)
    here.cluster.kubectl("delete", "pod", "-n", here.namespace, "--all", "--grace-period=1", "--wait=false")
    assert here.end(order.run.id, 240)[0] == "succeeded"


def test_while_the_api_server_is_gone_wishes_wait_and_then_are_granted(here: World, revived: None):
    here.does = {"one": ["sleep"]}
    order, late = here.run({"one": []}, name="a"), here.run({"one": []}, name="b")
    engine = here.start()
    engine.submit(order)
    here.row(order.run.id, "one", lambda row: row.status == "running", "it runs")
    here.does = {"one": ["well"]}
    (server,) = processes("kube-apiserver")
    os.kill(server, signal.SIGKILL)
    engine.stop(order.run.id)
    engine.submit(late)
    assert here.end(order.run.id, 180)[0] == "stopped"
    assert here.end(late.run.id, 180)[0] == "succeeded"
