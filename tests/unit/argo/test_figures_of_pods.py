"""What pods say of metrics and plots while a stage runs: kept for the pages as far as it is theirs, and no longer."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from planted_runs import Ground, NearPod
from played_pods import refused
from refmill.engine import attempts, live
from refmill_argo import figures

FILES = {
    "dvc.yaml": """\
stages:
  one: {cmd: 'true', deps: [in.txt], outs: [data.txt], metrics: [m/one.json], plots: [curves]}
  two: {cmd: 'true', deps: [in.txt], metrics: [two.json]}
""",
    "in.txt": "in\n",
}


@pytest.fixture
def ground(tmp_path: Path) -> Ground:
    return Ground(tmp_path)


@pytest.fixture
def pod(ground: Ground) -> NearPod:
    found = ground.pod(ground.run(ground.repository(FILES)))
    found.open()
    found.begin()
    return found


def read(ground: Ground, pod: NearPod, attempt: int = 1) -> dict[str, bytes]:
    """What the pages see."""
    run = ground.parts.records.runs.get(pod.run)
    stage = ground.parts.records.runs.plan(run.id).pipeline.stages["one"]
    return live.read(ground.parts.settings.path("work"), run, stage, attempt)


def test_figures_are_seen_as_those_of_the_local_engine_are(ground: Ground, pod: NearPod) -> None:
    bell = ground.parts.bell
    rung: list[str] = []
    plain = bell.ring
    bell.ring = lambda topic: (rung.append(topic), plain(topic))[1]  # type: ignore[method-assign]
    pod.figure("m/one.json", b"{}")
    assert rung == [f"run:{pod.run}"], "who follows the run hears of it, and the engine need not"
    pod.figure("m/one.json", b'{"loss": 1}')
    pod.figure("curves/plots/metrics/train/loss.tsv", b"step\tloss\n")
    assert read(ground, pod) == {
        "m/one.json": b'{"loss": 1}', "curves/plots/metrics/train/loss.tsv": b"step\tloss\n",
    }  # fmt: skip
    pod.figure("curves/plots", b"now a file")
    pod.figure("curves/plots/again", b"and a folder")
    assert read(ground, pod) == {"m/one.json": b'{"loss": 1}', "curves/plots/again": b"and a folder"}


@pytest.mark.parametrize(
    "path",
    [
        "", "data.txt", "two.json", "m", "m/other.json", "m/one.json/x/../y", "curves/../data.txt", "curves/../../../x",
        "../curves/x", "/etc/passwd", "/curves/x", "curves//x", "curves/", "curves/.", "curves/a/b/c/d/e", "curvesx",
        "curves/a\0b", "curves/a\nb", "curves/" + "x" * 256, "curves/" + "/".join(["y" * 200] * 4) + "z" * 300,
    ],
)  # fmt: skip
def test_files_that_are_no_figures_of_the_stage_are_refused(ground: Ground, pod: NearPod, path: str) -> None:
    with refused(400):
        pod.figure(path, b"x")
    assert read(ground, pod) == {}
    assert not list(ground.parts.settings.path("work", pod.run).glob("figures/*/*"))


def test_figures_are_bounded_for_a_file_a_stage_and_a_run(
    ground: Ground, pod: NearPod, monkeypatch: pytest.MonkeyPatch
) -> None:
    with refused(413):
        pod.figure("m/one.json", b"x" * (live.LIMIT + 1))
    for number in range(live.MOST // live.LIMIT):
        pod.figure(f"curves/{number}", b"x" * live.LIMIT)
    with refused(413):
        pod.figure("m/one.json", b"x")
    pod.figure("curves/0", b"")
    for number in range(live.FILES - live.MOST // live.LIMIT):
        pod.figure(f"curves/small/{number}", b"x")
    with refused(413):
        pod.figure("m/one.json", b"x")
    pod.figure("curves/small/0", b"y")
    monkeypatch.setattr(figures, "STAGES", 1)
    two = ground.pod(ground.parts.records.runs.get(pod.run), 2)
    two.open()
    two.begin()
    with refused(413):
        two.figure("two.json", b"x")
    pod.figure("curves/small/0", b"z")


OVER: dict[str, Callable[[Ground, NearPod], object]] = {
    "failed": lambda ground, pod: pod.end(code=1, reason="failed"),
    "lost": lambda ground, pod: other(ground, pod).begin(),
}


def other(ground: Ground, pod: NearPod) -> NearPod:
    found = ground.pod(ground.parts.records.runs.get(pod.run), who="pod-b")
    found.open()
    return found


@pytest.mark.parametrize("how", OVER)
def test_only_the_attempt_under_way_has_figures(ground: Ground, pod: NearPod, how: str) -> None:
    pod.figure("m/one.json", b"{}")
    OVER[how](ground, pod)
    assert read(ground, pod) == {}
    with refused(409):
        pod.figure("m/one.json", b"late")
    assert not list(ground.parts.settings.path("work", pod.run).glob("figures/*"))


def test_figures_are_those_of_the_pod_that_has_the_attempt(ground: Ground, pod: NearPod) -> None:
    with refused(409):
        other(ground, pod).figure("m/one.json", b"x")
    for attempt in (0, 2):
        with refused(409):
            pod.figure("m/one.json", b"x", attempt=attempt)
    with refused(404):
        pod.figure("two.json", b"x", index=1)
    with refused(400):
        pod.ask("PUT", pod.url("stages/0/live?attempt=1&path=m/one.json"), b"x")
    run = ground.parts.records.runs.get(pod.run)
    two = ground.pod(run, 2)
    two.open()
    with refused(409):
        two.figure("two.json", b"before it began")
    pod.token = pod.token[:-1] + ("0" if pod.token[-1] != "0" else "1")
    with refused(401):
        pod.figure("m/one.json", b"x")
    pod.token = ground.pod(ground.run(ground.parts.records.catalogue.get(run.repository_id), attempt=2)).token
    with refused(403):
        pod.figure("m/one.json", b"x")
    pod.token = two.token
    ground.parts.records.states.move(run.id, "failed", expected=("queued", "running"))
    with refused(410):
        pod.figure("m/one.json", b"x")
    assert read(ground, pod) == {}


def test_a_store_that_cannot_be_written_to_is_to_be_asked_again(ground: Ground, pod: NearPod) -> None:
    run = ground.parts.records.runs.get(pod.run)
    place = attempts.figures(ground.parts.settings.path("work"), run.id, "one", 1)
    place.parent.write_bytes(b"no folder")
    with refused(503):
        pod.figure("m/one.json", b"x")
