"""Pods and Workflows as the engine sees them: the little of their JSON that it judges by.

The rule to keep: what is read here was written by others. A field that is missing or of another kind is an empty one.
"""

from __future__ import annotations

import base64
import binascii
import calendar
import gzip
import json
import re
import time
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from refmill_argo import contract
from refmill_argo.cluster import Thing
from refmill_argo.manifests import LABEL

MAIN = "main"
BADLY = frozenset({"Failed", "Error"})
UNFOLDED = 64 << 20
"""Bytes of nodes that a Workflow may unfold to."""
_AGAIN = re.compile(r"\((\d+)\)$")


@dataclass(frozen=True, slots=True)
class Waiting:
    """Why a container does not run yet."""

    image: str
    reason: str
    message: str


@dataclass(frozen=True, slots=True)
class PodSight:
    """A pod: its number in the run, how often it was started before (`again`), when it was made (UTC seconds).

    `scheduling` is why no node takes it; `code` and `cause` are how the main container ended; `reason`, `message` those
    of the pod; `disruption` is what the cluster did to it."""

    name: str
    run: str
    workflow: str
    number: int
    again: int = 0
    phase: str = "Pending"
    created: float = 0.0
    node: str = ""
    reason: str = ""
    message: str = ""
    scheduling: str = ""
    waiting: tuple[Waiting, ...] = ()
    code: int | None = None
    cause: str = ""
    disruption: str = ""
    leaving: bool = False

    @property
    def over(self) -> bool:
        """Whether nothing in it runs, or will."""
        return self.phase in ("Succeeded", "Failed")


@dataclass(frozen=True, slots=True)
class Node:
    """A node of a Workflow: a pod, the retries of one, or a point where it waits; `number` is its pod's."""

    id: str
    display: str
    kind: str
    phase: str
    message: str = ""
    number: int = 0
    again: int = 0

    @property
    def active(self) -> bool:
        """Whether a point of waiting has been reached."""
        return self.kind == "Suspend" and self.phase == "Running"


@dataclass(frozen=True, slots=True)
class WorkflowSight:
    """A Workflow. `unreadable` where its nodes are not known; `offloaded` is their version in Argo's own database, if
    they are there."""

    name: str
    run: str
    uid: str = ""
    phase: str = ""
    message: str = ""
    suspended: bool = False
    shutdown: bool = False
    unreadable: bool = False
    offloaded: str = ""
    nodes: tuple[Node, ...] = field(default=())

    @property
    def over(self) -> bool:
        """Whether Argo does nothing more with it."""
        return self.phase in ("Succeeded", "Failed", "Error")

    def suspends(self, letter: str) -> list[Node]:
        """The reached points of waiting: pause points (`p`) or child Workflows (`c`)."""
        return [node for node in self.nodes if node.active and node.display[:1] == letter]


def pod(thing: Thing) -> PodSight | None:
    """A pod of a run; None for any other one."""
    metadata, status = _map(thing, "metadata"), _map(thing, "status")
    labels, annotations = _map(metadata, "labels"), _map(metadata, "annotations")
    number, run = _text(labels, f"{LABEL}/pod"), _text(labels, f"{LABEL}/run")
    if not number.isdecimal() or not run:
        return None
    containers = [*_list(status, "initContainerStatuses"), *_list(status, "containerStatuses")]
    conditions = {_text(item, "type"): item for item in _list(status, "conditions")}
    ended = _ended(containers)
    unplaced = conditions.get("PodScheduled", {})
    moved = conditions.get("DisruptionTarget", {})
    again = _AGAIN.search(_text(annotations, "workflows.argoproj.io/node-name"))
    return PodSight(
        name=_text(metadata, "name"), run=run, workflow=_text(labels, "workflows.argoproj.io/workflow"),
        number=int(number), again=int(again[1]) if again else 0, phase=_text(status, "phase") or "Pending",
        created=_time(_text(metadata, "creationTimestamp")), node=_text(_map(thing, "spec"), "nodeName"),
        reason=_text(status, "reason"), message=_text(status, "message"),
        scheduling=_text(unplaced, "message") if unplaced.get("status") == "False" else "",
        waiting=tuple(_waiting(containers)), code=ended.get("exitCode"), cause=_text(ended, "reason"),
        disruption=_text(moved, "reason") if moved.get("status") == "True" else "",
        leaving="deletionTimestamp" in metadata,
    )  # fmt: skip


def workflow(thing: Thing) -> WorkflowSight:
    """A Workflow."""
    metadata, status, spec = _map(thing, "metadata"), _map(thing, "status"), _map(thing, "spec")
    nodes = nodes_of(thing)
    return WorkflowSight(
        name=_text(metadata, "name"), run=_text(_map(metadata, "labels"), f"{LABEL}/run"),
        uid=_text(metadata, "uid"), phase=_text(status, "phase"), message=_text(status, "message"),
        suspended=spec.get("suspend") is True, shutdown=bool(spec.get("shutdown")),
        unreadable=nodes is None, offloaded=_text(status, "offloadNodeStatusVersion"),
        nodes=tuple(_node(node_id, item) for node_id, item in (nodes or {}).items() if isinstance(item, Mapping)),
    )  # fmt: skip


def nodes_of(thing: Thing) -> dict[str, Any] | None:
    """The nodes of a Workflow by id; None where they lie in a database of Argo's, or are not whole."""
    status = _map(thing, "status")
    folded = _text(status, "compressedNodes")
    if folded:
        try:
            unfolding = zlib.decompressobj(16 + zlib.MAX_WBITS)
            found = json.loads(unfolding.decompress(base64.b64decode(folded), UNFOLDED))
        except (binascii.Error, zlib.error, ValueError):
            return None
        return found if isinstance(found, dict) else None
    if status.get("offloadNodeStatusVersion"):
        return None
    return dict(_map(status, "nodes"))


def folded(nodes: Mapping[str, Any]) -> str:
    """Nodes as Argo keeps them in a Workflow with many."""
    return base64.b64encode(gzip.compress(json.dumps(nodes).encode())).decode()


def _node(node_id: str, item: Mapping[str, Any]) -> Node:
    again = _AGAIN.search(_text(item, "name"))
    number = next(
        (_text(each, "value") for each in _list(_map(item, "inputs"), "parameters")
         if _text(each, "name") == contract.PARAMETER), "",
    )  # fmt: skip
    return Node(
        node_id, _text(item, "displayName"), _text(item, "type"), _text(item, "phase"), _text(item, "message"),
        int(number) if number.isdecimal() else 0, int(again[1]) if again else 0,
    )  # fmt: skip


def _ended(containers: list[Mapping[str, Any]]) -> Mapping[str, Any]:
    """How the containers ended: the one that ran out of memory, else the main one if that ended badly, else another."""
    found = [(_text(item, "name"), _map(_map(item, "state"), "terminated")) for item in containers]
    bad = sorted(
        ((name, end) for name, end in found if end.get("exitCode")),
        key=lambda item: (_text(item[1], "reason") != "OOMKilled", item[0] != MAIN),
    )
    return bad[0][1] if bad else next((end for name, end in found if name == MAIN and end), {})


def _waiting(containers: list[Mapping[str, Any]]) -> list[Waiting]:
    found = []
    for item in containers:
        waiting = _map(_map(item, "state"), "waiting")
        if waiting and _text(waiting, "reason") not in ("PodInitializing", "ContainerCreating", ""):
            found.append(Waiting(_text(item, "image"), _text(waiting, "reason"), _text(waiting, "message")))
    return found


def _time(written: str) -> float:
    try:
        return float(calendar.timegm(time.strptime(written, "%Y-%m-%dT%H:%M:%SZ")))
    except ValueError:
        return 0.0


def _map(item: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    found = item.get(key)
    return found if isinstance(found, Mapping) else {}


def _list(item: Mapping[str, Any], key: str) -> list[Mapping[str, Any]]:
    found = item.get(key)
    return [each for each in found if isinstance(each, Mapping)] if isinstance(found, list) else []


def _text(item: Mapping[str, Any], key: str) -> str:
    found = item.get(key)
    return str(found) if isinstance(found, str | int) and not isinstance(found, bool) else ""
