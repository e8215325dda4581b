"""Writes an image as an OCI archive, which `ctr images import`, `kind load image-archive` and podman read."""

import hashlib
import io
import json
import os
import tarfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

LAYER = "application/vnd.oci.image.layer.v1.tar"
CONFIG = "application/vnd.oci.image.config.v1+json"
MANIFEST = "application/vnd.oci.image.manifest.v1+json"
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
CHUNK = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Entry:
    """One thing in a layer: a file with `content` or of `source`, a link to `link`, else a directory."""

    path: str
    mode: int = 0o755
    content: bytes | None = None
    source: Path | None = None
    link: str | None = None


@dataclass(frozen=True, slots=True)
class Described:
    """What an image says of itself beside its files."""

    name: str
    entrypoint: tuple[str, ...] = ()
    command: tuple[str, ...] = ()
    environment: dict[str, str] = field(default_factory=dict)


def write_layer(path: Path, entries: list[Entry]) -> None:
    """A layer of a few files, the same bytes whenever it is made."""
    with tarfile.open(path, "w", format=tarfile.GNU_FORMAT) as tar:
        for entry in entries:
            info = tarfile.TarInfo(entry.path.strip("/"))
            info.mode = entry.mode
            if entry.link is not None:
                info.type, info.linkname = tarfile.SYMTYPE, entry.link
                tar.addfile(info)
            elif entry.content is not None:
                info.size = len(entry.content)
                tar.addfile(info, io.BytesIO(entry.content))
            elif entry.source is not None:
                info.size = entry.source.stat().st_size
                with entry.source.open("rb") as file:
                    tar.addfile(info, file)
            else:
                info.type = tarfile.DIRTYPE
                tar.addfile(info)


def write_archive(path: Path, described: Described, layer: Path) -> None:
    """One image of one layer, renamed into place when it is whole."""
    digest, size = _digest(layer)
    config = {
        "architecture": _architecture(),
        "os": "linux",
        "config": {
            "Env": [f"{name}={value}" for name, value in ({"PATH": PATH} | described.environment).items()],
            "Entrypoint": list(described.entrypoint) or None,
            "Cmd": list(described.command) or None,
        },
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{digest}"]},
    }
    config_blob = _encode(config)
    manifest = {
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": _descriptor(CONFIG, config_blob),
        "layers": [{"mediaType": LAYER, "digest": f"sha256:{digest}", "size": size}],
    }
    manifest_blob = _encode(manifest)
    names = {"io.containerd.image.name": described.name, "org.opencontainers.image.ref.name": described.name}
    index = {"schemaVersion": 2, "manifests": [_descriptor(MANIFEST, manifest_blob) | {"annotations": names}]}
    scratch = path.with_name(f".{path.name}.{os.getpid()}")
    with tarfile.open(scratch, "w", format=tarfile.GNU_FORMAT) as tar:
        _add(tar, "oci-layout", _encode({"imageLayoutVersion": "1.0.0"}))
        _add(tar, "index.json", _encode(index))
        for blob in (config_blob, manifest_blob):
            _add(tar, f"blobs/sha256/{hashlib.sha256(blob).hexdigest()}", blob)
        info = tarfile.TarInfo(f"blobs/sha256/{digest}")
        info.size = size
        with layer.open("rb") as file:
            tar.addfile(info, file)
    scratch.rename(path)


def _architecture() -> str:
    """The machine's, in the words of images."""
    machine = os.uname().machine
    return {"x86_64": "amd64", "aarch64": "arm64"}.get(machine, machine)


def _digest(path: Path) -> tuple[str, int]:
    told, size = hashlib.sha256(), 0
    with path.open("rb") as file:
        while chunk := file.read(CHUNK):
            told.update(chunk)
            size += len(chunk)
    return told.hexdigest(), size


def _encode(data: dict[str, Any]) -> bytes:
    return json.dumps(data, sort_keys=True).encode()


def _descriptor(media_type: str, blob: bytes) -> dict[str, Any]:
    return {"mediaType": media_type, "digest": f"sha256:{hashlib.sha256(blob).hexdigest()}", "size": len(blob)}


def _add(tar: tarfile.TarFile, name: str, blob: bytes) -> None:
    info = tarfile.TarInfo(name)
    info.size = len(blob)
    tar.addfile(info, io.BytesIO(blob))
