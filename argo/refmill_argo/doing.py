"""What the engine does on the cluster, each step such that doing it again changes nothing."""

from __future__ import annotations

import contextlib
import logging
import time
from typing import Any

from refmill import errors
from refmill.texts import text
from refmill_argo import contract, manifests
from refmill_argo.cluster import CONFIG_MAPS, PODS, SECRETS, WORKFLOWS, Archive, Cluster, Thing
from refmill_argo.judging import DropPod, SetNode, Suspend, Terminate
from refmill_argo.options import Options
from refmill_argo.sights import folded, nodes_of

LOG = logging.getLogger(__name__)
TRIES = 5
"""How often a Workflow is read anew because Argo changed it between reading and writing."""


def submit(cluster: Cluster, options: Options, run_id: str, *, token: str, runner: bytes, manifest: str) -> Thing:
    """Make what a run's pods need, then its Workflow. Raises WrongUse if the cluster refuses one of them."""
    ensure(cluster, options, runner)
    secret = contract.secret_name(run_id)
    with contextlib.suppress(errors.Conflict):
        cluster.create(SECRETS, manifests.secret(run_id, token, options))
    made = make(cluster, contract.workflow_name(run_id), manifest)
    owner = {
        "apiVersion": "argoproj.io/v1alpha1", "kind": "Workflow", "name": made["metadata"]["name"],
        "uid": made["metadata"]["uid"],
    }  # fmt: skip
    cluster.patch(SECRETS, secret, {"metadata": {"ownerReferences": [owner]}})
    return made


def ensure(cluster: Cluster, options: Options, runner: bytes) -> None:
    """See that the step runner is there."""
    try:
        cluster.get(CONFIG_MAPS, contract.runner_name(options.runner))
    except errors.NotFound:
        with contextlib.suppress(errors.Conflict):
            cluster.create(CONFIG_MAPS, manifests.runner(runner, options))


def make(cluster: Cluster, name: str, manifest: str) -> Thing:
    """A Workflow: a new one, or the one that is there."""
    try:
        return cluster.create(WORKFLOWS, manifest)
    except errors.Conflict:
        return cluster.get(WORKFLOWS, name)


def suspend(cluster: Cluster, step: Suspend) -> Thing:
    """Let a Workflow start nothing new, or go on."""
    return cluster.patch(WORKFLOWS, step.workflow, {"spec": {"suspend": True if step.on else None}})


def terminate(cluster: Cluster, step: Terminate) -> Thing:
    """End a Workflow and its pods now. One that is suspended would stay as it is."""
    return cluster.patch(WORKFLOWS, step.workflow, {"spec": {"shutdown": "Terminate", "suspend": None}})


def drop(cluster: Cluster, step: DropPod) -> None:
    """Take a pod away that cannot start."""
    cluster.delete(PODS, step.name)


def set_node(cluster: Cluster, step: SetNode, archive: Archive | None = None) -> Thing:
    """Say how a point of waiting ended, as `argo resume --node-field-selector` does: Workflows have no sub-resource for
    their state, so it is written like the rest, and refused if Argo wrote in between. Where Argo keeps nodes in a
    database of its own, `archive` is asked to do it. Raises WrongUse if there is none, Unavailable if it is never our
    turn."""
    for _ in range(TRIES):
        found = cluster.get(WORKFLOWS, step.workflow)
        nodes = nodes_of(found)
        if nodes is None:
            return _set_in_archive(archive, step, found)
        node = nodes.get(step.node)
        if node is None or node.get("phase") != "Running":
            return found
        end = {"phase": step.phase, "finishedAt": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())}
        status: dict[str, Any] = {"nodes": {step.node: end}}
        if found["status"].get("compressedNodes"):
            status = {"compressedNodes": folded(nodes | {step.node: {**node, **end}})}
        version = found["metadata"]["resourceVersion"]
        with contextlib.suppress(errors.Conflict):
            return cluster.patch(WORKFLOWS, step.workflow, {"metadata": {"resourceVersion": version}, "status": status})
    raise errors.Unavailable(text("Argo changed the Workflow %(name)s again and again", name=step.workflow))


def _set_in_archive(archive: Archive | None, step: SetNode, found: Thing) -> Thing:
    """The same by the Argo Server; `found`, the Workflow as it is, where that does not do it now: a later look asks
    again, and the run's other steps do not wait for it. It sets points that wait, and no others."""
    if archive is None:
        raise errors.WrongUse(
            text("Argo keeps the state of Workflows in a database, and nobody but Argo can resume them there"),
            text("Set `argo_server`, or switch off nodeStatusOffLoad in Argo's configuration."),
        )
    try:
        node = (nodes_of(archive.workflow(step.workflow)) or {}).get(step.node)
        if node is None or node.get("phase") != "Running":
            return found
        return archive.set_node(step.workflow, step.node, step.phase)
    except errors.RefmillError as error:
        LOG.warning("%s waits at %s until the Argo Server does it: %s", step.workflow, step.node, error)
        return found
