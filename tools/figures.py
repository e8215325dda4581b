"""docs/metrics.md: every figure for Prometheus, and every alert. `make docs` writes it (tools/reference.py)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from refmill_web.monitoring.known import ALL, Figure

ROOT = Path(__file__).resolve().parent.parent
ALERTS = ROOT / "charts" / "refmill" / "files" / "alerts.yaml"
NOTE = "<!-- Written by `make docs` from the code; change it there. -->"
HOMES = {
    "look": "looked up when somebody asks, at most every five seconds",
    "each": "counted by the web's process and the engine's while they live, each for itself",
    "web": "counted by the web's process while it lives",
    "engine": "told by the engine's process, and not there while that is silent",
}


def alerts() -> list[dict[str, Any]]:
    """The rules of the chart."""
    found = yaml.safe_load(ALERTS.read_text(encoding="utf-8"))
    return [rule for group in found["groups"] for rule in group["rules"]]


def page() -> str:
    """The page."""
    lines = [
        "# Figures for Prometheus", "", NOTE, "",
        "What `/metrics` tells, where the setting `metrics` lets it. How to read it stands in the",
        "[operator guide](operator-guide.md). No label has values that people make (repositories, users, branches,",
        "stages): there are some hundred lines, however much is hosted. Where the database does not answer within",
        "three seconds, what comes from it is left out, and `refmill_part_up` says so.", "",
    ]  # fmt: skip
    for home, words in HOMES.items():
        lines += [
            "",
            f"## {words[0].upper()}{words[1:]}",
            "",
            "| Name | Kind | Labels | Meaning |",
            "|---|---|---|---|",
        ]
        lines += [_row(figure) for figure in ALL if figure.home == home]
    lines += [
        "", "## Alerts", "",
        "Those of [charts/refmill/files/alerts.yaml](../charts/refmill/files/alerts.yaml), where the description of",
        "each says what is to be done.", "", "| Alert | Severity | When |", "|---|---|---|",
    ]  # fmt: skip
    for rule in alerts():
        when = (
            " ".join(rule["expr"].split())
            .replace("|", "\\|")
            .replace('{job="refmill"}', "")
            .replace('job="refmill", ', "")
        )
        lasting = f", for {rule['for']}" if "for" in rule else ""
        lines.append(f"| {rule['alert']} | {rule['labels']['severity']} | `{when}`{lasting} |")
    return "\n".join([*lines, ""]).replace("\n\n\n", "\n\n")


def _row(figure: Figure) -> str:
    labels = "; ".join(f"`{name}`: {', '.join(values)}" if values else f"`{name}`" for name, values in figure.labels)
    return f"| `{figure.shown}` | {figure.kind} | {labels or '–'} | {figure.help} |"
