"""Metrics and parameters of a run beside those of an earlier one."""

from __future__ import annotations

import json
import math
import tomllib
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from refmill import errors
from refmill.formats import yamlfile
from refmill.formats.hashing import FileHash
from refmill.formats.measures import leaves
from refmill.model.pipelines import LockEntry
from refmill.model.plans import Plan
from refmill.model.runs import Run, StageRun
from refmill.ports.objects import Objects
from refmill.ports.trees import Tree
from refmill_web import underway
from refmill_web.services import services

FILE_LIMIT = 256 << 10
VALUES_LIMIT = 500
MATRIX_COLUMNS = 6
LESS_IS_BETTER = ("loss", "error", "rmse", "mse", "mae", "mape", "perplexity", "latency", "seconds", "time", "logloss")


@dataclass(frozen=True, slots=True)
class Change:
    """A value now and before; `better` only where both are numbers and the name tells which way is up."""

    file: str
    name: str
    new: Any
    old: Any
    known: bool
    better: Literal["better", "worse", ""] = ""

    @property
    def changed(self) -> bool:
        """Whether there was an earlier value and it is another one."""
        return self.known and self.new != self.old

    @property
    def delta(self) -> float | None:
        """How much a number grew."""
        if not (self.known and _is_number(self.new) and _is_number(self.old)):
            return None
        found = float(self.new) - float(self.old)
        return found if math.isfinite(found) else None


def parse(path: str, data: bytes) -> Any:
    """A metrics file's content: JSON, YAML or TOML by its name. Raises Invalid where it is none."""
    if path.endswith((".yaml", ".yml")):
        return yamlfile.load(data, path)
    try:
        if path.endswith(".toml"):
            return tomllib.loads(data.decode("utf-8"))
        return json.loads(data)
    except (ValueError, RecursionError):
        return None


def metrics(run: Run, plan: Plan, course: Collection[StageRun]) -> dict[tuple[str, str], Any]:
    """(file, name) → value of all that `metrics:` names: finished stages' outputs, what running ones have written by
    now, and the commit's files that no stage writes. What a stage of this run has not made (yet) is left out: the
    commit has that of an earlier run."""
    outs = outputs(plan, course)
    growing = underway.metrics(run, plan, course)
    objects = services().objects(run.repository_id)
    try:
        tree = services().repositories.tree(run.repository_id, _held(run), project=run.project)
    except errors.NotFound:  # its branch was rewritten, and git has dropped the old commits
        tree = None
    found: dict[tuple[str, str], Any] = {}
    written = {out.root for item in plan.stages for out in item.stage.outs}
    for path in plan.pipeline.metrics:
        data = growing.get(path)
        if data is None and (path not in written or path in outs):
            data = _content(path, outs, objects, tree)
        if data is None or len(data) > FILE_LIMIT:
            continue
        try:
            parsed = parse(path, data)
        except errors.RefmillError:
            continue
        for name, value in leaves(parsed):
            if len(found) < VALUES_LIMIT and isinstance(value, str | int | float | None):
                found[path, name] = value
    return found


def _held(run: Run) -> str:
    """The commit that has a run's files: one with other parameters goes some time after the run."""
    try:
        return services().refs.commit(run.repository_id, run.source).sha
    except errors.NotFound:
        return run.commit


def outputs(plan: Plan, course: Iterable[StageRun]) -> dict[str, dict[str, Any]]:
    """Root path → {md5, size, nfiles, stage} of every output that is known by now."""
    entries: dict[str, LockEntry] = {item.stage.address: item.entry for item in plan.stages if item.verdict == "cached"}
    entries |= {stage.address: stage.entry for stage in course if stage.entry}
    found: dict[str, dict[str, Any]] = {}
    for item in plan.stages:
        stated = {out.path: out for out in item.stage.outs}
        for out in entries.get(item.stage.address, {}).get("outs", ()):
            declared = stated.get(str(out.get("path")))
            if declared is not None:
                found[declared.root] = {
                    **out,
                    "stage": item.stage.address,
                    "cache": declared.cache,
                    "kind": declared.kind,
                }
    return found


def _content(path: str, outs: Mapping[str, Mapping[str, Any]], objects: Objects, tree: Tree | None) -> bytes | None:
    try:
        out = outs.get(path)
        if out is not None and out.get("md5"):
            return objects.read(FileHash.of(out).md5, FILE_LIMIT)
        return tree.read(path, FILE_LIMIT) if tree is not None else None
    except (errors.NotFound, errors.LimitExceeded, errors.Damaged):
        return None


def parameters(plan: Plan, course: Iterable[StageRun]) -> dict[tuple[str, str], Any]:
    """(file, dotted key) → value of every parameter that a stage reads."""
    entries = [item.entry for item in plan.stages] + [stage.entry for stage in course if stage.entry]
    found: dict[tuple[str, str], Any] = {}
    for entry in entries:
        for file, values in (entry.get("params") or {}).items():
            for key, value in values.items() if isinstance(values, Mapping) else ():
                for name, leaf in leaves(value, str(key)):
                    if len(found) < VALUES_LIMIT:
                        found[str(file), name] = leaf
    return found


def compare(new: Mapping[tuple[str, str], Any], old: Mapping[tuple[str, str], Any] | None) -> list[Change]:
    """Values side by side, in the order of the new ones."""
    return [_change(file, name, value, old) for (file, name), value in new.items()]


def _change(file: str, name: str, value: Any, old: Mapping[tuple[str, str], Any] | None) -> Change:
    known = old is not None and (file, name) in old
    before = old[file, name] if old is not None and known else None
    better: Literal["better", "worse", ""] = ""
    if known and _is_number(value) and _is_number(before) and value != before:
        down = any(word in name.lower() for word in LESS_IS_BETTER)
        better = "better" if (value < before) == down else "worse"
    return Change(file, name, value, before, known, better)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


@dataclass(frozen=True, slots=True)
class Block:
    """The values of one file: as a `matrix` (a row for each thing measured, a column for each measure) where several
    rows have the same columns, else as a list of `rows`."""

    file: str
    rows: tuple[Change, ...]
    columns: tuple[str, ...] = ()
    matrix: tuple[tuple[str, tuple[Change, ...]], ...] = ()


def blocks(changes: Sequence[Change]) -> tuple[Block, ...]:
    """Values by file, each in its best form."""
    files: dict[str, list[Change]] = {}
    for change in changes:
        files.setdefault(change.file, []).append(change)
    return tuple(_block(file, rows) for file, rows in files.items())


def _block(file: str, rows: Sequence[Change]) -> Block:
    groups: dict[str, dict[str, Change]] = {}
    for row in rows:
        prefix, _, leaf = row.name.rpartition(".")
        groups.setdefault(prefix, {})[leaf] = row
    shapes = Counter(tuple(sorted(group)) for prefix, group in groups.items() if prefix)
    shape, count = shapes.most_common(1)[0] if shapes else ((), 0)
    if count < 2 or len(shape) > MATRIX_COLUMNS:
        return Block(file, tuple(rows))
    alike = {prefix: group for prefix, group in groups.items() if prefix and tuple(sorted(group)) == shape}
    columns = tuple(next(iter(alike.values())))
    matrix = tuple((prefix, tuple(group[column] for column in columns)) for prefix, group in alike.items())
    rest = tuple(row for prefix, group in groups.items() if prefix not in alike for row in group.values())
    return Block(file, rest, columns, matrix)
