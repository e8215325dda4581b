"""What the operator's settings say about runs on a cluster."""

from __future__ import annotations

from dataclasses import dataclass, field

from refmill.model.placement import Allowed
from refmill.quantities import quantity
from refmill.settings import Settings


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """The cluster as runs find it; each as the setting `argo_…` of its name. `cpu` (cores) and `memory` (bytes) are
    what a stage gets that asks for none, `disk` (bytes) is what it may write; `runner` is the digest of the step
    runner; `installation` tells this platform's objects from those of others in the namespace ("" where nothing is made
    there)."""

    server: str
    runner: str
    namespace: str = "refmill"
    image: str = "python:3.12-slim"
    pull: str = "IfNotPresent"
    pull_secrets: tuple[str, ...] = ()
    account: str = "refmill-stage"
    executor_account: str = "refmill-executor"
    user: int = 8737
    allowed: Allowed = field(default_factory=Allowed)
    ttl: int = 86400
    pods: str = "OnPodSuccess"
    parallelism: int = 50
    restarts: int = 2
    network_policy: bool = True
    networks: tuple[str, ...] = ()
    cpu: float = 1.0
    memory: int = 2 << 30
    disk: int = 100 << 30
    installation: str = ""


def allowed(settings: Settings) -> Allowed:
    """What projects may ask of the cluster."""
    return Allowed(
        nodes=settings.listed("argo_nodes"),
        taints=settings.listed("argo_taints"),
        priority_classes=settings.listed("argo_priority_classes"),
        without_python=settings.listed("argo_without_python"),
        without_shell=settings.listed("argo_without_shell"),
        pod_labels=settings.listed("argo_pod_labels"),
        pod_annotations=settings.listed("argo_pod_annotations"),
        sidecars=settings.listed("argo_sidecars"),
    )


def options(settings: Settings, runner: str, installation: str = "") -> Options:
    """The options that `settings` come to; `runner` is the digest of the step runner."""
    local = f"http://{settings.host}:{settings.port}"
    return Options(
        server=settings.argo_pods_url or settings.url or local,
        runner=runner,
        namespace=settings.argo_namespace,
        image=settings.argo_image,
        pull=settings.argo_pull,
        pull_secrets=settings.listed("argo_pull_secrets"),
        account=settings.argo_account,
        executor_account=settings.argo_executor_account,
        user=settings.argo_user,
        allowed=allowed(settings),
        ttl=settings.argo_ttl,
        pods=settings.argo_pods,
        parallelism=settings.argo_parallelism,
        restarts=settings.argo_restarts,
        network_policy=settings.argo_network_policy,
        networks=settings.listed("argo_networks"),
        cpu=settings.stage_cpus,
        memory=int(quantity(settings.stage_memory)),
        disk=int(quantity(settings.stage_disk)),
        installation=installation,
    )
