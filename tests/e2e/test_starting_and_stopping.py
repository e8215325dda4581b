"""What `refmill up` says to the person who starts and stops it, and what it leaves behind."""

import os
import signal
import subprocess
from pathlib import Path

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
