"""MLflow's image, made as its official one is: Python, and the package from where this machine takes packages."""

import hashlib
import tempfile
from pathlib import Path

from cluster import buildah, images
from cluster.components import Say
from cluster.images import Image

MLFLOW = "refmill.test/mlflow:1"
DOCKERFILE = """\
ARG BASE
FROM ${BASE}
ARG VERSION
RUN python3 -m venv /opt/mlflow && /opt/mlflow/bin/pip install --quiet --no-cache-dir mlflow==$VERSION
ENV PATH=/opt/mlflow/bin:/usr/local/bin:/usr/bin:/bin
"""


def built(cache: Path, version: str, say: Say) -> Image:
    """The image with this version; raises ClusterError where it cannot be made."""
    buildah.check()
    base = images.python(cache, say)
    told = hashlib.sha256(f"{base.archive.name} {version} {DOCKERFILE}".encode()).hexdigest()[:16]
    image = Image(MLFLOW, cache / "images" / f"mlflow-{told}.tar")
    if not image.archive.exists():
        say(f"building {image.name} with MLflow {version} (minutes, once)")
        with tempfile.TemporaryDirectory() as context:
            Path(context, "Dockerfile").write_text(DOCKERFILE, encoding="utf-8")
            buildah.build(cache, base, image, Path(context), f"--build-arg=VERSION={version}")
    return image
