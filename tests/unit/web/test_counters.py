"""What a process counts, and how several processes' counts become one."""

import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry, generate_latest

from fakes.record_values import a_plan, a_run, pending
from refmill import errors
from refmill.clients.database import Records, open_records, sqlite_url
from refmill.engine.scheduler import Budget, Need, Scheduler, Task
from refmill.model.people import Repository
from refmill.model.runs import StageRun
from refmill.texts import text
from refmill_repos.gate import Push, Verdict
from refmill_web.monitoring import families, known, processes, sharing
from refmill_web.monitoring.asking import Asked
from refmill_web.monitoring.counters import Counters, kind_of
from refmill_web.monitoring.counting import CountedPushes, CountedStates


@pytest.fixture
def records(tmp_path: Path) -> Iterator[Records]:
    opened = open_records(sqlite_url(tmp_path / "refmill.db"))
    opened.people.add("ann", None)
    yield opened
    opened.close()


@pytest.fixture
def repository(records: Records) -> Repository:
    return records.catalogue.add("ann", "demo")


def value(counters: Counters, name: str, **labels: str) -> float | None:
    return counters.registry.get_sample_value(f"refmill_{name}", labels)


def test_the_end_of_a_run_is_counted_once_with_how_long_it_took(records: Records, repository: Repository) -> None:
    counters = Counters("engine")
    states = CountedStates(records.states, records.runs, counters)
    for name, engine in (("r1", "local"), ("r2", "argo")):
        records.runs.add(a_run(repository, name, engine=engine), a_plan("a"), pending("a"))
        states.set_stages(name, [StageRun("a", "running", started=2)])
    assert states.move("r1", "succeeded", expected=("running",))
    assert not states.move("r1", "failed", expected=("running",))
    assert states.move("r2", "paused", expected=("running",))
    assert value(counters, "runs_ended_total", part="engine", status="succeeded", engine="local") == 1
    assert value(counters, "runs_ended_total", part="engine", status="failed", engine="local") == 0
    assert value(counters, "run_seconds_count", part="engine", engine="local") == 1
    assert value(counters, "run_seconds_count", part="engine", engine="argo") == 0


def test_attempts_are_counted_when_they_end_and_faults_beside_them(records: Records, repository: Repository) -> None:
    counters = Counters("web")
    states = CountedStates(records.states, records.runs, counters)
    records.runs.add(a_run(repository, "r1"), a_plan("a", "b"), pending("a", "b"))
    lost = StageRun("a", "failed", 1, started=2, fault=True)
    assert states.set_stages("r1", [lost, StageRun("a", "queued", 2), StageRun("b", "running")])
    assert states.set_stage("r1", StageRun("b", "failed"))
    assert not states.set_stages("r1", [StageRun("b", "stopped")], expected={"b": (1, ("running",))})
    assert value(counters, "stages_ended_total", part="web", status="failed") == 2
    assert value(counters, "stages_ended_total", part="web", status="stopped") == 0
    assert value(counters, "faults_total", part="web", what="stage") == 1
    assert records.runs.stages("r1")[1] == StageRun("b", "failed")


class Pushes:
    """Refuses the first push in words, the second by an error, and takes the rest."""

    def __init__(self) -> None:
        self.count = 0

    def before(self, push: Push) -> Verdict:
        self.count += 1
        if self.count == 2:
            raise errors.LimitExceeded(text("too many"))
        return Verdict(self.count > 2, ("a line",), "ticket")

    def after(self, ticket: Any, landed: tuple[Any, ...]) -> list[str]:
        return [ticket]

    def failed(self, ticket: Any) -> None:
        assert ticket == "ticket"


def test_pushes_are_counted_by_what_became_of_them() -> None:
    counters = Counters("web")
    listener, push = CountedPushes(Pushes(), counters), Push("id", "ann", ())
    assert listener.before(push).lines == ("a line",)
    with pytest.raises(errors.LimitExceeded):
        listener.before(push)
    for _ in range(2):
        assert listener.before(push).accepted
    assert list(listener.after("ticket", ())) == ["ticket"]
    listener.failed("ticket")
    counted = [value(counters, "pushes_total", outcome=outcome) for outcome in ("taken", "refused", "failed")]
    assert counted == [1, 2, 1]
    assert value(counters, "push_check_seconds_count") == 4


@pytest.mark.parametrize(("path", "kind"), [
    ("/ann/demo.git/git-receive-pack", "push"), ("/ann/demo.git/git-upload-pack", "fetch"),
    ("/ann/demo.git/info/refs", "refs"), ("/ann/demo.dvc/files/md5/aa/bb", "data"), ("/ann/demo.dvc", "data"),
    ("/ws/runs/1", "live"), ("/api/runs/x/pods/1", "pods"), ("/api/v1/login", "api"), ("/static/page.css", "static"),
    ("/metrics", "health"), ("/readyz", "health"), ("/", "pages"), ("/ann/demo/blob/main/info/refs", "pages"),
    ("//x", "pages"), ("", "pages"),
])  # fmt: skip
def test_requests_are_of_some_few_kinds(path: str, kind: str) -> None:
    assert kind_of(path) == kind
    assert kind in known.REQUESTS


def test_whatever_is_asked_for_makes_no_new_kinds_of_lines() -> None:
    counters = Counters("web")
    for method, code in (("GET", "200"), ("BREW", "418"), ("GET\n", "whatever"), ("GET", "")):
        began = counters.request_began("/ann/x")
        counters.request_ended("/ann/x", method, code, began)
    began = counters.request_began("/ws/x")
    assert value(counters, "http_requests_in_progress", kind="live") == 1
    counters.request_ended("/ws/x", "GET", "", began)
    assert value(counters, "http_requests_total", kind="pages", method="GET", code="200") == 1
    assert value(counters, "http_requests_total", kind="pages", method="other", code="418") == 1
    assert value(counters, "http_requests_total", kind="pages", method="other", code="0") == 1
    assert value(counters, "http_requests_total", kind="pages", method="GET", code="0") == 1
    assert value(counters, "http_requests_in_progress", kind="pages") == 0
    assert value(counters, "http_request_seconds_count", kind="pages") == 4
    assert value(counters, "http_request_seconds_count", kind="live") == 0, "it follows a run for hours"


def test_faults_are_told_before_there_is_one() -> None:
    counters = Counters("web")
    counters.request_ended("/ann/demo.git/info/refs", "GET", "200", counters.request_began("/ann/demo.git/info/refs"))
    told = generate_latest(counters.registry).decode()
    for code in ("500", "503"):
        assert f'refmill_http_requests_total{{code="{code}",kind="refs",method="GET"}} 0.0' in told
    counters.request_ended("/ann/demo.git/info/refs", "GET", "500", counters.request_began("/ann/demo.git/info/refs"))
    assert value(counters, "http_requests_total", kind="refs", method="GET", code="500") == 1


def test_the_machine_tells_what_stages_have_of_it() -> None:
    counters, scheduler = Counters("engine"), Scheduler(Budget(4.0, 8 << 30, 2))
    counters.watch_machine(lambda: scheduler.load)
    for key in ("a", "b", "c"):
        scheduler.add(Task(key, "ann", Need(1.5, 1 << 30, 1)))
    assert len(scheduler.grant()) == 2
    told = {item.name: item.samples[0].value for item in families.taken(counters.registry) if "machine" in item.name}
    assert told == {
        "refmill_machine_cpus": 4, "refmill_machine_cpus_taken": 3, "refmill_machine_memory_bytes": 8 << 30,
        "refmill_machine_memory_taken_bytes": 2 << 30, "refmill_machine_gpus": 2, "refmill_machine_gpus_taken": 2,
        "refmill_machine_stages_running": 2, "refmill_machine_stages_waiting": 1,
    }  # fmt: skip


def test_what_two_processes_counted_is_told_over_a_socket_and_stands_side_by_side(tmp_path: Path) -> None:
    web, engine = Counters("web"), Counters("engine")
    web.fault("stage")
    engine.fault("stage")
    engine.fault("run")
    engine.turn(whole=True)
    teller = sharing.Teller(tmp_path / "figures.sock", engine.registry)
    try:
        for _ in range(2):
            told = sharing.ask(tmp_path / "figures.sock")
            whole = {item.name: item for item in families.joined([*families.taken(web.registry), *told])}
            faults = {tuple(sample.labels.values()): sample.value for sample in whole["refmill_faults"].samples}
            assert faults == {
                ("web", "stage"): 1, ("web", "run"): 0, ("web", "push"): 0,
                ("engine", "stage"): 1, ("engine", "run"): 1, ("engine", "push"): 0,
            }  # fmt: skip
    finally:
        teller.close()
    assert [item.name for item in told if item.name.endswith("_created")] == []
    assert not [sample for item in told for sample in item.samples if sample.name.endswith("_created")]
    with pytest.raises(FileNotFoundError):
        sharing.ask(tmp_path / "figures.sock")


def test_who_cannot_tell_goes_on_working(tmp_path: Path) -> None:
    (tmp_path / "figures.sock").mkdir()
    sharing.Teller(tmp_path / "figures.sock", CollectorRegistry())
    teller = sharing.Teller(tmp_path / "absent" / "figures.sock", CollectorRegistry())
    teller.close()


def test_one_who_asks_and_does_not_listen_keeps_no_other_from_it(tmp_path: Path) -> None:
    teller = sharing.Teller(tmp_path / "figures.sock", CollectorRegistry())
    try:
        silent = sharing.socket.socket(sharing.socket.AF_UNIX, sharing.socket.SOCK_STREAM)
        silent.connect(str(tmp_path / "figures.sock"))
        assert sharing.ask(tmp_path / "figures.sock") == []
        silent.close()
        assert sharing.ask(tmp_path / "figures.sock") == []
    finally:
        teller.close()


@pytest.mark.parametrize("told", [b"", b"[[1]]", b'[["a", "b", "gauge", [["a", 7, "x"]]]]', b"[null]", b"7"])
def test_what_is_no_family_is_told_as_such(told: bytes) -> None:
    with pytest.raises(ValueError, match=r"Expecting|no families|could not convert"):
        families.from_json(told)


def test_a_part_that_does_not_answer_is_waited_for_once_and_not_long() -> None:
    asked, go = [], threading.Event()

    def question() -> int:
        asked.append(1)
        go.wait(20)
        return 7

    slow = Asked(question, fresh=60.0, patience=0.05)
    assert [slow.get(), slow.get()] == [None, None]
    assert len(asked) == 1, "one thread at most waits for it"
    go.set()
    end = time.monotonic() + 10
    while slow.get() is None and time.monotonic() < end:
        time.sleep(0.01)
    assert [slow.get(), slow.get(), len(asked)] == [7, 7, 1]


def test_an_answer_grows_old_and_a_failure_is_none() -> None:
    answers: list[Any] = [1, errors.Unavailable(text("away")), ZeroDivisionError(), 2]

    def question() -> int:
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    asked = Asked(question, fresh=0.0)
    assert [asked.get() for _ in range(4)] == [1, None, None, 2]


def test_a_process_is_seen_as_the_system_counts_it() -> None:
    here = processes.look("web", os.getpid())
    assert here is not None
    assert here.memory > 1 << 20
    assert 0 < here.files <= here.most_files or here.most_files == 0
    assert here.threads >= 1
    assert time.time() - 86_400 * 30 < here.started <= time.time() + 2
    assert processes.look("engine", 1 << 22) is None
    assert [one.part for one in processes.processes(0)] == ["web"]
