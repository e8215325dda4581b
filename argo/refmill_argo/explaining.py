"""What the cluster does to a pod, in words that say what to do next. Pure.

The rule to keep: what Kubernetes says is handed on as it is, after a sentence that says what it means.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from refmill.engine import amounts, endings
from refmill.texts import Text, text
from refmill_argo.sights import PodSight, Waiting

IMAGE = frozenset({"ErrImagePull", "ImagePullBackOff", "ErrImageNeverPull", "InvalidImageName", "RegistryUnavailable",
                   "ImageInspectError"})  # fmt: skip
MAKING = frozenset({"CreateContainerConfigError", "CreateContainerError", "RunContainerError", "StartError"})
HOPELESS = frozenset({"InvalidImageName"})
"""Of the reasons for which a container waits, those that no patience helps against."""
NODE_LOST = frozenset({"NodeLost", "NodeAffinity", "Shutdown", "NodeShutdown", "Terminated"})
NODE_GONE = frozenset({"DeletionByTaintManager", "DeletionByPodGC", "TerminationByKubelet"})
MADE_ROOM = frozenset({"PreemptionByScheduler", "PreemptionByKubeScheduler"})
ASKED = frozenset({"EvictionByEvictionAPI"})
VOLUMES = ("work", "tmp")
"""Of those in workflow.yaml.j2, the ones on disk that a stage may write to; others are of a project's own template."""
SHARED_MEMORY = "shm"
_FULL = re.compile(r'EmptyDir volume "([^"]{1,63})" exceeds the limit "([^"]{1,30})"')
QUOTA = "exceeded quota"
DETAIL = 600
"""Characters of what the cluster says."""
GPU = "nvidia.com/gpu"


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a pod asks for: cores, bytes of memory, GPUs, seconds that it may run (None: any number), and bytes that it
    may write."""

    cpu: float
    memory: int
    gpu: int = 0
    seconds: int | None = None
    disk: int = 0


def delay(pod: PodSight, wanted: Wanted) -> Text | None:
    """Why a pod does not run yet; None where nothing is wrong so far."""
    if pod.over or pod.leaving:
        return None
    if pod.waiting:
        return stuck(pod.waiting[0])
    if pod.phase == "Pending" and pod.scheduling:
        return text("waits for room on the cluster: %(why)s", why=_unplaced(pod.scheduling, wanted))
    return None


def stuck(waiting: Waiting) -> Text:
    """Why a container cannot be started."""
    detail = _short(waiting.message or waiting.reason)
    if waiting.reason in IMAGE:
        return text("the image “%(image)s” cannot be pulled: %(detail)s", image=waiting.image, detail=detail)
    if waiting.reason in MAKING:
        return text("its container cannot be made: %(detail)s", detail=detail)
    return text("its container does not start: %(detail)s", detail=detail)


def postponed(message: str) -> Text:
    """Why Argo has not made a pod yet."""
    if QUOTA in message:
        return text("waits: the quota of the namespace is used up: %(detail)s", detail=_short(message))
    return text("waits for Argo to make its pod: %(detail)s", detail=_short(message))


def end(pod: PodSight, wanted: Wanted) -> Text:
    """How a pod ended whose runner did not tell."""
    if pod.cause == "OOMKilled":
        return endings.out_of_memory(wanted.memory)
    if pod.reason == "DeadlineExceeded" or pod.cause == "DeadlineExceeded":
        return text("its pod took longer than %(limit)s and was ended", limit=amounts.duration(wanted.seconds or 0))
    return moved(pod, wanted) or _exited(pod, _short(pod.message))


def said(message: str) -> Text:
    """How a pod ended of which only what Argo says of it is left."""
    if not message or "pod deleted" in message:
        return text("its pod was deleted on the cluster")
    if QUOTA in message:
        return text("the quota of the namespace is used up: %(detail)s", detail=_short(message))
    return text("Argo ended it: %(detail)s", detail=_short(message))


def replaced() -> Text:
    """How a pod ended in whose place there is another one by now."""
    return text("its pod is gone, and another one takes its place: its node was lost, or somebody deleted it")


def reason(pod: PodSight | None) -> Literal["memory", "disk", "lost"]:
    """Whether an end is the stage's own doing, which takes one of its retries; else its pod was lost."""
    if pod is None:
        return "lost"
    name, _ = _full(pod)
    return "memory" if pod.cause == "OOMKilled" or name == SHARED_MEMORY else "disk" if name else "lost"


def _full(pod: PodSight) -> tuple[str, str]:
    """The volume into which it wrote more than that may hold, and how much that is; "" if there is none."""
    found = _FULL.search(pod.message) if pod.reason == "Evicted" else None
    return (found[1], found[2]) if found else ("", "")


def _overflowed(name: str, limit: str, wanted: Wanted) -> Text:
    if name == SHARED_MEMORY:
        return endings.out_of_memory(wanted.memory)
    if name in VOLUMES:
        return endings.out_of_disk(wanted.disk)
    return text(
        "its folder “%(name)s” took more than %(limit)s and it was ended: write less, or raise the folder's sizeLimit",
        name=name, limit=limit,
    )  # fmt: skip


def moved(pod: PodSight, wanted: Wanted) -> Text | None:
    """What the cluster did to a pod; None if nothing."""
    detail = _short(pod.message)
    full, limit = _full(pod)
    if full:
        return _overflowed(full, limit, wanted)
    if pod.reason == "Evicted":
        return text("was evicted from its node: %(detail)s", detail=detail)
    if pod.reason in NODE_LOST or pod.disruption in NODE_GONE:
        return text("its node %(node)s was lost or shut down", node=pod.node or "?")
    if pod.reason.startswith("Preempt") or pod.disruption in MADE_ROOM:
        return text("its pod was ended to make room for one of higher priority")
    if pod.disruption in ASKED:
        return text("its pod was evicted on request, as when its node is drained")
    if pod.disruption:
        return text("its pod was taken from its node: %(detail)s", detail=detail or pod.disruption)
    if pod.leaving:
        return text("its pod was deleted on the cluster")
    return None


def _exited(pod: PodSight, detail: str) -> Text:
    if pod.waiting:
        return stuck(pod.waiting[0])
    if pod.code in (137, 143):
        return text("its pod was killed from outside (exit code %(code)s)", code=pod.code)
    if pod.code:
        return text("its pod ended with exit code %(code)s before it told how it went", code=pod.code)
    if detail:
        return text("its pod failed: %(detail)s", detail=detail)
    return text("its pod ended before it told how it went")


def _unplaced(message: str, wanted: Wanted) -> Text:
    """What the scheduler says, with the amount that is lacking."""
    detail = _short(message.partition(" preemption:")[0].partition(" no new claims")[0])
    if f"Insufficient {GPU}" in message:
        return text("no node has %(count)s GPU free (%(detail)s)", count=wanted.gpu, detail=detail)
    if "Insufficient memory" in message:
        return text("no node has %(size)s of memory free (%(detail)s)", size=amounts.size(wanted.memory), detail=detail)
    if "Insufficient cpu" in message:
        return text("no node has %(count)s CPU cores free (%(detail)s)", count=f"{wanted.cpu:g}", detail=detail)
    if "node affinity/selector" in message or "node selector" in message:
        return text("no node has the labels that it asks for (%(detail)s)", detail=detail)
    if "taint" in message:
        return text("the nodes have taints that it does not tolerate (%(detail)s)", detail=detail)
    return text("%(detail)s", detail=detail)


def _short(message: str) -> str:
    return re.sub(r"\s+", " ", message).strip()[:DETAIL]
