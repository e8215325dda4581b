"""The real Prometheus scrapes a real platform as the operator guide says, with the chart's rules, and is asked what the
dashboard asks. What it finds healthy is so because people pushed and ran something meanwhile."""

import json
import math
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import requests
import yaml

import dashboard
import figures
from platforms import Platform, new_copy, wait
from prometheus_servers import Prometheus, program, promtool
from refmill_web.monitoring.known import ALL

ROOT = Path(__file__).resolve().parents[2]
GUIDE = ROOT / "docs" / "operator-guide.md"
SCRAPE = 1
"""Seconds between two scrapes, and between two evaluations of the rules."""
RATE = "1m"
"""What Grafana takes for `$__rate_interval` where its data source has not been told how often is scraped."""
PIPELINE = """
stages:
  quick: {cmd: cat seed > one, deps: [seed], outs: [one]}
  slow: {cmd: "while ! test -e GO; do sleep 0.1; done; cat one > two", deps: [one], outs: [two]}
"""
OF_THE_MACHINE = {"RefmillDiskAlmostFull", "RefmillDiskFullSoon"}
"""Alerts that may well be about to fire here: the disk is the machine's, and other tests fill it."""
AT_ZERO = {
    ("Silent parts", ""): "nothing is silent",
    ("Queued runs", ""): "the only run starts at once",
    ("Oldest in the queue", ""): "likewise",
    ("Faults in a day", ""): "nothing fails",
    ("Runs that have not ended", "of these, waiting for data"): "the run's data are there",
    ("Stages, GPUs", "waiting"): "there is room for every stage",
    ("Stages, GPUs", "GPUs taken"): "no stage wants a GPU",
    ("Stages, GPUs", "GPUs there"): "a machine may have none",
    ("Refs not planned yet", "{{state}}"): "a push is planned sooner than anybody looks",
    ("Refs not planned yet", "seconds of the oldest"): "likewise",
    ("Repositories, people", "set aside"): "nothing fails",
    ("Errors, per minute", "database"): "nothing fails",
    ("Errors, per minute", "object store"): "likewise, and without S3 there is none",
    ("Errors, per minute", "engine's turns"): "nothing fails",
}
"""Lines of the dashboard that may lie at zero here, and why. No line is empty."""


@dataclass(frozen=True)
class Watched:
    """A platform, and Prometheus, which has watched it since `begun` (seconds since 1970)."""

    platform: Platform
    prometheus: Prometheus
    begun: float

    def value(self, expression: str) -> float | None:
        """What it comes to now, None where there is nothing."""
        found = self.prometheus.get("query", query=expression)["result"]
        return float(found[0]["value"][1]) if found else None

    def target(self, job: str) -> dict[str, Any]:
        """What Prometheus says of what it scrapes."""
        (found,) = [item for item in self.prometheus.get("targets")["activeTargets"] if item["labels"]["job"] == job]
        return found

    def rules(self) -> list[dict[str, Any]]:
        """What has become of the alerts."""
        return [rule for group in self.prometheus.get("rules")["groups"] for rule in group["rules"]]


def configuration(platform: Platform) -> str:
    """The guide's prometheus.yml for this platform; a second job brings no token and is refused."""
    (sample,) = re.findall(r"^```yaml\n(scrape_configs:.*?)^```", GUIDE.read_text("utf-8"), re.MULTILINE | re.DOTALL)
    place = platform.address.removeprefix("http://")
    changes = {
        "/etc/prometheus/refmill.token": str(platform.data / "metrics.token"), "127.0.0.1:8700": place,
        "/opt/refmill/charts/refmill/files/alerts.yaml": str(figures.ALERTS),
    }  # fmt: skip
    for old, new in changes.items():
        assert old in sample
        sample = sample.replace(old, new)
    whole = yaml.safe_load(sample)
    whole["global"] = {"scrape_interval": f"{SCRAPE}s", "evaluation_interval": f"{SCRAPE}s"}
    whole["scrape_configs"].append({"job_name": "stranger", "static_configs": [{"targets": [place]}]})
    return yaml.safe_dump(whole)


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    """Something was pushed and ran, something was refused, and Prometheus has seen it."""
    program("prometheus")  # or nothing is started at all
    folder = tmp_path_factory.mktemp("watched")
    platform, prometheus = Platform(folder / "platform" / "data"), Prometheus(folder)
    platform.data.parent.mkdir()
    try:
        platform.start("--metrics", "token", "--upkeep-seconds", "1")
        platform.user("alice", "--admin")
        prometheus.start(configuration(platform))
        made = Watched(platform, prometheus, time.time())
        wait(lambda: made.value('refmill_users{job="refmill"}') == 1, "the first scrape")
        _use(made, folder)
        yield made
    finally:
        prometheus.end()
        platform.stop()


def _use(watched: Watched, folder: Path) -> None:
    """What people do."""
    platform, go = watched.platform, folder / "go"
    copy = new_copy(folder / "copy", {"dvc.yaml": PIPELINE.replace("GO", str(go)), "seed": "1"})
    copy.git("push", "--quiet", platform.url("alice/demo", "alice"), "main")
    wait(lambda: watched.value('sum(refmill_runs{status="running"})') == 1, "Prometheus sees the run")
    wait(lambda: watched.value("refmill_machine_stages_running") == 1, "and its stage")
    go.touch()
    assert platform.ended("alice/demo")["status"] == "succeeded"
    copy.write({"dvc.yaml": "stages: ["}).commit()
    assert copy.git("push", "--quiet", platform.url("alice/demo", "alice"), "main", check=False).returncode != 0
    for seen in ('refmill_runs_ended_total{status="succeeded"}', 'refmill_pushes_total{outcome="refused"}',
                 "refmill_run_seconds_count"):  # fmt: skip
        wait(lambda seen=seen: watched.value(f"sum({seen})") == 1, f"Prometheus sees {seen}")
    wait(lambda: watched.value("refmill_upkeep_timestamp_seconds"), "the first upkeep")


def test_prometheus_scrapes_by_the_token_and_has_nothing_to_complain_of(watched: Watched) -> None:
    wait(lambda: watched.target("refmill")["health"] == "up", "it is up")
    assert watched.target("refmill")["scrapeUrl"] == f"{watched.platform.address}/metrics"
    wait(lambda: not watched.target("refmill")["lastError"], "a scrape without an error")
    assert "401" in watched.target("stranger")["lastError"]
    known = watched.prometheus.get("targets/metadata", match_target='{job="refmill"}')
    assert {item["metric"]: (item["type"], item["help"]) for item in known} == {
        f"refmill_{figure.name}": (figure.kind, figure.help) for figure in ALL
    }
    complaints = [line for line in watched.prometheus.log().splitlines() if re.search(r"level=(warn|error)", line)]
    assert complaints == []


def test_promtool_has_nothing_to_complain_of_in_the_page(watched: Watched) -> None:
    token = (watched.platform.data / "metrics.token").read_text().strip()
    page = requests.get(f"{watched.platform.address}/metrics", headers={"Authorization": f"Bearer {token}"}, timeout=20)
    assert page.text.count("# HELP ") == len(ALL)
    done = promtool("check", "metrics", said=page.text)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_all_rules_are_evaluated_and_no_alert_is_about_to_fire(watched: Watched) -> None:
    wait(lambda: all(rule["health"] != "unknown" for rule in watched.rules()), "each was evaluated")
    rules = watched.rules()
    assert [rule["name"] for rule in rules] == [rule["alert"] for rule in figures.alerts()]
    assert [(rule["name"], rule["lastError"]) for rule in rules if rule["health"] != "ok"] == []
    assert [rule["name"] for rule in rules if rule["state"] == "firing"] == []
    wait(lambda: {rule["name"] for rule in watched.rules() if rule["state"] != "inactive"} <= OF_THE_MACHINE,
         "no alert waits for its time")  # fmt: skip


def variables(watched: Watched, shown: dict[str, Any]) -> dict[str, str]:
    """What Grafana puts in, having asked Prometheus for it."""
    found = {"__rate_interval": RATE}
    for item in shown["templating"]["list"]:
        if item["type"] == "query":
            about, label = re.fullmatch(r"label_values\((.+), (\w+)\)", item["query"]).groups()
            values = watched.prometheus.get(f"label/{label}/values", **{"match[]": filled(about, found)})
            assert len(values) == 1, item
            found[item["name"]] = item.get("allValue", values[0])
    return found


def filled(words: str, values: dict[str, str]) -> str:
    """With the values of variables in their places."""
    for name, value in values.items():
        words = words.replace(f"${name}", value)
    assert "$" not in words
    return words


def test_every_line_of_the_dashboard_is_drawn(watched: Watched) -> None:
    shown = json.loads((ROOT / dashboard.PLACE).read_text(encoding="utf-8"))
    values = variables(watched, shown)
    asked = {"start": str(watched.begun), "end": str(time.time() + SCRAPE), "step": str(SCRAPE)}
    empty, flat = set(), set()
    for panel in shown["panels"]:
        for target in panel.get("targets", ()):
            line = panel["title"], target["legendFormat"]
            drawn = watched.prometheus.get("query_range", query=filled(target["expr"], values), **asked)["result"]
            for label in re.findall(r"{{(\w+)}}", target["legendFormat"]):
                assert all(label in each["metric"] for each in drawn), line
            points = [float(value) for each in drawn for _, value in each["values"]]
            if not any(math.isfinite(point) for point in points):
                empty.add(line)
            elif not any(point > 0 for point in points if math.isfinite(point)):
                flat.add(line)
    assert (empty, flat - set(AT_ZERO)) == (set(), set())
