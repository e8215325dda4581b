"""The images of the tests. There is no registry: each is made here and loaded from a file."""

import hashlib
import platform
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from cluster import oci, preflight
from cluster.calling import call, last_lines
from cluster.components import Say
from cluster.configuration import PAUSE
from cluster.errors import ClusterError

BUSYBOX = "refmill.test/busybox:1"
"""A shell and the small programs around it, 2 MB."""
PYTHON = "refmill.test/python:1"
"""Debian with Python and git: what a stage of a pipeline finds."""
ARGOEXEC = "refmill.test/argoexec:1"
"""Argo's executor."""
VERSITYGW = "refmill.test/versitygw:1"
"""The S3 server that the chart makes for trials."""
POSTGRESQL = "refmill.test/postgresql:1"
"""Debian's PostgreSQL, which is told what to do, and as whom, as the official image is."""
WITH_PYTHON = oci.Described(PYTHON, command=("bash",), environment={"LANG": "C.UTF-8"})
DEBIAN_PACKAGES = ("ca-certificates", "git", "python3", "python3-pip", "python3-venv")
WITH_POSTGRESQL = oci.Described(POSTGRESQL, entrypoint=("/usr/local/bin/entrypoint",))
POSTGRESQL_BEGINS = """\
#!/bin/sh
set -eu
PATH="$(echo /usr/lib/postgresql/*/bin):$PATH"
if ! [ -s "$PGDATA/PG_VERSION" ]; then
  mkdir -p -m 0700 "$PGDATA"
  echo "$POSTGRES_PASSWORD" >/tmp/secret
  initdb --username="$POSTGRES_USER" --pwfile=/tmp/secret --auth=scram-sha-256 --encoding=UTF8 --locale=C.UTF-8
  rm /tmp/secret
  echo 'host all all all scram-sha-256' >>"$PGDATA/pg_hba.conf"
  echo "CREATE DATABASE $POSTGRES_DB" | postgres --single -D "$PGDATA" postgres
fi
postgres -c listen_addresses='*' &
trap 'kill -INT $!' TERM
wait $! || wait $!
"""
POSTGRESQL_HOOKS = (
    'mkdir -p "$1/etc/postgresql-common"',
    'echo create_main_cluster = false >"$1/etc/postgresql-common/createcluster.conf"',
)
"""The package is not to make a database of its own."""
POSTGRES_USER = 999
"""The number of the user `postgres` in the official image."""
USERS = b"root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/sh\n"
GROUPS = b"root:x:0:\nnobody:x:65534:\n"
FOLDERS = ("bin", "dev", "etc", "proc", "root", "sys", "tmp", "usr", "usr/bin", "var")
MINUTES = 15


@dataclass(frozen=True, slots=True)
class Image:
    """An image in an archive of its own."""

    name: str
    archive: Path


def _kept(cache: Path, described: oci.Described, parts: str, layer: Callable[[Path], None]) -> Image:
    """The archive of an image, made by `layer` if there is none made of the same parts."""
    path = _place(cache, described, parts)
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".making-", dir=path.parent) as folder:
            made = Path(folder, "layer.tar")
            layer(made)
            oci.write_archive(path, described, made)
        for older in path.parent.glob(f"{path.stem.rpartition('-')[0]}-*.tar"):
            if older != path:
                older.unlink(missing_ok=True)
    return Image(described.name, path)


def _place(cache: Path, described: oci.Described, parts: str) -> Path:
    told = hashlib.sha256(f"{described}\n{parts}".encode()).hexdigest()[:16]
    short = described.name.rpartition("/")[2].partition(":")[0]
    return cache / "images" / f"{short}-{told}.tar"


def _of(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _skeleton() -> list[oci.Entry]:
    folders = [oci.Entry(name, mode=0o1777 if name == "tmp" else 0o755) for name in FOLDERS]
    files = {"etc/passwd": USERS, "etc/group": GROUPS}
    return folders + [oci.Entry(name, mode=0o644, content=content) for name, content in files.items()]


def pause(cache: Path, program: Path) -> Image:
    """The image of every pod's first process."""
    described = oci.Described(PAUSE, entrypoint=("/pause",))
    entries = [oci.Entry("pause", source=program)]
    return _kept(cache, described, _of(program), lambda layer: oci.write_layer(layer, entries))


def busybox(cache: Path) -> Image:
    """Raises ClusterError where the machine has no static busybox."""
    program = preflight.busybox()
    if program is None:
        raise ClusterError(f"there is no static busybox: apt-get install {preflight.BUSYBOX}")
    applets = [name for name in call([program, "--list"]).split() if name != "busybox"]
    entries = [*_skeleton(), oci.Entry("bin/busybox", source=program)]
    entries += [oci.Entry(f"bin/{name}", mode=0o777, link="busybox") for name in applets]
    described = oci.Described(BUSYBOX, command=("sh",))
    return _kept(cache, described, _of(program), lambda layer: oci.write_layer(layer, entries))


def argoexec(cache: Path, program: Path) -> Image:
    """The container that Argo puts beside each step."""
    entries = [*_skeleton(), oci.Entry("bin/argoexec", source=program)]
    described = oci.Described(ARGOEXEC, entrypoint=("argoexec",))
    return _kept(cache, described, _of(program), lambda layer: oci.write_layer(layer, entries))


def versitygw(cache: Path, program: Path) -> Image:
    """An S3 server; `program` needs no libraries."""
    entries = [*_skeleton(), oci.Entry("bin/versitygw", source=program)]
    described = oci.Described(VERSITYGW, entrypoint=("versitygw",))
    return _kept(cache, described, _of(program), lambda layer: oci.write_layer(layer, entries))


def postgresql(cache: Path, say: Say) -> Image:
    """Made of Debian's packages; raises ClusterError where they cannot be had."""
    suite = _suite()

    def layer(path: Path) -> None:
        say(f"making {POSTGRESQL} of Debian's packages (once)")
        with tempfile.NamedTemporaryFile("w", suffix=".sh") as begins:
            begins.write(POSTGRESQL_BEGINS)
            begins.flush()
            place = '"$1/usr/local/bin/entrypoint"'
            number = f"groupmod -g {POSTGRES_USER} postgres && usermod -u {POSTGRES_USER} -g {POSTGRES_USER} postgres"
            _debian(
                path, suite, ("postgresql",), *(f"--essential-hook={hook}" for hook in POSTGRESQL_HOOKS),
                f"--customize-hook=install -m 0755 {begins.name} {place}",
                f"--customize-hook=chroot \"$1\" sh -c '{number}'",
            )  # fmt: skip

    return _kept(cache, WITH_POSTGRESQL, f"{suite} {POSTGRESQL_BEGINS}", layer)


def python(cache: Path, say: Say) -> Image:
    """Made of Debian's packages; raises ClusterError where they cannot be had."""
    suite = _suite()

    def layer(path: Path) -> None:
        say(f"making {PYTHON} of Debian's packages (once)")
        _debian(path, suite, DEBIAN_PACKAGES)

    return _kept(cache, WITH_PYTHON, f"{suite} {DEBIAN_PACKAGES}", layer)


def has_python(cache: Path) -> bool:
    """Whether that image is made already; raises ClusterError where it cannot be."""
    return _place(cache, WITH_PYTHON, f"{_suite()} {DEBIAN_PACKAGES}").exists()


def _suite() -> str:
    """The release of Debian that this machine runs."""
    if shutil.which("mmdebstrap") is None:
        raise ClusterError("there is no mmdebstrap, which makes images of packages: apt-get install mmdebstrap")
    try:
        release = platform.freedesktop_os_release()
    except OSError:
        release = {}
    if release.get("ID") != "debian" or "VERSION_CODENAME" not in release:
        raise ClusterError("images of packages are made from this machine's package sources, which are not Debian's")
    return release["VERSION_CODENAME"]


def _debian(path: Path, suite: str, packages: tuple[str, ...], *options: str) -> None:
    """A root file system with these packages, from the sources that this machine uses itself."""
    sources = [Path("/etc/apt/sources.list"), *sorted(Path("/etc/apt/sources.list.d").glob("*"))]
    used = [str(source) for source in sources if source.suffix in {".list", ".sources"} and source.is_file()]
    done = subprocess.run(
        ["mmdebstrap", "--variant=minbase", "--mode=root", "--format=tar", f"--include={','.join(packages)}",
         "--dpkgopt=path-exclude=/usr/share/doc/*", "--dpkgopt=path-exclude=/usr/share/man/*",
         "--dpkgopt=path-exclude=/usr/share/locale/*", *options, suite, str(path), *used],
        capture_output=True, text=True, check=False, timeout=MINUTES * 60,
    )  # fmt: skip
    if done.returncode:
        raise ClusterError(f"mmdebstrap ended with {done.returncode}:\n{last_lines(done.stderr)}")
