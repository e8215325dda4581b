"""The test cluster leaves a machine as it was, however it ends."""

import os
import signal
import subprocess

import pytest
import yaml
from clusters import COMMAND, SECONDS, TESTS, OnCluster, command
from traces import inhabited, look, namespaces

from cluster import cgroups, components, images, lifecycle, machine
from cluster.configuration import Files
from cluster.kubectl import Kubectl
from cluster.places import places

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(900)]
SERVICE = {"selector": {"app": "web"}, "ports": [{"port": 80, "targetPort": 8080}]}


def in_use() -> OnCluster:
    """The running cluster with a pod, a volume and a service: mounts, links and rules."""
    kubeconfig = lifecycle.status().kubeconfig
    found = OnCluster(
        Kubectl(components.programs(places().cache, print)["kubectl"], kubeconfig), Files(kubeconfig.parent)
    )
    found.run(
        "default", "web", "sleep 600", volumes=[{"name": "scratch", "emptyDir": {"medium": "Memory"}}],
        container={"volumeMounts": [{"name": "scratch", "mountPath": "/scratch"}]},
    )  # fmt: skip
    found.kubectl.apply({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "web"}, "spec": SERVICE})
    found.ready("default", "web")
    return found


@pytest.mark.usefixtures("no_cluster")
def test_a_cluster_that_was_used_leaves_nothing_behind():
    before = look()
    said = command("up")
    kubeconfig = lifecycle.status().kubeconfig
    assert f"export KUBECONFIG={kubeconfig}" in said
    assert yaml.safe_load(kubeconfig.read_text())["clusters"][0]["cluster"]["server"] == "https://10.250.0.2:6443"
    in_use()
    own = namespaces()
    assert len(own) >= 5  # net, mnt and pid of the cluster, more of the pod
    assert {"cgroups", "links", "processes", "routes"} <= set(look().since(before))
    assert "running" in command("status")
    command("down")
    assert look().since(before) == {}
    # The kernel gives the number of a namespace that is gone to the next one, so another program's may bear it for a moment.
    OnCluster.wait_for(lambda: not own & inhabited(), "the namespaces are gone", 10)
    assert not kubeconfig.parent.exists()
    assert "absent" in command("status", code=1)
    assert "there is no test cluster" in command("down")


@pytest.mark.usefixtures("no_cluster")
def test_a_second_cluster_is_refused_and_the_first_stays():
    command("up", "--without-argo")
    first = machine.read()
    said = command("up", code=1)
    assert "a test cluster is up on this machine already: KUBECONFIG=" in said
    assert "make cluster-down" in said
    assert "already" in command("up", code=1, REFMILL_CLUSTER_CACHE="/root/.cache/refmill-other")
    assert machine.read() == first
    assert "running" in command("status")


@pytest.mark.usefixtures("no_cluster")
@pytest.mark.parametrize("line", ["started", "the API server answers", "the node is ready"])
def test_what_a_killed_up_has_begun_is_cleared_by_down(line):
    before = look()
    with subprocess.Popen([*COMMAND, "up"], cwd=TESTS, stdout=subprocess.PIPE, text=True) as process:
        assert any(line in said for said in process.stdout)
        assert f"process {process.pid} is starting or ending the test cluster" in command("down", code=1)
        process.kill()
    assert "left over" in command("status", code=1)
    command("down")
    assert look().since(before) == {}


@pytest.mark.usefixtures("no_cluster")
def test_a_cluster_whose_every_process_was_killed_makes_room_for_the_next():
    before = look()
    command("up", "--without-argo")
    in_use()
    for number in cgroups.processes():
        try:
            os.kill(number, signal.SIGKILL)
        except ProcessLookupError:
            continue
    OnCluster.wait_for(lambda: not cgroups.processes(), "all have ended", SECONDS)
    assert "left over" in command("status", code=1)
    assert "clearing what an earlier cluster left" in command("up", "--without-argo")
    assert "running" in command("status")
    command("down")
    assert look().since(before) == {}


@pytest.mark.usefixtures("no_cluster")
def test_a_cluster_that_cannot_start_says_why_and_leaves_nothing_but_its_logs(tmp_path):
    """A program of the cluster that ends at once: here etcd, which is no program at all."""
    before = look()
    cache = places().cache
    crippled = tmp_path / "cache"
    crippled.mkdir()
    (crippled / "programs").mkdir()
    for folder in (cache / "programs").iterdir():
        copy = crippled / "programs" / folder.name
        if folder.name.startswith("etcd-"):
            copy.mkdir()
            (copy / "etcd").write_text("#!/bin/sh\necho the disk is gone\nexit 3\n")
            (copy / "etcd").chmod(0o755)
        else:
            copy.symlink_to(folder)
    said = command("up", "--without-argo", code=1, REFMILL_CLUSTER_CACHE=str(crippled))
    assert "etcd (3) ended before the API server answers" in said
    assert "the disk is gone" in said
    assert "the disk is gone" in (crippled / "failed" / "etcd.log").read_text()
    assert look().since(before) == {}
    assert images.busybox(crippled).archive.exists()
