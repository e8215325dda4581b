"""Builds images on one of the tests' own with buildah: no registry, no container engine, and nothing runs afterwards."""

import json
import os
import shutil
import subprocess
import tarfile
import tempfile
from pathlib import Path

from cluster.calling import last_lines
from cluster.errors import ClusterError
from cluster.images import Image

MINUTES = 40
TRUSTED = ("/etc/ssl/certs", "/etc/pip.conf", "/etc/apt/apt.conf.d")
"""What this machine was told about package indexes, for the time of the build."""


def check() -> None:
    """Raises ClusterError where there is no buildah."""
    if shutil.which("buildah") is None:
        raise ClusterError("there is no buildah, which builds images: apt-get install buildah")


def build(cache: Path, base: Image, made: Image, context: Path, *options: str) -> None:
    """Write `made` as the Dockerfile in `context` says, whose argument BASE is `base`, and take older archives of it
    away."""
    store = cache / "buildah"
    store.mkdir(parents=True, exist_ok=True)
    name = _base(store, base.archive)
    mounts = [f"--volume={place}:{place}:ro" for place in TRUSTED if Path(place).exists()]
    short, path = made.name.rpartition("/")[2].partition(":")[0], made.archive
    _buildah(
        store, "build", "--layers", "--pull-never", "--network=host", f"--build-arg=BASE={name}", *options,
        *mounts, f"--tag=localhost/{short}:1", str(context),
    )  # fmt: skip
    scratch = path.with_name(f".{path.name}.{os.getpid()}")
    _buildah(store, "push", "--quiet", f"localhost/{short}:1", f"oci-archive:{scratch}:{made.name}")
    for older in path.parent.glob(f"{short}-*.tar"):
        if older.name.rpartition("-")[0] == short:
            older.unlink(missing_ok=True)
    scratch.rename(path)


def _base(store: Path, archive: Path) -> str:
    """The image that is built on, in buildah's store."""
    name = f"localhost/{archive.stem}:1"
    if _buildah(store, "images", "--quiet", "--filter", f"reference={name}").strip():
        return name
    with tempfile.TemporaryDirectory(dir=store) as folder, tarfile.open(archive) as tar:
        manifest = _blob(tar, _blob(tar, None)["manifests"][0]["digest"])
        layer = f"blobs/{manifest['layers'][0]['digest'].replace(':', '/')}"
        tar.extract(layer, folder, filter="data")
        container = _buildah(store, "from", "scratch").strip()
        _buildah(store, "add", "--quiet", container, str(Path(folder, layer)), "/")
    _buildah(store, "config", "--env=LANG=C.UTF-8", container)
    _buildah(store, "commit", "--quiet", "--rm", container, name)
    return name


def _blob(tar: tarfile.TarFile, digest: str | None) -> dict[str, list[dict[str, str]]]:
    """A part of an image's archive; without a digest its index."""
    file = tar.extractfile("index.json" if digest is None else f"blobs/{digest.replace(':', '/')}")
    if file is None:
        raise ClusterError(f"the archive of an image has no {digest}")
    found: dict[str, list[dict[str, str]]] = json.load(file)
    return found


def _buildah(store: Path, *words: str) -> str:
    """Everything of it lies in the cache."""
    places = [f"--root={store / 'root'}", f"--runroot={store / 'run'}"]
    done = subprocess.run(
        ["buildah", *places, *words], env=os.environ | {"BUILDAH_ISOLATION": "chroot"}, capture_output=True, text=True,
        check=False, timeout=MINUTES * 60,
    )  # fmt: skip
    if done.returncode:
        raise ClusterError(f"buildah {words[0]} ended with {done.returncode}:\n{last_lines(done.stderr)}")
    return done.stdout
