"""How commands end, through the real supervisor in a process of its own: watched, or in a control group."""

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from attempting import SCRIPT
from refmill.step import processes


def test_commands_run_in_turn(either):
    end = either.run("echo one", "echo two >&2")
    assert (end["reason"], end["code"], end["signal"]) == ("exited", 0, None)
    assert either.log() == ["$ echo one", "one", "$ echo two >&2", "two"]
    assert end["usage"]["peak_memory"] > 0


def test_no_command_is_heard_before_the_one_in_front_of_it(attempt):
    # The supervisor sleeps while a large pipe is filled, so that much of it is left to read when the command has ended.
    (attempt.directory / "waker.py").write_text(
        "import os, signal, sys, time\ntime.sleep(0.3)\nos.kill(int(sys.argv[1]), signal.SIGCONT)\n"
    )
    (attempt.directory / "full.py").write_text(
        "import fcntl, os, signal, subprocess, sys\n"
        "fcntl.fcntl(1, fcntl.F_SETPIPE_SZ, 1 << 20)\n"
        "supervisor = os.getppid()\n"
        "os.kill(supervisor, signal.SIGSTOP)\n"
        "os.write(1, (b'x' * 999 + b'\\n') * 1000)\n"
        "waker = [sys.executable, 'waker.py', str(supervisor)]\n"
        "subprocess.Popen(waker, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)\n"
    )
    end = attempt.run(f"exec {sys.executable} full.py", "echo the end")
    assert end["code"] == 0
    assert [line for line in attempt.log() if line[0] != "$" and "waker" not in line] == ["x" * 999] * 1000 + [
        "the end"
    ]


def test_the_first_failure_ends_it(either):
    end = either.run("exit 3", "echo never")
    assert end["code"] == 3
    assert "never" not in either.log()


def test_a_signal_from_outside_is_named(either):
    end = either.run("kill -9 $$")
    assert (end["reason"], end["code"], end["signal"]) == ("exited", None, 9)


def test_a_folder_that_is_not_there_is_told(either):
    end = either.run("true", cwd="/nowhere/at/all")
    assert end["reason"] == "start-failed"
    assert "/nowhere/at/all" in end["detail"]


def test_nothing_outlives_a_timeout(either):
    end = either.run("trap '' TERM; (setsid sleep 60 &) ; sleep 60 & wait", timeout=0.4)
    assert end["reason"] == "timeout"
    assert 0.4 < end["seconds"] < 5
    assert either.living() == []


def test_a_command_that_ends_well_after_its_timeout_has_still_timed_out(attempt):
    end = attempt.run("trap 'exit 0' TERM; while :; do sleep 0.05; done", timeout=0.3)
    assert (end["reason"], end["code"]) == ("timeout", 0)


def test_a_stop_file_ends_the_whole_tree(either):
    process = either.start("(setsid sh -c 'trap \"\" TERM HUP; echo daemon; sleep 60' &); echo ready; sleep 60")
    either.wait_for("daemon")
    either.wait_for("ready")
    (either.directory / "stop").touch()
    assert process.wait(10) == 0
    assert either.exit()["reason"] == "stopped"
    assert either.living() == []


def test_sigterm_is_a_stop(attempt):
    process = attempt.start("echo ready; sleep 60")
    attempt.wait_for("ready")
    process.terminate()
    assert process.wait(10) == 0
    assert attempt.exit()["reason"] == "stopped"


def test_what_is_left_in_the_background_goes_too(either):
    end = either.run("(setsid sleep 60 &); echo done")
    assert end["code"] == 0
    assert re.fullmatch(r"ending what was left running: sleep \(\d+\)", either.log()[-1])
    assert either.living() == []


def test_a_tree_that_takes_too_much_memory_is_killed(either):
    # Two processes of 60 MB: neither is above the limit of 100 MB, together they are.
    hog = f"{sys.executable} -c 'import time; x = bytearray(60 << 20); print(1, flush=True); time.sleep(60)'"
    end = either.run(f"{hog} & {hog} & wait", memory=100 << 20)
    assert end["reason"] == "memory"
    assert end["usage"]["peak_memory"] > 95 << 20
    assert either.living() == []


BOMB = """import os, time
until = time.monotonic() + 20
while time.monotonic() < until:
    try:
        FORK
    except OSError:
        pass
"""
CHAIN, DOUBLING = "os.fork() and time.sleep(20)", "os.fork()"


# One that doubles takes the machine's last process number, so that it runs where nothing else is tested meanwhile.
@pytest.mark.parametrize("fork", [CHAIN, pytest.param(DOUBLING, marks=pytest.mark.full)])
@pytest.mark.parametrize("detached", [False, True])
def test_a_fork_bomb_is_ended_with_all_its_processes(attempt, detached, fork):
    program = ("import os\nos.setsid()\n" if detached else "") + BOMB.replace("FORK", fork)
    (attempt.directory / "bomb.py").write_text(program)
    end = attempt.run(f"{sys.executable} -I bomb.py", processes=60, nice=10)
    assert (end["reason"], end["detail"]) == ("processes", "more than 60")
    assert attempt.living() == []


def test_threads_count_as_processes(either):
    code = "import threading, time; [threading.Thread(target=time.sleep, args=(60,)).start() for _ in range(80)]"
    assert either.run(f"{sys.executable} -c '{code}'", processes=60)["reason"] == "processes"


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("head -c 30000000 /dev/zero > own/big; sleep 60", "disk"),
        ("head -c 30000000 /dev/zero > own/deeper/big; chmod 000 own/deeper; sleep 60", "disk"),
        ("exec 9> own/big; rm own/big; head -c 30000000 /dev/zero >&9; sleep 60", "disk"),
        ("i=0; while [ $i -lt 3000 ]; do : > own/$i; i=$((i+1)); done; sleep 60", "files"),
        ("cd own; i=0; while [ $i -lt 300 ]; do mkdir d; cd d; i=$((i+1)); done; sleep 60", "deep"),
    ],
)
def test_what_fills_the_disk_is_ended(attempt, line, reason):
    (attempt.directory / "own" / "deeper").mkdir(parents=True)
    own = str(attempt.directory / "own")
    end = attempt.run(line, space={"folders": [own], "given": [], "bytes": 20_000_000, "files": 2000}, timeout=20)
    assert end["reason"] == reason, end
    assert attempt.living() == []


def test_inputs_links_and_holes_are_not_counted(attempt):
    own = attempt.directory / "own"
    (own / "given").mkdir(parents=True)
    (own / "given" / "big").write_bytes(b"x" * 30_000_000)
    (own / "input").write_bytes(b"x" * 30_000_000)
    line = "truncate -s 1T own/hole; head -c 15000000 /dev/zero > own/a; ln own/a own/b; ln -s / own/all; sleep 2"
    given = [str(own / "given"), str(own / "input")]
    end = attempt.run(line, space={"folders": [str(own)], "given": given, "bytes": 20_000_000, "files": 2000})
    assert (end["reason"], end["code"]) == ("exited", 0)


def test_a_disk_that_runs_full_ends_who_writes(attempt):
    own = attempt.directory / "own"
    own.mkdir()
    space = {"folders": [str(own)], "keep": 1 << 60}
    assert attempt.run("echo x > own/x; sleep 1.5", space=space)["code"] == 0
    (attempt.directory / "exit.json").unlink()
    assert attempt.run("head -c 80000000 /dev/zero > own/x; sleep 60", space=space)["reason"] == "disk-full"


def test_what_was_written_is_told(attempt):
    end = attempt.run("head -c 5000000 /dev/zero > x")
    assert end["usage"]["written_bytes"] >= 5_000_000


def test_an_attempt_that_is_over_does_not_begin_again(attempt):
    attempt.run("echo one")
    assert attempt.start("echo two").wait(10) == 3
    assert attempt.log() == ["$ echo one", "one"]


def test_what_a_killed_supervisor_left_is_reaped(either):
    process = either.start("(setsid sleep 60 &); echo ready; sleep 60")
    either.wait_for("ready")
    process.kill()
    process.wait(10)
    assert either.reap() == 0
    assert either.exit()["reason"] == "lost"
    assert either.living() == []


def test_a_living_attempt_cannot_be_reaped(attempt):
    process = attempt.start("echo ready; sleep 60")
    attempt.wait_for("ready")
    assert attempt.reap() == 3
    assert process.poll() is None
    process.terminate()
    process.wait(10)


def test_a_supervisor_survives_its_fork_server(attempt):
    spec = attempt.write("echo ready; sleep 0.4; echo late")
    server = subprocess.Popen(
        [sys.executable, "-I", "-S", SCRIPT, "--serve"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    server.stdin.write(f"{spec}\n".encode())
    server.stdin.flush()
    assert server.stdout.readline() == f"started {spec}\n".encode()
    server.kill()
    server.communicate()
    until = time.monotonic() + 10
    while not (attempt.directory / "exit.json").exists():
        assert time.monotonic() < until
        time.sleep(0.01)
    assert attempt.exit()["code"] == 0
    assert attempt.log()[-1] == "late"


def test_a_command_and_what_it_starts_yield_to_others(attempt):
    line = "sleep 0.2; nice; cat /proc/self/oom_score_adj"
    assert attempt.run(line, nice=7)["code"] == 0
    own = os.getpriority(os.PRIO_PROCESS, 0)
    assert attempt.log()[-2:] == [str(own + 7), "500"]


def test_what_a_command_has_started_before_anybody_looked_yields_too():
    line = "sleep 60 & echo $!; exec 1>&-; wait"
    command = subprocess.Popen(["/bin/sh", "-c", line], stdout=subprocess.PIPE, start_new_session=True)
    try:
        child = int(command.stdout.readline())
        processes.make_modest(command.pid, 3)
        own = os.getpriority(os.PRIO_PROCESS, 0)
        assert [os.getpriority(os.PRIO_PROCESS, pid) for pid in (command.pid, child)] == [own + 3, own + 3]
    finally:
        os.killpg(command.pid, signal.SIGKILL)
        command.communicate()


def test_a_fork_server_leaves_no_dead_supervisors_behind(attempt):
    server = subprocess.Popen(
        [sys.executable, "-I", "-S", SCRIPT, "--serve"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    spec = attempt.write("true")
    for answer in ("started", "refused"):
        server.stdin.write(f"{spec}\n".encode())
        server.stdin.flush()
        assert server.stdout.readline() == f"{answer} {spec}\n".encode()
        until = time.monotonic() + 10
        while not (attempt.directory / "exit.json").exists():
            assert time.monotonic() < until
            time.sleep(0.01)
    until = time.monotonic() + 10
    while Path(f"/proc/{server.pid}/task/{server.pid}/children").read_text():
        assert time.monotonic() < until
        time.sleep(0.01)
    server.communicate()
