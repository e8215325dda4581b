"""Runs that a newer push takes over from, that people pause, and that wait for consent: by command, through SIGKILL."""

import json
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from platforms import REFMILL, Copy, Platform, alive, new_copy, run_of, wait

SPEC = "apiVersion: refmill/v1\nkind: Pipeline\nmetadata: {name: x}\nspec:\n  "
CHAIN = (
    "stages:\n"
    "  first: {cmd: 'touch %(at)s/first && while test ! -e %(at)s/go; do sleep 0.05; done && cp in.txt a.txt', deps: [in.txt], outs: [a.txt]}\n"
    "  second: {cmd: 'touch %(at)s/second && cp a.txt b.txt', deps: [a.txt], outs: [b.txt]}\n"
)
GATED = (
    "stages:\n"
    "  train: {cmd: cp in.txt model.txt, deps: [in.txt], outs: [model.txt]}\n"
    "  publish: {cmd: 'touch %(at)s/published && cp model.txt public.txt', deps: [model.txt], outs: [public.txt]}\n"
)
GATE = SPEC + "stages: {publish: {pause: true}}\n"


@pytest.fixture
def own(tmp_path: Path) -> Iterator[Platform]:
    """A platform that a test may kill."""
    running = Platform(tmp_path / "data").start()
    running.user("alice", "--admin")
    yield running
    running.stop()


def states(run: dict[str, object]) -> dict[str, str]:
    """Its stages' statuses."""
    return {stage["name"]: stage["status"] for stage in run["stages"]}


def sleeper(mark: Path) -> str:
    """A pipeline whose only stage says that it has begun, and goes on for hours."""
    return f"stages:\n  slow: {{cmd: 'touch {mark} && sleep 7011', deps: [in.txt]}}\n"


def test_a_newer_push_takes_the_place_of_a_run_of_its_branch(
    platform: Platform, project: Callable[[dict[str, str]], Copy], name: str, tmp_path: Path
) -> None:
    copy = project(
        {
            "dvc.yaml": sleeper(tmp_path / "old"),
            "in.txt": name,
            "refmill.yaml": SPEC + "cancelSuperseded: true\n",
        }
    )
    url = platform.url(f"alice/{name}", "alice")
    copy.git("push", "--quiet", url, "main")
    wait((tmp_path / "old").exists, "the first run starts")
    copy.git("switch", "--quiet", "--create", "other")
    copy.write({"dvc.yaml": sleeper(tmp_path / "beside")}).commit()
    copy.git("push", "--quiet", url, "other")
    wait((tmp_path / "beside").exists, "a push to another branch starts a run of its own")
    first, beside = (run_of(platform, f"alice/{name}", number) for number in (1, 2))
    assert first["status"] == "running"
    assert alive(platform, first["id"])

    copy.git("switch", "--quiet", "main")
    copy.write({"dvc.yaml": "stages:\n  quick: {cmd: cp in.txt a.txt, deps: [in.txt], outs: [a.txt]}\n"}).commit()
    copy.git("push", "--quiet", url, "main")
    old = platform.ended(f"alice/{name}", 1)
    assert (old["status"], old["explanation"]) == ("superseded", "a newer push to main took its place")
    assert states(old) == {"slow": "stopped"}
    assert alive(platform, old["id"]) == []
    assert platform.ended(f"alice/{name}", 3)["status"] == "succeeded"
    assert run_of(platform, f"alice/{name}", 2)["status"] == "running"
    assert alive(platform, beside["id"])
    shown = platform.refmill("show", f"alice/{name}#1")
    assert "a newer push to main took its place" in shown
    platform.refmill("stop", f"alice/{name}#2")


def test_without_that_wish_an_older_run_goes_on(
    platform: Platform, project: Callable[[dict[str, str]], Copy], name: str, tmp_path: Path
) -> None:
    copy = project({"dvc.yaml": sleeper(tmp_path / "old"), "in.txt": name})
    url = platform.url(f"alice/{name}", "alice")
    copy.git("push", "--quiet", url, "main")
    wait((tmp_path / "old").exists, "the first run starts")
    copy.write({"dvc.yaml": "stages:\n  quick: {cmd: cp in.txt a.txt, deps: [in.txt], outs: [a.txt]}\n"}).commit()
    copy.git("push", "--quiet", url, "main")
    assert platform.ended(f"alice/{name}", 2)["status"] == "succeeded"
    assert run_of(platform, f"alice/{name}", 1)["status"] == "running"
    platform.refmill("stop", f"alice/{name}#1")


def test_a_branch_that_goes_back_runs_its_commit_again(
    platform: Platform, project: Callable[[dict[str, str]], Copy], name: str, tmp_path: Path
) -> None:
    first = sleeper(tmp_path / "old").replace("sleep 7011", f"{{ test -e {tmp_path}/quick || sleep 7011; }}")
    copy = project({"dvc.yaml": first, "in.txt": name, "refmill.yaml": SPEC + "cancelSuperseded: true\n"})
    url = platform.url(f"alice/{name}", "alice")
    copy.git("push", "--quiet", "-o", "refmill.skip", url, "main")  # the default branch keeps its history
    copy.git("commit", "--quiet", "--allow-empty", "--message", "begin")
    copy.git("push", "--quiet", url, "main:work")
    wait((tmp_path / "old").exists, "the first run starts")
    copy.write({"dvc.yaml": sleeper(tmp_path / "new")}).commit()
    copy.git("push", "--quiet", url, "main:work")
    wait((tmp_path / "new").exists, "the second run starts")
    assert platform.ended(f"alice/{name}", 1)["status"] == "superseded"
    (tmp_path / "quick").touch()
    copy.git("push", "--quiet", "--force", url, "main~1:work")
    assert platform.ended(f"alice/{name}", 2)["status"] == "superseded"
    again = platform.ended(f"alice/{name}", 3)
    assert (again["status"], again["attempt"]) == ("succeeded", 2)
    assert [alive(platform, run["id"]) for run in platform.runs(f"alice/{name}")] == [[], [], []]


def test_a_commit_that_another_branch_still_wants_is_not_superseded(
    platform: Platform, project: Callable[[dict[str, str]], Copy], name: str, tmp_path: Path
) -> None:
    copy = project(
        {
            "dvc.yaml": sleeper(tmp_path / "old"),
            "in.txt": name,
            "refmill.yaml": SPEC + "cancelSuperseded: true\n",
        }
    )
    url = platform.url(f"alice/{name}", "alice")
    copy.git("push", "--quiet", url, "main", "main:keep")
    wait((tmp_path / "old").exists, "the first run starts")
    copy.write({"dvc.yaml": "stages:\n  quick: {cmd: cp in.txt a.txt, deps: [in.txt], outs: [a.txt]}\n"}).commit()
    copy.git("push", "--quiet", url, "main")
    assert platform.ended(f"alice/{name}", 2)["status"] == "succeeded"
    assert run_of(platform, f"alice/{name}", 1)["status"] == "running"
    platform.refmill("stop", f"alice/{name}#1")


def test_a_paused_run_finishes_what_runs_and_starts_nothing_also_through_sigkill(own: Platform, tmp_path: Path) -> None:
    copy = new_copy(tmp_path / "copy", {"dvc.yaml": CHAIN % {"at": tmp_path}, "in.txt": "1\n"})
    copy.git("push", "--quiet", own.url("alice/chain", "alice"), "main")
    wait((tmp_path / "first").exists, "the first stage starts")
    told = own.refmill("pause", "alice/chain#1")
    assert told == "alice/chain#1: paused; still running: first\n"
    assert own.refmill("pause", "alice/chain#1", check=False) == ""
    (tmp_path / "go").touch()
    wait(lambda: states(run_of(own, "alice/chain", 1))["first"] == "succeeded", "what runs finishes")
    own.kill()
    own.start()
    (tmp_path / "go").unlink()
    beside = new_copy(tmp_path / "beside", {"dvc.yaml": "stages:\n  a: {cmd: echo 1 > a.txt, outs: [a.txt]}\n"})
    beside.git("push", "--quiet", own.url("alice/beside", "alice"), "main")
    assert own.ended("alice/beside")["status"] == "succeeded", "other runs go on"
    paused = run_of(own, "alice/chain", 1)
    assert (paused["status"], states(paused)) == ("paused", {"first": "succeeded", "second": "pending"})
    assert not (tmp_path / "second").exists()
    resumed = json.loads(own.refmill("resume", "alice/chain#1", "--json"))
    assert resumed["status"] in ("running", "succeeded")
    run = own.ended("alice/chain")
    assert (run["status"], states(run)) == ("succeeded", {"first": "succeeded", "second": "succeeded"})
    assert [stage["attempt"] for stage in run["stages"]] == [1, 1]
    assert own.refmill("resume", "alice/chain#1", check=False) == ""


def test_a_stage_that_ends_while_the_platform_is_dead_does_not_wake_a_paused_run(own: Platform, tmp_path: Path) -> None:
    copy = new_copy(tmp_path / "copy", {"dvc.yaml": CHAIN % {"at": tmp_path}, "in.txt": "1\n"})
    copy.git("push", "--quiet", own.url("alice/chain", "alice"), "main")
    wait((tmp_path / "first").exists, "the first stage starts")
    own.refmill("pause", "alice/chain#1")
    own.kill()
    (tmp_path / "go").touch()
    own.start()
    wait(lambda: states(run_of(own, "alice/chain", 1))["first"] == "succeeded", "what ran is collected")
    assert run_of(own, "alice/chain", 1)["status"] == "paused"
    assert not (tmp_path / "second").exists()
    own.refmill("resume", "alice/chain#1")
    assert own.ended("alice/chain")["status"] == "succeeded"


def test_a_stop_is_carried_out_though_the_platform_died_in_the_middle_of_it(own: Platform, tmp_path: Path) -> None:
    text = "stages:\n  a: {cmd: 'touch %s && sleep 7017', outs: [a]}\n  b: {cmd: cp a b, deps: [a], outs: [b]}\n"
    copy = new_copy(tmp_path / "copy", {"dvc.yaml": text % (tmp_path / "begun")})
    copy.git("push", "--quiet", own.url("alice/long", "alice"), "main")
    wait((tmp_path / "begun").exists, "the stage starts")
    own.kill()
    (spec,) = own.data.glob("work/*/*/spec.json")
    (spec.parent / "stop").touch()  # what an engine did that was killed before it heard of the end
    wait((spec.parent / "exit.json").exists, "the process ends")
    asking = subprocess.Popen(
        [REFMILL, "stop", "alice/long#1", "--data", str(own.data)], stdout=subprocess.PIPE, text=True
    )
    own.start()
    assert asking.communicate(timeout=60)[0] == "alice/long#1: stopped\n"
    run = own.ended("alice/long")
    assert (run["status"], states(run)) == ("stopped", {"a": "stopped", "b": "stopped"})
    assert alive(own, run["id"]) == []


def test_a_paused_run_that_waits_for_data_can_be_stopped(
    platform: Platform, project: Callable[[dict[str, str]], Copy], name: str
) -> None:
    copy = project(
        {
            "dvc.yaml": "stages:\n  use: {cmd: cp data/in.csv out.csv, deps: [data/in.csv], outs: [out.csv]}\n",
            "data/in.csv": f"{name}\n",
        }
    )
    copy.git("rm", "--quiet", "--cached", "data/in.csv")
    copy.dvc("add", "--quiet", "data/in.csv")
    copy.commit("tracked")
    copy.git("push", "--quiet", platform.url(f"alice/{name}", "alice"), "main")
    before = platform.runs(f"alice/{name}")[0]
    platform.refmill("pause", f"alice/{name}#1")
    platform.refmill("resume", f"alice/{name}#1")
    after = platform.runs(f"alice/{name}")[0]
    assert (after["status"], after["explanation"]) == ("queued", before["explanation"])
    platform.refmill("pause", f"alice/{name}#1")
    platform.refmill("stop", f"alice/{name}#1")
    assert states(platform.ended(f"alice/{name}")) == {"use": "stopped"}
    copy.dvc("remote", "add", "--local", "refmill", platform.url(f"alice/{name}", ending=".dvc"))
    for option, value in (("auth", "basic"), ("user", "alice"), ("password", platform.user("alice"))):
        copy.dvc("remote", "modify", "--local", "refmill", option, value)
    copy.dvc("push", "--quiet", "-r", "refmill")
    copy.git("commit", "--quiet", "--allow-empty", "--message", "again")
    copy.git("push", "--quiet", platform.url(f"alice/{name}", "alice"), "main")
    assert platform.ended(f"alice/{name}", 2)["status"] == "succeeded"
    assert platform.ended(f"alice/{name}")["status"] == "stopped", "its data's arrival does not wake it"


def test_a_stage_with_a_pause_point_waits_for_consent_also_through_sigkill(own: Platform, tmp_path: Path) -> None:
    copy = new_copy(tmp_path / "copy", {"dvc.yaml": GATED % {"at": tmp_path}, "in.txt": "1\n", "refmill.yaml": GATE})
    copy.git("push", "--quiet", own.url("alice/gate", "alice"), "main")

    def paused() -> bool:
        return run_of(own, "alice/gate", 1)["status"] == "paused"

    wait(paused, "the run comes to its pause point")
    run = run_of(own, "alice/gate", 1)
    assert run["explanation"] == "waits for your consent to start publish"
    assert states(run) == {"train": "succeeded", "publish": "blocked"}
    assert run["stages"][1]["explanation"] == "waits for your consent"
    own.kill()
    own.start()
    assert paused()
    assert not (tmp_path / "published").exists()
    own.refmill("resume", "alice/gate#1")
    assert own.ended("alice/gate")["status"] == "succeeded"
    assert (tmp_path / "published").exists()
    copy.git("commit", "--quiet", "--allow-empty", "--message", "nothing changed")
    copy.git("push", "--quiet", own.url("alice/gate", "alice"), "main")
    assert states(own.ended("alice/gate", 2)) == {"train": "cached", "publish": "cached"}, "that needs no consent"
