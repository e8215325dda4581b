"""SIGKILL to the server while a stage runs: the stage goes on, the run is recorded, and everything happens once."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from platforms import Platform, new_copy, wait


@pytest.fixture
def own(tmp_path: Path) -> Iterator[Platform]:
    """A platform that a test may kill."""
    running = Platform(tmp_path / "data").start()
    yield running
    running.stop()


def test_a_run_survives_the_death_of_its_server(own: Platform, tmp_path: Path) -> None:
    proof, started = tmp_path / "proof", tmp_path / "started"
    copy = new_copy(tmp_path / "copy", {
        "dvc.yaml": "stages:\n"
        f"  slow: {{cmd: 'echo run >> {proof} && touch {started} && sleep 3 && cp in.txt a.txt', deps: [in.txt], outs: [a.txt]}}\n"
        f"  after: {{cmd: 'echo after >> {proof} && cp a.txt b.txt', deps: [a.txt], outs: [b.txt]}}\n",
        "in.txt": "x\n",
    })  # fmt: skip
    own.user("alice", "--admin")
    copy.git("push", "--quiet", own.url("alice/slow", "alice"), "main")
    wait(started.exists, "the stage starts")
    own.kill()
    assert own.runs("alice/slow")[0]["status"] == "running"
    own.start()
    run = own.ended("alice/slow")
    assert run["status"] == "succeeded", own.log()[-3000:]
    assert [(stage["name"], stage["status"], stage["attempt"]) for stage in run["stages"]] == [
        ("slow", "succeeded", 1), ("after", "succeeded", 1),
    ]  # fmt: skip
    assert proof.read_text() == "run\nafter\n"
    assert len(own.runs("alice/slow")) == 1
    copy.git("fetch", "--quiet", own.url("alice/slow", "alice"), "refs/exps/*:refs/exps/*")
    assert copy.git("for-each-ref", "refs/exps").stdout.count("run-1") == 1


def test_a_push_that_only_git_knows_of_is_run(own: Platform, tmp_path: Path) -> None:
    own.user("alice", "--admin")
    copy = new_copy(tmp_path / "copy", {"dvc.yaml": "stages:\n  a: {cmd: echo 1 > a.txt, outs: [a.txt]}\n"})
    url = own.url("alice/one", "alice")
    copy.git("push", "--quiet", url, "main")
    own.ended("alice/one")
    sha = copy.write({"dvc.yaml": "stages:\n  a: {cmd: echo 2 > a.txt, outs: [a.txt]}\n"}).commit()
    own.stop()
    bare = next((own.data / "repos").glob("*.git"))
    copy.git("push", "--quiet", str(bare), "main")  # past every hook, as a crash between ref and event would be
    own.start()
    assert wait(lambda: len(own.runs("alice/one")) == 2, "the sweeper finds it")
    assert own.ended("alice/one", 2)["commit"] == sha


def test_two_platforms_do_not_share_a_data_directory(own: Platform) -> None:
    second = Platform(own.data)
    with pytest.raises(AssertionError, match="another Refmill runs"):
        second.start()
    second.stop()
