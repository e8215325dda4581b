"""A platform whose stages have control groups: it says so, no wall is passed, and a crash leaves none behind."""

import json
import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from attempting import given_groups  # noqa: F401 - a fixture
from platforms import Copy, Platform, control_groups, wait
from refmill.engine import cgroups

FILES = {
    "dvc.yaml": """\
stages:
  forks: {cmd: python3 -I bomb.py, outs: [forks.out]}
  memory: {cmd: "python3 -I -c 'bytearray(900 << 20)'; sleep 300", outs: [memory.out]}
""",
    "refmill.yaml": "apiVersion: refmill/v1\nkind: Pipeline\nmetadata: {name: p}\nspec: {onError: continue}\n",
    "bomb.py": """\
import os, time
for _ in range(12):
    try:
        os.fork()
    except OSError:
        pass
time.sleep(3)
""",
}
LONG = {"dvc.yaml": "stages:\n  long: {cmd: touch began; sleep 64.5, outs: [out]}\n"}
LIMITS = ("--stage-processes", "100", "--stage-memory", "256Mi")


@pytest.fixture(scope="module")
def walled(tmp_path_factory: pytest.TempPathFactory, groups: cgroups.Groups) -> Iterator[Platform]:
    """A platform with low limits, on a machine that gives it control groups."""
    assert groups.version
    running = Platform(tmp_path_factory.mktemp("walled") / "data")
    running.start(*LIMITS)
    running.user("alice", "--admin")
    yield running
    running.stop()


def test_no_wall_is_passed_and_no_group_stays(
    walled: Platform, name: str, project: Callable[[dict[str, str]], Copy]
) -> None:
    project(FILES).git("push", "--quiet", walled.url(f"alice/{name}", "alice"), "main")
    assert walled.ended(f"alice/{name}")["status"] == "failed"
    told = walled.refmill("show", f"alice/{name}#1")
    assert "had more than 100 processes and threads and was ended" in told
    assert "ran out of its 256 MiB of memory: try 512 MiB" in told
    assert control_groups(walled) == set()


def test_the_log_and_doctor_say_it_in_both_languages(walled: Platform) -> None:
    assert "each stage has a control group of its own (version" in walled.log()
    for language, words in (("en", "each stage has a control group of its own"), ("zh", "每个阶段都有自己的控制组")):
        looked = Platform(walled.data, {"REFMILL_LANG": language})
        assert looked.doctor()["cgroups"]["state"] == "ok"
        assert words in looked.refmill("doctor", check=False)


def test_a_crash_of_all_leaves_no_group_after_the_next_start(
    walled: Platform, name: str, project: Callable[[dict[str, str]], Copy]
) -> None:
    project(LONG).git("push", "--quiet", walled.url(f"alice/{name}", "alice"), "main")
    wait(lambda: list(walled.data.glob("work/*/*/tree/began")), "it runs")
    [lock] = walled.data.glob("work/*/*/lock")
    walled.kill()
    os.kill(json.loads(lock.read_text())["pid"], signal.SIGKILL)
    [before] = control_groups(walled)
    walled.start(*LIMITS)
    wait(lambda: before not in control_groups(walled) and control_groups(walled), "it has begun again in another group")
    walled.refmill("stop", f"alice/{name}#1")
    assert walled.ended(f"alice/{name}")["status"] == "stopped"
    assert control_groups(walled) == set()


def test_switched_off_it_watches(tmp_path: Path, name: str, project: Callable[[dict[str, str]], Copy]) -> None:
    watching = Platform(tmp_path / "own" / "data")
    watching.data.parent.mkdir()
    watching.start(*LIMITS, "--cgroup", "off")
    try:
        watching.user("alice", "--admin")
        assert "control groups are switched off: processes and memory of stages are watched" in watching.log()
        lines = "for i in $(seq 200); do sleep 30 & done; wait"
        pipeline = f"stages:\n  forks: {{cmd: '{lines}', outs: [out]}}\n"
        project({"dvc.yaml": pipeline}).git("push", "--quiet", watching.url(f"alice/{name}", "alice"), "main")
        assert watching.ended(f"alice/{name}")["status"] == "failed"
        assert "had more than 100 processes and threads" in watching.refmill("show", f"alice/{name}#1")
        assert control_groups(watching) == set()
        assert watching.doctor()["cgroups"]["state"] == "warning"
    finally:
        watching.stop()
