"""`refmill doctor`: what this machine has of what the platform and its stages need."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, cast

import click

from refmill import settings
from refmill.engine import machine, sandbox
from refmill.settings import Settings
from refmill.texts import Text, text
from refmill_web.cli.options import data_option, example, json_option
from refmill_web.cli.speech import print_json, say

MARKS = {"ok": ("✓", "green"), "warning": ("!", "yellow"), "bad": ("✗", "red")}
LITTLE_DISK = 5 << 30
"""Bytes: an environment with a machine-learning library takes one to four GiB."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing looked at."""

    name: str
    state: Literal["ok", "warning", "bad"]
    message: Text


@click.command(
    **example(text("Look whether this machine has what the platform and its stages need."), "refmill doctor")
)
@data_option
@json_option
def doctor(*, data: Path | None, as_json: bool) -> None:
    """Exit code 1 if something that is needed is missing."""
    findings = list(_look(settings.load({"data": data})))
    if as_json:
        print_json([{"name": item.name, "state": item.state, "message": str(item.message)} for item in findings])
    else:
        for item in findings:
            mark, colour = MARKS[item.state]
            click.echo(f"{click.style(mark, fg=colour)} {item.name:<9} {say(item.message)}")
    if any(item.state == "bad" for item in findings):
        sys.exit(1)


def _look(chosen: Settings) -> Iterator[Finding]:
    python = ".".join(map(str, sys.version_info[:3]))
    yield Finding("python", "ok", text("Python %(version)s", version=python))
    git = _version("git", "--version")
    yield Finding("git", "ok", text("%(version)s", version=git)) if git else Finding(
        "git", "bad", text("git is missing: install it with the system's package manager"))  # fmt: skip
    uv = _version(str(Path(sys.executable).with_name("uv")), "--version")
    yield Finding("uv", "ok", text("%(version)s", version=uv)) if uv else Finding(
        "uv", "bad", text("uv is missing from this environment: install Refmill again"))  # fmt: skip
    budget = machine.budget()
    yield Finding("machine", "ok", text("%(cpus)s cores and %(memory)s GiB of memory for stages, %(gpus)s GPUs",
                  cpus=f"{budget.cpus:g}", memory=f"{budget.memory / 2**30:.1f}", gpus=budget.gpus))  # fmt: skip
    box = sandbox.Sandbox(cast(sandbox.Mode, chosen.sandbox))
    if box.works:
        yield Finding("sandbox", "ok", text("stages run in a bubblewrap sandbox"))
    else:
        why = text("no sandbox works, so only trusted users' runs start: install bubblewrap")
        if chosen.sandbox == "off":
            why = text("the sandbox is switched off, so only trusted users' runs start")
        yield Finding("sandbox", "warning", why)
    place = next(folder for folder in (chosen.data, *chosen.data.parents) if folder.exists())
    free = shutil.disk_usage(place).free
    yield Finding("disk", "ok" if free > LITTLE_DISK else "warning", text("%(free)s GiB free in %(place)s",
                  free=f"{free / 2**30:.1f}", place=str(place)))  # fmt: skip


def _version(*command: str) -> str | None:
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=10).stdout.splitlines()[0]
    except (OSError, subprocess.SubprocessError, IndexError):
        return None
