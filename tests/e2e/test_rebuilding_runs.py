"""The database has lost runs; what it said of them comes back from the archives beside the objects."""

import json
import re
import shutil
import sqlite3
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from platforms import Platform, new_copy

DVC = """\
stages:
  first: {cmd: 'echo first && cp in.txt a.txt', deps: [in.txt], outs: [a.txt]}
  flaky: {cmd: 'echo try && test -e %s || { touch %s; false; } && cp a.txt b.txt', deps: [a.txt], outs: [b.txt]}
"""
SETTINGS = "apiVersion: refmill/v1\nkind: Pipeline\nmetadata: {name: x}\nspec: {stages: {flaky: {retries: 1}}}\n"


@pytest.fixture
def own(tmp_path: Path) -> Iterator[Platform]:
    """A platform of the test's own."""
    running = Platform(tmp_path / "data").start()
    yield running
    running.stop()


class Shown:
    """All that is told of a repository's runs."""

    def __init__(self, own: Platform, repository: str) -> None:
        self.runs = own.runs(repository)
        self.each = [own.refmill("show", f"{repository}#{run['number']}", "--json") for run in self.runs]
        self.logs = [own.refmill("logs", f"{repository}#{run['number']}", "--json") for run in self.runs]


def pages(own: Platform, repository: str, count: int) -> list[str]:
    """The runs' pages, without what is made anew for every answer."""
    found = []
    for number in range(1, count + 1):
        with urllib.request.urlopen(f"{own.address}/{repository}/runs/{number}") as answer:
            page = answer.read().decode()
        page = re.sub(r">[^<]*</time>", "></time>", page.replace(own.address, ""))
        cut = [line for line in page.splitlines() if "csrf" not in line and '"now"' not in line]
        found.append("\n".join(cut))
    return found


def lose(own: Platform, *numbers: int) -> None:
    """Delete runs from the database, as a restored older backup would lack them."""
    with sqlite3.connect(own.data / "refmill.db") as connection:
        connection.execute("PRAGMA foreign_keys=ON")
        for number in numbers:
            connection.execute("DELETE FROM runs WHERE number = ?", [number])
        connection.execute("UPDATE repositories SET last_number = 0")
    connection.close()


@pytest.mark.timeout(300)  # some thirty commands, each a process of its own
def test_lost_runs_come_back_as_they_were(own: Platform, tmp_path: Path) -> None:
    own.user("alice", "--admin")
    marker = tmp_path / "marker"
    files = {"dvc.yaml": DVC % (marker, marker), "in.txt": "1", "refmill.yaml": SETTINGS}
    copy, url = new_copy(tmp_path / "copy", files), own.url("alice/churn", "alice")
    copy.git("push", "--quiet", url, "main")
    assert own.ended("alice/churn")["stages"][1]["attempt"] == 2
    copy.write({"in.txt": "2"}).commit("other data")
    copy.git("push", "--quiet", url, "main")
    own.ended("alice/churn", 2)
    copy.git("fetch", "--quiet", url, "refs/exps/*:refs/exps/*")
    copy.git(
        "checkout", "--quiet", copy.git("for-each-ref", "--format=%(objectname)", "refs/exps/**/run-2").stdout.strip()
    )
    copy.git("push", "--quiet", url, "HEAD:refs/heads/results", "-o", "refmill.skip")
    copy.write({"README.md": "words\n"}).commit("nothing to run")
    copy.git("push", "--quiet", url, "HEAD:refs/heads/results")
    assert own.ended("alice/churn", 3)["status"] == "nothing"
    own.refmill("repo", "change", "alice/churn", "--public")
    before, web = Shown(own, "alice/churn"), pages(own, "alice/churn", 3)

    assert own.refmill("repo", "reindex", check=False) == "", "not while the platform runs"
    own.stop()
    lose(own, 1, 3)
    assert [run["number"] for run in own.runs("alice/churn")] == [2]
    assert json.loads(own.refmill("repo", "reindex", "--json")) == {"alice/churn": {"restored": [1, 3], "faults": {}}}
    after = Shown(own, "alice/churn")
    assert vars(after) == vars(before)
    assert json.loads(own.refmill("repo", "reindex", "alice/churn", "--json"))["alice/churn"]["restored"] == []
    own.start()
    assert "\n".join(pages(own, "alice/churn", 3)) == "\n".join(web)
    copy.write({"in.txt": "3"}).commit("more")
    copy.git("push", "--quiet", own.url("alice/churn", "alice"), "HEAD:refs/heads/main", "--force")
    assert own.ended("alice/churn", 4)["status"] == "succeeded", "numbers go on after the highest"
    assert Shown(own, "alice/churn").runs[1:] == before.runs


def test_broken_archives_are_named_and_the_others_come_back(own: Platform, tmp_path: Path) -> None:
    own.user("alice", "--admin")
    files = {"dvc.yaml": "stages:\n  a: {cmd: cp in.txt a.txt, deps: [in.txt], outs: [a.txt]}\n", "in.txt": "1"}
    copy, url = new_copy(tmp_path / "copy", files), own.url("alice/churn", "alice")
    for number in (1, 2):
        copy.write({"in.txt": str(number)}).commit() if number > 1 else None
        copy.git("push", "--quiet", url, "main")
        own.ended("alice/churn", number)
    own.stop()
    (runs,) = own.data.glob("objects/r/*/refmill/runs")
    (runs / "2" / "run.json").write_text("{")
    shutil.copytree(runs / "1", runs / "7")
    (runs / "8").mkdir()
    lose(own, 1, 2)
    found = json.loads(own.refmill("repo", "reindex", "--json", check=False))["alice/churn"]
    assert (found["restored"], sorted(found["faults"])) == ([1], ["2", "7", "8"])


def test_a_run_that_was_stopped_before_it_began_comes_back_too(own: Platform, tmp_path: Path) -> None:
    own.user("alice", "--admin")
    tracked = f"outs:\n- md5: {'a1' * 16}\n  size: 1\n  hash: md5\n  path: in.txt\n"
    files = {"dvc.yaml": "stages:\n  a: {cmd: cp in.txt a.txt, deps: [in.txt], outs: [a.txt]}\n", "in.txt.dvc": tracked}
    copy = new_copy(tmp_path / "copy", files)
    copy.git("push", "--quiet", own.url("alice/churn", "alice"), "main")
    assert own.runs("alice/churn")[0]["stages"][0]["status"] == "blocked"
    own.refmill("stop", "alice/churn#1")
    own.stop()
    before = Shown(own, "alice/churn")
    lose(own, 1)
    own.refmill("repo", "reindex")
    assert vars(Shown(own, "alice/churn")) == vars(before)
    assert before.runs[0]["status"] == "stopped"
