"""Stop, pause and resume, and how runs share the machine."""

from __future__ import annotations

import subprocess
import time

from refmill.engine.scheduler import Budget

LONG = """
stages:
  first:
    cmd: {also}sleep {seconds}; echo 1 > first
    outs: [first]
  second:
    cmd: cp first second
    deps: [first]
    outs: [second]
"""


def running(bench, address="first"):
    return lambda: "running" in bench.told.course(address)


def processes(word: str) -> int:
    return (
        subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True).stdout.split("\n").count(word)
    )


def test_a_stop_ends_everything(bench):
    engine = bench.engine()
    daemon = """(setsid sh -c 'trap "" TERM HUP; exec sleep 77' &); """
    order = bench.order({"dvc.yaml": LONG.format(seconds=60, also=daemon)})
    engine.submit(order)
    bench.told.wait(running(bench))
    began = time.monotonic()
    engine.stop(order.run.id)
    assert bench.end(order) == "stopped"
    assert time.monotonic() - began < 8
    assert bench.told.last("first").status == "stopped"
    assert bench.told.last("second").status == "stopped"
    assert processes("sleep 77") == 0


def test_a_stop_before_anything_runs(bench):
    engine = bench.engine(budget=Budget(1.0, 4 << 30))
    first = bench.order({"dvc.yaml": "stages:\n  a:\n    cmd: sleep 0.5; echo 1 > a\n    outs: [a]\n"})
    second = bench.order({"dvc.yaml": "stages:\n  b:\n    cmd: echo 1 > b\n    outs: [b]\n"})
    engine.submit(first)
    bench.told.wait(running(bench, "a"))
    engine.submit(second)
    bench.told.wait(lambda: bench.told.course("b") == ["queued"])
    engine.stop(second.run.id)
    assert bench.end(second) == "stopped"
    assert bench.told.course("b") == ["queued", "stopped"]
    assert bench.end(first) == "succeeded"


def test_a_stop_of_what_is_not_there_is_no_error(bench):
    engine = bench.engine()
    engine.stop("nothing")
    engine.pause("nothing")
    engine.resume("nothing")
    assert bench.run({"dvc.yaml": "stages:\n  a:\n    cmd: echo 1 > a\n    outs: [a]\n"}) == "succeeded"


def test_a_pause_lets_running_stages_finish(bench):
    engine = bench.engine()
    order = bench.order({"dvc.yaml": LONG.format(seconds=0.5, also="")})
    engine.submit(order)
    bench.told.wait(running(bench))
    engine.pause(order.run.id)
    bench.told.wait(lambda: "succeeded" in bench.told.course("first"))
    time.sleep(0.4)
    assert "running" not in bench.told.course("second")
    engine.resume(order.run.id)
    assert bench.end(order) == "succeeded"


def test_a_paused_run_gives_its_place_in_the_queue_to_others(bench):
    engine = bench.engine(budget=Budget(1.0, 4 << 30))
    first = bench.order({"dvc.yaml": "stages:\n  a:\n    cmd: sleep 0.5; echo 1 > a\n    outs: [a]\n"})
    second = bench.order({"dvc.yaml": "stages:\n  b:\n    cmd: echo 1 > b\n    outs: [b]\n"})
    third = bench.order({"dvc.yaml": "stages:\n  c:\n    cmd: echo 1 > c\n    outs: [c]\n"})
    engine.submit(first)
    bench.told.wait(running(bench, "a"))
    engine.submit(second)
    bench.told.wait(lambda: bench.told.course("b") == ["queued"])
    engine.pause(second.run.id)
    engine.submit(third)
    assert bench.end(third) == "succeeded"
    assert "running" not in bench.told.course("b")
    engine.resume(second.run.id)
    assert bench.end(second) == "succeeded"


def test_a_newcomer_does_not_wait_behind_anothers_long_queue(bench):
    engine = bench.engine(budget=Budget(1.0, 4 << 30))
    many = "stages:\n" + "".join(f"  m{i}:\n    cmd: sleep 0.1; echo {i} > m{i}\n    outs: [m{i}]\n" for i in range(8))
    crowd = bench.order({"dvc.yaml": many}, owner="ann")
    single = bench.order({"dvc.yaml": "stages:\n  s:\n    cmd: echo 1 > s\n    outs: [s]\n"}, owner="bob")
    engine.submit(crowd)
    bench.told.wait(lambda: any(stage.status == "running" for _, stage in bench.told.stages))
    engine.submit(single)
    assert bench.end(single) == "succeeded"
    assert sum("succeeded" in bench.told.course(f"m{i}") for i in range(8)) <= 4
    assert bench.end(crowd) == "succeeded"
