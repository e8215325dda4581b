"""What people do with a run: wait for data, stop, retry, follow, have results committed, skip."""

import json
import os
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from platforms import REFMILL, Copy, Platform, wait
from terminals import typed

SLOW = "stages:\n  slow: {cmd: 'echo begun && sleep 60', deps: [in.txt], outs: [a.txt]}\n"
FLAKY = "stages:\n  good: {cmd: cp in.txt a.txt, deps: [in.txt], outs: [a.txt]}\n  bad: {cmd: 'test -e %s && cp a.txt b.txt', deps: [a.txt], outs: [b.txt]}\n"


def test_a_run_waits_for_its_data_and_starts_when_it_is_there(
    platform: Platform, project: Callable[[dict[str, str]], Copy], name: str
) -> None:
    copy = project(
        {
            "dvc.yaml": "stages:\n  use: {cmd: cp data/in.csv out.csv, deps: [data/in.csv], outs: [out.csv]}\n",
            "data/in.csv": "1,2\n",
        }
    )
    copy.git("rm", "--quiet", "--cached", "data/in.csv")
    copy.dvc("add", "--quiet", "data/in.csv")
    copy.commit("tracked")
    pushed = copy.git("push", platform.url(f"alice/{name}", "alice"), "main").stderr
    assert "missing data: 1 object," in pushed
    assert f"dvc remote add --force --default refmill {platform.address}/alice/{name}.dvc" in pushed
    (run,) = platform.runs(f"alice/{name}")
    assert (run["status"], run["stages"][0]["status"]) == ("queued", "blocked")
    copy.dvc("remote", "add", "--local", "refmill", platform.url(f"alice/{name}", ending=".dvc"))
    copy.dvc("remote", "modify", "--local", "refmill", "auth", "basic")
    copy.dvc("remote", "modify", "--local", "refmill", "user", "alice")
    copy.dvc("remote", "modify", "--local", "refmill", "password", platform.user("alice"))
    copy.dvc("push", "--quiet", "-r", "refmill")
    assert platform.ended(f"alice/{name}")["status"] == "succeeded"


def test_a_stopped_run_ends_its_processes(
    platform: Platform, project: Callable[[dict[str, str]], Copy], name: str
) -> None:
    copy = project({"dvc.yaml": SLOW, "in.txt": name})
    copy.git("push", "--quiet", platform.url(f"alice/{name}", "alice"), "main")
    wait(lambda: "begun" in platform.refmill("logs", f"alice/{name}#1"), "the stage prints")
    stopped = json.loads(platform.refmill("stop", f"alice/{name}#1", "--json"))
    assert stopped["status"] == "stopped"
    run = platform.ended(f"alice/{name}")
    assert [stage["status"] for stage in run["stages"]] == ["stopped"]
    assert platform.refmill("stop", f"alice/{name}#1", check=False) == ""


def test_a_retry_takes_over_what_is_done(
    platform: Platform, project: Callable[[dict[str, str]], Copy], name: str, tmp_path: Path
) -> None:
    copy = project({"dvc.yaml": FLAKY % (tmp_path / "now"), "in.txt": name})
    copy.git("push", "--quiet", platform.url(f"alice/{name}", "alice"), "main")
    failed = platform.ended(f"alice/{name}")
    assert failed["status"] == "failed"
    assert {stage["name"]: stage["status"] for stage in failed["stages"]} == {"good": "succeeded", "bad": "failed"}
    assert failed["stages"][1]["exit_code"] == 1
    (tmp_path / "now").touch()
    made = json.loads(platform.refmill("retry", f"alice/{name}#1", "--json"))
    assert made["attempt"] == 2
    again = platform.ended(f"alice/{name}", 2)
    assert again["status"] == "succeeded"
    assert {stage["name"]: stage["status"] for stage in again["stages"]} == {"good": "cached", "bad": "succeeded"}
    shown = platform.refmill("show", f"alice/{name}#2")
    assert f"{platform.address}/alice/{name}/runs/2" in shown
    assert "dvc exp apply run-2" in shown
    quiet = [REFMILL, "logs", f"alice/{name}#2", "good", "--data", str(platform.data)]
    assert "from the cache" in subprocess.run(quiet, capture_output=True, text=True, check=True).stderr
    quiet[3] = "nobody"
    unknown = subprocess.run(quiet, capture_output=True, text=True, check=False)
    assert unknown.returncode == 2
    assert "There are: bad, good" in unknown.stderr


STEERING = "\x1b]52;c;aGVsbG8=\x07\x1b]0;title\x07\x1b[2J"


def test_what_others_wrote_does_not_steer_the_terminal_of_whoever_looks(
    platform: Platform, project: Callable[[dict[str, str]], Copy], name: str, tmp_path: Path
) -> None:
    copy = project(
        {"dvc.yaml": "stages:\n  says: {cmd: cat said.txt, deps: [said.txt]}\n", "said.txt": STEERING + name}
    )
    copy.git("commit", "--quiet", "--allow-empty", "-m", f"{STEERING}subject")
    copy.git("push", "--quiet", platform.url(f"alice/{name}", "alice"), "main")
    platform.ended(f"alice/{name}")
    for asked in (["logs", f"alice/{name}#1"], ["show", f"alice/{name}#1"], ["runs", f"alice/{name}"]):
        environ = [f"{variable}={value}" for variable, value in platform.environment.items()]
        code, shown = typed(["env", *environ, str(REFMILL), *asked, "--data", str(platform.data)], tmp_path)
        assert code == 0, shown
        assert (name if asked[0] == "logs" else "subject").encode() in shown
        assert b"\x1b]" not in shown, asked
        assert b"\x1b[2J" not in shown, asked


def test_a_log_is_followed_to_its_end(platform: Platform, project: Callable[[dict[str, str]], Copy], name: str) -> None:
    copy = project(
        {
            "dvc.yaml": "stages:\n  talk: {cmd: 'for i in 1 2 3; do echo line $i; sleep 0.3; done', deps: [in.txt]}\n",
            "in.txt": name,
        }
    )
    copy.git("push", "--quiet", platform.url(f"alice/{name}", "alice"), "main")
    lines: list[str] = []
    follower = threading.Thread(
        target=lambda: lines.extend(platform.refmill("logs", f"alice/{name}#1", "talk", "-f").splitlines())
    )
    follower.start()
    follower.join(30)
    assert [line for line in lines if line.startswith("line")] == ["line 1", "line 2", "line 3"]


def test_results_are_committed_where_that_is_asked_for(
    platform: Platform, project: Callable[[dict[str, str]], Copy], name: str
) -> None:
    spec = "apiVersion: refmill/v1\nkind: Pipeline\nmetadata: {name: x}\nspec:\n  results: commit\n"
    copy = project(
        {
            "dvc.yaml": "stages:\n  a: {cmd: cp in.txt a.txt, deps: [in.txt], outs: [a.txt]}\n",
            "in.txt": "1\n",
            "refmill.yaml": spec,
        }
    )
    url = platform.url(f"alice/{name}", "alice")
    copy.git("push", "--quiet", url, "main")
    assert platform.ended(f"alice/{name}")["status"] == "succeeded"
    copy.git("pull", "--quiet", url, "main")
    assert (copy.path / "dvc.lock").exists()
    assert "Refmill-Run: " in copy.git("log", "-1", "--format=%B").stdout
    assert len(platform.runs(f"alice/{name}")) == 1


@pytest.mark.parametrize("way", ["message", "option"])
def test_a_push_can_ask_for_silence(
    platform: Platform, project: Callable[[dict[str, str]], Copy], name: str, way: str
) -> None:
    copy = project(
        {"dvc.yaml": "stages:\n  a: {cmd: cp in.txt a.txt, deps: [in.txt], outs: [a.txt]}\n", "in.txt": "1\n"}
    )
    copy.git("commit", "--quiet", "--allow-empty", "--message", "words [skip ci]" if way == "message" else "words")
    options = ["-o", "refmill.skip"] if way == "option" else []
    assert "nothing started" in copy.git("push", *options, platform.url(f"alice/{name}", "alice"), "main").stderr
    assert platform.runs(f"alice/{name}") == []


def test_an_import_is_brought_from_the_repository_beside(
    platform: Platform, project: Callable[[dict[str, str]], Copy], name: str, tmp_path: Path
) -> None:
    source = project({"table.csv": "1,2\n"})
    source.git("rm", "--quiet", "--cached", "table.csv")
    source.dvc("add", "--quiet", "table.csv")
    source.commit("tracked")
    source.dvc("remote", "add", "-d", "refmill", platform.url(f"alice/{name}-data", "alice", ".dvc"))
    source.git("push", "--quiet", platform.url(f"alice/{name}-data", "alice"), "main")
    source.dvc("push", "--quiet")
    user = Copy(tmp_path / "user")
    user.path.mkdir()
    user.git("init", "--quiet", "--initial-branch=main")
    user.dvc("init", "--quiet")
    user.write({"dvc.yaml": "stages:\n  use: {cmd: cp in.csv out.csv, deps: [in.csv], outs: [out.csv]}\n"})
    user.dvc("import", "--quiet", "--no-download", str(source.path), "table.csv", "-o", "in.csv")
    pin = user.path / "in.csv.dvc"
    pin.write_text(pin.read_text().replace(str(source.path), platform.url(f"alice/{name}-data")))
    tracked = (source.path / "table.csv.dvc").read_text()
    if "md5: " not in pin.read_text().partition("outs:")[2]:
        pin.write_text(
            pin.read_text().partition("outs:")[0]
            + tracked.replace("table.csv", "in.csv").partition("outs:")[1]
            + tracked.replace("table.csv", "in.csv").partition("outs:")[2]
        )
    user.commit("import")
    pushed = user.git("push", platform.url(f"alice/{name}", "alice"), "main").stderr
    assert "blocked" not in pushed
    assert platform.ended(f"alice/{name}")["status"] == "succeeded"
    # Somebody who may not read the source gets nothing of it.
    platform.user("bob")
    refused = user.git("push", platform.url(f"bob/{name}", "bob"), "main").stderr
    assert "missing data: 1 object," in refused


def test_login_sets_up_git_and_dvc(
    platform: Platform, project: Callable[[dict[str, str]], Copy], name: str, tmp_path: Path
) -> None:
    home = tmp_path / "home"
    home.mkdir()
    (home / ".gitconfig").write_text("[user]\n\tname = x\n\temail = x@example.org\n")
    (home / ".netrc").write_text("machine other.example login me password mine\n")
    copy = project(
        {"dvc.yaml": "stages:\n  a: {cmd: cp in.txt a.txt, deps: [in.txt], outs: [a.txt]}\n", "in.txt": "1\n"}
    )
    copy.environment = {"HOME": str(home), "XDG_CONFIG_HOME": str(home / ".config")}
    copy.git("remote", "add", "origin", platform.url(f"alice/{name}"))
    done = subprocess.run(
        [REFMILL, "login", platform.address, "--user", "alice", "--password-stdin"], input="secret-alice\n",
        cwd=copy.path, env=os.environ | copy.environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    copy.git("push", "--quiet", "origin", "main")
    assert platform.ended(f"alice/{name}")["status"] == "succeeded"
    copy.dvc("exp", "pull", "origin", "run-1")
    copy.dvc("exp", "apply", "run-1")
    copy.dvc("pull")
    assert (copy.path / "a.txt").read_text() == "1\n"
    assert "machine other.example login me password mine" in (home / ".netrc").read_text()
    assert (home / ".netrc").stat().st_mode & 0o077 == 0
