"""`refmill wait`, and `--exit-status` of `logs` and `show`: scripts learn whether a run succeeded."""

import json
import os
import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from platforms import REFMILL, Copy, Platform, wait

STAGES = """\
stages:
  first: {cmd: 'until test -e %(gate)s; do sleep 0.05; done; cp in.txt a.txt', deps: [in.txt], outs: [a.txt]}
  longer-name: {cmd: 'test -e %(good)s && cp a.txt b.txt', deps: [a.txt], outs: [b.txt]}
"""


class Gated:
    """A pushed project whose first stage ends when `open` is called; its second fails unless `good` was."""

    def __init__(self, platform: Platform, project: Callable[[dict[str, str]], Copy], name: str, folder: Path) -> None:
        self.platform, self.run, self.gate, self.good = platform, f"alice/{name}#1", folder / "gate", folder / "good"
        stages = STAGES % {"gate": self.gate, "good": self.good}
        self.copy = project({"dvc.yaml": stages, "in.txt": name})
        self.copy.git("push", "--quiet", platform.url(f"alice/{name}", "alice"), "main")

    def command(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        flags = ["--data", str(self.platform.data)]
        return subprocess.run([REFMILL, *arguments, *flags], capture_output=True, text=True, check=False)

    def waiting(self, *flags: str) -> subprocess.Popen[str]:
        """`refmill wait`, as soon as it has said that the first stage runs."""
        running = "SELECT 1 FROM stage_attempts WHERE status = 'running' AND run_id = ?"
        (found,) = self.platform.runs(self.run.partition("#")[0])
        wait(lambda: self.platform.query(running, found["id"]), "the first stage runs")
        command = [REFMILL, "wait", self.run, *flags, "--data", str(self.platform.data)]
        return subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            env=os.environ | {"PYTHONUNBUFFERED": "1"},
        )  # fmt: skip


@pytest.fixture
def gated(platform: Platform, project: Callable[[dict[str, str]], Copy], name: str, tmp_path: Path) -> Gated:
    return Gated(platform, project, name, tmp_path)


def test_who_waits_is_told_what_happens_and_whether_it_went_well(gated: Gated) -> None:
    gated.good.touch()
    waiting = gated.waiting()
    assert waiting.stdout.readline() == f"{gated.run}: running\n"
    assert waiting.stdout.readline() == "◔ first        it has not run before\n"
    shown = gated.command("show", gated.run).stdout.splitlines()
    assert re.fullmatch(r"first +running +[0-9.ms ]+ s +it has not run before", shown[-2]), shown
    gated.gate.touch()
    out, err = waiting.communicate(timeout=60)
    assert (waiting.returncode, err) == (0, "")
    lines = out.splitlines()
    assert lines[0].startswith("✓ first        ")
    assert lines[-2].startswith("✓ longer-name  ")
    assert lines[-1].startswith(f"{gated.run}: succeeded in ")
    assert gated.command("wait", gated.run).returncode == 0
    for command in ("logs", "show"):
        assert gated.command(command, gated.run, "--exit-status").returncode == 0


def test_a_run_that_failed_is_an_exit_code(gated: Gated) -> None:
    waiting = gated.waiting("--json")
    assert waiting.stderr.readline() == f"{gated.run}: running\n"
    gated.gate.touch()
    out, err = waiting.communicate(timeout=60)
    assert waiting.returncode == 1
    assert json.loads(out)["status"] == "failed"
    assert "✗ longer-name  ended with exit code 1" in err
    assert gated.command("wait", gated.run).returncode == 1
    for command in (["logs", "-f"], ["logs"], ["show"]):
        assert gated.command(*command, gated.run).returncode == 0
        assert gated.command(*command, gated.run, "--exit-status").returncode == 1
    assert gated.command("logs", gated.run, "first", "-f", "--exit-status").returncode == 0
    assert gated.command("logs", gated.run, "longer-name", "-f", "--exit-status").returncode == 1
    assert f"refmill logs '{gated.run}' longer-name" in gated.command("show", gated.run).stdout


def test_nobody_waits_longer_than_they_want(gated: Gated) -> None:
    late = gated.command("wait", gated.run, "--timeout", "0.3s")
    assert late.returncode == 124
    assert f"{gated.run} has not ended in time" in late.stderr
    wrong = gated.command("wait", gated.run, "--timeout", "soon")
    assert (wrong.returncode, "30m" in wrong.stderr) == (2, True)
    waiting = gated.waiting()
    assert waiting.stdout.readline() == f"{gated.run}: running\n"
    gated.command("stop", gated.run)
    out, _ = waiting.communicate(timeout=60)
    assert waiting.returncode == 1
    assert f"{gated.run}: stopped" in out


def test_who_waits_where_no_platform_runs_is_told_so(tmp_path: Path, project: Callable[[dict[str, str]], Copy]) -> None:
    spec = "apiVersion: refmill/v1\nkind: Pipeline\nmetadata: {name: x}\nspec: {pause: true}\n"
    copy = project({"dvc.yaml": "stages:\n  asks: {cmd: exit 0, deps: [refmill.yaml]}\n", "refmill.yaml": spec})
    own = Platform(tmp_path / "own" / "data")
    own.data.parent.mkdir()
    own.start()
    try:
        own.user("alice", "--admin")
        copy.git("push", "--quiet", own.url("alice/own", "alice"), "main")
        wait(lambda: own.query("SELECT 1 FROM stage_attempts WHERE status = 'blocked'"), "the stage waits for consent")
    finally:
        own.stop()
    late = own.refmill("wait", "alice/own#1", "--timeout", "0.1", check=False, both=True)
    assert "no platform runs in" in late
    assert "waits for your consent" in late
