"""Attempts in control groups: walls that hold between two looks, and an end that nothing escapes."""

import os
import signal
import sys
import time
from pathlib import Path

import pytest

from attempting import Attempt

PYTHON = f"{sys.executable} -I"
LIMIT = 100 << 20
BOMB = """import os, time
if DETACHED:
    os.setsid()
born = os.open("born", os.O_WRONLY | os.O_APPEND | os.O_CREAT)
for _ in range(12):
    try:
        if os.fork() == 0:
            os.write(born, b".")
    except OSError:
        pass
time.sleep(3)
"""
"""Doubles until it is 4,096 processes, within less than the time between two looks, and ends by itself."""


@pytest.mark.parametrize("detached", [False, True])
def test_a_bomb_that_doubles_never_has_more_processes_than_are_allowed(walled, detached):
    (walled.directory / "bomb.py").write_text(BOMB.replace("DETACHED", str(detached)))
    end = walled.run(f"{PYTHON} bomb.py", "echo never", processes=60, nice=10)
    assert (end["reason"], end["detail"]) == ("processes", "more than 60")
    assert 0 < (walled.directory / "born").stat().st_size <= 60
    assert "never" not in walled.log()
    assert walled.living() == []


def test_one_refused_process_is_enough(walled):
    code = "import subprocess, sys; [subprocess.Popen(['sleep', '9']) for _ in range(7)]"
    end = walled.run(f'{PYTHON} -c "{code}" || true; exit 0', processes=6)
    assert (end["reason"], end["detail"]) == ("processes", "more than 6")


def test_what_an_earlier_command_left_running_counts_for_the_next(walled):
    end = walled.run("sleep 99 & sleep 99 & sleep 99 &", "sleep 1; true", "echo never", processes=4)
    assert end["reason"] == "processes"
    assert walled.log().count("$ echo never") == 0


def test_as_many_as_are_allowed_may_be_there_also_while_the_next_command_is_started(walled):
    end = walled.run("sleep 1 & sleep 1 & sleep 0.5 &", "exec sleep 0.1", processes=4)
    assert (end["reason"], end["code"]) == ("exited", 0)


def test_memory_that_is_taken_faster_than_one_looks_is_refused(walled):
    end = walled.run(f"{PYTHON} -c 'bytearray(400 << 20)'", "echo never", memory=LIMIT)
    assert end["reason"] == "memory"
    assert LIMIT * 0.9 < end["usage"]["peak_memory"] <= LIMIT
    assert "never" not in walled.log()


def test_a_command_that_goes_on_after_one_of_its_processes_was_killed_is_ended(walled):
    end = walled.run(f"{PYTHON} -c 'bytearray(400 << 20)'; sleep 60", memory=LIMIT)
    assert end["reason"] == "memory"


def test_memory_that_nobody_has_mapped_counts(walled):
    code = 'import os; d = os.memfd_create("x"); [os.write(d, bytes(1 << 20)) for _ in range(300)]'
    end = walled.run(f"{PYTHON} -c '{code}'; sleep 20", memory=LIMIT)
    assert end["reason"] == "memory"


def test_the_file_cache_is_no_memory_of_the_stage(walled):
    end = walled.run("head -c 300000000 /dev/zero > big; cat big > /dev/null; sleep 0.3", memory=LIMIT)
    assert (end["reason"], end["code"]) == ("exited", 0)
    assert end["usage"]["peak_memory"] < LIMIT // 2


def test_the_peak_is_that_of_all_processes_together_between_two_looks(walled):
    hog = f"{PYTHON} -c 'x = bytearray(60 << 20)'"
    peak = walled.run(f"{hog} & {hog} & wait", memory=LIMIT * 10)["usage"]["peak_memory"]
    assert peak > 60 << 20
    assert walled.exit()["usage"]["cpu_seconds"] > 0


def test_memory_that_ran_out_elsewhere_is_not_told_as_the_limit_of_the_stage(tmp_path, groups):
    name = f"test.{tmp_path.name}"
    around = {kind: [f"{parent}/around", home] for kind, (parent, home) in groups.places.items()}
    for parent, _ in around.values():
        os.mkdir(parent)
    if groups.version == 2:
        Path(around["unified"][0], "cgroup.subtree_control").write_text("+memory +pids")
    limit = {1: ("memory", "memory.limit_in_bytes"), 2: ("unified", "memory.max")}[groups.version]
    Path(around[limit[0]][0], limit[1]).write_text(str(LIMIT))
    inner = Attempt(tmp_path, {"version": groups.version, "name": name, "places": around})
    try:
        end = inner.run(f"exec {PYTHON} -c 'bytearray(400 << 20)'", memory=LIMIT * 10)
        assert (end["reason"], end["signal"]) == ("exited", signal.SIGKILL)
    finally:
        for parent, _ in around.values():
            os.rmdir(parent)


def test_commands_are_inside_from_their_first_instruction_and_the_supervisor_is_not(walled):
    assert walled.run("cat /proc/self/cgroup", "cat /proc/self/cgroup; echo --; cat /proc/$PPID/cgroup")["code"] == 0
    first, second = "\n".join(walled.log()).split("$ cat /proc/self/cgroup; ")
    inside, outside = second.split("--\n")
    kinds = len(walled.folders())
    assert (first.count(walled.group["name"]), inside.count(walled.group["name"])) == (kinds, kinds)
    assert walled.group["name"] not in outside


def test_what_hides_from_a_dead_supervisor_is_reaped_all_the_same(walled):
    hidden = "(env -i setsid sh -c 'sleep 61.5 & sleep 61.5 & wait' &) & "
    process = walled.start(f"{hidden} echo ready; sleep 60")
    walled.wait_for("ready")
    until = time.monotonic() + 10
    while len(named("61.5")) < 2:
        assert time.monotonic() < until
        time.sleep(0.01)
    process.kill()
    process.wait(10)
    assert [folder for folder in walled.folders() if folder.exists()]
    assert walled.reap() == 0
    assert walled.exit()["reason"] == "lost"
    assert named("61.5") == []


def test_where_its_group_cannot_be_made_it_is_watched(tmp_path, groups):
    places = {kind: [f"{parent}/not/there", home] for kind, (parent, home) in groups.places.items()}
    lacking = Attempt(tmp_path, {"version": groups.version, "name": "x", "places": places})
    end = lacking.run("for i in 1 2 3 4 5 6 7 8 9; do sleep 20 & done; wait", processes=5)
    assert end["reason"] == "processes"
    assert lacking.log()[0].startswith("no control group could be made, so that it is watched instead: ")
    assert lacking.living() == []


def named(word: str) -> list[str]:
    """The processes that have that word among their arguments."""
    found = []
    for entry in filter(str.isdigit, os.listdir("/proc")):
        try:
            if word.encode() in Path(f"/proc/{entry}/cmdline").read_bytes().split(b"\0"):
                found.append(entry)
        except OSError:
            continue
    return found
