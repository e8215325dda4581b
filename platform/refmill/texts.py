"""Sentences for people, kept apart from their language until somebody reads them.

The rule to keep: a sentence is English with ``%(name)s`` places and is written inside ``text("…")``, where the
catalogue's extractor finds it; it is never glued together from pieces.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

Value: TypeAlias = "str | int | float | Text"
Translate: TypeAlias = Callable[[str], str]


@dataclass(frozen=True, slots=True)
class Text:
    """One sentence: its English form with ``%(name)s`` places, and what goes into them."""

    english: str
    values: Mapping[str, Value] = field(default_factory=dict)

    def to(self, translate: Translate) -> str:
        """The sentence in the language of `translate` (a gettext function)."""
        values = {
            name: value.to(translate) if isinstance(value, Text) else value for name, value in self.values.items()
        }
        sentence = translate(self.english)
        return sentence % values if values else sentence.replace("%%", "%")

    def __str__(self) -> str:
        return self.to(lambda english: english)


def text(english: str, **values: Value) -> Text:
    """A sentence with its values; `english` must be a literal, so that it can be extracted and translated."""
    return Text(english, values)
