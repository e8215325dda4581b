"""Processes die at any moment while people push: what was acknowledged is run once, and nothing is left behind."""

import itertools
import os
import random
import signal
import threading
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import pytest

import telling
from faults.breaking import assert_whole
from platforms import OVER, Copy, Platform, alive, is_below, new_copy, parent_of, wait

SEED = int(os.environ.get("REFMILL_SEED", "1"))
PUSHERS = 2
PIPELINE = """\
stages:
  one: {{cmd: 'echo one {number} >> {proof}; sleep 0.1; echo {number} > a.txt', outs: [a.txt]}}
  two: {{cmd: 'echo two {number} >> {proof}; sort a.txt a.txt > b.txt', deps: [a.txt], outs: [b.txt]}}
"""
KINDS = {"everything": 2, "parent": 2, "web": 4, "engine": 4, "resolver": 2, "git": 2, "supervisor": 3}
"""What is struck, and how often beside the others."""
PAUSE = 0.6
"""The longest time between two strikes, in seconds: shorter than most parts need to be there again."""
RARE = 1.0
"""How long to look for a process that lives for some milliseconds; then the engine is struck."""


@dataclass(frozen=True, slots=True)
class Strike:
    """A kill, as the seed chose it: after how many seconds, what, and which of several (0 to 1)."""

    pause: float
    kind: str
    which: float


@dataclass(slots=True)
class Toll:
    """What a campaign came to."""

    struck: Counter[str] = field(default_factory=Counter)
    acknowledged: int = 0
    lost: list[str] = field(default_factory=list)
    twice: list[str] = field(default_factory=list)
    orphans: list[int] = field(default_factory=list)

    def __str__(self) -> str:
        kinds = ", ".join(f"{kind} {count}" for kind, count in self.struck.most_common())
        return (
            f"{self.struck.total()} kills ({kinds}), {self.acknowledged} pushes acknowledged, {len(self.lost)} lost,"
            f" {len(self.twice)} run twice, {len(self.orphans)} orphans"
        )


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


def chosen(seed: int, kills: int) -> list[Strike]:
    """The same strikes for the same seed, whatever happens meanwhile. The last one is at everything: what a killed web
    left behind in git goes at the next start."""
    chance = random.Random(seed)
    kinds = [*chance.choices(list(KINDS), list(KINDS.values()), k=kills - 1), "everything"]
    return [Strike(chance.uniform(0, PAUSE), kind, chance.random()) for kind in kinds]


def victims(platform: Platform) -> dict[str, list[int]]:
    """The processes of a platform and of its stages, by what they are."""
    found: dict[str, list[int]] = {"web": [], "engine": [], "resolver": [], "git": [], "supervisor": []}
    place = str(platform.data.resolve())
    for entry in Path("/proc").iterdir():
        try:
            if not entry.name.isdigit():
                continue
            pid = int(entry.name)
            words = (entry / "cmdline").read_bytes().decode(errors="replace").split("\0")
            folder = os.readlink(entry / "cwd")
            if words[0] == "/bin/sh" and folder.startswith(place):
                above = parent_of(pid)
                is_supervisor = b"supervisor.py" in Path(f"/proc/{above}/cmdline").read_bytes()
                found["supervisor"] += [above] if is_supervisor else []  # else it is gone, and init has its child
            elif words[0] == "git" and (folder.startswith(place) or any(place in word for word in words)):
                found["git"].append(pid)
            elif part := next((name for name in found if f"refmill_web.processes.{name}" in words), None):
                found[part] += [pid] if is_below(pid, platform.process.pid) else []
        except OSError:
            continue
    return {name: sorted(pids) for name, pids in found.items()}


def strike(platform: Platform, blow: Strike) -> str:
    """Kill something, and start the platform again if it is gone; gives what was struck."""
    if blow.kind in ("everything", "parent"):
        os.kill(platform.process.pid, signal.SIGSTOP)  # so that it starts nothing anew meanwhile
        if blow.kind == "everything":
            _kill(pid for name, pids in victims(platform).items() if name != "supervisor" for pid in pids)
        platform.kill()
        platform.start("--port", platform.address.rpartition(":")[2])  # at once, and at the first try
        return blow.kind
    for kind in (blow.kind, "engine", "resolver", "web"):
        end = time.monotonic() + RARE
        while time.monotonic() < end:
            if pids := victims(platform)[kind]:
                _kill([pids[int(blow.which * len(pids))]])
                return kind
    raise AssertionError(f"nothing lives that could be killed: {platform.log()[-3000:]}")


def _kill(pids: Iterable[int]) -> None:
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def campaign(place: Path, seed: int, kills: int) -> Toll:
    """That many kills while PUSHERS people push."""
    began, toll = time.monotonic(), Toll()
    platform = Platform(place / "data", {"REFMILL_PUSH_WAIT": "0.3"}).start()  # the engine is dead most of the time
    try:
        platform.user("alice", "--admin")
        pushers = [
            Pusher(platform, new_copy(place / f"copy{number}", {}), f"alice/project{number}", place / f"proof{number}")
            for number in range(PUSHERS)
        ]
        *blows, last = chosen(seed, kills)
        with pushing(pushers):
            for blow in blows:
                time.sleep(blow.pause)
                toll.struck[strike(platform, blow)] += 1
        toll.struck[strike(platform, last)] += 1
        for pusher in pushers:
            count(toll, platform, pusher)
        telling.LINES.append(f"seed {seed}: {toll}; {time.monotonic() - began:.0f} s")
        wrong = [*toll.lost, *toll.twice, *toll.orphans]
        assert not wrong, f"{wrong}; {platform.log()[-3000:]}"
        for pusher in pushers:
            assert_recorded(platform, pusher)
    finally:
        platform.stop()
    return toll


@contextmanager
def pushing(pushers: Sequence[Pusher]) -> Iterator[None]:
    """Everybody pushes, until the end."""
    threads = [threading.Thread(target=pusher.work) for pusher in pushers]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        for pusher in pushers:
            pusher.ended = True
        for thread in threads:
            thread.join(60)


def count(toll: Toll, platform: Platform, pusher: Pusher) -> None:
    """Every acknowledged push has one run that ended well, and each of its commands ran once an attempt."""
    assert pusher.acknowledged, "nothing was ever acknowledged"

    def over() -> bool:
        runs = platform.runs(pusher.name)
        return {run["commit"] for run in runs} >= set(pusher.acknowledged) and all(
            run["status"] in OVER for run in runs
        )

    with suppress(AssertionError):  # then those that are missing are counted below
        wait(over, "all runs end", 120)
    listed = platform.runs(pusher.name)
    runs = {run["commit"]: run for run in listed}
    toll.acknowledged += len(pusher.acknowledged)
    toll.twice += [sha for sha, times in Counter(run["commit"] for run in listed).items() if times > 1]
    ran = Counter(pusher.proof.read_text().splitlines())
    for number, sha in enumerate(pusher.acknowledged, 1):
        run = runs.get(sha)
        if run is None or run["status"] != "succeeded":
            toll.lost.append(f"{sha}: {run}")
            continue
        for stage in run["stages"]:
            if not 1 <= ran[f"{stage['name']} {number}"] <= stage["attempt"]:
                toll.twice.append(f"{sha}: {stage}, {ran}")
    toll.orphans += [pid for run in runs.values() for pid in alive(platform, run["id"])]


def assert_recorded(platform: Platform, pusher: Pusher) -> None:
    """The branch is where it was pushed to, each run has its experiment, nothing half-made is left."""
    runs = platform.runs(pusher.name)
    url = platform.url(pusher.name, "alice")
    refs = dict(reversed(line.split("\t")) for line in pusher.copy.git("ls-remote", url).stdout.splitlines())
    assert (
        pusher.copy.git("merge-base", "--is-ancestor", pusher.acknowledged[-1], refs["refs/heads/main"]).returncode == 0
    )
    experiments = [ref for ref in refs if ref.startswith("refs/exps/")]
    assert len(experiments) == len({ref.rpartition("/")[2] for ref in experiments}) == len(runs)
    assert_whole(platform, [run["id"] for run in runs])


@pytest.mark.timeout(600)
@pytest.mark.parametrize("part", range(4))
def test_a_hundred_deaths_lose_nothing(part: int, tmp_path: Path) -> None:
    assert campaign(tmp_path, SEED * 1000 + part, 25).struck.total() == 25


@pytest.mark.full
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("part", range(10))
def test_a_thousand_deaths_lose_nothing(part: int, tmp_path: Path) -> None:
    assert campaign(tmp_path, SEED * 1000 + 100 + part, 100).struck.total() == 100
