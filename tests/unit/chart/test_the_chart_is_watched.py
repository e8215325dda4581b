"""What the chart makes for Prometheus and Grafana: who may scrape, alerts, and a dashboard about figures that there are."""

import base64
import json
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

import charting
import dashboard
import figures
from charting import objects, template
from expressions import parsed
from refmill import settings
from refmill_web.monitoring import access
from refmill_web.monitoring.known import ALL

WATCHED: dict[str, Any] = {
    "enabled": True,
    "serviceMonitor": {"enabled": True, "interval": "1m", "labels": {"release": "prometheus"}},
    "rules": {"enabled": True, "labels": {"release": "prometheus"}},
    "dashboard": {"enabled": True, "labels": {"grafana_dashboard": "yes"}, "annotations": {"folder": "ML"}},
}
LABELS = {name: {label for label, _ in figure.labels} for figure in ALL for name in figure.samples} | {"up": set()}
ADDED = {"job", "instance", "namespace", "le"}
"""Labels that Prometheus adds itself, and that of a histogram's buckets."""
VALUES = {label: set(values) for figure in ALL for label, values in figure.labels if values}


def of_alerts() -> Iterator[tuple[str, str]]:
    for rule in figures.alerts():
        yield rule["alert"], rule["expr"]


def of_the_dashboard() -> Iterator[tuple[str, str]]:
    for panel in json.loads((charting.ROOT / dashboard.PLACE).read_text(encoding="utf-8"))["panels"]:
        for target in panel.get("targets", ()):
            yield panel["title"], target["expr"]


@pytest.mark.parametrize(("title", "words"), [*of_alerts(), *of_the_dashboard()])
def test_an_expression_is_about_figures_and_labels_that_there_are(title: str, words: str) -> None:
    about = parsed(words)
    assert about.names <= set(LABELS), title
    for name, label in about.labels:
        known = LABELS[name] if name else set().union(*(LABELS[each] for each in about.names))
        assert label in known | ADDED, f"{title}: {label}"


@pytest.mark.parametrize(("title", "words"), [*of_alerts(), *of_the_dashboard()])
def test_every_figure_of_an_expression_is_of_the_chosen_platform(title: str, words: str) -> None:
    about = parsed(words)
    assert {name for name, label in about.labels if label == "job"} == about.names, title


def test_an_expression_that_is_none_is_noticed() -> None:
    assert parsed('sum by (a) (rate(x{b="c", d=~"e"}[5m])) > 2 or y').labels == {("", "a"), ("x", "b"), ("x", "d")}
    for words in ("sum(x", "x)", "x{a}", "rate x", "x(y)", "x ; y", 'x{a="b}'):
        with pytest.raises(AssertionError):
            parsed(words)


def test_every_figure_is_shown_or_warned_of() -> None:
    named = {name for _, words in [*of_alerts(), *of_the_dashboard()] for name in parsed(words).names}
    silent = {figure.shown for figure in ALL if not named.intersection(figure.samples)}
    assert silent == {
        "refmill_build_info", "refmill_disk_free_files", "refmill_process_start_time_seconds",
    }  # fmt: skip


def test_every_alert_says_what_is_to_be_done() -> None:
    found = figures.alerts()
    assert len({rule["alert"] for rule in found}) == len(found)
    for rule in found:
        assert set(rule) <= {"alert", "expr", "for", "labels", "annotations"}, rule["alert"]
        assert rule["labels"]["severity"] in {"critical", "warning"}
        assert set(rule["annotations"]) == {"summary", "description"}
        assert rule["annotations"]["description"].endswith(".")


def test_without_a_word_nothing_is_made_and_nothing_is_told() -> None:
    made = objects({})
    assert {kind for kind, _ in made}.isdisjoint({"ServiceMonitor", "PrometheusRule"})
    assert ("Secret", "mill-metrics") not in made
    assert not [name for name in made["ConfigMap", "mill-settings"]["data"] if "METRICS" in name]


def test_the_server_and_the_scraper_have_the_same_token(tmp_path) -> None:
    made = objects({"metrics": WATCHED})
    server = made["StatefulSet", "mill"]["spec"]["template"]["spec"]
    (volume,) = [item for item in server["volumes"] if item["name"] == "metrics"]
    (mount,) = [item for item in server["containers"][0]["volumeMounts"] if item["name"] == "metrics"]
    assert volume["secret"] == {"secretName": "mill-metrics", "items": [{"key": "token", "path": "token"}]}
    loaded = settings.load({"data": tmp_path}, made["ConfigMap", "mill-settings"]["data"])
    assert (loaded.metrics, loaded.metrics_token) == ("token", f"{mount['mountPath']}/token")
    (endpoint,) = made["ServiceMonitor", "mill"]["spec"]["endpoints"]
    assert endpoint["authorization"] == {"type": "Bearer", "credentials": {"name": "mill-metrics", "key": "token"}}
    assert (endpoint["path"], endpoint["interval"]) == ("/metrics", "1m")
    service = made["Service", "mill"]
    assert endpoint["port"] in {port["name"] for port in service["spec"]["ports"]}
    chosen = made["ServiceMonitor", "mill"]["spec"]["selector"]["matchLabels"]
    assert chosen.items() <= service["metadata"]["labels"].items()
    assert made["ServiceMonitor", "mill"]["metadata"]["labels"]["release"] == "prometheus"


def test_the_token_that_is_made_is_long_enough() -> None:
    done = template({"metrics": {"enabled": True}})
    (secret,) = [
        item for item in yaml.safe_load_all(done.stdout) if item and item["metadata"]["name"] == "mill-metrics"
    ]
    assert len(base64.b64decode(secret["data"]["token"])) >= 2 * access.LEAST


def test_a_secret_of_ones_own_is_used_and_none_is_made() -> None:
    made = objects({"metrics": WATCHED | {"secret": "mine", "key": "bearer"}})
    assert ("Secret", "mill-metrics") not in made
    volumes = made["StatefulSet", "mill"]["spec"]["template"]["spec"]["volumes"]
    (volume,) = [item["secret"] for item in volumes if item["name"] == "metrics"]
    assert volume == {"secretName": "mine", "items": [{"key": "bearer", "path": "token"}]}
    (endpoint,) = made["ServiceMonitor", "mill"]["spec"]["endpoints"]
    assert endpoint["authorization"]["credentials"] == {"name": "mine", "key": "bearer"}


def test_the_scraper_passes_where_not_everybody_does() -> None:
    people = [{"namespaceSelector": {"matchLabels": {"a": "people"}}}]
    scraper = [{"namespaceSelector": {"matchLabels": {"a": "monitoring"}}}]

    def entries(**metrics: Any) -> list[Any]:
        made = objects({"networkPolicy": {"from": people}, "metrics": metrics})
        return [rule.get("from") for rule in made["NetworkPolicy", "mill"]["spec"]["ingress"]]

    assert entries(enabled=True, **{"from": scraper}) == [people, scraper]
    assert entries(enabled=False, **{"from": scraper}) == [people]
    everybody = objects({"metrics": {"enabled": True, "from": scraper}})["NetworkPolicy", "mill"]["spec"]["ingress"]
    assert [rule.get("from") for rule in everybody] == [None]


def test_the_rules_of_a_release_are_about_it_alone() -> None:
    made = objects({"metrics": WATCHED})["PrometheusRule", "mill"]
    rules = [rule for group in made["spec"]["groups"] for rule in group["rules"]]
    assert [rule["alert"] for rule in rules] == [name for name, _ in of_alerts()]
    for rule in rules:
        about = parsed(rule["expr"])
        for label in ("job", "namespace"):
            assert {name for name, each in about.labels if each == label} == about.names, rule["alert"]
        assert 'job="refmill"' not in rule["expr"]
    (down,) = [rule for rule in rules if rule["alert"] == "RefmillDown"]
    assert down["expr"].startswith('up{job="mill", namespace="prod"} == 0')
    (silent,) = [rule for rule in rules if rule["alert"] == "RefmillPartSilent"]
    assert "{{ $labels.part }}" in silent["annotations"]["summary"]


def test_the_dashboard_is_found_and_is_the_one_that_is_kept() -> None:
    made = objects({"metrics": WATCHED})["ConfigMap", "mill-dashboard"]
    assert made["metadata"]["labels"]["grafana_dashboard"] == "yes"
    assert made["metadata"]["annotations"] == {"folder": "ML"}
    assert json.loads(made["data"]["refmill.json"]) == json.loads(dashboard.dashboard_json())
    panels = json.loads(made["data"]["refmill.json"])["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    taken = [(panel["gridPos"]["x"], panel["gridPos"]["y"]) for panel in panels]
    assert len(set(taken)) == len(taken)
    assert all(panel["gridPos"]["x"] + panel["gridPos"]["w"] <= dashboard.WHOLE for panel in panels)


@pytest.mark.parametrize("part", ["serviceMonitor", "rules", "dashboard"])
def test_what_watches_nothing_is_refused(part: str) -> None:
    done = template({"metrics": {part: {"enabled": True}}})
    assert done.returncode != 0
    assert f"metrics.enabled: metrics.{part} needs it" in done.stderr
