"""Where on a cluster a stage may run: what a project asks for, and what the operator lets it have."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias

Effect: TypeAlias = Literal["", "NoSchedule", "PreferNoSchedule", "NoExecute"]
EFFECTS: tuple[Effect, ...] = ("", "NoSchedule", "PreferNoSchedule", "NoExecute")
PLATFORM, CLUSTER = ("refmill.dev", "argoproj.io"), ("kubernetes.io", "k8s.io")
"""Domains of labels and annotations by which we and Argo know our own, and those that steer Kubernetes itself."""
KEY = re.compile(r"([a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?", re.ASCII)
VALUE = re.compile(r"([A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?", re.ASCII)
"""What Kubernetes takes as the key and the value of a label or a taint; no brace and no quote is among it."""
_HUB = re.compile(r"^(docker\.io/)?(library/)?")


@dataclass(frozen=True, slots=True, order=True)
class Toleration:
    """A taint of nodes that a stage does not mind; `value` "" with `exists`, `effect` "" for all of them."""

    key: str
    value: str = ""
    effect: Effect = ""
    exists: bool = False

    def __str__(self) -> str:
        written = self.key if self.exists else f"{self.key}={self.value}"
        return f"{written}:{self.effect}" if self.effect else written


@dataclass(frozen=True, slots=True)
class Allowed:
    """What projects may ask of the cluster. Each is a list of globs: of `key=value` for nodes, of `key=value:effect`
    for taints, of names for priority classes; of `key=value` for the labels and annotations that templates may give
    pods, of images for their sidecars. `without_python` and `without_shell` are globs over images that are known to
    lack one or both."""

    nodes: tuple[str, ...] = ()
    taints: tuple[str, ...] = ()
    priority_classes: tuple[str, ...] = ()
    without_python: tuple[str, ...] = ()
    without_shell: tuple[str, ...] = ()
    pod_labels: tuple[str, ...] = ()
    pod_annotations: tuple[str, ...] = ()
    sidecars: tuple[str, ...] = ()

    def node(self, key: str, value: str) -> bool:
        """Whether stages may choose nodes with this label."""
        return _matches(f"{key}={value}", self.nodes)

    def taint(self, toleration: Toleration) -> bool:
        """Whether stages may run on nodes with this taint."""
        return _matches(str(toleration), self.taints)

    def priority_class(self, name: str) -> bool:
        """Whether stages may have this priority class."""
        return _matches(name, self.priority_classes)

    def pod_label(self, key: str, value: str) -> bool:
        """Whether a template may give this label to pods."""
        return _marks(key, value, self.pod_labels)

    def pod_annotation(self, key: str, value: str) -> bool:
        """Whether a template may give this annotation to pods."""
        return _marks(key, value, self.pod_annotations)

    def sidecar(self, image: str) -> bool:
        """Whether a template may let this image run beside a stage."""
        return _matches(image, self.sidecars)

    def has_python(self, image: str) -> bool:
        """Whether `image` is taken for one with Python 3.8 or newer."""
        return self.has_shell(image) and not _matches(_short(image), self.without_python)

    def has_shell(self, image: str) -> bool:
        """Whether `image` is taken for one with /bin/sh."""
        return not _matches(_short(image), self.without_shell)


def domain(key: str, domains: Iterable[str]) -> bool:
    """Whether the key of a label or an annotation lies in one of `domains`."""
    prefix, slash, _ = key.partition("/")
    return bool(slash) and any(prefix == each or prefix.endswith(f".{each}") for each in domains)


def written(selector: Mapping[str, str]) -> list[str]:
    """The labels of a node selector as an allow-list has them."""
    return [f"{key}={value}" for key, value in selector.items()]


def _marks(key: str, value: str, globs: Iterable[str]) -> bool:
    """Nothing opens our own domains; Kubernetes' are opened by a key that is written out, not by one with `*`."""
    if domain(key, PLATFORM):
        return False
    if domain(key, CLUSTER):
        globs = [glob for glob in globs if glob.partition("=")[0] == key]
    return _matches(f"{key}={value}", globs)


def _short(image: str) -> str:
    """An image's name without its tag, its digest, and the registry that is meant where none is named."""
    name = _HUB.sub("", image.partition("@")[0])
    folder, slash, last = name.rpartition("/")
    return folder + slash + last.partition(":")[0]


def _matches(name: str, globs: Iterable[str]) -> bool:
    """`*` stands for anything; no other character means anything but itself."""
    return any(re.fullmatch(".*".join(map(re.escape, glob.split("*"))), name, re.DOTALL) for glob in globs)
