"""The real cluster through the engine's port."""

from pathlib import Path

import pytest
import yaml
from clusters import OnCluster

from agreement_on_clusters import AgreementOnClusters, manifest
from refmill import errors
from refmill_argo import kube
from refmill_argo.cluster import CONFIG_MAPS, Cluster
from refmill_argo.inspecting import Inspection
from refmill_argo.manifests import installation
from refmill_argo.options import Options

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(300)]


@pytest.mark.ci
class TestTheRealCluster(AgreementOnClusters):
    @pytest.fixture
    def cluster(self, cluster: OnCluster, namespace: str) -> Cluster:
        return kube.connect(namespace, str(cluster.kubectl.kubeconfig))


def test_a_version_long_gone_has_to_be_listed_again(cluster: OnCluster, namespace: str):
    found = kube.connect(namespace, str(cluster.kubectl.kubeconfig))
    with pytest.raises(errors.NotFound, match="too old"):
        list(found.watch(CONFIG_MAPS, "", "1"))


def test_a_field_that_nobody_knows_is_refused(cluster: OnCluster, namespace: str):
    found = kube.connect(namespace, str(cluster.kubectl.kubeconfig))
    with pytest.raises(errors.WrongUse, match="unknown field"):
        found.create(CONFIG_MAPS, manifest("one") + "nonsense: true\n")


def test_a_certificate_of_another_authority_is_not_believed(cluster: OnCluster, namespace: str, tmp_path: Path):
    config = yaml.safe_load(Path(cluster.kubectl.kubeconfig).read_text())
    config["clusters"][0]["cluster"].pop("certificate-authority-data", None)
    config["clusters"][0]["cluster"].pop("certificate-authority", None)
    (tmp_path / "config").write_text(yaml.safe_dump(config))
    with pytest.raises(errors.Unavailable, match="certificate verify failed"):
        kube.connect(namespace, str(tmp_path / "config")).get(CONFIG_MAPS, "one")


def test_doctor_sees_what_a_namespace_lacks_and_then_that_it_is_ready(workflows: OnCluster, namespace: str):
    found = kube.connect(namespace, str(workflows.kubectl.kubeconfig))
    options = Options(server="http://10.250.0.1:1", runner="0" * 64, namespace=namespace)

    def states() -> dict[str, str]:
        return {name: state for name, state, _ in Inspection(found, options, lambda address: True).findings()}

    before = {"cluster": "ok", "argo": "ok", "rights": "ok", "namespace": "bad", "server": "ok"}
    assert states() == before
    workflows.kubectl("apply", "-f", "-", stdin=installation(options))
    assert states() == before | {"namespace": "ok"}
