"""Control groups of stages: found by trying, cleared of what crashes left, and none where nobody gave us any."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from attempting import SCRIPT, Attempt, found_groups
from refmill import errors
from refmill.engine import cgroups, supervision
from refmill.engine.courses import Defaults
from refmill.engine.stages import Bounds

LONG = {"dvc.yaml": "stages:\n  long: {cmd: touch began; sleep 60.75, outs: [out]}\n"}
FORKS = {"dvc.yaml": "stages:\n  forks: {cmd: sleep 9 & sleep 9 & sleep 9 & sleep 9 & wait, outs: [out]}\n"}


@pytest.fixture
def groups(tmp_path):
    """Those that work here, for one test's engines: they take theirs away when they end."""
    found = found_groups(f"refmill-tests-{os.getpid()}-{tmp_path.name}")
    yield found
    found.leave()


def names(groups: cgroups.Groups) -> set[str]:
    """The groups of stages that there are."""
    return {entry.name for parent, _ in groups.places.values() for entry in Path(parent).glob("*/")}


def until(met) -> None:
    """Wait until it is so."""
    end = time.monotonic() + 20
    while not met():
        assert time.monotonic() < end
        time.sleep(0.02)


def pid_of(place: Path) -> int:
    """The supervisor of the attempt there."""
    return json.loads((place / "lock").read_text())["pid"]


def test_a_stage_that_runs_into_its_wall_is_told_so_and_its_group_goes(bench, groups):
    bench.engine(groups=groups, defaults=Defaults(1 << 30, bounds=Bounds(processes=4)))
    assert bench.run(FORKS) == "failed"
    assert str(bench.told.last("forks").explanation).startswith("had more than 4 processes and threads and was ended")
    assert names(groups) == set()


def test_a_stop_ends_the_group(bench, groups):
    engine = bench.engine(groups=groups)
    order = bench.order(LONG)
    engine.submit(order)
    until(lambda: list(bench.root.glob("work/*/*/tree/began")))
    assert len(names(groups)) == 1
    engine.stop(order.run.id)
    assert bench.end(order) == "stopped"
    assert names(groups) == set()


def test_the_group_of_a_dead_supervisor_goes_with_the_next_engine(bench, groups):
    first = bench.engine(groups=groups)
    order = bench.order(LONG)
    first.submit(order)
    until(lambda: list(bench.root.glob("work/*/*/tree/began")))
    [place] = [path.parent for path in bench.root.glob("work/*/*/lock")]
    first.close()
    os.kill(pid_of(place), signal.SIGKILL)
    until(lambda: supervision.signs(place) == "lost")
    assert names(groups) == {f"{order.run.id}.{place.name}"}
    second = bench.engine(groups=groups)
    assert names(groups) == set()
    second.submit(order)
    until(lambda: len(list(bench.root.glob("work/*/*/tree/began"))) == 1 and names(groups))
    assert names(groups) != {f"{order.run.id}.{place.name}"}
    second.stop(order.run.id)
    assert bench.end(order) == "stopped"


def test_a_sweep_ends_what_nobody_knows_and_leaves_what_lives(bench, groups, tmp_path):
    engine = bench.engine(groups=groups)
    order = bench.order(LONG)
    engine.submit(order)
    until(lambda: list(bench.root.glob("work/*/*/tree/began")))
    living = names(groups)
    forgotten = tmp_path / "forgotten"
    forgotten.mkdir()
    lost = Attempt(forgotten, groups.spec("run9.gone-1"))
    process = lost.start("echo ready; exec sleep 60")
    lost.wait_for("ready")
    process.kill()
    process.wait(10)
    assert names(groups) == living | {"run9.gone-1"}
    engine.close()
    successor = bench.engine(groups=groups)
    assert names(groups) == living
    assert not lost.living()
    successor.submit(order)
    successor.stop(order.run.id)
    assert bench.end(order) == "stopped"


def test_off_is_none_and_says_so():
    found = cgroups.find("off", "refmill-never")
    assert (found.version, found.spec("x")) == (0, None)
    assert "switched off" in str(found.said())


def test_a_group_that_is_not_there_is_named():
    found = cgroups.find("/refmill/never/there", "refmill-never")
    assert found.version == 0
    assert "/refmill/never/there" in str(found.why)
    assert "are watched, five times a second" in str(found.said())


def test_all_stages_together_have_half_of_the_usual_share_of_the_cores(tmp_path):
    """A folder with the files of a group: what the kernel does with the weight is its own."""
    top = tmp_path / "own"
    (top / "stages").mkdir(parents=True)
    (top / "cgroup.controllers").write_text("cpuset cpu io memory pids\n")
    mounts = {"unified": (str(top), "/")}
    found = cgroups._second(mounts, {"unified": "/"}, "", "stages", move=False)
    assert found.places["unified"][0] == str(top / "stages")
    assert (top / "stages" / "cpu.weight").read_text() == "50"  # of 100 that every group begins with
    assert "+cpu" in (top / "cgroup.subtree_control").read_text()


def test_the_kernel_has_that_share(groups):
    if groups.version != 2:
        pytest.skip("no control groups of version 2")
    parent = Path(groups.places["unified"][0])
    if "cpu" not in (parent.parent / "cgroup.subtree_control").read_text().split():
        pytest.skip("no control groups of version 2 that share the cores")
    assert (parent / "cpu.weight").read_text() == "50\n"


@pytest.fixture
def second(tmp_path):
    """A group of version 2, with whatever controllers it has."""
    mounts = [line.split() for line in Path("/proc/self/mounts").read_text().splitlines()]
    found = next((Path(words[1]) for words in mounts if words[2] == "cgroup2"), None)
    own = next(
        (line[4:] for line in Path("/proc/self/cgroup").read_text().splitlines() if line[:3] == "0::"), ""
    ).lstrip("/")
    if found is None or not os.access(found / own, os.W_OK):
        pytest.skip("no control groups of version 2 that we may write to")
    top = found / own / f"refmill-second-{os.getpid()}"
    try:
        top.mkdir()
    except OSError as error:
        pytest.skip(f"no control groups of version 2: {error}")
    yield top
    for folder in sorted(top.glob("**/"), reverse=True):
        folder.rmdir()


def sleeper(group: Path) -> subprocess.Popen[bytes]:
    """A process in that group."""
    line = f"echo 0 > {group}/cgroup.procs; exec sleep 60"
    process = subprocess.Popen(["/bin/sh", "-c", line])
    until(lambda: str(process.pid) in (group / "cgroup.procs").read_text().split())
    return process


def test_room_is_made_in_a_container_by_moving_its_members_below(second):
    processes = [sleeper(second) for _ in range(3)]
    inner = cgroups._make_room(second)
    assert (second / "cgroup.procs").read_text() == ""
    assert {int(pid) for pid in (inner / "cgroup.procs").read_text().split()} == {item.pid for item in processes}
    for item in processes:
        item.kill()
        item.wait(10)


def test_a_group_above_which_more_is_mounted_is_no_top():
    mounts = {"unified": ("/sys/fs/cgroup", "/../..")}  # as a namespace shows it that kept its parent's mount
    with pytest.raises(errors.Unavailable, match="not visible"):
        cgroups._place(mounts, {"unified": "/"}, "unified")
    assert cgroups._place({"unified": ("/mnt", "/a")}, {"unified": "/a/b"}, "unified") == Path("/mnt/b")


def test_a_group_that_was_not_given_to_us_is_not_used(second):
    with pytest.raises(errors.Unavailable, match="is not delegated"):
        cgroups._delegated(second / "unit" / "platform", str(second))
    assert cgroups._delegated(second / "platform", str(second)) == second
    os.setxattr(second, "user.delegate", b"1")
    assert cgroups._delegated(second / "other", "/elsewhere") == second


@pytest.fixture
def born(second, tmp_path):
    """Makes attempts in groups of version 2, which may lack controllers: then there are no limits."""
    made = []

    def make() -> Attempt:
        place = tmp_path / f"attempt{len(made)}"
        place.mkdir()
        places = {"unified": [os.fspath(second), os.fspath(second.parent)]}
        made.append(Attempt(place, {"version": 2, "name": f"group{len(made)}", "places": places}))
        return made[-1]

    yield make
    assert not [folder for attempt in made for folder in attempt.folders() if folder.exists()]


def test_a_command_is_born_in_a_group_of_version_2_and_its_supervisor_is_not(born):
    attempt = born()
    line = "cat /proc/self/cgroup; cat /proc/$PPID/cgroup"
    assert attempt.run(line, "exit 3")["code"] == 3
    assert [line.endswith("/group0") for line in attempt.log() if line.startswith("0::")] == [True, False]


def test_it_begins_as_any_other(born):
    attempt = born()
    asked = ["/bin/sh", "-c", "ps -o ignored= -p $$"]  # whoever runs the tests in the background ignores some signals
    ignored = subprocess.run(asked, capture_output=True, text=True, check=True).stdout.strip()
    line = f'ps -o sid=,ignored= -p $$ | grep -c "$$ *{ignored}$"'
    line = f"cat; ls /proc/self/fd | wc -l; {line}; pwd; echo e >&2; kill -9 $$"
    assert attempt.run(line)["signal"] == signal.SIGKILL
    assert sorted(attempt.log()[1:]) == sorted(["4", "1", str(attempt.directory), "e"])


def test_what_cannot_be_started_there_is_told(born):
    assert "/nowhere/at/all" in born().run("true", cwd="/nowhere/at/all")["detail"]
    end = born().run("true", commands=[{"argv": ["/no/such/program"], "shown": "x"}])
    assert (end["reason"], end["detail"]) == ("start-failed", "[Errno 2] No such file or directory: '/no/such/program'")
    assert born().run("true", env={"PATH": "/bin", "ODD": "a\0b"})["detail"] == "embedded null byte"


def test_whoever_comes_from_a_group_that_was_killed_once_enters_in_the_other_way(born, second):
    attempt = born()
    killed = second / "killed"
    killed.mkdir()
    (killed / "cgroup.kill").write_text("1")
    spec = attempt.write("cat /proc/self/cgroup; cat /proc/$PPID/cgroup", "echo once >> times")
    line = f"echo 0 > {killed}/cgroup.procs; exec {sys.executable} -I -S {SCRIPT} {spec}"
    subprocess.run(["/bin/sh", "-c", line], check=True)
    assert attempt.exit()["code"] == 0
    assert [line.endswith("/group0") for line in attempt.log() if line.startswith("0::")] == [True, False]
    assert (attempt.directory / "times").read_text() == "once\n"


def test_what_hides_in_a_group_of_version_2_ends_with_it(born):
    assert born().run("(env -i setsid sleep 63.5 &); true")["code"] == 0
    lost = born()
    process = lost.start("(env -i setsid sleep 63.5 &); echo ready; sleep 60")
    lost.wait_for("ready")
    process.kill()
    process.wait(10)
    assert lost.reap() == 0
    arguments = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True).stdout
    assert "sleep 63.5" not in arguments
