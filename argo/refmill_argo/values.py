"""Whether values that a repository's template writes are what a Workflow may have: known entirely, or not at all.

The rule to keep: no text with `{{` is right, which Argo would fill in.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Mapping
from typing import Any

from refmill.model.placement import EFFECTS, KEY, VALUE, Toleration
from refmill.quantities import quantity
from refmill_argo import contract

NAME = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?", re.ASCII)
CLOSED = (
    contract.FOLDER, contract.WORK, "/argo", "/dev", "/etc", "/proc", "/run", "/sys", "/tmp", "/var/run",  # noqa: S108
)  # fmt: skip
"""Where nothing is mounted: our own volumes, Argo's, the kernel's, and where tokens of service accounts would lie."""
ITEMS = 32
"""Arguments, or variables, of one container."""
_IMAGE = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9._/:@-]{0,254}", re.ASCII)
_VARIABLE = re.compile(r"(?!ARGO_)[A-Za-z_][A-Za-z0-9_]{0,127}", re.ASCII)
_TAKEN = ("argo", "exec-", "init", "input-", "kube", "main", "fetch", "store", "var-run", "wait")
"""How names of containers and volumes begin that are Argo's, Kubernetes' or ours."""


def whole(value: Any) -> bool:
    """A whole number."""
    return isinstance(value, int) and not isinstance(value, bool)


def plain(value: Any) -> bool:
    """A text in which Argo finds nothing to fill in."""
    return isinstance(value, str) and "{{" not in value and "\0" not in value


def image(value: Any) -> bool:
    """The name of an image."""
    return isinstance(value, str) and _IMAGE.fullmatch(value) is not None and ".." not in value


def texts(items: Any) -> bool:
    """A list of them, of some length."""
    return isinstance(items, list) and len(items) <= ITEMS and all(map(plain, items))


def variables(items: Any) -> bool:
    """Variables with values that are written out."""
    return (
        isinstance(items, list) and len(items) <= ITEMS
        and all(
            isinstance(item, dict) and item.keys() == {"name", "value"} and plain(item["value"])
            and isinstance(item["name"], str) and _VARIABLE.fullmatch(item["name"])
            for item in items
        )
    )  # fmt: skip


def amount(value: Any) -> float | None:
    """What Kubernetes takes as an amount; None for anything else."""
    if isinstance(value, bool) or not isinstance(value, str | int) or len(str(value)) > 30:
        return None
    try:
        return float(quantity(value))
    except (ValueError, OverflowError):
        return None


def empty_folder(volume: Mapping[str, Any]) -> int | None:
    """The bytes of a volume that is an empty folder; None for any other one."""
    folder = volume.get("emptyDir")
    if volume.keys() != {"name", "emptyDir"} or not isinstance(folder, dict):
        return None
    size = amount(folder.get("sizeLimit"))
    if not folder.keys() <= {"sizeLimit", "medium"} or folder.get("medium", "") not in ("", "Memory"):
        return None
    return int(size) if size is not None and size >= 1 else None


def free(name: str) -> bool:
    """Whether a container or a volume may be called so."""
    return NAME.fullmatch(name) is not None and not name.startswith(_TAKEN)


def may_mount(place: Any) -> bool:
    """Whether something may be mounted there."""
    if not plain(place) or not place.startswith("/") or posixpath.normpath(place) != place or place.startswith("//"):
        return False
    closed = place == "/" or ":" in place or len(place) > 200
    return not closed and not any(_lies_in(place, folder) or _lies_in(folder, place) for folder in CLOSED)


def _lies_in(inner: str, outer: str) -> bool:
    return inner == outer or inner.startswith(f"{outer}/")


def toleration(item: Any) -> Toleration | None:
    """A toleration of one taint; None for anything else, such as one of all taints."""
    if not isinstance(item, dict) or not item.keys() <= {"key", "operator", "value", "effect"}:
        return None
    key, value, effect = item.get("key"), item.get("value", ""), item.get("effect", "")
    operator = item.get("operator", "Equal")
    right = isinstance(key, str) and KEY.fullmatch(key) and isinstance(value, str) and VALUE.fullmatch(value)
    if not right or effect not in EFFECTS or operator not in ("Equal", "Exists") or (operator == "Exists" and value):
        return None
    return Toleration(str(key), value, effect, operator == "Exists")
