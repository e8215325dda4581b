"""Argo's own database beside a namespace in memory, behind the engine's port."""

from __future__ import annotations

from typing import Any, Literal

from fakes.kubernetes_objects import FakeCluster
from refmill import errors
from refmill.texts import text
from refmill_argo.cluster import WORKFLOWS, Thing


class FakeArchive:
    """`nodes` of Workflows that the cluster shows without them, `ended` are those that Argo has archived; `trouble` is
    what every question ends with."""

    def __init__(self, cluster: FakeCluster) -> None:
        self.cluster = cluster
        self.nodes: dict[str, dict[str, Any]] = {}
        self.ended: dict[str, dict[str, Any]] = {}
        self.asked: list[str] = []
        self.trouble: errors.RefmillError | None = None
        self._version = 0

    def keep(self, name: str, *nodes: dict[str, Any], **status: Any) -> None:
        """Argo goes on with a Workflow whose nodes it keeps here."""
        self._version += 1
        self.nodes[name] = {node["id"]: node for node in nodes}
        shown = {"phase": "Running", "nodes": None, "offloadNodeStatusVersion": f"fnv:{self._version}"}
        self.cluster.change(WORKFLOWS, name, {"status": shown | status})
        self.cluster.hang_up()

    def workflow(self, name: str) -> Thing:
        self._ask(f"workflow {name}")
        thing = self.cluster.things.get((WORKFLOWS.plural, name))
        if thing is None:
            if name not in self.ended:
                raise errors.NotFound(text("the Argo Server has no such thing: %(detail)s", detail=name))
            return self.ended[name]
        status = {key: value for key, value in thing["status"].items() if key != "offloadNodeStatusVersion"}
        return {**thing, "status": status | {"nodes": self.nodes[name]}}

    def set_node(self, workflow: str, node: str, phase: Literal["Succeeded", "Failed"]) -> Thing:
        self._ask(f"set {node} {phase}")
        self.keep(
            workflow,
            *({**item, "phase": phase} if item["id"] == node else item for item in self.nodes[workflow].values()),
        )
        return self.cluster.things[WORKFLOWS.plural, workflow]

    def _ask(self, question: str) -> None:
        self.asked.append(question)
        if self.trouble is not None:
            raise self.trouble
