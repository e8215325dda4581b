"""`refmill validate` and `refmill plan`: what a push would say, from a working copy."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from refmill import errors
from refmill.engine.inplace_data import DataSources
from refmill.flows.answers import nothing_to_run
from refmill.model.plans import Plan, StagePlan
from refmill.plans import make
from refmill.plans.wording import in_short
from refmill.problems import Problem
from refmill.texts import counted, text
from refmill_web import local
from refmill_web.cli.options import example, json_option
from refmill_web.cli.speech import echo, print_json, say, show_problems, table, tell
from refmill_web.words import VERDICTS

MARKS = {"run": ("▶", "blue"), "cached": ("✓", "cyan"), "later": ("…", None), "blocked": ("✗", "red")}
path_argument = click.argument("path", type=click.Path(path_type=Path, exists=True), default=Path())


@click.command(
    **example(
        text("Say everything that is wrong in the files of a project, and of those inside of it, as a push would."),
        "refmill validate",
        "refmill validate --json | jq '.[].place'",
    )
)
@path_argument
@json_option
def validate(*, path: Path, as_json: bool) -> None:
    """Exit code 3 if a push would be refused."""
    projects = local.open_all(path)
    problems = [problem.below(folder) for folder, project in projects for problem in project.problems]
    if as_json:
        print_json([_problem_json(problem) for problem in problems])
    else:
        show_problems(problems)
        for folder, project in projects:
            if not project.errors and project.found is not None:
                stages = counted("%(count)s stage", "%(count)s stages", len(project.found.stages))
                data = counted("%(count)s tracked file", "%(count)s tracked files", len(project.found.data))
                fine = say(text("fine: %(stages)s, %(data)s", stages=stages, data=data))
                echo(f"{folder}: {fine}" if folder else fine)
    if any(project.errors for _, project in projects):
        sys.exit(errors.Invalid.exit_code)


@click.command(
    **example(text("Say what would run, what is cached, and why."), "refmill plan", "refmill plan --rev HEAD~1")
)
@path_argument
@click.option("--rev", help=say(text("Plan a commit of this repository instead of the files here.")))
@json_option
def plan(*, path: Path, rev: str | None, as_json: bool) -> None:
    """A table of stages with verdicts and reasons."""
    project = local.open_project(path, rev)
    made = planned(project)
    project.save()
    if as_json:
        print_json({"nothing": made.nothing, "stages": [stage_json(item) for item in made.stages]})
        return
    show_problems(problem for problem in project.problems if problem.warning)
    show_plan(made)
    if inner := [place.relative_to(project.root).as_posix() for place in local.projects_below(project.root)]:
        tell(text("projects of their own, planned by themselves: %(projects)s", projects=", ".join(inner)), err=True)


def planned(project: local.Project) -> Plan:
    """What would run of `project`. Raises Invalid."""
    pipeline, memory = project.pipeline, project.memory
    if not project.commit:
        data = DataSources(project.root, project.hashes, memory.objects, project.ignores)
        pipeline, memory = data.seen(pipeline, pipeline.data), replace(memory, objects=data.objects)
    return make.make(pipeline, memory)


def show_plan(made: Plan) -> None:
    """A table of what would run, what is cached, and why."""
    if not made.stages:
        tell(text("this project has no stages"))
        return
    rows = []
    for item in made.stages:
        mark, colour = MARKS[item.verdict]
        why = in_short(item.reasons, 3)
        verdict = say(VERDICTS[item.verdict])
        rows.append([click.style(mark, fg=colour), item.stage.address, verdict, say(why) if why else ""])
    table(["", say(text("stage")), say(text("verdict")), say(text("why"))], rows)
    if made.nothing:
        tell(nothing_to_run(made))


def stage_json(item: StagePlan) -> dict[str, Any]:
    """A stage of a plan as data."""
    return {
        "name": item.stage.address, "verdict": item.verdict, "upstream": list(item.upstream),
        "reasons": [{"kind": reason.kind, "message": str(reason.message), "subject": reason.subject,
                     "old": reason.old, "new": reason.new} for reason in item.reasons],
        "missing": [{"md5": found.md5, "path": found.path, "size": found.size} for found in item.missing],
    }  # fmt: skip


def _problem_json(problem: Problem) -> dict[str, Any]:
    return {
        "kind": problem.kind, "place": str(problem.place), "file": problem.place.file, "line": problem.place.line,
        "column": problem.place.column, "message": str(problem.message), "remedy": str(problem.remedy),
        "excerpt": problem.excerpt, "warning": problem.warning,
    }  # fmt: skip
