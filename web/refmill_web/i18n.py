"""In which language a page answers: the profile's, else the cookie's, else what the browser asks for."""

from __future__ import annotations

from typing import Any

from flask import Flask, g, request
from flask_babel import Babel, Domain, get_locale

from refmill.clients import catalogues
from refmill.texts import Text

COOKIE = "refmill_language"


class CatalogueDomain(Domain):  # type: ignore[misc]  # Flask-Babel has no types
    """Flask-Babel's lookups, answered by the one catalogue of Refmill."""

    def get_translations(self) -> Any:
        """Lookups in the language of this request."""
        return _Lookups(language())


class _Lookups:
    """The names under which Flask-Babel asks."""

    def __init__(self, code: str) -> None:
        found = catalogues.translations(code)
        self.ugettext, self.ungettext = found.gettext, found.ngettext
        self.upgettext, self.unpgettext = found.pgettext, found.npgettext


def language() -> str:
    """The language code of this request: `en` or `zh`."""
    locale = get_locale()
    return str(locale.language) if locale else "en"


def chosen() -> str:
    """What the visitor chose or the browser prefers."""
    user = g.get("user")
    for code in (user.language if user else "", request.cookies.get(COOKIE, "")):
        if code in catalogues.LANGUAGES:
            return str(code)
    return request.accept_languages.best_match(list(catalogues.LANGUAGES), "en") or "en"


def say(text: Text | str) -> str:
    """A sentence in the language of this request; a bare `str` is somebody's own word and stays as it is."""
    return text.to(catalogues.translate(language())) if isinstance(text, Text) else text


def install(app: Flask) -> None:
    """Translations in views and templates, and the filter `say`."""
    babel = Babel(app, locale_selector=chosen)
    babel.domain_instance = CatalogueDomain()
    app.jinja_env.filters["say"] = say
