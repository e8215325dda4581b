"""Projects made to do harm, from seeds: each through the platform's own resolver, some of them pushed and planned.

A failure names its seed; `python tests/hostile/projects.py SEED` prints the project. REFMILL_SEED begins elsewhere.
"""

from __future__ import annotations

import subprocess
import time

import projects
import pytest
from commits import Repository
from tally import TALLY
from watching import FEW, FIRST, MANY, Watch

from platforms import Platform
from refmill.clients.resolver import SocketResolver
from refmill.ports.resolver import Source

RESOLVER_SECONDS = 25.0
"""The resolver gives a project 20 seconds; the rest is for a busy machine."""
PUSH_SECONDS = 60
SHARE = 10
"""One in so many is pushed too."""
FEWER = 3 * FEW // 10
"""Projects cost more than requests."""
BLOCK = 250


@pytest.mark.timeout(600)
def test_hostile_projects_are_answered(watched: Watch, platform: Platform, repository: Repository) -> None:
    _all(FIRST, FEWER, watched, platform, repository)


@pytest.mark.full
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("start", range(FIRST + FEWER, FIRST + MANY // 2, BLOCK))
def test_thousands_of_hostile_projects_are_answered(
    start: int, watched: Watch, platform: Platform, repository: Repository
) -> None:
    _all(start, BLOCK, watched, platform, repository)


def _all(first: int, count: int, watch: Watch, platform: Platform, repository: Repository) -> None:
    resolver = SocketResolver(platform.data / "run/resolver.sock")
    for seed in range(first, first + count):
        commit = repository.commit(projects.make(seed))
        began = time.monotonic()
        found = resolver.check(Source(repository.path, commit))
        seconds = time.monotonic() - began
        TALLY.note("projects", {problem.kind for problem in found.problems} or {"no problem"}, seconds, seed)
        assert seconds < RESOLVER_SECONDS, seed
        assert found.pipeline is not None or found.problems, seed
        assert not any("broke down" in str(problem.message) for problem in found.problems), seed
        for problem in found.problems:
            assert str(problem.message), seed
            assert problem.remedy is not None, (seed, problem.kind)
        if seed % SHARE == 0:
            _push(seed, commit, watch, platform, repository)
        watch.check(f"seed {seed}")


def _push(seed: int, commit: str, watch: Watch, platform: Platform, repository: Repository) -> None:
    """To a repository of its own; half of them also where the files are broken, so that planning meets them too."""
    options = ["-o", "refmill.validate=warn"] if seed % (2 * SHARE) else []
    url = platform.url(f"alice/seed{seed}", "alice")
    began = time.monotonic()
    done = subprocess.run(
        ["git", "push", "--quiet", *options, url, f"{commit}:refs/heads/main"], cwd=repository.path, capture_output=True,
        text=True, check=False, timeout=PUSH_SECONDS, errors="replace",
    )  # fmt: skip
    said = done.stderr
    TALLY.note("pushes", {"refused" if done.returncode else "taken"}, time.monotonic() - began, seed)
    assert done.returncode == 0 or "pre-receive hook declined" in said or "unpacker error" in said, f"{seed}: {said}"
    assert not any(ord(letter) < 32 and letter not in "\n\t\r" for letter in said.replace("\x1b[K", "")), (
        f"{seed}: {said!r}"
    )
    watch.settled(f"seed {seed}")
