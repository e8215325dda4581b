"""Releases of the chart with several servers: which of them works, and what can be done to it."""

import functools
import json
import os
import re
import signal
import subprocess
import time
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import requests
import sqlalchemy
from releases import MINUTES, RELEASE, SERVERS, Installed

from cluster.errors import ClusterError
from refmill.clients.database.records import server_url

Pod = dict[str, Any]
LEASE = 20
"""Seconds; long enough that whoever takes over earlier has not waited for its end."""
RENEWED = LEASE / 6
"""How long ago the lease of a server that works was renewed, at most."""


@dataclass(frozen=True)
class Roles:
    """The pods of servers by what they do now."""

    works: Pod
    waits: Pod

    @property
    def names(self) -> tuple[str, str]:
        """Who works, who waits."""
        return name(self.works), name(self.waits)


def name(pod: Pod) -> str:
    """A pod's name, which its host has, too."""
    return str(pod["metadata"]["name"])


def container(pod: Pod) -> dict[str, Any]:
    """What is said of the server's container; {} while it was not made."""
    return next(iter(pod["status"].get("containerStatuses", [])), {})


@dataclass(frozen=True)
class Servers(Installed):
    """A release with two servers, the chart's own database and a volume that both have."""

    server: ClassVar[str] = f"deployment/{RELEASE}"

    def install(self, **settings: str) -> None:
        """Make it, or make it so; waits as people are told to wait."""
        self.upgrade(**settings)
        works = "--for=jsonpath={.status.readyReplicas}=1"
        waiting = ("wait", f"deployment/{RELEASE}", "-n", self.namespace, works, f"--timeout={MINUTES}m")
        try:
            self.cluster.kubectl(*waiting, seconds=MINUTES * 60 + 10)
        except ClusterError as error:
            raise AssertionError(self.story()) from error

    @functools.cached_property
    def _records(self) -> sqlalchemy.Engine:
        service = self.cluster.kubectl.data("get", "service", f"{RELEASE}-database", "-n", self.namespace)
        url = sqlalchemy.make_url(server_url(self.secret(f"{RELEASE}-database")["url"]))
        return sqlalchemy.create_engine(url.set(host=service["spec"]["clusterIP"]), poolclass=sqlalchemy.NullPool)

    def holder(self) -> str:
        """The pod whose server has the lease; "" is nobody."""
        with self._records.connect() as connection:
            held = connection.exec_driver_sql("SELECT holder FROM refmill_lease").scalar()
        return str(held or "").rpartition(":")[0]

    def pods(self, *, ending: bool = False) -> list[Pod]:
        """Of servers; with `ending` also those that are told to end."""
        found = self.cluster.kubectl.data("get", "pods", "-n", self.namespace, "-l", SERVERS)["items"]
        return [pod for pod in found if ending or "deletionTimestamp" not in pod["metadata"]]

    def settled(self, *, without: Collection[str] = (), seconds: float = 180) -> Roles:
        """As soon as all that was done is over: two pods live, one of them is ready and has the lease. `without` are
        uids of pods that are none of them."""

        def roles() -> Roles | None:
            pods = [pod for pod in self.pods() if pod["metadata"]["uid"] not in without]
            if len(pods) != 2 or not all(container(pod).get("started") for pod in pods):
                return None
            ready = [pod for pod in pods if container(pod)["ready"]]
            if [name(pod) for pod in ready] != [self.holder()]:
                return None
            return Roles(ready[0], next(pod for pod in pods if pod is not ready[0]))

        try:
            found: Roles = self.cluster.wait_for(roles, "one server works and one stands by", seconds)
        except AssertionError as error:
            raise AssertionError(f"{self.holder()} has the lease\n{self.story()}") from error
        return found

    def taken_over(self, pod: str, began: float, seconds: float = 120) -> float:
        """Seconds from a moment of `time.monotonic` until another pod has the lease."""
        self.cluster.wait_for(lambda: self.holder() not in ("", pod), "another server has the lease", seconds)
        return time.monotonic() - began

    def answers(self, address: str, path: str) -> int:
        """The status of an answer; 0 where there is none."""
        try:
            return requests.get(f"http://{address}{path}", timeout=5).status_code
        except requests.RequestException:
            return 0

    def signed_in(self) -> requests.Session:
        """A browser's session of the first account."""
        session = requests.Session()
        form = session.get(f"http://{self.address}/login", timeout=30).text
        token = re.search(r'name="csrf" value="([^"]+)"', form)
        assert token, form
        data = {"csrf": token[1], "name": "operator", "password": self.password}
        assert session.post(f"http://{self.address}/login", data, timeout=30).ok
        return session

    def said(self, pod: str) -> str:
        """The log of a server that runs."""
        return self.cluster.kubectl("logs", pod, "-c", "refmill", "-n", self.namespace)

    def evicted(self, pod: str) -> subprocess.CompletedProcess[str]:
        """What the API server says when it is asked to evict a pod, as `kubectl drain` asks for each of a node."""
        asked = {
            "apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": pod, "namespace": self.namespace},
        }  # fmt: skip
        where = f"/api/v1/namespaces/{self.namespace}/pods/{pod}/eviction"
        return self.cluster.kubectl.tried("create", "--raw", where, "-f", "-", stdin=json.dumps(asked))

    def delete(self, pod: str, *words: str) -> None:
        """Have a pod deleted, and wait for nothing."""
        self.cluster.kubectl("delete", "pod", pod, "-n", self.namespace, "--wait=false", *words)

    def signal(self, pod: Pod, number: signal.Signals, *, main: bool = False) -> None:
        """Send a signal to the processes of a server's container, or to its first one."""
        mark = container(pod)["containerID"].rpartition("/")[2]
        for place in Path("/proc").glob("[0-9]*/cgroup"):
            try:
                if mark in place.read_text() and (not main or _is_first(place.parent)):
                    os.kill(int(place.parent.name), number)
            except OSError:
                continue

    def again(self, pod: str) -> dict[str, Any]:
        """How the container of a pod ended, as soon as its next one runs."""

        def restarted() -> dict[str, Any] | None:
            found = container(self.cluster.pod(self.namespace, pod))
            return found if found["restartCount"] and found.get("started") else None

        found: dict[str, Any] = self.cluster.wait_for(restarted, f"{pod} runs again", 120)
        ended: dict[str, Any] = found["lastState"]["terminated"]
        return ended


def _is_first(place: Path) -> bool:
    """Whether the process there is the first one of the innermost namespace that it is in."""
    numbers = re.search(r"^NSpid:\s+(.+)$", (place / "status").read_text(), re.MULTILINE)
    return numbers is not None and numbers[1].split()[-1] == "1"
