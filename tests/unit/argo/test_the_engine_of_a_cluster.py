"""The engine with real records and a cluster in memory: whatever order things happen in, the run comes to its end."""

import base64
import gzip
import json
import time
from dataclasses import replace
from typing import Any

import pytest

from argo_worlds import WF, World
from fakes.argo_archive import FakeArchive
from fakes.kubernetes_objects import FakeCluster
from platforms import wait
from refmill import errors
from refmill.model.runs import CONSENT, StageRun
from refmill.texts import text
from refmill_argo import apart, doing, layout, notes, rounds
from refmill_argo.cluster import CONFIG_MAPS, PODS, SECRETS, WORKFLOWS
from refmill_argo.judging import SetNode
from refmill_argo.notes import TELLING


def retry(number: int, phase: str = "Running") -> dict[str, Any]:
    return {
        "id": f"r{number}", "name": f"x.s{number:04d}", "displayName": f"s{number:04d}", "type": "Retry", "phase": phase,
        "inputs": {"parameters": [{"name": "pod", "value": str(number)}]},
    }  # fmt: skip


def succeeded(address: str) -> StageRun:
    return StageRun(address, "succeeded", started=1)


def test_a_run_is_put_onto_the_cluster_once_and_ends_with_its_last_stage(world: World):
    engine = world.start()
    engine.submit(world.order)
    engine.submit(world.order)
    world.workflow(retry(1))
    secret = world.cluster.things["secrets", world.name]
    assert base64.b64decode(secret["data"]["token"]).decode() == f"token-{world.run.id}"
    wait(lambda: world.cluster.things["secrets", world.name]["metadata"].get("ownerReferences"))
    assert (CONFIG_MAPS.plural, "refmill-runner-" + "f" * 20) in world.cluster.things
    plan = json.loads((world.folder / "work" / world.run.id / "plan.json").read_text())
    assert [[stage["address"] for stage in pod] for pod in plan["pods"]] == [["s0"], ["s1"]]
    world.tell(succeeded("s0"), succeeded("s1"))
    wait(lambda: world.ends == [("succeeded", "")])
    world.workflow(phase="Succeeded")
    wait(lambda: (SECRETS.plural, world.name) not in world.cluster.things)
    assert world.cluster.asked.count(f"create workflows {world.name}") == 1
    assert "shutdown" not in world.cluster.things[WF, world.name]["spec"]
    wait(lambda: not (world.folder / "work" / world.run.id).exists())


def test_a_run_is_looked_at_when_its_own_pods_tell_something(world: World, monkeypatch: pytest.MonkeyPatch):
    engine = world.start(relist=60)
    engine.submit(world.order)
    wait(lambda: (WF, world.name) in world.cluster.things)
    time.sleep(1.3)  # the engine's ear is at the bell, and what followed the submission has been looked at
    soon: list[str] = []
    monkeypatch.setattr(engine._rounds, "soon", lambda key, seconds=None: soon.append(key) if seconds is None else None)
    world.bell.ring(TELLING + "another")
    time.sleep(0.3)
    assert soon == []
    world.bell.ring(TELLING + world.run.id)
    wait(lambda: soon == [world.run.id])


def test_while_the_cluster_is_away_a_run_waits_and_is_then_put_there(world: World):
    world.cluster.away = True
    world.start().submit(world.order)
    time.sleep(0.3)
    assert world.ends == []
    world.cluster.away = False
    wait(lambda: (WF, world.name) in world.cluster.things)


def test_a_refusal_ends_the_run_with_the_clusters_words(world: World):
    world.cluster.refuses = "exceeded quota: few"
    world.start().submit(world.order)
    assert wait(lambda: world.ends) == [("failed", "the cluster refused it: exceeded quota: few")]
    assert world.row("s0").status == "skipped"


TEMPLATE = ".refmill/templates/workflow.yaml.j2"
EXTENDS = b'[% extends "refmill/workflow.yaml.j2" %]'


def test_a_run_is_written_by_its_own_template(world: World):
    world.files[TEMPLATE] = EXTENDS + b'[% block labels %][[ dict(labels, team="vision") ]][% endblock %]'
    world.start().submit(world.order)
    wait(lambda: (WF, world.name) in world.cluster.things)
    labels = world.cluster.things[WF, world.name]["metadata"]["labels"]
    assert (labels["team"], labels["refmill.dev/run"]) == ("vision", world.run.id)


def test_a_template_that_does_at_a_run_what_it_did_not_at_the_push_ends_it(world: World):
    """Nothing of it reaches the cluster: no Workflow, no token."""
    evil = (
        b'[% block pod_annotations %]\n[% if server != "https://x" %]\n  hostNetwork: true\n[% endif %]\n[% endblock %]'
    )
    world.files[TEMPLATE] = EXTENDS + evil
    world.start().submit(world.order)
    (status, why), *_ = wait(lambda: world.ends)
    assert (status, why) == ("failed", f"{TEMPLATE}:3:3: a template may not add `spec.hostNetwork`")
    assert world.row("s0").status == "skipped"
    assert world.cluster.things == {}


def test_while_no_process_can_be_had_a_run_with_templates_waits(world: World, monkeypatch: pytest.MonkeyPatch):
    def fails(*_: Any, **__: Any) -> Any:
        raise OSError(11, "Resource temporarily unavailable")

    world.files[TEMPLATE] = EXTENDS
    with monkeypatch.context() as patched:
        patched.setattr(apart.subprocess, "Popen", fails)
        world.start().submit(world.order)
        time.sleep(0.3)
        assert (world.ends, world.cluster.things) == ([], {})
    wait(lambda: (WF, world.name) in world.cluster.things)


def test_a_restart_makes_nothing_twice_and_reads_what_happened_meanwhile(world: World):
    world.start().submit(world.order)
    world.workflow(retry(1))
    world.engines[0].close()
    world.tell(succeeded("s0"), StageRun("s1", "failed", started=1))
    world.start().submit(world.order)
    assert wait(lambda: world.ends)[0][0] == "failed"
    assert world.cluster.asked.count(f"create workflows {world.name}") == 1
    wait(lambda: world.cluster.things[WF, world.name]["spec"].get("shutdown") == "Terminate")


def test_what_was_made_just_before_a_kill_is_taken_for_what_it_is(world: World):
    world.start().submit(world.order)
    world.workflow(retry(1))
    wait((world.folder / "work" / world.run.id / "made").exists)
    world.engines[0].close()
    (world.folder / "work" / world.run.id / "made").unlink()
    world.start().submit(world.order)
    wait((world.folder / "work" / world.run.id / "made").exists)
    world.tell(succeeded("s0"), succeeded("s1"))
    assert wait(lambda: world.ends) == [("succeeded", "")]


def test_a_workflow_deleted_while_nobody_looked_is_noticed_after_a_restart(world: World):
    world.start().submit(world.order)
    world.workflow(retry(1))
    wait((world.folder / "work" / world.run.id / "made").exists)
    world.engines[0].close()
    world.cluster.delete(WORKFLOWS, world.name)
    world.start().submit(world.order)
    assert wait(lambda: world.ends) == [("failed", "s0 its Workflow was deleted on the cluster")]
    assert world.row("s1").status == "skipped"


def test_a_pod_killed_in_the_middle_leaves_its_last_words_and_a_paper(world: World):
    world.start().submit(world.order)
    world.workflow(retry(1))
    place = notes.place(world.folder / "work", world.run.id, "s0", 1)
    place.folder.mkdir(parents=True)
    place.log.write_text("2026-11-26T12:00:01.000000Z o sent\n")
    world.tell(StageRun("s0", "running", started=1))
    world.cluster.logs["pod-a"] = (
        b"2026-11-26T12:00:01.000000123Z sent\n2026-11-26T12:00:02.500000000Z not sent any more\nnonsense\n"
    )
    main = {"name": "main", "state": {"terminated": {"exitCode": 137, "reason": "OOMKilled"}}}
    world.cluster.pod("pod-a", world.run.id, 1, phase="Failed", containerStatuses=[main])
    wait(lambda: world.ends)
    assert world.ends == [("failed", "s0 ran out of its 1 GiB of memory: try 2 GiB")]
    lines = [line.partition("Z ")[2] for line in world.kept["s0", 1].splitlines()]
    assert lines == ["o sent", "o not sent any more", "s ran out of its 1 GiB of memory: try 2 GiB"]


def test_a_lost_attempt_and_the_next_are_in_the_records_together(world: World):
    world.start().submit(world.order)
    world.workflow(retry(1))
    world.tell(StageRun("s0", "running", started=1))
    world.cluster.pod("pod-a", world.run.id, 1, phase="Failed", reason="Evicted", message="disk")
    wait(lambda: world.row("s0") == StageRun("s0", "queued", 2))
    over = notes.place(world.folder / "work", world.run.id, "s0", 1).over()
    assert over is not None
    assert (over.reason, over.follower, over.state.status) == ("lost", 2, "failed")


def test_the_cluster_says_why_a_pod_was_taken_away_that_told_so_itself(world: World):
    world.start().submit(world.order)
    world.workflow(retry(1))
    taken = StageRun("s0", "failed", 1, started=1, explanation=text("its pod was taken away"))
    place = notes.place(world.folder / "work", world.run.id, "s0", 1)
    place.end(notes.Over("lost", taken, 2, who="pod-a"))
    world.tell(StageRun("s0", "running", started=1))
    world.tell(taken, StageRun("s0", "queued", 2))
    evicted = {"type": "DisruptionTarget", "status": "True", "reason": "EvictionByEvictionAPI"}
    world.cluster.pod("pod-a", world.run.id, 1, phase="Running", conditions=[evicted])
    wait(lambda: "evicted" in str(world.records.history.attempts(world.run.id)[0].explanation))
    assert world.row("s0") == StageRun("s0", "queued", 2)
    over = place.over()
    assert over is not None
    assert (over.follower, over.who, "evicted" in str(over.state.explanation)) == (2, "pod-a", True)


def test_a_stop_is_granted_once_the_cluster_hears_of_it(world: World):
    engine = world.start()
    engine.submit(world.order)
    world.workflow(retry(1))
    world.tell(StageRun("s0", "running", started=1))
    world.cluster.away = True
    engine.stop(world.run.id)
    time.sleep(0.3)
    assert world.ends == []
    world.cluster.away = False
    wait(lambda: world.ends == [("stopped", "")])
    assert [row.status for row in world.records.runs.stages(world.run.id)] == ["stopped", "stopped"]
    assert world.cluster.things[WF, world.name]["spec"]["shutdown"] == "Terminate"


@pytest.mark.parametrize("compressed", [False, True])
def test_consent_sets_the_pause_point_wherever_argo_keeps_it(world: World, compressed: bool):
    world.order = replace(
        world.order, settings={a: replace(s, pause=a == "s1") for a, s in world.order.settings.items()}
    )
    engine = world.start()
    engine.submit(world.order)
    world.tell(succeeded("s0"))
    point = {"id": "p", "name": "x.p0002", "displayName": "p0002", "type": "Suspend", "phase": "Running"}
    if compressed:
        nodes = base64.b64encode(gzip.compress(json.dumps({"p": point, "r1": retry(1)}).encode())).decode()
        world.workflow(compressedNodes=nodes)
    else:
        world.workflow(point, retry(1))
    wait(lambda: world.row("s1").explanation == CONSENT)
    wait(lambda: world.waited == [("s1",)])
    world.records.states.set_stage(world.run.id, StageRun("s1", "queued"), expected=("blocked",))
    engine.resume(world.run.id, ["s1"])

    def phase() -> str:
        status = world.cluster.things[WF, world.name]["status"]
        found = (
            json.loads(gzip.decompress(base64.b64decode(status["compressedNodes"]))) if compressed else status["nodes"]
        )
        return str(found["p"]["phase"])

    wait(lambda: phase() == "Succeeded")


def test_nodes_in_a_database_of_argos_are_left_to_argo(world: World):
    world.order = replace(
        world.order, settings={a: replace(s, pause=a == "s0") for a, s in world.order.settings.items()}
    )
    world.start().submit(world.order)
    point = {"id": "p", "name": "x.p0001", "displayName": "p0001", "type": "Suspend", "phase": "Running"}
    world.workflow(point)
    wait(lambda: world.row("s0").asks)
    world.cluster.change(WORKFLOWS, world.name, {"status": {"nodes": None, "offloadNodeStatusVersion": "fnv:1"}})
    world.cluster.hang_up()
    world.tell(StageRun("s0", "queued"))
    time.sleep(0.5)
    assert world.ends == []  # nobody can know, and Argo goes on by itself


def point(number: int) -> dict[str, Any]:
    return {
        "id": f"p{number}", "name": f"x.p{number:04d}", "displayName": f"p{number:04d}", "type": "Suspend",
        "phase": "Running",
    }  # fmt: skip


AWAY = errors.Unavailable(text("the Argo Server does not answer: %(detail)s", detail="away"))


def test_consent_sets_a_pause_point_that_argo_keeps_in_its_database(world: World):
    world.order = replace(
        world.order, settings={a: replace(s, pause=a == "s1") for a, s in world.order.settings.items()}
    )
    archive = FakeArchive(world.cluster)
    engine = world.start(archive=archive)
    engine.submit(world.order)
    world.tell(succeeded("s0"))
    world.workflow(retry(1))
    archive.keep(world.name, retry(1), point(2))
    wait(lambda: world.row("s1").explanation == CONSENT)
    archive.trouble = AWAY
    world.records.states.set_stage(world.run.id, StageRun("s1", "queued"), expected=("blocked",))
    engine.resume(world.run.id, ["s1"])
    time.sleep(0.5)
    assert world.ends == []
    archive.trouble = None
    engine.resume(world.run.id, ["s1"])
    wait(lambda: archive.nodes[world.name]["p2"]["phase"] == "Succeeded")
    world.tell(succeeded("s1"))
    wait(lambda: world.ends == [("succeeded", "")])
    assert archive.asked.count("set p2 Succeeded") == 1


@pytest.mark.parametrize("trouble", [AWAY, errors.WrongUse(text("%(detail)s", detail="no right"))])
def test_a_point_that_the_argo_server_does_not_set_now_keeps_nothing_else_from_being_done(trouble: errors.RefmillError):
    cluster = FakeCluster()
    cluster.put(WORKFLOWS, "rf-x", {})
    archive = FakeArchive(cluster)
    archive.keep("rf-x", point(2))
    archive.trouble = trouble
    step = SetNode("rf-x", "p2", "Succeeded")
    assert doing.set_node(cluster, step, archive) == cluster.things[WF, "rf-x"]
    with pytest.raises(errors.WrongUse, match="nobody but Argo can resume them there"):
        doing.set_node(cluster, step)


def test_nodes_in_argos_database_are_asked_for_once_in_each_version(world: World):
    archive = FakeArchive(world.cluster)
    engine = world.start(archive=archive)
    engine.submit(world.order)
    world.workflow(retry(1))
    archive.keep(world.name, retry(1))
    wait(lambda: archive.asked == [f"workflow {world.name}"])
    for _ in range(3):
        world.bell.ring(TELLING + world.run.id)
        time.sleep(0.3)
    assert archive.asked == [f"workflow {world.name}"]
    archive.keep(world.name, {**retry(1, "Failed"), "message": "OOMKilled (exit code 137)"})
    assert wait(lambda: world.ends) == [("failed", "s0 Argo ended it: OOMKilled (exit code 137)")]


def test_while_the_argo_server_is_away_a_run_goes_on_by_what_the_cluster_shows(world: World):
    archive = FakeArchive(world.cluster)
    archive.trouble = AWAY
    world.start(archive=archive).submit(world.order)
    world.workflow(retry(1))
    archive.keep(world.name, {**retry(1, "Failed"), "message": "nobody knows"})
    world.tell(succeeded("s0"), succeeded("s1"))
    wait(lambda: world.ends == [("succeeded", "")])
    assert archive.asked


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({}, "s0 Argo ended it: OOMKilled (exit code 137)"),
        ({"phase": "Running"}, "s0 its Workflow was deleted on the cluster"),
        ({"run": "another"}, "s0 its Workflow was deleted on the cluster"),
        ({"trouble": AWAY}, "s0 its Workflow was deleted on the cluster"),
    ],
)
def test_an_archived_workflow_says_how_a_run_ended_that_nobody_looked_at(
    world: World, change: dict[str, Any], why: str
):
    archive = FakeArchive(world.cluster)
    world.start(archive=archive).submit(world.order)
    world.workflow(retry(1))
    wait((world.folder / "work" / world.run.id / "made").exists)
    world.engines[0].close()
    node = {**retry(1, "Failed"), "message": "OOMKilled (exit code 137)"}
    archive.ended[world.name] = {
        "metadata": {"name": world.name, "uid": "u", "labels": {"refmill.dev/run": change.get("run", world.run.id)}},
        "status": {"phase": change.get("phase", "Failed"), "nodes": {"r1": node}},
    }
    archive.trouble = change.get("trouble")
    world.cluster.delete(WORKFLOWS, world.name)
    world.start(archive=archive).submit(world.order)
    assert wait(lambda: world.ends) == [("failed", why)]


def left_there(world: World, monkeypatch: pytest.MonkeyPatch, status: Any) -> None:
    """A Workflow of a run that is over, and an engine that begins."""
    monkeypatch.setattr("refmill_argo.engine.TAIL_LOOKS", 0.05)
    world.start().submit(world.order)
    world.workflow(retry(1))
    wait((world.folder / "work" / world.run.id / "made").exists)
    world.engines[0].close()
    world.records.states.move(world.run.id, status, expected=["queued", "running"])
    world.start().clean([])


@pytest.mark.parametrize("status", ["stopped", "succeeded"])
def test_what_is_there_of_runs_that_are_over_is_ended(world: World, monkeypatch: pytest.MonkeyPatch, status: str):
    monkeypatch.setattr("refmill_argo.engine.TAIL", 0.3)
    left_there(world, monkeypatch, status)
    wait(lambda: world.cluster.things[WF, world.name]["spec"].get("shutdown") == "Terminate")
    wait(lambda: (SECRETS.plural, world.name) not in world.cluster.things)


def test_a_run_that_ended_well_just_now_is_given_time(world: World, monkeypatch: pytest.MonkeyPatch):
    left_there(world, monkeypatch, "succeeded")
    time.sleep(0.5)
    world.workflow(retry(1), phase="Succeeded")
    wait(lambda: (SECRETS.plural, world.name) not in world.cluster.things)
    assert "shutdown" not in world.cluster.things[WF, world.name]["spec"]


def test_a_run_that_is_paused_from_the_start_is_put_there_when_it_goes_on(world: World):
    world.order = replace(world.order, paused=True)
    engine = world.start()
    engine.submit(world.order)
    time.sleep(0.3)
    assert world.cluster.asked.count(f"create workflows {world.name}") == 0
    engine.resume(world.run.id)
    wait(lambda: (WF, world.name) in world.cluster.things)
    assert not [name for plural, name in world.cluster.things if plural == PODS.plural]


def waits_at(child: str, phase: str = "Running") -> dict[str, Any]:
    return {"id": child, "name": f"x.{child}", "displayName": child, "type": "Suspend", "phase": phase}


@pytest.fixture
def divided(world: World, monkeypatch: pytest.MonkeyPatch) -> World:
    """Its run has two children, of which the second waits for the first."""
    monkeypatch.setattr(layout, "KINDS", 1)
    settings = {
        a: replace(said, memory=(number + 1) << 30) for number, (a, said) in enumerate(world.order.settings.items())
    }
    world.order = replace(world.order, settings=settings)
    return world


def made(world: World, child: str) -> bool:
    return (WF, f"{world.name}-{child}") in world.cluster.things


def ends(world: World, child: str, phase: str = "Succeeded") -> None:
    """Argo has seen how a child's pods ended."""
    world.cluster.change(WORKFLOWS, f"{world.name}-{child}", {"status": {"phase": phase}})
    world.cluster.hang_up()


def told_of(world: World, child: str) -> str:
    return str(world.cluster.things[WF, world.name]["status"]["nodes"][child]["phase"])


def test_children_are_made_in_their_turn_and_the_parent_hears_of_the_end_of_each(divided: World):
    """Also of the last one's: that is after the run's own end, for a pod tells how it went before it ends."""
    divided.start().submit(divided.order)
    divided.workflow(waits_at("c1"))
    wait(lambda: made(divided, "c1"))
    assert not made(divided, "c2")
    divided.tell(succeeded("s0"))
    ends(divided, "c1")
    wait(lambda: told_of(divided, "c1") == "Succeeded")
    divided.workflow(waits_at("c1", "Succeeded"), waits_at("c2"))
    wait(lambda: made(divided, "c2"))
    divided.tell(succeeded("s1"))
    wait(lambda: divided.ends == [("succeeded", "")])
    time.sleep(0.5)
    assert told_of(divided, "c2") == "Running"
    ends(divided, "c2")
    wait(lambda: told_of(divided, "c2") == "Succeeded")
    divided.workflow(phase="Succeeded")
    wait(lambda: (SECRETS.plural, divided.name) not in divided.cluster.things)
    assert not [thing for thing in divided.cluster.things.values() if "shutdown" in thing.get("spec", {})]
    assert [asked for asked in divided.cluster.asked if asked.startswith("create workflows")] == [
        f"create workflows {divided.name}{part}" for part in ("", "-c1", "-c2")
    ]


def test_a_child_made_just_before_a_kill_is_not_made_again_once_it_is_gone(divided: World):
    divided.start().submit(divided.order)
    divided.workflow(waits_at("c1"))
    paper = divided.folder / "work" / divided.run.id / "made"
    wait(lambda: made(divided, "c1") and len(paper.read_text().split()) == 2)
    divided.engines[0].close()
    paper.write_text(f"{divided.name}\n")
    divided.start().submit(divided.order)
    wait(lambda: len(paper.read_text().split()) == 2)
    divided.cluster.delete(WORKFLOWS, f"{divided.name}-c1")
    divided.cluster.hang_up()
    assert wait(lambda: divided.ends) == [("failed", "s0 its Workflow was deleted on the cluster")]
    assert divided.cluster.asked.count(f"create workflows {divided.name}-c1") == 1


def test_a_run_that_was_laid_out_otherwise_before_ends_and_says_so(divided: World, monkeypatch: pytest.MonkeyPatch):
    divided.start().submit(divided.order)
    divided.workflow(waits_at("c1"))
    wait(lambda: made(divided, "c1"))
    divided.engines[0].close()
    monkeypatch.setattr(layout, "KINDS", 2)
    monkeypatch.setattr(rounds, "LAST", 0.02)
    divided.tell(succeeded("s0"))
    divided.workflow(waits_at("c1", "Succeeded"), waits_at("c2"))
    divided.start().submit(divided.order)
    ((status, why),) = wait(lambda: divided.ends)
    assert status == "failed"
    assert f"it was begun with other settings, and by these it has no Workflow {divided.name}-c2" in why
    wait(lambda: divided.cluster.things[WF, divided.name]["spec"].get("shutdown") == "Terminate")


@pytest.mark.parametrize("stopped", [True, False])
def test_nothing_of_a_divided_run_stays_on_the_cluster(divided: World, stopped: bool):
    engine = divided.start()
    engine.submit(divided.order)
    divided.workflow(waits_at("c1"))
    wait(lambda: made(divided, "c1"))
    divided.tell(StageRun("s0", "running" if stopped else "failed", started=1))
    if stopped:
        engine.stop(divided.run.id)
    assert wait(lambda: divided.ends)[0][0] == ("stopped" if stopped else "failed")
    for name in (divided.name, f"{divided.name}-c1"):
        wait(lambda name=name: divided.cluster.things[WF, name]["spec"].get("shutdown") == "Terminate")
    assert not made(divided, "c2")
