"""The manifests beside a run's Workflows: the run's Secret, the step runner, and what a namespace needs once."""

from __future__ import annotations

from refmill_argo import contract
from refmill_argo.options import Options
from refmill_templates import render

LABEL = "refmill.dev"
"""What our labels and annotations begin with."""
OURS = {"app.kubernetes.io/managed-by": "refmill"}


def selector(options: Options) -> str:
    """By which the Workflows and pods of this installation are found."""
    return f"{LABEL}/installation={options.installation}"


def installed(options: Options) -> dict[str, str]:
    """The label of this installation."""
    return {f"{LABEL}/installation": options.installation} if options.installation else {}


def pod_labels(run_id: str, options: Options, *, network: bool) -> dict[str, str]:
    """The labels of a run's pods, by which network policies and the engine find them."""
    return {f"{LABEL}/run": run_id, **installed(options), **_stages(network=network)}


def secret(run_id: str, token: str, options: Options, workflow_uid: str = "") -> str:
    """The Secret with a run's token; `workflow_uid` is its Workflow's, where there is one already."""
    owner = {"name": contract.workflow_name(run_id), "uid": workflow_uid} if workflow_uid else None
    return render("secret", {
        "name": contract.secret_name(run_id), "namespace": options.namespace,
        "labels": {**OURS, **installed(options), f"{LABEL}/run": run_id}, "owner": owner,
        "token": contract.encoded(token.encode()),
    })  # fmt: skip


def runner(content: bytes, options: Options) -> str:
    """The ConfigMap with the step runner that `options` name."""
    return render("runner", {
        "name": contract.runner_name(options.runner), "namespace": options.namespace, "labels": OURS,
        "key": contract.KEY, "content": contract.encoded(content),
    })  # fmt: skip


def installation(options: Options) -> str:
    """What the namespace needs before its first run, as several documents."""
    policies = [
        {"name": "refmill-stages", "pods": _stages(network=True), "open": True, "networks": []},
        {"name": "refmill-stages-without-network", "pods": _stages(network=False), "open": False,
         "networks": list(options.networks)},
    ]  # fmt: skip
    return render("installation", {
        "namespace": options.namespace, "labels": OURS, "account": options.account,
        "executor_account": options.executor_account, "policies": policies if options.network_policy else [],
    })  # fmt: skip


def _stages(*, network: bool) -> dict[str, str]:
    return {f"{LABEL}/part": "stage", f"{LABEL}/network": "on" if network else "off"}
