"""Tells at a push what is wrong with a project's own templates, by writing a run in which every stage has to run.

A template may look at what it is given, so that this proves nothing, and only tells people early: each real run is held
against the same rules when it is written.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from refmill import errors
from refmill.model.pipelines import Pipeline
from refmill.model.plans import Plan, StagePlan
from refmill.model.runs import Run
from refmill.model.stages import StageSettings
from refmill.ports.engines import RunOrder
from refmill.ports.resolver import Checked
from refmill.ports.trees import Tree
from refmill.problems import Problem
from refmill_argo import owntemplates
from refmill_argo.compiling import compile_run
from refmill_argo.options import Options
from refmill_argo.writing import writer

SAMPLE = Run(
    id="a" * 20, repository_id="b" * 20, repository="owner/name", number=1, commit="0" * 40, ref="refs/heads/main",
    project="", status="queued", subject="", created_by="", created=0, engine="argo",
)  # fmt: skip


def problems(
    tree: Tree, checked: Checked, settings: Callable[[Pipeline], Mapping[str, StageSettings]], options: Options
) -> tuple[Problem, ...]:
    """What is wrong with the templates of a project that is right otherwise; its stages' `settings` are asked for only
    where it has templates."""
    if checked.pipeline is None or tree.entry(owntemplates.FOLDER) is None:
        return ()
    try:
        write = writer(tree, options)
        compile_run(_order(checked, checked.pipeline, settings(checked.pipeline)), options, write)
    except errors.Invalid as error:
        return error.problems
    except (errors.WrongUse, errors.LimitExceeded):
        pass  # no run of it fits a cluster, whatever its templates are: each is told so
    return ()


def _order(checked: Checked, pipeline: Pipeline, settings: Mapping[str, StageSettings]) -> RunOrder:
    stages = [
        StagePlan(pipeline.stages[address], "run", (), {}, tuple(pipeline.upstream.get(address, ())))
        for address in pipeline.order
        if address in pipeline.stages
    ]
    on_error = checked.documents.pipeline.on_error
    return RunOrder(SAMPLE, Plan(pipeline, tuple(stages)), settings, "owner", on_error=on_error)
