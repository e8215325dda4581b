"""`refmill repo`: look at, rename, open, archive, share and delete hosted repositories."""

from __future__ import annotations

import contextlib
import shutil
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import click

from refmill import errors
from refmill.clients.database import Records
from refmill.engine import leftovers
from refmill.flows.planning import EVERYWHERE
from refmill.model.people import Repository, Role
from refmill.model.runs import RunStatus
from refmill.settings import Settings
from refmill.texts import text
from refmill_repos.store import BareRepositories
from refmill_web import archive, places
from refmill_web.cli.names import find_repository, find_user
from refmill_web.cli.options import data_option, example, json_option, load
from refmill_web.cli.questions import agreed
from refmill_web.cli.speech import print_json, say, table, tell
from refmill_web.processes import parent

UNFINISHED: tuple[RunStatus, ...] = ("queued", "running", "paused")
PATIENCE = 60.0
"""Seconds until a deletion is given up: processes that ignore SIGTERM are killed after five."""
LOOK_SECONDS = 0.2
DESCRIPTION = 60
"""Characters of a description in a table."""
ROLES = ("read", "write", "admin", "none")
name_argument = click.argument("repository", metavar="OWNER/NAME")


def _json(repository: Repository) -> dict[str, Any]:
    return {
        "id": repository.id, "name": repository.full_name, "public": repository.public,
        "archived": repository.archived, "default_branch": repository.default_branch,
        "protected": repository.protected, "description": repository.description,
    }  # fmt: skip


@click.group(**example(text("Look at, rename, archive, share and delete repositories."), "refmill repo list"))
def repo() -> None:
    """The group."""


@repo.command("list", **example(text("List all repositories."), "refmill repo list --json"))
@data_option
@json_option
def repo_list(*, data: Path | None, as_json: bool) -> None:
    """All of them, by name."""
    found = places.records(load(data)).catalogue.visible(EVERYWHERE)
    if as_json:
        print_json([_json(repository) for repository in found])
        return
    words = {True: say(text("public")), False: say(text("private"))}
    archived = say(text("archived"))
    rows = [
        [item.full_name, words[item.public], item.default_branch, archived if item.archived else "",
         item.description[:DESCRIPTION]]
        for item in found
    ]  # fmt: skip
    headings = (text("repository"), text("visible"), text("branch"), text("state"), text("description"))
    table([say(heading) for heading in headings], rows)


@repo.command(
    "change", **example(text("Change a repository."), "refmill repo change ada/churn --name churn-2 --public")
)
@name_argument
@click.option("--name", help=say(text("Its new name; addresses change, data and runs stay.")))
@click.option("--public/--private", default=None, help=say(text("Whether everybody may read it.")))
@click.option("--archive/--unarchive", "archived", default=None, help=say(text("Whether nothing can be pushed to it.")))
@click.option("--protect/--no-protect", "protected", default=None, help=say(text("Whether its default branch keeps its history.")))  # fmt: skip  # noqa: E501
@click.option("--default-branch", help=say(text("The branch that a clone checks out.")))
@click.option("--description", help=say(text("A few words about it.")))
@data_option
@json_option
def repo_change(*, repository: str, data: Path | None, as_json: bool, **wishes: Any) -> None:
    """Store what was given, and nothing else."""
    settings = load(data)
    records = places.records(settings)
    found = find_repository(records, repository)
    given = {name: value for name, value in wishes.items() if value is not None}
    if not given:
        raise errors.WrongUse(
            text("nothing to change was named"), text("`refmill repo change --help` lists what can be.")
        )
    if "default_branch" in given:
        BareRepositories(settings.path("repos")).set_default_branch(found.id, given["default_branch"])
    changed = records.catalogue.change(replace(found, **given))
    if as_json:
        print_json(_json(changed))
    else:
        tell(text("%(name)s is changed", name=changed.full_name))


@repo.command("grant", **example(text("Give a user a role in a repository; “none” takes it back."), "refmill repo grant ada/churn bob write"))  # fmt: skip  # noqa: E501
@name_argument
@click.argument("user")
@click.argument("role", type=click.Choice(ROLES))
@data_option
def repo_grant(*, repository: str, user: str, role: str, data: Path | None) -> None:
    """One role a user."""
    records = places.records(load(data))
    found, member = find_repository(records, repository), find_user(records, user)
    records.members.grant(found.id, member.id, None if role == "none" else cast(Role, role))
    if role == "none":
        tell(text("%(user)s has no role in %(name)s any more", user=member.name, name=found.full_name))
        return
    tell(text("%(user)s has the role “%(role)s” in %(name)s", user=member.name, role=role, name=found.full_name))


@repo.command("delete", **example(text("Delete a repository with its data and runs, for good."), "refmill repo delete ada/churn --yes"))  # fmt: skip  # noqa: E501
@name_argument
@click.option("--yes", is_flag=True, help=say(text("Do not ask.")))
@data_option
def repo_delete(*, repository: str, yes: bool, data: Path | None) -> None:
    """First its runs end, then nobody finds it any more, then its files go: a crash leaves only unreachable files."""
    settings = load(data)
    records = places.records(settings)
    found = find_repository(records, repository)
    question = text("Delete %(name)s with all its data and runs?", name=found.full_name)
    agreed(question, text("nothing was deleted"), yes=yes)
    records.catalogue.change(replace(found, archived=True))  # no push begins another run meanwhile
    try:
        _remove(settings, records, found)
    except errors.RefmillError:
        records.catalogue.change(found)
        raise
    BareRepositories(settings.path("repos")).delete(found.id)
    shutil.rmtree(places.objects(settings, found.id), ignore_errors=True)
    tell(text("%(name)s is deleted", name=found.full_name))


def _remove(settings: Settings, records: Records, found: Repository) -> None:
    """End its runs, and take its row away. Raises Unavailable if a run does not end."""
    until = time.monotonic() + PATIENCE
    while time.monotonic() < until:
        unfinished = records.runs.list([found.id], statuses=UNFINISHED, limit=1000)
        if not unfinished:
            with contextlib.suppress(errors.Conflict):  # a push that was under way has made one more
                records.members.remove(found.id)
                return
        for run in unfinished:
            records.states.ask(run.id, "stop")
        if parent.is_running(settings):
            places.bell(settings).ring("wishes")
        else:
            for run in unfinished:
                if leftovers.end(settings.path("work", run.id)):
                    records.states.move(run.id, "stopped", expected=UNFINISHED)
        time.sleep(LOOK_SECONDS)
    raise errors.Unavailable(
        text("the runs of %(name)s do not end: nothing was deleted", name=found.full_name),
        text("`refmill runs %(name)s` shows them; look into the log of the platform.", name=found.full_name),
    )


@repo.command("reindex", **example(text("Put archived runs back that the database lacks; the platform must not run."), "refmill repo reindex", "refmill repo reindex ada/churn"))  # fmt: skip  # noqa: E501
@click.argument("repository", required=False, metavar="[OWNER/NAME]")
@data_option
@json_option
def repo_reindex(*, repository: str | None, data: Path | None, as_json: bool) -> None:
    """Exit code 1 if an archive could not be read."""
    settings = load(data)
    with parent.alone(settings):
        records = places.records(settings)
        wanted = [find_repository(records, repository)] if repository else records.catalogue.visible(EVERYWHERE)
        found = {item.full_name: list(archive.restore(settings, records, item)) for item in wanted}
        records.close()
    faults = {name: {item.number: item.fault for item in items if item.fault} for name, items in found.items()}
    if as_json:
        print_json({name: {"restored": [item.number for item in items if item.done],
                           "faults": {number: str(fault) for number, fault in faults[name].items()}}
                    for name, items in found.items()})  # fmt: skip
    else:
        for name, items in found.items():
            done = sum(item.done for item in items)
            there = len(items) - done - len(faults[name])
            tell(text("%(name)s: %(done)s runs put back, %(there)s were there", name=name, done=done, there=there))
            for number, fault in faults[name].items():
                broken = text("%(run)s could not be put back: %(fault)s", run=f"{name}#{number}", fault=fault)
                tell(broken, err=True)
    if any(faults.values()):
        sys.exit(1)
