"""What git prints to the pusher: a few lines, as `remote:` shows them."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Mapping, Sequence

from refmill.model.pipelines import Pipeline
from refmill.model.plans import MissingObject, Plan
from refmill.model.pushes import RefUpdate
from refmill.model.runs import Run
from refmill.plans import environments
from refmill.plans.wording import in_short
from refmill.problems import Problem
from refmill.texts import Text, Translate, counted, text

DEFAULT_REMOTE = re.compile(rb"^[ \t]*remote[ \t]*=[ \t]*\S", re.MULTILINE)
"""In `.dvc/config`; the section [core] alone has such a key."""
_WHO = re.compile(r"//[^/@]*@")
"""Name and password in an address: not to be repeated."""
NEW = text("it has not run before")
STAGE_LINES = 8
"""Stages that an answer names before it only counts them."""


def problem_lines(
    problems: Sequence[Problem], say: Translate, *, refused: bool = True, whole: bool = True
) -> list[str]:
    """Every problem with place, message, offending text and remedy, errors first; not `refused`: they are taken in,
    which leaves nothing that can run if what is broken is the `whole`."""
    count = sum(not problem.warning for problem in problems)
    fix = text("fix: ").to(say)  # not within another text, where it is not found to be translated
    lines: list[str] = []
    if count:
        lines.append(_head(count, refused=refused, whole=whole).to(say))
    for problem in sorted(problems, key=lambda item: (item.warning, item.place)):
        lead = text("warning: ").to(say) if problem.warning else ""
        lines.append(f"  {problem.place}: {lead}{problem.message.to(say)}")
        if problem.excerpt:
            lines.append(f"      {problem.excerpt.strip()}")
        lines.append(f"      {fix}{problem.remedy.to(say)}")
    if count and refused:
        lines.append(
            text("To push all the same, running nothing that is broken: git push -o refmill.validate=warn").to(say)
        )
    return lines


def _head(count: int, *, refused: bool, whole: bool) -> Text:
    if refused:
        return text("refmill: push refused, problems in its files: %(count)s", count=count)
    if whole:
        return text(
            "refmill: taken in as asked, but nothing of it can run; problems in its files: %(count)s", count=count
        )
    return text(
        "refmill: taken in as asked, but what is broken cannot run; problems in its files: %(count)s", count=count
    )


def plan_lines(run: Run, plan: Plan, address: str, say: Translate) -> list[str]:
    """The run's address and what it will do."""
    told = text("run #%(number)s: %(url)s", number=run.number, url=address)
    if run.project:
        told = text("run #%(number)s of %(project)s: %(url)s", number=run.number, project=run.project, url=address)
    lines = [told.to(say)]
    if run.status == "nothing":
        return [
            *lines,
            "  " + nothing_to_run(plan).to(say),
            *_stale_lines(plan, say),
        ]
    counts = [
        (plan.count("run"), text("%(count)s to run", count=plan.count("run"))),
        (plan.count("cached"), text("%(count)s from cache", count=plan.count("cached"))),
        (plan.count("later"), text("%(count)s below those", count=plan.count("later"))),
        (plan.count("blocked"), text("%(count)s blocked", count=plan.count("blocked"))),
    ]
    lines.append("  " + " · ".join(sentence.to(say) for count, sentence in counts if count))
    moving = [stage for stage in plan.stages if stage.verdict in ("run", "blocked")]
    lines += [f"  {stage.stage.address}: {(in_short(stage.reasons) or NEW).to(say)}" for stage in moving[:STAGE_LINES]]
    if len(moving) > STAGE_LINES:
        lines.append("  " + text("… and %(count)s more", count=len(moving) - STAGE_LINES).to(say))
    return [*lines, *_stale_lines(plan, say), *(warning.to(say) for warning in plan.warnings)]


def nothing_to_run(plan: Plan) -> Text:
    """What is told of a run whose stages are all cached."""
    return counted(
        "nothing to run: the %(count)s stage is up to date",
        "nothing to run: all %(count)s stages are up to date",
        len(plan.stages),
    )


def _stale_lines(plan: Plan, say: Translate) -> list[str]:
    """What is taken over although it was made in another environment, and how to have it made anew."""
    stale = environments.stale(plan)
    if not stale:
        return []
    names = ", ".join(stale[:STAGE_LINES]) + (", …" if len(stale) > STAGE_LINES else "")
    return [
        "  " + text("cached, but the environment changed since: %(stages)s", stages=names).to(say),
        "  " + text("to run them all the same: “Run all again” on the run's page, or `rerunOnEnvironmentChange: true` in refmill.yaml").to(say),  # noqa: E501 - one sentence for the catalogue
    ]  # fmt: skip


def blocked_lines(
    plan: Plan, remote: str, config: bytes, asked: Sequence[str], say: Translate, project: str = ""
) -> list[str]:
    """How to bring data that lack into the data remote at the address `remote`; `config` is the project's
    `.dvc/config`: it may name that remote already, or one of its own that has the data. Those at the addresses `asked`
    are being looked into."""
    missing = {item.md5: item for stage in plan.stages for item in stage.missing}
    if not missing:
        return []
    looking = [text("looked for just now in %(url)s, which .dvc/config names", url=url).to(say) for url in asked]
    told, *commands = _bringing_lines(missing, remote, config, say)
    there = [f"  cd {shlex.quote(project)}"] if project else []
    return [*_imported_lines(plan, say), told, *there, *commands, *looking[:STAGE_LINES]]


def _imported_lines(plan: Plan, say: Translate) -> list[str]:
    """What to do about imports from repositories that are not here, whose data `dvc push` leaves out."""
    wanted = {item.path for stage in plan.stages for item in stage.missing}
    lines = []
    for item in plan.data:
        source = item.data.source
        if source is None or not any(found.path in wanted for found in item.missing):
            continue
        told = text(
            "%(file)s was imported from %(url)s, and `dvc push` sends no imported data: bring that repository and its "
            "data here and import it from here, or take %(file)s away and track the data itself with `dvc add`.",
            file=item.data.file, url=_WHO.sub("//", source.url),
        )  # fmt: skip
        lines.append(told.to(say))
    return lines[:STAGE_LINES]


def _bringing_lines(missing: Mapping[str, MissingObject], remote: str, config: bytes, say: Translate) -> list[str]:
    size = size_words(sum(item.size or 0 for item in missing.values()))
    told = counted(
        "missing data: %(count)s object, %(size)s. The run starts when it is here; bring it with",
        "missing data: %(count)s objects, %(size)s. The run starts when they are here; bring them with",
        len(missing), size=size,
    )  # fmt: skip
    if remote.encode() in config:
        return [told.to(say), "  dvc push"]
    if DEFAULT_REMOTE.search(config):
        return [told.to(say), f"  dvc remote add --force refmill {remote}", "  dvc fetch && dvc push -r refmill"]
    return [told.to(say), f"  dvc remote add --force --default refmill {remote}", "  dvc push"]


def idle_lines(update: RefUpdate, pipeline: Pipeline, address: str, say: Translate, project: str = "") -> list[str]:
    """Why a project started nothing on a branch, and where it can be looked at."""
    if update.branch is None:
        return []
    if pipeline.stages:
        why = text("nothing started: `on:` in refmill.yaml leaves this push out")
    elif pipeline.data:
        why = counted(
            "no stages, so nothing to run; data tracked by DVC: %(count)s file",
            "no stages, so nothing to run; data tracked by DVC: %(count)s files", len(pipeline.data),
        )  # fmt: skip
    else:
        why = text("no dvc.yaml with stages, so nothing to run")
    return [f"{project}: {why.to(say)}: {address}" if project else f"{why.to(say)}: {address}"]


def invalid_lines(problems: Iterable[Problem], say: Translate, project: str = "") -> list[str]:
    """A landed project whose files cannot work: it started nothing."""
    found = _faults(problems, project)
    return [
        text("no run, problems in its files: %(count)s", count=len(found)).to(say),
        *problem_lines(found, say)[1:-1],
    ]


def hopeless_lines(problems: Iterable[Problem], say: Translate, project: str = "") -> list[str]:
    """The same for who has been told all of it, or asked for no more: the first reason."""
    found = _faults(problems, project)
    place, message = str(found[0].place), found[0].message
    if len(found) == 1:
        told = text("no run, and none until this is mended: %(place)s: %(problem)s", place=place, problem=message)
    else:
        told = counted(
            "no run, and none until this and %(count)s more problem are mended: %(place)s: %(problem)s",
            "no run, and none until this and %(count)s more problems are mended: %(place)s: %(problem)s",
            len(found) - 1, place=place, problem=message,
        )  # fmt: skip
    return [told.to(say)]


def _faults(problems: Iterable[Problem], project: str) -> list[Problem]:
    """What refuses a push, as seen from the repository's root."""
    return sorted((item.below(project) for item in problems if not item.warning), key=lambda item: item.place)


def size_words(size: int) -> str:
    """Bytes as people read them: `1.2 GiB`."""
    amount = float(size)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if amount < 1024:
            return f"{amount:.0f} {unit}" if unit == "B" else f"{amount:.1f} {unit}"
        amount /= 1024
    return f"{amount:.1f} TiB"
