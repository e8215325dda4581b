"""The table of experiments: which columns it has, what stands in each cell, in what order the rows come."""

from __future__ import annotations

import math
import shlex
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from refmill.formats.measures import Value
from refmill.model.runs import Run
from refmill.ports.experiments import Experiment, Values

COLUMNS = 12
"""Metrics, and as many parameters: more than that nobody reads in a row; an experiment's own page has all."""
Part: TypeAlias = Literal["params", "metrics"]
PARTS: tuple[Part, Part] = ("params", "metrics")
NONE = Values()


@dataclass(frozen=True, slots=True)
class Column:
    """A metric or a parameter. `plain` is set where no other column has its name: then the file need not be shown."""

    part: Part
    file: str
    name: str
    plain: bool = True

    @property
    def key(self) -> str:
        """How the address names it."""
        return f"{self.file}:{self.name}"


@dataclass(frozen=True, slots=True)
class Cell:
    """A value here and in the baseline; None with `known` False stands for nothing there."""

    new: Value = None
    old: Value = None
    known: bool = False
    old_known: bool = False

    @property
    def changed(self) -> bool:
        """Whether it is another value than the baseline's."""
        return self.known and self.old_known and not same(self.new, self.old)

    @property
    def added(self) -> bool:
        """Whether the baseline lacks it."""
        return self.known and not self.old_known


@dataclass(frozen=True, slots=True)
class Row:
    """An experiment with its run, if one of ours made it. `values` is None where there was no time to read them."""

    experiment: Experiment
    run: Run | None
    values: Values | None
    before: Values | None

    @property
    def who(self) -> str:
        """Who pushed the run's commit, or who wrote the experiment."""
        return self.run.created_by if self.run else self.experiment.commit.author

    def cell(self, column: Column) -> Cell:
        """What stands in a column."""
        new, old = (part_of(values or NONE, column.part).get(column.file, {}) for values in (self.values, self.before))
        name = column.name
        return Cell(new.get(name), old.get(name), name in new, name in old)

    def says(self, words: str) -> bool:
        """Whether each of the words stands in its name, its author, its baseline's subject or begins a hash of it."""
        commit, baseline = self.experiment.commit, self.experiment.baseline
        text = "\n".join((self.experiment.name, self.who, baseline.subject if baseline else "")).casefold()
        hashes = (self.experiment.baseline_sha, commit.sha)
        return all(word in text or any(sha.startswith(word) for sha in hashes) for word in words.casefold().split())


@dataclass(frozen=True, slots=True)
class Columns:
    """The columns of a table; `left_out` counts those for which there is no room."""

    params: tuple[Column, ...] = ()
    metrics: tuple[Column, ...] = ()
    left_out: int = 0

    @property
    def all(self) -> tuple[Column, ...]:
        """Parameters, then metrics."""
        return self.params + self.metrics


def same(one: Value, other: Value) -> bool:
    """Whether two values are the same one; a NaN is like another NaN."""
    return one == other or (one != one and other != other)  # noqa: PLR0124 - that is what NaN is


def part_of(values: Values, part: Part) -> Mapping[str, Mapping[str, Value]]:
    """The parameters or the metrics of a commit."""
    return values.params if part == "params" else values.metrics


def columns(rows: Sequence[Row], wanted: str) -> Columns:
    """Metrics that most rows have, and parameters that are not the same everywhere; `wanted` is among them."""
    counts = {"params": _params(rows), "metrics": _metrics(rows)}
    chosen: dict[Part, list[Column]] = {}
    for part in PARTS:
        best = sorted(counts[part].items(), key=lambda item: (item[0].key != wanted, -item[1]))[:COLUMNS]
        kept = {column for column, _ in best}
        chosen[part] = [column for column in counts[part] if column in kept]
    names = Counter(column.name for part in PARTS for column in chosen[part])
    made = {
        part: tuple(Column(part, item.file, item.name, names[item.name] == 1) for item in chosen[part])
        for part in PARTS
    }
    total = sum(len(found) for found in counts.values())
    return Columns(made["params"], made["metrics"], total - len(made["params"]) - len(made["metrics"]))


def _metrics(rows: Sequence[Row]) -> dict[Column, int]:
    return dict(Counter(column for row in rows for column, _ in _leaves(row.values, "metrics")))


def _params(rows: Sequence[Row]) -> dict[Column, int]:
    """How many rows have another value than their baseline; parameters that never differ are left out."""
    seen: dict[Column, set[Value]] = {}
    differ: Counter[Column] = Counter()
    for row in rows:
        for values in (row.before, row.values):
            for column, value in _leaves(values, "params"):
                seen.setdefault(column, set()).add(value)
        for column, value in _leaves(row.values, "params"):
            old = (row.before or NONE).params.get(column.file, {})
            differ[column] += column.name not in old or not same(old[column.name], value)
    return {column: differ[column] for column, values in seen.items() if differ[column] or len(values) > 1}


def _leaves(values: Values | None, part: Part) -> Iterator[tuple[Column, Value]]:
    for file, found in part_of(values or NONE, part).items():
        for name, value in found.items():
            yield Column(part, file, name), value


def ordered(rows: Iterable[Row], column: Column | None, *, descending: bool) -> list[Row]:
    """By a column, rows without a value last; without one by baseline, newest first, as `dvc exp list` groups them."""
    if column is None:
        groups: dict[str, list[Row]] = {}
        for row in rows:
            groups.setdefault(row.experiment.baseline_sha, []).append(row)
        return [row for group in groups.values() for row in group]
    numbers: list[tuple[float, Row]] = []
    words: list[tuple[str, Row]] = []
    rest: list[Row] = []
    for row in rows:
        value = row.cell(column).new
        if isinstance(value, int | float) and not math.isnan(value):
            numbers.append((value, row))
        elif isinstance(value, str):
            words.append((value, row))
        else:
            rest.append(row)
    numbers.sort(key=lambda item: item[0], reverse=descending)
    words.sort(key=lambda item: item[0], reverse=descending)
    return [row for _, row in numbers] + [row for _, row in words] + rest


def commands(name: str, address: str, project: str = "") -> str:
    """What brings an experiment, by its name or its full ref, into a clone, where it is one of the DVC project in the
    directory `project`. A name is somebody's own, so it is quoted for a shell."""
    there = f"cd {shlex.quote(project)}\n" if project else ""
    return f"{there}dvc exp pull {address} {shlex.quote(name)}\ndvc exp apply {shlex.quote(name)}"
