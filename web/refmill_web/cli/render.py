"""`refmill render`: what a run would be on a cluster, as YAML that people and kubectl read."""

from __future__ import annotations

from pathlib import Path

import click

from refmill import settings, specs
from refmill.model.plans import Plan
from refmill.model.runs import Run, run_id
from refmill.plans import digests
from refmill.ports.engines import RunOrder
from refmill.settings import Settings
from refmill.specs import Documents
from refmill.texts import text
from refmill_argo import compiling, contract, manifests
from refmill_argo.comments import comments
from refmill_argo.options import options
from refmill_argo.writing import writer
from refmill_web import local
from refmill_web.cli.options import data_option, example
from refmill_web.cli.project import path_argument, planned
from refmill_web.cli.speech import echo, print_json, say, show_problems, translate

NOWHERE = "0" * 40
"""In place of the commit of a working copy."""


@click.command(
    **example(
        text("Print what a run would be on a cluster, as Argo Workflows, with the commands as comments."),
        "refmill render",
        "refmill render --rev HEAD~1 > run.yaml; argo lint --offline run.yaml",
    )
)
@path_argument
@click.option("--rev", help=say(text("Render a commit of this repository instead of the files here.")))
@click.option("--plan", "as_plan", is_flag=True, help=say(text("Print plan.json instead: what the pods will be told.")))
@click.option(
    "--installation", is_flag=True, help=say(text("Print what a namespace of the cluster needs before its first run."))
)
@data_option
def render(*, path: Path, rev: str | None, as_plan: bool, installation: bool, data: Path | None) -> None:
    """YAML of the Workflows, the parent first where there are several."""
    chosen = settings.load({"data": data})
    cluster = options(chosen, contract.runner_digest())
    if installation:
        echo(manifests.installation(cluster), nl=False)
        return
    project, documents = local.open_for_cluster(path, rev, cluster.allowed)
    made = planned(project)
    show_problems(problem for problem in project.problems if problem.warning)
    write = writer(project.tree, cluster)
    bundle = compiling.compile_run(order(project, documents, made, chosen), cluster, write)
    if as_plan:
        print_json(bundle.plan)
        return
    echo(comments(made, bundle.pods, translate()) + "---\n".join(bundle.workflows.values()), nl=False)


def order(project: local.Project, documents: Documents, plan: Plan, chosen: Settings) -> RunOrder:
    """The run as it would be ordered: the first one of its commit, in a repository of the directory's name."""
    commit = project.commit or NOWHERE
    name, folder = project.root.name, local.folder(project.root)
    run = Run(
        id=run_id(name, commit, folder, {}, 1), repository_id="local", repository=f"local/{name}", number=1,
        commit=commit, ref="", project=folder, status="queued", subject="", created_by="", created=0,
        priority=documents.pipeline.priority, engine="argo",
    )  # fmt: skip
    default = digests.defaults(chosen, project.tree, network=chosen.network)
    return RunOrder(
        run, plan, specs.all_settings(documents, plan.pipeline, default), "local", on_error=documents.pipeline.on_error,
        network=chosen.network,
    )  # fmt: skip
