"""What is named on the command line: a run as `alice/churn#42`, `alice/churn/42` or its id, a repository, a user."""

from __future__ import annotations

import re

from refmill import errors
from refmill.clients.database import Records
from refmill.model.people import Repository, User
from refmill.model.runs import Run
from refmill.texts import text
from refmill_web.cli.speech import tell

NUMBERED = re.compile(r"(?P<owner>[^/#\s]+)/(?P<name>[^/#\s]+?)(?:#|/runs/|/)(?P<number>[0-9]+)")
IDENTITY = re.compile(r"[a-z2-7]{20}")


def find_run(records: Records, named: str) -> Run:
    """The run. Raises NotFound, WrongUse."""
    if IDENTITY.fullmatch(named):
        try:
            return records.runs.get(named)
        except errors.NotFound as error:
            remedy = text("`refmill runs` lists them.")
            raise errors.NotFound(text("there is no run %(name)s", name=named), remedy) from error
    if match := NUMBERED.fullmatch(named):
        repository = find_repository(records, f"{match['owner']}/{match['name']}")
        try:
            return records.runs.by_number(repository.id, int(match["number"]))
        except (errors.NotFound, OverflowError) as error:
            remedy = text("`refmill runs %(name)s` lists them.", name=repository.full_name)
            raise errors.NotFound(text("there is no run %(name)s", name=named), remedy) from error
    raise errors.WrongUse(
        text("“%(name)s” does not name a run", name=named), text("Write OWNER/NAME#NUMBER, as `refmill runs` shows it.")
    )


def find_repository(records: Records, named: str, *, today: bool = False) -> Repository:
    """The repository; a name that it had before finds it with a note, unless `today` asks for the one of today.

    Raises NotFound, WrongUse.
    """
    owner, name = parts_of(named)
    found = records.catalogue.find(owner, name)
    if found is None:
        raise errors.NotFound(
            text("there is no repository %(name)s here", name=named), text("`refmill repo list` shows what there is.")
        )
    if not found.is_called(name):
        note = text("%(old)s is called %(new)s now", old=named, new=found.full_name)
        if today:
            raise errors.WrongUse(note, text("Name it so."))
        tell(note, err=True)
    return found


def parts_of(named: str) -> tuple[str, str]:
    """Owner and name. Raises WrongUse."""
    owner, slash, name = named.partition("/")
    if not slash or not name:
        raise errors.WrongUse(text("“%(name)s” does not name a repository", name=named), text("Write OWNER/NAME."))
    return owner, name


def find_user(records: Records, named: str) -> User:
    """The account. Raises NotFound."""
    found = records.people.find(named)
    if found is None:
        raise errors.NotFound(
            text("there is no user %(name)s", name=named),
            text("`refmill user list` shows them, `refmill user add` makes one."),
        )
    return found
