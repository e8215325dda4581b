"""`refmill gc`: takes away objects that nothing needs any more."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import click

from refmill.clients import codec
from refmill.clients.database import Records
from refmill.flows.collecting import DAYS, Collection, Collector
from refmill.flows.pages import every_run
from refmill.flows.planning import EVERYWHERE
from refmill.settings import Settings
from refmill.texts import counted, text
from refmill_repos.mentions import BareMentions
from refmill_web import places
from refmill_web.cli.names import find_repository
from refmill_web.cli.options import data_option, example, json_option, load
from refmill_web.cli.questions import agreed
from refmill_web.cli.speech import print_json, say, tell
from refmill_web.display import size
from refmill_web.processes import holding


@click.command(
    **example(
        text("Take away objects that no commit, experiment or run needs; the platform must not run."),
        "refmill gc --dry-run", "refmill gc ada/churn",
    )
)  # fmt: skip
@click.argument("repository", required=False, metavar="[OWNER/NAME]")
@click.option("--dry-run", is_flag=True, help=say(text("Only tell what would go; the platform may run.")))
@click.option("--days", type=float, default=DAYS, show_default=True, help=say(text("Keep what is younger.")))
@click.option("--yes", is_flag=True, help=say(text("Do not ask.")))
@data_option
@json_option
def gc(*, repository: str | None, dry_run: bool, days: float, yes: bool, data: Path | None, as_json: bool) -> None:
    """Look at all repositories before anything goes: what cannot be read in one is told first."""
    settings = load(data)
    with ExitStack() as stack:
        if not dry_run:
            stack.enter_context(holding.alone(settings))
        records = places.records(settings)
        stack.callback(records.close)
        wanted = [find_repository(records, repository)] if repository else records.catalogue.visible(EVERYWHERE)
        collector = Collector(
            lambda name: places.store(settings, name), BareMentions(settings.path("repos")),
            lambda name: _records(settings, records, name), time.time,
        )  # fmt: skip
        found = {item: collector.look(item.id, days=days) for item in wanted}
        if as_json:
            print_json({item.full_name: _shown(one) for item, one in found.items()})
        else:
            for item, one in found.items():
                tell(text("%(name)s: nothing needs %(garbage)s of %(objects)s objects, %(size)s", name=item.full_name,
                          garbage=len(one.garbage), objects=one.objects, size=size(one.garbage_size)))  # fmt: skip
        count = sum(len(one.garbage) for one in found.values())
        if dry_run:
            return
        if count:
            question = counted("Take away %(count)s object?", "Take away %(count)s objects?", count)
            agreed(question, text("nothing was taken away"), yes=yes)
        for item, one in found.items():
            collector.collect(item.id, one)
        if count:
            tell(counted("%(count)s object taken away", "%(count)s objects taken away", count), err=as_json)


def _shown(found: Collection) -> dict[str, int]:
    """What was found, for JSON."""
    return {
        "objects": found.objects,
        "bytes": found.size,
        "garbage": len(found.garbage),
        "garbage_bytes": found.garbage_size,
    }


def _records(settings: Settings, records: Records, repository_id: str) -> Iterator[str]:
    """All that is written down of a repository's runs: by the database, in the archives, in the run-cache."""
    for run in every_run(records.runs, [repository_id]):
        yield records.runs.plan_json(run.id)
        yield codec.to_json(tuple(records.history.attempts(run.id)))
    files = places.archives(settings, repository_id)
    for number in files.numbers():
        archive = files.near(number, "run.json")
        if archive.exists():
            yield archive.read_text(encoding="utf-8", errors="replace")
    yield from places.run_cache(settings, repository_id).texts()
