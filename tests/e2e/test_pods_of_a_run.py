"""Pods against a running platform: what they make is, byte for byte, what the local engine makes of the same project.

A pod is played, request by request, or is the real step runner in a process of its own.
"""

import contextlib
import json
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import pytest

import planted_runs
import podding
from platforms import SECONDS, Copy, Platform, is_below, wait
from played_pods import Pod, refused
from refmill.engine import attempts
from refmill.engine.results import files
from refmill.flows.recording import Recorder
from refmill.model.people import Repository
from refmill.model.runs import Run
from refmill.settings import Settings
from refmill_web import local_engine, wiring
from refmill_web.wiring import Parts

FILES = {
    "dvc.yaml": """\
stages:
  prepare:
    cmd:
    - mkdir -p parts/deep && sort data/numbers.txt > parts/sorted && echo 2 > parts/deep/b && echo no > parts/x.tmp
    - echo '#!/bin/sh' > tool.sh && chmod +x tool.sh && echo prepared
    deps: [data/numbers.txt]
    outs: [parts, tool.sh]
  sum:
    foreach: [one, two]
    do:
      wdir: sums
      cmd: cat ../parts/deep/b > ${item}.txt && echo $FACTOR-${item} >> ${item}.txt
      deps: [../parts/deep, ../tool.sh]
      params:
      - ../params.yaml: ["${item}"]
      outs: ["${item}.txt"]
  report:
    cmd: cat sums/*.txt > all.txt && echo '{"count":' $(wc -l < all.txt) '}' > metrics.json && mkdir plots && echo x > plots/x
    deps: [sums/one.txt, sums/two.txt]
    params:
    - when.yaml: [when]
    outs: [all.txt]
    metrics:
    - metrics.json: {cache: false}
    plots:
    - plots: {cache: false}
  always:
    cmd: date +%N > /dev/null; echo same > always.txt
    deps: [data/numbers.txt]
    outs: [always.txt]
    always_changed: true
  nothing: {cmd: echo nothing is left, deps: [all.txt]}
""",
    "params.yaml": "one: 1.112733043744429e-14\ntwo: [a, b]\n",
    "when.yaml": "when: 2026-01-02\n",
    "data/numbers.txt": "3\n1\n2\n",
    ".dvcignore": "*.tmp\n",
    "refmill.yaml": """\
apiVersion: refmill/v1
kind: Pipeline
metadata: {name: project}
spec:
  stages:
    sum: {env: {FACTOR: "7"}}
""",
}


@pytest.fixture
def parts(platform: Platform) -> Iterator[Parts]:
    """The platform's own parts, in this process."""
    made = wiring.parts(Settings(data=platform.data), platform.address)
    yield made
    made.records.close()


def hosted(platform: Platform, parts: Parts, copy: Copy, name: str) -> Repository:
    """The project pushed, and no run of it."""
    copy.git("push", "--quiet", "-o", "refmill.skip", platform.url(f"alice/{name}", "alice"), "main")
    found = parts.records.catalogue.find("alice", name)
    assert found is not None
    return found


def planted(platform: Platform, parts: Parts, copy: Copy, name: str) -> Run:
    """A run of the pushed project, which no engine has."""
    return planted_runs.plant(parts, hosted(platform, parts, copy, name), copy.git("rev-parse", "HEAD").stdout.strip())


def pods(platform: Platform, parts: Parts, run: Run, folder: Path) -> list[Pod]:
    """All pods of a run."""
    plan = json.loads((platform.data / "work" / run.id / "plan.json").read_text())
    token = planted_runs.token(parts, run)
    return [
        Pod(platform.address, run.id, token, folder / str(number), number, f"pod-{number}")
        for number in range(1, len(plan["pods"]) + 1)
    ]


def played(platform: Platform, parts: Parts, run: Run, folder: Path) -> None:
    """All stages, in pods that are played."""
    for pod in pods(platform, parts, run, folder):
        assert pod.carry_out() == {"again": False, "attempt": 1}


def run_by_the_runner(platform: Platform, parts: Parts, run: Run, folder: Path) -> None:
    """All stages, by the step runner."""
    folder.mkdir()
    runner = podding.Pod(folder)
    told = {"REFMILL_RUN": run.id, "REFMILL_TOKEN": planted_runs.token(parts, run), "REFMILL_PATIENCE": "60"}
    for number in range(1, len(pods(platform, parts, run, folder)) + 1):
        process = runner.start(platform.address, pod=number, **told)
        assert process.wait(SECONDS) == 0, runner.said
    runner.close()


def end(parts: Parts, run: Run, status: Any = "succeeded") -> None:
    """What the engine does when all stages have ended."""
    recorder = Recorder(
        runs=parts.records.runs, states=parts.records.states, repositories=parts.repositories, refs=parts.refs,
        bell=parts.bell, commits_results=lambda _: False, archive=lambda _: None,
    )  # fmt: skip
    entries = {stage.address: stage.entry for stage in parts.records.runs.stages(run.id) if stage.entry is not None}
    memory = local_engine.remembering(parts.storage, parts.records.history.made, parts.repositories)(run)
    recorder.ended(run.id, status, files(parts.records.runs.plan(run.id), entries, memory), entries)


def stored(platform: Platform, repository: Repository) -> dict[str, bytes]:
    """The `.dir` objects and the run-cache of a repository, and the names of all other objects."""
    root = platform.data / "objects" / "r" / repository.id
    listings = {path: path.read_bytes() for path in root.glob("files/md5/*/*.dir")}
    remembered = {path: path.read_bytes() for path in (root / "runs").rglob("*") if path.is_file()}
    others = {path: b"" for path in root.glob("files/md5/*/*") if path not in listings}
    return {str(path.relative_to(root)): body for path, body in {**listings, **remembered, **others}.items()}


@pytest.mark.parametrize("carry_out", [played, run_by_the_runner])
def test_pods_record_what_the_local_engine_records(
    platform: Platform, name: str, project: Callable[[dict[str, str]], Copy], parts: Parts, tmp_path: Path,
    carry_out: Callable[[Platform, Parts, Run, Path], None],
) -> None:  # fmt: skip
    copy = project(FILES)
    copy.git("push", "--quiet", platform.url(f"alice/{name}", "alice"), "main")
    ran = platform.ended(f"alice/{name}")
    assert ran["status"] == "succeeded", platform.log()[-3000:]
    local = parts.records.catalogue.find("alice", name)
    assert local is not None
    far = hosted(platform, parts, copy, f"{name}-far")
    run = planted_runs.plant(parts, far, copy.git("rev-parse", "HEAD").stdout.strip())
    carry_out(platform, parts, run, tmp_path / "pods")
    entries = [
        {stage.address: attempts.entry_text(stage.entry or {}) for stage in parts.records.runs.stages(run_id)}
        for run_id in (ran["id"], run.id)
    ]
    assert entries[0] == entries[1]
    here, there = stored(platform, local), stored(platform, far)
    assert {path for path in here if path.endswith(".dir")}, "there are listings to compare"
    assert {path for path in here if path.startswith("runs/")}, "there is a run-cache to compare"
    assert here == there
    end(parts, run)
    refs = [
        copy.git("ls-remote", platform.url(f"alice/{which}", "alice"), "refs/exps/*").stdout.split()[:1]
        for which in (name, f"{name}-far")
    ]
    for which, ref in zip((name, f"{name}-far"), refs, strict=True):
        copy.git("fetch", "--quiet", platform.url(f"alice/{which}", "alice"), f"{ref[0]}:refs/heads/{which}")
    trees = [copy.git("rev-parse", f"{which}^{{tree}}").stdout for which in (name, f"{name}-far")]
    assert trees[0] == trees[1], copy.git("diff", name, f"{name}-far").stdout
    with refused(410):
        pods(platform, parts, run, tmp_path / "late")[0].open()


def test_followers_of_a_log_see_what_pods_send(
    platform: Platform, name: str, project: Callable[[dict[str, str]], Copy], parts: Parts, tmp_path: Path
) -> None:
    run = planted(platform, parts, project(FILES), name)
    pod = next(pod for pod in pods(platform, parts, run, tmp_path) if pod.open()["stages"][0]["address"] == "prepare")
    session = _session(parts)

    def page(line: int = 1) -> list[dict[str, Any]]:
        """What the run's page asks for (web/refmill_web/views/live.py), for one plain request."""
        request = Request(f"{platform.address}/ws/runs/{run.id}.json?stage=prepare&attempt=1&line={line}")
        request.add_header("Cookie", f"refmill_session={session}")
        with urlopen(request) as answer:
            return json.loads(answer.read())

    pod.begin()
    words = b"2026-11-26T12:00:00.000000Z o <b>hello</b>\n2026-11-26T12:00:00.500000Z e from afar\n"
    pod.log(words, 0)
    state, log = page()
    assert state["status"] == "running"
    assert "from afar" in json.dumps(log["rows"])
    assert (log["next"], log["complete"]) == (3, False)
    pod.end(code=4, reason="failed")
    after = next(item for item in page(3) if item["type"] == "log")
    assert "ended with exit code 4" in json.dumps(after["rows"])
    parts.records.states.move(run.id, "failed", expected=("queued", "running"))


GROWING = {
    "dvc.yaml": """\
stages:
  train:
    cmd: >-
      mkdir -p curves; for n in 1 2 3; do echo '{"loss": 0.'$n'25}' > metrics.json; echo $n >> curves/loss.tsv;
      until [ -e go$n ]; do sleep 0.05; done; done
    metrics:
    - metrics.json: {cache: false}
    plots: [curves]
""",
}


@dataclass
class Seen:
    """What somebody sees of a run."""

    platform: Platform
    parts: Parts
    run: Run

    def ask(self, path: str) -> bytes:
        """A page, or what its script asks for."""
        request = Request(f"{self.platform.address}{path}")
        request.add_header("Cookie", f"refmill_session={_session(self.parts)}")
        with urlopen(request) as answer:
            body: bytes = answer.read()
        return body

    @property
    def address(self) -> str:
        return f"/{self.run.repository}/runs/{self.run.number}"

    def table(self, words: str) -> bool:
        """Whether the tables of the run's page have these words."""
        return words in self.ask(f"{self.address}?part=results").decode()

    def figures(self) -> dict[str, str]:
        """Metrics and plots as they are now."""
        found: dict[str, str] = json.loads(self.ask(f"{self.address}/figures.json?stage=train"))["files"]
        return found

    def news(self) -> str:
        """What tells a page that was left open to ask for its tables again."""
        mark: str = json.loads(self.ask(f"/ws/runs/{self.run.id}.json"))[0]["figures"]
        return mark


@contextlib.contextmanager
def in_a_pod(platform: Platform, parts: Parts, copy: Copy, name: str, folder: Path) -> Iterator[tuple[Run, Path]]:
    """A run under way in the real step runner, and its workspace."""
    run = planted(platform, parts, copy, name)
    runner = podding.Pod(folder)
    told = {"REFMILL_RUN": run.id, "REFMILL_TOKEN": planted_runs.token(parts, run), "REFMILL_PATIENCE": "60"}
    process = runner.start(platform.address, **told)
    try:
        yield run, runner.tree
        assert process.wait(SECONDS) == 0, runner.said
    finally:
        runner.close()


@contextlib.contextmanager
def by_the_local_engine(
    platform: Platform, parts: Parts, copy: Copy, name: str, folder: Path
) -> Iterator[tuple[Run, Path]]:
    """One in the local engine."""
    copy.git("push", "--quiet", platform.url(f"alice/{name}", "alice"), "main")
    repository = parts.records.catalogue.find("alice", name)
    assert repository is not None
    wait(lambda: bool(parts.records.runs.list([repository.id], limit=1)), "there is a run")
    run = parts.records.runs.list([repository.id], limit=1)[0]
    place = attempts.directory(platform.data / "work", run.id, "train", 1) / "tree"
    wait(place.exists, "its stage has a workspace")
    yield run, place
    assert platform.ended(f"alice/{name}")["status"] == "succeeded"


@pytest.mark.parametrize("under_way", [in_a_pod, by_the_local_engine])
def test_a_runs_page_shows_what_a_stage_measures_while_it_runs(
    platform: Platform,
    name: str,
    project: Callable[[dict[str, str]], Copy],
    parts: Parts,
    tmp_path: Path,
    under_way: Any,
) -> None:
    with under_way(platform, parts, project(GROWING), name, tmp_path) as (run, workspace):
        seen = Seen(platform, parts, run)
        wait(lambda: seen.table("0.125"), "the first value is in the table")
        wait(lambda: seen.figures() == {"metrics.json": '{"loss": 0.125}\n', "curves/loss.tsv": "1\n"}, "and the curve")
        first = seen.news()
        (workspace / "go1").touch()
        wait(lambda: seen.table("0.225"), "the second value is there")
        assert seen.news() not in ("", first)
        wait(lambda: seen.figures().get("curves/loss.tsv") == "1\n2\n", "the curve goes on")
        (workspace / "go2").touch()
        (workspace / "go3").touch()
    assert (seen.table("0.325"), seen.figures(), seen.news()) == (True, {}, "")
    if run.engine == "argo":
        end(parts, run)


def test_figures_of_others_of_other_files_too_large_or_too_late_are_refused(
    platform: Platform, name: str, project: Callable[[dict[str, str]], Copy], parts: Parts, tmp_path: Path
) -> None:
    run = planted(platform, parts, project(GROWING), name)
    seen = Seen(platform, parts, run)
    pod = pods(platform, parts, run, tmp_path)[0]
    pod.open()
    pod.begin()
    pod.figure("metrics.json", b'{"loss": 0.5}')
    for path in ("dvc.yaml", "../metrics.json", "curves/../../plan.json", "curves/a/b/c/d/e"):
        with refused(400):
            pod.figure(path, b"x")
    with refused(413):
        pod.figure("metrics.json", b"x" * ((1 << 20) + 1))
    token, pod.token = pod.token, pod.token[:-1] + "x"
    with refused(401):
        pod.figure("metrics.json", b"x")
    pod.token = token
    later = Pod(pod.address, pod.run, pod.token, pod.folder, pod.number, "pod-later")
    later.open()
    with refused(409):
        later.figure("metrics.json", b"x")
    assert seen.figures() == {"metrics.json": '{"loss": 0.5}'}
    assert later.begin()["attempt"] == 2
    with refused(409):
        pod.figure("metrics.json", b"x")
    assert seen.figures() == {}
    later.figure("metrics.json", b'{"loss": 0.75}', attempt=2)
    assert seen.table("0.75")
    parts.records.states.move(run.id, "failed", expected=("queued", "running"))
    with refused(410):
        later.figure("metrics.json", b"x", attempt=2)


def test_a_platform_that_is_away_while_a_stage_measures_does_not_harm_the_stage(
    platform: Platform, name: str, project: Callable[[dict[str, str]], Copy], parts: Parts, tmp_path: Path
) -> None:
    kills: list[int] = []
    strike = _striking(platform, kills)
    with in_a_pod(platform, parts, project(GROWING), name, tmp_path) as (run, workspace):
        seen = Seen(platform, parts, run)
        wait(lambda: seen.table("0.125"), "the first value is in the table")
        for number in (1, 2):
            strike()
            (workspace / f"go{number}").touch()
            wait(lambda: _alive(platform), "the web answers again")
        wait(lambda: seen.table("0.325"), "what was measured meanwhile is there")
        strike()
        (workspace / "go3").touch()
    assert len(kills) > 2
    _all_ran_once(platform, parts, run)


def _session(parts: Parts) -> str:
    user = parts.records.people.find("alice")
    assert user is not None
    return parts.records.sessions.start(user.id, seconds=600)


EVERY, DELAYS = 5, (0.0, 0.005, 0.02, 0.05)
"""Of so many requests one is struck by a kill, so many seconds after it was sent."""


@dataclass
class StubbornPod(Pod):
    """A pod that tries again where nobody answers, as the runner does; `strike` is called while it asks."""

    strike: Callable[[], None] = lambda: None
    asked: int = 0

    def ask(self, *asked: Any) -> tuple[int, bytes]:
        until = time.monotonic() + SECONDS
        self.asked += 1
        if self.asked % EVERY == 0:
            threading.Timer(DELAYS[self.asked // EVERY % len(DELAYS)], self.strike).start()
        while True:
            try:
                return super().ask(*asked)
            except (OSError, HTTPException):
                assert time.monotonic() < until
                time.sleep(0.05)


def test_pods_go_on_where_killed_web_processes_left_them(
    platform: Platform, name: str, project: Callable[[dict[str, str]], Copy], parts: Parts, tmp_path: Path
) -> None:
    run = planted(platform, parts, project(FILES), name)
    kills: list[int] = []
    strike = _striking(platform, kills)
    asked = 0
    for pod in pods(platform, parts, run, tmp_path / "pods"):
        stubborn = StubbornPod(
            pod.address, pod.run, pod.token, pod.folder, pod.number, pod.who, strike=strike, asked=asked
        )
        assert stubborn.carry_out() == {"again": False, "attempt": 1}
        asked = stubborn.asked
    assert len(kills) > 2
    _all_ran_once(platform, parts, run)


def test_the_runner_goes_on_where_killed_web_processes_left_it(
    platform: Platform, name: str, project: Callable[[dict[str, str]], Copy], parts: Parts, tmp_path: Path
) -> None:
    run = planted(platform, parts, project(FILES), name)
    kills: list[int] = []
    strike, over = _striking(platform, kills), threading.Event()

    def go_on() -> None:
        for pause in (0.4, 2.5, 3.1, 2.8):
            if not over.wait(pause):
                strike()

    thread = threading.Thread(target=go_on)
    thread.start()
    try:
        run_by_the_runner(platform, parts, run, tmp_path / "pods")
    finally:
        over.set()
        thread.join()
    assert kills
    _all_ran_once(platform, parts, run)


def _striking(platform: Platform, kills: list[int]) -> Callable[[], None]:
    def strike() -> None:
        for pid in web_processes(platform):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
                kills.append(pid)

    return strike


def _all_ran_once(platform: Platform, parts: Parts, run: Run) -> None:
    wait(lambda: _alive(platform), "the web answers again")
    found = parts.records.history.attempts(run.id)
    assert {(stage.address, stage.attempt, stage.status) for stage in found} == {
        (address, 1, "succeeded") for address in parts.records.runs.plan(run.id).pipeline.stages
    }
    end(parts, run)


def web_processes(platform: Platform) -> list[int]:
    """The processes that answer over HTTP."""
    found = []
    for place in Path("/proc").iterdir():
        with contextlib.suppress(OSError):
            words = (place / "cmdline").read_bytes()
            if (
                place.name.isdigit()
                and b"refmill_web.processes.web" in words
                and is_below(int(place.name), platform.process.pid)
            ):
                found.append(int(place.name))
    return found


def _alive(platform: Platform) -> bool:
    with contextlib.suppress(OSError, HTTPException), urlopen(f"{platform.address}/healthz") as answer:
        return answer.status == 200
    return False
