"""`refmill secret`: values that a repository's stages get and nobody reads again, whether the server is up or not."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from refmill import errors
from refmill.texts import text
from refmill_web import places
from refmill_web.cli.moments import rfc3339
from refmill_web.cli.names import find_repository
from refmill_web.cli.options import data_option, example, json_option, load
from refmill_web.cli.speech import print_json, say, table, tell

LONGEST = 1 << 20
"""Characters that are read of a value; the store takes less."""
repository_argument = click.argument("repository", metavar="OWNER/NAME")


@click.group(
    **example(text("Set, list and remove secrets of a repository's stages."), "refmill secret set ada/churn API_KEY")
)
def secret() -> None:
    """The group."""


@secret.command("set", **example(text("Set or replace a secret; its value is asked for, or read from a pipe."), "refmill secret set ada/churn API_KEY", "refmill secret set ada/churn API_KEY < key.txt"))  # fmt: skip  # noqa: E501
@repository_argument
@click.argument("name")
@data_option
def secret_set(*, repository: str, name: str, data: Path | None) -> None:
    """The value is never an argument: other people of the machine see those."""
    records = places.records(load(data))
    found = find_repository(records, repository)
    records.secrets.set(found.id, name, _value(name), "")
    records.journal.note("", "secret-set", found.full_name, name=name)
    tell(text("the secret %(name)s of %(repository)s is set", name=name, repository=found.full_name))


@secret.command("list", **example(text("List the names of a repository's secrets; nobody can read their values."), "refmill secret list ada/churn"))  # fmt: skip  # noqa: E501
@repository_argument
@data_option
@json_option
def secret_list(*, repository: str, data: Path | None, as_json: bool) -> None:
    """Which there are, and when they were set."""
    records = places.records(load(data))
    found = records.secrets.names(find_repository(records, repository).id)
    if as_json:
        print_json([{"name": item.name, "by": item.who or None, "changed": rfc3339(item.changed)} for item in found])
        return
    headings = (text("name"), text("set by"), text("set on"))
    rows = [[item.name, item.who or "–", (rfc3339(item.changed) or "")[:10]] for item in found]
    table([say(heading) for heading in headings], rows)


@secret.command("remove", **example(text("Take a secret away; stages that name it fail from then on."), "refmill secret remove ada/churn API_KEY"))  # fmt: skip  # noqa: E501
@repository_argument
@click.argument("name")
@data_option
def secret_remove(*, repository: str, name: str, data: Path | None) -> None:
    """Exit code 2 if there is none of that name."""
    records = places.records(load(data))
    found = find_repository(records, repository)
    if not records.secrets.remove(found.id, name):
        raise errors.NotFound(
            text("%(repository)s has no secret %(name)s", repository=found.full_name, name=name),
            text("`refmill secret list %(repository)s` shows them.", repository=found.full_name),
        )
    records.journal.note("", "secret-removed", found.full_name, name=name)
    tell(text("the secret %(name)s of %(repository)s is removed", name=name, repository=found.full_name))


def _value(name: str) -> str:
    """From the terminal without an echo, else standard input without the line's end that `echo` and editors add."""
    if sys.stdin.isatty():
        asked: str = click.prompt(say(text("Value of %(name)s", name=name)), hide_input=True)
        return asked
    value = sys.stdin.read(LONGEST)
    return value.removesuffix("\n").removesuffix("\r")
