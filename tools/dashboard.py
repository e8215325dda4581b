"""Writes the dashboard for Grafana, charts/refmill/files/dashboard.json: `make docs` (tools/reference.py)."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

PLACE = "charts/refmill/files/dashboard.json"
SOURCE = {"type": "prometheus", "uid": "${datasource}"}
THESE = 'job="$job", instance=~"$instance"'
"""What every query is about; `~` stands for it below."""
WHOLE = 24  # columns of a dashboard
HIGH = {"stat": 4, "timeseries": 8}


@dataclass(frozen=True, slots=True)
class Panel:
    """One panel. `queries` are pairs of an expression and of how its lines are called; `limits` colour a number: green
    below the first, red from the second on, or the other way round where they fall."""

    title: str
    queries: Sequence[tuple[str, str]]
    unit: str = "short"
    kind: str = "timeseries"
    width: int = 8
    stacked: bool = False
    limits: tuple[float, float] | None = None
    about: str = ""


def _quantiles(figure: str, by: str = "") -> list[tuple[str, str]]:
    inner = f"sum by (le{', ' + by if by else ''}) (rate({figure}_bucket{{~}}[$__rate_interval]))"
    name = f"{{{{{by}}}}}" if by else ""
    return [(f"histogram_quantile({part / 100}, {inner})", f"{name} {part} %".strip()) for part in (50, 95)]


def _number(
    title: str, query: str, unit: str = "short", limits: tuple[float, float] | None = None, about: str = ""
) -> Panel:
    return Panel(title, [(query, "")], unit, "stat", 4, limits=limits, about=about)


ROWS: dict[str, list[Panel]] = {
    "Now": [
        _number("Silent parts", "sum(1 - refmill_part_up{~}) or vector(3)", limits=(0.5, 1),
                about="Of database, engine and resolver."),
        _number("Running runs", 'sum(refmill_runs{~, status="running"})'),
        _number("Queued runs", 'sum(refmill_runs{~, status="queued"}) - sum(refmill_runs_waiting_for_data{~})'),
        _number("Oldest in the queue", "max(refmill_queue_oldest_seconds{~})", "s", (1800, 7200)),
        _number("Free disk", "min(refmill_disk_free_bytes{~} / refmill_disk_size_bytes{~})", "percentunit",
                (0.15, 0.05)),
        _number("Faults in a day", "sum(increase(refmill_faults_total{~}[24h]))", limits=(1, 3),
                about="Failures for which the machine or the platform is to blame."),
    ],
    "Runs": [
        Panel("Runs that have not ended", [("sum by (status) (refmill_runs{~})", "{{status}}"),
              ("sum(refmill_runs_waiting_for_data{~})", "of these, waiting for data")]),
        Panel("Runs that ended, per hour", [
            ("sum by (status) (rate(refmill_runs_ended_total{~}[1h])) * 3600", "{{status}}")], stacked=True),
        Panel("Attempts of stages that ended, per hour", [
            ("sum by (status) (rate(refmill_stages_ended_total{~}[1h])) * 3600", "{{status}}")], stacked=True),
        Panel("Waiting for the first stage", _quantiles("refmill_run_wait_seconds"), "s"),
        Panel("From there to the end", _quantiles("refmill_run_seconds"), "s"),
        Panel("Stages of runs that have begun", [("sum by (status) (refmill_stages{~})", "{{status}}")]),
    ],
    "Machine of the local engine": [
        Panel("Cores", [("refmill_machine_cpus_taken{~}", "taken"), ("refmill_machine_cpus{~}", "there")]),
        Panel("Memory", [("refmill_machine_memory_taken_bytes{~}", "taken"),
              ("refmill_machine_memory_bytes{~}", "there")], "bytes"),
        Panel("Stages, GPUs", [("refmill_machine_stages_running{~}", "running"),
              ("refmill_machine_stages_waiting{~}", "waiting"),
              ("refmill_machine_gpus_taken{~}", "GPUs taken"), ("refmill_machine_gpus{~}", "GPUs there")]),
    ],
    "Pushes and requests": [
        Panel("Pushes, per minute", [
            ("sum by (outcome) (rate(refmill_pushes_total{~}[$__rate_interval])) * 60", "{{outcome}}")], stacked=True),
        Panel("Checking a push", _quantiles("refmill_push_check_seconds"), "s"),
        Panel("Refs not planned yet", [("sum by (state) (refmill_events_open{~})", "{{state}}"),
              ("max(refmill_events_oldest_seconds{~})", "seconds of the oldest")]),
        Panel("Requests, per second", [
            ("sum by (kind) (rate(refmill_http_requests_total{~}[$__rate_interval]))", "{{kind}}")], stacked=True),
        Panel("Answers, 95 %", [_quantiles("refmill_http_request_seconds", "kind")[1]], "s"),
        Panel("Requests with a thread", [
            ("sum by (kind) (refmill_http_requests_in_progress{~})", "{{kind}}")], stacked=True),
        Panel("Refused and failed, per minute", [
            ('sum by (code) (rate(refmill_http_requests_total{~, code=~"[45].."}[$__rate_interval])) * 60',
             "{{code}}")]),
        Panel("Repositories, people", [("refmill_repositories{~}", "repositories"), ("refmill_users{~}", "accounts"),
              ("refmill_repositories_set_aside{~}", "set aside")]),
    ],
    "Platform": [
        Panel("Processor", [
            ("sum by (part) (rate(refmill_process_cpu_seconds_total{~}[$__rate_interval]))", "{{part}}")],
            "percentunit"),
        Panel("Memory of the processes", [("refmill_process_resident_memory_bytes{~}", "{{part}}")], "bytes"),
        Panel("Open files, threads", [("refmill_process_open_files{~}", "{{part}} files"),
              ("refmill_process_threads{~}", "{{part}} threads")]),
        Panel("Disk", [("refmill_disk_free_bytes{~}", "free"),
              ("refmill_disk_reserve_bytes{~}", "disk_reserve")], "bytes"),
        Panel("Errors, per minute", [
            ("sum(rate(refmill_database_errors_total{~}[$__rate_interval])) * 60", "database"),
            ("sum(rate(refmill_object_store_errors_total{~}[$__rate_interval])) * 60", "object store"),
            ('rate(refmill_engine_turns_total{~, outcome="broken"}[$__rate_interval]) * 60', "engine's turns")]),
        Panel("Ages", [("time() - refmill_engine_turn_timestamp_seconds{~}", "engine's turn"),
              ("refmill_look_seconds{~}", "gathering these figures")], "s"),
        Panel("Since the last upkeep", [("time() - refmill_upkeep_timestamp_seconds{~}", "upkeep")], "s"),
    ],
}  # fmt: skip


def dashboard_json() -> str:
    """The dashboard as Grafana imports it."""
    return json.dumps({
        "uid": "refmill", "title": "Refmill", "tags": ["refmill"], "schemaVersion": 39, "version": 1, "editable": True,
        "refresh": "30s", "time": {"from": "now-6h", "to": "now"}, "timezone": "browser", "annotations": {"list": []},
        "templating": {"list": [
            {"name": "datasource", "label": "Source", "type": "datasource", "query": "prometheus"},
            _variable("job", "Job", "label_values(refmill_build_info, job)"),
            _variable("instance", "Instance", 'label_values(refmill_build_info{job="$job"}, instance)', every=True),
        ]},
        "panels": list(_panels()),
    }, indent=1) + "\n"  # fmt: skip


def _variable(name: str, label: str, query: str, *, every: bool = False) -> dict[str, Any]:
    more = {"includeAll": True, "allValue": ".*", "current": {"text": "All", "value": "$__all"}} if every else {}
    return {
        "name": name, "label": label, "type": "query", "datasource": SOURCE, "query": query, "refresh": 2, "sort": 1,
        "multi": False, **more,
    }  # fmt: skip


def _panels() -> Iterator[dict[str, Any]]:
    number, top = 1, 0
    for title, panels in ROWS.items():
        yield {
            "id": number,
            "type": "row",
            "title": title,
            "collapsed": False,
            "panels": [],
            "gridPos": _place(0, top, WHOLE, 1),
        }
        number, left, top = number + 1, 0, top + 1
        for panel in panels:
            if left + panel.width > WHOLE:
                left, top = 0, top + HIGH[panel.kind]
            yield _panel(panel, number, _place(left, top, panel.width, HIGH[panel.kind]))
            number, left = number + 1, left + panel.width
        top += HIGH[panels[-1].kind]


def _place(left: int, top: int, width: int, height: int) -> dict[str, int]:
    return {"x": left, "y": top, "w": width, "h": height}


def _panel(panel: Panel, number: int, place: dict[str, int]) -> dict[str, Any]:
    look: dict[str, Any] = {"unit": panel.unit, "min": 0}
    if panel.kind == "timeseries":
        look["custom"] = {"fillOpacity": 10, "stacking": {"mode": "normal" if panel.stacked else "none"}}
    if panel.limits:
        first, second = panel.limits
        colours = ("green", "orange", "red") if second >= first else ("red", "orange", "green")
        low, high = sorted(panel.limits)
        steps = [(None, colours[0]), (low, colours[1]), (high, colours[2])]
        look["thresholds"] = {
            "mode": "absolute",
            "steps": [{"value": value, "color": colour} for value, colour in steps],
        }
    targets = [
        {
            "refId": chr(ord("A") + index), "datasource": SOURCE, "legendFormat": name,
            "expr": query.replace("{~", "{" + THESE),
        }
        for index, (query, name) in enumerate(panel.queries)
    ]  # fmt: skip
    return {
        "id": number, "type": panel.kind, "title": panel.title, "description": panel.about, "datasource": SOURCE,
        "gridPos": place, "targets": targets, "fieldConfig": {"defaults": look, "overrides": []},
    }  # fmt: skip
