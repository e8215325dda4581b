"""What the command line says: in whose language, as text or JSON, with progress on a terminal and lines in a pipe."""

from __future__ import annotations

import functools
import importlib
import json
import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NoReturn

import click

from refmill import errors
from refmill.problems import Problem
from refmill.texts import Text, Translate
from refmill_web.escapes import harmless


def language(environ: Mapping[str, str] = os.environ) -> str:
    """`zh` or `en`: REFMILL_LANG first, then what the terminal speaks."""
    for name in ("REFMILL_LANG", "REFMILL_LANGUAGE", "LC_ALL", "LC_MESSAGES", "LANG"):
        if value := environ.get(name):
            return "zh" if value.lower().startswith("zh") else "en"
    return "en"


@functools.cache
def translate() -> Translate:
    """The translation for this process. English costs nothing: the catalogue's reader is only loaded for others."""
    if language() == "en":
        return str
    found: Translate = importlib.import_module("refmill.clients.catalogues").translate(language())
    return found


def say(sentence: Text) -> str:
    """A sentence in this process's language."""
    return sentence.to(translate())


def echo(words: str = "", *, err: bool = False, nl: bool = True) -> None:
    """Print words. What a repository or a program said in them may colour, and steers no terminal otherwise."""
    click.echo(harmless(words), err=err, nl=nl)


def tell(sentence: Text, *, err: bool = False) -> None:
    """Print a sentence."""
    echo(say(sentence), err=err)


def print_json(value: Any) -> None:
    """Print data as JSON, indented on a terminal."""
    if sys.stdout.isatty():
        echo(json.dumps(value, indent=2, ensure_ascii=False, default=str))
    else:
        click.echo(json.dumps(value, ensure_ascii=False, default=str))


def table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Print aligned columns; East Asian characters count double."""
    lines = [list(headings), *[list(row) for row in rows]]
    widths = [max(shown_width(line[column]) for line in lines) for column in range(len(headings))]
    for number, line in enumerate(lines):
        cells = [padded(cell, width) for cell, width in zip(line, widths, strict=True)]
        rendered = "  ".join(cells).rstrip()
        echo(click.style(rendered, bold=True) if number == 0 else rendered)


def cut(words: str, most: int) -> str:
    """`words`, or as many of their characters as fit with an ellipsis."""
    return words if len(words) <= most else words[: most - 1] + "…"


def padded(cell: str, width: int) -> str:
    """A cell filled up with blanks, as a table has it."""
    return cell + " " * (width - shown_width(cell))


def shown_width(cell: str) -> int:
    """How many columns of a terminal a cell takes."""
    cell = click.unstyle(cell)
    return sum(2 if "\u1100" <= character <= "\uffdc" else 1 for character in cell)


def show_problems(problems: Iterable[Problem]) -> None:
    """Print problems as `file:line:column: message`, the offending line, the remedy."""
    for problem in sorted(problems, key=lambda item: (item.warning, item.place)):
        colour = "yellow" if problem.warning else "red"
        echo(f"{click.style(str(problem.place), bold=True)}: {click.style(say(problem.message), fg=colour)}", err=True)
        if problem.excerpt:
            echo(f"    {problem.excerpt.strip()}", err=True)
        echo(f"    → {say(problem.remedy)}", err=True)


def fail(error: errors.RefmillError) -> NoReturn:
    """End the process as `error` says, with its message and remedy on stderr."""
    if isinstance(error, errors.Invalid):
        show_problems(error.problems)
    else:
        echo(click.style("refmill: ", fg="red") + say(error.message), err=True)
        if error.remedy:
            echo(f"    → {say(error.remedy)}", err=True)
    sys.exit(error.exit_code)
