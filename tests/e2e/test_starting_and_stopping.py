"""What `refmill up` says to the person who starts and stops it, and what it leaves behind."""

import contextlib
import fcntl
import os
import signal
import socket
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import requests

from platforms import REFMILL, Platform, new_copy, wait

SLOW = {"dvc.yaml": "stages:\n  slow:\n    cmd: sleep 600\n", "requirements.txt": ""}


class Terminal:
    """`refmill up` as a person starts it."""

    def __init__(self, data: Path, home: Path) -> None:
        self.said, self.told = home / "out.txt", data.parent / "up.log"
        with self.said.open("w") as out, self.told.open("w") as err:
            self.process = subprocess.Popen(
                [REFMILL, "up", "--data", str(data), "--port", "0", "--sandbox", "off"],
                stdout=out, stderr=err, env=os.environ | {"HOME": str(home), "PYTHONUNBUFFERED": "1"},
            )  # fmt: skip
        try:
            wait(lambda: "Refmill is ready at" in self.said.read_text(), "the platform starts")
        except BaseException:
            self.process.kill()
            raise

    def address(self) -> str:
        return self.said.read_text().split("ready at ")[1].split()[0]

    def interrupt(self) -> str:
        self.process.send_signal(signal.SIGINT)
        self.process.wait(30)
        return self.told.read_text()


def test_the_first_user_is_asked_for_and_stages_that_go_on_are_told(tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    platform = Platform(tmp_path / "some data")
    first = Terminal(platform.data, home)
    hint = f"refmill user add NAME --admin --data '{platform.data}'"
    try:
        wait(lambda: hint in first.said.read_text(), "the hint")
        platform.address = first.address()
        platform.user("ada", "--admin")
    finally:
        end = first.interrupt()
    assert end.splitlines()[-1] == "Refmill has stopped"

    second = Terminal(platform.data, home)
    try:
        platform.address = second.address()
        copy = new_copy(tmp_path / "copy", SLOW)
        copy.git("push", "--quiet", platform.url("ada/mine", "ada"), "main")
        wait(lambda: [run["stages"][0]["status"] for run in platform.runs("ada/mine")] == ["running"], "the stage runs")
    finally:
        end = second.interrupt()
    assert "running stages go on" in end.splitlines()[-1]
    assert "planned ada/mine#1 at" in end
    assert hint not in second.said.read_text()

    third = Terminal(platform.data, home)
    try:
        platform.refmill("stop", "ada/mine#1")
        assert platform.ended("ada/mine")["status"] == "stopped"
    finally:
        end = third.interrupt()
    assert end.splitlines()[-1] == "Refmill has stopped"
    assert not (home / ".gunicorn").exists()


def parts(platform: Platform) -> dict[int, str]:
    """The processes below a platform's parent, with their command lines."""
    found = {platform.process.pid: ""}
    for line in subprocess.run(["ps", "-eo", "pid=,ppid=,args="], capture_output=True, text=True).stdout.splitlines():  # noqa: PLW1510
        pid, parent, command = line.split(None, 2)
        if int(parent) in found:
            found[int(pid)] = command
    return {pid: command for pid, command in found.items() if command}


@contextlib.contextmanager
def half_a_request(platform: Platform) -> Iterator[None]:
    """Somebody whose request is never whole: whoever answers it waits for the rest."""
    host, _, port = platform.address.rpartition("//")[2].partition(":")
    with socket.create_connection((host, int(port))) as connection:
        head = f"POST /login HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/x-www-form-urlencoded\r\n"
        connection.sendall(f"{head}Content-Length: 1000\r\n\r\nname=a".encode())
        yield


def test_a_platform_starts_again_at_once_and_under_its_address_after_a_kill_of_all_or_of_the_parent_alone(
    tmp_path: Path,
) -> None:
    platform = Platform(tmp_path / "data").start()
    port = platform.address.rpartition(":")[2]
    try:
        with half_a_request(platform):
            platform.kill()
            platform.start("--port", port)
        with half_a_request(platform), (platform.data / "run" / "children").open() as left:
            platform.process.send_signal(signal.SIGSTOP)
            for pid in parts(platform):
                os.kill(pid, signal.SIGKILL)
            platform.kill()
            fcntl.flock(left, fcntl.LOCK_SH)  # as a part has it that the kernel cannot end at once
            ended = threading.Timer(1.0, lambda: fcntl.flock(left, fcntl.LOCK_UN))
            ended.start()
            platform.start("--port", port)
            assert not ended.is_alive()
        serving = [pid for pid, command in parts(platform).items() if "processes.web" in command]
        os.kill(max(serving), signal.SIGKILL)  # gunicorn's worker, which it makes anew by itself
        assert requests.get(f"{platform.address}/healthz", timeout=20).status_code == 200
        assert min(serving) in parts(platform)
    finally:
        platform.stop()
