"""What Prometheus reads of a platform to which people push: figures move with what happens, and all of them are there."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests
from prometheus_client.parser import text_string_to_metric_families

import dashboard
import figures
from expressions import parsed
from platforms import Platform, new_copy, wait
from refmill_web.monitoring.known import ALL

PIPELINE = """
stages:
  quick: {cmd: cat seed > one, deps: [seed], outs: [one]}
  slow: {cmd: "while ! test -e GO; do sleep 0.1; done; cat one > two", deps: [one], outs: [two]}
"""
Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]


class Watched:
    """A platform and the eyes of Prometheus."""

    def __init__(self, platform: Platform) -> None:
        self.platform = platform
        self.token = (platform.data / "metrics.token").read_text().strip()

    def scrape(self, token: str | None = None) -> requests.Response:
        bearer = {"Authorization": f"Bearer {self.token if token is None else token}"}
        return requests.get(f"{self.platform.address}/metrics", headers=bearer, timeout=20)

    def samples(self) -> Samples:
        answer = self.scrape()
        assert answer.status_code == 200, answer.text
        return {
            (sample.name, frozenset(sample.labels.items())): sample.value
            for item in text_string_to_metric_families(answer.text)
            for sample in item.samples
        }

    def value(self, name: str, **labels: str) -> float | None:
        return self.samples().get((f"refmill_{name}", frozenset(labels.items())))

    def becomes(self, wanted: float | None, name: str, **labels: str) -> None:
        wait(lambda: self.value(name, **labels) == wanted, f"{name} {labels} becomes {wanted}", 30)

    def engine(self) -> int:
        """The number of the engine's process, 0 while there is none."""
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit() and _is(entry, self.platform.process.pid, "refmill_web.processes.engine"):
                return int(entry.name)
        return 0


def _is(entry: Path, parent: int, words: str) -> bool:
    try:
        above = int((entry / "stat").read_bytes().rpartition(b")")[2].split()[1])
        return above == parent and words in (entry / "cmdline").read_text()
    except OSError:
        return False


@pytest.fixture
def watched(tmp_path: Path) -> Iterator[Watched]:
    platform = Platform(tmp_path / "platform" / "data")
    platform.data.parent.mkdir()
    platform.start("--metrics", "token", "--upkeep-seconds", "1")
    platform.user("alice", "--admin")
    yield Watched(platform)
    platform.stop()


def test_figures_follow_a_push_its_run_and_what_is_refused(watched: Watched, tmp_path: Path) -> None:
    platform, go = watched.platform, tmp_path / "go"
    copy = new_copy(tmp_path / "copy", {"dvc.yaml": PIPELINE.replace("GO", str(go)), "seed": "1"})
    assert [watched.value("runs", status=status, engine="local") for status in ("queued", "running")] == [0, 0]
    copy.git("push", "--quiet", platform.url("alice/demo", "alice"), "main")
    watched.becomes(1, "runs", status="running", engine="local")
    watched.becomes(1, "stages", status="running")
    watched.becomes(1, "machine_stages_running")
    during = watched.samples()

    def then(name: str, **labels: str) -> float | None:
        return during.get((f"refmill_{name}", frozenset(labels.items())))

    assert then("machine_cpus_taken") == 1
    assert then("pushes_total", outcome="taken") == 1
    assert then("push_check_seconds_count") == 1
    assert then("repositories") == 1
    assert then("users") == 1
    assert then("runs_ended_total", part="engine", status="succeeded", engine="local") == 0
    assert (then("http_requests_total", kind="push", method="POST", code="200") or 0) >= 1
    assert {then("part_up", part=part) for part in ("database", "engine", "resolver")} == {1}
    for part in ("parent", "web", "engine", "resolver"):
        assert (then("process_resident_memory_bytes", part=part) or 0) > 1 << 20, part
        assert (then("process_open_files", part=part) or 0) > 0, part

    go.touch()
    assert platform.ended("alice/demo")["status"] == "succeeded"
    watched.becomes(1, "runs_ended_total", part="engine", status="succeeded", engine="local")
    watched.becomes(0, "runs", status="running", engine="local")
    assert watched.value("stages_ended_total", part="engine", status="succeeded") == 2
    assert watched.value("run_seconds_count", part="engine", engine="local") == 1
    assert watched.value("faults_total", part="engine", what="stage") == 0

    copy.write({"dvc.yaml": "stages: ["}).commit()
    assert copy.git("push", "--quiet", platform.url("alice/demo", "alice"), "main", check=False).returncode != 0
    assert watched.value("pushes_total", outcome="refused") == 1
    copy.git("reset", "--quiet", "--hard", "HEAD~1")
    copy.dvc("repro", "--quiet")
    copy.commit("with its lock")
    copy.git("push", "--quiet", platform.url("alice/demo", "alice"), "main")
    assert platform.ended("alice/demo", 2)["status"] == "nothing"
    watched.becomes(1, "runs_ended_total", part="engine", status="nothing", engine="local")


def test_everything_that_alerts_and_dashboard_are_about_is_told(watched: Watched) -> None:
    requests.get(f"{watched.platform.address}/healthz", timeout=20)
    wait(lambda: watched.value("upkeep_timestamp_seconds"), "the first upkeep", 30)
    told = {name for name, _ in watched.samples()}
    assert told == {name for figure in ALL for name in figure.samples}
    words = [rule["expr"] for rule in figures.alerts()]
    words += [query for panels in dashboard.ROWS.values() for panel in panels for query, _ in panel.queries]
    named = set().union(*(parsed(each.replace("{~", "{")).names for each in words))
    assert named - {"up"} <= told


def test_who_has_no_token_reads_nothing_and_a_changed_one_counts_at_once(watched: Watched) -> None:
    for token in ("", "x", watched.token[:-1]):
        answer = watched.scrape(token)
        assert (answer.status_code, "refmill_" in answer.text) == (401, False)
    assert requests.get(f"{watched.platform.address}/metrics", timeout=20).status_code == 401
    (watched.platform.data / "metrics.token").write_text("one-that-somebody-wrote")
    assert watched.scrape().status_code == 401
    assert watched.scrape("one-that-somebody-wrote").status_code == 200


def test_a_silent_engine_is_told_of_in_time_and_a_killed_run_counts_as_a_fault(
    watched: Watched, tmp_path: Path
) -> None:
    platform = watched.platform
    copy = new_copy(tmp_path / "copy", {"dvc.yaml": "stages:\n  a: {cmd: 'kill -9 $PPID; sleep 60', outs: [a]}\n"})
    copy.git("push", "--quiet", platform.url("alice/demo", "alice"), "main")
    assert platform.ended("alice/demo")["status"] == "failed"
    wait(lambda: (watched.value("faults_total", part="engine", what="stage") or 0) >= 1, "a vanished stage is a fault")
    engine = watched.engine()
    os.kill(engine, signal.SIGSTOP)
    try:
        watched.becomes(0, "part_up", part="engine")
        silent = watched.samples()
        assert ("refmill_machine_cpus", frozenset()) not in silent
        assert silent["refmill_part_up", frozenset({("part", "database")})] == 1
        assert {dict(labels)["part"] for name, labels in silent if name == "refmill_faults_total"} == {"web"}
    finally:
        os.kill(engine, signal.SIGCONT)
    watched.becomes(1, "part_up", part="engine")
    os.kill(engine, signal.SIGKILL)
    wait(lambda: watched.engine() not in (0, engine), "another engine", 60)
    wait(lambda: watched.value("process_start_time_seconds", part="engine"), "it is seen")
    watched.becomes(1, "part_up", part="engine")


def test_nothing_is_there_unless_it_is_wanted(platform: Platform) -> None:
    answer = requests.get(f"{platform.address}/metrics", headers={"Accept-Language": "zh"}, timeout=20)
    assert answer.status_code == 404
    assert "refmill_" not in answer.text
    assert not (platform.data / "metrics.token").exists()


def test_a_platform_does_not_start_with_a_token_that_is_none(tmp_path: Path) -> None:
    platform = Platform(tmp_path / "data")
    said = platform.refmill("up", "--port", "0", "--metrics", "token", "--metrics-token", str(tmp_path / "absent"),
                            check=False, both=True)  # fmt: skip
    assert f"the token for /metrics cannot be read from {tmp_path / 'absent'}" in said
