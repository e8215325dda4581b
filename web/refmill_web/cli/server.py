"""`refmill up`: the platform for daily use."""

from __future__ import annotations

import functools
import logging
import shlex
import signal
from contextlib import closing
from typing import Any

import click

from refmill import settings
from refmill.flows.planning import EVERYWHERE
from refmill.settings import Settings
from refmill.texts import Text, text
from refmill_web import places, wiring
from refmill_web.cli.options import example, json_option, setting_options
from refmill_web.cli.speech import print_json, tell
from refmill_web.processes.parent import Platform


@click.command(
    **example(
        text("Start the platform in a data directory and keep it running until Ctrl-C."),
        "refmill up --data ~/refmill --port 8700",
    )
)
@setting_options
@json_option
def up(*, as_json: bool, **flags: Any) -> None:
    """Start, say where, watch."""
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s parent   %(levelname)-7s %(message)s")
    chosen = settings.load(flags)
    platform = Platform(chosen, waiting=functools.partial(_stands_by, as_json=as_json))
    try:
        platform.start()
    except KeyboardInterrupt:
        tell(text("Refmill has stopped"), err=True)
        return
    with closing(platform):
        if as_json:
            print_json({"address": platform.address, "data": str(chosen.data)})
        else:
            tell(
                text(
                    "Refmill is ready at %(address)s (data in %(data)s; Ctrl-C stops it)",
                    address=platform.address,
                    data=str(chosen.data),
                )
            )
            _welcome(chosen)
        if (trouble := wiring.box(chosen).trouble()) is not None:
            tell(trouble, err=True)
        try:
            platform.watch()
        except KeyboardInterrupt:
            signal.signal(signal.SIGINT, signal.SIG_IGN)
    if as_json:
        return
    if _goes_on(chosen):
        tell(text("Refmill has stopped; running stages go on and are taken up at the next start"), err=True)
    else:
        tell(text("Refmill has stopped"), err=True)


def _stands_by(address: str, why: Text, *, as_json: bool) -> None:
    """Said again when there is another reason."""
    if as_json:
        print_json({"standby": address, "why": str(why)})
    else:
        tell(text("Refmill stands by at %(address)s: %(why)s", address=address, why=why))


def _welcome(chosen: Settings) -> None:
    """Where nobody can sign in yet, say how."""
    records = places.records(chosen)
    if not records.people.users():
        command = f"refmill user add NAME --admin --data {shlex.quote(str(chosen.data))}"
        tell(text("Nobody has an account yet. In another terminal: %(command)s", command=command))
    records.close()


def _goes_on(chosen: Settings) -> bool:
    """Whether stages run without the platform now."""
    records = places.records(chosen)
    everywhere = [item.id for item in records.catalogue.visible(EVERYWHERE)]
    runs = records.runs.list(everywhere, statuses=("running", "paused"), limit=1000)
    found = any(
        stage.status == "running"
        for stages in records.history.stages_of(run.id for run in runs).values()
        for stage in stages
    )
    records.close()
    return found
