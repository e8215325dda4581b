"""Puts the parts together: which class stands behind which port, in which process.

The rule to keep: nothing here decides anything; a newcomer reads it to find the class behind a port.
"""

from __future__ import annotations

import functools
import importlib
import json
import logging
import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, cast
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

import uv

from refmill import errors, specs
from refmill.clients import uploads
from refmill.clients.catalogues import translate
from refmill.clients.database import Records
from refmill.clients.elsewhere import NamedRemotes, Reach
from refmill.clients.resolver.client import SocketResolver
from refmill.clients.resolver.memory import RememberingResolver
from refmill.clients.worktree import WorkTree
from refmill.engine.environments import Environments
from refmill.engine.sandbox import Mode, Sandbox
from refmill.flows.asides import Asides
from refmill.flows.control import Control
from refmill.flows.lacking import Lacking
from refmill.flows.planning import EVERYWHERE, Planner, Storage
from refmill.flows.receive import Reception
from refmill.flows.recording import Recorder
from refmill.flows.sweeping import Sweeper
from refmill.flows.upkeep import Calendar, Keeping, Upkeep
from refmill.model.fences import Fence
from refmill.model.people import Repository
from refmill.model.plans import Plan
from refmill.model.runs import RUN_ENDED, STAGE_ENDED, Run
from refmill.plans import digests
from refmill.ports.engines import Engine, Listener, RunOrder
from refmill.ports.repositories import Refs
from refmill.ports.resolver import Checked, Resolver, Source
from refmill.ports.waking import Bell
from refmill.settings import DATABASE, Settings
from refmill.texts import Translate, counted, text
from refmill_repos.experiments import BareExperiments
from refmill_repos.history import History
from refmill_repos.refs import BareRefs
from refmill_repos.smart_http import GitHTTP
from refmill_repos.store import BareRepositories, clean
from refmill_repos.trees import tree_factory
from refmill_web import archive, desks, engines, git_listener, local_engine, places, remote, removal
from refmill_web.admissions import RecentAdmissions
from refmill_web.app import create_app
from refmill_web.arrivals import Arrivals
from refmill_web.cli.speech import language
from refmill_web.desks import RunGate
from refmill_web.engines import Engines
from refmill_web.gate import Gate
from refmill_web.imports import HostedImports
from refmill_web.monitoring import access
from refmill_web.monitoring.counters import Counters
from refmill_web.monitoring.counting import CountedEnds, CountedPushes, CountedStates
from refmill_web.monitoring.exposing import Exposition, Sources
from refmill_web.monitoring.known import Role
from refmill_web.remote import DataRemote
from refmill_web.services import Services

LOG = logging.getLogger(__name__)
CHECKED = 512 << 20
"""Bytes of a database that is read whole at each start: about a second; `refmill doctor` reads any."""
PACK_EVERY = 50
"""Runs of a repository between two packings of its refs; loose ones cost a file each at every push."""
FOLDERS = ("run", "repos", "objects", "env", "work", "cache", "tmp")


@dataclass(frozen=True, slots=True)
class Parts:
    """What every process of a platform has."""

    settings: Settings
    address: str
    records: Records
    repositories: BareRepositories
    refs: Refs
    resolver: Resolver
    storage: Storage
    bell: Bell
    gate: Gate
    counters: Counters

    def speak(self, user: str) -> Translate:
        """The translation into a user's language; the installation's where they chose none."""
        found = self.records.people.find(user) if user else None
        return translate((found.language if found else "") or self.settings.language or language())

    def address_of(self, repository: Repository) -> str:
        """A repository's address, without an ending."""
        return f"{self.address}/{repository.full_name}"


@dataclass(frozen=True, slots=True)
class Works:
    """What only the engine's process has."""

    parts: Parts
    engine: Engines
    planner: Planner
    control: Control
    sweeper: Sweeper
    upkeep: Upkeep
    asides: Asides
    elsewhere: NamedRemotes
    lacking: Lacking
    archive: Callable[[Run], None]
    make_room: Callable[[], None]

    def repositories(self) -> Sequence[Repository]:
        """All of them."""
        return self.parts.records.catalogue.visible(EVERYWHERE)


def prepare(settings: Settings, address: str, fence: Fence | None = None) -> None:
    """Once at start-up, before any part runs: folders, what a SIGKILL left, the database's schema, the address."""
    for name in FOLDERS:
        settings.path(name).mkdir(parents=True, exist_ok=True)
    os.chmod(settings.data, 0o700)
    for socket in settings.path("run").glob("*.sock"):
        socket.unlink(missing_ok=True)
    clean(settings.path("repos"))
    uploads.clean(settings.path("objects", "r"))
    if (bucket := places.bucket(settings)) is not None:
        bucket.prepare()
    removal.clean(settings)
    access.prepare(settings)
    _check_database(settings, fence)
    settings.path(*places.ADDRESS).write_text(json.dumps({"address": address, "pid": os.getpid()}))


def _check_database(settings: Settings, fence: Fence | None) -> None:
    """Bring the schema up to date. Raises Damaged for a database that is not whole, or that was emptied: going on with
    an empty one would look as if nobody had ever been here."""
    found = places.records(settings, fence)
    try:
        if not settings.database and settings.path(DATABASE).stat().st_size <= CHECKED:
            found.database.check()
        hosted = sum(1 for _ in settings.path("repos").glob("*.git"))
        if hosted and not found.people.users():
            raise errors.Damaged(
                counted(
                    "The database is empty, but there is %(count)s repository here: it was lost or cut off",
                    "The database is empty, but there are %(count)s repositories here: it was lost or cut off",
                    hosted,
                ),
                text("Go back to a backup of it; `refmill repo reindex` puts later runs back."),
            )
    finally:
        found.close()


def parts(settings: Settings, address: str, role: Role = "web", fence: Fence | None = None) -> Parts:
    """Everything that web and engine share the making of; they write under the server's `fence`."""
    opened, counters = places.records(settings, fence), Counters(role)
    failures = functools.partial(places.store_failures, settings)
    counters.watch_errors(database=lambda: opened.database.failures, store=failures)
    kept = replace(opened, states=CountedStates(opened.states, opened.runs, counters))
    repositories = BareRepositories(settings.path("repos"))
    gate = Gate(
        kept.people, kept.catalogue, repositories, push_to_create=settings.push_to_create, address=address,
        reserved=places.RESERVED,
    )  # fmt: skip
    return Parts(
        settings, address, kept, repositories, BareRefs(settings.path("repos")),
        RememberingResolver(
            SocketResolver(settings.path("run", "resolver.sock")), tree_factory(lambda source: WorkTree(source.path))
        ),
        places.storage(settings), places.bell(settings), gate, counters,
    )  # fmt: skip


def reception(parts: Parts) -> Reception:
    """The flow that receives pushes."""
    return Reception(
        inbox=parts.records.inbox, catalogue=parts.records.catalogue, repositories=parts.repositories, refs=parts.refs,
        resolver=parts.resolver, bell=parts.bell, speak=parts.speak, address=parts.address_of,
        most_refs=parts.settings.repository_refs, patience=parts.settings.push_wait,
    )  # fmt: skip


def works(parts: Parts) -> Works:
    """Planner, engine and recorder, for the engine's process."""
    kept = parts.records
    recorder = Recorder(
        runs=kept.runs, states=kept.states, repositories=parts.repositories, refs=parts.refs, bell=parts.bell,
        commits_results=lambda run: _checked(parts, run).documents.pipeline.results == "commit",
        archive=lambda run: _keep(parts, run),
    )  # fmt: skip
    sandbox = box(parts.settings)
    if (trouble := sandbox.trouble()) is not None:
        LOG.warning("%s", trouble)
    engine = _engines(parts, CountedEnds(recorder, parts.counters), sandbox)
    lacking = Lacking(kept.waiting, kept.runs, kept.states, kept.secrets, parts.bell)
    elsewhere = NamedRemotes(
        parts.storage.objects, lambda repository_id, md5s: _arrived(parts, repository_id, md5s), lacking.failed,
        kept.secrets.values, parts.settings.path("tmp", "elsewhere"), own=parts.address,
        reach=cast(Reach, parts.settings.remotes), limit=int(specs.quantity(parts.settings.object_limit)),
    )  # fmt: skip
    planner = Planner(
        inbox=kept.inbox, catalogue=kept.catalogue, runs=kept.runs, states=kept.states, history=kept.history,
        waiting=kept.waiting, repositories=parts.repositories, refs=parts.refs, resolver=parts.resolver,
        storage=parts.storage,
        imports=HostedImports(parts.gate, functools.partial(places.store, parts.settings), parts.address),
        elsewhere=elsewhere, bell=parts.bell,
        submit=lambda run, plan, checked: engine.submit(order(parts, run, plan, checked)),
        engine=functools.partial(engines.choose, parts.settings),
        archive=lambda run: _nothing(parts, run), speak=parts.speak, address=parts.address_of,
    )  # fmt: skip
    control = Control(kept.runs, kept.states, kept.catalogue, parts.refs, engine, planner, parts.bell)
    asides = Asides(functools.partial(places.keep_asides, parts.settings))
    upkeep = Upkeep(
        catalogue=kept.catalogue, runs=kept.runs, repositories=parts.repositories, refs=parts.refs,
        keeping=Keeping(parts.settings.experiment_days, parts.settings.experiments), asides=asides,
        calendar=Calendar(
            lambda: places.reckoning(parts.settings), lambda found: places.keep_reckoning(parts.settings, found)
        ),
    )  # fmt: skip
    sweeper = Sweeper(catalogue=kept.catalogue, refs=parts.refs, inbox=kept.inbox, journal=kept.journal, asides=asides)
    keep = functools.partial(_keep, parts)
    make_room = functools.partial(_make_room, parts)
    return Works(parts, engine, planner, control, sweeper, upkeep, asides, elsewhere, lacking, keep, make_room)


def _make_room(parts: Parts) -> None:
    """On the disk, and in the bucket of what was sent to it in parts and never became an object."""
    places.make_room(parts.settings)

    def over(run_id: str) -> bool:
        try:
            return parts.records.runs.get(run_id).status in RUN_ENDED
        except errors.NotFound:
            return True

    try:
        places.forsake(parts.settings, over)
    except errors.Unavailable as error:
        LOG.warning("uploads that were broken off stay in the bucket for now: %s", error)


def _engines(parts: Parts, listener: Listener, sandbox: Sandbox) -> Engines:
    """The engines that runs may go to here."""
    kept = parts.records
    memory = local_engine.remembering(parts.storage, kept.history.made, parts.repositories)
    local = local_engine.make(
        parts.settings, listener=listener, memory=memory, repositories=parts.repositories,
        environments=environments(parts.settings, sandbox), sandbox=sandbox, secrets=kept.secrets,
    )  # fmt: skip
    parts.counters.watch_machine(lambda: local.load)
    found: dict[str, Engine] = {"local": local}
    if "argo" in engines.names(parts.settings):
        cluster: Any = importlib.import_module("refmill_web.argo_engine")  # its client takes a second to load
        found["argo"] = cluster.make(
            parts.settings, parts.address, listener=listener, records=kept, bell=parts.bell, memory=memory,
            keep=functools.partial(places.keep_log, parts.settings),
        )  # fmt: skip
    return Engines(found, lambda run_id: kept.runs.get(run_id).engine)


def order(parts: Parts, run: Run, plan: Plan, checked: Checked) -> RunOrder:
    """A run as the engine takes it, with the platform's defaults where refmill.yaml says nothing."""
    repository = parts.records.catalogue.get(run.repository_id)
    owner = parts.records.people.find(repository.owner)
    tree = parts.repositories.tree(run.repository_id, run.source, project=run.project)
    network = repository.network and parts.settings.network
    default = digests.defaults(parts.settings, tree, network=network)
    stages = parts.records.runs.stages(run.id)
    ended = {stage.address: stage for stage in stages if stage.status in STAGE_ENDED}
    return RunOrder(
        run, plan, specs.all_settings(checked.documents, plan.pipeline, default), repository.owner, ended,
        checked.documents.pipeline.on_error, trusted=parts.settings.trust_all_users or bool(owner and owner.trusted),
        paused=run.status == "paused",
        allowed=frozenset(stage.address for stage in stages if stage.status in ("queued", "running")),
        environments=digests.digests(checked.documents, plan.pipeline, tree),
        rerun_on_environment_change=checked.documents.pipeline.rerun_on_environment_change,
        network=network,
    )  # fmt: skip


def _keep(parts: Parts, run: Run) -> None:
    """Archive a finished run; now and then pack the refs, for every push has all experiments listed to it."""
    archive.keep(parts.settings, parts.records, run)
    if run.number % PACK_EVERY == 0:
        try:
            parts.repositories.pack_refs(run.repository_id)
        except errors.RefmillError as error:  # the run is as it is, and the upkeep tries again
            LOG.warning("%s: its refs could not be packed: %s", run.repository, error)


def _nothing(parts: Parts, run: Run) -> None:
    """A run that had nothing to do has ended as it was made."""
    parts.counters.run_ended(run)
    _keep(parts, run)


def _checked(parts: Parts, run: Run) -> Checked:
    return parts.resolver.check(Source(parts.repositories.path(run.repository_id), run.source, run.project))


def box(settings: Settings) -> Sandbox:
    """What stages are put into."""
    return Sandbox(cast(Mode, settings.sandbox), network=settings.network, hidden=settings.data)


def environments(settings: Settings, sandbox: Sandbox | None = None) -> Environments:
    """Where stages' environments are made and found."""
    return Environments(
        settings.path("env"),
        settings.path("cache", "uv"),
        uv=uv.find_uv_bin(),
        sandbox=sandbox or box(settings),
        wheels_only=settings.wheels_only,
        index=settings.pip_index,
    )


def web_application(parts: Parts) -> WSGIApplication:
    """All that the web's process answers: git, the data remote, and the pages for the rest."""
    git = GitHTTP(
        gate=parts.gate,
        listener=CountedPushes(git_listener.Listener(reception(parts)), parts.counters),
        root=parts.settings.path("repos"),
        push_limit=int(specs.quantity(parts.settings.push_limit)),
        push_refs=parts.settings.push_refs,
        translate=translate(parts.settings.language or language()),
    )
    arrivals = Arrivals(lambda repository_id, md5s: _arrived(parts, repository_id, md5s)).note
    stores, limit = functools.partial(places.store, parts.settings), int(specs.quantity(parts.settings.object_limit))
    data = DataRemote(RecentAdmissions(parts.gate), stores, arrivals, limit=limit, address=parts.address)
    gate = RunGate(places.key(parts.settings), parts.records.runs, parts.records.catalogue, parts.repositories)
    data_of_runs = DataRemote(gate, stores, arrivals, limit=limit, address=desks.address(parts.settings, parts.address))
    pages = create_app(services(parts))

    def answer(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        path = environ.get("PATH_INFO", "")
        if GitHTTP.handles(path):
            return git(environ, start_response)
        if remote.ADDRESS.match(path):
            of_run = gate.knows(environ.get("HTTP_AUTHORIZATION"))
            return (data_of_runs if of_run else data)(environ, start_response)
        return pages(environ, start_response)

    return answer


def _arrived(parts: Parts, repository_id: str, md5s: Sequence[str]) -> None:
    """Objects are in a repository's store now; the engine hears of it if a run waited for them."""
    if parts.records.waiting.arrived(repository_id, md5s):
        parts.bell.ring("objects")


def services(parts: Parts) -> Services:
    """What the pages may ask."""
    kept = parts.records
    return Services(
        settings=parts.settings,
        people=kept.people,
        profiles=kept.profiles,
        sessions=kept.sessions,
        journal=kept.journal,
        secrets=kept.secrets,
        catalogue=kept.catalogue,
        runs=kept.runs,
        states=kept.states,
        history=kept.history,
        repositories=parts.repositories,
        refs=parts.refs,
        past=History(parts.settings.path("repos")),
        resolver=parts.resolver,
        experiments=BareExperiments(parts.settings.path("repos"), parts.storage.objects),
        bell=parts.bell,
        logs=places.logs(parts.settings),
        objects=parts.storage.objects,
        desk=desks.make(
            parts.settings,
            records=kept,
            storage=parts.storage,
            repositories=parts.repositories,
            bell=parts.bell,
            own=parts.address,
        ),
        packed=functools.partial(places.packed, parts.settings),
        aside=lambda repository_id: [
            item for item in places.asides(parts.settings) if item.repository_id == repository_id
        ],
        ready=lambda: _silent(parts),
        figures=_exposition(parts).text,
        unboxed=box(parts.settings).trouble,
    )


def _silent(parts: Parts) -> list[str]:
    """Parts of the platform that do not answer now."""
    missing: list[str] = []
    try:
        parts.records.people.find("nobody")
    except errors.RefmillError:
        missing.append("database")
    try:
        _probe(parts)
    except errors.RefmillError:
        missing.append("resolver")
    return missing


def _probe(parts: Parts) -> None:
    """Ask the resolver something. Raises RefmillError if it does not answer."""
    parts.resolver.check(Source(parts.settings.path("run")))


def _exposition(parts: Parts) -> Exposition:
    """All figures, as the web's process gathers them."""
    settings = parts.settings

    def upkeep() -> int | None:
        last = places.reckoning(settings)
        return None if last is None else last.believed

    return Exposition(parts.counters, Sources(
        data=settings.data, reserve=int(specs.quantity(settings.disk_reserve)), overview=parts.records.overview,
        engine=settings.path(*places.FIGURES), resolver=lambda: _probe(parts),
        asides=functools.partial(places.asides, settings), upkeep=upkeep,
        parent=functools.partial(places.parent, settings),
    ))  # fmt: skip
