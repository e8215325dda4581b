"""An instance of Argo with a PostgreSQL of its own, for one namespace: a controller that keeps the nodes of every
Workflow there and archives them, and the Argo Server. Both run on this machine, and go with the test."""

import contextlib
import json
import os
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from clusters import OnCluster

from cluster import argo
from cluster.argo import Argo
from cluster.certificates import Authority
from cluster.places import places
from database_servers import DatabaseServer
from refmill import errors
from refmill_argo import argoserver
from refmill_argo.argoserver import ArgoServer
from refmill_argo.cluster import WORKFLOWS, Kind, Thing
from refmill_argo.kube import KubeCluster
from server_processes import free_port

INSTANCE = "refmill-test"
SECONDS = 60.0
OWNER = "argo"
"""Whose the database is, which is called so too; and the password."""
READER = "archive-reader"
CONFIGURATION = "argo-with-a-database"


class OfInstance(KubeCluster):
    """The cluster, whose Workflows are of our instance of Argo: the other one leaves them alone."""

    def create(self, kind: Kind, manifest: str) -> Thing:
        if kind == WORKFLOWS:
            thing = yaml.safe_load(manifest)
            thing["metadata"]["labels"]["workflows.argoproj.io/controller-instanceid"] = INSTANCE
            manifest = json.dumps(thing)
        return super().create(kind, manifest)


@dataclass
class ArgoWithADatabase:
    """The instance; its server may be ended."""

    cluster: OnCluster
    namespace: str
    folder: Path
    server: subprocess.Popen[bytes]
    port: int

    @property
    def address(self) -> str:
        return f"https://127.0.0.1:{self.port}"

    @property
    def ca(self) -> str:
        return str(self.folder / "certificates" / "ca.crt")

    @property
    def token_file(self) -> str:
        return str(self.folder / "token")

    def asked(self) -> ArgoServer:
        """The Argo Server as the engine asks it."""
        return argoserver.connect(self.address, self.namespace, token_file=self.token_file, ca=self.ca)

    def wait(self) -> None:
        """Until the server answers. Fails with its last answer and what it and the controller wrote."""
        end, said = time.monotonic() + SECONDS, ""
        while self.server.poll() is None and time.monotonic() < end:
            try:
                self.asked().version()
            except errors.Unavailable as error:
                said = str(error.message)
                time.sleep(0.5)
            else:
                return
        logs = [f"{path}:\n{path.read_text()[-3000:]}" for path in sorted(self.folder.glob("*.log"))]
        pytest.fail("\n".join([f"the Argo Server at {self.address} does not answer: {said}", *logs]))


def _applied(cluster: OnCluster, namespace: str, database: DatabaseServer, folder: Path) -> None:
    """Configuration, secrets, and an account that may do what the engine asks for."""
    database.execute(f"CREATE ROLE {OWNER} LOGIN PASSWORD '{OWNER}'")
    database.execute(f"CREATE DATABASE {OWNER} OWNER {OWNER}")
    authority = Authority(folder / "certificates")
    authority.issue("server", common_name="argo server", names=["127.0.0.1"])
    configuration = {
        "instanceID": INSTANCE,
        "persistence": {
            "nodeStatusOffLoad": True,
            "archive": True,
            "postgresql": {
                "host": "127.0.0.1", "port": database.port, "database": OWNER,
                "tableName": "argo_workflows", "userNameSecret": {"name": "database", "key": "name"},
                "passwordSecret": {"name": "database", "key": "word"},
            },
        },
        "executor": {"resources": {"requests": {"cpu": "10m", "memory": "32Mi"}, "limits": {"memory": "256Mi"}}},
        "metricsConfig": {"enabled": False},
    }  # fmt: skip

    def of(kind: str, name: str, version: str = "v1", **more: Any) -> dict[str, Any]:
        return {"apiVersion": version, "kind": kind, "metadata": {"name": name, "namespace": namespace}, **more}

    rights = "rbac.authorization.k8s.io"
    certificate = {f"tls.{end}": (folder / "certificates" / f"server.{end}").read_text() for end in ("crt", "key")}
    cluster.kubectl.apply(
        of("Secret", "database", stringData={"name": OWNER, "word": OWNER}),
        of("Secret", "certificate", stringData=certificate),
        of("ConfigMap", CONFIGURATION, data={"config": yaml.safe_dump(configuration)}),
        of("ServiceAccount", READER), of("ServiceAccount", "nobody"),
        of("Role", READER, f"{rights}/v1", rules=[
            {"apiGroups": ["argoproj.io"], "resources": ["workflows"], "verbs": ["get", "list", "update"]}
        ]),
        of("RoleBinding", READER, f"{rights}/v1", roleRef={"apiGroup": rights, "kind": "Role", "name": READER},
           subjects=[{"kind": "ServiceAccount", "name": READER, "namespace": namespace}]),
    )  # fmt: skip
    (folder / "token").write_text(cluster.kubectl("create", "token", READER, "-n", namespace))


@contextlib.contextmanager
def _running(command: list[str], log: Path, **environment: str) -> Iterator[subprocess.Popen[bytes]]:
    with log.open("ab") as file:
        process = subprocess.Popen(command, stdout=file, stderr=file, env=os.environ | environment)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


@contextlib.contextmanager
def argo_with_a_database(
    cluster: OnCluster, namespace: str, database: DatabaseServer, folder: Path
) -> Iterator[ArgoWithADatabase]:
    """Until the server answers, and the tables are there. Skips where Argo's programs are not on this machine."""
    found = argo.find(places().argo)
    if not isinstance(found, Argo):
        pytest.skip(found)
    _applied(cluster, namespace, database, folder)
    kubeconfig, port = cluster.kubectl.kubeconfig, free_port()
    own = ["--namespaced", f"--configmap={CONFIGURATION}"]
    controller = [*argo.controller(found, kubeconfig, namespace), *own]
    server = [
        str(found.program("argo")), "server", f"--kubeconfig={kubeconfig}", f"--namespace={namespace}", *own,
        "--auth-mode=client", f"--port={port}", "--tls-certificate-secret-name=certificate", "--loglevel=info",
    ]  # fmt: skip
    with contextlib.ExitStack() as stack:
        stack.enter_context(_running(
            controller, folder / "controller.log", **argo.ENVIRONMENT, ALWAYS_OFFLOAD_NODE_STATUS="true"
        ))  # fmt: skip
        # For what it does in the name of those who ask it reads KUBECONFIG, and does not heed --kubeconfig.
        process = stack.enter_context(_running(server, folder / "server.log", KUBECONFIG=str(kubeconfig)))
        made = ArgoWithADatabase(cluster, namespace, folder, process, port)
        made.wait()
        try:
            yield made
        finally:
            # Argo holds pods until it has seen their end: without its controller they would never go.
            cluster.kubectl("delete", "workflows.argoproj.io", "--all", f"--namespace={namespace}")
            cluster.wait_for(
                lambda: not cluster.kubectl.data("get", "pods", f"--namespace={namespace}")["items"], "its pods go"
            )
