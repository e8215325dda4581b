"""Where no sandbox works, whoever looks is told so: at the start, in the log, by `doctor`, on the run's page."""

import urllib.request
from collections.abc import Callable
from pathlib import Path

from platforms import Copy, Platform

SAID = "stages run without a sandbox here: they can read and change what the server's user can"
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
    with urllib.request.urlopen(f"{platform.address}/alice/{name}/runs/1", timeout=60) as answer:
        page = answer.read().decode()
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
