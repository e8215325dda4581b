"""The cluster in memory is what the real one is."""

import pytest

from agreement_on_clusters import AgreementOnClusters
from fakes.kubernetes_objects import FakeCluster
from refmill_argo.cluster import Cluster


class TestTheClusterInMemory(AgreementOnClusters):
    @pytest.fixture
    def cluster(self) -> Cluster:
        return FakeCluster()
