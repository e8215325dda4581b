"""Somebody sets the clock, ahead and back, while stages run and others wait."""

import re
import sqlite3
import subprocess
import time
from pathlib import Path

import requests

import loads
from faults.breaking import Breaking
from platforms import new_copy, wait
from refmill_web.admissions import SECONDS

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


def test_tokens_and_sessions_go_by_the_clock_whoever_sets_it(tmp_path: Path) -> None:
    platform = Breaking(tmp_path / "platform")
    try:
        platform.start()
        platform.user("alice", "--admin")
        cookies, short, lasting = loads.signed_in(platform, "alice"), {}, {"alice": platform.user("alice")}
        push(platform, tmp_path, "one", SHORT.format(place=tmp_path, name="one"))
        platform.ended("alice/one")
        short["before"] = made_token(platform, cookies, 30)
        set_and_look(platform, 29 * DAY, cookies, open_to={**short, **lasting})
        set_and_look(platform, 31 * DAY, "", open_to=lasting, closed_to=short)
        assert "/logout" not in page(platform, cookies)
        set_and_look(platform, 29 * DAY, cookies, open_to={**short, **lasting})
        set_and_look(platform, -400 * DAY, cookies, open_to={**short, **lasting})
        push(platform, tmp_path, "two", SHORT.format(place=tmp_path, name="two"))
        assert platform.ended("alice/two")["status"] == "succeeded"
        late = {"behind": made_token(platform, cookies, 30)}
        of_then = loads.signed_in(platform, "alice")
        assert "/logout" in page(platform, of_then)
        set_and_look(platform, 0, cookies, open_to={**short, **lasting}, closed_to=late)
        assert "/logout" not in page(platform, of_then)  # it was to last for thirty days of that time
        set_and_look(platform, 1 - time.time(), cookies, open_to={**short, **lasting, **late})
        set_and_look(platform, 31 * DAY, "", open_to=lasting, closed_to={**short, **late})
        again = loads.signed_in(platform, "alice")
        set_and_look(platform, 0, again, open_to={**short, **lasting}, closed_to=late)
        assert "/logout" not in page(platform, cookies)  # somebody signed in when it was over
        assert not re.search("Traceback|ERROR", platform.log()), platform.log()[-3000:]
    finally:
        platform.stop()


def set_and_look(
    platform: Breaking, ahead: float, cookies: str, *, open_to: dict[str, str], closed_to: dict[str, str] | None = None
) -> None:
    """Set the clock; then whoever may come in comes in by git, the data remote and the pages, and nobody else does."""
    platform.set_clock(ahead)
    time.sleep(SECONDS + 0.1)  # the data remote remembers for so long whom it let in
    for may, secrets in ((True, open_to), (False, closed_to or {})):
        for whose, secret in secrets.items():
            address = f"{platform.address.replace('://', f'://alice:{secret}@')}/alice/one"
            git = subprocess.run(["git", "ls-remote", f"{address}.git"], capture_output=True, check=False)
            assert (git.returncode == 0) == may, (ahead, whose, git.stderr)
            status = requests.get(f"{address}.dvc/files/md5", timeout=10).status_code
            assert (status != 401) == may, (ahead, whose, status)
    for path in ("/", "/alice/one", "/alice/one/runs/1", "/settings/tokens") if cookies else ():
        answer = requests.get(platform.address + path, headers={"Cookie": cookies}, timeout=10)
        assert (answer.status_code, "/logout" in answer.text) == (200, True), (ahead, path, answer.text[:1000])


def made_token(platform: Breaking, cookies: str, days: int) -> str:
    """A token that its owner makes on the page, and that lasts for so many days."""
    headers, address = {"Cookie": cookies}, f"{platform.address}/settings/tokens"
    field = re.search('name="csrf" value="([^"]+)"', requests.get(address, headers=headers, timeout=10).text)
    form = {"csrf": field[1] if field else "", "label": "short", "scope": "write", "days": str(days)}
    answer = requests.post(address, form, headers=headers, timeout=10).text
    found = re.search(r"rfm_[\w-]{43}", answer)
    assert found, answer
    return found[0]


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
