"""The stores of the suites: a directory, and buckets of real S3 servers."""

import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from refmill.clients.s3 import Place
from s3_servers import BUCKET, KEY, KINDS, SECRET, S3Server
from stores import Ground, in_bucket, in_directory


@pytest.fixture(scope="session")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], S3Server]]:
    """S3 servers by their kind, started when they are first asked for."""
    started: dict[str, S3Server] = {}

    def server(kind: str) -> S3Server:
        if kind not in started:
            started[kind] = S3Server(kind, tmp_path_factory.mktemp(kind)).start()
        return started[kind]

    yield server
    for one in started.values():
        one.stop()


@pytest.fixture
def keys(monkeypatch: pytest.MonkeyPatch) -> None:
    """The servers' credentials in the environment."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", KEY)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)


@pytest.fixture(params=KINDS)
def server(request: pytest.FixtureRequest, servers: Callable[[str], S3Server], keys: None) -> S3Server:
    """Each S3 server."""
    return servers(request.param)


@pytest.fixture
def place(server: S3Server) -> Place:
    """A fresh prefix of a bucket that is made where it is missing."""
    return fresh(server)


@pytest.fixture(params=["directory", *KINDS])
def ground(request: pytest.FixtureRequest, servers: Callable[[str], S3Server], keys: None, tmp_path: Path) -> Ground:
    """Every kind of store."""
    if request.param == "directory":
        return in_directory(tmp_path / "objects")
    return in_bucket(fresh(servers(request.param)), tmp_path / "near")


def fresh(server: S3Server) -> Place:
    """A place on a server that nobody has used."""
    prefix = f"{uuid.uuid4().hex}/"
    return Place(bucket=BUCKET, prefix=prefix, endpoint=server.address, region="us-east-1", create=True)
