"""Where in a YAML file a value stands.

The rule to keep: this is for messages only. It reads libyaml's events, which are quick and never recurse, and keeps no
value; what libyaml cannot read has no places, and the message then names the file alone.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from refmill.problems import Place

_MAX_MERGES = 32
_VALUES = frozenset({"Scalar", "Alias", "MappingStart", "SequenceStart"})
"""Events that begin a value; the others end one, or a document."""
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
    import yaml  # noqa: PLC0415 - only files in which something is wrong have their places looked for

    roots: list[_Node] = []
    stack: list[_Node] = []
    anchors: dict[str, _Node] = {}
    loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        for event in yaml.parse(data, Loader=loader):
            kind = type(event).__name__.removesuffix("Event")
            if kind == "DocumentStart":
                anchors = {}
            elif kind in ("MappingEnd", "SequenceEnd"):
                stack.pop()
            elif kind in _VALUES:
                node = _node(event, kind, anchors)
                if stack:
                    _attach(stack[-1], node)
                else:
                    roots.append(node)
                if kind in ("MappingStart", "SequenceStart"):
                    stack.append(node)
    except (yaml.YAMLError, UnicodeError):
        pass  # what was read so far still gives places
    return roots


def _node(event: Any, kind: str, anchors: dict[str, _Node]) -> _Node:
    line, column = event.start_mark.line + 1, event.start_mark.column + 1
    if kind == "Alias":
        meant = anchors.get(event.anchor or "")
        if meant is None:
            return _Node(line, column)
        return _Node(line, column, meant.scalar, meant.mapping, meant.children)
    scalar = event.value if kind == "Scalar" else ""
    node = _Node(line, column, scalar, kind == "MappingStart")
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
