"""Processes die at any moment while people push: what was acknowledged is run once, and nothing is left behind."""

import itertools
import os
import random
import signal
import sys
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from faults.breaking import assert_whole
from platforms import Copy, Platform, new_copy, wait

SEED = int(os.environ.get("REFMILL_SEED", "1"))
PUSHERS = 2
PIPELINE = """\
stages:
  one: {{cmd: 'echo one {number} >> {proof}; echo {number} > a.txt', outs: [a.txt]}}
  two: {{cmd: 'echo two {number} >> {proof}; sort a.txt a.txt > b.txt', deps: [a.txt], outs: [b.txt]}}
"""
OVER = {"succeeded", "failed", "stopped", "superseded", "nothing"}


@dataclass
class Pusher:
    """Somebody who pushes one commit after the other, and pushes again what was not acknowledged."""

    platform: Platform
    copy: Copy
    name: str
    proof: Path
    acknowledged: list[str] = field(default_factory=list)
    ended: bool = False

    def work(self) -> None:
        """Until told to end."""
        for number in itertools.count(1):
            if self.ended:
                return
            self.copy.write({"dvc.yaml": PIPELINE.format(number=number, proof=self.proof)})
            sha = self.copy.commit(f"number {number}")
            while self.copy.git(
                "push", "--quiet", self.platform.url(self.name, "alice"), "main", check=False
            ).returncode:
                time.sleep(0.1)
                if self.ended:
                    return
            self.acknowledged.append(sha)


def victims(platform: Platform) -> dict[str, list[int]]:
    """The processes of a platform and of its stages, by what they are."""
    found: dict[str, list[int]] = {"web": [], "engine": [], "resolver": [], "git": [], "supervisor": []}
    place = str(platform.data.resolve())
    for entry in Path("/proc").iterdir():
        try:
            if not entry.name.isdigit():
                continue
            words = (entry / "cmdline").read_bytes().decode(errors="replace").split("\0")
            folder = os.readlink(entry / "cwd")
            mine = any(str(platform.data) in word or place in word for word in words) or folder.startswith(place)
            below = _below(int(entry.name), platform.process.pid)
        except OSError:
            continue
        pid = int(entry.name)
        for name in ("web", "engine", "resolver"):
            if below and f"refmill_web.processes.{name}" in words:
                found[name].append(pid)
        if words[0] == "git" and mine:
            found["git"].append(pid)
        if words[0] == "/bin/sh" and folder.startswith(place):
            found["supervisor"].append(_parent(pid))
    return found


def _parent(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def _below(pid: int, parent: int) -> bool:
    while pid > 1:
        pid = _parent(pid)
        if pid == parent:
            return True
    return False


def strike(platform: Platform, chance: random.Random) -> str:
    """Kill something; gives what."""
    found = victims(platform)
    kinds = ["all", "parent", *(kind for kind, pids in found.items() if pids)]
    kind = chance.choice(kinds)
    if kind in ("all", "parent"):
        pids = [platform.process.pid]
        if kind == "all":
            pids += [pid for name in ("web", "engine", "resolver", "git") for pid in found[name]]
        os.kill(platform.process.pid, signal.SIGSTOP)
    else:
        pids = [chance.choice(found[kind])]
    for pid in reversed(pids):
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            continue
    return kind


def campaign(place: Path, seed: int, kills: int) -> Counter[str]:
    """That many kills while PUSHERS people push. Gives what was killed how often."""
    sys.stdout.write(f"seed {seed}\n")
    chance = random.Random(seed)
    platform = Platform(place / "data").start()
    port = platform.address.rpartition(":")[2]
    platform.user("alice", "--admin")
    pushers = [
        Pusher(platform, new_copy(place / f"copy{number}", {}), f"alice/project{number}", place / f"proof{number}")
        for number in range(PUSHERS)
    ]
    threads = [threading.Thread(target=pusher.work) for pusher in pushers]
    for thread in threads:
        thread.start()
    struck: Counter[str] = Counter()
    try:
        for _ in range(kills):
            time.sleep(chance.uniform(0, 0.8))
            struck[strike(platform, chance)] += 1
            if platform.process.poll() is not None or _gone(platform):
                platform.kill()
                again(platform, port)
    finally:
        for pusher in pushers:
            pusher.ended = True
        for thread in threads:
            thread.join(60)
    if platform.process.poll() is not None:
        again(platform, port)
    for pusher in pushers:
        assert_all_ran_once(platform, pusher)
    platform.stop()
    pushes = sum(len(pusher.acknowledged) for pusher in pushers)
    sys.stdout.write(f"{sum(struck.values())} kills {dict(struck)}, {pushes} pushes, nothing lost\n")
    return struck


def again(platform: Platform, port: str) -> None:
    """Start it under the same address, as soon as what is left of its web has let go of it."""
    for _ in range(60):
        try:
            platform.start("--port", port)
        except AssertionError:
            platform.stop()
            if "cannot be listened on" not in platform.log()[-500:]:
                raise
            time.sleep(0.5)
        else:
            return


def _gone(platform: Platform) -> bool:
    """Whether the parent was struck; it takes a moment to be reaped."""
    time.sleep(0.05)
    return platform.process.poll() is not None


def assert_all_ran_once(platform: Platform, pusher: Pusher) -> None:
    """Every acknowledged push has one run that ended well, and each of its commands ran once an attempt."""
    assert pusher.acknowledged, "nothing was ever acknowledged"

    def over() -> bool:
        runs = platform.runs(pusher.name)
        return {run["commit"] for run in runs} >= set(pusher.acknowledged) and all(
            run["status"] in OVER for run in runs
        )

    wait(over, f"all runs end; {platform.log()[-3000:]}", 120)
    runs = {run["commit"]: run for run in platform.runs(pusher.name)}
    assert len(runs) == len(platform.runs(pusher.name)), "a commit was run twice"
    ran = Counter(pusher.proof.read_text().splitlines())
    for number, sha in enumerate(pusher.acknowledged, 1):
        run = runs[sha]
        assert run["status"] == "succeeded", (run, platform.log()[-3000:])
        for stage in run["stages"]:
            assert 1 <= ran[f"{stage['name']} {number}"] <= stage["attempt"], (stage, ran)
    url = platform.url(pusher.name, "alice")
    refs = dict(reversed(line.split("\t")) for line in pusher.copy.git("ls-remote", url).stdout.splitlines())
    assert (
        pusher.copy.git("merge-base", "--is-ancestor", pusher.acknowledged[-1], refs["refs/heads/main"]).returncode == 0
    )
    experiments = [ref for ref in refs if ref.startswith("refs/exps/")]
    assert len(experiments) == len({ref.rpartition("/")[2] for ref in experiments}) == len(runs)
    assert_whole(platform, [run["id"] for run in runs.values()])


@pytest.mark.full  # minutes: what is left of a killed web lets go of the address after seconds
@pytest.mark.timeout(900)
@pytest.mark.parametrize("part", range(4))
def test_a_hundred_deaths_lose_nothing(part: int, tmp_path: Path) -> None:
    struck = campaign(tmp_path, SEED * 1000 + part, 25)
    assert sum(struck.values()) == 25


@pytest.mark.full
@pytest.mark.timeout(7200)
@pytest.mark.parametrize("part", range(10))
def test_a_thousand_deaths_lose_nothing(part: int, tmp_path: Path) -> None:
    struck = campaign(tmp_path, SEED * 1000 + 100 + part, 100)
    assert sum(struck.values()) == 100
