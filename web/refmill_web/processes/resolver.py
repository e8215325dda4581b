"""The resolver's process: parses what people pushed in limited children of its own."""

from __future__ import annotations

from refmill.clients.resolver.server import serve
from refmill.clients.worktree import WorkTree
from refmill_argo.options import allowed
from refmill_repos.trees import tree_factory
from refmill_web import engines
from refmill_web.processes import child


def main() -> None:
    """Serve on the data directory's resolver socket until the parent ends."""
    settings, handed = child.begin("resolver")
    serve(
        settings.path("run", "resolver.sock"),
        tree_factory(lambda source: WorkTree(source.path)),
        max_stages=settings.max_stages,
        containers="argo" in engines.names(settings),
        allowed=allowed(settings),
        ready=lambda: child.ready(handed),
    )


if __name__ == "__main__":
    main()
