"""The images of Refmill itself, built from the checkout's Dockerfile on Debian's packages."""

import hashlib
from pathlib import Path

from cluster import buildah, images
from cluster.calling import call
from cluster.components import Say
from cluster.images import Image

ROOT = Path(__file__).resolve().parents[2]
PLATFORM = "refmill.test/refmill:1"
RUNNER = "refmill.test/refmill-runner:1"
TARGETS = {"platform": PLATFORM, "runner": RUNNER}


def built(cache: Path, target: str, say: Say) -> Image:
    """The image of a target of the Dockerfile, made anew where a file that it is made of has changed; raises
    ClusterError where it cannot be made."""
    buildah.check()
    base = images.python(cache, say)
    short = TARGETS[target].rpartition("/")[2].partition(":")[0]
    image = Image(TARGETS[target], cache / "images" / f"{short}-{_key(base.archive)}.tar")
    if not image.archive.exists():
        say(f"building {image.name} from the Dockerfile (minutes, until the sources change)")
        buildah.build(cache, base, image, ROOT, f"--target={target}")
    return image


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
