"""What the engine asks of a cluster: a narrow port over Kubernetes' objects, which are plain JSON here.

Everything happens in one namespace. Every method raises Unavailable if the cluster does not answer now (asking again
later may work), and WrongUse with the cluster's own words if it refuses.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal, Protocol, TypeAlias

Thing: TypeAlias = Mapping[str, Any]
"""An object of the cluster, as its API writes it."""


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of objects: its group ("" is Kubernetes' own), the version that is spoken, and its name in addresses."""

    group: str
    version: str
    plural: str


WORKFLOWS = Kind("argoproj.io", "v1alpha1", "workflows")
PODS = Kind("", "v1", "pods")
SECRETS = Kind("", "v1", "secrets")
CONFIG_MAPS = Kind("", "v1", "configmaps")


@dataclass(frozen=True, slots=True)
class Listing:
    """All objects of a selection, and the version from which a watch goes on."""

    things: tuple[Thing, ...]
    version: str


@dataclass(frozen=True, slots=True)
class Change:
    """What a watch tells. A bookmark only says up to which version nothing was missed."""

    what: Literal["ADDED", "MODIFIED", "DELETED", "BOOKMARK"]
    thing: Thing


class Cluster(Protocol):
    """One namespace of a cluster."""

    def get(self, kind: Kind, name: str) -> Thing:
        """An object. Raises NotFound."""

    def create(self, kind: Kind, manifest: str) -> Thing:
        """Make an object from a manifest in YAML. Raises Conflict if it is there already."""

    def patch(self, kind: Kind, name: str, change: Thing) -> Thing:
        """Change an object as a JSON merge patch does. Raises NotFound, and Conflict if it is not of the version that
        the patch names."""

    def delete(self, kind: Kind, name: str) -> None:
        """Take an object away; one that is not there is no error."""

    def list(self, kind: Kind, selector: str) -> Listing:
        """All that have these labels."""

    def watch(self, kind: Kind, selector: str, version: str) -> Iterator[Change]:
        """What changes from `version` on, until the cluster ends the conversation. Raises NotFound if the cluster does
        not remember that version any more: list again."""

    def log(self, pod: str, container: str) -> bytes:
        """What a container has printed, each line after its time. Raises NotFound."""


class Archive(Protocol):
    """What Argo keeps of Workflows in a database of its own, as the Argo Server tells it.

    Every method raises Unavailable if it does not answer now, NotFound if it knows no such Workflow, and WrongUse with
    its words if it refuses."""

    def workflow(self, name: str) -> Thing:
        """A Workflow with its nodes, whoever has them; also one that is no more on the cluster, if Argo archived it."""

    def set_node(self, workflow: str, node: str, phase: Literal["Succeeded", "Failed"]) -> Thing:
        """Say how a point where a Workflow waits ended; gives the Workflow as the cluster has it."""
