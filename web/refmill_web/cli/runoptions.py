"""The options of `refmill run`, as `dvc repro` and `dvc exp run` have them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import click

from refmill.texts import Text, text
from refmill_web.cli.speech import say

Function = TypeVar("Function", bound=Callable[..., Any])


@dataclass(frozen=True, slots=True, kw_only=True)
class Wishes:
    """What was asked for; `directory` is where the command works."""

    stages: tuple[str, ...]
    jobs: int | None
    force: bool
    keep_going: bool
    single_item: bool
    downstream: bool
    dry: bool
    set_param: tuple[str, ...]
    pull: bool
    no_run_cache: bool
    verbose: bool
    directory: Path


_FLAGS: tuple[tuple[tuple[str, ...], Text], ...] = (
    (("-f", "--force"), text("Run the stages even if nothing changed.")),
    (("-k", "--keep-going"), text("After a failure go on with what it does not touch.")),
    (("-s", "--single-item"), text("Only the named stages, not those above them.")),
    (("--downstream",), text("The named stages and those below them, not those above.")),
    (("-n", "--dry"), text("Only say what would run, and why.")),
    (("--pull",), text("Fetch data that lack from the DVC remote first.")),
    (("--no-run-cache",), text("Run stages although an earlier run with the same inputs is known.")),
    (("-v", "--verbose"), text("Name every stage, also those that are unchanged.")),
)


def set_param_option(words: Text) -> Callable[[Function], Function]:
    """`-S`, whose help is `words`."""
    return click.option("-S", "--set-param", multiple=True, metavar="[FILE:]KEY=VALUE", help=say(words))


def run_options(function: Function) -> Function:
    """Decorates the command."""
    folder = click.Path(path_type=Path, file_okay=False, exists=True)
    options = [
        click.argument("stages", nargs=-1, metavar="[STAGE]..."),
        click.option(
            "-j", "--jobs", type=click.IntRange(1, 256), help=say(text("Stages at a time (default: the cores)."))
        ),
        set_param_option(text("Set a parameter in its file first, as `dvc exp run -S` does.")),
        *(click.option(*names, is_flag=True, help=say(words)) for names, words in _FLAGS),
        click.option("-C", "--directory", type=folder, default=Path(), help=say(text("Run in this directory."))),
    ]
    for option in reversed(options):
        function = option(function)
    return function
