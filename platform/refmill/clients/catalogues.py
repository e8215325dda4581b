"""Refmill's texts in other languages: one gettext catalogue for Python, pages and scripts, read without a build step.

`refmill/locale/<language>/LC_MESSAGES/refmill.po` is what translators edit and what ships.
"""

from __future__ import annotations

import functools
import gettext
import io
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from babel.messages import mofile, pofile
from babel.messages.catalog import Catalog

import refmill
from refmill.texts import Translate

LOCALE = Path(refmill.__file__).parent / "locale"
LANGUAGES: Mapping[str, str] = {"en": "English", "zh": "中文"}
"""Languages by their code, each under its own name."""


@functools.cache
def catalogue(language: str) -> Catalog:
    """The catalogue of `language` as it stands in its file; an empty one for English and for unknown languages."""
    path = LOCALE / language / "LC_MESSAGES" / "refmill.po"
    if language not in LANGUAGES or not path.is_file():
        return Catalog(locale="en")
    with path.open("rb") as file:
        return pofile.read_po(file, locale=language)


@functools.cache
def translations(language: str) -> gettext.NullTranslations:
    """Lookups in `language`; without a catalogue the English texts come back."""
    if not len(catalogue(language)):
        return gettext.NullTranslations()
    compiled = io.BytesIO()
    mofile.write_mo(compiled, catalogue(language))
    compiled.seek(0)
    return gettext.GNUTranslations(compiled)


@dataclass(frozen=True, slots=True)
class Lookup:
    """`texts.Translate` with `texts.Plurals`: an English sentence's form in a language, as `Text.to` takes it."""

    found: gettext.NullTranslations

    def __call__(self, english: str) -> str:
        """The sentence."""
        return self.found.gettext(english)

    def plural(self, one: str, many: str, count: int) -> str:
        """The sentence for that many."""
        return self.found.ngettext(one, many, count)


def translate(language: str) -> Translate:
    """The lookups of `language`."""
    return Lookup(translations(language))


@functools.cache
def script_messages(language: str) -> Mapping[str, str]:
    """The translations of those messages that the pages' scripts use."""
    return {
        str(message.id): str(message.string)
        for message in catalogue(language)
        if message.id and message.string and any(path.endswith(".ts") for path, _ in message.locations)
    }
