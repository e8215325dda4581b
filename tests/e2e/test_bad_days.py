"""A faulty database, objects that went bad, a stopped machine, repositories that are broken: it says so and goes on."""

import contextlib
import json
import os
import shutil
import signal
import sqlite3
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

import loads
from disks import read_only
from platforms import Copy, Platform, begun, new_copy, wait

PIPELINE = "stages:\n  a: {cmd: 'cat in.txt > a.txt', deps: [in.txt], outs: [a.txt]}\n"
FILES = {"dvc.yaml": PIPELINE, "in.txt": "1\n"}
TWO = PIPELINE + "  b: {cmd: 'cat a.txt > b.txt', deps: [a.txt], outs: [b.txt]}\n"


@pytest.fixture
def own(tmp_path: Path) -> Iterator[Platform]:
    """A platform that a test may damage; it compares branches with events all the time."""
    running = Platform(tmp_path / "data", {"REFMILL_SWEEP_SECONDS": "0.5"}).start()
    running.user("alice", "--admin")
    yield running
    running.stop()


def pushed(platform: Platform, copy: Copy, repository: str) -> None:
    copy.git("push", "--quiet", platform.url(repository, "alice"), "main")


def put_back(backup: Path, data: Path) -> None:
    """The database as it was, without what has been logged since."""
    without_log(data)
    shutil.copy(backup, data / "refmill.db")


def without_log(data: Path) -> None:
    """Take away the files beside the database."""
    for beside in data.glob("refmill.db-*"):
        beside.unlink()


def refusal(platform: Platform) -> str:
    """What `refmill up` says instead of starting."""
    with pytest.raises(AssertionError):
        platform.start()
    platform.process.wait(30)
    platform.stop()
    return platform.log()


# The database


def test_a_push_waits_while_another_process_holds_the_database(own: Platform, tmp_path: Path) -> None:
    copy = begun(own, tmp_path, "alice/busy", FILES)
    holder = sqlite3.connect(own.data / "refmill.db", isolation_level=None, check_same_thread=False)
    holder.execute("BEGIN IMMEDIATE")
    threading.Timer(5, lambda: holder.execute("ROLLBACK")).start()
    copy.write({"in.txt": "2\n"}).commit()
    pushed(own, copy, "alice/busy")
    assert own.ended("alice/busy", 2)["status"] == "succeeded"
    assert "is started again" not in own.log()
    holder.close()


@pytest.mark.parametrize("fault", ["page", "cut", "header", "empty", "gone"])
def test_a_server_with_a_damaged_database_refuses_to_start_and_says_what_to_do(
    own: Platform, tmp_path: Path, fault: str
) -> None:
    begun(own, tmp_path, "alice/hurt", FILES)
    own.stop()
    path = own.data / "refmill.db"
    backup = tmp_path / "backup.db"
    shutil.copy(path, backup)
    without_log(own.data)
    whole = path.read_bytes()
    page = 4096 * (len(whole) // 8192)
    damaged = {
        "page": whole[:page] + os.urandom(4096) + whole[page + 4096 :], "cut": whole[: len(whole) // 2],
        "header": b"no database" + whole[11:], "empty": b"", "gone": b"",
    }[fault]  # fmt: skip
    path.unlink() if fault == "gone" else path.write_bytes(damaged)
    said = refusal(own)
    assert "The database is" in said
    assert "backup" in said
    put_back(backup, own.data)
    own.start()
    assert own.runs("alice/hurt")[0]["status"] == "succeeded"


def test_a_running_server_whose_database_breaks_refuses_pushes_in_words_and_does_not_start_again(
    own: Platform, tmp_path: Path
) -> None:
    copy = begun(own, tmp_path, "alice/breaks", FILES)
    path, backup = own.data / "refmill.db", tmp_path / "backup.db"
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as database:
        assert database.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0] == 0  # all of it is in the file
        (page,) = database.execute("PRAGMA page_size").fetchone()
        shutil.copy(path, backup)
        with path.open("rb+") as file:
            file.seek(page)  # the first one says what kind of file it is, and is left
            file.write(os.urandom(path.stat().st_size - page))
    sha = copy.write({"in.txt": "2\n"}).commit()
    refused = copy.git("push", own.url("alice/breaks", "alice"), "main", check=False)
    assert refused.returncode != 0
    assert "remote: The database is damaged" in refused.stderr
    assert "remote: Go back to a backup of it" in refused.stderr
    wait(lambda: "turn was broken off, and goes on soon: The database is damaged" in own.log(), "the engine says so")
    assert requests.get(f"{own.address}/readyz", timeout=10).json()["missing"] == ["database"]
    assert requests.get(f"{own.address}/healthz", timeout=10).status_code == 200
    assert "is started again" not in own.log()
    own.stop()
    assert "refmill: The database is damaged" in refusal(own)
    put_back(backup, own.data)
    own.start()
    pushed(own, copy, "alice/breaks")
    run = own.ended("alice/breaks", 2)
    assert (run["commit"], run["status"]) == (sha, "succeeded")


@pytest.mark.full
def test_who_waits_half_a_minute_for_the_database_is_refused_in_words_and_the_engine_tries_again(
    own: Platform, tmp_path: Path
) -> None:
    go = tmp_path / "go"
    held = f"stages:\n  a: {{cmd: 'until test -e {go}; do sleep 0.1; done; cat in.txt > a.txt', deps: [in.txt], outs: [a.txt]}}\n"
    copy = new_copy(tmp_path / "copy", {"dvc.yaml": held, "in.txt": "1\n"})
    pushed(own, copy, "alice/busy")
    wait(lambda: [run["status"] for run in own.runs("alice/busy")] == ["running"], "it runs")
    with contextlib.closing(sqlite3.connect(own.data / "refmill.db", isolation_level=None)) as holder:
        holder.execute("BEGIN EXCLUSIVE")
        go.touch()
        copy.write({"in.txt": "2\n"}).commit()
        refused = copy.git("push", own.url("alice/busy", "alice"), "main", check=False)
        wait(lambda: "told again: The database does not answer: database is locked" in own.log(), "the engine says so")
        assert own.runs("alice/busy")[0]["status"] == "running"
        holder.execute("ROLLBACK")
    assert refused.returncode != 0
    assert "remote: The database does not answer: database is locked" in refused.stderr
    assert "remote: It may be busy" in refused.stderr
    assert own.ended("alice/busy")["status"] == "succeeded"
    pushed(own, copy, "alice/busy")
    assert own.ended("alice/busy", 2)["status"] == "succeeded"
    assert "is started again" not in own.log()


def test_a_lost_write_ahead_log_loses_no_push(own: Platform, tmp_path: Path) -> None:
    copy = begun(own, tmp_path, "alice/wal", FILES)
    own.stop()  # closing the database puts all into its file
    own.start()
    sha = copy.write({"in.txt": "2\n"}).commit()
    pushed(own, copy, "alice/wal")
    own.ended("alice/wal", 2)
    own.kill()
    time.sleep(1)  # its children end with it
    without_log(own.data)
    own.start()
    run = wait(lambda: next((run for run in own.runs("alice/wal") if run["commit"] == sha), None), "it is found again")
    assert own.ended("alice/wal", run["number"])["status"] == "succeeded", own.log()[-3000:]


def test_a_server_whose_database_is_read_only_refuses_to_start_and_says_where_to_look(
    own: Platform, tmp_path: Path
) -> None:
    copy = begun(own, tmp_path, "alice/shut", FILES)
    own.stop()
    with read_only(own.data / "refmill.db"):
        said = refusal(own)
    assert f"The database {own.data / 'refmill.db'} cannot be opened: Read-only file system" in said
    assert "Look at the owner and the mode of the data directory" in said
    own.start()
    copy.write({"in.txt": "2\n"}).commit()
    pushed(own, copy, "alice/shut")
    assert own.ended("alice/shut", 2)["status"] == "succeeded"


# What the sweeper finds


def test_a_tip_that_no_push_told_of_is_run_and_told_of(own: Platform, tmp_path: Path) -> None:
    copy = begun(own, tmp_path, "alice/swept", FILES)
    sha = copy.write({"in.txt": "2\n"}).commit()
    bare = next((own.data / "repos").glob("*.git"))
    copy.git("push", "--quiet", str(bare), "main")
    wait(lambda: len(own.runs("alice/swept")) == 2, "the sweeper finds it")
    own.ended("alice/swept", 2)
    assert "1 branch tips that no push told of: refs/heads/main " + sha[:12] in own.log()
    page = requests.get(
        f"{own.address}/alice/swept/runs/2", headers={"Cookie": loads.signed_in(own, "alice")}, timeout=10
    ).text
    assert "found by comparing branches with pushes" in page
    ((details,),) = own.query("SELECT details FROM journal WHERE what = 'found-by-comparing'")
    assert json.loads(details)["tips"] == {"refs/heads/main": sha}


# Broken repositories


def break_head(bare: Path) -> None:
    (bare / "HEAD").write_bytes(b"\0garbage")


def break_folder(bare: Path) -> None:
    bare.rename(bare.with_suffix(".lost"))


def break_branch(bare: Path) -> None:
    (bare / "refs" / "heads" / "main").write_bytes(b"\0garbage")


def break_objects(bare: Path) -> None:
    tip = (bare / "refs" / "heads" / "main").read_text().strip()
    path = bare / "objects" / tip[:2] / tip[2:]
    path.chmod(0o644)
    path.write_bytes(b"no object at all")


def break_refs(bare: Path) -> None:
    (bare / "packed-refs").write_bytes(b"no refs\0\xff\n" * 50)


BROKEN = {
    "head": (break_head, "HEAD cannot be read"),
    "branch": (break_branch, "refs/heads/main cannot be read"),
    "folder": (break_folder, "there is no repository here"),
    "objects": (break_objects, "the branch main leads to no commit that can be read"),
    "refs": (break_refs, "corrupted packed references file"),
}


def asides(platform: Platform, count: int) -> dict[str, str]:
    """What is set aside, and why, once it is as many; {} before."""
    listed = json.loads(platform.refmill("repo", "list", "--json"))
    found = {item["name"]: str(item["aside"]) for item in listed if item["aside"]}
    return found if len(found) == count else {}


def test_broken_repositories_are_told_of_and_stop_no_other(own: Platform, tmp_path: Path) -> None:
    copy = new_copy(tmp_path / "copy", FILES)
    for name in BROKEN:
        pushed(own, copy, f"alice/{name}")
    for name in BROKEN:
        own.ended(f"alice/{name}")
    bare = {name: own.data / "repos" / f"{key}.git" for key, name in own.query("SELECT id, name FROM repositories")}
    for name, (fault, _) in BROKEN.items():
        fault(bare[name])
    copy.write({"in.txt": "2\n"}).commit()
    pushed(own, copy, "alice/well")
    assert own.ended("alice/well")["status"] == "succeeded"
    aside = wait(lambda: asides(own, len(BROKEN)), "they are set aside")
    assert "alice/well" not in aside
    doctors, cookies = own.refmill("doctor", check=False), loads.signed_in(own, "alice")
    for name, (_, reason) in BROKEN.items():
        page = requests.get(f"{own.address}/alice/{name}/runs", headers={"Cookie": cookies}, timeout=10).text
        assert reason in str(aside[f"alice/{name}"])
        assert f"alice/{name} is set aside" in doctors
        assert reason in doctors
        assert reason in own.log()
        assert reason in page
    ((key,),) = own.query("SELECT id FROM repositories WHERE name = 'well'")
    sha = copy.write({"in.txt": "3\n"}).commit()
    copy.git("push", "--quiet", str(own.data / "repos" / f"{key}.git"), "main")  # past every hook
    wait(lambda: any(run["commit"] == sha for run in own.runs("alice/well")), "the sweeper still works for the others")
    assert "is started again" not in own.log()
    own.stop()
    own.start()  # also with broken repositories


# Objects


def test_a_stage_whose_input_went_bad_fails_with_its_name_and_records_nothing(own: Platform, tmp_path: Path) -> None:
    copy = new_copy(tmp_path / "copy", {"dvc.yaml": TWO, "in.txt": "1\n"})
    pushed(own, copy, "alice/bad")
    own.ended("alice/bad")
    own.stop()  # what was found whole is believed until the next start, or until the file tells of a change
    (object_path,) = {path for path in own.data.glob("objects/r/*/files/md5/*/*") if path.is_file()}
    object_path.chmod(0o644)
    object_path.write_bytes(b"9\n")
    own.start()
    copy.write({"dvc.yaml": TWO.replace("cat a.txt >", "tac a.txt >")}).commit()
    pushed(own, copy, "alice/bad")
    run = own.ended("alice/bad", 2)
    md5 = object_path.parent.name + object_path.name
    assert run["status"] == "failed"
    assert f"The object {md5} does not hold what its name says" in run["explanation"]
    assert str(object_path) in run["explanation"]
    address = own.url("alice/bad", ending=f".dvc/files/md5/{md5[:2]}/{md5[2:]}")
    served = requests.get(address, auth=("alice", own.user("alice")), timeout=10)
    assert served.status_code == 500
    assert served.content != b"9\n"
    assert "does not hold what its name says" in own.refmill("doctor", "--objects", check=False)
    object_path.unlink()
    own.refmill("retry", "alice/bad#2", "--force")
    assert own.ended("alice/bad", 3)["status"] == "succeeded"
    assert object_path.read_bytes() == b"1\n"


# The machine


@pytest.mark.parametrize("seconds", [2, pytest.param(20, marks=pytest.mark.full)])
def test_a_machine_that_slept_goes_on_where_it_was(own: Platform, tmp_path: Path, seconds: int) -> None:
    go = tmp_path / "go"
    copy = new_copy(tmp_path / "copy", {
        "dvc.yaml": f"stages:\n  a: {{cmd: 'echo before; while ! test -e {go}; do sleep 0.1; done; echo after;"
        " echo 1 > a.txt', outs: [a.txt]}\n",
    })  # fmt: skip
    pushed(own, copy, "alice/sleep")
    run_id = wait(lambda: own.runs("alice/sleep"), "the run is there")[0]["id"]
    with loads.followers(own, run_id, "a", 2, loads.signed_in(own, "alice")) as seen:
        wait(lambda: all(len(lines) >= 2 for lines in seen), "the followers see the stage's first line")
        copy.write(FILES).commit()
        pushing = threading.Thread(target=pushed, args=(own, copy, "alice/meanwhile"))
        pushing.start()
        time.sleep(0.2)  # the push is somewhere on its way
        with stopped(own):
            time.sleep(seconds)
        go.touch()
    run = own.ended("alice/sleep")
    assert [(stage["status"], stage["attempt"]) for stage in run["stages"]] == [("succeeded", 1)]
    assert seen[0] == seen[1] == list(range(1, seen[0][-1] + 1))
    pushing.join(60)
    assert own.ended("alice/meanwhile")["status"] == "succeeded"
    assert "is started again" not in own.log()


@contextlib.contextmanager
def stopped(platform: Platform) -> Iterator[None]:
    """Everything of a platform stands still; what a process that is stopped next has just begun stands still, too."""
    asleep: list[int] = []
    try:
        while new := [pid for pid in everything(platform) if pid not in asleep]:
            for pid in new:
                with contextlib.suppress(ProcessLookupError):  # it came to its end meanwhile
                    os.kill(pid, signal.SIGSTOP)
            asleep += new
        yield
    finally:
        for pid in reversed(asleep):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)


def everything(platform: Platform) -> list[int]:
    """All processes of a platform and of its stages."""
    found = []
    for entry in Path("/proc").iterdir():
        try:
            words = (entry / "cmdline").read_bytes() + (entry / "environ").read_bytes()
        except OSError:
            continue
        if str(platform.data).encode() in words and int(entry.name) != os.getpid():
            found.append(int(entry.name))
    return found
