"""Reading a manifest: YAML as Kubernetes reads it, of which JSON can say everything.

Memory, time and depth are the caller's to limit: aliases may mean gigabytes.
"""

from __future__ import annotations

from typing import Any

import yaml


class NotPlain(Exception):
    """This is no YAML, or more than JSON can say; `line` counts from 1, 0 = not known."""

    def __init__(self, detail: str, line: int = 0) -> None:
        super().__init__(detail)
        self.detail, self.line = detail, line


class _Loader(yaml.CSafeLoader):
    """Takes dates for texts, as JSON does, and no key twice."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:  # noqa: FBT001, FBT002 - PyYAML's
        found = dict[Any, Any]()
        for key_node, value_node in node.value:
            key = self.construct_object(key_node, deep=deep)
            if not isinstance(key, str):
                raise NotPlain("a key that is no text", key_node.start_mark.line + 1)
            if key in found:
                raise NotPlain(f"the key “{key[:80]}” stands twice", key_node.start_mark.line + 1)
            found[key] = self.construct_object(value_node, deep=deep)
        return found


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
    for first, resolvers in yaml.CSafeLoader.yaml_implicit_resolvers.items()
}


def load(text: str) -> Any:
    """The value of the only document in `text`. Raises NotPlain, and RecursionError for one that is too deep."""
    try:
        return yaml.load(text, Loader=_Loader)  # noqa: S506 - a SafeLoader
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        words = ", ".join(part for part in (error.context, error.problem) if part)
        raise NotPlain(words, mark.line + 1 if mark else 0) from error
    except (yaml.YAMLError, ValueError, TypeError, OverflowError) as error:
        raise NotPlain(str(error)) from error
