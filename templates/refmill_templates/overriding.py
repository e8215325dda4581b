"""Fills in a manifest from templates that a stranger wrote. Only in a process of its own, with limits.

The rule to keep: Jinja's sandbox is the first wall and not the last one. Nothing that comes out of here is believed.
"""

from __future__ import annotations

import traceback
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from jinja2 import FunctionLoader, Template, TemplateError, TemplateNotFound, TemplateSyntaxError
from jinja2.sandbox import ImmutableSandboxedEnvironment

from refmill_templates.rendering import environment, made

BUILT_IN = "refmill/"
"""Under which Refmill's own templates are found by those that extend them."""
_DETAIL = 300
_UNSTEADY_FILTERS = ("random",)
_UNSTEADY_GLOBALS = ("lipsum",)
"""What gives something else each time: the same run is to be the same bytes."""


class BadTemplate(Exception):
    """A template cannot be filled in: its file ("" where that is not known), the line (0: not known), Jinja's words."""

    def __init__(self, file: str, line: int, detail: str) -> None:
        super().__init__(detail)
        self.file, self.line, self.detail = file, line, detail[:_DETAIL]


class TooLong(Exception):
    """More came out than may."""


class Overriding:
    """Templates by their names, which find Refmill's own manifest `name` as `refmill/NAME.yaml.j2`."""

    def __init__(self, files: Mapping[str, str], name: str) -> None:
        self._main = f"{name}.yaml.j2"
        self._sources = {**files, BUILT_IN + self._main: source(name)}
        self._environment: ImmutableSandboxedEnvironment = made(
            FunctionLoader(lambda wanted: (self._sources[wanted], wanted, None) if wanted in self._sources else None)
        )
        for unsteady in _UNSTEADY_FILTERS:
            del self._environment.filters[unsteady]
        for unsteady in _UNSTEADY_GLOBALS:
            del self._environment.globals[unsteady]

    def filled(self, contexts: Sequence[Mapping[str, Any]], most: int) -> Iterator[str]:
        """The manifest for each context. Raises BadTemplate, TooLong above `most` characters, and MemoryError."""
        try:
            template = self._environment.get_template(self._main)
            for context in contexts:
                yield _bounded(template, context, most)
        except (TooLong, MemoryError):
            raise
        except TemplateSyntaxError as error:
            raise BadTemplate(error.name or "", error.lineno, error.message or "") from error
        except TemplateNotFound as error:
            raise BadTemplate(*self._spot(error), f"there is no template {error.name!r}") from error
        except Exception as error:
            # A template may make any operation of Python fail.
            file, line = self._spot(error)
            words = error.message if isinstance(error, TemplateError) else f"{type(error).__name__}: {error}"
            raise BadTemplate(file, line, str(words or type(error).__name__)) from error

    def _spot(self, error: BaseException) -> tuple[str, int]:
        """Where a stranger's template failed; where none of theirs was at work, the built-in one."""
        spots = [
            (frame.f_code.co_filename, line)
            for frame, line in traceback.walk_tb(error.__traceback__)
            if frame.f_code.co_filename in self._sources
        ]
        theirs = [spot for spot in spots if not spot[0].startswith(BUILT_IN)]
        return next(reversed(theirs or spots), ("", 0))


def source(name: str) -> str:
    """Refmill's own template of the manifest `name`, as it stands."""
    own = environment()
    if own.loader is None:
        raise BadTemplate("", 0, name)
    return own.loader.get_source(own, f"{name}.yaml.j2")[0]


def _bounded(template: Template, context: Mapping[str, Any], most: int) -> str:
    parts, size = [], 0
    for part in template.generate(context):
        size += len(part)
        if size > most:
            raise TooLong
        parts.append(part)
    return "".join(parts)
