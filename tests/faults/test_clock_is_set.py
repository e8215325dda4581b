"""Somebody sets the clock, ahead and back, while stages run and others wait."""

import sqlite3
import time
from pathlib import Path

import requests

import loads
from faults.breaking import Breaking
from platforms import new_copy, wait

HOUR, DAY = 3600, 86400
HELD = """\
stages:
  a: {{cmd: 'touch {place}/begun; until test -e {place}/go; do sleep 0.05; done; echo 1 > a', outs: [a]}}
  b: {{cmd: 'sleep 0.2; cat a > b', deps: [a], outs: [b]}}
"""
SHORT = "stages:\n  a: {{cmd: 'echo {name} >> {place}/proof; echo {name} > a', outs: [a]}}\n"


def test_a_clock_that_is_set_while_stages_run_changes_no_duration_no_order_no_session_and_no_push(
    tmp_path: Path,
) -> None:
    platform = Breaking(tmp_path / "platform")
    try:
        platform.start("--cpus", "1")
        platform.user("alice", "--admin")
        cookies = loads.signed_in(platform, "alice")
        push(platform, tmp_path, "held", HELD.format(place=tmp_path))
        wait((tmp_path / "begun").exists, "the machine is held")
        announce(platform, "1" * 40)
        for name, ahead in (("second", 2 * HOUR), ("third", -DAY)):
            platform.set_clock(ahead)
            push(platform, tmp_path, name, SHORT.format(place=tmp_path, name=name))
            wait(lambda name=name: platform.runs(f"alice/{name}"), "the run waits")
            assert "/logout" in page(platform, cookies)
        (tmp_path / "go").touch()
        for name in ("held", "second", "third"):
            assert platform.ended(f"alice/{name}")["status"] == "succeeded"
        assert (tmp_path / "proof").read_text() == "second\nthird\n"  # as they came, not as the clock had it
        spent = platform.query("SELECT (finished - started) / 1e6 FROM runs")
        spent += platform.query("SELECT (finished - started) / 1e6 FROM stage_attempts WHERE started IS NOT NULL")
        spent += platform.query("SELECT seconds FROM stage_attempts WHERE started IS NOT NULL")
        assert all(0 <= row[0] < HOUR for row in spent), spent
        assert platform.query("SELECT state FROM events WHERE new = ?", "1" * 40) == [("announced",)]
        push(platform, tmp_path, "second", SHORT.format(place=tmp_path, name="fourth"), "again")
        platform.ended("alice/second", 2)
        assert [run["number"] for run in platform.runs("alice/second")] == [2, 1]
    finally:
        platform.stop()


def push(platform: Breaking, place: Path, name: str, pipeline: str, branch: str = "main") -> None:
    copy = new_copy(place / f"{name}-{branch}", {"dvc.yaml": pipeline})
    copy.git("push", "--quiet", platform.url(f"alice/{name}", "alice"), f"HEAD:refs/heads/{branch}")


def announce(platform: Breaking, sha: str) -> None:
    """A push on its way: git has asked about it, and has not moved the branch yet."""
    database = sqlite3.connect(platform.data / "refmill.db")
    with database:
        database.execute(
            "INSERT INTO events (repository_id, ref, ref_key, old, new, pusher, state, created, options, answer)"
            " SELECT repository_id, ref, ref_key, new, ?, pusher, 'announced', ?, '[]', '[]' FROM events LIMIT 1",
            (sha, int(time.time() * 1e6)),
        )
    database.close()


def page(platform: Breaking, cookies: str) -> str:
    return requests.get(platform.address, headers={"Cookie": cookies}, timeout=10).text
