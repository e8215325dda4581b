"""Where in a YAML file a value stands.

The rule to keep: this is for messages only. It reads libyaml's events, which are quick and never recurse, and keeps no
value; what libyaml cannot read has no places, and the message then names the file alone.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import yaml
from yaml.events import (
    AliasEvent,
    DocumentStartEvent,
    MappingEndEvent,
    MappingStartEvent,
    ScalarEvent,
    SequenceEndEvent,
    SequenceStartEvent,
)

from refmill.problems import Place

_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_MAX_MERGES = 32
_EXCERPT = 200


@dataclass(slots=True)
class _Node:
    """A value's start (line and column from 1) and what hangs below it; `keys` in a mapping, items by number else."""

    line: int
    column: int
    scalar: str = ""
    mapping: bool = False
    children: list[tuple[_Node | None, _Node]] = field(default_factory=list)
    key: _Node | None = None


class Marks:
    """Line and column of keys and values of one YAML file, read when first asked for."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._roots: list[_Node] | None = None

    def place(self, file: str, path: tuple[str | int, ...], key: bool = False, document: int = 0) -> Place:  # noqa: FBT001, FBT002 - reads as “place of the key” in its many callers
        """Where the value at `path` stands, or its key; where it ends early, the deepest place on the way."""
        if self._roots is None:
            self._roots = _roots(self._data)
        if document >= len(self._roots):
            return Place(file)
        node = self._roots[document]
        mark = node
        for step in path:
            found = _child(node, step)
            if found is None:
                break
            name, node = found
            mark = name if key and name is not None else node
        return Place(file, mark.line, mark.column)

    def excerpt(self, place: Place) -> str:
        """The line of the file that `place` names, shortened; "" for the file as a whole."""
        return excerpt(self._data, place.line)


def excerpt(data: bytes, line: int) -> str:
    """Line `line` (from 1) of `data` for a message: without its end, at most 200 characters."""
    lines = data.split(b"\n", line) if line > 0 else []
    return lines[line - 1].decode("utf-8", "replace").rstrip()[:_EXCERPT] if 0 < line <= len(lines) else ""


def _child(node: _Node, step: str | int, merges: int = 0) -> tuple[_Node | None, _Node] | None:
    if not node.mapping:
        inside = isinstance(step, int) and 0 <= step < len(node.children)
        return node.children[int(step)] if inside else None
    for name, value in node.children:
        if name is not None and name.scalar == str(step):
            return name, value
    for name, value in node.children:
        if name is not None and name.scalar == "<<" and merges < _MAX_MERGES:
            for source in [value] if value.mapping else [item for _, item in value.children]:
                found = _child(source, step, merges + 1)
                if found is not None:
                    return found
    return None


def _roots(data: bytes) -> list[_Node]:
    """One tree of marks a document, as far as libyaml can read; built with a stack, whatever the nesting."""
    roots: list[_Node] = []
    stack: list[_Node] = []
    anchors: dict[str, _Node] = {}
    try:
        for event in yaml.parse(data, Loader=_LOADER):
            if isinstance(event, DocumentStartEvent):
                anchors = {}
            elif isinstance(event, MappingEndEvent | SequenceEndEvent):
                stack.pop()
            elif isinstance(event, ScalarEvent | AliasEvent | MappingStartEvent | SequenceStartEvent):
                node = _node(event, anchors)
                if stack:
                    _attach(stack[-1], node)
                else:
                    roots.append(node)
                if isinstance(event, MappingStartEvent | SequenceStartEvent):
                    stack.append(node)
    except (yaml.YAMLError, UnicodeError):
        pass  # what was read so far still gives places
    return roots


def _node(event: Any, anchors: dict[str, _Node]) -> _Node:
    line, column = event.start_mark.line + 1, event.start_mark.column + 1
    if isinstance(event, AliasEvent):
        meant = anchors.get(event.anchor or "")
        if meant is None:
            return _Node(line, column)
        return _Node(line, column, meant.scalar, meant.mapping, meant.children)
    scalar = event.value if isinstance(event, ScalarEvent) else ""
    node = _Node(line, column, scalar, isinstance(event, MappingStartEvent))
    if event.anchor:
        anchors[event.anchor] = node
    return node


def _attach(parent: _Node, node: _Node) -> None:
    if not parent.mapping:
        parent.children.append((None, node))
    elif parent.key is None:
        parent.key = node
    else:
        parent.children.append((parent.key, node))
        parent.key = None
