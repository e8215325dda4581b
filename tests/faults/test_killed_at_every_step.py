"""The whole platform dies at each step that touches disk, database, refs or processes, on the way from a push to its
result, and comes back: what was acknowledged is there, everything is recorded once, and nothing is left behind."""

import hashlib
import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from faults.breaking import Breaking, assert_listed, assert_whole, chosen
from platforms import Copy, new_copy, wait

DATA = b"some data\n"
SPEC = "apiVersion: refmill/v1\nkind: Pipeline\nmetadata: {name: one}\nspec: {results: commit}\n"
_COUNT = itertools.count(1)
_WAITING = """
SELECT md5 FROM missing_objects JOIN repositories ON repository_id = repositories.id JOIN users ON owner_id = users.id
WHERE users.name = ? AND repositories.name = ?
"""


@pytest.fixture(scope="module")
def breaking(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Breaking]:
    """A platform that dies again and again."""
    running = Breaking(tmp_path_factory.mktemp("breaking")).start()
    running.user("alice", "--admin")
    yield running
    running.stop()


def project(place: Path, proof: Path, environment: str = "") -> Copy:
    """Two stages, the first of which needs an object and makes a directory; `environment` makes theirs a new one."""
    md5 = hashlib.md5(DATA).hexdigest()
    return new_copy(place, {
        ".gitignore": "/data.txt\n",
        "data.txt.dvc": f"outs:\n- md5: {md5}\n  size: {len(DATA)}\n  hash: md5\n  path: data.txt\n",
        "dvc.yaml": "stages:\n"
        f"  one: {{cmd: 'echo one >> {proof}; mkdir out; sort data.txt data.txt > out/x; echo 1 > m.json', deps: [data.txt], outs: [out],"
        " metrics: [m.json: {cache: false}]}\n"
        f"  two: {{cmd: 'echo two >> {proof}; sort out/x out/x > b.txt', deps: [out], outs: [b.txt]}}\n",
        "refmill.yaml": SPEC,
        "requirements.txt": f"# {environment}\n",
    })  # fmt: skip


def push_and_upload(platform: Breaking, name: str, copy: Copy) -> None:
    """A push whose first stage waits for an object, then the object."""

    def pushed() -> bool:
        done = copy.git("push", platform.url(name, "alice"), "main", check=False)
        assert done.returncode == 0 or platform.dead or "disconnect" in done.stderr, done.stderr
        return done.returncode == 0

    platform.surely(pushed)
    wait(lambda: waits(platform, name), f"the run of {name} waits for its object; {platform.log()[-3000:]}")
    platform.surely(lambda: platform.upload(name, DATA))


def waits(platform: Breaking, name: str) -> bool:
    """Whether the run waits for its object. One that arrives sooner takes other steps than those that are listed."""
    platform.back()
    return bool(platform.query(_WAITING, *name.split("/")))


def test_the_steps_of_a_push_are_those_that_are_listed(tmp_path: Path, request: pytest.FixtureRequest) -> None:
    platform = Breaking(tmp_path).start()
    platform.user("alice", "--admin")
    platform.record()
    copy = project(tmp_path / "copy", tmp_path / "proof")
    push_and_upload(platform, "alice/one", copy)
    platform.finished("alice/one")
    assert_whole(platform, [platform.runs("alice/one")[0]["id"]])
    assert_listed(platform, "push", write=request.config.getoption("--write-points"))
    platform.stop()


@pytest.mark.parametrize("point", chosen("push", ["git : prepared", "git : committed"]))
def test_a_push_survives_a_death_at(point: str, breaking: Breaking, tmp_path: Path) -> None:
    for fresh in (False, True):  # some steps are done once in the life of a process
        name, proof = f"alice/dies{next(_COUNT)}", tmp_path / f"proof{fresh}"
        copy = project(tmp_path / f"copy{fresh}", proof, name if "engine.environments" in point else "")
        if fresh:
            breaking.kill()
        breaking.back()
        breaking.arm(point)
        push_and_upload(breaking, name, copy)
        run = breaking.finished(name)
        breaking.late()
        breaking.done()
        if breaking.fired:
            break
    assert breaking.fired, f"{point} was not reached"
    breaking.back()
    assert_result(breaking, name, copy, run, proof)


def assert_result(platform: Breaking, name: str, copy: Copy, run: dict[str, Any], proof: Path) -> None:
    """One run, each command once for each attempt, one experiment, the lock on the branch, and nothing left over."""
    assert run["status"] == "succeeded", (run, platform.log()[-3000:])
    assert [found["number"] for found in platform.runs(name)] == [1]
    stages = {stage["name"]: stage for stage in run["stages"]}
    ran = proof.read_text().split()
    for stage in ("one", "two"):
        assert stages[stage]["status"] in ("succeeded", "cached")
        assert 1 <= ran.count(stage) <= max(1, stages[stage]["attempt"]), (ran, run)
    url = platform.url(name, "alice")
    listed = copy.git("ls-remote", url).stdout.split()[1::2]
    assert [ref.rpartition("/")[2] for ref in listed if ref.startswith("refs/exps/")] == ["run-1"]
    copy.git("pull", "--quiet", url, "main")
    lock = (copy.path / "dvc.lock").read_text()
    assert "b.txt" in lock and (copy.path / "m.json").read_text() == "1\n"  # noqa: PT018
    assert copy.git("rev-list", "--count", "HEAD").stdout.strip() == "2"
    assert_whole(platform, [run["id"]])
