"""MLflow as the chart makes it beside the server, of the version that it names: its pod gets ready where confined pods
alone are let in, a stage in a pod logs to it, and what was logged stays through a new pod of it."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
import yaml
from clusters import OnCluster
from releases import RELEASE, Installed, release_in

import charting
from cluster import mlflow_image
from cluster.errors import ClusterError
from cluster.places import places
from platforms import Copy, new_copy

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(3600)]
NAME, PORT = f"{RELEASE}-mlflow", 5000
NAMED = yaml.safe_load((charting.CHART / "values.yaml").read_text(encoding="utf-8"))["mlflow"]["image"]
API = "/api/2.0/mlflow"
SECONDS = 60
LOGGED = """\
import mlflow
import yaml

rate = yaml.safe_load(open("params.yaml"))["rate"]
mlflow.set_experiment("churn")
with mlflow.start_run():
    mlflow.log_param("rate", rate)
    for step, loss in enumerate([0.5, rate]):
        mlflow.log_metric("loss", loss, step=step)
    mlflow.log_artifact("params.yaml")
open("done.txt", "w").write("yes")
"""
FILES = {
    "dvc.yaml": "stages:\n  train: {cmd: python3 train.py, deps: [train.py], params: [rate], outs: [done.txt]}\n",
    "refmill.yaml": "apiVersion: refmill/v1\nkind: Pipeline\nmetadata: {name: project}\nspec:\n"
    f"  stages:\n    train: {{image: '{mlflow_image.MLFLOW}', resources: {{cpu: 0.1, memory: 1Gi}}}}\n",
    "train.py": LOGGED,
}


@pytest.fixture
def image(cluster: OnCluster) -> str:
    """The image with the version that the chart names, loaded."""
    try:
        made = mlflow_image.built(places().cache, NAMED.rpartition(":v")[2], print)
    except ClusterError as error:
        pytest.skip(f"no image of MLflow: {error}")
    return cluster.load(made)


@pytest.fixture
def with_mlflow(
    workflows: OnCluster, namespace: str, platform_images: dict[str, str], image: str, tmp_path: Path
) -> Iterator[Installed]:
    with release_in(
        workflows, namespace, platform_images, tmp_path / "volume", beside={"mlflow": tmp_path / "mlflow"},
        mlflow={"enabled": True, "image": image, "size": "1Gi"},
    ) as made:  # fmt: skip
        made.install()
        yield made


def pod(installed: Installed) -> dict[str, Any]:
    return installed.cluster.pod(installed.namespace, f"{NAME}-0")


def push(installed: Installed, copy: Copy, rate: str) -> None:
    copy.write({"params.yaml": f"rate: {rate}\n"}).commit(rate)
    run = installed.push(copy)
    assert run["status"] == "succeeded", installed.refmill("logs", f"operator/tiny#{run['number']}", "train")


def logged(installed: Installed) -> dict[str, tuple[str, list[float], str]]:
    """Who logged which losses and which file, by the rate, as people read it from their machine."""
    found = {}
    with installed.forwarded(NAME, PORT) as address:
        asked = {"experiment_name": "churn"}
        experiment = said(requests.get(f"{address}{API}/experiments/get-by-name", asked, timeout=SECONDS))["experiment"]
        body = {"experiment_ids": [experiment["experiment_id"]]}
        for run in said(requests.post(f"{address}{API}/runs/search", json=body, timeout=SECONDS))["runs"]:
            (rate,) = (param["value"] for param in run["data"]["params"] if param["key"] == "rate")
            of_run = {"run_id": run["info"]["run_id"]}
            asked = of_run | {"metric_key": "loss"}
            losses = said(requests.get(f"{address}{API}/metrics/get-history", asked, timeout=SECONDS))["metrics"]
            asked = of_run | {"path": "params.yaml"}
            file = requests.get(f"{address}/get-artifact", asked, timeout=SECONDS).text
            found[rate] = (run["info"]["user_id"], [each["value"] for each in losses], file)
    return found


def said(answer: requests.Response) -> Any:
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_what_stages_in_pods_log_is_there_and_stays(with_mlflow: Installed, tmp_path: Path) -> None:
    cluster, namespace = with_mlflow.cluster, with_mlflow.namespace
    first = pod(with_mlflow)
    (state,) = first["status"]["containerStatuses"]
    assert (state["ready"], state["restartCount"]) == (True, 0)  # its own probes found it well, and none ended it
    address = f"http://{first['status']['podIP']}:{PORT}/"
    refused = requests.get(address, headers={"Host": f"elsewhere.example.org:{PORT}"}, timeout=SECONDS)
    assert refused.status_code == 403

    copy = new_copy(tmp_path / "copy", FILES)
    push(with_mlflow, copy, "0.25")
    one = {"0.25": ("refmill", [0.5, 0.25], "rate: 0.25\n")}
    assert logged(with_mlflow) == one
    assert (tmp_path / "mlflow" / "mlflow.db").exists()
    assert [path.read_text() for path in (tmp_path / "mlflow" / "artifacts").rglob("params.yaml")] == ["rate: 0.25\n"]

    cluster.kubectl("delete", "pod", f"{NAME}-0", "-n", namespace)
    cluster.kubectl("rollout", "status", f"statefulset/{NAME}", "-n", namespace, "--timeout=10m", seconds=660)
    assert pod(with_mlflow)["metadata"]["uid"] != first["metadata"]["uid"]
    assert logged(with_mlflow) == one
    push(with_mlflow, copy, "0.125")
    assert logged(with_mlflow) == one | {"0.125": ("refmill", [0.5, 0.125], "rate: 0.125\n")}
