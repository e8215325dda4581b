"""A git that takes a push is killed alone, while it holds locks of refs: the next push works, without a restart."""

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from fakes.git_hosting import Client, Hosting
from platforms import wait
from refmill.ports.repositories import NewCommit
from refmill_repos import writers
from refmill_repos.gate import Push, Verdict
from refmill_repos.refs import BareRefs
from refmill_repos.store import BareRepositories

HOOK = """#!/bin/sh
if [ "$1" = prepared ] && rm "{armed}" 2>/dev/null; then
    find "{bare}" -name '*.lock' >"{armed}.locks"
    kill -9 "$PPID"
fi
"""
"""Git runs it when all locks are taken and no ref has moved."""


@pytest.fixture
def armed(git: Client, hosting: Hosting, work: Path, tmp_path: Path) -> Path:
    """A file: while it is there, the next git that moves refs of alice/churn is killed, and notes its locks."""
    git("push", "-q", hosting.url("alice/churn"), "main", "main:old", cwd=work)
    place = tmp_path / "armed"
    hook = hosting.root / ".hooks" / "reference-transaction"
    hook.write_text(HOOK.format(armed=place, bare=hosting.bare("alice/churn")))
    hook.chmod(0o755)
    return place


def locks(hosting: Hosting) -> list[Path]:
    return list(writers.left(hosting.bare("alice/churn")))


@pytest.mark.parametrize(
    ("refspecs", "lock"),
    [(["main"], "refs/heads/main.lock"), ([":old"], "packed-refs.lock"), (["main", "main:a/b", ":old"], "a/b.lock")],
)
def test_the_push_after_a_killed_one_works(
    git: Client, hosting: Hosting, work: Path, armed: Path, refspecs: list[str], lock: str
) -> None:
    hosting.gate.store.pack_refs(hosting.gate.ids["alice/churn"])
    sha = git.commit(work, {"n": "1"})
    armed.touch()
    said = git("push", "--atomic", hosting.url("alice/churn"), *refspecs, cwd=work, fails=True)
    assert "remote: git was killed while it took this push" in said
    assert lock in armed.with_name("armed.locks").read_text()
    git("push", "-q", hosting.url("alice/churn"), *refspecs, cwd=work)
    assert locks(hosting) == []
    tips = git("ls-remote", "--heads", hosting.url("alice/churn"))
    assert (f"{sha}\trefs/heads/main" in tips) == ("main" in refspecs)
    assert ("refs/heads/old" in tips) == (":old" not in refspecs)
    git("fsck", "--strict", "--no-dangling", cwd=hosting.bare("alice/churn"))


def test_locks_stay_while_another_push_is_on_its_way_and_go_with_its_end(
    git: Client, hosting: Hosting, work: Path, armed: Path
) -> None:
    came, go = threading.Event(), threading.Event()

    def before(push: Push) -> Verdict:
        if push.updates[0].ref == "refs/heads/slow":
            came.set()
            go.wait(60)
        return Verdict(accepted=True)

    hosting.listener.before = before  # type: ignore[method-assign]
    git.commit(work, {"n": "1"})
    slow = threading.Thread(target=lambda: git("push", "-q", hosting.url("alice/churn"), "main:slow", cwd=work))
    slow.start()
    try:
        assert came.wait(60)
        armed.touch()
        git("push", hosting.url("alice/churn"), "main", cwd=work, fails=True)
        assert hosting.bare("alice/churn") / "refs/heads/main.lock" in locks(hosting)
    finally:
        go.set()
        slow.join()
    wait(lambda: not locks(hosting), "the locks go", 10)
    git("push", "-q", hosting.url("alice/churn"), "main", cwd=work)


def test_results_are_recorded_after_a_git_and_its_parent_were_killed(git: Client, tmp_path: Path) -> None:
    store = BareRepositories(tmp_path / "repos")
    store.create("r1", "main")
    sha = git.commit(tmp_path / "work", {"a": "x"})
    git("push", "-q", store.path("r1"), "main", cwd=tmp_path / "work")
    script = (
        "import os, signal, subprocess, sys\nfrom pathlib import Path\nfrom refmill_repos.writers import writing\n"
        "with writing(Path(sys.argv[1])) as fd:\n"
        "    child = subprocess.Popen(['git', '--git-dir', sys.argv[1], 'update-ref', '--stdin'], pass_fds=[fd],\n"
        "                             stdin=subprocess.PIPE, stdout=subprocess.PIPE)\n"
        "    child.stdin.write(f'start\\nupdate refs/heads/main {sys.argv[2]}\\nprepare\\n'.encode())\n"
        "    child.stdin.flush()\n"
        "    child.stdout.readline(), child.stdout.readline()\n"
        "    os.kill(child.pid, signal.SIGKILL)\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    killed = subprocess.run([sys.executable, "-c", script, store.path("r1"), sha], env=os.environ, check=False)
    assert killed.returncode == -signal.SIGKILL
    assert [path.name for path in writers.left(store.path("r1"))] == ["HEAD.lock", "main.lock"]
    commit = NewCommit(sha, {"b": b"y"}, "result\n", "Refmill", "refmill@localhost", 1)
    assert BareRefs(tmp_path / "repos").record("r1", commit, "refs/heads/main", sha) != sha
    assert list(writers.left(store.path("r1"))) == []
