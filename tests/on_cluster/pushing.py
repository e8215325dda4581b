"""`git push` to a platform whose runs go to a real cluster, and commands that do what a test says."""

import contextlib
import queue
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from clusters import OnCluster, Silent, served

from platforms import Copy, Platform, new_copy
from refmill.clients import codec
from refmill.texts import Text

SETTINGS = {
    "engine": "argo", "engines": "local", "stage_cpus": "0.1", "stage_memory": "256Mi", "stage_disk": "256Mi",
    "argo_network_policy": "false",
}  # fmt: skip
SPEC = "apiVersion: refmill/v1\nkind: Pipeline\nmetadata: {name: project}\nspec:\n"
HERE = SPEC + "  engine: local\n"
FIT = "refmill.yaml"


@contextlib.contextmanager
def platform_on(
    cluster: OnCluster, namespace: str, image: str, folder: Path, **settings: str
) -> Iterator[Platform]:  # fmt: skip
    """A platform that pods reach, with alice, and its part of the namespace."""
    made = Platform(folder / "data").choose({
        **SETTINGS, "kubeconfig": str(cluster.kubectl.kubeconfig), "argo_namespace": namespace, "argo_image": image,
        **settings,
    })  # fmt: skip
    try:
        made.start("--host", cluster.here)
        cluster.kubectl("apply", "-f", "-", stdin=made.refmill("render", "--installation"))
        made.user("alice", "--admin")
        yield made
    finally:
        made.stop()


def restart(platform: Platform) -> None:
    """As after the end of its machine's power: it is killed, and comes back at the same address."""
    host, _, port = platform.address.removeprefix("http://").rpartition(":")
    platform.kill()
    platform.start("--host", host, "--port", port)


@dataclass(frozen=True, slots=True)
class Attempted:
    """What the records say of an attempt."""

    address: str
    attempt: int
    status: str
    why: str = ""


_ATTEMPTS = """
SELECT address, stage_attempts.attempt, stage_attempts.status, stage_attempts.explanation FROM stage_attempts
JOIN runs ON run_id = runs.id JOIN repositories ON repository_id = repositories.id
WHERE repositories.name = ? AND runs.number = ? ORDER BY position, stage_attempts.attempt
"""
_RUN = """
SELECT runs.id, engine FROM runs JOIN repositories ON repository_id = repositories.id
WHERE repositories.name = ? AND runs.number = ?
"""


@dataclass(frozen=True)
class Pushed:
    """A repository that has been pushed, and its first run."""

    platform: Platform
    copy: Copy
    name: str
    owner: str = "alice"
    number: int = 1

    @property
    def repository(self) -> str:
        return f"{self.owner}/{self.name}"

    @property
    def run(self) -> str:
        """The run's id."""
        return self.platform.query(_RUN, self.name, self.number)[0][0]

    @property
    def engine(self) -> str:
        return self.platform.query(_RUN, self.name, self.number)[0][1]

    def ended(self, status: str = "succeeded", seconds: float = 300) -> dict[str, Any]:
        """The run, which ends so."""
        run = self.platform.ended(self.repository, self.number, seconds)
        assert run["status"] == status, (run, self.attempts(), self.platform.log()[-4000:])
        return run

    def attempts(self, *addresses: str) -> list[Attempted]:
        """All attempts of these stages, or of all."""
        found = [
            Attempted(address.decode(), attempt, status, str(codec.from_json(Text, why)) if why else "")
            for address, attempt, status, why in self.platform.query(_ATTEMPTS, self.name, self.number)
        ]
        return [each for each in found if not addresses or each.address in addresses]

    def is_at(self, address: str, attempt: int, status: str) -> bool:
        """Whether an attempt is in this state."""
        return any((each.attempt, each.status) == (attempt, status) for each in self.attempts(address))

    def result(self) -> dict[str, tuple[str, bytes]]:
        """The files of the run's experiment with their modes, but for what says where it runs."""
        copy, url = self.copy, self.platform.url(self.repository, self.owner)
        copy.git("fetch", "--quiet", "--force", url, f"refs/exps/*:refs/of/{self.name}/*")
        refs = copy.git("for-each-ref", "--format=%(refname)", f"refs/of/{self.name}").stdout.split()
        (ref,) = (ref for ref in refs if ref.endswith(f"/run-{self.number}"))
        lines = [
            line.split(maxsplit=3) for line in copy.git("ls-tree", "-r", "-z", ref).stdout.rstrip("\0").split("\0")
        ]
        return {
            path: (mode, copy.bytes_of("git", "cat-file", "blob", blob))
            for mode, _, blob, path in lines
            if Path(path).name != FIT
        }


def push(platform: Platform, name: str, copy: Copy, owner: str = "alice", branch: str = "main") -> Pushed:
    """Push a working copy."""
    copy.git("push", "--quiet", platform.url(f"{owner}/{name}", owner), f"main:refs/heads/{branch}")
    return Pushed(platform, copy, name, owner)


def push_new(platform: Platform, name: str, folder: Path, files: dict[str, str], owner: str = "alice") -> Pushed:
    """Push a new working copy with these files."""
    return push(platform, name, new_copy(folder / name, files), owner)


def assert_alike(there: Pushed, here: Pushed) -> None:
    """The cluster made what the local engine made: the same bytes in the same files, and the same attempts."""
    assert (there.engine, here.engine) == ("argo", "local")
    far, near = there.result(), here.result()
    for path in (path for path in far if Path(path).name == "dvc.lock"):
        assert far[path][1].decode() == near[path][1].decode()
    assert far == near
    assert _ends(there) == _ends(here)


def _ends(pushed: Pushed) -> set[tuple[str, int, str]]:
    return {(each.address, each.attempt, each.status) for each in pushed.attempts()}


LED = """\
import os, sys, urllib.request
url = "ADDRESS/" + sys.argv[1] + "/" + os.uname().nodename
script = urllib.request.urlopen(url, timeout=600).read()
os.execv("/bin/sh", ["sh", "-ec", script])
"""


@dataclass
class Lead:
    """Says what commands do: `python3 led.py NAME` waits until the test gives NAME a script, and becomes that. `pods`
    are where the latest of each name run."""

    address: str
    scripts: dict[str, "queue.Queue[str]"] = field(default_factory=lambda: defaultdict(queue.Queue))
    asked: list[str] = field(default_factory=list)
    pods: dict[str, str] = field(default_factory=dict)

    @property
    def files(self) -> dict[str, str]:
        """What a project needs to be led."""
        return {"led.py": LED.replace("ADDRESS", self.address)}

    def give(self, name: str, script: str) -> None:
        """What the next command of that name does, or the one that waits."""
        self.scripts[name].put(script)

    def wait_for(self, name: str, times: int = 1, seconds: float = 120) -> None:
        """Until a command of that name runs, for the so manieth time."""
        OnCluster.wait_for(lambda: self.asked.count(name) >= times, f"{name} runs, {times}", seconds)


@contextlib.contextmanager
def lead(host: str) -> Iterator[Lead]:
    """A server at an address of this machine that pods reach."""

    class Answers(Silent):
        def do_GET(self) -> None:  # noqa: N802 - http.server's name
            name, _, pod = self.path[1:].partition("/")
            made.pods[name] = pod
            made.asked.append(name)
            with contextlib.suppress(OSError):
                self.answer(made.scripts[name].get(timeout=600).encode())

    with served(Answers, host) as address:
        made = Lead(address)
        yield made
