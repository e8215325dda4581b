"""A DVC project as resolved at one commit: stages, tracked data, and who needs whose output.

The rule to keep: two spellings of a path live side by side. `path` is what stands in dvc.yaml and goes into dvc.lock
(relative to the stage's wdir); `root` is the same place seen from the project's root, and is what everything else uses.
Both use "/" and neither is ever absolute or leaves the project (validation refuses that).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

from refmill.problems import Place

OutputKind: TypeAlias = Literal["out", "metric", "plot"]
LockEntry: TypeAlias = dict[str, Any]
"""A stage's entry in dvc.lock exactly as DVC writes it: cmd, deps, params, outs, in that order of keys."""


def by_path(entry: LockEntry | None, part: Literal["deps", "outs"] = "outs") -> dict[str, Mapping[str, Any]]:
    """What an entry records of outputs or dependencies, by path as dvc.yaml has it; nothing where there is no entry."""
    return {item["path"]: item for item in (entry or {}).get(part, ())}


@dataclass(frozen=True, slots=True)
class Dependency:
    """A file or directory that a stage reads."""

    path: str
    root: str


@dataclass(frozen=True, slots=True)
class ParamsDependency:
    """Keys of a parameter file that a stage reads; no keys = the whole file."""

    path: str
    root: str
    keys: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class DatasetDependency:
    """A dataset `ds://name` that a stage reads, and its version (see `formats.datasets`), None if it is not known."""

    path: str
    version: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Output:
    """A file or directory that a stage writes. `cache: false` outputs live in git instead of the cache."""

    path: str
    root: str
    kind: OutputKind = "out"
    cache: bool = True
    persist: bool = False
    push: bool = True
    remote: str | None = None


@dataclass(frozen=True, slots=True)
class Stage:
    """One stage of a dvc.yaml after templating: a `train` with `foreach` becomes `train@rf`, `train@gb`, …"""

    name: str
    file: str
    wdir: str
    cmd: str | tuple[str, ...]
    deps: tuple[Dependency, ...] = ()
    params: tuple[ParamsDependency, ...] = ()
    datasets: tuple[DatasetDependency, ...] = ()
    outs: tuple[Output, ...] = ()
    frozen: bool = False
    always_changed: bool = False
    desc: str = ""
    meta: Any = None
    place: Place | None = None

    @property
    def address(self) -> str:
        """The stage's name as `dvc repro` takes it: bare in the root dvc.yaml, else `dir/dvc.yaml:name`."""
        return self.name if self.file == "dvc.yaml" else f"{self.file}:{self.name}"

    @property
    def group(self) -> str:
        """The name before `@`: what was written in dvc.yaml."""
        return self.name.partition("@")[0]

    @property
    def commands(self) -> tuple[str, ...]:
        """The lines that a shell is given one after another, as dvc.stage.run does."""
        return tuple(self.cmd.splitlines()) if isinstance(self.cmd, str) else self.cmd


@dataclass(frozen=True, slots=True)
class DataOutput:
    """What a .dvc file tracks: where, and which object (md5; ends in `.dir` for a directory, and begins with
    `hashing.OLD` if DVC 2 wrote the file)."""

    path: str
    root: str
    md5: str
    size: int | None = None
    nfiles: int | None = None
    isexec: bool = False
    cache: bool = True


@dataclass(frozen=True, slots=True)
class RepositoryImport:
    """Where `dvc import` took it from: a git URL, the path there, the rev asked for and the commit it was."""

    url: str
    path: str
    rev: str | None
    rev_lock: str | None


@dataclass(frozen=True, slots=True)
class DataFile:
    """A .dvc file: data under version control, from `dvc add`, `dvc import` or `dvc import-url`."""

    file: str
    outs: tuple[DataOutput, ...]
    source: RepositoryImport | None = None
    frozen: bool = False
    desc: str = ""

    @property
    def address(self) -> str:
        """The .dvc file's own path, as `dvc repro` takes it."""
        return self.file


@dataclass(frozen=True, slots=True)
class Pipeline:
    """All that a project declares at one commit.

    `order` holds the addresses of stages and .dvc files as DVC would execute them (dfs post-order of its graph);
    `upstream` tells for each address which addresses write what it reads. `metrics`, `plots` and `params` are the
    paths of top-level lists of dvc.yaml plus those of the stages, seen from the root. `lock` maps an address to the
    committed entry of dvc.lock.
    """

    stages: Mapping[str, Stage] = field(default_factory=dict)
    data: Mapping[str, DataFile] = field(default_factory=dict)
    order: tuple[str, ...] = ()
    upstream: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    metrics: tuple[str, ...] = ()
    plots: tuple[Any, ...] = ()
    params: tuple[str, ...] = ()
    artifacts: Mapping[str, Any] = field(default_factory=dict)
    lock: Mapping[str, LockEntry] = field(default_factory=dict)
