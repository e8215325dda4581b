"""The resolver's process: parses what people pushed in limited children of its own."""

from __future__ import annotations

from collections.abc import Mapping

from refmill import specs
from refmill.clients.resolver.server import serve
from refmill.clients.worktree import WorkTree
from refmill.model.pipelines import Pipeline
from refmill.model.stages import StageSettings
from refmill.plans import digests
from refmill.ports.resolver import Checked
from refmill.ports.trees import Tree
from refmill.problems import Problem
from refmill.settings import Settings
from refmill_argo import contract, rehearsing
from refmill_argo.options import Options, options
from refmill_repos.trees import tree_factory
from refmill_web import engines
from refmill_web.processes import child


def main() -> None:
    """Serve on the data directory's resolver socket until the parent ends."""
    settings, handed = child.begin("resolver")
    cluster = options(settings, contract.runner_digest())
    serve(
        settings.path("run", "resolver.sock"),
        tree_factory(lambda source: WorkTree(source.path)),
        max_stages=settings.max_stages,
        containers="argo" in engines.names(settings),
        allowed=cluster.allowed,
        further=lambda tree, checked: _templates(tree, checked, settings, cluster),
        ready=lambda: child.ready(handed),
    )


def _templates(tree: Tree, checked: Checked, settings: Settings, cluster: Options) -> tuple[Problem, ...]:
    """What is wrong with a project's own templates of Workflows; told wherever its runs go."""

    def stages(pipeline: Pipeline) -> Mapping[str, StageSettings]:
        return specs.all_settings(checked.documents, pipeline, digests.defaults(settings, tree))

    return rehearsing.problems(tree, checked, stages, cluster)


if __name__ == "__main__":
    main()
