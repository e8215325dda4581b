"""What git prints to the pusher: a few lines, as `remote:` shows them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from refmill.model.plans import Plan, StagePlan
from refmill.model.runs import Run
from refmill.problems import Problem
from refmill.texts import Text, Translate, text

STAGE_LINES = 8
"""Stages that an answer names before it only counts them."""


def problem_lines(problems: Sequence[Problem], say: Translate) -> list[str]:
    """Every problem with place, message, offending text and remedy, errors first."""
    refused = sum(not problem.warning for problem in problems)
    lines: list[str] = []
    if refused:
        lines.append(text("refmill: push refused, problems in its files: %(count)s", count=refused).to(say))
    for problem in sorted(problems, key=lambda item: (item.warning, item.place)):
        lead = text("warning: ").to(say) if problem.warning else ""
        lines.append(f"  {problem.place}: {lead}{problem.message.to(say)}")
        if problem.excerpt:
            lines.append(f"      {problem.excerpt.strip()}")
        lines.append(f"      {text('fix: ').to(say)}{problem.remedy.to(say)}")
    if refused:
        lines.append(
            text("To push all the same, running nothing that is broken: git push -o refmill.validate=warn").to(say)
        )
    return lines


def plan_lines(run: Run, plan: Plan, address: str, say: Translate) -> list[str]:
    """The run's address and what it will do."""
    lines = [text("run #%(number)s: %(url)s", number=run.number, url=address).to(say)]
    if run.status == "nothing":
        return [
            *lines,
            "  " + text("nothing to run: all %(count)s stages are up to date", count=len(plan.stages)).to(say),
        ]
    counts = [
        (plan.count("run"), text("%(count)s to run", count=plan.count("run"))),
        (plan.count("cached"), text("%(count)s from cache", count=plan.count("cached"))),
        (plan.count("later"), text("%(count)s below those", count=plan.count("later"))),
        (plan.count("blocked"), text("%(count)s blocked", count=plan.count("blocked"))),
    ]
    lines.append("  " + " · ".join(sentence.to(say) for count, sentence in counts if count))
    moving = [stage for stage in plan.stages if stage.verdict in ("run", "blocked")]
    lines += [f"  {stage.stage.address}: {_why(stage).to(say)}" for stage in moving[:STAGE_LINES]]
    if len(moving) > STAGE_LINES:
        lines.append("  " + text("… and %(count)s more", count=len(moving) - STAGE_LINES).to(say))
    return [*lines, *(warning.to(say) for warning in plan.warnings)]


def blocked_lines(plan: Plan, remote: str, say: Translate) -> list[str]:
    """How to bring data that only lives in the pusher's own remote."""
    missing = {item.md5: item for stage in plan.stages for item in stage.missing}
    if not missing:
        return []
    size = sum(item.size or 0 for item in missing.values())
    return [
        text("missing data: %(count)s objects, %(size)s. The run starts when they are here; bring them with", count=len(missing), size=size_words(size)).to(say),  # noqa: E501 - one sentence for the catalogue
        f"  dvc remote add --force refmill {remote}",
        "  dvc fetch && dvc push -r refmill",
    ]  # fmt: skip


def invalid_lines(problems: Iterable[Problem], say: Translate) -> list[str]:
    """A landed commit whose files cannot work: it started nothing."""
    found = [problem for problem in problems if not problem.warning]
    return [
        text("no run, problems in its files: %(count)s", count=len(found)).to(say),
        *problem_lines(found, say)[1:-1],
    ]


def size_words(size: int) -> str:
    """Bytes as people read them: `1.2 GiB`."""
    amount = float(size)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if amount < 1024:
            return f"{amount:.0f} {unit}" if unit == "B" else f"{amount:.1f} {unit}"
        amount /= 1024
    return f"{amount:.1f} TiB"


def _why(stage: StagePlan) -> Text:
    return stage.reasons[0].message if stage.reasons else text("it has not run before")
