"""What the cluster is made of: programs built by Go from published modules, kept until their pins change."""

import fcntl
import hashlib
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from cluster.calling import last_lines
from cluster.errors import ClusterError
from cluster.places import person_home
from cluster.preflight import NO_GO

TOOLS = Path(__file__).parent / "tools"
KUBERNETES = "1.37.2"
NEWS = 15.0
"""Seconds between two lines about a long build."""

Say = Callable[[str], None]
"""Tells a person how far something has come."""


def _stamps(version: str) -> str:
    """Linker flags that tell Kubernetes its version; without them it gives one that no client can read."""
    major, minor, _ = version.split(".")
    told = {
        "gitVersion": f"v{version}",
        "gitMajor": major,
        "gitMinor": minor,
        "gitTreeState": "archive",
        "gitCommit": "",
    }
    packages = ("k8s.io/component-base/version", "k8s.io/client-go/pkg/version")
    return " ".join(f"-X {package}.{name}={value}" for package in packages for name, value in told.items())


@dataclass(frozen=True, slots=True)
class Tool:
    """One module below `tools/`: its versions stand in go.mod and go.sum."""

    name: str
    programs: tuple[str, ...]
    linker: str = ""
    package: str = "tool"
    """What `go build` is given: by default all that go.mod lists as tools."""
    renamed: dict[str, str] = field(default_factory=dict)
    """Go's name of a program, by which nobody knows it, and ours."""

    @property
    def folder(self) -> Path:
        return TOOLS / self.name


ALL = (
    Tool("pause", ("pause",), package="."),
    Tool("etcd", ("etcd",), renamed={"server": "etcd"}),
    Tool("coredns", ("coredns",)),
    Tool(
        "kubernetes",
        ("kube-apiserver", "kube-controller-manager", "kube-scheduler", "kube-proxy", "kubelet", "kubectl"),
        linker=_stamps(KUBERNETES),
    ),
)
HELM = Tool("helm", ("helm",), linker="-X helm.sh/helm/v4/internal/version.version=v4.3.1")
"""No part of a cluster, so it is built only for those who ask for it."""


def environment() -> dict[str, str]:
    """What Go runs with: the caches of the person, and no settings of another project."""
    kept = {name: value for name, value in os.environ.items() if name not in {"GOFLAGS", "GOWORK"}}
    return kept | {"HOME": str(person_home()), "CGO_ENABLED": "0", "GOWORK": "off", "GOFLAGS": "-mod=readonly"}


def _go(tool: Tool) -> str:
    """The Go that builds this module: one that is too old fetches the one that go.mod asks for."""
    told = subprocess.run(
        ["go", "version"], cwd=tool.folder, env=environment(), capture_output=True, text=True, check=False
    )
    if told.returncode:
        raise ClusterError(f"go does not want to build {tool.name}: {told.stderr.strip()}")
    return told.stdout


def key(tool: Tool) -> str:
    """Changes with everything that decides what is built; raises ClusterError where Go refuses."""
    told = hashlib.sha256(f"{_go(tool)}\n{tool.linker}\n{tool.renamed}\n".encode())
    for path in sorted(path for path in tool.folder.iterdir() if path.is_file()):
        told.update(path.name.encode() + b"\0" + path.read_bytes())
    return told.hexdigest()[:16]


def place(tool: Tool, cache: Path) -> Path:
    """Where a tool's programs lie once they are built; raises ClusterError where Go refuses."""
    return cache / "programs" / f"{tool.name}-{key(tool)}"


def programs(cache: Path, say: Say) -> dict[str, Path]:
    """All programs of a cluster by name, built where they are not there; raises ClusterError where Go cannot build
    them."""
    return built(ALL, cache, say)


def unbuilt(cache: Path) -> list[str]:
    """Which of a cluster's programs have yet to be built; raises ClusterError where Go cannot build them."""
    _need_go()
    return [name for tool in ALL if not place(tool, cache).is_dir() for name in tool.programs]


def built(tools: Iterable[Tool], cache: Path, say: Say) -> dict[str, Path]:
    """The programs of these tools by name, as `programs`."""
    _need_go()
    found: dict[str, Path] = {}
    for tool in tools:
        folder = place(tool, cache)
        if not folder.is_dir():
            with _alone(cache, say):
                if not folder.is_dir():
                    _build(tool, folder, say)
        found |= {name: folder / name for name in tool.programs}
    return found


def _need_go() -> None:
    if shutil.which("go") is None:
        raise ClusterError(NO_GO)


@contextmanager
def _alone(cache: Path, say: Say) -> Iterator[None]:
    """One build at a time; two at once would do everything twice."""
    cache.mkdir(parents=True, exist_ok=True)
    with (cache / "building.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("waiting for another build of the cluster's programs")
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _build(tool: Tool, folder: Path, say: Say) -> None:
    say(f"building {', '.join(tool.programs)} (once; kept in {folder})")
    folder.parent.mkdir(parents=True, exist_ok=True)
    scratch = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    try:
        _compile(tool, scratch, say)
        for name, wanted in tool.renamed.items():
            (scratch / name).rename(scratch / wanted)
        missing = [name for name in tool.programs if not os.access(scratch / name, os.X_OK)]
        if missing:
            raise ClusterError(f"the build of {tool.name} made no {', '.join(missing)}")
        scratch.chmod(0o755)
        scratch.rename(folder)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _compile(tool: Tool, out: Path, say: Say) -> None:
    """`go build`, with a line now and then: the large one takes minutes."""
    command = ["go", "build", "-v", "-p", str(os.cpu_count() or 1), "-trimpath", "-buildvcs=false"]
    command += ["-ldflags", f"-s -w {tool.linker}".strip(), "-o", f"{out}{os.sep}", tool.package]
    began = told = time.monotonic()
    lines: list[str] = []
    with subprocess.Popen(
        command, cwd=tool.folder, env=environment(), stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stderr is not None
        try:
            for line in process.stderr:
                lines.append(line.strip())
                if (now := time.monotonic()) - told > NEWS:
                    told = now
                    say(f"  {now - began:4.0f} s, {len(lines)} steps, now {lines[-1]}")
        except BaseException:
            process.kill()
            raise
    if process.returncode:
        said = last_lines("\n".join(lines))
        raise ClusterError(f"go could not build {tool.name}:\n{said}")
    say(f"  built in {time.monotonic() - began:.0f} s")
