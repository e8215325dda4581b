"""Stop, pause and resume, and how runs share the machine."""

from __future__ import annotations

import subprocess
import threading
import time
from pathlib import Path

from refmill.engine import hands, stages
from refmill.engine.scheduler import Budget
from refmill.ports.engines import StageSettings

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


def goes(folder: Path) -> bool:
    """Whether the folder is away within a while."""
    until = time.monotonic() + 20
    while folder.exists() and time.monotonic() < until:
        time.sleep(0.02)
    return not folder.exists()


def test_a_stop_ends_everything(bench):
    engine = bench.engine()
    daemon = """(setsid sh -c 'trap "" TERM HUP; exec sleep 77' &); """
    order = bench.order({"dvc.yaml": LONG.format(seconds=60, also=daemon)})
    engine.submit(order)
    bench.told.wait(running(bench))
    engine.stop(order.run.id)
    assert bench.end(order) == "stopped"
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
    bench.told.wait(lambda: any(stage.status == "running" for _, stage in bench.told.heard))
    engine.submit(single)
    assert bench.end(single) == "succeeded"
    assert sum("succeeded" in bench.told.course(f"m{i}") for i in range(8)) <= 4
    assert bench.end(crowd) == "succeeded"


GATED = """
stages:
  train: {cmd: 'echo 1 > model', outs: [model]}
  publish: {cmd: 'cp model public', deps: [model], outs: [public]}
  report: {cmd: 'sleep 0.5; echo 1 > report', outs: [report]}
  summary: {cmd: 'sleep 0.2; echo 1 > summary', outs: [summary]}
  after: {cmd: 'cp public after', deps: [public], outs: [after]}
"""
GATE = {"publish": StageSettings(pause=True)}


def test_a_stage_with_a_pause_point_waits_for_consent_and_the_others_go_on(bench):
    engine = bench.engine(budget=Budget(1.0, 4 << 30))
    order = bench.order({"dvc.yaml": GATED}, GATE)
    engine.submit(order)
    bench.told.wait(lambda: bench.told.waiting)
    assert bench.told.waiting == [(order.run.id, ["publish"])], "told once nothing else is left to do"
    assert bench.told.course("publish") == ["blocked"]
    assert bench.told.last("publish").asks
    assert bench.told.course("report")[-1] == bench.told.course("summary")[-1] == "succeeded"
    assert bench.told.course("after") == []
    engine.resume(order.run.id)
    time.sleep(0.3)
    assert bench.told.course("publish") == ["blocked"], "whoever consents names the stage"
    engine.resume(order.run.id, ["publish"])
    assert bench.end(order) == "succeeded"
    assert bench.told.course("publish") in (["blocked", "running", "succeeded"], ["blocked", "queued", "running", "succeeded"])  # fmt: skip


def test_a_cached_stage_needs_no_consent(bench):
    assert bench.run({"dvc.yaml": GATED}, {}) == "succeeded"
    assert bench.run({"dvc.yaml": GATED}, GATE) == "succeeded"
    assert bench.told.waiting == []


def test_a_run_can_be_stopped_while_it_waits_for_consent(bench):
    engine = bench.engine()
    order = bench.order({"dvc.yaml": GATED}, GATE)
    engine.submit(order)
    bench.told.wait(lambda: bench.told.waiting)
    engine.stop(order.run.id)
    assert bench.end(order) == "stopped"
    assert bench.told.last("publish").status == "stopped"
    assert len(bench.told.waiting) == 1


def test_consent_that_was_given_before_a_restart_holds(bench):
    order = bench.order({"dvc.yaml": GATED}, GATE, allowed=frozenset({"publish"}))
    bench.engine().submit(order)
    assert bench.end(order) == "succeeded"
    assert bench.told.waiting == []


def test_a_run_that_was_paused_before_a_restart_starts_nothing(bench):
    engine = bench.engine()
    order = bench.order({"dvc.yaml": LONG.format(seconds=0, also="")}, paused=True)
    engine.submit(order)
    time.sleep(0.5)
    assert bench.told.heard == []
    engine.resume(order.run.id)
    assert bench.end(order) == "succeeded"


def test_wishes_for_a_run_that_is_only_just_coming_are_not_lost(bench):
    engine = bench.engine()
    stopped = bench.order({"dvc.yaml": "stages:\n  a: {cmd: 'sleep 30', outs: [a]}\n"})
    engine.submit(stopped)
    engine.stop(stopped.run.id)
    assert bench.end(stopped) == "stopped"
    assert bench.told.course("a") == ["stopped"]
    paused = bench.order({"dvc.yaml": "stages:\n  b: {cmd: 'echo 1 > b', outs: [b]}\n"})
    engine.submit(paused)
    engine.pause(paused.run.id)
    time.sleep(0.5)
    assert bench.told.course("b") == []
    engine.resume(paused.run.id)
    assert bench.end(paused) == "succeeded"


def test_a_run_that_the_engine_does_not_hold_is_told_as_stopped(bench):
    bench.engine().stop("waiting")
    bench.told.wait(lambda: [end[:2] for end in bench.told.ends] == [("waiting", "stopped")])


def test_a_pause_gives_back_the_room_of_what_is_only_being_made_ready(bench, monkeypatch):
    engine = bench.engine(budget=Budget(1.0, 4 << 30))
    order = bench.order({"dvc.yaml": "stages:\n  a: {cmd: 'echo 1 > a', outs: [a]}\n"})
    begun, go_on = threading.Event(), threading.Event()
    prepare = stages.prepare

    def slowly(job, sandbox):
        begun.set()
        go_on.wait(20)
        return prepare(job, sandbox)

    monkeypatch.setattr(stages, "prepare", slowly)
    engine.submit(order)
    assert begun.wait(20)
    engine.pause(order.run.id)
    monkeypatch.setattr(stages, "prepare", prepare)
    go_on.set()
    other = bench.order({"dvc.yaml": "stages:\n  b: {cmd: 'echo 1 > b', outs: [b]}\n"})
    engine.submit(other)
    assert bench.end(other) == "succeeded"
    assert "running" not in bench.told.course("a")
    engine.resume(order.run.id)
    assert bench.end(order) == "succeeded"


def test_nothing_of_a_stopped_run_stays_on_disk(bench, monkeypatch):
    engine = bench.engine()
    order = bench.order({"dvc.yaml": "stages:\n  a: {cmd: 'echo 1 > a', outs: [a]}\n"})
    begun, go_on, made = threading.Event(), threading.Event(), threading.Event()
    prepare = stages.prepare

    def slowly(job, sandbox):
        begun.set()
        go_on.wait(20)
        found = prepare(job, sandbox)
        made.set()
        return found

    monkeypatch.setattr(stages, "prepare", slowly)
    engine.submit(order)
    assert begun.wait(20)
    engine.stop(order.run.id)
    assert bench.end(order) == "stopped"
    assert goes(bench.root / "work" / order.run.id)
    go_on.set()
    assert made.wait(20), "it writes into a folder that is gone"
    assert goes(bench.root / "work" / order.run.id)


def test_what_a_deleted_run_left_is_ended_and_taken_away_at_the_next_start(bench):
    engine = bench.engine()
    order = bench.order({"dvc.yaml": LONG.format(seconds=78, also="")})
    engine.submit(order)
    bench.told.wait(running(bench))
    engine.close()
    bench.engine().clean([])
    assert goes(bench.root / "work" / order.run.id)
    assert processes("sleep 78") == 0


def test_a_run_does_not_rest_while_another_stage_is_still_being_looked_at(bench, monkeypatch):
    engine = bench.engine()
    text = "stages:\n  publish: {cmd: 'echo 1 > public', outs: [public]}\n  other: {cmd: 'echo 1 > o', outs: [o]}\n"
    order = bench.order({"dvc.yaml": text}, GATE)
    asked, look = threading.Event(), hands.Hands.look

    def slowly(self, course, stage):
        assert stage.address == "publish" or asked.wait(20)
        return look(self, course, stage)

    monkeypatch.setattr(hands.Hands, "look", slowly)
    engine.submit(order)
    bench.told.wait(lambda: bench.told.course("publish") == ["blocked"])
    time.sleep(0.2)
    assert bench.told.waiting == []
    asked.set()
    bench.told.wait(lambda: bench.told.waiting)
    assert bench.told.course("other")[-1] == "succeeded"


def test_the_first_stage_starts_before_the_others_have_been_looked_at(bench, monkeypatch):
    engine = bench.engine()
    lines = "".join(f"  s{number}: {{cmd: 'echo {number} > o{number}', outs: [o{number}]}}\n" for number in range(9))
    order = bench.order({"dvc.yaml": "stages:\n" + lines})
    first, started, look = order.plan.stages[0].stage.address, threading.Event(), hands.Hands.look

    def slowly(self, course, stage):
        assert stage.address == first or started.wait(20)
        return look(self, course, stage)

    monkeypatch.setattr(hands.Hands, "look", slowly)
    engine.submit(order)
    bench.told.wait(running(bench, first))
    started.set()
    assert bench.end(order) == "succeeded"
