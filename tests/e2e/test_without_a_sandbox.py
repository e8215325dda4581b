"""Where no sandbox works, whoever looks is told so: at the start, in the log, by `doctor`, on the run's page."""

import os
import urllib.request
from collections.abc import Callable
from pathlib import Path

import pytest

from platforms import Copy, Platform

SAID = "stages run without a sandbox here: they can read and change what the server's user can"
REQUIRED = "no sandbox works on this machine, and the setting “sandbox” requires one"
TOLD = "there is no sandbox here: the commands run as the platform's own user"
PIPELINE = {"dvc.yaml": "stages:\n  one: {cmd: echo 1 > one, outs: [one]}\n"}


def test_it_is_said_wherever_people_look(
    platform: Platform, name: str, project: Callable[[dict[str, str]], Copy]
) -> None:
    said = platform.log()
    assert any(line.startswith(SAID) for line in said.splitlines()), "at the start"
    assert any("WARNING" in line and SAID in line for line in said.splitlines()), "in the log of the engine"
    copy = project(PIPELINE)
    copy.git("push", "--quiet", platform.url(f"alice/{name}", "alice"), "main")
    assert platform.ended(f"alice/{name}")["status"] == "succeeded"
    platform.refmill("repo", "change", f"alice/{name}", "--public")
    page = page_of(platform, name)
    assert 'id="unboxed"' in page
    assert "stages run without a sandbox here" in page
    assert TOLD in platform.refmill("logs", f"alice/{name}#1", "one")


def test_doctor_says_it_in_both_languages(tmp_path: Path) -> None:
    for language, words in (("en", "the sandbox is switched off"), ("zh", "沙箱已关闭")):
        looked = Platform(tmp_path / "data", {"REFMILL_SANDBOX": "off", "REFMILL_LANG": language})
        assert looked.doctor()["sandbox"]["state"] == "warning"
        assert words in looked.refmill("doctor", check=False)


def test_who_is_not_trusted_is_refused_with_the_remedy(
    platform: Platform, name: str, project: Callable[[dict[str, str]], Copy]
) -> None:
    platform.user("nobody")
    project(PIPELINE).git("push", "--quiet", platform.url(f"nobody/{name}", "nobody"), "main")
    assert platform.ended(f"nobody/{name}")["status"] == "failed"
    assert "refmill user change nobody --trusted" in platform.refmill("show", f"nobody/{name}#1")


FAILING = "bwrap is there and fails: setting up uid map: Permission denied"
WITHOUT = {
    "auto": (SAID, f"no sandbox works, so only trusted users' runs start: {FAILING}", "succeeded", "warning"),
    "require": (REQUIRED, f"{REQUIRED}, so nobody's runs start: {FAILING}", "failed", "bad"),
}
"""By the setting what is said at the start and on pages, what `doctor` says, a trusted person's run, doctor's mark."""


@pytest.mark.parametrize("mode", list(WITHOUT))
def test_a_bubblewrap_that_is_there_and_fails_is_told_of_with_its_words(
    mode: str, tmp_path: Path, project: Callable[[dict[str, str]], Copy]
) -> None:
    told, found, status, state = WITHOUT[mode]
    failing = given_bwrap(tmp_path / "bin", "echo 'setting up uid map: Permission denied' >&2; exit 1")
    started = Platform(tmp_path / "data", {**failing, "REFMILL_SANDBOX": mode}, sandbox=mode).start()
    try:
        started.user("alice", "--admin")
        assert any(line.startswith(told) for line in started.log().splitlines()), "at the start"
        project(PIPELINE).git("push", "--quiet", started.url("alice/one", "alice"), "main")
        run = started.ended("alice/one")
        assert run["status"] == status
        assert status == "succeeded" or REQUIRED in started.refmill("show", "alice/one#1")
        started.refmill("repo", "change", "alice/one", "--public")
        page = page_of(started, "one")
        assert 'id="unboxed"' in page
        assert told[:60] in page
        assert (started.doctor()["sandbox"]["state"], started.doctor()["sandbox"]["message"]) == (state, found)
        started.environment["REFMILL_LANG"] = "zh"
        assert "bwrap 已安装，但运行失败：setting up uid map: Permission denied" in started.refmill(
            "doctor", check=False
        )
    finally:
        started.stop()


def test_who_is_refused_where_bubblewrap_fails_is_not_told_to_install_it(
    tmp_path: Path, project: Callable[[dict[str, str]], Copy]
) -> None:
    started = Platform(tmp_path / "data", given_bwrap(tmp_path / "bin", "exit 1"), sandbox="auto").start()
    try:
        started.user("alice", "--admin")
        started.user("nobody")
        project(PIPELINE).git("push", "--quiet", started.url("nobody/one", "nobody"), "main")
        assert started.ended("nobody/one")["status"] == "failed"
        shown = started.refmill("show", "nobody/one#1")
        assert "refmill user change nobody --trusted" in shown
        assert "bwrap is there and fails: exit code 1" in shown
        assert "install" not in shown
    finally:
        started.stop()


def given_bwrap(folder: Path, script: str) -> dict[str, str]:
    """An environment in which `bwrap` is that script."""
    folder.mkdir()
    (folder / "bwrap").write_text(f"#!/bin/sh\n{script}\n")
    (folder / "bwrap").chmod(0o755)
    return {"PATH": f"{folder}:{os.environ['PATH']}"}


def page_of(platform: Platform, name: str) -> str:
    """The page of alice's first run there, as everybody sees it."""
    with urllib.request.urlopen(f"{platform.address}/alice/{name}/runs/1", timeout=60) as answer:
        return answer.read().decode()
