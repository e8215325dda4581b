"""An engine that is killed in the middle, and the one that comes after it."""

from __future__ import annotations

import os
import signal
import subprocess
import time

import pytest

from platforms import wait
from refmill.engine import supervision

SLOW = """
stages:
  slow:
    cmd: echo started >> {root}/starts; sleep {seconds}; echo late; echo 1 > slow.txt
    outs: [slow.txt]
  below:
    cmd: echo below >> {root}/starts; cp slow.txt below.txt
    deps: [slow.txt]
    outs: [below.txt]
"""


@pytest.fixture
def killed(bench):
    """Start a run in an engine of another process, wait for something, and kill that process."""

    def kill(order, met) -> None:
        child = os.fork()
        if child == 0:
            bench.engine().submit(order)
            time.sleep(60)
            os._exit(0)
        wait(met, "it has come to where it is killed", 20)
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)

    return kill


def attempt(bench):
    return next((bench.root / "work").glob("run1/*-*/spec.json")).parent


def starts(bench) -> list[str]:
    path = bench.root / "starts"
    return path.read_text().split() if path.exists() else []


def test_a_running_stage_is_adopted_and_the_run_done_once(bench, killed):
    order = bench.order({"dvc.yaml": SLOW.format(root=bench.root, seconds=1)})
    killed(order, lambda: starts(bench))
    bench.engine().submit(order)
    assert bench.end(order) == "succeeded"
    assert starts(bench) == ["started", "below"]
    assert bench.told.last("slow").attempt == 1
    assert "late" in bench.kept["slow", 1]
    assert len(bench.told.ends) == 1


def test_a_stage_that_ended_meanwhile_is_collected(bench, killed):
    order = bench.order({"dvc.yaml": SLOW.format(root=bench.root, seconds=0.3)})
    killed(order, lambda: starts(bench))
    wait((attempt(bench) / "exit.json").exists, "the attempt ends", 10)
    bench.engine().submit(order)
    assert bench.end(order) == "succeeded"
    assert starts(bench) == ["started", "below"]
    assert 0.3 <= bench.told.last("slow").seconds < 1.5


def test_a_stage_whose_supervisor_died_too_starts_again_after_its_leftovers_are_dead(bench, killed):
    order = bench.order({"dvc.yaml": SLOW.format(root=bench.root, seconds=1)})
    killed(order, lambda: starts(bench))
    lock = attempt(bench) / "lock"
    pid = int(lock.read_text().split(":")[1].split(",")[0])
    os.kill(pid, signal.SIGKILL)
    wait(lambda: supervision.signs(lock.parent) != "alive", "its supervisor is dead", 10)
    bench.engine().submit(order)
    assert bench.end(order) == "succeeded"
    assert starts(bench) == ["started", "started", "below"]
    assert bench.told.last("slow").attempt == 2
    [lost] = [stage for _, stage in bench.told.heard if stage.attempt == 1 and stage.status == "failed"]
    assert "disappeared" in str(lost.explanation)


def test_what_another_boot_did_not_collect_is_done_again(bench, killed):
    order = bench.order({"dvc.yaml": SLOW.format(root=bench.root, seconds=0.3)})
    killed(order, lambda: starts(bench))
    wait((attempt(bench) / "exit.json").exists, "the attempt ends", 10)
    for spec in (bench.root / "work").glob("run1/*-*/spec.json"):
        spec.write_text(spec.read_text().replace('"boot": "', '"boot": "earlier-'))
        (spec.parent / "result.json").unlink(missing_ok=True)
    bench.engine().submit(order)
    assert bench.end(order) == "succeeded"
    assert bench.told.last("slow").attempt == 2


def test_an_order_given_twice_is_one_run(bench):
    order = bench.order({"dvc.yaml": SLOW.format(root=bench.root, seconds=0.2)})
    engine = bench.engine()
    engine.submit(order)
    engine.submit(order)
    assert bench.end(order) == "succeeded"
    time.sleep(0.3)
    assert starts(bench) == ["started", "below"]
    assert len(bench.told.ends) == 1


def test_stages_that_were_recorded_are_not_done_again(bench):
    bench.run({"dvc.yaml": SLOW.format(root=bench.root, seconds=0)})
    done = {"slow": bench.told.last("slow")}
    order = bench.order({"other": "1"}, done=done)
    bench.told.heard.clear()
    bench.engines[-1].submit(order)
    assert bench.end(order) == "succeeded"
    assert bench.told.course("slow") == []
    assert bench.told.course("below") == ["cached"]


def test_cleaning_ends_and_removes_what_no_run_needs(bench, killed):
    order = bench.order({"dvc.yaml": SLOW.format(root=bench.root, seconds=30)})
    killed(order, lambda: starts(bench))
    engine = bench.engine()
    engine.clean([])
    until = time.monotonic() + 10
    while (bench.root / "work" / "run1").exists():
        assert time.monotonic() < until
        time.sleep(0.05)
        engine.clean([])
    ps = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True).stdout
    assert f"{bench.root}/starts" not in ps


def test_cleaning_leaves_runs_that_go_on(bench, killed):
    order = bench.order({"dvc.yaml": SLOW.format(root=bench.root, seconds=1)})
    killed(order, lambda: starts(bench))
    engine = bench.engine()
    engine.clean([order.run.id])
    engine.submit(order)
    assert bench.end(order) == "succeeded"
