"""`refmill doctor`: what this machine has of what the platform and its stages need."""

from __future__ import annotations

import importlib
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, cast

import click

from refmill import errors, settings
from refmill.engine import machine, sandbox
from refmill.engine.cgroups import Groups
from refmill.engine.endings import told
from refmill.flows.planning import EVERYWHERE
from refmill.settings import Settings
from refmill.texts import Text, text
from refmill_web import engines, places
from refmill_web.cli.options import data_option, example, json_option
from refmill_web.cli.speech import echo, print_json, say
from refmill_web.processes.holding import is_running

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
@click.option("--objects", is_flag=True, help=say(text("Also read every stored object and compare it with its name.")))
@data_option
@json_option
def doctor(*, objects: bool, data: Path | None, as_json: bool) -> None:
    """Exit code 1 if something that is needed is missing."""
    chosen = settings.load({"data": data})
    findings = [
        *_look(chosen),
        *_look_at_store(chosen),
        *_look_at_cluster(chosen),
        *_look_at_data(chosen, objects=objects),
    ]
    if as_json:
        print_json([{"name": item.name, "state": item.state, "message": str(item.message)} for item in findings])
    else:
        for item in findings:
            mark, colour = MARKS[item.state]
            echo(f"{click.style(mark, fg=colour)} {item.name:<9} {say(item.message)}")
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
    yield _look_at_sandbox(chosen)
    groups = _groups(chosen)
    yield Finding("cgroups", "ok" if groups.version else "warning", groups.said())
    place = next(folder for folder in (chosen.data, *chosen.data.parents) if folder.exists())
    free = shutil.disk_usage(place).free
    values = {"free": f"{free / 2**30:.1f}", "place": str(place)}
    if free > LITTLE_DISK:
        yield Finding("disk", "ok", text("%(free)s GiB free in %(place)s", **values))
    else:
        few = text("only %(free)s GiB free in %(place)s: when it is full, pushes are refused and runs fail", **values)
        yield Finding("disk", "warning", few)


def _look_at_sandbox(chosen: Settings) -> Finding:
    box = sandbox.Sandbox(cast(sandbox.Mode, chosen.sandbox))
    trouble = box.trouble()
    if trouble is None:
        return Finding("sandbox", "ok", text("stages run in a bubblewrap sandbox"))
    if chosen.sandbox == "off":
        return Finding("sandbox", "warning", text("the sandbox is switched off, so only trusted users' runs start"))
    if chosen.sandbox == "require":
        why = text("%(trouble)s, so nobody's runs start: %(remedy)s", trouble=trouble, remedy=box.remedy())
        return Finding("sandbox", "bad", why)
    why = text("no sandbox works, so only trusted users' runs start: %(remedy)s", remedy=box.remedy())
    return Finding("sandbox", "warning", why)


def _groups(chosen: Settings) -> Groups:
    """The control groups of the platform that runs; else those that one would find that were started from here."""
    used = places.groups_in_use(chosen) if chosen.path("lock").exists() and is_running(chosen) else None
    if used is not None:
        return used
    found = places.groups(chosen, move=False)
    found.leave()
    return found


def _look_at_store(chosen: Settings) -> Iterator[Finding]:
    """Whether the S3 store that is set can be written to and read."""
    try:
        bucket = places.bucket(chosen)
        if bucket is None:
            return
        bucket.probe()
    except errors.RefmillError as error:
        yield Finding("s3", "bad", told(error))
        return
    yield Finding("s3", "ok", text("%(place)s can be written to and read", place=chosen.objects))


def _look_at_cluster(chosen: Settings) -> Iterator[Finding]:
    """Whether the cluster that runs may go to has what they need."""
    if "argo" in engines.names(chosen):
        argo_engine: Any = importlib.import_module("refmill_web.argo_engine")  # its client takes a second to load
        yield from (Finding(*found) for found in argo_engine.inspect(chosen))


def _look_at_data(chosen: Settings, *, objects: bool) -> Iterator[Finding]:
    """What there is of a data directory: the database whole, nothing set aside, and, if asked for, every object."""
    if not chosen.begun:
        return
    try:
        records = places.records(chosen)
        records.database.check()
        found = records.catalogue.visible(EVERYWHERE)
        records.close()
    except errors.RefmillError as error:
        yield Finding("database", "bad", told(error))
        return
    yield Finding("database", "ok", text("the database is whole"))
    names = {item.id: item.full_name for item in found}
    for item in places.asides(chosen):
        if item.repository_id in names:
            why = text("%(name)s is set aside: %(why)s", name=names[item.repository_id], why=item.why)
            yield Finding("aside", "warning", why)
    if objects:
        yield from _look_at_objects(chosen, names)


def _look_at_objects(chosen: Settings, names: Mapping[str, str]) -> Iterator[Finding]:
    count = 0
    for repository_id, name in names.items():
        store = places.store(chosen, repository_id)
        for md5 in store.names():
            count += 1
            try:
                whole = store.verify(md5)
            except (OSError, errors.Unavailable) as error:
                detail = (isinstance(error, OSError) and error.strerror) or str(error)
                yield Finding("objects", "bad", text("%(name)s: %(path)s cannot be read: %(detail)s", name=name,
                              path=store.where(md5), detail=detail))  # fmt: skip
                continue
            if not whole:
                yield Finding("objects", "bad", text(
                    "%(name)s: %(path)s does not hold what its name says: take it away, then `dvc push` it again or"
                    " run its stage again", name=name, path=store.where(md5),
                ))  # fmt: skip
    yield Finding("objects", "ok", text("%(count)s objects were read", count=count))


def _version(*command: str) -> str | None:
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=10).stdout.splitlines()[0]
    except (OSError, subprocess.SubprocessError, IndexError):
        return None
