"""Options that several commands share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any, TypedDict, TypeVar

import click

from refmill import settings
from refmill.settings import Settings
from refmill.texts import Text, text
from refmill_web.cli.speech import say

Command = TypeVar("Command", bound=Callable[..., Any])

json_option = click.option("--json", "as_json", is_flag=True, help=say(text("Print JSON.")))
data_option = click.option(
    "--data", type=click.Path(path_type=Path, file_okay=False), envvar="REFMILL_DATA",
    help=say(text("The platform's data directory (default: refmill-data here).")),
)  # fmt: skip


class Words(TypedDict):
    """What a command's decorator takes: what it does, and how it is called."""

    help: str
    epilog: str


def example(sentence: Text, *commands: str) -> Words:
    """`help` and `epilog` of a command."""
    lead = say(text("Example:"))
    return {"help": say(sentence), "epilog": "\b\n" + lead + "\n" + "\n".join(f"  {line}" for line in commands)}


def setting_options(function: Command) -> Command:
    """A flag for every setting of the platform."""
    for item in reversed(fields(Settings)):
        variable, flag = settings.names()[item.name]
        kind: Any = type(item.default)
        help_text = f"{say(item.metadata['help'])} [{variable}]"
        if kind is bool:
            option = click.option(f"{flag}/--no-{flag[2:]}", item.name, default=None, help=help_text)
        elif item.name == "data":
            option = click.option(flag, item.name, type=click.Path(path_type=Path, file_okay=False), help=help_text)
        else:
            option = click.option(flag, item.name, type=kind, default=None, help=help_text)
        function = option(function)
    return function


def load(data: Path | None) -> Settings:
    """The settings for a command that works on a data directory. Raises WrongUse if there is none there."""
    return settings.load({"data": data})
