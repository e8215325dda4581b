"""Jupyter notebooks as pages to look at: their text, code and outputs; nothing in them runs.

The rule to keep: a notebook is somebody's file. Its HTML is taken apart and only plain tags without attributes are put
together again, its pictures are bytes in an <img>, everything else is text. (nbformat 4: docs of nbformat, "The
Jupyter Notebook Format".)
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from html.parser import HTMLParser
from typing import Any, Literal

from markupsafe import Markup, escape

from refmill_web.content import HIGHLIGHT_LIMIT, README_LIMIT, highlighted
from refmill_web.logview import pieces

LIMIT = 8 << 20
"""Bytes of a notebook that is shown; pictures in it are large."""
CELLS = 500
TEXT_LIMIT = 64 << 10
"""Characters of one output that are shown."""
PICTURES = ("image/png", "image/jpeg", "image/gif", "image/webp", "image/svg+xml")
TAGS = frozenset([
    "table", "thead", "tbody", "tfoot", "tr", "th", "td", "caption", "p", "div", "span", "pre", "code", "br", "b", "i",
    "em", "strong", "ul", "ol", "li", "h1", "h2", "h3", "h4", "h5", "h6",
])  # fmt: skip
_VOID = frozenset({"br"})
_SILENT = frozenset({"script", "style", "title", "template", "noscript", "iframe", "svg", "math"})


@dataclass(frozen=True, slots=True)
class Output:
    """One output of a cell: words, a picture, or an error."""

    kind: Literal["out", "err", "error", "picture"]
    body: Markup


@dataclass(frozen=True, slots=True)
class Cell:
    """One cell: its number of execution ("" for none), its body, its outputs. `label` is what papermill tagged it."""

    kind: Literal["code", "markdown", "raw"]
    body: Markup
    count: str = ""
    label: str = ""
    outputs: tuple[Output, ...] = ()


@dataclass(frozen=True, slots=True)
class Notebook:
    """A notebook; `more` counts cells beyond those that are shown."""

    cells: tuple[Cell, ...]
    more: int = 0


def read(data: bytes, markdown: Callable[[str], Markup]) -> Notebook | None:
    """The notebook in `data`, its text cells by way of `markdown`; None if it is none that can be shown."""
    try:
        found = json.loads(data)
    except (ValueError, RecursionError):
        return None
    if not isinstance(found, dict) or not isinstance(found.get("cells"), list) or found.get("nbformat") != 4:
        return None
    cells = [cell for cell in found["cells"] if isinstance(cell, dict)]
    reader = _Reader(_language(found.get("metadata")), markdown)
    return Notebook(tuple(map(reader.cell, cells[:CELLS])), max(0, len(cells) - CELLS))


def _language(metadata: object) -> str:
    """The ending of files in the notebook's language."""
    info = metadata.get("language_info") if isinstance(metadata, dict) else None
    ending = info.get("file_extension") if isinstance(info, dict) else None
    return ending if isinstance(ending, str) and len(ending) < 10 else ".py"


class _Reader:
    """Makes cells, with budgets for what takes time: Markdown and colours."""

    def __init__(self, ending: str, markdown: Callable[[str], Markup]) -> None:
        self._ending, self._markdown = ending, markdown
        self._prose, self._coloured = README_LIMIT, HIGHLIGHT_LIMIT

    def cell(self, cell: Mapping[str, Any]) -> Cell:
        source = _joined(cell.get("source"))
        if cell.get("cell_type") == "markdown":
            return Cell("markdown", self._text(source))
        if cell.get("cell_type") != "code":
            return Cell("raw", _pre(source))
        self._coloured -= len(source)
        body = _pre(source)
        if self._coloured >= 0:
            body = Markup("<pre>{}</pre>").format(Markup("\n").join(highlighted(f"cell{self._ending}", source)))
        count = cell.get("execution_count")
        tags = (cell.get("metadata") or {}).get("tags") if isinstance(cell.get("metadata"), dict) else None
        label = next(
            (tag for tag in ("parameters", "injected-parameters") if isinstance(tags, list) and tag in tags), ""
        )
        outputs = [found for item in _list(cell.get("outputs")) if (found := self._output(item))]
        return Cell("code", body, str(count) if isinstance(count, int) else "", label, tuple(outputs))

    def _output(self, item: Mapping[str, Any]) -> Output | None:
        kind = item.get("output_type")
        if kind == "stream":
            return Output("err" if item.get("name") == "stderr" else "out", _terminal(_joined(item.get("text"))))
        if kind == "error":
            trace = item.get("traceback")
            words = "\n".join(map(str, trace)) if isinstance(trace, list) and trace else ""
            return Output("error", _terminal(words or f"{item.get('ename')}: {item.get('evalue')}"))
        data = item.get("data")
        return self._bundle(data) if isinstance(data, dict) else None

    def _bundle(self, data: Mapping[str, Any]) -> Output | None:
        """The best form of a result that can be shown safely."""
        for kind in PICTURES:
            if kind in data and (address := _picture(kind, _joined(data[kind]))):
                return Output("picture", Markup('<img src="{}" alt="{}">').format(address, _plain(data)[:200]))
        if "text/html" in data and (body := tidied(_joined(data["text/html"])[: 4 * TEXT_LIMIT])):
            return Output("out", body)
        if "text/markdown" in data:
            return Output("out", self._text(_joined(data["text/markdown"])))
        words = _plain(data)
        return Output("out", _terminal(words)) if words else None

    def _text(self, source: str) -> Markup:
        self._prose -= len(source)
        return self._markdown(source) if self._prose >= 0 else _pre(source)


def _list(value: object) -> list[Mapping[str, Any]]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def _joined(value: object) -> str:
    """Text as notebooks have it: a string, or a list of lines."""
    if isinstance(value, list):
        return "".join(item for item in value if isinstance(item, str))
    return value if isinstance(value, str) else ""


def _plain(data: Mapping[str, Any]) -> str:
    if "text/plain" in data or "text/latex" in data:
        return _joined(data.get("text/plain") or data.get("text/latex"))
    if "application/json" in data:
        return json.dumps(data["application/json"], indent=1, ensure_ascii=False)
    return ""


def _picture(kind: str, content: str) -> str:
    """A picture's address, all of it in the page; "" if it is none."""
    if kind == "image/svg+xml":  # in an <img> a browser neither runs nor loads anything for it
        data = content.encode("utf-8", "replace")
    else:
        try:
            data = base64.b64decode(content.replace("\n", ""), validate=True)
        except (binascii.Error, ValueError):
            return ""
    return f"data:{kind};base64,{base64.b64encode(data).decode()}" if data else ""


def _pre(source: str) -> Markup:
    return Markup("<pre>{}</pre>").format(source[:README_LIMIT])


def _terminal(words: str) -> Markup:
    """What a terminal would show: colours as classes, a line that was written over in its last form."""
    shown = words[:TEXT_LIMIT]
    lines = [line.rstrip("\r").rpartition("\r")[2] for line in shown.split("\n")]
    parts = [
        Markup('<span class="{}">{}</span>').format(piece["c"], piece["t"]) if piece["c"] else escape(piece["t"])
        for piece in pieces("\n".join(lines))
    ]
    if len(words) > TEXT_LIMIT:
        parts.append(escape(f" … +{len(words) - TEXT_LIMIT}"))
    return Markup("<pre>{}</pre>").format(Markup("").join(parts))


def tidied(source: str) -> Markup:
    """The tables and words of some HTML: known tags without attributes, no scripts and styles. Every tag that is opened
    is closed, so that nothing around it changes."""
    parser = _Tidier()
    parser.feed(source)
    parser.close()
    return Markup("").join(parser.finish())


class _Tidier(HTMLParser):
    """Writes down what it may of what it reads."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self._parts: list[Markup] = []
        self._open: list[str] = []
        self._silent = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in _SILENT:
            self._silent += 1
        elif tag in TAGS and not self._silent:
            self._parts.append(Markup(f"<{tag}>"))  # noqa: S704 - one of ours
            if tag not in _VOID:
                self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in TAGS:
            self.handle_starttag(tag, attrs)
            self.handle_endtag(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag in _SILENT:
            self._silent = max(0, self._silent - 1)
        elif tag in self._open:
            while self._open:
                closed = self._open.pop()
                self._parts.append(Markup(f"</{closed}>"))  # noqa: S704 - one of ours
                if closed == tag:
                    break

    def handle_data(self, data: str) -> None:
        if not self._silent:
            self._parts.append(escape(data))

    def finish(self) -> Iterator[Markup]:
        """All that was read, closed."""
        yield from self._parts
        yield from (Markup(f"</{tag}>") for tag in reversed(self._open))  # noqa: S704 - one of ours
