"""`refmill repo`: make, look at, rename, open, archive, share and delete hosted repositories."""

from __future__ import annotations

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
from refmill_repos.refs import BareRefs
from refmill_repos.store import BareRepositories
from refmill_web import archive, places, removal
from refmill_web.cli.names import find_repository, find_user, parts_of
from refmill_web.cli.options import data_option, example, json_option, load
from refmill_web.cli.questions import agreed
from refmill_web.cli.speech import echo, print_json, say, table, tell
from refmill_web.processes import holding

UNFINISHED: tuple[RunStatus, ...] = ("queued", "running", "paused")
PATIENCE = 60.0
"""Seconds until a deletion is given up: processes that ignore SIGTERM are killed after five."""
LOOK_SECONDS = 0.2
BRANCHES = 20
"""How many branches a refusal lists."""
DESCRIPTION = 60
"""Characters of a description in a table."""
LABELS = {
    "name": text("name"), "public": text("public"), "archived": text("archived"), "protected": text("protected"),
    "default_branch": text("default branch"), "description": text("description"), "network": text("network"),
}  # fmt: skip
"""What `repo change` may change, by the keys of `_json`."""
ROLES = ("read", "write", "admin", "none")
name_argument = click.argument("repository", metavar="OWNER/NAME")


def _json(repository: Repository) -> dict[str, Any]:
    return {
        "id": repository.id, "name": repository.full_name, "public": repository.public,
        "archived": repository.archived, "default_branch": repository.default_branch,
        "protected": repository.protected, "description": repository.description, "network": repository.network,
    }  # fmt: skip


@click.group(**example(text("Make, look at, rename, archive, share and delete repositories."), "refmill repo list"))
def repo() -> None:
    """The group."""


@repo.command("list", **example(text("List all repositories."), "refmill repo list --json"))
@data_option
@json_option
def repo_list(*, data: Path | None, as_json: bool) -> None:
    """All of them, by name."""
    settings = load(data)
    found = places.records(settings).catalogue.visible(EVERYWHERE)
    aside = {item.repository_id: item.why for item in places.asides(settings)}
    if as_json:
        print_json([
            {**_json(item), "aside": str(aside[item.id]) if item.id in aside else None} for item in found
        ])  # fmt: skip
        return
    words = {True: say(text("public")), False: say(text("private"))}
    rows = [
        [item.full_name, words[item.public], item.default_branch, _state(item, aside=item.id in aside),
         item.description[:DESCRIPTION]]
        for item in found
    ]  # fmt: skip
    headings = (text("repository"), text("visible"), text("branch"), text("state"), text("description"))
    table([say(heading) for heading in headings], rows)
    for item in found:
        if item.id in aside:
            why = text("%(name)s is set aside: %(why)s", name=item.full_name, why=aside[item.id])
            tell(why, err=True)


def _state(repository: Repository, *, aside: bool) -> str:
    """What is unusual about it, for a table."""
    found = [text("archived")] if repository.archived else []
    if not repository.network:
        found.append(text("no network"))
    if aside:
        found.append(text("set aside"))
    return ", ".join(map(say, found))


@repo.command(
    "change", **example(text("Change a repository."), "refmill repo change ada/churn --name churn-2 --public")
)
@name_argument
@click.option("--name", help=say(text("Its new name; addresses change, data and runs stay.")))
@click.option("--public/--private", default=None, help=say(text("Whether everybody may read it.")))
@click.option("--archive/--unarchive", "archived", default=None, help=say(text("Whether nothing can be pushed to it.")))
@click.option("--protect/--no-protect", "protected", default=None, help=say(text("Whether its default branch keeps its history.")))  # fmt: skip  # noqa: E501
@click.option("--network/--no-network", default=None, help=say(text("Whether its stages may use the network, from the next run on.")))  # fmt: skip  # noqa: E501
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
    store = BareRepositories(settings.path("repos"))
    store.create(found.id, found.default_branch)
    if branch := given.get("default_branch"):
        _check_branch(settings, found, branch)
    changed = records.catalogue.change(replace(found, **given))  # before HEAD: it may be refused, as a name is taken
    if branch:
        store.set_default_branch(found.id, branch)
    address = places.address(settings)
    if as_json:
        print_json(_json(changed) | _addresses(address, changed))
    else:
        _tell_changes(found, changed, address)


def _check_branch(settings: Settings, repository: Repository, branch: str) -> None:
    """A default branch is there, or it is the first one of an empty repository. Raises WrongUse."""
    known = [ref.removeprefix("refs/heads/") for ref in BareRefs(settings.path("repos")).list(repository.id)]
    if known and branch not in known:
        raise errors.WrongUse(
            text("there is no branch “%(branch)s” in %(name)s", branch=branch, name=repository.full_name),
            text("It has: %(branches)s", branches=", ".join(known[:BRANCHES]) + (" …" if known[BRANCHES:] else "")),
        )


def _tell_changes(old: Repository, new: Repository, address: str) -> None:
    """What is different now, and where it is found if its name is."""
    before, after = _json(old), _json(new)
    changes = [(label, before[key], after[key]) for key, label in LABELS.items() if before[key] != after[key]]
    if not changes:
        tell(text("%(name)s was so already", name=new.full_name))
    for label, was, now in changes:
        echo(f"{say(label)}: {_plain(was)} → {_plain(now)}")
    if old.name == new.name:
        return
    if addresses := _addresses(address, new):
        echo(f"git: {addresses['git']}")
        echo(f"DVC: {addresses['dvc']}")
    tell(text("The old address leads there until another repository takes its name; pushes need the new one."))


def _addresses(address: str, repository: Repository) -> dict[str, str]:
    """Where git and DVC find it; nothing while the platform's address is not known."""
    if not address:
        return {}
    return {"git": f"{address}/{repository.full_name}.git", "dvc": f"{address}/{repository.full_name}.dvc"}


def _plain(value: object) -> str:
    if isinstance(value, bool):
        return say(text("yes") if value else text("no"))
    return str(value) or "–"


@repo.command("add", **example(text("Make an empty repository."), "refmill repo add ada/churn --public"))
@name_argument
@click.option("--public", is_flag=True, help=say(text("Whether everybody may read it.")))
@click.option("--description", default="", help=say(text("A few words about it.")))
@data_option
@json_option
def repo_add(*, repository: str, public: bool, description: str, data: Path | None, as_json: bool) -> None:
    """Also where a push makes none, and under a name that another repository had before."""
    settings = load(data)
    records = places.records(settings)
    owner, name = parts_of(repository)
    added = records.catalogue.add(find_user(records, owner).name, name, public=public)
    BareRepositories(settings.path("repos")).create(added.id, added.default_branch)
    if description:
        added = records.catalogue.change(replace(added, description=description))
    addresses = _addresses(places.address(settings), added)
    if as_json:
        print_json(_json(added) | addresses)
        return
    tell(text("%(name)s is made", name=added.full_name))
    if addresses:
        echo(f"git: {addresses['git']}")
        echo(f"DVC: {addresses['dvc']}")


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
    """First its runs end, then its data gets a name that start-up removes, then nobody finds it any more, then the
    files go: after a crash the same command, or the next start, does the rest."""
    settings = load(data)
    records = places.records(settings)
    found = find_repository(records, repository, today=True)
    question = text("Delete %(name)s with all its data and runs?", name=found.full_name)
    agreed(question, text("nothing was deleted"), yes=yes)
    records.catalogue.change(replace(found, archived=True))  # no push begins another run meanwhile
    try:
        _end_runs(settings, records, found)
    except errors.RefmillError:
        records.catalogue.change(found)
        raise
    gone = removal.put_away(settings, found.id)  # before its row: what start-up takes away has lost its name
    _remove(settings, records, found)
    removal.finish(settings, gone)
    tell(text("%(name)s is deleted", name=found.full_name))


def _remove(settings: Settings, records: Records, found: Repository) -> None:
    """Take its row away, also if a push that was under way has made one more run. Raises Unavailable."""
    until = time.monotonic() + PATIENCE
    while True:
        try:
            records.members.remove(found.id)
        except errors.Conflict:
            if time.monotonic() > until:
                raise
            _end_runs(settings, records, found)
        else:
            return


def _end_runs(settings: Settings, records: Records, found: Repository) -> None:
    """End its runs. Raises Unavailable if one does not end."""
    until = time.monotonic() + PATIENCE
    while time.monotonic() < until:
        unfinished = records.runs.list([found.id], statuses=UNFINISHED, limit=1000)
        if not unfinished:
            return
        for run in unfinished:
            records.states.ask(run.id, "stop")
        if holding.is_running(settings):
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
    with holding.alone(settings):
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
