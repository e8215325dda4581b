"""Very many refs: in one push, in one repository, and by names that look alike."""

from __future__ import annotations

import itertools
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from commits import FILE, Repository
from raw import pushed
from watching import Watch

from packs import ZERO, line
from platforms import Platform, wait

MILLION = 1_000_000
TAKEN = 5000
"""Refs that one push may bring, where no setting says otherwise."""
KEPT = 100_000
"""Those that a repository may have."""
SHA = b"1" * 40
COMMAND = len(line(b"%s %s refs/heads/%07d" % (ZERO.encode(), SHA, 0)))


def commands(count: int) -> Iterator[bytes]:
    """The head of a push that creates so many branches, in large pieces."""
    ability = b"\0 report-status side-band-64k"
    yield line(b"%s %s refs/heads/first%s" % (ZERO.encode(), SHA, ability))
    every = (line(b"%s %s refs/heads/%07d" % (ZERO.encode(), SHA, number)) for number in range(count))
    while some := b"".join(itertools.islice(every, 10_000)):
        yield some
    yield b"0000"


def bare(platform: Platform, name: str) -> Path:
    """Where the repository lies."""
    return platform.data / f"repos/{platform.query('SELECT id FROM repositories WHERE name = ?', name)[0][0]}.git"


def git(repository: Repository, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["git", *words], cwd=repository.path, capture_output=True, text=True, check=False, timeout=100
    )


def test_a_push_of_a_million_refs_is_refused(watched: Watch, platform: Platform, name: str) -> None:
    size = sum(map(len, commands(MILLION)))
    said = pushed(platform, name, commands(MILLION), size)
    assert b"too many refs or options in one push: at most 5000 and 100" in said
    assert b"Push in parts" in said


@pytest.mark.full  # git itself takes long for so many
def test_git_tells_its_user_that_refs_are_too_many(
    watched: Watch, platform: Platform, name: str, repository: Repository
) -> None:
    commit = repository.commit({b"x": (FILE, b"x")})
    rows = "".join(f"{commit} refs/tags/v{number}\n" for number in range(TAKEN + 1))
    (repository.path / "packed-refs").write_text(f"# pack-refs with: peeled fully-peeled sorted\n{rows}")
    done = git(repository, "push", platform.url(f"alice/{name}", "alice"), "refs/tags/*")
    assert done.returncode
    assert "too many refs or options in one push" in done.stderr
    assert "Push in parts" in done.stderr


def test_a_repository_with_very_many_refs_answers_and_takes_no_more(
    watched: Watch, platform: Platform, name: str, repository: Repository
) -> None:
    commit = repository.commit({b"x": (FILE, b"x")})
    url = platform.url(f"alice/{name}", "alice")
    assert git(repository, "push", url, f"{commit}:refs/heads/main").returncode == 0
    rows = "".join(f"{commit} refs/tags/v{number:06}\n" for number in range(KEPT))
    (bare(platform, name) / "packed-refs").write_text(f"# pack-refs with: peeled fully-peeled sorted\n{rows}")
    said = git(repository, "push", url, f"{commit}:refs/heads/one-more").stderr
    assert f"this repository has {KEPT + 1} refs and may have {KEPT}: 1 more are too many" in said
    assert git(repository, "push", url, ":refs/tags/v000007", f"{commit}:refs/heads/instead").returncode == 0
    listed = git(repository, "ls-remote", url)
    assert listed.stdout.count("\n") == KEPT + 2  # with HEAD
    watched.settled(name)
    watched.check(name)


def test_branches_whose_names_look_alike_stay_two(
    watched: Watch, platform: Platform, name: str, repository: Repository
) -> None:
    url = platform.url(f"alice/{name}", "alice")
    tips = {}
    for number, branch in enumerate(("caf\u00e9", "cafe\u0301")):
        tips[f"refs/heads/{branch}"] = tip = repository.commit(
            {b"dvc.yaml": (FILE, b"stages: {a: {cmd: echo %d}}\n" % number)}
        )
        assert git(repository, "push", url, f"{tip}:refs/heads/{branch}").returncode == 0
    listed = [row.split("\t") for row in git(repository, "ls-remote", "--heads", url).stdout.splitlines()]
    assert {ref: sha for sha, ref in listed} == tips
    for number in (1, 2):
        assert platform.ended(f"alice/{name}", number)["status"] == "succeeded"
    assert git(repository, "push", url, ":refs/heads/cafe\u0301").returncode == 0
    assert "caf\u00e9" in git(repository, "ls-remote", "--heads", url).stdout


@pytest.mark.full
@pytest.mark.timeout(900)
def test_pushes_of_thousands_of_branches_leave_room_for_others(
    watched: Watch, platform: Platform, name: str, repository: Repository
) -> None:
    files = {b"dvc.yaml": (FILE, b"stages: {a: {cmd: 'true'}}\n")}
    commit = repository.commit(files)
    rows = "".join(f"{commit} refs/heads/b{number:05}\n" for number in range(TAKEN))
    (repository.path / "packed-refs").write_text(f"# pack-refs with: peeled fully-peeled sorted\n{rows}")
    done = git(repository, "push", "--quiet", platform.url(f"alice/{name}", "alice"), "refs/heads/*")
    assert done.returncode == 0, done.stderr
    other = repository.commit({**files, b"x": (FILE, b"x")})
    assert (
        git(repository, "push", "--quiet", platform.url("alice/beside", "alice"), f"{other}:refs/heads/main").returncode
        == 0
    )
    waiting = "SELECT count(*) FROM events WHERE state IN ('announced', 'landed')"
    assert platform.ended("alice/beside", seconds=30)["status"] == "succeeded"
    assert platform.query(waiting)[0][0] > 0, "the other's turn came before the end of those"
    wait(lambda: platform.query(waiting)[0][0] == 0, "all are planned", 800)
