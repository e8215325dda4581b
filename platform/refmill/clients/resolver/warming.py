"""A small project in memory that uses every part of the reader once, and the tree that holds it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping

from refmill import errors
from refmill.ports.trees import Entry
from refmill.texts import text

SAMPLE: Mapping[str, bytes] = {
    ".dvc/config": b"[core]\n",
    "params.yaml": b"train: {lr: 0.1, layers: [1, 2]}\nmodels: [a, b]\n",
    "more.toml": b"seed = 1\n",
    "more.json": b'{"depth": 3}',
    "data.csv.dvc": b"outs:\n- md5: d41d8cd98f00b204e9800998ecf8427e\n  size: 0\n  hash: md5\n  path: data.csv\n",
    "dvc.yaml": b"""\
vars: [more.toml, {name: x}]
stages:
  prepare:
    cmd: echo ${name} ${train.layers[0]}
    deps: [data.csv, nothing]
    params: [train.lr, lost.key, {more.json: [depth]}]
    outs: [clean, {other: {cache: false}}]
  train:
    foreach: ${models}
    do: {cmd: "echo ${item}", deps: [clean], metrics: ["${item}.json"]}
  grid:
    matrix: {a: [1, 2], b: "${models}"}
    cmd: echo ${item.a} ${unknown}
  wrong: {comand: x}
plots: [clean/loss.csv]
""",
    "dvc.lock": b"schema: '2.0'\nstages:\n  prepare:\n    cmd: echo x 1\n",
    "refmill.yaml": b"""\
apiVersion: refmill/v1
kind: Pipeline
metadata: {name: sample}
spec: {resources: {cpu: 500m, memory: 1Gi}, stages: {tran: {retries: 1}}}
""",
}


class MemoryTree:
    """The `Tree` port over a mapping of paths to bytes."""

    def __init__(self, files: Mapping[str, bytes]) -> None:
        self._files = dict(files)

    def entry(self, path: str) -> Entry | None:
        """As in the port."""
        if path in self._files:
            return Entry("file", size=len(self._files[path]))
        below = f"{path}/" if path else ""
        return Entry("directory") if not path or any(name.startswith(below) for name in self._files) else None

    def read(self, path: str, limit: int = 64 << 20) -> bytes:
        """As in the port."""
        if path not in self._files:
            raise errors.NotFound(text("There is no %(path)s", path=path))
        if len(self._files[path]) > limit:
            raise errors.LimitExceeded(text("%(path)s is larger than %(limit)s bytes", path=path, limit=limit))
        return self._files[path]

    def children(self, path: str) -> dict[str, Entry]:
        """As in the port."""
        below = f"{path}/" if path else ""
        names = {name[len(below) :].partition("/")[0] for name in self._files if name.startswith(below)}
        return {name: entry for name in sorted(names) if (entry := self.entry(below + name))}

    def walk(self, path: str = "") -> Iterator[tuple[str, Entry]]:
        """As in the port."""
        below = f"{path}/" if path else ""
        for name in sorted(self._files):
            if name.startswith(below):
                yield name, Entry("file", size=len(self._files[name]))

    def target(self, path: str) -> str:
        """As in the port; there are no links."""
        raise errors.NotFound(text("There is no %(path)s", path=path))

    def md5(self, path: str) -> tuple[str, int]:
        """As in the port."""
        data = self.read(path)
        return hashlib.md5(data, usedforsecurity=False).hexdigest(), len(data)
