"""Files of a repository made safe to look at: Markdown, highlighted code, what kind of repository it is."""

from __future__ import annotations

import posixpath
import re
from urllib.parse import quote, urlsplit

from flask import url_for
from markdown_it import MarkdownIt
from markdown_it.token import Token
from markupsafe import Markup, escape
from pygments import lex
from pygments.lexer import Lexer
from pygments.lexers import get_lexer_by_name
from pygments.token import STANDARD_TYPES
from pygments.token import Token as AnyToken

from refmill import errors
from refmill.model.people import Repository
from refmill.ports.trees import Tree
from refmill.texts import Text, text
from refmill_web.addresses import Spot

README_LIMIT = 256 << 10
SHOWN_LIMIT = 1 << 20
HIGHLIGHT_LIMIT = 200 << 10
"""Bytes: lexers are regular expressions over somebody else's file, so only small files go through them."""

LANGUAGES = {
    "py": "python", "pyi": "python", "yaml": "yaml", "yml": "yaml", "dvc": "yaml", "lock": "yaml", "json": "json",
    "toml": "toml", "ini": "ini", "cfg": "ini", "sh": "bash", "bash": "bash", "js": "javascript", "ts": "typescript",
    "css": "css", "html": "html", "xml": "xml", "sql": "sql", "md": "markdown", "r": "r", "jl": "julia", "go": "go",
    "rs": "rust", "c": "c", "h": "c", "cpp": "cpp", "java": "java", "ipynb": "json", "mk": "make",
}  # fmt: skip
WHOLE_NAMES = {"Makefile": "make", "Dockerfile": "docker", "dvc.lock": "yaml", ".gitignore": "text"}
KINDS = {
    "Pipeline": text("pipeline"),
    "Dataset": text("dataset"),
    "Workspace": text("workspace"),
    "InferenceService": text("service"),
}


def kind_of(tree: Tree) -> Text | None:
    """What refmill.yaml says a repository is, else what its files suggest; a badge, nothing depends on it."""
    try:
        declared = re.findall(rb"^kind:[ \t]*(\w+)", tree.read("refmill.yaml", 64 << 10), re.MULTILINE)
    except (errors.NotFound, errors.LimitExceeded):
        declared = []
    for word in declared:
        if word.decode("ascii", "replace") in KINDS:
            return KINDS[word.decode("ascii", "replace")]
    names = tree.children("")
    if "dvc.yaml" in names:
        return KINDS["Pipeline"]
    return KINDS["Dataset"] if any(name.endswith(".dvc") and name != ".dvc" for name in names) else None


def readme(tree: Tree, repository: Repository, here: Spot, directory: str = "") -> Markup | None:
    """The README of a directory as HTML, or None."""
    for name in tree.children(directory):
        if name.lower() in {"readme.md", "readme.markdown", "readme.txt", "readme", "readme.rst"}:
            path = posixpath.join(directory, name)
            try:
                source = tree.read(path, README_LIMIT).decode("utf-8", "replace")
            except (errors.NotFound, errors.LimitExceeded):
                return None
            if name.lower().endswith((".md", ".markdown")):
                return markdown(source, repository, here.ref, directory)
            return Markup("<pre>{}</pre>").format(source)
    return None


def markdown(source: str, repository: Repository, ref: str, directory: str) -> Markup:
    """CommonMark with tables. HTML is shown as text, links are checked, pictures come from the repository only."""
    parser = MarkdownIt("commonmark", {"html": False, "maxNesting": 20}).enable(["table", "strikethrough"])
    tokens = parser.parse(source)
    for token in tokens:
        for child in token.children or ():
            _relocate(child, repository, ref, directory)
    return Markup(parser.renderer.render(tokens, parser.options, {}))  # noqa: S704 - the renderer escapes


def _relocate(token: Token, repository: Repository, ref: str, directory: str) -> None:
    """Point a relative link at the file's page and a relative picture at its bytes; foreign pictures become links."""
    attribute = {"link_open": "href", "image": "src"}.get(token.type)
    if attribute is None:
        return
    target = str(token.attrGet(attribute) or "")
    parts = urlsplit(target)
    if parts.scheme or parts.netloc:
        if token.type == "image":
            _as_link(token, target)
        else:
            token.attrSet("rel", "noopener noreferrer nofollow")
        return
    if not parts.path:
        return
    path = posixpath.normpath(posixpath.join("/", directory, parts.path)).strip("/")
    endpoint = "files.raw" if token.type == "image" else "files.blob"
    address = url_for(endpoint, owner=repository.owner, name=repository.name, rest=f"{ref}/{path}")
    token.attrSet(attribute, address + (f"#{quote(parts.fragment)}" if parts.fragment else ""))


def _as_link(token: Token, target: str) -> None:
    """No page of ours makes a browser ask a foreign server."""
    words = token.content or target
    token.type, token.tag = "code_inline", "code"
    token.content, token.children, token.attrs = f"{words}: {target}", None, {}


def highlighted(path: str, source: str) -> tuple[Markup, ...]:
    """The lines of a file as HTML, coloured where its language is known and the file is small."""
    lexer = _lexer(path) if len(source) <= HIGHLIGHT_LIMIT else None
    if lexer is None:
        return tuple(escape(line) for line in _lines(source))
    lines: list[list[Markup]] = [[]]
    for kind, value in lex(source, lexer):
        while kind not in STANDARD_TYPES:
            kind = kind.parent or AnyToken
        css = STANDARD_TYPES[kind]
        for index, piece in enumerate(value.split("\n")):
            if index:
                lines.append([])
            if piece:
                lines[-1].append(Markup('<span class="h-{}">{}</span>').format(css, piece) if css else escape(piece))
    rows = [Markup("").join(line) for line in lines]
    return tuple(rows[: len(_lines(source))])


def _lines(source: str) -> list[str]:
    lines = source.split("\n")
    return lines[:-1] if lines[-1] == "" else lines


def _lexer(path: str) -> Lexer | None:
    name = posixpath.basename(path)
    language = WHOLE_NAMES.get(name) or LANGUAGES.get(name.rpartition(".")[2].lower() if "." in name else "")
    return get_lexer_by_name(language, stripnl=False, ensurenl=False) if language else None
