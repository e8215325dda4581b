"""Many at once: pushes, followers, a queue. Nothing is lost, nobody is told wrong, nobody is left behind."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

import loads
import telling
from platforms import OVER, Platform, new_copy, wait

MANY = 20
THRONG, LATE, GROWTH = 50, 5.0, 64 << 20
"""Followers; seconds from a push to its first stage, of 99 in 100; bytes that a process may hold more afterwards."""
FOLLOWERS = 12
OWNERS = ("ann", "bob", "cleo", "dan", "eve")


@pytest.fixture
def own(tmp_path: Path) -> Iterator[Platform]:
    """A platform that has nothing else to do."""
    running = Platform(tmp_path / "data").start("--trust-all-users", "--cpus", "2")
    running.user("alice", "--admin")
    yield running
    running.stop()


@pytest.mark.parametrize("kind", loads.KINDS)
def test_every_push_that_was_taken_has_its_run_and_every_other_was_refused(
    platform: Platform, tmp_path: Path, name: str, kind: str
) -> None:
    found = loads.storm(platform, tmp_path, kind, MANY, name)
    assert len(found.taken) + len(found.refused) == MANY
    assert len(found.taken) == (1 if kind == "one branch" else MANY)
    for refused in found.refused:
        assert "rejected" in refused or "failed to update ref" in refused
    for target, sha in found.taken:
        rows = wait(
            lambda target=target, sha=sha: [run for run in platform.runs(target) if run["commit"] == sha], "a run"
        )
        assert platform.ended(target, rows[0]["number"])["status"] == "succeeded"


def test_everybody_who_follows_a_log_sees_every_line_once(platform: Platform, tmp_path: Path, name: str) -> None:
    command = "for i in $(seq 40); do echo $i; sleep 0.05; done; echo 1 > a.txt"
    copy = new_copy(tmp_path / "copy", {"dvc.yaml": f"stages:\n  a: {{cmd: '{command}', outs: [a.txt]}}\n"})
    copy.git("push", "--quiet", platform.url(f"alice/{name}", "alice"), "main")
    run = wait(lambda: platform.runs(f"alice/{name}"), "the run is there")[0]
    cookies = loads.signed_in(platform, "alice")
    with loads.followers(platform, run["id"], "a", FOLLOWERS, cookies) as seen:
        pass
    # That there is no sandbox, the command itself, and what it prints.
    assert seen == [list(range(1, 43))] * FOLLOWERS


def settled(platform: Platform, seconds: float) -> None:
    """All runs have ended."""
    statuses = ", ".join(f"'{status}'" for status in sorted(OVER))
    wait(
        lambda: platform.query(f"SELECT count(*) FROM runs WHERE status NOT IN ({statuses})") == [(0,)],
        "all runs end", seconds,
    )  # fmt: skip


@pytest.mark.timeout(400)
def test_owners_share_a_long_queue_whatever_came_first(own: Platform, tmp_path: Path) -> None:
    go = loads.queue_up(own, tmp_path, OWNERS, 12)
    since = time.time()
    go.touch()
    settled(own, 120)
    order = [
        row[0] for row in own.query(
            "SELECT users.name FROM runs JOIN repositories ON repository_id = repositories.id"
            " JOIN users ON owner_id = users.id WHERE users.name != 'zeus' ORDER BY runs.started",
        )
    ]  # fmt: skip
    for end in range(len(OWNERS) * 2, len(order), len(OWNERS)):  # at any time all had as many turns, give or take two
        turns = [order[:end].count(owner) for owner in OWNERS]
        assert max(turns) - min(turns) <= 2, turns
    assert loads.unfairness(own, OWNERS, since) <= 1.2


@pytest.mark.full
@pytest.mark.timeout(3600)
def test_a_thousand_runs_of_ten_owners_and_fifty_followers_leave_it_as_it_was(tmp_path: Path) -> None:
    own = Platform(tmp_path / "data").start("--trust-all-users", "--cpus", "2", "--viewers", "60")
    try:
        own.user("alice", "--admin")
        for name, figure in busy(own, tmp_path).items():
            telling.LINES.append(f"under load, {name}: {figure}")
    finally:
        own.stop()


def busy(own: Platform, folder: Path) -> dict[str, object]:
    """All of that, on a platform that has nothing else to do; gives the figures."""
    command = "for i in $(seq 100); do echo $i; sleep 0.1; done; echo 1 > a.txt"
    chatty = new_copy(folder / "chatty", {"dvc.yaml": f"stages:\n  a: {{cmd: '{command}', outs: [a.txt]}}\n"})
    chatty.git("push", "--quiet", own.url("alice/chatty", "alice"), "main")
    run = wait(lambda: own.runs("alice/chatty"), "the run is there")[0]
    with loads.followers(own, run["id"], "a", THRONG, loads.signed_in(own, "alice")) as seen:
        pass
    assert seen == [list(range(1, 103))] * THRONG

    owners = [f"owner{number}" for number in range(10)]
    go = loads.queue_up(own, folder / "queue", owners, 100)
    before, since = loads.resident(own), time.time()
    go.touch()
    settled(own, 2400)
    assert own.query("SELECT count(*) FROM runs WHERE status = 'succeeded'") == [(1002,)]
    unfair = loads.unfairness(own, owners, since)

    copy = new_copy(folder / "constant", {"dvc.yaml": loads.PIPELINE, "in.txt": "start\n"})
    since = time.time()
    for number in range(100):
        copy.write({"in.txt": f"{number}\n"}).commit(str(number))
        copy.git("push", "--quiet", own.url("alice/constant", "alice"), "main")
    settled(own, 300)
    waits, after = loads.dispatched(own, since), loads.resident(own)
    late = loads.reached(waits, 0.99)
    assert unfair <= 1.2
    assert len(waits) == 100
    assert late <= LATE
    assert all(after[name] - before[name] <= GROWTH for name in before), (before, after)
    return {"unfairness": unfair, "seconds of 99 %": late, "bytes before": before, "bytes after": after}


def test_the_value_that_ninety_nine_of_a_hundred_do_not_pass_is_the_ninety_ninth() -> None:
    assert [loads.reached(range(1, count + 1), 0.99) for count in (1, 2, 99, 100, 101, 200)] == [1, 2, 99, 99, 100, 198]
