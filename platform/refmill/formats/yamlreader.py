"""ruamel.yaml behind `yamlfile`: documents within limits, its errors as problems with their places.

Apart from `yamlfile`, because ruamel takes longer to import than a command takes that needs none of it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import ruamel.yaml
from ruamel.yaml.composer import MaxDepthExceededError
from ruamel.yaml.constructor import DuplicateKeyError, SafeConstructor
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.nodes import MappingNode, ScalarNode
from ruamel.yaml.reader import ReaderError

from refmill.errors import Invalid
from refmill.formats.yamlmarks import excerpt
from refmill.problems import Place, Problem
from refmill.texts import Text, text

MAX_DEPTH = 64
"""Levels of nesting; every real file stays below 20, and ruamel spends up to ten Python frames a level."""
MAX_WEIGHT = 32 << 20
"""Characters after aliases are expanded, each node counting 16 more: 400 bytes of aliases can mean gigabytes."""
_DETAIL = 200
_NODE = 16


def documents(data: bytes, file: str, max_bytes: int, *, several: bool) -> list[Any]:
    """The values of all documents in `data`, or (unless `several`) of the only one. Raises Invalid with the place."""
    source = _decoded(data, file, max_bytes)
    reader = _reader()
    try:
        return list(reader.load_all(source)) if several else [reader.load(source)]
    except _Heavy as error:
        raise _invalid("yaml-limit", data, file, error.mark, error.message, _LIMIT_REMEDY) from error
    except MaxDepthExceededError as error:
        raise _invalid("yaml-limit", data, file, error.problem_mark, _TOO_DEEP, _LIMIT_REMEDY) from error
    except DuplicateKeyError as error:
        raise _duplicate(data, file, error) from error
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        detail = ", ".join(part for part in (error.context, error.problem) if part)
        raise _syntax(data, file, mark, detail) from error
    except ReaderError as error:
        line = source.count("\n", 0, error.position)
        column = error.position - (source.rfind("\n", 0, error.position) + 1)
        raise _syntax(data, file, _Mark(line, column), "a control character, which YAML does not allow") from error
    except RecursionError as error:
        raise _invalid("yaml-limit", data, file, None, _TOO_DEEP, _LIMIT_REMEDY) from error
    except (YAMLError, ValueError, TypeError, ArithmeticError, AttributeError, LookupError, AssertionError) as error:
        # ruamel lets these out for values that only look like a date or a number (2024-13-45) and for odd tags.
        raise _syntax(data, file, None, str(error)) from error


def _decoded(data: bytes, file: str, max_bytes: int) -> str:
    if len(data) > max_bytes:
        message = text("The file is larger than %(limit)s bytes", limit=max_bytes)
        raise _invalid("yaml-limit", b"", file, None, message, _LIMIT_REMEDY)
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start)
        column = len(data[data.rfind(b"\n", 0, error.start) + 1 : error.start].decode("utf-8", "replace"))
        raise _invalid(
            "encoding",
            data,
            file,
            _Mark(line, column),
            text("The file is not valid UTF-8"),
            text("Save the file as UTF-8."),
        ) from error


@dataclass(frozen=True, slots=True)
class _Mark:
    """Like ruamel's marks: `line` and `column` count from 0."""

    line: int
    column: int


class _Heavy(Exception):
    """Carries a finding out of ruamel."""

    def __init__(self, mark: Any, message: Text) -> None:
        super().__init__(str(message))
        self.mark = mark
        self.message = message


_LIMIT_REMEDY = text("Make the file smaller; data belongs into files tracked by DVC.")
_TOO_DEEP = text("The values are nested more than %(limit)s levels deep", limit=MAX_DEPTH)


def _weigh(node: Any, known: dict[int, int | None]) -> int:
    """How many characters `node` means with its aliases expanded. Anchors stand before their aliases, so that the
    recursion is as deep as the text is nested, which the composer has limited."""
    weight = known.get(id(node), -1)
    if weight is None:
        raise _Heavy(node.start_mark, text("An alias stands inside what it means, so that the value has no end"))
    if weight >= 0:
        return weight
    if isinstance(node, ScalarNode):
        total = _NODE + len(node.value)
    else:
        known[id(node)] = None
        total = _NODE
        for child in node.value:
            parts = child if isinstance(node, MappingNode) else (child,)
            total += sum(_weigh(part, known) for part in parts)
            if total > MAX_WEIGHT:
                raise _Heavy(node.start_mark, text("The values are too large when their aliases are expanded"))
    known[id(node)] = total
    return total


class _Constructor(SafeConstructor):
    """ruamel's safe constructor, which weighs a document before it makes anything of it."""

    def get_single_data(self) -> Any:
        """Called by `YAML.load`."""
        return self._construct(self.composer.get_single_node())

    def get_data(self) -> Any:
        """Called by `YAML.load_all`."""
        return self._construct(self.composer.get_node())

    def _construct(self, node: Any) -> Any:
        if node is None:
            return None
        _weigh(node, {})
        return self.construct_document(node)


def _reader() -> Any:
    reader = ruamel.yaml.YAML(typ="safe", pure=True)
    reader.Constructor = _Constructor
    reader.max_depth = MAX_DEPTH
    reader.composer.warn_double_anchors = False
    return reader


def _syntax(data: bytes, file: str, mark: Any, detail: str) -> Invalid:
    return _invalid(
        "yaml-syntax",
        data,
        file,
        mark,
        text("This is not valid YAML: %(detail)s", detail=" ".join(detail.split())[:_DETAIL]),
        text("Look for a missing colon, quote or bracket, for tabs, and for lines indented differently."),
    )


def _duplicate(data: bytes, file: str, error: DuplicateKeyError) -> Invalid:
    mark = error.problem_mark
    line = excerpt(data, mark.line + 1)
    key = line[mark.column :].partition(":")[0].strip() if mark else ""
    return _invalid(
        "duplicate-key",
        data,
        file,
        mark,
        text("The key “%(key)s” stands here a second time", key=key),
        text("Keep one of the two."),
    )


def _invalid(kind: str, data: bytes, file: str, mark: Any, message: Text, remedy: Text) -> Invalid:
    place = Place(file, mark.line + 1, mark.column + 1) if mark is not None else Place(file)
    return Invalid([Problem(kind, place, message, remedy, excerpt(data, place.line))])
