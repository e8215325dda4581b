"""`datasets` of dvc.yaml and dvc.lock, which stages depend on as `ds://name` (dvc.repo.datasets).

dvc.yaml says where a dataset comes from, the `datasets` of dvc.lock which version was taken last (`dvc dataset
update`), and a stage's entry which version it ran with. The last two are compared; nothing is fetched here.
"""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from typing import Any

_TYPES = ("dvc", "dc", "url")
_META = (
    "isdir", "size", "nfiles", "isexec", "version_id", "etag", "checksum", "md5", "inode", "mtime", "remote", "is_link",
    "destination", "nlink",
)  # fmt: skip
_DEFAULTS: Mapping[str, Any] = {"isdir": False, "isexec": False, "is_link": False, "nlink": 1}
_SAME = {"remote", "is_link", "destination", "nlink"}
"""Keys of which DVC says that they make no difference."""


def specification(value: Mapping[str, Any]) -> dict[str, Any]:
    """Where a dataset comes from, in DVC's order of keys. Raises ValueError for what DVC does not take."""
    kind = value.get("type")
    if kind not in _TYPES:
        raise ValueError(f"type is none of {', '.join(_TYPES)}")
    found = {key: _text(value, key) for key in ("name", "url", "type")}
    if kind == "dvc":
        found |= {key: _text(value, key) for key in ("path", "rev") if value.get(key) not in (None, "")}
    return found


def version(value: Mapping[str, Any]) -> dict[str, Any]:
    """Which version was taken, as DVC writes it into a stage's entry. Raises ValueError for what DVC does not take."""
    found = specification(value)
    if found["type"] == "dvc":
        return found | {"rev_lock": _text(value, "rev_lock")}
    if found["type"] == "dc":
        made = value.get("created_at")
        if isinstance(made, str):
            made = datetime.datetime.fromisoformat(made)
        if not isinstance(made, datetime.datetime) or not isinstance(value.get("version"), int):
            raise ValueError("version or created_at is missing")
        return found | {"version": value["version"], "created_at": made.isoformat()}
    found["meta"] = _meta(value.get("meta"))
    listed = value.get("files", [])
    if not isinstance(listed, list) or not all(isinstance(file, dict) for file in listed):
        raise ValueError("files is no list")
    files = [{"relpath": _text(file, "relpath"), "meta": _meta(file.get("meta"))} for file in listed]
    return found | ({"files": sorted(files, key=lambda file: str(file["relpath"]))} if files else {})


def in_step(spec: Mapping[str, Any], taken: Mapping[str, Any]) -> bool:
    """Whether the version `taken` is one of what `spec` names; both as the functions above give them."""
    return all(taken.get(key) == spec.get(key) for key in ("name", "url", "type", "path", "rev"))


def same(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Whether two versions are the same one for DVC."""
    return bool(_compared(dict(one)) == _compared(dict(other)))


def _compared(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _compared(item) for key, item in value.items() if key not in _SAME}
    return [_compared(item) for item in value] if isinstance(value, list) else value


def _text(value: Mapping[str, Any], key: str) -> str:
    found = value.get(key)
    if not isinstance(found, str):
        raise ValueError(f"{key} is no text")
    return found


def _meta(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ValueError("meta is no mapping")
    return {key: value[key] for key in _META if key in value and value[key] != _DEFAULTS.get(key)}
