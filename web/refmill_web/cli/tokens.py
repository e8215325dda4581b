"""`refmill token`: tokens for git, DVC and scripts, whether the server is up or not."""

from __future__ import annotations

from pathlib import Path

import click

from refmill.model.people import Scope
from refmill.texts import text
from refmill_web import places
from refmill_web.cli.moments import rfc3339
from refmill_web.cli.names import find_user
from refmill_web.cli.options import data_option, example, json_option, load
from refmill_web.cli.speech import echo, print_json, say, table, tell

SCOPES: tuple[Scope, ...] = ("read", "write", "admin")
owner_argument = click.argument("name", metavar="USER")


@click.group(
    **example(text("Make, list and revoke tokens for git, DVC and scripts."), "refmill token add alice --scope read")
)
def token() -> None:
    """The group."""


@token.command("add", **example(text("Make a token and print it; it is shown only once."), "refmill token add alice"))
@owner_argument
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
    records = places.records(load(data))
    owner = find_user(records, name)
    made, secret = records.people.add_token(owner.id, label, scopes or ("read", "write"))
    if as_json:
        print_json({"id": made.id, "user": owner.name, "scopes": sorted(made.scopes), "token": secret})
    else:
        echo(secret)


@token.command("list", **example(text("List a user's tokens, newest first, without their secrets."), "refmill token list alice"))  # fmt: skip  # noqa: E501
@owner_argument
@data_option
@json_option
def token_list(*, name: str, data: Path | None, as_json: bool) -> None:
    """When each was made and used last."""
    records = places.records(load(data))
    found = records.profiles.tokens(find_user(records, name).id)
    if as_json:
        print_json([
            {"id": item.id, "label": item.label, "scopes": sorted(item.scopes), "created": rfc3339(item.created),
             "expires": rfc3339(item.expires), "last_used": rfc3339(item.last_used)}
            for item in found
        ])  # fmt: skip
        return
    headings = (text("id"), text("label"), text("scopes"), text("made"), text("last used"))
    never = say(text("never"))
    rows = [
        [str(item.id), item.label, ", ".join(sorted(item.scopes)), _day(item.created), _day(item.last_used) or never]
        for item in found
    ]
    table([say(heading) for heading in headings], rows)


@token.command("revoke", **example(text("Make a token worthless at once."), "refmill token revoke alice 3"))
@owner_argument
@click.argument("identity", metavar="ID", type=int)
@data_option
def token_revoke(*, name: str, identity: int, data: Path | None) -> None:
    """Which one: `refmill token list USER` shows the numbers."""
    records = places.records(load(data))
    owner = find_user(records, name)
    records.profiles.revoke(owner.id, identity)
    tell(text("token %(id)s of %(name)s is revoked", id=identity, name=owner.name))


def _day(moment: int | None) -> str:
    return (rfc3339(moment) or "")[:10]
