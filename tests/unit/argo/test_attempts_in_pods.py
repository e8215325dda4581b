"""Attempts of pods: lost ones, retries, runs that stop or wait, and requests that come again after a crash anywhere."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

from planted_runs import Ground, NearPod
from played_pods import refused
from refmill.engine import endings
from refmill.model.runs import Run, StageRun
from refmill_argo import desk, notes
from refmill_web import wiring

FILES = {
    "dvc.yaml": """\
stages:
  one: {cmd: 'true', deps: [in.txt], outs: [one.txt]}
  two: {cmd: 'true', deps: [one.txt], outs: [two.txt]}
  beside: {cmd: 'true', deps: [in.txt], outs: [beside.txt]}
""",
    "in.txt": "in\n",
}
SPEC = """\
apiVersion: refmill/v1
kind: Pipeline
metadata: {name: project}
spec:
"""
WELL = {"one.txt": {"md5": "5bbf5a52328e7439ae6e719dfe712200", "size": 4, "isexec": False}}  # of b"one\n"
PODS = {"one": 1, "two": 1, "beside": 2}


@pytest.fixture
def ground(tmp_path: Path) -> Ground:
    return Ground(tmp_path)


def planted(ground: Ground, spec: str = "", files: dict[str, str] | None = None) -> Run:
    """A run of FILES, with the bytes of the first output in the store."""
    repository = ground.repository({**FILES, **(files or {}), **({"refmill.yaml": SPEC + spec} if spec else {})})
    ground.parts.storage.objects(repository.id).write(b"one\n")
    return ground.run(repository)


def opened(ground: Ground, run: Run, number: int = 1, who: str = "pod-a") -> NearPod:
    pod = ground.pod(run, number, who)
    pod.open()
    return pod


def well(pod: NearPod, attempt: int = 1) -> dict[str, Any]:
    return pod.end(attempt=attempt, listing={"outs": WELL, "measured": {}})


def test_the_next_stage_begins_with_a_good_end_that_asks_for_it(ground: Ground) -> None:
    run = planted(ground)
    pod = opened(ground, run)
    pod.begin()
    said = {"listing": {"outs": WELL, "measured": {}}, "then": {"index": 1, "attempt": 1}}
    answer = pod.end(**said)
    assert (answer["again"], answer["then"]["do"], answer["then"]["attempt"]) == (False, "run", 1)
    assert answer["then"]["env"]["DVC_STAGE"] == "two"
    assert [ground.stages(run)[name].status for name in ("one", "two")] == ["succeeded", "running"]
    assert pod.end(**said) == answer == {**answer, "then": pod.begin(1)}, "asked again it is told the same"
    assert ground.attempts(run, "two") == [(1, "running")]


@pytest.mark.parametrize(
    "then",
    [
        {"index": 7, "attempt": 1},
        {"index": 1},
        {"index": True, "attempt": 1},
        [1, 1],
        "1",
        None,
        {"index": -1, "attempt": 1},
    ],
)
def test_what_cannot_begin_with_an_end_leaves_the_end_as_it_is(ground: Ground, then: Any) -> None:
    run = planted(ground)
    pod = opened(ground, run)
    pod.begin()
    assert pod.end(listing={"outs": WELL, "measured": {}}, then=then) == {"again": False, "attempt": 1}
    assert [ground.stages(run)[name].status for name in ("one", "two")] == ["succeeded", "pending"]


def test_a_bad_end_and_a_paused_run_begin_nothing(ground: Ground) -> None:
    run = planted(ground)
    pod = opened(ground, run)
    pod.begin()
    assert "then" not in pod.end(code=1, reason="failed", then={"index": 1, "attempt": 1})
    other = ground.run(ground.parts.records.catalogue.get(run.repository_id), attempt=2)
    pod = opened(ground, other)
    pod.begin()
    ground.parts.records.states.move(other.id, "paused", expected=["running"])
    answer = pod.end(listing={"outs": WELL, "measured": {}}, then={"index": 1, "attempt": 1})
    assert answer == {"again": False, "attempt": 1}
    assert ground.stages(other)["two"].status == "pending"


def test_a_pod_that_asks_again_is_told_the_same_and_another_one_begins_a_new_attempt(ground: Ground) -> None:
    run = planted(ground)
    pod = opened(ground, run)
    first = pod.begin()
    assert first == pod.begin()
    assert (first["do"], first["attempt"], first["env"]["DVC_STAGE"]) == ("run", 1, "one")
    assert (ground.stages(run)["one"].status, ground.parts.records.runs.get(run.id).status) == ("running", "running")
    other = opened(ground, run, who="pod-b")
    assert other.begin()["attempt"] == 2
    assert ground.attempts(run, "one") == [(1, "failed"), (2, "running")]
    # The first one was not dead after all.
    for told in (lambda: pod.begin(attempt=1), lambda: well(pod), lambda: pod.log(b"x", 0)):
        with refused(409):
            told()
    assert well(other, 2) == {"again": False, "attempt": 2}
    assert well(other, 2) == {"again": False, "attempt": 2}
    assert ground.attempts(run, "one") == [(1, "failed"), (2, "succeeded")]
    assert opened(ground, run, who="pod-c").share["stages"][0]["done"]


def test_pods_that_vanish_again_and_again_are_given_up(ground: Ground) -> None:
    run = planted(ground)
    for number in range(1, endings.LOSSES + 2):
        assert opened(ground, run, who=f"pod-{number}").begin()["attempt"] == number
    last = opened(ground, run, who="pod-last")
    assert last.begin()["do"] == "stop"
    assert [status for _, status in ground.attempts(run, "one")] == ["failed"] * (endings.LOSSES + 1)
    assert not opened(ground, run, who="pod-later").share["go"]


def test_a_command_that_fails_is_tried_again_as_often_as_it_may_be(ground: Ground) -> None:
    run = planted(ground, "  stages: {one: {retries: 1}}\n")
    pod = opened(ground, run)
    pod.begin()
    assert pod.end(code=2, reason="failed") == {"again": True, "attempt": 2}
    assert pod.end(code=2, reason="failed") == {"again": True, "attempt": 2}
    assert ground.attempts(run, "one") == [(1, "failed"), (2, "queued")]
    assert pod.begin(attempt=2)["attempt"] == 2
    assert pod.end(attempt=2, code=None, reason="timeout", seconds=1.0) == {"again": False, "attempt": 2}
    state = ground.stages(run)["one"]
    assert (state.status, "took longer" in str(state.explanation)) == ("failed", True)
    assert opened(ground, run, 2).begin()["do"] == "stop", "after a failure nothing new starts"


def test_what_does_not_need_a_failed_stage_goes_on_if_the_run_says_so(ground: Ground) -> None:
    run = planted(ground, "  onError: continue\n")
    pod = opened(ground, run)
    pod.begin()
    pod.end(code=1, reason="failed")
    assert pod.begin(index=1, attempt=1)["do"] == "stop"
    assert opened(ground, run, 2).begin()["do"] == "run"
    assert (opened(ground, run).share["go"], opened(ground, run, 2).share["go"]) == (False, True)


def test_a_pod_that_was_taken_away_is_lost_and_one_of_a_stopped_run_is_stopped(ground: Ground) -> None:
    run = planted(ground)
    pod = opened(ground, run)
    pod.begin()
    with refused(409):
        pod.end(code=None, reason="stopped", if_asked=True)
    assert ground.attempts(run, "one") == [(1, "running")], "the engine may know better why it ends"
    assert pod.end(code=None, reason="stopped") == {"again": True, "attempt": 2}
    first = next(row for row in ground.parts.records.history.attempts(run.id) if row.address == "one")
    assert (first.attempt, str(first.explanation)) == (1, str(desk.TAKEN)), "nobody stopped it"
    pod.begin(attempt=2)
    ground.parts.records.states.ask(run.id, "stop")
    assert not opened(ground, run).share["go"]
    assert opened(ground, run, 2).begin()["do"] == "stop"
    for _ in range(2):
        assert pod.end(attempt=2, code=None, reason="stopped", if_asked=True) == {"again": False, "attempt": 2}
    assert pod.end(attempt=2, code=None, reason="stopped") == {"again": False, "attempt": 2}
    assert ground.attempts(run, "one") == [(1, "failed"), (2, "stopped")]
    counted = ground.parts.counters.registry.get_sample_value
    assert counted("refmill_faults_total", {"part": "web", "what": "stage"}) == 1
    assert counted("refmill_stages_ended_total", {"part": "web", "status": "stopped"}) == 1


def test_what_the_engine_says_of_a_stage_is_not_undone(ground: Ground) -> None:
    run = planted(ground)
    pod = opened(ground, run)
    pod.begin()
    ground.parts.records.states.set_stage(run.id, StageRun("one", "stopped", 1), expected=("running",))
    with refused(409):
        well(pod)
    assert pod.begin(attempt=1)["do"] == "stop"
    assert ground.attempts(run, "one") == [(1, "stopped")]
    assert not list(ground.parts.settings.path("work", run.id).glob(f"*/{notes.OVER}")), "nor contradicted by a paper"


def test_a_paused_run_and_a_pause_point_let_pods_wait(ground: Ground) -> None:
    run = planted(ground, "  stages: {beside: {pause: true}}\n")
    pod, beside = opened(ground, run), opened(ground, run, 2)
    ground.parts.records.states.move(run.id, "paused", expected=("queued",))
    with refused(503) as found:
        pod.begin()
    assert int(found[0].headers["Retry-After"]) > 0
    ground.parts.records.states.move(run.id, "queued", expected=("paused",))
    assert pod.begin()["do"] == "run"
    with refused(503):
        beside.begin()
    ground.parts.records.states.set_stage(run.id, StageRun("beside", "queued", 1))
    assert beside.begin()["do"] == "run"


def test_a_secret_is_told_in_the_share_of_the_stage_that_names_it_and_nowhere_else(ground: Ground) -> None:
    run = planted(ground, "  stages: {beside: {secrets: {KEY: SERVICE}}}\n")
    beside = opened(ground, run, 2)
    assert beside.share["stages"][0]["secrets"] == {}
    ground.parts.records.secrets.set(run.repository_id, "SERVICE", "tr0ub4dor", "alice")
    assert opened(ground, run, 2).share["stages"][0]["secrets"] == {"KEY": "tr0ub4dor"}
    assert "tr0ub4dor" not in str(opened(ground, run).share)
    assert "tr0ub4dor" not in str(beside.begin())
    for path in ground.parts.settings.data.rglob("*"):
        assert not path.is_file() or b"tr0ub4dor" not in path.read_bytes(), path
    beside.end(listing={"outs": {"beside.txt": WELL["one.txt"]}, "measured": {}})
    assert opened(ground, run, 2).share["stages"][0]["secrets"] == {}, "one that is done needs none"


def test_a_stage_whose_secret_is_not_set_fails_by_name(ground: Ground) -> None:
    run = planted(ground, "  stages: {one: {secrets: {KEY: SERVICE}, retries: 3}}\n")
    assert "SERVICE" in opened(ground, run).begin()["why"]
    assert ground.stages(run)["one"].status == "failed"


@pytest.mark.parametrize("why", ["another failed", "it is stopped"])
def test_what_is_masked_is_known_to_the_end_though_nothing_more_begins(ground: Ground, why: str) -> None:
    """Of an image without Python a container of its own masks the log, after the command."""
    run = planted(ground, "  stages: {beside: {secrets: {KEY: SERVICE}}}\n")
    ground.parts.records.secrets.set(run.repository_id, "SERVICE", "tr0ub4dor", "alice")
    opened(ground, run, 2).begin()
    if why == "another failed":
        pod = opened(ground, run)
        pod.begin()
        pod.end(code=1, reason="failed")
    else:
        ground.parts.records.states.ask(run.id, "stop")
    found = opened(ground, run, 2).share
    assert (found["go"], found["stages"][0]["secrets"]) == (False, {"KEY": "tr0ub4dor"})


def test_a_stage_whose_input_turns_out_to_be_missing_is_blocked(ground: Ground) -> None:
    run = planted(ground, files={"dvc.yaml": FILES["dvc.yaml"].replace("outs: [one.txt]", "outs: [one]").replace(
        "deps: [one.txt]", "deps: [one/missing.txt]")})  # fmt: skip
    pod = opened(ground, run)
    pod.begin()
    pod.end(listing={"outs": {"one": {"files": {"x": WELL["one.txt"]}}}, "measured": {}})
    assert pod.begin(index=1, attempt=1)["do"] == "stop"
    two = ground.stages(run)["two"]
    assert (two.status, "one/missing.txt" in str(two.explanation)) == ("blocked", True)


def test_a_stage_that_was_blocked_from_the_beginning_holds_up_nothing_else(ground: Ground) -> None:
    run = planted(ground, files={"dvc.yaml": FILES["dvc.yaml"].replace("deps: [one.txt]", "deps: [one.txt, gone.txt]")})
    assert ground.stages(run)["two"].status == "blocked"
    pod = opened(ground, run)
    assert pod.begin()["do"] == "run"
    assert well(pod) == {"again": False, "attempt": 1}


class Killed(BaseException):
    """As by SIGKILL: nobody catches it."""


def killed_at(line: int, call: Callable[[], object]) -> bool:
    """Make `call` and end it before the `line`th line of the desk and its papers; whether it came so far."""
    modules = {desk.__file__, notes.__file__}
    left = line

    def trace(frame: FrameType, event: str, argument: object) -> Any:
        nonlocal left
        if frame.f_code.co_filename not in modules:
            return None
        if event == "line":
            left -= 1
            if left < 0:
                raise Killed
        return trace

    sys.settrace(trace)
    try:
        call()
    except Killed:
        return True
    finally:
        sys.settrace(None)
    return False


COURSES: dict[str, Callable[[NearPod, NearPod], list[Callable[[], Any]]]] = {
    "well": lambda pod, _: [pod.begin, lambda: pod.log(b"a line\n", 0), lambda: well(pod)],
    "tried again": lambda pod, _: [pod.begin, lambda: pod.end(code=1, reason="failed"), lambda: pod.begin(attempt=2)],
    "lost": lambda pod, other: [pod.begin, other.begin, lambda: well(other, 2)],
}


@pytest.mark.parametrize("course", COURSES)
@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_request_that_comes_again_after_a_crash_anywhere_changes_nothing_more(ground: Ground, course: str) -> None:
    first = planted(ground, "  stages: {one: {retries: 1}}\n")
    repository = ground.parts.records.catalogue.get(first.repository_id)
    whole = _course(ground, first, course, None)
    for step in range(len(whole[0])):
        line, crashed = 0, True
        while crashed:
            line += 1 if line < 12 else 5
            run = ground.run(repository, attempt=1000 * (step + 1) + line, force=["one"])
            ran = _course(ground, run, course, (step, line))
            crashed = ran[1]
            assert ran[0] == whole[0], (step, line)
            assert ran[2:] == whole[2:], (step, line)


def _course(
    ground: Ground, run: Run, course: str, kill: tuple[int, int] | None
) -> tuple[list[Any], bool, Any, Any, Any]:
    """The answers of a course in which one request is killed and made again; whether it was killed; and what stands
    then: attempts, the entry, and the lines of the logs."""
    pods = (opened(ground, run), opened(ground, run, who="pod-b"))
    answers, crashed = [], False
    for number, call in enumerate(COURSES[course](*pods)):
        if kill is not None and kill[0] == number:
            crashed = killed_at(kill[1], call)
            for pod in pods:  # the server starts anew
                pod.application = wiring.web_application(ground.parts)
        answers.append(call())
    for answer in answers:
        if isinstance(answer, dict):
            answer.get("env", {}).pop("REFMILL_RUN", None)
    folder = ground.parts.settings.path("work", run.id)
    logs = sorted((path.parent.name, path.read_text().count("\n")) for path in folder.glob("*/log"))
    return answers, crashed, ground.attempts(run, "one"), ground.stages(run)["one"].entry, logs
