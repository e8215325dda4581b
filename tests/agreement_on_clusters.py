"""What the engine relies on of a cluster, asked of the one in memory and of real ones."""

import threading
from typing import Any

import pytest

from refmill import errors
from refmill_argo.cluster import CONFIG_MAPS, Cluster

LABEL = "refmill.dev/test"


def manifest(name: str, label: str = "yes", **data: str) -> str:
    lines = "".join(f"  {key}: {value!r}\n" for key, value in data.items()) or "  a: 'b'\n"
    return (
        f"apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: {name}\n  labels: {{{LABEL}: '{label}'}}\ndata:\n{lines}"
    )


class AgreementOnClusters:
    """Subclasses give `cluster`."""

    def test_what_is_made_is_there_and_made_again_is_a_conflict(self, cluster: Cluster):
        made = cluster.create(CONFIG_MAPS, manifest("one"))
        assert made["metadata"]["uid"]
        assert cluster.get(CONFIG_MAPS, "one")["data"] == {"a": "b"}
        with pytest.raises(errors.Conflict):
            cluster.create(CONFIG_MAPS, manifest("one"))

    def test_what_is_not_there_is_not_found_and_can_be_deleted(self, cluster: Cluster):
        for question in (
            lambda: cluster.get(CONFIG_MAPS, "none"),
            lambda: cluster.patch(CONFIG_MAPS, "none", {"data": {}}),
        ):
            with pytest.raises(errors.NotFound):
                question()
        cluster.delete(CONFIG_MAPS, "none")

    def test_a_patch_changes_what_it_names_and_takes_away_what_is_null(self, cluster: Cluster):
        cluster.create(CONFIG_MAPS, manifest("one", a="1", b="2"))
        assert cluster.patch(CONFIG_MAPS, "one", {"data": {"a": None, "c": "3"}})["data"] == {"b": "2", "c": "3"}

    def test_a_patch_of_an_older_version_is_a_conflict(self, cluster: Cluster):
        old = cluster.create(CONFIG_MAPS, manifest("one"))["metadata"]["resourceVersion"]
        cluster.patch(CONFIG_MAPS, "one", {"data": {"c": "3"}})
        with pytest.raises(errors.Conflict):
            cluster.patch(CONFIG_MAPS, "one", {"metadata": {"resourceVersion": old}, "data": {"c": "4"}})

    def test_a_list_has_what_bears_the_label(self, cluster: Cluster):
        cluster.create(CONFIG_MAPS, manifest("one"))
        cluster.create(CONFIG_MAPS, manifest("two", "no"))
        listing = cluster.list(CONFIG_MAPS, f"{LABEL}=yes")
        assert [item["metadata"]["name"] for item in listing.things] == ["one"]
        assert listing.version

    def test_a_watch_tells_all_that_happened_since_a_version(self, cluster: Cluster):
        cluster.create(CONFIG_MAPS, manifest("one"))
        version = cluster.list(CONFIG_MAPS, f"{LABEL}=yes").version
        cluster.patch(CONFIG_MAPS, "one", {"data": {"c": "3"}})
        heard: list[tuple[str, Any]] = []

        def listen() -> None:
            for change in cluster.watch(CONFIG_MAPS, f"{LABEL}=yes", version):
                if change.what != "BOOKMARK":
                    heard.append((change.what, change.thing["metadata"]["name"]))
                if change.what == "DELETED":
                    return

        listener = threading.Thread(target=listen, daemon=True)
        listener.start()
        cluster.create(CONFIG_MAPS, manifest("other", "no"))
        cluster.create(CONFIG_MAPS, manifest("two"))
        cluster.delete(CONFIG_MAPS, "one")
        listener.join(20)
        assert heard == [("MODIFIED", "one"), ("ADDED", "two"), ("DELETED", "one")]

    def test_the_log_of_a_pod_that_is_not_there_is_not_found(self, cluster: Cluster):
        with pytest.raises(errors.NotFound):
            cluster.log("none", "main")
