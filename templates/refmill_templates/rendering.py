"""Fills in a manifest. The delimiters are none that Kubernetes, Argo, shells or YAML have a use for."""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jinja2 import BaseLoader, FileSystemLoader, StrictUndefined, Undefined
from jinja2.sandbox import ImmutableSandboxedEnvironment

# YAML takes these as they are nowhere, or ends a line at them; JSON writes them as they are. A lone surrogate cannot be
# written at all, and two escapes that JSON would read as one character are two broken ones to YAML.
_ESCAPED = re.compile("[\x7f-\x9f\u2028\u2029\ufeff\ufffe\uffff]")
_LONE = re.compile("[\ud800-\udfff]")


def as_json(value: Any) -> str:
    """`value` as one line that is JSON and YAML alike. Raises TypeError or ValueError for what JSON does not have."""
    if isinstance(value, str) and value.isascii() and value.isalnum():
        return f'"{value}"'
    written = json.dumps(value, ensure_ascii=False, allow_nan=False)
    if written.isascii() and "\x7f" not in written:
        return written
    return _ESCAPED.sub(lambda found: f"\\u{ord(found[0]):04x}", _LONE.sub("\ufffd", written))


@functools.cache
def environment() -> ImmutableSandboxedEnvironment:
    """Where Refmill's own templates are compiled."""
    return made(FileSystemLoader(Path(__file__).with_name("manifests")))


def made(loader: BaseLoader) -> ImmutableSandboxedEnvironment:
    """An environment; whatever a template writes passes `as_json`, whether its author thought of that or not."""
    return ImmutableSandboxedEnvironment(
        loader=loader,
        undefined=StrictUndefined,
        variable_start_string="[[", variable_end_string="]]",
        block_start_string="[%", block_end_string="%]",
        comment_start_string="[#", comment_end_string="#]",
        trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True,
        autoescape=False,  # HTML's escapes have no meaning here
        finalize=_finalized,
    )  # fmt: skip


def _finalized(value: Any) -> str:
    if isinstance(value, Undefined):
        return str(value)  # raises UndefinedError, which says what is not there
    return as_json(value)


def render(name: str, context: Mapping[str, Any]) -> str:
    """The manifest `name` with the values of `context`. Raises TypeError for a value that is no plain data, and what
    Jinja raises for one that is not there."""
    return environment().get_template(f"{name}.yaml.j2").render(context)
