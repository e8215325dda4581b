"""Two real servers on one data directory and a real database: one works, the other takes over, and nothing is lost."""

import contextlib
import json
import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import requests

from database_servers import database_server
from platforms import Copy, Platform, alive, is_below, new_copy, wait

LEASE = 8.0
REPOSITORY = "alice/work"
pytestmark = pytest.mark.timeout(300)


@pytest.fixture
def servers(tmp_path: Path) -> Iterator[Callable[..., Platform]]:
    """Makes platforms on one data directory, or on what another machine sees of it; the database is common."""
    made: list[Platform] = []
    with database_server("postgresql") as database:
        name = database.database()
        chosen = {
            "database": database.url(name, driver=False), "standby": "true", "lease_seconds": str(LEASE),
        }  # fmt: skip

        def make(data: Path | None = None) -> Platform:
            one = Platform(data or tmp_path / "platform" / "data")
            one.database = database.url(name)
            if made:
                one.tokens = made[0].tokens
            if not one.data.exists():
                one.choose(chosen)
            made.append(one)
            return one

        yield make
        for one in reversed(made):
            if one.process and one.process.poll() is None:
                one.kill()  # also one that is stopped in the middle of a test
            one.stop()


@pytest.fixture
def first(servers: Callable[..., Platform]) -> Platform:
    one = servers().start()
    one.user("alice", "--admin")
    return one


class Work:
    """A project whose stage says that it runs, and ends when it may."""

    def __init__(self, place: Path) -> None:
        self.proof, self.gate = place / "proof", place / "gate"
        self.copy = new_copy(place / "copy", {
            "dvc.yaml": "stages:\n"
            f"  slow: {{cmd: 'echo run >> {self.proof}; while ! [ -e {self.gate} ]; do sleep 0.1; done; cp in.txt a.txt',"
            " deps: [in.txt], outs: [a.txt]}\n",
            "in.txt": "x\n",
        })  # fmt: skip

    def begin(self, platform: Platform) -> str:
        """Push, and wait until the stage runs; gives the run's id."""
        self.copy.git("push", "--quiet", platform.url(REPOSITORY, "alice"), "main")
        wait(self.proof.exists, "the stage runs")
        wait(lambda: platform.query("SELECT 1 FROM stage_attempts WHERE status = 'running'"), "that is recorded")
        return str(platform.runs(REPOSITORY)[0]["id"])

    def end(self, platform: Platform) -> list[int]:
        """Let the stage end; gives the attempts of it that there were, after the run has succeeded, once."""
        self.gate.touch()
        run = platform.ended(REPOSITORY)
        assert run["status"] == "succeeded", platform.log()[-5000:]
        listed = self.copy.git("ls-remote", platform.url(REPOSITORY, "alice")).stdout.split()[1::2]
        assert [ref.rpartition("/")[2] for ref in listed if ref.startswith("refs/exps/")].count("run-1") == 1
        return [stage["attempt"] for stage in run["stages"]]


@pytest.fixture
def work(tmp_path: Path) -> Iterator[Work]:
    made = Work(tmp_path)
    yield made
    made.gate.touch()  # no stage is left running


def push_until_taken(copy: Copy, platform: Platform) -> None:
    """A push of another branch that is tried again until it is answered; refusals are those of a standby."""
    copy.git("checkout", "--quiet", "-b", "meanwhile")
    copy.write({"in.txt": "y\n"}).commit("meanwhile")

    def pushed() -> bool:
        done = copy.git("push", "--quiet", platform.url(REPOSITORY, "alice"), "meanwhile", check=False)
        assert done.returncode == 0 or "503" in done.stderr or "disconnect" in done.stderr, done.stderr
        return done.returncode == 0

    wait(pushed, "a push is taken")


def tree(platform: Platform) -> list[int]:
    """The parent and all processes below it."""
    assert platform.process
    top, found = platform.process.pid, []
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdigit() and is_below(int(entry.name), top):
                found.append(int(entry.name))
        except OSError:
            continue
    return [top, *found]


def tell(pids: list[int], number: signal.Signals) -> None:
    """Send a signal to those of them that are there."""
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)


def lives(pid: int) -> str:
    """Its command as long as it lives."""
    try:
        state = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()[0]
        return "" if state == b"Z" else f"{pid} {Path(f'/proc/{pid}/cmdline').read_bytes()!r}"
    except OSError:
        return ""


def all_end(pids: list[int]) -> None:
    try:
        wait(lambda: not any(map(lives, pids)), "all of it has ended", 30)
    except AssertionError as error:
        raise AssertionError(f"these live on: {list(filter(None, map(lives, pids)))}") from error


def test_a_standby_says_what_it_is_and_takes_over_in_the_middle_of_a_run(
    first: Platform, servers: Callable[..., Platform], work: Work
) -> None:
    run = work.begin(first)
    second = servers().stand_by()
    assert requests.get(f"{second.address}/healthz", timeout=20).status_code == 200
    assert requests.get(f"{second.address}/readyz", timeout=20).status_code == 503
    page = requests.get(f"{second.address}/alice/work", headers={"Accept": "text/html"}, timeout=20)
    assert (page.status_code, page.headers["Retry-After"]) == (503, str(round(LEASE)))
    assert "standby" in page.text
    assert "备用" in page.text
    refused = work.copy.git("push", second.url(REPOSITORY, "alice"), "main:other", check=False)
    assert refused.returncode != 0
    assert "503" in refused.stderr
    first.kill()
    push_until_taken(work.copy, second)
    assert second.is_up().address
    assert alive(second, run)  # it is taken up, and not begun again
    assert work.end(second) == [1]
    assert second.ended(REPOSITORY, 2)["status"] == "succeeded"
    assert work.proof.read_text() == "run\nrun\n"  # one of each commit
    assert requests.get(f"{second.address}/readyz", timeout=20).status_code == 200


def test_a_server_on_another_machine_takes_over_when_the_lease_has_run_out(
    first: Platform, servers: Callable[..., Platform], work: Work, tmp_path: Path
) -> None:
    run = work.begin(first)
    there = tmp_path / "there" / "data"
    there.mkdir(parents=True)
    for name in ("repos", "objects", "env", "work", "cache", "tmp", "secrets.key", "refmill.toml"):
        (there / name).symlink_to(first.data / name)
    second = servers(there).stand_by()
    first.kill()
    # With its machine: supervisors first, so that nobody says how the stage ended.
    tell([json.loads(lock.read_text())["pid"] for lock in (first.data / "work" / run).glob("*/lock")], signal.SIGKILL)
    while stages := alive(first, run):
        tell(stages, signal.SIGKILL)
    push_until_taken(work.copy, second)
    second.is_up()
    assert work.end(second) == [2]
    assert second.ended(REPOSITORY, 2)["status"] == "succeeded"
    assert work.proof.read_text() == "run\nrun\nrun\n"


@pytest.mark.parametrize("whole", [False, True], ids=["its parent", "all of it"])
def test_a_server_that_is_stopped_for_longer_than_its_lease_ends_itself_and_the_other_one_goes_on(
    first: Platform, servers: Callable[..., Platform], work: Work, *, whole: bool
) -> None:
    everything = tree(first)  # before there are stages, which have to live on
    run = work.begin(first)
    second = servers().stand_by()
    assert first.process
    tell(everything if whole else everything[:1], signal.SIGSTOP)
    push_until_taken(work.copy, second)
    second.is_up()
    if not whole:
        all_end(everything[1:])
    repositories = {path: path.stat().st_mtime_ns for path in (first.data / "repos").rglob("*") if path.is_file()}
    tell(everything if whole else everything[:1], signal.SIGCONT)
    assert first.process.wait(60) == -signal.SIGALRM
    all_end(everything)
    assert alive(second, run)
    now = {path: path.stat().st_mtime_ns for path in (first.data / "repos").rglob("*") if path.is_file()}
    assert {path for path in repositories if repositories[path] != now.get(path)} == set()
    assert work.end(second) == [1]
    assert second.ended(REPOSITORY, 2)["status"] == "succeeded"
    assert work.proof.read_text() == "run\nrun\n"


def test_a_server_that_is_ended_as_it_should_be_hands_over_at_once(
    first: Platform, servers: Callable[..., Platform], work: Work
) -> None:
    run = work.begin(first)
    second = servers().stand_by()
    first.stop()
    second.is_up()
    assert alive(second, run)
    assert work.end(second) == [1]
    first.stand_by()
    second.stop()
    assert first.is_up().ended(REPOSITORY)["status"] == "succeeded"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_standby_that_is_ended_while_it_waits_leaves_the_other_one_alone(
    platform: Platform, number: signal.Signals
) -> None:
    second = Platform(platform.data).stand_by()  # with SQLite
    assert second.process
    assert requests.get(f"{second.address}/readyz", timeout=20).status_code == 503
    second.process.send_signal(number)
    assert second.process.wait(60) in (0, -signal.SIGTERM)
    second.stop()
    assert "Traceback" not in platform.log()
    assert requests.get(f"{platform.address}/readyz", timeout=20).status_code == 200
