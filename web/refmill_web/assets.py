"""Styles, scripts, fonts and icons as the front-end build left them."""

from __future__ import annotations

import functools
import json
from pathlib import Path
from typing import Any

from flask import url_for
from markupsafe import Markup

from refmill import errors
from refmill.texts import text

HERE = Path(__file__).parent
MANIFEST = HERE / "static" / "dist" / "manifest.json"
ICONS = HERE / "icons.json"


@functools.cache
def _manifest() -> dict[str, Any]:
    try:
        found: dict[str, Any] = json.loads(MANIFEST.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise errors.Unavailable(
            text("The styles and scripts of the pages were not built."),
            text("Install Refmill again without REFMILL_SKIP_UI=1; from a checkout: `make install`."),
        ) from error
    return found


def built() -> bool:
    """Whether the front end is there at all."""
    return MANIFEST.is_file()


@functools.cache
def _name(entry: str) -> str | None:
    return str(_manifest()[entry]["file"]) if built() else None


def address(entry: str) -> str:
    """The address of a built file (`src/page.ts`, `styles/main.scss`), with a hash in its name; "" if not built."""
    name = _name(entry)
    return url_for("static", filename=f"dist/{name}") if name else ""


@functools.cache
def _icons() -> dict[str, str]:
    found: dict[str, str] = json.loads(ICONS.read_text(encoding="utf-8"))
    return found


@functools.cache
def icon(name: str) -> Markup:
    """An icon of Tabler Icons (MIT) as inline SVG; it says nothing to readers aloud, the word beside it does."""
    shapes = Markup(_icons()[name])  # noqa: S704 - a file of ours
    return Markup('<svg class="icon icon-{}" viewBox="0 0 24 24" aria-hidden="true" focusable="false">{}</svg>').format(
        name, shapes
    )
