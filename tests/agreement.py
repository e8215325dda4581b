"""One project three ways: by `dvc repro`, by `refmill run` and by a push, which must leave the same bytes."""

import shutil
from collections.abc import Callable
from pathlib import Path

from platforms import REFMILL, Copy, Platform, new_copy


def results(copy: Copy) -> dict[str, bytes]:
    """What a run leaves in a working copy that git would see, but for the metrics' own folder."""
    listed = copy.git(
        "-c", "core.quotePath=false", "ls-files", "--others", "--modified", "--exclude-standard", "-z"
    ).stdout
    return {path: (copy.path / path).read_bytes() for path in listed.split("\0") if path}


def cached(copy: Copy) -> set[str]:
    """The cache and the run-cache."""
    cache = copy.path / ".dvc" / "cache"
    return {str(path.relative_to(cache)) for path in cache.rglob("*") if path.is_file()}


def recorded(copy: Copy) -> dict[str, bytes]:
    """What the run's experiment adds to the commit."""
    copy.git("fetch", "--quiet", "origin", "refs/exps/*:refs/exps/*")
    ref = copy.git("for-each-ref", "--format=%(refname)", "refs/exps").stdout.strip()
    listed = copy.git("diff", "--name-only", "-z", "main", ref).stdout
    return {path: copy.bytes_of("git", "show", f"{ref}:{path}") for path in listed.split("\0") if path}


def assert_agreement(
    platform: Platform, name: str, folder: Path, files: dict[str, str], *,
    prepare: Callable[[Copy], None] = lambda _: None, ready: Callable[[Copy], None] = lambda _: None,
    settled: bool = True,
) -> Copy:  # fmt: skip
    """Make the project of `files` and what `prepare` adds to it; hold the three ways against each other.

    `ready` is done in the pushed working copy after its push. A project that DVC itself never finds up to date is
    not `settled`. Gives the working copy that `dvc repro` worked in.
    """
    oracle = new_copy(folder / "oracle", files)
    prepare(oracle)
    pushed, here = Copy(folder / "pushed"), Copy(folder / "here")
    for copy in (pushed, here):
        shutil.copytree(oracle.path, copy.path, symlinks=True)
    pushed.git("remote", "add", "origin", platform.url(f"alice/{name}", "alice"))
    pushed.git("push", "--quiet", "origin", "main")
    ready(pushed)
    oracle.dvc("repro", "--quiet")
    wanted = results(oracle)
    assert "dvc.lock" in wanted

    done = here.run(REFMILL, "run", "-j", "3")
    assert results(here) == wanted, done.stdout
    assert cached(here) == cached(oracle)
    assert "up to date" in here.dvc("repro").stdout or not settled
    assert "nothing to run" in here.run(REFMILL, "run").stdout

    run = platform.ended(f"alice/{name}")
    assert run["status"] == "succeeded", platform.log()[-3000:]
    assert {path: data.decode(errors="replace") for path, data in recorded(pushed).items()} == {
        path: data.decode(errors="replace") for path, data in wanted.items()
    }
    return oracle


def dvc_push(platform: Platform, name: str) -> Callable[[Copy], None]:
    """For `ready`: bring the data to the platform's own remote, as its answer to the push says."""

    def push(copy: Copy) -> None:
        copy.dvc("remote", "add", "--local", "--force", "refmill", platform.url(f"alice/{name}", ending=".dvc"))
        for key, value in {"auth": "basic", "user": "alice", "password": platform.user("alice")}.items():
            copy.dvc("remote", "modify", "--local", "refmill", key, value)
        copy.dvc("push", "--quiet", "--remote", "refmill")

    return push
