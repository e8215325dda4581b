"""YAML as ruamel writes it when configured as DVC configures it: slow, and right for everything."""

from __future__ import annotations

import io
from collections import OrderedDict
from collections.abc import Callable
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


def edit(source: str, change: Callable[[Any], None]) -> str:
    """The document `source` after `change` had its values; comments, quotes and order stay where nothing changed."""
    data = ruamel.yaml.YAML(pure=True).load(source)
    if data is None:
        data = {}
    change(data)
    return dump(data)


class _Representer(RoundTripRepresenter):
    """ruamel's own, with OrderedDict as a plain mapping."""


_Representer.add_representer(OrderedDict, _Representer.represent_dict)
