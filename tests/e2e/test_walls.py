"""Stages that try to break out of their box, or to starve the server, on a platform with the sandbox."""

import json
import os
import re
import socket
import threading
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from platforms import Copy, Platform, wait
from refmill.clients.database.rows import explanation
from refmill.engine.sandbox import Sandbox

pytestmark = pytest.mark.skipif(not Sandbox().works, reason="bubblewrap does not work here")
BREAKOUT = Path(__file__).parent.parent / "fakes" / "breakout.py"
PRECIOUS = "precious" * 4096
LOG_LIMIT = 64 << 20
GIGABYTE = 1_000_000_000
NICENESS = 10
"""What is added to a stage's; 19 is the kernel's largest."""
ALONE = ["lo"]
"""The interfaces of a box without the network: its own loopback."""
REACH = """\
import socket, sys
try:
    socket.create_connection(("127.0.0.1", int(sys.argv[1])), 10).close()
    print("reached")
except OSError as error:
    print("refused", error)
for line in open("/proc/net/dev").read().splitlines()[2:]:
    print("interface", line.split(":")[0].strip())
"""
SPEC = """\
apiVersion: refmill/v1
kind: Pipeline
metadata: {name: project}
spec: {onError: continue}
"""
PATIENT = """\
apiVersion: refmill/v1
kind: Pipeline
metadata: {name: project}
spec: {stages: {lines: {timeout: 8m}}}
"""
STARVING = {
    "bomb": ("python3 -I bomb.py", "more than 150 processes and threads"),
    "daemons": ("python3 -I bomb.py detached", "more than 150 processes and threads"),
    "disk": ("head -c 999000000 /dev/zero > big; sleep 300", "more than 64 MiB of disk"),
    "files": ("mkdir many; cd many; seq 100000 | xargs touch; sleep 300", "more than 5,000 files"),
    "memory": (
        "python3 -c 'x = bytearray(900 << 20); import time; time.sleep(300)'",
        "ran out of its 512 MiB of memory",
    ),
    "shared": ("head -c 999000000 /dev/zero > /dev/shm/x; exit 3", "exit code 3"),
}
BOMB = """\
import os, sys, time
for _ in range(12):
    try:
        if not os.fork() and len(sys.argv) > 1:
            os.setsid()
    except OSError:
        pass
time.sleep(3)
"""
"""Doubles, to four thousand and no more: where stages are only watched, it takes little from what else is tested."""


@pytest.fixture(scope="module")
def boxed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    """A platform that runs nothing without a sandbox, with low limits."""
    running = Platform(tmp_path_factory.mktemp("boxed") / "data", sandbox="require")
    running.start(
        "--cpus", "8", "--memory", "8Gi", "--stage-memory", "512Mi", "--stage-timeout", "120",
        "--stage-processes", "150", "--stage-disk", "64Mi", "--stage-files", "5000",
    )  # fmt: skip
    running.user("alice", "--admin")
    running.user("mallory")
    yield running
    running.stop()
    for lock in running.data.glob("work/*/*/lock"):
        (lock.parent / "stop").touch()  # what a test left running that did not come to its end


def stages(platform: Platform, run_id: str) -> dict[str, tuple[str, str]]:
    """The status of each stage of a run, and why."""
    rows = platform.query("SELECT address, status, explanation FROM stage_attempts WHERE run_id = ?", run_id)
    return {address.decode(): (status, str(explanation(why) or "")) for address, status, why in rows}


def quoted(commands: dict[str, str], outs: str = "") -> str:
    """A dvc.yaml of independent stages."""
    lines = [
        f"  {name}: {{cmd: {json.dumps(command)}, outs: [{outs or name + '.out'}]}}"
        for name, command in commands.items()
    ]
    return "\n".join(["stages:", *lines, ""])


def with_argument(word: str) -> list[str]:
    """The processes of this machine that have that word among their arguments."""
    found = []
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdigit() and word.encode() in (entry / "cmdline").read_bytes().split(b"\0"):
                found.append(entry.name)
        except OSError:
            continue
    return found


@contextmanager
def answering(platform: Platform) -> Iterator[list[int]]:
    """The statuses that the platform answers meanwhile, 0 for none within five seconds."""
    statuses: list[int] = []
    over = threading.Event()

    def ask() -> None:
        while not over.wait(0.3):
            try:
                with urllib.request.urlopen(f"{platform.address}/readyz", timeout=5) as answer:
                    statuses.append(answer.status)
            except OSError:
                statuses.append(0)

    thread = threading.Thread(target=ask)
    thread.start()
    try:
        yield statuses
    finally:
        over.set()
        thread.join()


def test_a_stage_reaches_nothing_that_is_not_its_own(
    boxed: Platform, name: str, project: Callable[[dict[str, str]], Copy], tmp_path: Path
) -> None:
    victim = project({"dvc.yaml": quoted({"hold": "echo mine > hold.out; exec sleep 300.25"})})
    boxed.refmill("repo", "add", f"alice/{name}")
    boxed.refmill("secret", "set", f"alice/{name}", "KEY", stdin="a secret\n")
    victim.git("push", "--quiet", boxed.url(f"alice/{name}", "alice"), "main")
    data = boxed.data.resolve()
    held = wait(lambda: next(data.glob("work/*/*/tree/hold.out"), None), "the victim runs")
    sockets = [str(path) for path in (data / "run").glob("*.sock")]
    assert sockets
    parent = boxed.process.pid  # and its own children alone: another platform on this machine is none of ours
    children = Path(f"/proc/{parent}/task/{parent}/children").read_text().split()
    facts = {
        "secret": [
            str(data / "refmill.db"), str(data / "secrets.key"), str(data), str(held), str(held.parent / ".git"),
            *map(str, (data / "repos").glob("*.git")), str(data / "objects"), str(data / "run" / "address.json"),
            str(Path.home()), str(Path(__file__)), "/etc/shadow", "/root", "/var/log", "/sys/fs/cgroup", "/proc/1/root/root",
        ],
        "pids": [parent, *map(int, children)],
        "sockets": sockets,
        "foreign": [str(data / "refmill.db"), str(held), "/usr", "/etc", "/usr/bin/env"],
        "inputs": ["data.bin"],
    }  # fmt: skip
    pipeline = """
stages:
  make: {cmd: cp source data.bin, deps: [source], outs: [data.bin]}
  reach:
    cmd: touch $VIRTUAL_ENV/planted || echo fast; python3 -I breakout.py facts.json report.json
    deps: [data.bin]
    outs: [report.json: {cache: false}]
  after: {cmd: cp data.bin copy.bin, deps: [data.bin, report.json], outs: [copy.bin: {cache: false}]}
"""
    files = {"dvc.yaml": pipeline, "source": PRECIOUS, "facts.json": json.dumps(facts)}
    attacker = Copy(tmp_path / "attacker")
    attacker.path.mkdir()
    attacker.git("init", "--quiet", "--initial-branch=main")
    attacker.write({**files, "breakout.py": BREAKOUT.read_text()})
    attacker.dvc("init", "--quiet")
    attacker.commit()
    full = f"mallory/{name}"
    attacker.git("push", "--quiet", boxed.url(full, "mallory"), "main")
    run = boxed.ended(full)
    assert run["status"] == "succeeded", (stages(boxed, run["id"]), boxed.refmill("logs", f"{full}#1", "reach"))
    attacker.git("fetch", "--quiet", boxed.url(full, "mallory"), "refs/exps/*:refs/exps/*")
    ref = attacker.git("for-each-ref", "--format=%(refname)", "refs/exps").stdout.split()[0]
    assert attacker.git("show", f"{ref}:report.json").stdout == "[]"
    assert attacker.git("show", f"{ref}:copy.bin").stdout == PRECIOUS
    assert not list(data.glob("env/*/planted"))
    assert with_argument("300.25"), "the victim still runs"
    boxed.refmill("stop", f"alice/{name}#1")
    boxed.ended(f"alice/{name}")


def test_the_network_of_a_repository_is_what_its_setting_says(
    boxed: Platform, name: str, project: Callable[[dict[str, str]], Copy]
) -> None:
    copy, full = project({"reach.py": REACH}), f"mallory/{name}"
    boxed.refmill("repo", "add", full)
    own = [line.split(":")[0].strip() for line in Path("/proc/net/dev").read_text().splitlines()[2:]]
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(20)
        command = f"python3 -I reach.py {listener.getsockname()[1]} > reach.out; cat reach.out"
        for number, network in enumerate((False, True, False), 1):
            boxed.refmill("repo", "change", full, "--network" if network else "--no-network")
            copy.write({"dvc.yaml": quoted({"reach": f"{command}; : {number}"})}).commit()
            copy.git("push", "--quiet", boxed.url(full, "mallory"), "main")
            assert boxed.ended(full, number)["status"] == "succeeded"
            told = boxed.refmill("logs", f"{full}#{number}", "reach")
            assert re.findall(r"^(reached|refused)\b", told, re.MULTILINE) == ["reached" if network else "refused"], (
                told
            )
            assert re.findall(r"^interface (\S+)", told, re.MULTILINE) == (own if network else ALONE)
            if network:
                listener.accept()[0].close()
            else:
                listener.setblocking(False)
                with pytest.raises(BlockingIOError):
                    listener.accept()
                listener.settimeout(20)


def test_busy_loops_on_all_cores_yield_to_the_server(
    boxed: Platform, name: str, project: Callable[[dict[str, str]], Copy]
) -> None:
    loops = 4 * (os.cpu_count() or 1)
    busy = "while test ! -e stop; do :; done"  # no program is started in it
    lines = f"for i in $(seq {loops}); do (nice; {busy}) & done; sleep 8; nice; touch stop busy.out; wait"
    full = f"mallory/{name}"
    with answering(boxed) as statuses:
        project({"dvc.yaml": quoted({"busy": lines})}).git("push", "--quiet", boxed.url(full, "mallory"), "main")
        run = boxed.ended(full)
    assert run["status"] == "succeeded", stages(boxed, run["id"])
    assert set(statuses) == {200}
    assert boxed.process is not None
    expected = min(19, os.getpriority(os.PRIO_PROCESS, boxed.process.pid) + NICENESS)
    told = boxed.refmill("logs", f"{full}#1", "busy")
    assert re.findall(r"^(-?\d+)$", told, re.MULTILINE) == [str(expected)] * (loops + 1), told


def test_a_stage_that_starves_others_is_ended_and_the_server_answers(
    boxed: Platform, name: str, project: Callable[[dict[str, str]], Copy]
) -> None:
    pipeline = quoted({stage: line for stage, (line, _) in STARVING.items()})
    copy = project({"dvc.yaml": pipeline, "refmill.yaml": SPEC, "bomb.py": BOMB})
    full = f"mallory/{name}"
    with answering(boxed) as statuses:
        copy.git("push", "--quiet", boxed.url(full, "mallory"), "main")
        run = boxed.ended(full, seconds=180)
    assert set(statuses) == {200}
    found = stages(boxed, run["id"])
    assert set(found) == set(STARVING), (run, boxed.log()[-2000:])
    for stage, (_, why) in STARVING.items():
        assert found[stage][0] == "failed", (run, found)
        assert why in found[stage][1], (stage, found[stage])
    assert not with_argument("bomb.py")


def test_nothing_outlives_its_stop(boxed: Platform, name: str, project: Callable[[dict[str, str]], Copy]) -> None:
    stubborn = "trap '' TERM HUP INT; (setsid env -i /bin/sh -c \"trap '' TERM HUP; sleep 300.5; sleep 300.5\" &) ; sleep 300.5; sleep 300.5"
    copy = project({"dvc.yaml": quoted({"stay": stubborn})})
    full = f"mallory/{name}"
    copy.git("push", "--quiet", boxed.url(full, "mallory"), "main")
    wait(lambda: len(with_argument("300.5")) == 2, "both run")
    boxed.refmill("stop", f"{full}#1")
    assert boxed.ended(full)["status"] == "stopped"
    assert with_argument("300.5") == []


@pytest.mark.parametrize(
    "many", [300_000_000, pytest.param(GIGABYTE, marks=[pytest.mark.full, pytest.mark.timeout(600)])]
)
def test_endless_output_harms_nobody_and_stays_readable(
    boxed: Platform, name: str, project: Callable[[dict[str, str]], Copy], many: int
) -> None:
    commands = {
        "line": "head -c 200000000 /dev/zero | tr '\\0' x; echo; echo the end; touch line.out",
        "lines": f"yes 'a line of forty characters, more or less' | head -c {many}; echo; echo the end; touch lines.out",
        "odd": "head -c 3000000 /dev/urandom; printf '\\033]0;title\\007\\033[2J\\r\\n\\0\\010'; echo the end; touch odd.out",
    }
    copy = project({"dvc.yaml": quoted(commands), "refmill.yaml": PATIENT})
    full = f"mallory/{name}"
    with answering(boxed) as statuses:
        copy.git("push", "--quiet", boxed.url(full, "mallory"), "main")
        run = boxed.ended(full, seconds=500)
    assert run["status"] == "succeeded", stages(boxed, run["id"])
    assert set(statuses) == {200}
    logs = sorted(boxed.data.glob("objects/r/*/refmill/runs/*/logs/*.log"), key=lambda path: path.stat().st_mtime)[-3:]
    for log in logs:
        assert log.stat().st_size < LOG_LIMIT + (1 << 20)
        with log.open("rb") as file:
            for line in file:
                assert len(line) < 64 << 10
                assert not re.search(rb"[\x00-\x08\x0b-\x1a\x1c-\x1f\x7f]", line[:-1])
        assert line.decode().rstrip().endswith("the end")
    boxed.refmill("repo", "change", full, "--public")
    for stage in commands:
        with urllib.request.urlopen(f"{boxed.address}/{full}/runs/1?stage={stage}", timeout=60) as page:
            assert b"the end" in page.read()
