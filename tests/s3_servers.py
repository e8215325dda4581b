"""Real S3 servers for tests: MinIO and versitygw, built by `make servers`, each on a free port (of loopback, mostly)."""

import base64
import functools
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import urlopen

import pytest

from server_processes import ServerProcess, free_port

ROOT = Path(__file__).resolve().parents[1]
KINDS = ("minio", "versitygw")
KEY, SECRET = "refmill-tests", "refmill-tests-secret"
BUCKET = "refmill"
SECONDS = 30.0
MISSING = "no S3 servers: `make servers` builds them"


@functools.cache
def program(kind: str) -> str | None:
    """The server's program, from .build or PATH."""
    built = ROOT / ".build" / "servers" / kind
    return str(built) if built.exists() else shutil.which(kind)


@contextmanager
def s3_server(kind: str, folder: Path, host: str = "127.0.0.1") -> Iterator["S3Server"]:
    """A server for a while, which whoever has it may stop and start. `folder` is not there yet."""
    found = S3Server(kind, folder, host=host)
    folder.mkdir()
    try:
        yield found.start()
    finally:
        found.stop()


@dataclass
class S3Server(ServerProcess):
    """A server with its data in `folder`; `start` and `stop` may be called again and again."""

    kind: str
    folder: Path
    port: int = field(default_factory=free_port)
    host: str = "127.0.0.1"

    @property
    def address(self) -> str:
        """Its endpoint."""
        return f"http://{self.host}:{self.port}"

    def settings(self, prefix: str = "tests") -> dict[str, str]:
        """The lines of refmill.toml that put a platform's objects there."""
        keys = self.folder / "credentials"
        keys.write_text(f"[default]\naws_access_key_id = {KEY}\naws_secret_access_key = {SECRET}\n")
        return {
            "objects": f"s3://{BUCKET}/{prefix}", "s3_endpoint": self.address, "s3_region": "us-east-1",
            "s3_create_bucket": "true", "s3_credentials": str(keys),
        }  # fmt: skip

    def start(self) -> "S3Server":
        """Until it answers."""
        found = program(self.kind)
        if found is None:
            pytest.skip(MISSING)
        data = self.folder / "data"
        data.mkdir(parents=True, exist_ok=True)
        if self.kind == "minio":
            command = [found, "server", str(data), "--address", f"{self.host}:{self.port}",
                       "--console-address", f"127.0.0.1:{free_port()}", "--quiet"]  # fmt: skip
            variables = {"MINIO_ROOT_USER": KEY, "MINIO_ROOT_PASSWORD": SECRET, "MINIO_BROWSER": "off",
                         "MINIO_KMS_SECRET_KEY": f"tests:{base64.b64encode(b'k' * 32).decode()}"}  # fmt: skip
        else:
            command = [found, "--access", KEY, "--secret", SECRET, "--port", f"{self.host}:{self.port}", "--quiet",
                       "--iam-dir", str(self.folder), "posix", str(data)]  # fmt: skip
            variables = {}
        self.begin_until(command, SECONDS, env=os.environ | variables)
        return self

    def answers(self) -> bool:
        try:
            urlopen(f"{self.address}/", timeout=2).close()
        except HTTPError as error:
            error.close()
            return error.code == 403  # nobody may list the buckets without a key
        except OSError:
            return False
        return True

    def stop(self) -> None:
        """End it."""
        self.end()
