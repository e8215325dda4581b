"""Old experiments are removed while the platform runs, and a run whose experiment is gone makes one again."""

import json
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from platforms import Platform, new_copy, wait


@pytest.fixture
def own(tmp_path: Path) -> Iterator[Platform]:
    """A platform that keeps one experiment and looks after its repositories all the time."""
    running = Platform(tmp_path / "data")
    running.start("--experiments", "1", "--upkeep-seconds", "0.2")
    yield running
    running.stop()


def test_an_old_experiment_goes_and_can_be_had_again(own: Platform, tmp_path: Path) -> None:
    own.user("alice", "--admin")
    files = {"dvc.yaml": "stages:\n  a: {cmd: cp in.txt a.txt, deps: [in.txt], outs: [a.txt]}\n", "in.txt": "1"}
    copy, url = new_copy(tmp_path / "copy", files), own.url("alice/churn", "alice")

    def experiments() -> list[str]:
        lines = copy.git("ls-remote", url, "refs/exps/*").stdout.splitlines()
        return sorted(line.rpartition("/")[2] for line in lines)

    copy.git("push", "--quiet", url, "main")
    own.ended("alice/churn")
    assert experiments() == ["run-1"]
    first = copy.git("rev-parse", "HEAD").stdout.strip()
    copy.git("push", "--quiet", url, f"{first}:refs/exps/{first[:2]}/{first[2:]}/mine")
    copy.write({"in.txt": "2"}).commit()
    copy.git("push", "--quiet", url, "main")
    own.ended("alice/churn", 2)
    wait(lambda: experiments() == ["mine", "run-2"], "the old one is removed")
    own.refmill("repo", "change", "alice/churn", "--public")
    with urllib.request.urlopen(f"{own.address}/alice/churn/runs/1") as page:
        assert b"Git no longer has the experiment run-1" in page.read()
    assert json.loads(own.refmill("retry", "alice/churn#1", "--json"))["number"] == 3
    assert own.ended("alice/churn", 3)["status"] == "succeeded"
    wait(lambda: experiments() == ["mine", "run-3"], "the newest is kept")
