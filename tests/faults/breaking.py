"""A platform that dies at a named step, and what must hold of any platform after it has come back."""

import contextlib
import hashlib
import http.client
import os
import sys
import time
import urllib.error
import urllib.request
from base64 import b64encode
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from intact import faults
from platforms import Platform, alive, control_groups, wait
from refmill_repos import store

INSIDE = Path(__file__).resolve().parent / "inside"
HOOK = """#!/bin/sh
if [ "$(cat {faults}/armed 2>/dev/null)" = "git : $1" ]; then
    REFMILL_TEST_FAULTS={faults} exec {python} -S {script} "git : $1"
fi
exit 0
"""
"""Also within git there are points: the ref's lock is taken, the ref has moved."""
REST = 20.0
"""How long the work may take that follows a run's end, on a machine that is busy with other things."""
CHANCE = (
    "SocketBell._send : unlink",
    "_make_private : create",
    "removing._remove : wait",
    "check_token > clients.database.connection.Database.writing : commit",
    "RunCourse.grant > clients.database.connection.Database.writing : commit",
)
"""Steps that depend on who of the processes is awake at the moment."""
POINTS = Path(__file__).resolve().parent / "points"


class Breaking(Platform):
    """A platform with fault points in its processes. `arm` one, and everything but the stages dies there."""

    def __init__(self, place: Path) -> None:
        place.mkdir(parents=True, exist_ok=True)
        self.faults = place / "faults"
        self.faults.mkdir(exist_ok=True)
        environment = {"PYTHONPATH": str(INSIDE), "REFMILL_TEST_FAULTS": str(self.faults)}
        # The points are the same on every machine; a step with a control group loses nothing, so that it needs none.
        super().__init__(place / "data", {**environment, "REFMILL_CGROUP": "off", "REFMILL_PUSH_WAIT": "0.3"})

    def start(self, *flags: str) -> "Breaking":
        """As `Platform.start`; the points know whom to kill."""
        super().start(*flags)
        hook = self.data / "repos" / ".hooks" / "reference-transaction"
        hook.write_text(HOOK.format(python=sys.executable, script=INSIDE / "sitecustomize.py", faults=self.faults))
        hook.chmod(0o755)
        return self

    def arm(self, *points: str, later: bool = False) -> None:
        """Die at that point, of several at the last one after the others; `later`: once the scenario is `ready`."""
        for name in ("armed", "waiting"):
            (self.faults / name).unlink(missing_ok=True)
        (self.faults / "armed.new").write_text("\n".join(points))
        (self.faults / "armed.new").rename(self.faults / ("waiting" if later else "armed"))

    def set_clock(self, seconds: float) -> None:
        """Let the clock of all its processes be that far ahead of the true one, or behind it."""
        (self.faults / "clock.new").write_text(str(seconds))
        (self.faults / "clock.new").rename(self.faults / "clock")

    def ready(self) -> None:
        """What led to the scenario's beginning is done: points count from here."""
        if (self.faults / "waiting").exists():
            (self.faults / "waiting").rename(self.faults / "armed")
        if (self.faults / "record").exists():
            self.record()

    def late(self) -> None:
        """Give steps that come after the visible end the time to come."""
        if (self.faults / "armed").exists():
            with contextlib.suppress(AssertionError):
                wait(lambda: self.fired, "the point is reached", 3)

    def done(self) -> None:
        """The scenario's end is reached: what follows is no part of it."""
        (self.faults / "record").unlink(missing_ok=True)
        if (self.faults / "armed").exists():
            (self.faults / "armed").rename(self.faults / "waiting")

    def record(self) -> None:
        """Note all points from here on."""
        (self.faults / "reached").unlink(missing_ok=True)
        (self.faults / "record").write_text(str(time.time_ns()))

    def reached(self) -> list[str]:
        """The points since `record`, in the order in which they were first reached."""
        return list(dict.fromkeys((self.faults / "reached").read_text().splitlines()))

    @property
    def fired(self) -> bool:
        """Whether the armed point was reached."""
        return not (self.faults / "armed").exists() and not (self.faults / "waiting").exists()

    @property
    def dead(self) -> bool:
        """Whether its parent is gone. One that has come by its point is about to be, and is waited for."""
        with contextlib.suppress(FileNotFoundError):
            if self.process is not None and int((self.faults / "victim").read_text()) == self.process.pid:
                self.process.wait(20)
        return self.process is None or self.process.poll() is not None

    def surely(self, step: Callable[[], bool]) -> None:
        """Do a step as a stubborn person does: if the platform dies of it, start it and do the step again."""
        for _ in range(3):
            if step() and not self.dead:
                return
            self.back()
        raise AssertionError(f"not done after three tries: {self.log()[-3000:]}")

    def back(self) -> None:
        """Start it again if it is dead."""
        if self.dead:
            self._close()
            self.start()

    def finished(self, repository: str, number: int = 1) -> dict[str, Any]:
        """The run's end, however often the platform dies until then."""
        over = {"succeeded", "failed", "stopped", "superseded", "nothing"}

        def look() -> dict[str, Any] | None:
            self.back()
            found = [run for run in self.runs(repository) if run["number"] == number]
            return next((run for run in found if run["status"] in over), None)

        return wait(look, f"{repository}#{number} ends; {self.log()[-3000:]}")

    def upload(self, repository: str, data: bytes) -> bool:
        """Put an object into a repository's data remote as DVC does; False if nobody acknowledged it."""
        md5 = hashlib.md5(data).hexdigest()
        request = urllib.request.Request(
            self.url(repository, ending=f".dvc/files/md5/{md5[:2]}/{md5[2:]}"), data=data, method="POST",
            headers={"Authorization": "Basic " + b64encode(f"alice:{self.user('alice')}".encode()).decode()},
        )  # fmt: skip
        try:
            with urllib.request.urlopen(request, timeout=20) as answer:
                return answer.status in (200, 201)
        except urllib.error.HTTPError as error:
            raise AssertionError(f"{error.code} {error.reason}") from error
        except (OSError, http.client.HTTPException):
            return False


def assert_whole(platform: Platform, run_ids: Sequence[str]) -> None:
    """Nothing half-written, nothing left behind, nothing that still runs, as soon as the work that follows a run's end
    is done: what stays is named."""
    found: list[str] = []

    def whole() -> bool:
        found[:] = left(platform, run_ids)
        return not found

    with contextlib.suppress(AssertionError):
        wait(whole, "everything is whole", REST)
    assert not found, "\n".join([*found, platform.log()[-3000:]])


def left(platform: Platform, run_ids: Sequence[str]) -> Iterator[str]:
    """What is not whole, or should not be there any more, in words that name it."""
    yield from faults(platform.data)
    for path in store._stale(platform.data / "repos"):
        yield f"{path} is left in a repository"
    for run in run_ids:
        if pids := alive(platform, run):
            yield f"run {run}: these processes live on: {pids}"
        if (folder := platform.data / "work" / run).exists():
            # It may be on its way out: a walk bears that.
            files = sorted(os.path.join(place, name) for place, _, names in os.walk(folder) for name in names)
            yield f"run {run}: its work folder is there, with {files[:20]}"
    if groups := control_groups(platform):
        yield f"these control groups are there: {groups}"


def assert_listed(platform: Breaking, scenario: str, *, write: bool) -> None:
    """The points that were reached are those of the list; a few come a moment after the scenario's end."""
    path = POINTS / f"{scenario}.txt"
    listed = [] if write else points(scenario)
    if not write:
        with contextlib.suppress(AssertionError):  # then the comparison says what is missing
            wait(lambda: set(listed) <= set(platform.reached()), "all points", 5)
    reached = [line for line in platform.reached() if not line.endswith(CHANCE)]
    if write:
        path.write_text("".join(f"{line}\n" for line in sorted(reached)))
        return
    known = {line for file in POINTS.glob("*.txt") for line in file.read_text().splitlines()}
    # What one scenario meets only now and then is listed with another.
    gone, new = sorted(set(listed) - set(reached)), sorted(set(reached) - known)
    assert not gone, f"{gone} went: pytest tests/faults --write-points"
    assert not new, f"{new} came: pytest tests/faults --write-points"


TELLING = (": commit", ": rename", ": replace", ": link")
"""Steps after which others see something new."""


def chosen(scenario: str, more: Sequence[str] = ()) -> list[Any]:
    """A scenario's points for `parametrize`: where something becomes visible always, the others, and what a push comes
    by as well, in the full count."""
    elsewhere = set(points("push")) if scenario != "push" else set()

    def always(point: str) -> bool:
        return (point.startswith("git") or point.endswith(TELLING)) and point not in elsewhere

    return [
        pytest.param(point, marks=() if always(point) else pytest.mark.full, id=point)
        for point in (*points(scenario), *more)
    ]


def points(scenario: str) -> list[str]:
    """The committed names of a scenario's points."""
    return (POINTS / f"{scenario}.txt").read_text().splitlines()
