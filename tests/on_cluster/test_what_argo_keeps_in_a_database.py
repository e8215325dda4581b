"""Runs whose Workflows have their nodes in Argo's own PostgreSQL, and are archived there: the engine asks the real Argo
Server."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from argo_with_a_database import ArgoWithADatabase, OfInstance, argo_with_a_database
from clusters import OnCluster
from engine_world import World, world

from cluster.certificates import Authority
from database_servers import database_server
from refmill import errors, settings
from refmill.model.runs import CONSENT, StageRun
from refmill_argo import argoserver
from refmill_argo.engine import ArgoEngine
from refmill_web import argo_engine

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(600)]
WORKFLOW = "workflows.argoproj.io"


@pytest.fixture
def beside(workflows: OnCluster, namespace: str, tmp_path: Path) -> Iterator[ArgoWithADatabase]:
    if workflows.files is None:
        pytest.skip("no second Argo is started beside that of a given cluster")
    folder = tmp_path / "argo"
    folder.mkdir()
    with (
        database_server("postgresql") as database,
        argo_with_a_database(workflows, namespace, database, folder) as made,
    ):
        yield made


@pytest.fixture
def here(beside: ArgoWithADatabase, python_image: str, tmp_path: Path) -> Iterator[World]:
    with world(beside.cluster, beside.namespace, tmp_path, python_image) as made:
        yield made


def start(here: World, archive: argoserver.ArgoServer | None) -> ArgoEngine:
    api = here.api()
    return here.start(cluster=OfInstance(api._api, here.namespace), archive=archive)


def test_a_pause_point_in_argos_database_is_seen_and_set_once_the_server_answers(
    here: World, beside: ArgoWithADatabase
):
    order = here.run({"one": [], "two": ["one"]}, {"two": {"pause": True}})
    away = start(here, argoserver.connect("https://127.0.0.1:1", here.namespace))
    away.submit(order)
    here.row(order.run.id, "one", lambda row: row.status == "succeeded", "one runs")
    (workflow,) = here.cluster.wait_for(
        lambda: [item for item in here.workflows() if item["status"].get("offloadNodeStatusVersion")], "it is offloaded"
    )
    assert not {"nodes", "compressedNodes"} & workflow["status"].keys()
    assert here.ended == {}
    away.close()
    engine = start(here, beside.asked())
    engine.submit(order)
    row = here.row(order.run.id, "two", lambda row: row.asks, "it asks")
    assert row.explanation == CONSENT
    here.records.states.set_stage(order.run.id, StageRun("two", "queued", row.attempt), expected=("blocked",))
    engine.resume(order.run.id, ["two"])
    assert here.end(order.run.id) == ("succeeded", "")
    assert here.asked == ["begin one", "well one", "begin two", "well two"]


@pytest.mark.parametrize("asked", [True, False])
def test_an_archived_workflow_says_why_a_run_failed_that_nobody_looked_at(
    here: World, beside: ArgoWithADatabase, asked: bool
):
    here.does = {"one": ["sleep"]}
    order = here.run({"one": [], "two": ["one"]})
    engine = start(here, beside.asked())
    engine.submit(order)
    here.row(order.run.id, "one", lambda row: row.status == "running", "it runs")
    engine.close()
    name = f"rf-{order.run.id}"
    kubectl = here.cluster.kubectl
    kubectl(
        "patch",
        WORKFLOW,
        name,
        "-n",
        here.namespace,
        "--type=merge",
        "-p",
        json.dumps({"spec": {"shutdown": "Terminate"}}),
    )
    label = "workflows.argoproj.io/workflow-archiving-status"
    here.cluster.wait_for(lambda: here.workflows()[0]["metadata"]["labels"].get(label) == "Archived", "it is archived")
    kubectl("delete", WORKFLOW, name, "-n", here.namespace)
    here.cluster.wait_for(lambda: not here.things("pods"), "its pods go with it")
    start(here, beside.asked() if asked else None).submit(order)
    status, why = here.end(order.run.id, 60)
    assert status == "failed"
    if asked:
        assert why.startswith("one Argo ended it: ")
        assert "Terminate" in why
    else:
        assert why == "one its Workflow was deleted on the cluster"


def test_doctor_finds_the_server_that_says_who_may_not_ask_and_is_believed_only_with_its_certificate(
    beside: ArgoWithADatabase, tmp_path: Path
):
    (tmp_path / "nobody").write_text(beside.cluster.kubectl("create", "token", "nobody", "-n", beside.namespace))
    chosen = settings.load({
        "data": tmp_path / "data", "kubeconfig": str(beside.cluster.kubectl.kubeconfig),
        "argo_namespace": beside.namespace, "argo_server": beside.address, "argo_server_token": beside.token_file,
        "argo_server_ca": beside.ca,
    }, {})  # fmt: skip
    found = {name: (state, str(said)) for name, state, said in argo_engine.inspect(chosen)}
    assert found["argo-api"] == ("ok", f"the Argo Server at {beside.address} answers: Argo {beside.asked().version()}")
    with pytest.raises(errors.NotFound):
        beside.asked().workflow("rf-nothing")
    for asked in ("version", "workflow"):
        stranger = argoserver.connect(
            beside.address, beside.namespace, token_file=str(tmp_path / "nobody"), ca=beside.ca
        )
        with pytest.raises(errors.WrongUse, match="refused it"):
            stranger.version() if asked == "version" else stranger.workflow("rf-nothing")
    with pytest.raises(errors.Unavailable, match="does not take our token"):
        argoserver.connect(beside.address, beside.namespace, ca=beside.ca).version()
    other = Authority(tmp_path / "other")
    for ca in ("", str(other.folder / "ca.crt")):
        with pytest.raises(errors.Unavailable, match="certificate verify failed"):
            argoserver.connect(beside.address, beside.namespace, token_file=beside.token_file, ca=ca).version()
