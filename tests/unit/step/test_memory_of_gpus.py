"""What a stage holds of GPUs' memory, asked of the driver's program. No GPU is here: a program of its name answers."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from attempting import Attempt
from refmill.engine import supervision

ANSWER = """\
481, 1542
4021, 1520
4021, 310
  977, 40960
88, [N/A]
99, [Insufficient Permissions]

"""
"""As the program prints it: a line for each process on each GPU, in MiB, and words where the driver does not tell."""
PROGRAM = """#!/bin/sh
test "$1 $2" = "--query-compute-apps=pid,used_memory --format=csv,noheader,nounits" || exit 2
echo asked >> {folder}/asked
{more}
cat {folder}/pids 2>/dev/null | while read pid; do echo "$pid, 1000"; done
echo "1, 7000"
"""
HOLDERS = "for i in 1 2; do sh -c 'echo $$ >> pids; exec sleep 2.5' & done; wait"


@pytest.fixture
def driver(tmp_path, monkeypatch):
    """Puts the program on the path; gives how often it has been asked."""

    def install(more: str = ""):
        path = tmp_path / "driver" / "nvidia-smi"
        path.parent.mkdir()
        path.write_text(PROGRAM.format(folder=tmp_path, more=more))
        path.chmod(0o755)
        monkeypatch.setenv("PATH", f"{path.parent}:{os.environ['PATH']}")
        asked = tmp_path / "asked"
        return lambda: len(asked.read_text().splitlines()) if asked.exists() else 0

    return install


@pytest.mark.parametrize(
    ("tree", "mebibytes"), [([481], 1542), ([4021], 1830), ([4021, 977], 42790), ([88, 99], 0), ([5], 0), ([402, 1], 0)]
)
def test_an_answer_is_summed_over_the_tree_and_its_gpus(tree, mebibytes):
    code = (
        f"import sys; sys.path.insert(0, {str(supervision.SCRIPT.parents[2])!r}); from refmill.step.gpus import held\n"
        f"print(held({ANSWER.encode()!r}, {tree!r}))"
    )
    told = subprocess.run([sys.executable, "-I", "-S", "-c", code], capture_output=True, text=True, check=True).stdout
    assert int(told) == mebibytes << 20


def test_the_most_that_its_processes_hold_together_is_told(either, driver):
    asked = driver()
    end = either.run(HOLDERS, gpus=[0])
    assert end["code"] == 0
    assert asked() == 1
    assert end["usage"]["gpu_memory"] == 2000 << 20


def test_without_gpus_nobody_is_asked(attempt, driver):
    asked = driver()
    assert attempt.run(HOLDERS, gpus=[])["usage"]["gpu_memory"] == 0
    assert asked() == 0


def test_a_driver_that_hangs_holds_up_nothing_and_is_no_part_of_the_stage(tmp_path, either, driver):
    asked = driver("exec sleep 62.5")
    end = either.run(HOLDERS, gpus=[0], processes=3)
    assert (end["reason"], end["code"]) == ("exited", 0)
    assert asked() == 1
    assert not [line for line in either.log() if line.startswith("ending what was left")]


def test_a_machine_without_the_program_tells_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    assert Attempt(tmp_path).run("sleep 1.5", gpus=[0])["usage"]["gpu_memory"] == 0
