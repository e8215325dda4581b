"""Experiments: Refmill's own and those that people push with `dvc exp push`, side by side and one by one."""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import urlencode

from flask import Blueprint, request

from refmill import errors
from refmill.model.people import Repository
from refmill.model.runs import Run
from refmill.ports.experiments import Experiment
from refmill.texts import text
from refmill_repos.history import Comparison
from refmill_web import auth
from refmill_web.experimenttable import NONE, Column, Columns, Row, columns, commands, ordered
from refmill_web.services import services
from refmill_web.shell import Frame, frame, git_address, render
from refmill_web.values import Block, Change, blocks, compare

blueprint = Blueprint("experiments", __name__, url_prefix="/<owner>/<name>/experiments")
PAGE = 50
SECONDS = 0.6
"""For reading values that were never read before; a page must not wait longer for what may be somebody's trap."""
RUNS = 1000


@dataclass(frozen=True, slots=True)
class Asked:
    """What the address says about the table."""

    words: str
    sort: str
    descending: bool
    after: str

    def address(self, **changes: str) -> str:
        """The address of the table with something else in it; the first page, unless `after` is among that."""
        values = {"q": self.words, "sort": self.sort, "order": "desc" if self.descending else "asc", **changes}
        if not values["sort"]:
            values["order"] = ""
        return "?" + urlencode({key: value for key, value in values.items() if value})

    def by(self, column: Column) -> str:
        """The address that sorts by a column: largest first, and the other way round the second time."""
        again = self.sort == column.key and self.descending
        return self.address(sort=column.key, order="asc" if again else "desc")


@dataclass(frozen=True, slots=True)
class ExperimentsPage:
    """The context of experiments.html. `total` counts all that there are, `found` those that the filter lets through,
    `unread` those whose values were not read in time."""

    frame: Frame
    asked: Asked
    rows: Sequence[Row]
    columns: Columns
    sorted_by: Column | None
    total: int
    found: int
    left_out: int
    unread: int
    next: str
    ambiguous: frozenset[str]

    def commands(self, experiment: Experiment) -> str:
        """The lines that bring one into a clone."""
        name = experiment.ref if experiment.name in self.ambiguous else experiment.name
        return commands(name, git_address(self.frame.repository))

    def args(self, experiment: Experiment) -> Mapping[str, str]:
        """What its page's address needs besides its name."""
        return {"baseline": experiment.baseline_sha} if experiment.name in self.ambiguous else {}


@dataclass(frozen=True, slots=True)
class ExperimentPage:
    """The context of experiment.html. `others` have the same name on other baselines."""

    frame: Frame
    row: Row
    others: Sequence[Experiment]
    metrics: tuple[Block, ...]
    params: Sequence[Change]
    comparison: Comparison
    commands: str
    branch: str


@blueprint.get("")
def of_repository(owner: str, name: str) -> str:
    """All experiments of a repository."""
    access = auth.access(owner, name)
    repository = access.repository
    given = request.args
    asked = Asked(
        given.get("q", "")[:200].strip(), given.get("sort", "")[:700], given.get("order") != "asc",
        given.get("after", "")[:300],
    )  # fmt: skip
    listing = services().experiments.list(repository.id)
    rows = _rows(repository, listing.experiments, SECONDS * (2 if asked.sort else 1))
    table = columns(rows, asked.sort)
    by = next((column for column in table.all if column.key == asked.sort), None)
    chosen = ordered((row for row in rows if row.says(asked.words)), by, descending=asked.descending)
    start = _start(chosen, asked.after)
    shown = chosen[start : start + PAGE]
    after = asked.address(after=_cursor(start + PAGE, shown[-1])) if start + PAGE < len(chosen) else ""
    names = Counter(experiment.name for experiment in listing.experiments)
    return render(
        "experiments.html",
        ExperimentsPage(
            frame(access, "experiments"), asked, shown, table, by, len(rows), len(chosen), listing.left_out,
            sum(row.values is None for row in (rows if by else shown)), after,
            frozenset(found for found, count in names.items() if count > 1),
        ),
    )  # fmt: skip


def _rows(repository: Repository, experiments: Sequence[Experiment], seconds: float) -> list[Row]:
    """Experiments with their runs and values, in their order; the newest are read first."""
    wanted = (sha for item in experiments for sha in (item.baseline_sha, item.commit.sha))
    values = services().experiments.values(repository.id, dict.fromkeys(wanted), seconds=seconds)
    runs = _runs(repository) if any(item.name.startswith("run-") for item in experiments) else {}
    return [
        Row(
            item, runs.get((item.baseline_sha, item.name)), values.get(item.commit.sha), values.get(item.baseline_sha)
        )
        for item in experiments
    ]  # fmt: skip


def _runs(repository: Repository) -> dict[tuple[str, str], Run]:
    """Commit and name of the experiment → the run that made it."""
    found = services().runs.list([repository.id], limit=RUNS)
    return {(run.commit, run.experiment): run for run in found if run.experiment}


def _cursor(index: int, row: Row) -> str:
    return f"{index}.{row.experiment.baseline_sha[:12]}.{row.experiment.name}"


def _start(rows: Sequence[Row], after: str) -> int:
    """Where a page begins: behind the row that the cursor names, or where it stood if it is gone."""
    index, _, place = after.partition(".")
    if not place:
        return 0
    for at, row in enumerate(rows):
        if _cursor(0, row) == f"0.{place}":
            return at + 1
    return min(int(index), len(rows)) if index.isdecimal() and len(index) < 9 else 0


@blueprint.get("/<experiment>")
def one(owner: str, name: str, experiment: str) -> str:
    """One experiment beside its baseline; `baseline` chooses among several of one name."""
    access = auth.access(owner, name)
    repository = access.repository
    baseline = request.args.get("baseline", "")
    found = services().experiments.find(repository.id, experiment)
    here = next((item for item in found if item.baseline_sha.startswith(baseline)), None)
    if here is None:
        raise errors.NotFound(
            text("There is no experiment “%(name)s”.", name=experiment[:200]),
            text("It may have been removed with `dvc exp remove`; the tab Experiments has those that are there."),
        )
    row = _rows(repository, [here], SECONDS)[0]
    old = here.baseline_sha if here.baseline else None
    past = services().past
    comparison = past.diff(repository.id, old, here.commit.sha) if old else past.diff_of(repository.id, here.commit.sha)
    params = compare(_flat((row.values or NONE).params), _flat((row.before or NONE).params))
    params.sort(key=lambda change: not (change.changed or not change.known))
    measured = compare(_flat((row.values or NONE).metrics), _flat((row.before or NONE).metrics))
    name = here.name if len(found) == 1 else here.ref
    return render(
        "experiment.html",
        ExperimentPage(
            frame(access, "experiments"), row, [item for item in found if item is not here], blocks(measured), params,
            comparison, commands(name, git_address(repository)), f"dvc exp branch {shlex.quote(name)}",
        ),
    )  # fmt: skip


def _flat(files: Mapping[str, Mapping[str, object]]) -> dict[tuple[str, str], object]:
    return {(file, name): value for file, found in files.items() for name, value in found.items()}
