"""A run is run again with other parameters: the same bytes as `dvc exp run -S` makes of them."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from platforms import REFMILL, Copy, Platform

SPEC = "apiVersion: refmill/v1\nkind: Pipeline\nmetadata: {name: x}\nspec: {results: commit}\n"
STAGES = """\
stages:
  prepare: {cmd: cp in.txt clean.txt, deps: [in.txt], outs: [clean.txt]}
  train:
    cmd: git rev-parse HEAD && git status --short -uno && test ${train.rate} -gt 1 && cat clean.txt params.yaml > out.txt && echo '{"x":' ${train.rate} '}' > m.json
    deps: [clean.txt]
    params: [train.rate, other.toml: [depth]]
    outs: [out.txt]
    metrics: [m.json: {cache: false}]
"""
FILES = {
    "dvc.yaml": STAGES,
    "in.txt": "1\n",
    "params.yaml": "# what is tried\ntrain: {rate: 0, names: [a, b]}  # low\nlast: 1e-3\n",
    "other.toml": "depth = 3 # three\n",
    "refmill.yaml": SPEC,
}
WORDS = ("train.rate=5", "other.toml:depth=4", "+train.more=x")


def retry(platform: Platform, run: str, *flags: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(platform.refmill("retry", run, "--json", *flags))
    return found


def set_words(*words: str) -> list[str]:
    return [flag for word in words for flag in ("-S", word)]


def changed(copy: Copy, ref: str) -> dict[str, bytes]:
    """The files that an experiment changes."""
    listed = copy.git("diff", "--name-only", "-z", "main", ref).stdout
    return {path: copy.bytes_of("git", "show", f"{ref}:{path}") for path in listed.split("\0") if path}


def test_a_failed_run_goes_on_with_other_parameters(
    platform: Platform, project: Callable[[dict[str, str]], Copy], name: str, tmp_path: Path
) -> None:
    copy, repository = project(FILES), f"alice/{name}"
    shutil.copytree(copy.path, tmp_path / "oracle")
    url = platform.url(repository, "alice")
    copy.git("push", "--quiet", url, "main")
    assert platform.ended(repository)["status"] == "failed"

    again = retry(platform, f"{repository}#1", *set_words(*WORDS))
    assert (again["number"], again["attempt"], again["parameters"]) == (2, 1, list(WORDS))
    run = platform.ended(repository, 2)
    said = platform.refmill("logs", f"{repository}#2", "train")
    assert run["status"] == "succeeded", said
    assert {stage["name"]: stage["status"] for stage in run["stages"]} == {"prepare": "cached", "train": "succeeded"}
    head = copy.git("rev-parse", "HEAD").stdout.strip()
    _, _, printed = said.partition("$ git rev-parse")  # the command; before it the log may say that there is no sandbox
    assert printed.splitlines()[1:] == [head, "M  other.toml", "M  params.yaml"], "as after a change by hand"
    assert "with train.rate=5 other.toml:depth=4 +train.more=x" in platform.refmill("show", f"{repository}#2")

    oracle = Copy(tmp_path / "oracle")
    oracle.dvc("exp", "run", "--quiet", "--name", "theirs", *set_words(*WORDS))
    theirs = changed(oracle, oracle.git("for-each-ref", "--format=%(refname)", "refs/exps/*/*/theirs").stdout.strip())
    copy.git("fetch", "--quiet", url, "refs/exps/*:refs/exps/*")
    ours = changed(copy, copy.git("for-each-ref", "--format=%(refname)", "refs/exps").stdout.strip())
    assert set(theirs) == {"dvc.lock", "m.json", "other.toml", "params.yaml"}
    assert ours.pop(".gitignore") == b"/clean.txt\n/out.txt\n"  # dvc exp run leaves new ones out of its commit
    assert ours == theirs
    listed = copy.git("ls-remote", url).stdout
    assert f"{head}\trefs/heads/main" in listed  # other parameters are an experiment, whatever `results` says
    hidden = subprocess.run(
        ["git", "for-each-ref", "refs/refmill"], cwd=next((platform.data / "repos").glob("*.git")), check=True,
        capture_output=True, text=True,
    )  # fmt: skip
    assert hidden.stdout == ""

    third = retry(platform, f"{repository}#2", *set_words("train.rate=6"))
    assert third["parameters"] == [*WORDS, "train.rate=6"]
    assert platform.ended(repository, 3)["status"] == "succeeded"
    fourth = retry(platform, f"{repository}#2")
    assert (fourth["parameters"], fourth["attempt"]) == (list(WORDS), 2)
    assert {stage["status"] for stage in platform.ended(repository, 4)["stages"]} == {"cached"}


@pytest.mark.parametrize(
    "words",
    [["train.absent=1"], ["absent.yaml:a=1"], ["../params.yaml:a=1"], ["train.rate=1,2"], ["train.rate"],
     ["last=${oc.env:HOME}"], ["dvc.yaml:a=1"], ["in.txt:a=1"]],
    ids=str,
)  # fmt: skip
def test_parameters_that_cannot_be_set_are_refused_at_once(
    platform: Platform, words: list[str], failed: str, tmp_path: Path
) -> None:
    done = subprocess.run(
        [REFMILL, "retry", failed, *set_words(*words), "--data", str(platform.data)], capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    assert done.returncode == 3, done
    assert "→" in done.stderr
    assert len(platform.runs(failed.partition("#")[0])) == 1


@pytest.fixture(scope="module")
def failed(platform: Platform, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A run that failed. The module may be begun twice on one platform: the folder's name is new each time."""
    copy = Copy(tmp_path_factory.mktemp("failed"))
    name = f"alice/{copy.path.name}"
    copy.git("init", "--quiet", "--initial-branch=main")
    copy.dvc("init", "--quiet")
    copy.write(FILES).commit()
    copy.git("push", "--quiet", platform.url(name, "alice"), "main")
    platform.ended(name)
    return f"{name}#1"


def test_parameters_of_a_project_in_a_directory_are_its_own(platform: Platform, name: str, tmp_path: Path) -> None:
    copy = Copy(tmp_path / "copy")
    copy.path.mkdir()
    copy.git("init", "--quiet", "--initial-branch=main")
    copy.write({f"sub/{path}": content for path, content in FILES.items()})
    Copy(copy.path / "sub").dvc("init", "--quiet", "--subdir")
    copy.write({"params.yaml": "train: {rate: 9}\n"}).commit()
    url = platform.url(f"alice/{name}", "alice")
    copy.git("push", "--quiet", url, "main")
    platform.ended(f"alice/{name}")
    retry(platform, f"alice/{name}#1", "-S", "train.rate=5")
    assert platform.ended(f"alice/{name}", 2)["status"] == "succeeded"
    copy.git("fetch", "--quiet", url, "refs/exps/*:refs/exps/*")
    ref = copy.git("for-each-ref", "--format=%(refname)", "refs/exps").stdout.strip()
    found = changed(copy, ref)
    assert set(found) == {"sub/.gitignore", "sub/dvc.lock", "sub/m.json", "sub/params.yaml"}
    assert b"rate: 5" in found["sub/params.yaml"]
