"""`refmill run`: a parallel `dvc repro` in a working copy, without any server."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Collection
from pathlib import Path

import click

from refmill import errors
from refmill.engine.inplace import InPlace, Place
from refmill.model.pipelines import Pipeline
from refmill.model.runs import StageStatus
from refmill.plans import make
from refmill.texts import Text, text
from refmill_web import local
from refmill_web.cli.moments import duration
from refmill_web.cli.options import example, json_option
from refmill_web.cli.speech import print_json, say, show_problems, tell

MARKS: dict[str, tuple[str, str | None]] = {
    "running": ("◔", "blue"), "succeeded": ("✓", "green"), "cached": ("⚡", "cyan"), "failed": ("✗", "red"),
    "blocked": ("✗", "red"), "skipped": ("–", None),
}  # fmt: skip


@click.command(
    **example(
        text("Run a project's stages here, in parallel, without a server."), "refmill run", "refmill run train -j 4"
    )
)
@click.argument("stages", nargs=-1, metavar="[STAGE]...")
@click.option("-j", "--jobs", type=click.IntRange(1, 256), help=say(text("Stages at a time (default: the cores).")))
@click.option("-f", "--force", is_flag=True, help=say(text("Run the stages even if nothing changed.")))
@click.option("-k", "--keep-going", is_flag=True, help=say(text("After a failure go on with what it does not touch.")))
@click.option("-s", "--single-item", is_flag=True, help=say(text("Only the named stages, not those above them.")))
@click.option(
    "-C", "--directory", type=click.Path(path_type=Path, file_okay=False, exists=True), default=Path(),
    help=say(text("Run in this directory.")),
)  # fmt: skip
@json_option
def run(
    *, stages: tuple[str, ...], jobs: int | None, force: bool, keep_going: bool, single_item: bool, directory: Path,
    as_json: bool,
) -> None:  # fmt: skip
    """Exit code 1 if a stage failed, 3 if the files cannot work."""
    project = local.open_project(directory)
    pipeline = project.pipeline
    show_problems(problem for problem in project.checked.problems if problem.warning)
    wanted = _wanted(pipeline, stages, single=single_item)
    forced = frozenset(_named(pipeline, stages) if stages else pipeline.stages) if force else frozenset()
    plan = make.make(pipeline, project.memory, only=wanted, force=forced)
    report = Lines(quiet=as_json)
    started = time.monotonic()
    place = Place(project.root, project.memory, project.cache.links)
    jobs = jobs or os.cpu_count() or 1
    outcome = InPlace(plan, place, report, jobs=jobs, keep_going=keep_going, force=forced).run()
    if as_json:
        print_json({"status": outcome, "stages": report.last})
    elif plan.stages and all(status == "cached" for status in report.last.values()):
        tell(text("nothing to run: all %(count)s stages are up to date", count=len(plan.stages)))
    else:
        tell(text("%(status)s in %(took)s", status=outcome, took=duration(time.monotonic() - started)))
    if outcome != "succeeded":
        sys.exit(1)


class Lines:
    """What happens, a line each; a stage's own lines bear its name."""

    def __init__(self, *, quiet: bool) -> None:
        self._quiet, self._lock = quiet, threading.Lock()
        self.last: dict[str, str] = {}

    def stage(self, address: str, status: StageStatus, seconds: float | None, why: Text | None) -> None:
        """A stage changed its state."""
        mark, colour = MARKS[status]
        words = duration(seconds) if status == "succeeded" else say(why) if why else ""
        with self._lock:
            self.last[address] = status
            if not self._quiet:
                click.echo(f"{click.style(mark, fg=colour)} {click.style(address, bold=True)}  {words}".rstrip())

    def line(self, address: str, line: str) -> None:
        """A command printed a line."""
        with self._lock:
            click.echo(f"  {click.style(address, fg='cyan')}  {line}", err=self._quiet)


def _named(pipeline: Pipeline, stages: Collection[str]) -> set[str]:
    """The addresses that the names mean: a stage, or a group written with foreach or matrix. Raises NotFound."""
    found: set[str] = set()
    for name in stages:
        mine = {address for address, stage in pipeline.stages.items() if name in (address, stage.group)}
        if not mine:
            known = ", ".join(sorted(pipeline.stages)[:20])
            raise errors.NotFound(
                text("there is no stage “%(name)s”", name=name), text("There are: %(known)s", known=known)
            )
        found |= mine
    return found


def _wanted(pipeline: Pipeline, stages: Collection[str], *, single: bool) -> set[str] | None:
    """The named stages and (unless `single`) all that they depend on; None for all."""
    if not stages:
        return None
    queue = list(found := _named(pipeline, stages))
    while queue and not single:
        for above in pipeline.upstream.get(queue.pop(), ()):
            if above not in found and above in pipeline.stages:
                found.add(above)
                queue.append(above)
    return found
