"""Families of samples: those that are read from counters of another process, and those that are made of one look."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any, Protocol

from prometheus_client import Metric
from prometheus_client.samples import Sample

from refmill_web.monitoring.known import PREFIX, Figure

_MADE = "_created"
"""The ending of samples that say when counting began, one for each; the start of its process says as much."""


class Collects(Protocol):
    """What gives families."""

    def collect(self) -> Iterable[Metric]:
        """All of them, as they stand."""


def family(figure: Figure, values: Mapping[tuple[str, ...], float] | float) -> Metric:
    """A figure as it was seen now, by the values of its labels, or by itself where it has none."""
    found = Metric(PREFIX + figure.name, figure.help, figure.kind)
    each = values if isinstance(values, Mapping) else {(): values}
    for labels, value in each.items():
        found.add_sample(figure.shown, dict(zip(figure.label_names, labels, strict=True)), value)
    return found


def taken(counted: Collects) -> list[Metric]:
    """The families of a registry, without what nobody asks for."""
    found = list(counted.collect())
    for item in found:
        item.samples = [sample for sample in item.samples if not sample.name.endswith(_MADE)]
    return found


def to_json(found: Iterable[Metric]) -> bytes:
    """Families for another process."""

    def plain(item: Metric) -> list[Any]:
        samples = [[sample.name, sample.labels, sample.value] for sample in item.samples]
        return [item.name, item.documentation, item.type, samples]

    return json.dumps([plain(item) for item in found]).encode()


def from_json(told: bytes) -> list[Metric]:
    """What `to_json` wrote. Raises ValueError for anything else."""
    read: Any = json.loads(told)
    try:
        return [_family(*each) for each in read]
    except (TypeError, KeyError, AttributeError) as error:
        raise ValueError("no families") from error


def _family(name: str, documentation: str, kind: str, samples: Iterable[Any]) -> Metric:
    found = Metric(name, documentation, kind)
    found.samples = [Sample(str(each), dict(labels), float(value)) for each, labels, value in samples]
    return found


def joined(found: Iterable[Metric]) -> list[Metric]:
    """One family for each name, with the samples of all that have it."""
    families: dict[str, Metric] = {}
    for item in found:
        whole = families.setdefault(item.name, Metric(item.name, item.documentation, item.type))
        whole.samples.extend(item.samples)
    return list(families.values())
