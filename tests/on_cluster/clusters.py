"""Talks to a cluster as a test does."""

import contextlib
import http.server
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from cluster import lifecycle, network
from cluster.configuration import Files
from cluster.images import BUSYBOX, Image
from cluster.kubectl import Kubectl

TESTS = Path(__file__).resolve().parent.parent
SECONDS = 90.0
NO_WAY = "pods of the given cluster reach this machine at no address: name one with CLUSTER_HOST=ADDRESS"
COMMAND = [sys.executable, "-m", "cluster"]


def command(*words: str, code: int = 0, before: tuple[str, ...] = (), **environment: str) -> str:
    """What `python -m cluster` says, on both outputs."""
    done = subprocess.run(
        [*before, *COMMAND, *words], cwd=TESTS, env=os.environ | environment,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == code, done.stdout
    return done.stdout


def processes(name: str) -> list[int]:
    """Processes of the cluster's own programs, by the name that the kernel has."""
    found = []
    for folder in Path("/proc").iterdir():
        with contextlib.suppress(OSError):
            if folder.name.isdecimal() and (folder / "comm").read_text().strip() == name:
                found.append(int(folder.name))
    return found


@contextlib.contextmanager
def away(name: str) -> Iterator[None]:
    """A program of the cluster's own is killed, and the one that takes its place does nothing before the end."""
    (killed,) = processes(name)
    os.kill(killed, signal.SIGKILL)
    (new,) = OnCluster.wait_for(lambda: [pid for pid in processes(name) if pid != killed], f"{name} is started anew")
    os.kill(new, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(new, signal.SIGCONT)


class Silent(http.server.BaseHTTPRequestHandler):
    """Answers without a word in the tests' output."""

    def answer(self, body: bytes) -> None:
        """All of an answer."""
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        pass


@contextlib.contextmanager
def served(answers: type[Silent], host: str) -> Iterator[str]:
    """A server at an address of this machine; gives its own. Nobody waits for requests that are under way at its
    end."""
    server = http.server.ThreadingHTTPServer((host, 0), answers)
    server.daemon_threads, server.block_on_close = True, False
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://{host}:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


@dataclass(frozen=True)
class OnCluster:
    """A cluster that is up; `files` are None where it is not ours. `host` is where its pods reach this machine, "" where
    they do not."""

    kubectl: Kubectl
    files: Files | None
    host: str = network.HOST

    @property
    def here(self) -> str:
        """The address of this machine for pods; without one the test is skipped."""
        if not self.host:
            pytest.skip(NO_WAY)
        return self.host

    def load(self, image: Image) -> str:
        """Have an image there, but for a given cluster, which needs it before; gives its name."""
        if self.files:
            lifecycle.load(self.files, image.archive)
        return image.name

    @staticmethod
    def wait_for(until: Callable[[], Any], what: str = "", seconds: float = SECONDS) -> Any:
        """What `until` gives as soon as it is true."""
        end = time.monotonic() + seconds
        while not (found := until()):
            assert time.monotonic() < end, f"not within {seconds} s: {what}"
            time.sleep(0.2)
        return found

    def run(self, namespace: str, name: str, script: str, image: str = BUSYBOX, **spec: Any) -> None:
        """Make a pod that runs a shell script once."""
        container = {
            "name": "main", "image": image, "imagePullPolicy": "IfNotPresent", "command": ["sh", "-c", script],
        } | spec.pop("container", {})  # fmt: skip
        self.kubectl.apply({
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": name, "namespace": namespace, "labels": {"app": name}},
            "spec": {
                "restartPolicy": "Never", "terminationGracePeriodSeconds": 1, "containers": [container],
            } | spec,
        })  # fmt: skip

    def pod(self, namespace: str, name: str) -> dict[str, Any]:
        """A pod as it is."""
        found: dict[str, Any] = self.kubectl.data("get", "pod", name, "-n", namespace)
        return found

    def phase(self, namespace: str, name: str, *wanted: str) -> dict[str, Any]:
        """The pod as soon as it is in one of these phases."""
        return self.wait_for(
            lambda: (pod := self.pod(namespace, name))["status"].get("phase") in wanted and pod, f"{name} is {wanted}"
        )

    def finished(self, namespace: str, name: str) -> dict[str, Any]:
        """How the pod's container ended."""
        pod = self.phase(namespace, name, "Succeeded", "Failed")
        return pod["status"]["containerStatuses"][0]["state"]["terminated"]

    def ready(self, namespace: str, name: str) -> str:
        """The address of a pod as soon as it is ready."""
        self.kubectl("wait", "--for=condition=Ready", f"pod/{name}", "-n", namespace, f"--timeout={SECONDS:.0f}s")
        return self.pod(namespace, name)["status"]["podIP"]

    def logs(self, namespace: str, name: str) -> str:
        """What a pod said."""
        return self.kubectl("logs", name, "-n", namespace)
