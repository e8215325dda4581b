"""A data directory whose path is longer than a unix socket's address may be."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from platforms import Platform, new_copy


@pytest.fixture
def deep(tmp_path: Path) -> Iterator[Platform]:
    folder = tmp_path.joinpath(*["a-folder-with-quite-a-long-name-and-the-word-数据-in-it"] * 4)
    folder.mkdir(parents=True)
    assert len(str(folder / "data" / "run" / "resolver.sock").encode()) > 250
    running = Platform(folder / "data").start()
    yield running
    running.stop()


def test_a_push_runs_in_a_very_deep_data_directory(deep: Platform, tmp_path: Path) -> None:
    deep.user("alice", "--admin")
    pipeline = "stages:\n  a: {cmd: cp in.txt a.txt, deps: [in.txt], outs: [a.txt]}\n"
    copy = new_copy(tmp_path / "copy", {"dvc.yaml": pipeline, "in.txt": "0\n"})
    for number in range(1, 5):  # a machine that is busy may once be slower than git is patient
        copy.write({"in.txt": f"{number}\n"}).commit()
        pushed = copy.git("push", deep.url("alice/deep", "alice"), "main").stderr
        assert deep.ended("alice/deep", number)["status"] == "succeeded", deep.log()[-3000:]
        if f"/alice/deep/runs/{number}" in pushed:
            break
    else:
        pytest.fail("the bell rings, and the resolver answers, within git's patience")
    copy.write({"dvc.yaml": "stages:\n  a: {cmd: cp in.txt a.txt, depz: [in.txt]}\n"}).commit()
    refused = copy.git("push", deep.url("alice/deep", "alice"), "main", check=False)
    assert refused.returncode != 0
    assert "depz" in refused.stderr
