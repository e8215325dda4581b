"""Sentences for people, kept apart from their language until somebody reads them.

The rule to keep: a sentence is English with ``%(name)s`` places and is written inside ``text("…")``, or with its plural
inside ``counted("…", "…")``, where the catalogue's extractor finds it; it is never glued together from pieces.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol, TypeAlias, runtime_checkable

Value: TypeAlias = "str | int | float | Text"
Translate: TypeAlias = Callable[[str], str]
COUNT = "count"
"""The place whose number decides between singular and plural."""


@runtime_checkable
class Plurals(Protocol):
    """A Translate that also knows its language's plurals; one without is taken for English."""

    def plural(self, one: str, many: str, count: int) -> str:
        """The sentence for that many."""


@dataclass(frozen=True, slots=True)
class Text:
    """One sentence: its English form with ``%(name)s`` places, and what goes into them; `many` is its plural, if it has
    one."""

    english: str
    values: Mapping[str, Value] = field(default_factory=dict)
    many: str = ""

    def to(self, translate: Translate) -> str:
        """The sentence in the language of `translate` (a gettext function)."""
        values = {
            name: value.to(translate) if isinstance(value, Text) else value for name, value in self.values.items()
        }
        sentence = self._counted(translate) if self.many else translate(self.english)
        return sentence % values if values else sentence.replace("%%", "%")

    def _counted(self, translate: Translate) -> str:
        count = self.values[COUNT]
        number = count if isinstance(count, int) else 0
        if isinstance(translate, Plurals):
            return translate.plural(self.english, self.many, number)
        return self.english if number == 1 else self.many

    def __str__(self) -> str:
        return self.to(lambda english: english)


def text(english: str, **values: Value) -> Text:
    """A sentence with its values; `english` must be a literal, so that it can be extracted and translated."""
    return Text(english, values)


def counted(one: str, many: str, count: int, **values: Value) -> Text:
    """A sentence that depends on how many there are; both forms are literals with the place ``%(count)s``."""
    return Text(one, {COUNT: count, **values}, many)
