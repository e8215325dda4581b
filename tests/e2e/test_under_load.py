"""Many at once: pushes, followers, a queue. Nothing is lost, nobody is told wrong, nobody is left behind."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

import loads
from platforms import OVER, Platform, new_copy, wait

MANY = 20
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


@pytest.mark.timeout(400)
def test_owners_share_a_long_queue_whatever_came_first(own: Platform, tmp_path: Path) -> None:
    go = loads.queue_up(own, tmp_path, OWNERS, 12)
    since = time.time()
    go.touch()
    statuses = ", ".join(f"'{status}'" for status in sorted(OVER))
    wait(lambda: own.query(f"SELECT count(*) FROM runs WHERE status NOT IN ({statuses})") == [(0,)], "all end", 120)
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
