"""The images of Refmill itself, built from the checkout's Dockerfile by buildah, on Debian's packages and no registry."""

import hashlib
import json
import os
import shutil
import subprocess
import tarfile
import tempfile
from pathlib import Path

from cluster import images
from cluster.calling import call, last_lines
from cluster.components import Say
from cluster.errors import ClusterError
from cluster.images import Image

ROOT = Path(__file__).resolve().parents[2]
PLATFORM = "refmill.test/refmill:1"
RUNNER = "refmill.test/refmill-runner:1"
TARGETS = {"platform": PLATFORM, "runner": RUNNER}
MINUTES = 40
TRUSTED = ("/etc/ssl/certs", "/etc/pip.conf", "/etc/apt/apt.conf.d")
"""What this machine was told about package indexes, for the time of the build."""


def built(cache: Path, target: str, say: Say) -> Image:
    """The image of a target of the Dockerfile, made anew where a file that it is made of has changed; raises
    ClusterError where it cannot be made."""
    if shutil.which("buildah") is None:
        raise ClusterError("there is no buildah, which builds the platform's image: apt-get install buildah")
    base = images.python(cache, say)
    short = TARGETS[target].rpartition("/")[2].partition(":")[0]
    path = cache / "images" / f"{short}-{_key(base.archive)}.tar"
    if path.exists():
        return Image(TARGETS[target], path)
    say(f"building {TARGETS[target]} from the Dockerfile (minutes, until the sources change)")
    store = cache / "buildah"
    store.mkdir(parents=True, exist_ok=True)
    name = _base(store, base.archive)
    mounts = [f"--volume={place}:{place}:ro" for place in TRUSTED if Path(place).exists()]
    _buildah(
        store, "build", "--layers", "--pull-never", "--network=host", f"--build-arg=BASE={name}", f"--target={target}",
        *mounts, f"--tag=localhost/{short}:1", str(ROOT),
    )  # fmt: skip
    scratch = path.with_name(f".{path.name}.{os.getpid()}")
    _buildah(store, "push", "--quiet", f"localhost/{short}:1", f"oci-archive:{scratch}:{TARGETS[target]}")
    for older in path.parent.glob(f"{short}-*.tar"):
        if older.name.rpartition("-")[0] == short:
            older.unlink(missing_ok=True)
    scratch.rename(path)
    return Image(TARGETS[target], path)


def _key(base: Path) -> str:
    """Changes with every file that an image is made of."""
    told = hashlib.sha256(base.name.encode())
    listed = call(["git", "-C", ROOT, "ls-files", "-z", "--cached", "--others", "--exclude-standard", *_context()])
    for name in sorted({*listed.split("\0"), "Dockerfile", ".dockerignore"} - {""}):
        if (path := ROOT / name).is_file():
            told.update(name.encode() + b"\0" + hashlib.sha256(path.read_bytes()).digest())
    return told.hexdigest()[:16]


def _context() -> list[str]:
    """What .dockerignore lets in."""
    lines = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    return [line[1:] for line in lines if line.startswith("!")]


def _base(store: Path, archive: Path) -> str:
    """The image with Debian and Python, in buildah's store."""
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
    """Everything of it lies in the cache; no container engine is asked, and nothing runs afterwards."""
    places = [f"--root={store / 'root'}", f"--runroot={store / 'run'}"]
    done = subprocess.run(
        ["buildah", *places, *words], env=os.environ | {"BUILDAH_ISOLATION": "chroot"}, capture_output=True, text=True,
        check=False, timeout=MINUTES * 60,
    )  # fmt: skip
    if done.returncode:
        raise ClusterError(f"buildah {words[0]} ended with {done.returncode}:\n{last_lines(done.stderr)}")
    return done.stdout
