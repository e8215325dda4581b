"""`refmill demo`: a platform with a user, a dataset, a pipeline and a run to look at."""

from __future__ import annotations

import json
import secrets
import shutil
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click

from refmill import errors, settings
from refmill.clients.database import Records
from refmill.model.runs import RUN_ENDED, Run, StageRun
from refmill.settings import Settings
from refmill.texts import Text, text
from refmill_repos.refs import BareRefs
from refmill_repos.store import BareRepositories
from refmill_web import places, wiring
from refmill_web.cli.moments import between, duration
from refmill_web.cli.options import example
from refmill_web.cli.speech import echo, language, say, tell
from refmill_web.demo import story
from refmill_web.processes import holding
from refmill_web.processes.parent import Platform
from refmill_web.words import STATES

USER = "demo"
PORT = 8700
RUN_SECONDS = 600.0
MARKS = {"running": "◔", "succeeded": "✓", "cached": "⚡", "failed": "✗", "stopped": "■", "skipped": "–"}


@click.command(
    **example(text("Start the platform, push a dataset and a pipeline to it, and show the run."), "refmill demo")
)
@click.option("--data", type=click.Path(path_type=Path, file_okay=False), default=Path(".refmill-demo"),
              help=say(text("Where the demo keeps its platform and working copies.")))  # fmt: skip
@click.option("--port", type=int, help=say(text("Port (default: 8700 if it is free, else any).")))
@click.option("--exit", "ends", is_flag=True, help=say(text("End after the run instead of staying up.")))
def demo(*, data: Path, port: int | None, ends: bool) -> None:
    """The story from the empty directory to the metrics."""
    started = time.monotonic()
    with _platform(data, port) as (platform, chosen):
        _tell(started, text("the platform is up at %(address)s", address=platform.address))
        records = places.records(chosen)
        password, token = _person(records, chosen)
        stage = story.Stage(
            platform.address, USER, token, chosen.path("demo"), lambda sentence: _tell(started, sentence)
        )
        _tell(started, text("the stages' environment: the first time, scikit-learn is downloaded"))
        python = _environment(chosen)
        story.push_dataset(stage, python)
        answer = story.push_pipeline(stage)
        for line in answer.splitlines():
            if line.startswith("remote:"):
                echo(f"         {line.rstrip()}")
        run = _follow(records, started)
        _result(chosen, run)
        _further(platform.address, run, password, chosen.data, ends=ends)
        if run.status not in ("succeeded", "nothing"):
            sys.exit(1)
        if not ends:
            tell(text("The platform stays up; Ctrl-C ends it."))
            try:
                platform.watch()
            except KeyboardInterrupt:
                tell(text("stopped"), err=True)


@contextmanager
def _platform(data: Path, port: int | None) -> Iterator[tuple[Platform, Settings]]:
    """A platform on the wanted port, on the one of last time, on 8700, or on any that is free."""
    told = data / "run" / "address.json"
    last = int(json.loads(told.read_text())["address"].rpartition(":")[2]) if told.exists() else PORT
    for wanted in [port] if port is not None else [last, 0]:
        chosen = settings.load({"data": data, "port": wanted, "language": language()})
        platform = Platform(chosen, quiet=True)
        try:
            platform.start()
        except errors.Conflict:
            if wanted == 0 or port is not None or holding.is_running(chosen):
                raise
            continue
        try:
            yield platform, platform.settings
        finally:
            platform.close()
        return


def _person(records: Records, chosen: Settings) -> tuple[str, str]:
    """The demo's user with a password for the browser and a token for git; made once."""
    file = chosen.path("demo", "user.json")
    if file.exists():
        known = json.loads(file.read_text())
        return known["password"], known["token"]
    file.parent.mkdir(parents=True, exist_ok=True)
    password = secrets.token_urlsafe(9)
    user = records.people.find(USER)
    if user is None:
        user = records.people.add(USER, password, admin=True)
    else:
        records.profiles.set_password(user.id, password)
    _, token = records.people.add_token(user.id, "demo", ("read", "write"))
    new = file.with_suffix(".new")
    new.touch(mode=0o600)
    new.write_text(json.dumps({"password": password, "token": token}))
    new.replace(file)
    return password, token


def _environment(chosen: Settings) -> Path:
    """The Python of the environment that the pipeline's stages will get, made now so that the run need not wait."""
    environments = wiring.environments(chosen)
    return environments.ready(story.HERE / "pipeline", "requirements.txt", trusted=True).programs / "python"


def _follow(records: Records, started: float) -> Run:
    """Say what changes until the newest run has ended."""
    repository = records.catalogue.find(USER, story.PIPELINE)
    if repository is None:
        raise errors.NotFound(text("the push made no repository"))
    head: dict[str, str] = {}
    until = time.monotonic() + RUN_SECONDS
    while time.monotonic() < until:
        runs = records.runs.list([repository.id], limit=1)
        if runs:
            for stage in records.runs.stages(runs[0].id):
                if stage.status in MARKS and head.get(stage.address) != stage.status:
                    head[stage.address] = stage.status
                    _tell(started, _line(stage), indent=2)
            if runs[0].status in RUN_ENDED:
                return runs[0]
        time.sleep(0.05)
    raise errors.Unavailable(text("the run has not ended after %(seconds)s s", seconds=int(RUN_SECONDS)))


def _line(stage: StageRun) -> Text:
    mark = MARKS[stage.status]
    took = duration(stage.seconds)
    if stage.status == "failed" and stage.explanation:
        return text("%(mark)s %(stage)s failed: %(why)s", mark=mark, stage=stage.address, why=stage.explanation)
    return text("%(mark)s %(stage)s %(took)s", mark=mark, stage=f"{stage.address:<18}", took=took)


def _result(chosen: Settings, run: Run) -> None:
    """The metrics table of the run's experiment, read from git."""
    took = duration(between(run.started, run.finished))
    tell(text("run #%(number)s: %(status)s %(took)s", number=run.number, status=STATES[run.status], took=took))
    if run.experiment is None:
        return
    ref = f"refs/exps/{run.commit[:2]}/{run.commit[2:]}/{run.experiment}"
    found = BareRefs(chosen.path("repos")).commit(run.repository_id, ref)
    tree = BareRepositories(chosen.path("repos")).tree(run.repository_id, found.sha)
    rows: dict[str, dict[str, float]] = json.loads(tree.read("metrics.json"))["models"]
    columns = sorted({key for row in rows.values() for key in row})
    echo(f"\n  {'':<14}" + "".join(f"{column:>12}" for column in columns))
    for model, row in sorted(rows.items(), key=lambda item: -item[1]["roc_auc"]):
        echo(f"  {model:<14}" + "".join(f"{row.get(column, ''):>12}" for column in columns))


def _further(address: str, run: Run, password: str, data: Path, *, ends: bool) -> None:
    """Where to look, and what to type next."""
    place, program = data / "demo" / story.PIPELINE, Path(sys.executable).with_name("refmill")
    echo()
    tell(text("The run's page:  %(url)s", url=f"{address}/{run.repository}/runs/{run.number}"))
    tell(text("Sign in as %(user)s with the password %(password)s", user=USER, password=password))
    if ends:
        tell(text("The platform ends now. Start it again, on the same data, with"))
        echo(f"  {program} up --data {data} --port {address.rpartition(':')[2]}")
        tell(text("and then look further:"))
    else:
        tell(text("Look further, in another terminal:"))
    lines = [
        f"export PATH={program.parent}:$PATH REFMILL_DATA={data.absolute()}",
        f"refmill show {run.repository}#{run.number}",
        f"refmill logs {run.repository}#{run.number}",
        f"refmill login {address} --user {USER}",
        f"git clone {address}/{run.repository}.git /tmp/{story.PIPELINE} && cd /tmp/{story.PIPELINE}",
    ]
    if run.experiment:
        lines.append(f"dvc exp pull origin {run.experiment} && dvc exp apply {run.experiment} && dvc pull")
    for line in (*lines, f"cd {place.absolute()} && refmill plan"):
        echo(f"  {line}")
    echo()


def _tell(started: float, sentence: Text, *, indent: int = 0) -> None:
    width = shutil.get_terminal_size().columns
    echo(f"{time.monotonic() - started:6.1f} s {' ' * indent}{say(sentence)}"[: max(width, 79)])
