"""Options that several commands share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any, TypedDict, TypeVar

import click

from refmill import errors, settings
from refmill.settings import Settings
from refmill.texts import Text, text
from refmill_web.cli.speech import say

Command = TypeVar("Command", bound=Callable[..., Any])

json_option = click.option("--json", "as_json", is_flag=True, help=say(text("Print JSON.")))
data_option = click.option(
    "--data", type=click.Path(path_type=Path, file_okay=False), envvar="REFMILL_DATA",
    help=say(text("The platform's data directory (default: refmill-data here). [REFMILL_DATA]")),
)  # fmt: skip


def exit_status_option(words: Text) -> Callable[[Command], Command]:
    """`--exit-status`, as the commands of GitHub and GitLab have it; its help is `words`."""
    return click.option("--exit-status", is_flag=True, help=say(words))


class Words(TypedDict):
    """What a command's decorator takes: what it does, and how it is called."""

    help: str
    epilog: str


def example(sentence: Text, *commands: str) -> Words:
    """`help` and `epilog` of a command."""
    lead = say(text("Example:"))
    return {"help": say(sentence), "epilog": "\b\n" + lead + "\n" + "\n".join(f"  {line}" for line in commands)}


def setting_options(function: Command) -> Command:
    """A flag for every setting of the platform. What they are given is checked with the settings, not by Click, so that
    a flag, a variable and the file are refused alike."""
    for item in reversed(fields(Settings)):
        variable, flag = settings.names()[item.name]
        kind: Any = type(item.default)
        default = str(item.default).lower() if kind is bool else str(item.default)
        words = {"help": item.metadata["help"], "variable": variable}
        sentence = (
            text("%(help)s [%(variable)s; default: %(default)s]", **words, default=default)
            if default
            else text("%(help)s [%(variable)s]", **words)
        )
        if kind is bool:
            option = click.option(f"{flag}/--no-{flag[2:]}", item.name, default=None, help=say(sentence))
        elif item.name == "data":
            kinds = click.Path(path_type=Path, file_okay=False)
            option = click.option(flag, item.name, type=kinds, help=say(sentence))
        else:
            metavar = {int: "INTEGER", float: "NUMBER"}.get(kind, "TEXT")
            option = click.option(flag, item.name, default=None, metavar=metavar, help=say(sentence))
        function = option(function)
    return function


def load(data: Path | None) -> Settings:
    """The settings for a command that works on a data directory. Raises WrongUse if no platform has ever been there:
    opening its database would make one wherever a name was mistyped."""
    chosen = settings.load({"data": data})
    if not chosen.begun:
        raise errors.WrongUse(
            text("there is no platform in %(data)s", data=shown(chosen.data)),
            text("Name it with --data DIR, or export REFMILL_DATA=DIR."),
        )
    return chosen


def shown(path: Path) -> str:
    """A path as a person would write it here: below the working directory it begins with `./`."""
    try:
        return f"./{path.relative_to(Path.cwd())}"
    except (ValueError, OSError):
        return str(path)
