"""Brings the catalogue of translations up to date with the texts in the sources.

    python tools/messages.py           rewrite platform/refmill/locale/*/LC_MESSAGES/refmill.po
    python tools/messages.py --check   say what is new, stale or untranslated; 1 if there is any

Sentences are found in `text("…")`, `counted("…", "…")` and gettext calls of Python, `_("…")` of the pages, `text("…")`
of TypeScript.
"""

from __future__ import annotations

import io
import sys
from pathlib import Path

from babel.messages.catalog import Catalog, Message
from babel.messages.extract import extract_from_dir
from babel.messages.pofile import read_po, write_po

ROOT = Path(__file__).resolve().parent.parent
LOCALE = ROOT / "platform" / "refmill" / "locale"
KEYWORDS: dict[str, tuple[int, ...] | None] = {
    "_": None, "text": None, "counted": (1, 2), "gettext": None, "ngettext": (1, 2),
}  # fmt: skip
SOURCES = (
    ("platform/refmill", [("**.py", "python")]),
    ("repos/refmill_repos", [("**.py", "python")]),
    ("argo/refmill_argo", [("**.py", "python")]),
    ("web/refmill_web", [("**.py", "python"), ("pages/**.html", "jinja2.ext:babel_extract")]),
    ("web/canvas/src", [("**.ts", "javascript")]),
)
HEADER = "# Refmill's texts in another language; each msgid is the English text as the sources have it."
VOLATILE = (
    '"POT-Creation-Date',
    '"PO-Revision-Date', '"Last-Translator', '"Language-Team', '"Generated-By', '"Report-Msgid', "#, fuzzy",
)  # fmt: skip
OPTIONS = {"pages/**.html": {"trimmed": "false"}, "**.ts": {"parse_template_string": "false"}}


def template() -> Catalog:
    """Every sentence of the sources with the files that use it (no line numbers: they would change all the time)."""
    found = Catalog(project="Refmill", charset="utf-8")
    for folder, methods in SOURCES:
        for name, _, message, comments, context in extract_from_dir(
            ROOT / folder, method_map=methods, options_map=OPTIONS, keywords=KEYWORDS, strip_comment_tags=True
        ):
            if message and (not isinstance(message, tuple) or all(message)):
                found.add(message, locations=[(f"{folder}/{name}", 0)], auto_comments=comments, context=context)
    return found


def merged(path: Path, fresh: Catalog) -> Catalog:
    """The catalogue at `path` with the sentences of `fresh`: known translations stay, stale ones go."""
    with path.open("rb") as file:
        kept = read_po(file)
    locale = path.parent.parent.name
    result = Catalog(locale=locale, header_comment=HEADER, project="Refmill", charset="utf-8", fuzzy=False)
    for message in sorted((message for message in fresh if message.id), key=lambda message: str(message.id)):
        old = kept.get(message.id, context=message.context)
        locations = sorted(set(message.locations))
        known = old.string if old and old.pluralizable == message.pluralizable else None
        result.add(message.id, known, locations=locations, context=message.context)
    return result


def lines(catalogue: Catalog) -> str:
    """The catalogue as its file has it."""
    out = io.BytesIO()
    write_po(out, catalogue, width=0, omit_header=False, include_lineno=False, ignore_obsolete=True)
    kept = [line for line in out.getvalue().decode().splitlines() if not line.startswith(VOLATILE)]
    return "\n".join(kept) + "\n"


def faults(path: Path, fresh: Catalog) -> list[str]:
    """What is wrong with the catalogue at `path`."""
    with path.open("rb") as file:
        kept = read_po(file)
    known = {(message.id, message.context): message for message in kept if message.id}
    wanted = {(message.id, message.context): message for message in fresh if message.id}
    found = [f"new: {key[0]!r} in {_place(wanted[key])}" for key in wanted.keys() - known.keys()]
    found += [f"stale: {key[0]!r} of {_place(known[key])}" for key in known.keys() - wanted.keys()]
    for key in wanted.keys() & known.keys():
        message = known[key]
        strings = message.string if isinstance(message.string, tuple) else (message.string,)
        if not all(strings):
            found.append(f"untranslated: {key[0]!r} in {_place(wanted[key])}")
        found += [f"{key[0]!r}: {fault}" for fault in message.check(kept)]
    return sorted(found)


def _place(message: Message) -> str:
    return message.locations[0][0] if message.locations else "nowhere"


def main(arguments: list[str]) -> int:
    """Rewrite, or check with `--check`."""
    fresh = template()
    bad = 0
    for path in sorted(LOCALE.glob("*/LC_MESSAGES/refmill.po")):
        if "--check" in arguments:
            for fault in faults(path, fresh):
                bad = 1
                print(f"{path.relative_to(ROOT)}: {fault}")
        else:
            path.write_text(lines(merged(path, fresh)), encoding="utf-8")
    return bad


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
