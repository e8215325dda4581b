"""`refmill user`: accounts, whether the server is up or not."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import click

from refmill import errors, settings
from refmill.clients.database import Records
from refmill.clients.database.accounts import check_name
from refmill.texts import text
from refmill_web import places
from refmill_web.cli.names import find_user
from refmill_web.cli.options import data_option, example, json_option, load, shown
from refmill_web.cli.questions import agreed, new_password
from refmill_web.cli.speech import print_json, say, table, tell

piped_option = click.option("--password-stdin", is_flag=True, help=say(text("Read the password from standard input.")))


@click.group(**example(text("Add, list and remove users, and give new passwords."), "refmill user add alice --admin"))
def user() -> None:
    """The group."""


@user.command(
    "add", **example(text("Add a user; the first admin's repositories are trusted."), "refmill user add alice --admin")
)
@click.argument("name")
@click.option("--admin", is_flag=True, help=say(text("May do everything, everywhere.")))
@piped_option
@data_option
@json_option
def user_add(*, name: str, admin: bool, password_stdin: bool, data: Path | None, as_json: bool) -> None:
    """Look at the name, ask for a password (or read it) and make the account; with the first one a data directory."""
    chosen = settings.load({"data": data})
    check_name(name, places.RESERVED)
    known = chosen.begun
    records: Records | None = places.records(chosen) if known else None
    if records:
        records.people.vacant(name)
    password = new_password(name, piped=password_stdin)
    if records is None:
        records = places.records(chosen)
        tell(text("made a new data directory %(data)s", data=shown(chosen.data)), err=True)
    added = records.people.add(name, password, admin=admin)
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
        rows = [[item.name, yes if item.admin else "", yes if item.trusted else ""] for item in users]
        table([say(heading) for heading in (text("name"), text("admin"), text("trusted"))], rows)


@user.command(
    "password", **example(text("Give a user a new password; browsers are signed out."), "refmill user password alice")
)
@click.argument("name")
@piped_option
@data_option
def user_password(*, name: str, password_stdin: bool, data: Path | None) -> None:
    """The old one is not asked for: whoever may read the data directory may do this."""
    records = places.records(load(data))
    found = find_user(records, name)
    records.profiles.set_password(found.id, new_password(found.name, piped=password_stdin))
    tell(text("%(name)s has a new password; browsers are signed out, tokens stay valid", name=found.name))


@user.command(
    "change",
    **example(
        text("Change what a user may do."), "refmill user change bob --trusted", "refmill user change bob --no-admin"
    ),
)
@click.argument("name")
@click.option("--admin/--no-admin", default=None, help=say(text("May do everything, everywhere.")))
@click.option(
    "--trusted/--not-trusted",
    default=None,
    help=say(text("Whether their repositories may run where no sandbox works.")),
)
@data_option
def user_change(*, name: str, admin: bool | None, trusted: bool | None, data: Path | None) -> None:
    """What is not named stays as it is."""
    records = places.records(load(data))
    found = find_user(records, name)
    if admin is None and trusted is None:
        raise errors.WrongUse(
            text("nothing to change was named"), text("`refmill user change --help` lists what can be.")
        )
    changed = replace(
        found, admin=found.admin if admin is None else admin, trusted=found.trusted if trusted is None else trusted
    )
    records.profiles.change(changed)
    tell(text("%(name)s is changed", name=found.name))


@user.command(
    "remove", **example(text("Remove a user who owns no repositories, for good."), "refmill user remove bob --yes")
)
@click.argument("name")
@click.option("--yes", is_flag=True, help=say(text("Do not ask.")))
@data_option
def user_remove(*, name: str, yes: bool, data: Path | None) -> None:
    """Sessions, tokens and roles go with the account."""
    records = places.records(load(data))
    found = find_user(records, name)
    records.profiles.removable(found.id)
    agreed(text("Remove %(name)s with all tokens and roles?", name=found.name), text("nobody was removed"), yes=yes)
    records.profiles.remove(found.id)
    tell(text("%(name)s is removed; sessions and tokens have ended", name=found.name))
