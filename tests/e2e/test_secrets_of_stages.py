"""Secrets on their way: set by command, given to the stage that names them, and in no file and no log."""

import base64
from collections.abc import Callable

from platforms import Copy, Platform, wait

SECRET = "tr0ub4dor&3/+key"
SPEC = """\
apiVersion: refmill/v1
kind: Pipeline
metadata: {name: project}
spec:
  stages:
    uses: {secrets: {API_KEY: SERVICE_KEY}}
"""
PIPELINE = """\
stages:
  uses:
    cmd:
    - printf 'key=%s\\n' "$API_KEY"; printf "$API_KEY" | base64; env | grep -c SERVICE_KEY || true
    - printf "$API_KEY" | wc -c > size.txt; ls $(dirname $HOME) > seen.txt
    outs: [size.txt, seen.txt]
  without: {cmd: 'printenv API_KEY > none.txt || echo none > none.txt', outs: [none.txt]}
"""


def test_only_the_stage_that_names_a_secret_has_it(
    platform: Platform, name: str, project: Callable[[dict[str, str]], Copy]
) -> None:
    copy = project({"dvc.yaml": PIPELINE, "refmill.yaml": SPEC})
    full = f"alice/{name}"
    platform.refmill("repo", "add", full)
    platform.refmill("secret", "set", full, "SERVICE_KEY", stdin=f"{SECRET}\n")
    assert "SERVICE_KEY" in platform.refmill("secret", "list", full)
    copy.git("push", "--quiet", platform.url(full, "alice"), "main")
    run = platform.ended(full)
    assert run["status"] == "succeeded", run
    log = platform.refmill("logs", f"{full}#1", "uses")
    assert "key=***" in log
    assert base64.b64encode(SECRET.encode()).decode()[:-4] not in log
    copy.git("fetch", "--quiet", platform.url(full, "alice"), "refs/exps/*:refs/exps/*")
    copy.dvc("remote", "add", "--local", "-d", "refmill", platform.url(full, "alice", ".dvc"))
    ref = copy.git("for-each-ref", "--format=%(refname)", "refs/exps").stdout.split()[0]
    copy.git("checkout", "--quiet", ref)
    copy.dvc("pull", "--quiet")
    assert (copy.path / "size.txt").read_text().strip() == str(len(SECRET))
    assert (copy.path / "none.txt").read_text() == "none\n"
    assert "secrets.json" not in (copy.path / "seen.txt").read_text()
    for path in platform.data.rglob("*"):
        if path.is_file() and not path.is_symlink():
            assert SECRET.encode() not in path.read_bytes(), path


def test_a_secret_that_is_not_set_is_named_and_the_run_can_be_retried(
    platform: Platform, name: str, project: Callable[[dict[str, str]], Copy]
) -> None:
    copy = project({"dvc.yaml": PIPELINE, "refmill.yaml": SPEC})
    full = f"alice/{name}"
    copy.git("push", "--quiet", platform.url(full, "alice"), "main")
    run = platform.ended(full)
    assert run["status"] == "failed"
    assert f"`refmill secret set {full} SERVICE_KEY`" in run["explanation"], run
    platform.refmill("secret", "set", full, "SERVICE_KEY", stdin=SECRET)
    platform.refmill("retry", f"{full}#1")
    assert wait(lambda: len(platform.runs(full)) == 2, "the retry is there")
    assert platform.ended(full, 2)["status"] == "succeeded"


def test_a_removed_secret_is_gone(platform: Platform, name: str) -> None:
    full = f"alice/{name}"
    platform.refmill("repo", "add", full)
    platform.refmill("secret", "set", full, "KEY", stdin="12345678")
    platform.refmill("secret", "remove", full, "KEY")
    assert "KEY" not in platform.refmill("secret", "list", full)
    platform.refmill("secret", "remove", full, "KEY", check=False)
