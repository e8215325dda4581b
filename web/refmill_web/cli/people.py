"""`refmill user` and `refmill token`: accounts and tokens, whether the server is up or not."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from refmill import errors
from refmill.model.people import Scope
from refmill.texts import text
from refmill_web import places
from refmill_web.cli.options import data_option, example, json_option, load
from refmill_web.cli.speech import print_json, say, table, tell

SCOPES: tuple[Scope, ...] = ("read", "write", "admin")


@click.group(**example(text("Add and list users."), "refmill user add alice --admin"))
def user() -> None:
    """The group."""


@user.command(
    "add", **example(text("Add a user; the first admin's repositories are trusted."), "refmill user add alice --admin")
)
@click.argument("name")
@click.option("--admin", is_flag=True, help=say(text("May do everything, everywhere.")))
@click.option("--password-stdin", is_flag=True, help=say(text("Read the password from standard input.")))
@data_option
@json_option
def user_add(*, name: str, admin: bool, password_stdin: bool, data: Path | None, as_json: bool) -> None:
    """Ask for a password (or read it) and make the account."""
    if password_stdin:
        password = sys.stdin.readline().rstrip("\n")
    else:
        password = click.prompt(
            say(text("Password for %(name)s", name=name)), hide_input=True, confirmation_prompt=True
        )
    added = places.records(load(data)).people.add(name, password, admin=admin)
    if as_json:
        print_json({"id": added.id, "name": added.name, "admin": added.admin})
    else:
        tell(text("user %(name)s added", name=added.name))


@user.command("list", **example(text("List users."), "refmill user list"))
@data_option
@json_option
def user_list(*, data: Path | None, as_json: bool) -> None:
    """All accounts."""
    users = places.records(load(data)).people.users()
    if as_json:
        print_json([{"id": item.id, "name": item.name, "admin": item.admin, "trusted": item.trusted} for item in users])
    else:
        yes = say(text("yes"))
        table([say(text("name")), say(text("admin"))], [[item.name, yes if item.admin else ""] for item in users])


@click.group(
    **example(text("Make tokens for git, DVC and scripts."), "refmill token add alice --scope read --scope write")
)
def token() -> None:
    """The group."""


@token.command("add", **example(text("Make a token and print it; it is shown only once."), "refmill token add alice"))
@click.argument("name", metavar="USER")
@click.option(
    "--scope",
    "scopes",
    type=click.Choice(SCOPES),
    multiple=True,
    help=say(text("What it allows (default: read and write).")),
)
@click.option("--label", default="cli", show_default=True, help=say(text("A name to know it by.")))
@data_option
@json_option
def token_add(*, name: str, scopes: tuple[Scope, ...], label: str, data: Path | None, as_json: bool) -> None:
    """Print the secret alone, so that it can be piped."""
    people = places.records(load(data)).people
    owner = people.find(name)
    if owner is None:
        raise errors.NotFound(
            text("there is no user %(name)s", name=name),
            text("`refmill user list` shows them, `refmill user add` makes one."),
        )
    made, secret = people.add_token(owner.id, label, scopes or ("read", "write"))
    if as_json:
        print_json({"id": made.id, "user": owner.name, "scopes": sorted(made.scopes), "token": secret})
    else:
        click.echo(secret)
