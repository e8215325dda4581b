"""The engine of a cluster with everything it needs of this platform. Loaded only where runs go to a cluster."""

from __future__ import annotations

import hashlib
import hmac
import http.client
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

from refmill import errors
from refmill.clients.database import Records
from refmill.engine.endings import told
from refmill.model.runs import Run
from refmill.plans.decide import Memory
from refmill.ports.engines import Listener
from refmill.ports.waking import Bell
from refmill.settings import Settings
from refmill.texts import Text, text
from refmill_argo import argoserver, contract, kube, packing, tokens
from refmill_argo.engine import ArgoEngine
from refmill_argo.inspecting import Inspection, State
from refmill_argo.options import Options, options
from refmill_argo.parts import Parts
from refmill_web import places


def cluster(settings: Settings) -> kube.KubeCluster:
    """The namespace of the cluster that runs go into. Raises WrongUse if it is not known how to reach it."""
    return kube.connect(settings.argo_namespace, settings.kubeconfig, settings.kube_context)


def archive(settings: Settings) -> argoserver.ArgoServer | None:
    """The Argo Server; None where none is set. Raises WrongUse if it cannot be asked as the settings say."""
    if not settings.argo_server:
        return None
    return argoserver.connect(
        settings.argo_server, settings.argo_namespace, token_file=settings.argo_server_token, ca=settings.argo_server_ca
    )


def chosen(settings: Settings, address: str) -> Options:
    """The options of this installation, whose objects bear a label of its own in the namespace."""
    digits = hmac.new(places.key(settings), b"refmill installation", hashlib.sha256).hexdigest()[:16]
    found = options(settings, contract.runner_digest(), digits)
    return found if settings.argo_pods_url or settings.url else replace(found, server=address)


def inspect(settings: Settings) -> Iterator[tuple[str, State, Text]]:
    """What the cluster has of what runs need, and what it lacks."""
    try:
        found = cluster(settings)
    except errors.RefmillError as error:
        yield "cluster", "bad", told(error)
        return
    yield from Inspection(found, chosen(settings, places.address(settings)), _answers).findings()
    try:
        server = archive(settings)
        if server is not None:
            values = {"address": server.address, "version": server.version()}
            yield "argo-api", "ok", text("the Argo Server at %(address)s answers: Argo %(version)s", **values)
    except errors.RefmillError as error:
        yield "argo-api", "bad", told(error)


def _answers(address: str) -> bool:
    """Whether the platform is there."""
    try:
        with urllib.request.urlopen(f"{address.rstrip('/')}/healthz", timeout=5) as answer:  # noqa: S310
            return bool(answer.status == 200)
    except (OSError, http.client.HTTPException):
        return False


def make(
    settings: Settings, address: str, *, listener: Listener, records: Records, bell: Bell,
    memory: Callable[[Run], Memory], keep: Callable[[Run, str, int, Path], None],
) -> ArgoEngine:  # fmt: skip
    """The engine. It tells `listener` how runs end, and keeps logs that pods could not finish."""
    key = places.key(settings)
    return ArgoEngine(
        Parts(
            work=settings.path("work"),
            listener=listener,
            cluster=cluster(settings),
            options=chosen(settings, address),
            runner=packing.runner(),
            token=lambda run_id: tokens.run_token(key, run_id),
            runs=records.runs,
            states=records.states,
            memory=memory,
            keep=keep,
            bell=bell,
            most=settings.argo_runs,
            each=settings.argo_owner_runs,
            patience=settings.argo_patience,
            archive=archive(settings),
        )
    )
