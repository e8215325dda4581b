"""The disk of the server is full, or read-only: whom it concerns is told, nothing is half-written, and it goes on."""

import hashlib
import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from disks import SmallDisk, read_only, small_disk
from intact import assert_intact
from platforms import Copy, Platform, begun, new_copy, wait

PIPELINE = "stages:\n  a: {cmd: 'cat in.txt > a.txt', deps: [in.txt], outs: [a.txt]}\n"
FILES = {"dvc.yaml": PIPELINE, "in.txt": "1\n"}


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[SmallDisk]:
    with small_disk(tmp_path / "disk", 48) as made:
        yield made


@pytest.fixture
def cramped(disk: SmallDisk) -> Iterator[Platform]:
    """A platform whose data directory is all of a small disk; its log lies elsewhere."""
    running = Platform(disk.path / "data", {"REFMILL_PUSH_WAIT": "0.3"})  # what has no room is planned later
    running.user("alice", "--admin")
    running.start()
    yield running
    running.stop()


def pushed(platform: Platform, copy: Copy, repository: str) -> subprocess.CompletedProcess[str]:
    return copy.git("push", platform.url(repository, "alice"), "main", check=False)


def test_a_push_to_a_full_disk_is_refused_in_words_and_taken_when_there_is_room(
    cramped: Platform, disk: SmallDisk, tmp_path: Path
) -> None:
    copy = new_copy(tmp_path / "copy", FILES)
    assert pushed(cramped, copy, "alice/full").returncode == 0
    run = cramped.ended("alice/full")
    wait(lambda: not (cramped.data / "work" / run["id"]).exists(), "its folder goes, which would make room later")
    copy.write({"in.txt": "2\n"}).commit()
    disk.fill()
    refused = pushed(cramped, copy, "alice/full")
    assert refused.returncode != 0
    assert "full" in refused.stderr or "No space left" in refused.stderr
    disk.make_room()
    assert pushed(cramped, copy, "alice/full").returncode == 0
    assert cramped.ended("alice/full", 2)["status"] == "succeeded"
    assert_intact(cramped.data)


def test_an_object_for_which_there_is_no_room_is_refused_and_leaves_nothing(
    cramped: Platform, disk: SmallDisk, tmp_path: Path
) -> None:
    begun(cramped, tmp_path, "alice/data", FILES)
    data = bytes(1 << 20)
    md5 = hashlib.md5(data).hexdigest()
    address = cramped.url("alice/data", ending=f".dvc/files/md5/{md5[:2]}/{md5[2:]}")
    who = ("alice", cramped.user("alice"))
    disk.fill(left=300_000)
    refused = requests.post(address, data=data, auth=who, timeout=30)
    assert (refused.status_code, refused.reason) == (503, "the disk of the server is full")
    assert not list(cramped.data.glob("objects/r/*/incoming/*"))
    disk.make_room()
    assert requests.post(address, data=data, auth=who, timeout=30).status_code == 201
    assert_intact(cramped.data)


@pytest.mark.parametrize("place", ["outputs", "log"])
def test_a_stage_that_fills_the_disk_says_so_and_can_be_retried(
    cramped: Platform, disk: SmallDisk, tmp_path: Path, place: str
) -> None:
    """It fills it with an output, or with its log first."""
    filling = "head -c 60000000 /dev/zero > a.txt"
    much = filling if place == "outputs" else f"yes | head -c 60000000; {filling}"
    copy = new_copy(tmp_path / "copy", {
        "dvc.yaml": f"stages:\n  a: {{cmd: 'test -e {tmp_path}/small && echo 1 > a.txt || ({much})', outs: [a.txt]}}\n",
    })  # fmt: skip
    assert pushed(cramped, copy, "alice/much").returncode == 0
    run = cramped.ended("alice/much")
    assert run["status"] == "failed"
    assert "the disk of the server was full" in run["explanation"]
    (tmp_path / "small").touch()
    cramped.refmill("retry", "alice/much#1")
    assert cramped.ended("alice/much", 2)["status"] == "succeeded", cramped.log()[-3000:]
    assert_intact(cramped.data)


def test_a_run_that_ends_on_a_full_disk_is_told_so_when_there_is_room(
    cramped: Platform, disk: SmallDisk, tmp_path: Path
) -> None:
    started, go = tmp_path / "started", tmp_path / "go"
    copy = new_copy(tmp_path / "copy", {
        "dvc.yaml": f"stages:\n  a: {{cmd: 'touch {started}; while ! test -e {go}; do sleep 0.1; done; echo 1 > a.txt',"
        " outs: [a.txt]}\n",
    })  # fmt: skip
    assert pushed(cramped, copy, "alice/late").returncode == 0
    wait(started.exists, "the stage starts")
    disk.fill()
    go.touch()
    wait(lambda: "disk" in cramped.log() or "full" in cramped.log(), "the log tells")
    assert cramped.process.poll() is None
    disk.make_room()
    run = cramped.ended("alice/late")
    assert run["status"] == "failed"
    assert "the disk of the server was full" in run["explanation"]
    cramped.refmill("retry", "alice/late#1")
    assert cramped.ended("alice/late", 2)["status"] == "succeeded"
    assert_intact(cramped.data)


@pytest.mark.parametrize("folder", ["repos", "objects", "work", "env"])
def test_a_disk_that_is_read_only_for_a_while_stops_nothing_for_good(
    cramped: Platform, tmp_path: Path, folder: str
) -> None:
    copy = new_copy(tmp_path / "copy", {"dvc.yaml": PIPELINE, "in.txt": "1\n", "requirements.txt": "# one\n"})
    assert pushed(cramped, copy, "alice/shut").returncode == 0
    cramped.ended("alice/shut")
    copy.write({"in.txt": "2\n", "requirements.txt": "# another\n"}).commit()  # which is another environment
    with read_only(cramped.data / folder):
        taken = pushed(cramped, copy, "alice/shut").returncode == 0
        assert taken == (folder != "repos")  # what git cannot keep is refused; a run fails, or waits to be recorded
        wait(lambda: "read-only" in cramped.log().lower() or not taken, "the log tells")
        assert requests.get(f"{cramped.address}/healthz", timeout=10).status_code == 200
        assert len(cramped.runs("alice/shut")) == 1 + taken
    if taken:
        run = cramped.ended("alice/shut", 2)
        assert run["status"] == "failed"
        assert "read-only" in run["explanation"]
        cramped.refmill("retry", "alice/shut#2")
        assert cramped.ended("alice/shut", 3)["status"] == "succeeded"
    else:
        assert pushed(cramped, copy, "alice/shut").returncode == 0
        assert cramped.ended("alice/shut", 2)["status"] == "succeeded"
    assert_intact(cramped.data)


@pytest.mark.full  # a database that has room in its log plans at once, and then nothing is told
def test_a_push_that_landed_before_the_disk_was_full_is_planned_when_there_is_room(
    cramped: Platform, disk: SmallDisk, tmp_path: Path
) -> None:
    copy = begun(cramped, tmp_path, "alice/open", FILES)
    copy.write({"in.txt": "2\n"}).commit()
    engine = part(cramped, "engine")
    os.kill(engine, signal.SIGSTOP)
    try:
        assert "planning: " in pushed(cramped, copy, "alice/open").stderr
        disk.fill()
    finally:
        os.kill(engine, signal.SIGCONT)
    wait(lambda: "has to wait" in cramped.log() or "broken off" in cramped.log(), "the log tells")
    assert cramped.query("SELECT state FROM events ORDER BY id DESC LIMIT 1") == [("landed",)]
    assert len(cramped.runs("alice/open")) == 1
    disk.make_room()
    assert cramped.ended("alice/open", 2)["status"] == "succeeded"
    assert "is started again" not in cramped.log()
    assert_intact(cramped.data)


@pytest.mark.parametrize("fault", ["full", "read-only"])
def test_a_server_whose_disk_takes_nothing_refuses_to_start_in_words_and_starts_later(
    cramped: Platform, disk: SmallDisk, tmp_path: Path, fault: str
) -> None:
    copy = begun(cramped, tmp_path, "alice/begun", FILES)
    cramped.stop()
    if fault == "full":
        disk.fill()
        said = refusal(cramped)
        disk.make_room()
        assert f"the disk of the server is full: {cramped.data} cannot be written" in said
        assert "Make room on the disk of the server" in said
    else:
        with read_only(cramped.data):
            said = refusal(cramped)
        assert f"the data directory {cramped.data} cannot be written to" in said
    assert "Traceback" not in said
    cramped.start()
    copy.write({"in.txt": "2\n"}).commit()
    assert pushed(cramped, copy, "alice/begun").returncode == 0
    assert cramped.ended("alice/begun", 2)["status"] == "succeeded"
    assert_intact(cramped.data)


def test_a_first_start_on_a_full_disk_is_refused_in_words_and_is_the_first_one_later(
    disk: SmallDisk, tmp_path: Path
) -> None:
    first = Platform(disk.path)  # its log lies beside it
    disk.fill()
    said = refusal(first)
    assert "the disk of the server is full" in said
    assert "Traceback" not in said
    disk.make_room()
    first.start()
    try:
        first.user("alice", "--admin")
        copy = new_copy(tmp_path / "copy", FILES)
        assert pushed(first, copy, "alice/first").returncode == 0
        assert first.ended("alice/first")["status"] == "succeeded"
    finally:
        first.stop()


def refusal(platform: Platform) -> str:
    """What `refmill up` says instead of starting."""
    log = platform.data.parent / "up.log"
    before = log.stat().st_size if log.exists() else 0
    with pytest.raises(AssertionError):
        platform.start()
    platform.process.wait(30)
    platform.stop()
    return log.read_bytes()[before:].decode()


def part(platform: Platform, name: str) -> int:
    """The process of that part of the platform."""
    parent = platform.process.pid
    words = f"refmill_web.processes.{name}".encode()
    children = Path(f"/proc/{parent}/task/{parent}/children").read_text().split()
    return next(int(pid) for pid in children if words in Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0"))


def test_doctor_warns_of_little_room(cramped: Platform) -> None:
    found = cramped.refmill("doctor", "--json", check=False)
    assert "only 0.0 GiB free" in found
