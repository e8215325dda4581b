"""Each alert as the real Prometheus evaluates it: silent on a healthy platform, firing after its time on a sick one.

Series are written as promtool reads them, one sample a minute from minute 0, in which `time()` is 0: `3+2x9` are 3 and
nine further ones, each 2 more; `_` is a scrape that brought none, `stale` the end of a series. `xN` goes on to the end.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

import figures
from charting import ROOT
from expressions import parsed
from prometheus_servers import promtool

HOURS, DAYS = 240, 3000
"""Minutes: more than nearly all alerts wait for, and more than all do. Days are looked at every SELDOM minutes only."""
SELDOM = 10
WATCHED = ROOT / "tests" / "golden" / "charts" / "watched.yaml"
SCRAPED = {
    "file": {"job": "refmill", "instance": "127.0.0.1:8700"},
    "chart": {"job": "mill", "namespace": "prod", "instance": "10.0.0.7:8700"},
}
"""The labels that Prometheus gives to all that it scrapes."""
Series = Mapping[str, str]
HEALTHY: Series = {
    "up": "1+0xN",
    'refmill_part_up{part="database"}': "1+0xN",
    'refmill_part_up{part="engine"}': "1+0xN",
    'refmill_part_up{part="resolver"}': "1+0xN",
    "refmill_engine_turn_timestamp_seconds": "0+60xN",
    'refmill_engine_turns_total{outcome="whole"}': "0+30xN",
    'refmill_engine_turns_total{outcome="broken"}': "0+0x60 1+0xN",
    "refmill_events_oldest_seconds": "0+60x9 0+0xN",
    "refmill_queue_oldest_seconds": "0+60x119 0+60x119 0+0xN",
    "refmill_disk_size_bytes": "1000e9+0xN",
    "refmill_disk_free_bytes": "900e9-0.1e9xN",
    "refmill_disk_reserve_bytes": "1e9+0xN",
    'refmill_process_open_files{part="web"}': "200+0xN",
    'refmill_process_open_files{part="engine"}': "810+0xN",
    'refmill_process_max_files{part="web"}': "0+0xN",
    'refmill_process_max_files{part="engine"}': "1024+0xN",
    "refmill_repositories_set_aside": "0+0x20 2+0x20 0+0xN",
    'refmill_database_errors_total{part="web"}': "0+0x40 3+0xN",
    'refmill_database_errors_total{part="engine"}': "0+0x40 2+0xN",
    'refmill_object_store_errors_total{part="web"}': "0+0x40 2+0xN",
    'refmill_object_store_errors_total{part="engine"}': "0+0x40 3+0xN",
    'refmill_faults_total{part="web",what="stage"}': "0+0x30 1+0xN",
    'refmill_faults_total{part="engine",what="stage"}': "0+0xN",
    'refmill_faults_total{part="engine",what="run"}': "0+0x30 1+0xN",
    'refmill_http_requests_total{kind="pages",method="GET",code="200"}': "0+500xN",
    'refmill_http_requests_total{kind="pages",method="GET",code="404"}': "0+50xN",
    'refmill_http_requests_total{kind="api",method="POST",code="500"}': "0+0x50 1+0xN",
    "refmill_upkeep_timestamp_seconds": "_x5 300+60xN",
}  # fmt: skip


def rules(of: str) -> list[dict[str, Any]]:
    """The file of rules, or what helm makes of it."""
    if of == "file":
        return figures.alerts()
    made = [item for item in yaml.safe_load_all(WATCHED.read_text(encoding="utf-8")) if item]
    (found,) = [item["spec"] for item in made if item["kind"] == "PrometheusRule"]
    return [rule for group in found["groups"] for rule in group["rules"]]


@dataclass(frozen=True)
class Sick:
    """`changed` is what a sick platform tells otherwise, "" what it tells not at all. At the minute `fires` the alert
    fires for the first time, and no other one does; with `labels` beside those of the target, of which `gone` are not
    known any more."""

    alert: str
    changed: Series
    fires: int
    summary: str
    severity: str = "warning"
    labels: Mapping[str, str] | None = None
    gone: frozenset[str] = frozenset()


SICK = [
    Sick("RefmillDown", {"up": "1+0x9 0+0xN"}, 15, "Refmill does not answer", "critical"),
    Sick("RefmillDown", dict.fromkeys(HEALTHY, ""), 5, "Refmill does not answer", "critical",
         gone=frozenset({"instance"})),
    Sick("RefmillPartSilent", {'refmill_part_up{part="database"}': "1+0x9 0+0xN"}, 15,
         "The part database of Refmill does not answer", "critical", {"part": "database"}),
    Sick("RefmillPartSilent", {
        'refmill_part_up{part="engine"}': "1+0x9 0+0xN",
        'refmill_faults_total{part="engine",what="run"}': "7+0x9 stale",
        "refmill_engine_turn_timestamp_seconds": "0+60x9 stale",
    }, 15, "The part engine of Refmill does not answer", "critical", {"part": "engine"}),
    Sick("RefmillNoProgress", {"refmill_engine_turn_timestamp_seconds": "0+60x10 600+0xN"}, 21,
         "The engine of Refmill has not ended a turn for 11m 0s", "critical"),
    Sick("RefmillTurnsBroken", {'refmill_engine_turns_total{outcome="broken"}': "0+6xN"}, 14,
         "Most turns of Refmill's engine break off", labels={"outcome": "broken"}),
    Sick("RefmillPushesNotPlanned", {"refmill_events_oldest_seconds": "0+60xN"}, 16,
         "A push to Refmill has not been planned for 16m 0s"),
    Sick("RefmillQueueOld", {"refmill_queue_oldest_seconds": "0+60xN"}, 136,
         "A run has been in Refmill's queue for 2h 16m 0s"),
    Sick("RefmillDiskAlmostFull", {"refmill_disk_free_bytes": "900e9+0x9 49e9+0xN"}, 15,
         "The disk of Refmill is almost full", "critical"),
    Sick("RefmillDiskAlmostFull", {
        "refmill_disk_size_bytes": "10e9+0xN", "refmill_disk_free_bytes": "1.9e9+0xN",
    }, 5, "The disk of Refmill is almost full", "critical"),
    Sick("RefmillDiskFullSoon", {"refmill_disk_free_bytes": "390e9-1e9xN"}, 61,
         "The disk of Refmill will be full within a day"),
    Sick("RefmillFilesAlmostUsedUp", {'refmill_process_open_files{part="engine"}': "810+0x9 820+0xN"}, 20,
         "The engine of Refmill has most of the files open that it may have", labels={"part": "engine"}),
    Sick("RefmillRepositoriesSetAside", {"refmill_repositories_set_aside": "0+0x9 2+0xN"}, 40,
         "2 repositories of Refmill are set aside"),
    Sick("RefmillDatabaseErrors", {'refmill_database_errors_total{part="web"}': "0+1xN"}, 11,
         "Refmill's database does not answer, again and again"),
    Sick("RefmillObjectStoreErrors", {
        'refmill_object_store_errors_total{part="web"}': "0+0.4xN",
        'refmill_object_store_errors_total{part="engine"}': "0+0.4xN",
    }, 12, "Refmill's S3 store refuses or does not answer, again and again"),
    Sick("RefmillFaults", {'refmill_faults_total{part="engine",what="run"}': "0+0x9 4+0xN"}, 10,
         "Runs of Refmill fail for the platform's own reasons"),
    Sick("RefmillServerErrors", {
        'refmill_http_requests_total{kind="api",method="POST",code="500"}': "0+1xN",
        'refmill_http_requests_total{kind="pages",method="GET",code="503"}': "_x9 1+1xN",
    }, 15, "Refmill answers requests with errors of its own"),
    Sick("RefmillUpkeepLate", {"refmill_upkeep_timestamp_seconds": "300+0xN"}, 2950,
         "Refmill has not tidied up its repositories for two days"),
]  # fmt: skip

WELL: dict[str, Series] = {
    "healthy": {},
    "an engine that was started again": {
        'refmill_part_up{part="engine"}': "1+0x29 0+0x1 1+0xN",
        'refmill_database_errors_total{part="web"}': "40+0xN",
        'refmill_database_errors_total{part="engine"}': "50+0x29 stale _ 0+0xN",
        'refmill_object_store_errors_total{part="web"}': "40+0xN",
        'refmill_object_store_errors_total{part="engine"}': "50+0x29 stale _ 0+0xN",
        'refmill_faults_total{part="web",what="stage"}': "40+0xN",
        'refmill_faults_total{part="engine",what="stage"}': "50+0x29 stale _ 0+0xN",
        'refmill_engine_turns_total{outcome="broken"}': "90+0x29 stale _ 0+0xN",
        "refmill_engine_turn_timestamp_seconds": "0+60x29 stale _ 1920+60xN",
    },
    "an engine that was late for a scrape": {
        'refmill_database_errors_total{part="engine"}': "50+0x29 stale 50+0xN",
        'refmill_object_store_errors_total{part="engine"}': "50+0x29 stale 50+0xN",
        'refmill_faults_total{part="engine",what="stage"}': "50+0x29 stale 50+0xN",
        'refmill_engine_turns_total{outcome="broken"}': "90+0x29 stale 90+0xN",
    },
    "five minutes without a scrape": {"up": "1+0x29 0+0x4 1+0xN"},
    "one upload that takes a quarter of the disk": {"refmill_disk_free_bytes": "900e9+0x99 875e9-25e9x8 650e9+0xN"},
    "a disk that is well filled and stays so": {"refmill_disk_free_bytes": "60e9+0xN"},
}
"""What happens to a platform that nobody has to look after."""


@pytest.fixture(params=["file", "chart"])
def given(request: pytest.FixtureRequest, tmp_path: Path) -> "Given":
    """The rules, as a file beside which tests of them may be written."""
    found = rules(request.param)
    (tmp_path / "rules.json").write_text(json.dumps({"groups": [{"name": "refmill", "rules": found}]}))
    return Given(tmp_path, found, SCRAPED[request.param])


@dataclass(frozen=True)
class Given:
    """Rules in `folder`, and the labels of the target that they are about."""

    folder: Path
    rules: list[dict[str, Any]]
    target: dict[str, str]

    def of(self, sick: Sick) -> dict[str, Any]:
        """The alert as people get it."""
        (rule,) = [each for each in self.rules if each["alert"] == sick.alert]
        labels = {name: value for name, value in self.target.items() if name not in sick.gone}
        return {
            "exp_labels": labels | {"severity": sick.severity} | dict(sick.labels or {}),
            "exp_annotations": {"summary": sick.summary, "description": rule["annotations"]["description"]},
        }

    def hold(self, changed: Series, expected: Mapping[int, Mapping[str, dict[str, Any]]]) -> None:
        """At each of these minutes those alerts fire, and no other one."""
        told = {name: values for name, values in (dict(HEALTHY) | dict(changed)).items() if values}
        series = [
            {"series": self._scraped(name), "values": values.replace("xN", f"x{max(expected)}")}
            for name, values in told.items()
        ]
        fire = [
            {"eval_time": f"{minute}m", "alertname": rule["alert"],
             "exp_alerts": [fires[rule["alert"]]] if rule["alert"] in fires else []}
            for minute, fires in expected.items() for rule in self.rules
        ]  # fmt: skip
        (self.folder / "test.json").write_text(json.dumps({
            "rule_files": ["rules.json"], "evaluation_interval": f"{SELDOM if max(expected) > HOURS else 1}m",
            "tests": [{"interval": "1m", "input_series": series, "alert_rule_test": fire}],
        }))  # fmt: skip
        done = promtool("test", "rules", "test.json", folder=self.folder)
        assert done.returncode == 0, done.stdout + done.stderr

    def _scraped(self, name: str) -> str:
        name, _, labels = name.rstrip("}").partition("{")
        target = ",".join(f'{label}="{value}"' for label, value in self.target.items())
        return f"{name}{{{','.join(filter(None, (labels, target)))}}}"


def test_prometheus_takes_the_rules(given: Given) -> None:
    done = promtool("check", "rules", "--lint=all", "--lint-fatal", "rules.json", folder=given.folder)
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{len(given.rules)} rules found" in done.stdout


def test_prometheus_takes_the_file_as_it_is() -> None:
    done = promtool("check", "rules", "--lint=all", "--lint-fatal", str(figures.ALERTS))
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("happening", WELL)
def test_nothing_fires_on_a_platform_that_nobody_has_to_look_after(given: Given, happening: str) -> None:
    given.hold(WELL[happening], {minute: {} for minute in range(0, HOURS, 3)})


def test_upkeep_that_goes_on_is_never_late(given: Given) -> None:
    given.hold({}, {DAYS: {}})


@pytest.mark.parametrize("sick", SICK, ids=lambda sick: sick.alert)
def test_an_alert_fires_after_its_time_and_says_what_is_wrong(given: Given, sick: Sick) -> None:
    given.hold(sick.changed, {sick.fires - 1: {}, sick.fires: {sick.alert: given.of(sick)}})


def test_what_helm_made_of_the_rules_was_made_of_these() -> None:
    changed = json.dumps(figures.alerts()).replace(r"job=\"refmill\"", r"job=\"mill\", namespace=\"prod\"")
    assert rules("chart") == json.loads(changed)


def test_each_alert_has_been_seen_firing() -> None:
    assert [rule["alert"] for rule in figures.alerts()] == list(dict.fromkeys(sick.alert for sick in SICK))
    told = {name.partition("{")[0] for name in HEALTHY}
    assert told == set().union(*(parsed(rule["expr"]).names for rule in figures.alerts()))
    assert all(set(sick.changed) <= set(HEALTHY) for sick in SICK if sick.alert != "RefmillServerErrors")
