"""`refmill up`: the platform for daily use."""

from __future__ import annotations

import logging
import signal
from typing import Any

import click

from refmill import settings
from refmill.texts import text
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
    with Platform(chosen) as platform:
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
        try:
            platform.watch()
        except KeyboardInterrupt:
            signal.signal(signal.SIGINT, signal.SIG_IGN)
    if not as_json:
        tell(text("Refmill has stopped; running stages go on and are taken up at the next start"), err=True)
