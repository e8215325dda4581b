"""Files of metrics and parameters as tables show them: which ones a dvc.yaml names, and the values in them.

Hundreds of commits stand in one table, so nothing is resolved here: templates in the paths of a dvc.yaml are held
against the paths in its dvc.lock, which have their final form.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any, TypeAlias

from refmill.formats import blockyaml, lockfile, params, yamlfile
from refmill.formats.hashing import FileHash

Value: TypeAlias = str | int | float | bool | None

VALUES = 500
"""Values of one file; a table has no room for more."""
_LOOKED_AT = 5000
_WORD = 300
"""Characters of a name or a value: a longer one is cut."""
_YAML_BYTES = 128 << 10
"""ruamel reads some 0.3 MB a second."""
_DEPTH = 8
_DEFAULT_PARAMS = "params.yaml"
_TEMPLATE = re.compile(r"\$\{[^}]*\}")
_COMMENT = re.compile(r"(?:^|[ \t]+)#.*$", re.MULTILINE)
_PLAIN_LINE = re.compile(r" *(?:- |-$|(?:- )*[^\s:#]+:(?: |$))")


@dataclass(frozen=True, slots=True)
class Metric:
    """A metrics file that a dvc.yaml names: the stage before any `@` ("" at the top level), its wdir, the path."""

    stage: str
    wdir: str
    path: str

    @property
    def fixed(self) -> bool:
        """Whether no template stands in it."""
        return "${" not in self.path and "${" not in self.wdir


@dataclass(frozen=True, slots=True)
class Declared:
    """What a dvc.yaml names; paths of `params` are relative to it."""

    metrics: tuple[Metric, ...] = ()
    params: tuple[str, ...] = ()


def declared(data: bytes, file: str) -> Declared:
    """The files of metrics and parameters in a dvc.yaml. Raises Invalid for what is no YAML; odd parts are skipped."""
    whole = _yaml(data, file)
    if not isinstance(whole, Mapping):
        return Declared()
    metrics = [Metric("", "", path) for path in _paths(whole.get("metrics"))]
    files = [_DEFAULT_PARAMS, *_paths(whole.get("params"))]
    stages = whole.get("stages")
    for name, body in stages.items() if isinstance(stages, Mapping) else ():
        if isinstance(body, Mapping) and isinstance(body.get("do"), Mapping):
            body = body["do"]
        if not isinstance(body, Mapping):
            continue
        wdir = str(body.get("wdir") or "")
        metrics += [Metric(str(name), wdir, path) for path in _paths(body.get("metrics"))]
        for item in body["params"] if isinstance(body.get("params"), list) else ():
            files += [posixpath.join(wdir, str(path)) for path in item] if isinstance(item, Mapping) else []
    fixed = dict.fromkeys(posixpath.normpath(path) for path in files if "${" not in path)
    return Declared(tuple(dict.fromkeys(metrics)), tuple(fixed))


def _paths(value: Any) -> Iterator[str]:
    """Paths in a list of `path` and `path: {…}`, or the only one."""
    for item in value if isinstance(value, list) else [value]:
        if isinstance(item, str):
            yield item
        elif isinstance(item, Mapping):
            yield from (str(path) for path in item)


def outputs(lock: Mapping[str, Any], metric: Metric) -> Iterator[tuple[str, str]]:
    """Path relative to the dvc.yaml and name in the store of the outputs that `metric` stands for in a lock."""
    if "${" in metric.wdir:
        return
    pieces = _TEMPLATE.split(metric.path)
    pattern = re.compile(".*".join(re.escape(piece) for piece in pieces))
    for name, entry in lock.items():
        if name.partition("@")[0] != metric.stage or not isinstance(entry, Mapping):
            continue
        for out in entry.get("outs") or ():
            path = str(out.get("path", "")) if isinstance(out, Mapping) else ""
            if path and pattern.fullmatch(path):
                md5 = FileHash.of(out).md5 if isinstance(out.get("md5"), str) else ""
                yield posixpath.normpath(posixpath.join(metric.wdir, path)), md5


def locked(data: bytes, file: str, metrics: Iterable[Metric]) -> Mapping[str, Any]:
    """The entries of a dvc.lock in which outputs for `metrics` may stand. Raises Invalid."""
    return lockfile.groups(data, file, {metric.stage for metric in metrics}, max_bytes=_YAML_BYTES)


def values(data: bytes, file: str) -> dict[str, Value]:
    """Every number, word and truth value in a file under its dotted name. Raises Invalid for what cannot be read."""
    plain = not file.lower().endswith((".json", ".toml", ".py"))
    whole = _yaml(data, file) if plain else params.load(data, file)
    found: dict[str, Value] = {}
    for name, value in islice(leaves(whole), _LOOKED_AT):
        if isinstance(value, str):
            value = value[:_WORD]
        elif isinstance(value, int) and not isinstance(value, bool) and value.bit_length() > 1000:
            continue  # no table shows it, and Python refuses to write out much longer ones
        if len(found) < VALUES and len(name) <= _WORD and isinstance(value, str | int | float | None):
            found[name or posixpath.basename(file)] = value
    return found


def leaves(value: Any, prefix: str = "", depth: int = 0) -> Iterator[tuple[str, Any]]:
    """Each leaf of nested mappings under its dotted name; lists stay whole."""
    if isinstance(value, Mapping) and depth < _DEPTH:
        for key, inner in value.items():
            yield from leaves(inner, f"{prefix}.{key}" if prefix else str(key), depth + 1)
    else:
        yield prefix, value


def _yaml(data: bytes, file: str) -> Any:
    quick = _quick(data)
    return yamlfile.load(data, file, max_bytes=_YAML_BYTES) if quick is None else quick


def _quick(data: bytes) -> Any:
    """Plain block YAML without its comments, if that is all there is; else None.

    Where nothing is quoted and no text goes over several lines, ` #` begins a comment wherever it stands.
    """
    if len(data) > _YAML_BYTES or any(mark in data for mark in (b'"', b"'", b"|", b">", b"\t", b"\r")):
        return None
    try:
        source = _COMMENT.sub("", data.decode("utf-8"))
    except UnicodeDecodeError:
        return None
    lines = [line.rstrip(" ") for line in source.split("\n") if line.strip(" ")]
    if not all(_PLAIN_LINE.match(line) for line in lines):
        return None
    return blockyaml.parse("\n".join(lines) + "\n")
