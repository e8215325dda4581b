"""Three hundred stages read and resolved: by the warm resolver of a running platform, by what is remembered of an
earlier commit, and by DVC itself in a process that has everything imported."""

from __future__ import annotations

import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

import peers
from bench_trivial import project
from dvc.repo import Repo
from peers import Copy, Platform, new_copy

from refmill.clients.resolver.client import SocketResolver
from refmill.clients.resolver.memory import RememberingResolver
from refmill.clients.worktree import WorkTree
from refmill.ports.resolver import Resolver, Source
from refmill_repos.trees import tree_factory

STAGES, ROUNDS = 300, 9
DVC = f"dvc {version('dvc')} in a warm process"


def main() -> None:
    """Measure and print."""
    with peers.quiet() as folder:
        platform = Platform(folder / "data").start()
        try:
            peers.show(f"{STAGES} stages resolved", measure(platform, folder), DVC)
        finally:
            platform.stop()


def measure(platform: Platform, folder: Path) -> dict[str, list[float]]:
    """Seconds by peer, one commit after the other; the first round warms up."""
    copy = new_copy(folder / "copy", project(STAGES))
    plain = SocketResolver(platform.data / "run" / "resolver.sock")
    remembering = RememberingResolver(plain, tree_factory(lambda source: WorkTree(source.path)))
    took: dict[str, list[float]] = {}
    for number in range(ROUNDS + 1):
        copy.write({"README": f"{number}\n"}).commit(f"turn {number}")
        source = Source(copy.path / ".git", copy.git("rev-parse", "HEAD").stdout.strip())
        todo: dict[str, Callable[[], int]] = {
            DVC: lambda: by_dvc(copy),
            "Refmill's resolver": lambda: by_refmill(plain, source),  # noqa: B023 - called in this very turn
            "the same, its questions answered as before": lambda: by_refmill(remembering, source),  # noqa: B023 - likewise
        }
        for name, resolve in todo.items():
            began = time.perf_counter()
            found = resolve()
            if number:
                took.setdefault(name, []).append(time.perf_counter() - began)
            assert found == STAGES
    return took


def by_dvc(copy: Copy) -> int:
    """The stages of a working copy."""
    with Repo(str(copy.path)) as repo:
        return len(repo.index.stages)


def by_refmill(resolver: Resolver, source: Source) -> int:
    """The stages of a commit."""
    checked = resolver.check(source)
    assert checked.pipeline is not None, checked.problems
    return len(checked.pipeline.stages)


if __name__ == "__main__":
    main()
