"""A cluster for the tests: the one that is up, or one that comes for them and goes with them, or a given one."""

import contextlib
import dataclasses
import itertools
import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import given
import pytest
from clusters import OnCluster, command
from pushing import Lead, lead, platform_on
from warmed import dvc, oracle  # noqa: F401 - fixtures

from browsing import browser, page  # noqa: F401 - fixtures
from cluster import argo, components, images, lifecycle, network, platform_image
from cluster.configuration import Files
from cluster.errors import ClusterError
from cluster.kubectl import Kubectl
from cluster.places import places
from platforms import Platform

FIRST = "test_cluster_comes_and_goes.py"
"""Begins where there is no cluster, so it comes before the tests that share one."""
_numbers = itertools.count(1)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: item.path.name != FIRST)
    hosts = ["127.0.0.1", "::1", "localhost", *network.RANGES, *given.hosts()]
    for item in items:
        if item.path.is_relative_to(Path(__file__).parent):
            item.add_marker(pytest.mark.allow_hosts(hosts))


@pytest.fixture(scope="session")
def cluster() -> Iterator[OnCluster]:
    """A cluster on which pods can be made."""
    if (named := given.kubeconfig()) is not None:
        program = shutil.which("kubectl")
        path = Path(program) if program else components.programs(places().cache, print)["kubectl"]
        made = OnCluster(Kubectl(path, named), None, "")
        with _namespace(made) as namespace:
            yield dataclasses.replace(made, host=given.way(made, namespace, named))
        return
    found = lifecycle.status()
    own = found.state != "running"
    if own:
        command("up")
    kubeconfig = lifecycle.status().kubeconfig
    assert kubeconfig is not None
    kubectl = Kubectl(components.programs(places().cache, print)["kubectl"], kubeconfig)
    yield OnCluster(kubectl, Files(kubeconfig.parent))
    if own:
        command("down")


@pytest.fixture(scope="session")
def python_image(cluster: OnCluster) -> str:
    """An image with Python and git, loaded."""
    return cluster.load(images.python(places().cache, print))


@pytest.fixture(scope="session")
def platform_images(cluster: OnCluster) -> dict[str, str]:
    """The images of the Dockerfile by target, loaded."""
    try:
        found = {target: platform_image.built(places().cache, target, print) for target in platform_image.TARGETS}
    except ClusterError as error:
        pytest.skip(f"no image of the platform: {error}")
    return {target: cluster.load(image) for target, image in found.items()}


@pytest.fixture(scope="session")
def postgresql_image(cluster: OnCluster) -> str:
    """The image of the chart's own database, loaded."""
    try:
        image = images.postgresql(places().cache, print)
    except ClusterError as error:
        pytest.skip(f"no image of PostgreSQL: {error}")
    return cluster.load(image)


@contextlib.contextmanager
def _namespace(cluster: OnCluster) -> Iterator[str]:
    name = f"test-{os.getpid()}-{next(_numbers)}"
    cluster.kubectl("create", "namespace", name)
    cluster.wait_for(lambda: cluster.kubectl.tried("get", "serviceaccount/default", "-n", name).returncode == 0)
    yield name
    cluster.kubectl("delete", "namespace", name, "--wait=false")


@pytest.fixture
def namespace(cluster: OnCluster) -> Iterator[str]:
    """A namespace of the test's own."""
    with _namespace(cluster) as name:
        yield name


@pytest.fixture(scope="module")
def namespace_of_module(cluster: OnCluster) -> Iterator[str]:
    """The one that the tests of a file share."""
    with _namespace(cluster) as name:
        yield name


@pytest.fixture(scope="session")
def namespace_of_all(cluster: OnCluster) -> Iterator[str]:
    """The one of the platform that tests share."""
    with _namespace(cluster) as name:
        yield name


@pytest.fixture(scope="session")
def workflows(cluster: OnCluster) -> OnCluster:
    """A cluster that runs Workflows; without Argo's programs the test is skipped."""
    if cluster.files is None:
        if cluster.kubectl.tried("get", "crd", "workflows.argoproj.io").returncode:
            pytest.skip(f"{argo.NO_ARGO}: the given cluster has no Workflows")
    elif not cluster.files.argo_is_ready.exists():
        found = argo.find(places().argo)
        pytest.skip(found if isinstance(found, str) else f"{argo.NO_ARGO}: the cluster that is up came without them")
    return cluster


@pytest.fixture(scope="session")
def platform(
    workflows: OnCluster, python_image: str, namespace_of_all: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Platform]:
    """A platform whose runs go to the cluster, which tests share; each pushes repositories of its own."""
    with platform_on(workflows, namespace_of_all, python_image, tmp_path_factory.mktemp("platform")) as made:
        yield made


@pytest.fixture
def led(cluster: OnCluster) -> Iterator[Lead]:
    """Says what commands do in pods."""
    with lead(cluster.here) as made:
        yield made


@pytest.fixture
def revived(workflows: OnCluster) -> Iterator[None]:
    """What is killed of the cluster's programs is started anew."""
    if workflows.files is None:
        pytest.skip("the programs of a given cluster are not ours to kill")
    mark = workflows.files.home / "revive"
    mark.touch()
    yield
    time.sleep(1)
    mark.unlink()


@pytest.fixture(scope="session")
def argo_program() -> Path:
    """Argo's command line."""
    found = argo.find(places().argo)
    if isinstance(found, str):
        pytest.skip(found)
    return found.program("argo")


@pytest.fixture
def no_cluster() -> Iterator[None]:
    """No cluster is there before, and none after."""
    if given.kubeconfig() is not None:
        pytest.skip("a cluster is given, which is not ours to start and end")
    if lifecycle.status().state in {"running", "broken"}:
        pytest.skip("a cluster is up already, and stays: make cluster-down")
    command("down")
    yield
    command("down")
