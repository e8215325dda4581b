"""What the test cluster says before it starts anything; these need none, and no special machine."""

import json
import shutil
import subprocess
import tarfile

import given
import pytest
from clusters import OnCluster, command

from cluster import argo, components, images, lifecycle, network, oci, places, preflight
from cluster.certificates import Authority
from cluster.errors import ClusterError
from cluster.kubectl import Kubectl


def copied(tool: components.Tool, monkeypatch, tmp_path) -> components.Tool:
    shutil.copytree(tool.folder, tmp_path / tool.name)
    monkeypatch.setattr(components, "TOOLS", tmp_path)
    return tool


@pytest.mark.parametrize("tool", components.ALL, ids=lambda tool: tool.name)
def test_a_program_is_built_anew_when_its_pins_change(tool, monkeypatch, tmp_path):
    monkeypatch.setattr(components, "_go", lambda tool: "go version go1.26.8 linux/amd64")
    before = components.key(tool)
    assert components.key(copied(tool, monkeypatch, tmp_path)) == before
    path = tool.folder / "go.mod"
    path.write_text(path.read_text() + "\n")
    assert components.key(tool) != before


def test_a_program_is_built_anew_by_another_go(monkeypatch):
    keys = set()
    for version in ("go1.26.8", "go1.27.0"):
        monkeypatch.setattr(components, "_go", lambda tool, version=version: f"go version {version} linux/amd64")
        keys.add(components.key(components.ALL[0]))
    assert len(keys) == 2


def test_every_part_of_kubernetes_is_of_the_one_version():
    pins = (components.TOOLS / "kubernetes" / "go.mod").read_text()
    assert f"k8s.io/kubernetes v{components.KUBERNETES} " in pins
    library = f"v0{components.KUBERNETES[1:]}"
    replaced = [line.split()[-1] for line in pins.splitlines() if " => " in line]
    assert len(replaced) > 30
    assert set(replaced) == {library}


def test_without_go_the_message_says_so(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ClusterError, match=r"there is no Go; install Go 1\.26 or newer"):
        components.programs(tmp_path, print)


def test_what_has_to_be_built_before_a_cluster_can_start_is_named(monkeypatch, tmp_path):
    monkeypatch.setattr(lifecycle, "status", lambda: lifecycle.Status("absent"))
    monkeypatch.setattr(components, "_need_go", lambda: None)
    monkeypatch.setattr(components, "_go", lambda tool: "go version go1.26.8 linux/amd64")
    monkeypatch.setattr(images, "_suite", lambda: "bookworm")
    where = places.Places(tmp_path, tmp_path)
    for tool in components.ALL:
        with pytest.raises(ClusterError, match=rf"not built yet in {tmp_path}: .*\b{tool.programs[-1]}\b.*"):
            lifecycle.check_at_once(where)
        components.place(tool, tmp_path).mkdir(parents=True)
    with pytest.raises(
        ClusterError, match=rf"not built yet in {tmp_path}: the image {images.PYTHON} \(make test-cluster"
    ):
        lifecycle.check_at_once(where)
    monkeypatch.setattr(images, "has_python", lambda cache: True)
    lifecycle.check_at_once(where)
    monkeypatch.setattr(lifecycle, "status", lambda: lifecycle.Status("running", tmp_path))
    with pytest.raises(ClusterError, match="a test cluster is up on this machine already"):
        lifecycle.check_at_once(where)


def test_missing_packages_are_named_all_at_once(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(preflight, "PLUGINS", tmp_path)
    with pytest.raises(ClusterError) as caught:
        preflight.check(places.Places(tmp_path, tmp_path))
    packages = "busybox-static conntrack containerd containernetworking-plugins iproute2 iptables mount runc util-linux"
    assert f"- packages are missing: apt-get install {packages}" in str(caught.value)
    assert "- there is no Go; install Go 1.26 or newer" in str(caught.value)
    assert "make test-cluster KUBECONFIG=FILE" in str(caught.value)


def needs(*programs: str) -> None:
    missing = [name for name in programs if shutil.which(name) is None]
    if missing:
        pytest.skip(f"no {', '.join(missing)}")


def test_somebody_who_is_not_root_is_told_that_it_takes_root():
    needs("unshare")
    somebody = ("unshare", "--map-user=1000")
    if subprocess.run([*somebody, "true"], capture_output=True, check=False).returncode:
        pytest.skip("no user namespaces")
    assert "- it takes root: namespaces, mounts and cgroups are made" in command("check", code=1, before=somebody)


def test_a_machine_that_refuses_namespaces_is_told_of_it(tmp_path):
    needs("setpriv", "unshare", "ip")
    without = ("setpriv", "--bounding-set=-sys_admin", "--inh-caps=-sys_admin")
    if subprocess.run([*without, "true"], capture_output=True, check=False).returncode:
        pytest.skip("not root")
    said = command("check", code=1, before=without, REFMILL_CLUSTER_CACHE=str(tmp_path))
    assert "namespaces, mounts or links are refused here: unshare: unshare failed: Operation not permitted" in said
    assert "A cluster that is already there does as well" in said


@pytest.mark.parametrize("folder", ["/var/lib/refmill", "/run/user/0/x", "/" + "long/" * 20])
def test_a_folder_in_which_a_cluster_cannot_live_is_refused(folder):
    where = places.Places(places.Path(folder), places.Path(folder))
    with pytest.raises(ClusterError, match=r"REFMILL_CLUSTER_CACHE"):
        preflight.check(where)


def routes(monkeypatch, *found: dict[str, str]) -> list[str]:
    monkeypatch.setattr(network, "_routes", lambda: list(found))
    return network.taken()


def test_addresses_that_another_network_has_are_named(monkeypatch):
    assert routes(monkeypatch, {"dst": "10.96.0.0/16", "dev": "kind0"}) == ["10.96.0.0/16 by kind0"]
    assert routes(monkeypatch, {"dst": "10.250.0.7", "dev": "vpn"}) == ["10.250.0.7 by vpn"]


def test_wider_and_own_routes_are_no_hindrance(monkeypatch):
    assert routes(monkeypatch, {"dst": "default", "dev": "eth0"}, {"dst": "10.0.0.0/8", "dev": "vpn"}) == []
    assert routes(monkeypatch, {"dst": "10.244.0.0/16", "dev": network.LINK}) == []


def a_kubeconfig(path, server: str):
    cluster, context = {"name": "a", "cluster": {"server": server}}, {"name": "b", "context": {"cluster": "a"}}
    other = {"name": "other", "cluster": {"server": "https://192.0.2.1"}}
    told = {"current-context": "b", "contexts": [context], "clusters": [other, cluster]}
    path.write_text(json.dumps(told))
    return path


def test_this_machines_address_is_sought_where_a_given_cluster_is_and_is_none_that_only_the_machine_has(
    monkeypatch, tmp_path
):
    monkeypatch.delenv(given.HOST, raising=False)
    local = a_kubeconfig(tmp_path / "kind", "https://127.0.0.1:40001")
    assert given.own_address(local) == ""
    monkeypatch.setenv(given.HOST, "172.18.0.1")
    assert given.own_address(local) == "172.18.0.1"
    monkeypatch.setenv(given.KUBECONFIG, str(local))
    assert given.hosts() == ["127.0.0.1", "172.18.0.1"]
    monkeypatch.delenv(given.KUBECONFIG)
    assert given.hosts() == []


def test_without_an_address_for_pods_the_reason_names_the_remedy():
    with pytest.raises(pytest.skip.Exception, match="CLUSTER_HOST=ADDRESS"):
        OnCluster(Kubectl(places.Path("kubectl"), places.Path("config")), None, "").here  # noqa: B018 - it is refused


def test_a_folder_without_argo_is_the_one_named_reason(tmp_path):
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "argo").write_text("")
    (tmp_path / "bin" / "argo").chmod(0o755)
    reason = argo.find(tmp_path)
    assert reason.startswith("no Argo programs: ")
    assert "REFMILL_ARGO_HOME" in reason
    assert "bin/workflow-controller" in reason
    assert "crds/argoproj.io_workflows.yaml" in reason
    assert "bin/argo," not in reason


def test_an_image_is_an_archive_of_blobs_named_by_their_digests(tmp_path):
    program = tmp_path / "program"
    program.write_bytes(b"\x7fELF")
    image = images.pause(tmp_path, program)
    first = image.archive.read_bytes()
    with tarfile.open(image.archive) as tar:
        for name in tar.getnames():
            if name.startswith("blobs/"):
                assert oci.hashlib.sha256(tar.extractfile(name).read()).hexdigest() == name.rpartition("/")[2]
        index = json.load(tar.extractfile("index.json"))
        manifest = json.load(tar.extractfile(f"blobs/sha256/{index['manifests'][0]['digest'].partition(':')[2]}"))
        layer = tar.extractfile(f"blobs/sha256/{manifest['layers'][0]['digest'].partition(':')[2]}")
        with tarfile.open(fileobj=layer) as files:
            assert files.getnames() == ["pause"]
    assert index["manifests"][0]["annotations"]["io.containerd.image.name"] == "refmill.test/pause:1"
    image.archive.unlink()
    assert images.pause(tmp_path, program).archive.read_bytes() == first
    assert [path.name for path in (tmp_path / "images").iterdir()] == [image.archive.name]


def test_openssl_believes_what_the_authority_signs(tmp_path):
    needs("openssl")
    authority = Authority(tmp_path)
    authority.issue("server", common_name="kube-apiserver", names=("10.96.0.1", "kubernetes"))
    verify = ["openssl", "verify", "-x509_strict", "-CAfile", tmp_path / "ca.crt"]
    for name in ("10.96.0.1", "kubernetes"):
        flag = "-verify_ip" if name[0] == "1" else "-verify_hostname"
        subprocess.run([*verify, flag, name, "-purpose", "sslserver", tmp_path / "server.crt"], check=True)
    wrong = [*verify, "-verify_hostname", "other", tmp_path / "server.crt"]
    assert subprocess.run(wrong, capture_output=True, check=False).returncode != 0
    assert (tmp_path / "server.key").stat().st_mode & 0o077 == 0
