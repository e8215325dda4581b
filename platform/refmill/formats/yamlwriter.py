"""YAML as ruamel writes it when configured as DVC configures it: slow, and right for everything."""

from __future__ import annotations

import io
from collections import OrderedDict
from collections.abc import Mapping
from typing import Any

import ruamel.yaml
from ruamel.yaml.representer import RoundTripRepresenter


def dump(value: Any) -> str:
    """`value` as a document."""
    writer = ruamel.yaml.YAML()
    writer.default_flow_style = False
    writer.Representer = _Representer
    stream = io.StringIO()
    writer.dump(value, stream)
    return stream.getvalue()


def update(source: str, key: str, changes: Mapping[str, Any], head: Mapping[str, Any]) -> str:
    """The document `source` with `changes` in its mapping `key`, the rest (comments too) as it was; an empty one
    starts as `head` (dvc.dvcfile.Lockfile.dump_stages)."""
    data = ruamel.yaml.YAML(pure=True).load(source) or dict(head)
    data[key] = data.get(key) or {}
    data[key].update(changes)
    return dump(data)


class _Representer(RoundTripRepresenter):
    """ruamel's own, with OrderedDict as a plain mapping."""


_Representer.add_representer(OrderedDict, _Representer.represent_dict)
