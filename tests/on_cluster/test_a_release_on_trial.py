"""A release of the chart with the database and the S3 store that it makes itself: a run in pods, whose records and
objects lie there, also after both have ended and after an upgrade."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from clusters import OnCluster
from releases import RELEASE, Installed, release_in

import s3_servers
from cluster import images
from cluster.places import places
from platforms import new_copy

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(1800)]
PARTS = ("database", "objects")
PIPELINE = "stages:\n  count: {cmd: 'wc -l < rows.txt > count.txt', deps: [rows.txt], outs: [count.txt]}\n"


@pytest.fixture
def trial_images(cluster: OnCluster, postgresql_image: str) -> dict[str, str]:
    """The images of the parts, loaded."""
    program = s3_servers.program("versitygw")
    if program is None:
        pytest.skip(s3_servers.MISSING)
    store = images.versitygw(places().cache, Path(program))
    return dict(zip(PARTS, (postgresql_image, cluster.load(store)), strict=True))


@pytest.fixture
def on_trial(
    workflows: OnCluster, namespace: str, platform_images: dict[str, str], trial_images: dict[str, str], tmp_path: Path
) -> Iterator[Installed]:
    trials = {part: {"trial": {"enabled": True, "image": image, "size": "1Gi"}} for part, image in trial_images.items()}
    with release_in(
        workflows, namespace, platform_images, tmp_path / "volume",
        beside={part: tmp_path / part for part in PARTS}, database=trials["database"], objectStore=trials["objects"],
    ) as made:  # fmt: skip
        yield made


def test_records_and_objects_lie_beside_the_server_and_stay(on_trial: Installed, tmp_path: Path) -> None:
    cluster, namespace = on_trial.cluster, on_trial.namespace
    on_trial.install()
    copy = new_copy(tmp_path / "copy", {"dvc.yaml": PIPELINE, "rows.txt": "1\n2\n3\n"})
    first = on_trial.push(copy)
    assert first["status"] == "succeeded", json.dumps(on_trial.refmill("show", "operator/tiny#1", "--json"))
    found = {item["name"]: item for item in json.loads(on_trial.refmill("doctor", "--json"))}
    assert (found["database"]["state"], found["s3"]["state"]) == ("ok", "ok"), found
    assert not (tmp_path / "volume" / "data" / "refmill.db").exists()
    assert [
        path.read_text() for path in (tmp_path / "objects" / "refmill").rglob("files/md5/*/*") if path.is_file()
    ] == ["3\n"]
    assert (tmp_path / "database" / "postgresql" / "PG_VERSION").exists()

    secrets = [on_trial.secret(f"{RELEASE}-{part}") for part in PARTS]
    for part in PARTS:
        cluster.kubectl("delete", "pod", f"{RELEASE}-{part}-0", "-n", namespace)
    on_trial.install(stage_memory="1Gi")
    assert [on_trial.secret(f"{RELEASE}-{part}") for part in PARTS] == secrets
    copy.write({"rows.txt": "1\n"}).commit("fewer")
    second = on_trial.push(copy)
    assert (second["number"], second["status"]) == (2, "succeeded")
    assert [run["number"] for run in json.loads(on_trial.refmill("runs", "operator/tiny", "--json"))] == [2, 1]
