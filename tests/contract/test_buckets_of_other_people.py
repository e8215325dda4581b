"""Objects out of buckets that a `.dvc/config` names, on real S3 servers: with keys, without, and with wrong ones."""

import io
import json
import re
import uuid
from pathlib import Path

import pytest
from minio import Minio
from minio.credentials import StaticProvider

from fetching_world import World
from refmill.formats.hashing import OLD
from s3_servers import KEY, SECRET, S3Server
from stores import md5

SECRETS = {"AWS_ACCESS_KEY_ID": KEY, "AWS_SECRET_ACCESS_KEY": SECRET}


class Theirs:
    """A bucket of somebody else, filled as DVC fills one."""

    def __init__(self, server: S3Server) -> None:
        self.endpoint, self.bucket = server.address, f"theirs-{uuid.uuid4().hex[:8]}"
        self.client = Minio(server.address.partition("//")[2], secure=False, credentials=StaticProvider(KEY, SECRET))
        self.client.make_bucket(self.bucket)

    def put(self, data: bytes, *, ending: str = "", folder: str = "files/md5/", name: str = "") -> str:
        """Store an object below the prefix `some data/ä`; gives its hash."""
        name = name or md5(data) + ending
        key = f"some data/ä/{folder}{name[:2]}/{name[2:]}"
        self.client.put_object(self.bucket, key, io.BytesIO(data), len(data))
        return name

    def keys(self) -> dict[str, object]:
        """All that is in it."""
        return {
            str(item.object_name): item.last_modified for item in self.client.list_objects(self.bucket, recursive=True)
        }

    def config(self, *lines: str, bucket: str = "") -> str:
        """What follows `url =`."""
        return "\n".join((f"s3://{bucket or self.bucket}/some data/ä/", f"endpointurl = {self.endpoint}", *lines, ""))


@pytest.fixture
def theirs(server: S3Server) -> Theirs:
    return Theirs(server)


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def test_objects_and_directories_of_both_layouts_come_and_nothing_is_written(theirs: Theirs, world: World) -> None:
    one, two = theirs.put(b"one"), theirs.put(b"two" * 100)
    listing = theirs.put(json.dumps([{"md5": two, "relpath": "a"}]).encode(), ending=".dir")
    old = theirs.put(b"of dvc 2", folder="")
    before = theirs.keys()
    world.secrets = SECRETS
    world.bring(theirs.config(), one, listing, OLD + old)
    assert (sorted(world.arrived), world.failed) == (sorted([one, listing, OLD + old]), {})
    assert world.store.read(two) == b"two" * 100
    assert world.store.read(OLD + old) == b"of dvc 2"
    assert theirs.keys() == before


def test_keys_in_the_configuration_are_used(theirs: Theirs, world: World) -> None:
    one = theirs.put(b"one")
    world.bring(theirs.config(f"access_key_id = {KEY}", f"secret_access_key = {SECRET}", "region = us-east-1"), one)
    assert world.arrived == [one]


@pytest.mark.parametrize(
    ("secrets", "code", "remedy"),
    [
        ({}, "AccessDenied", "Set the repository's secrets AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"),
        (SECRETS | {"AWS_SECRET_ACCESS_KEY": "wrong"}, "SignatureDoesNotMatch", "Look at the repository's secrets"),
        (
            SECRETS | {"AWS_ACCESS_KEY_ID": "nobody"},
            "(InvalidAccessKeyId|XAdminNoSuchUser)",
            "Look at the repository's secrets",
        ),
    ],
)
def test_missing_and_wrong_keys_are_told_of_and_those_of_the_server_are_not_used(
    theirs: Theirs, world: World, secrets: dict[str, str], code: str, remedy: str
) -> None:
    """The environment of the server has keys that would do: see the fixture `keys`."""
    one = theirs.put(b"one")
    world.secrets = secrets
    world.bring(theirs.config(), one)
    assert world.arrived == []
    place = re.escape(f"s3://{theirs.bucket}/some data/ä ({theirs.endpoint})")
    assert re.search(f"{place} answered: {code}", world.failed[one])
    assert remedy in world.failed[one]


def test_a_bucket_that_is_not_there_is_told_of(theirs: Theirs, world: World) -> None:
    world.secrets = SECRETS
    world.bring(theirs.config(bucket="absent-bucket"), "1" * 32)
    assert "answered: NoSuchBucket" in world.failed["1" * 32]


def test_what_is_not_there_is_looked_for_in_the_next_remote(theirs: Theirs, world: World) -> None:
    one = theirs.put(b"one")
    world.secrets = SECRETS
    world.bring(f"s3://{theirs.bucket}\nendpointurl = {theirs.endpoint}", one, "1" * 32, more="\n".join(
        ("['remote \"b\"']", f"url = {theirs.config()}")
    ))  # fmt: skip
    assert world.arrived == [one]
    assert "do not have them all" in world.failed["1" * 32]


def test_a_public_bucket_needs_no_keys(theirs: Theirs, world: World) -> None:
    one = theirs.put(b"one")
    everybody = {"Effect": "Allow", "Principal": "*", "Action": ["s3:GetObject"],
                 "Resource": [f"arn:aws:s3:::{theirs.bucket}/*"]}  # fmt: skip
    theirs.client.set_bucket_policy(theirs.bucket, json.dumps({"Version": "2012-10-17", "Statement": [everybody]}))
    world.bring(theirs.config(), one)
    assert world.arrived == [one]


def test_other_bytes_than_the_hash_says_and_too_many_are_not_taken(theirs: Theirs, world: World) -> None:
    wrong, long = theirs.put(b"something else", name="1" * 32), theirs.put(b"x" * 1001)
    world.secrets = SECRETS
    world.bring(theirs.config(), wrong, long)
    assert world.arrived == [] == list(world.store.names())
    assert "is something else" in world.failed[wrong]
    assert "1000 bytes" in world.failed[long]


@pytest.mark.parametrize("reach", ["public", "off"])
def test_a_store_inside_the_network_is_asked_only_if_allowed(theirs: Theirs, tmp_path: Path, reach: str) -> None:
    one = theirs.put(b"one")
    world = World(tmp_path, reach=reach)  # type: ignore[arg-type]
    world.secrets = SECRETS
    world.bring(theirs.config(), one)
    assert world.arrived == []
    assert ("inside this network" in world.failed[one]) if reach == "public" else not world.failed


def test_a_stop_breaks_a_download_off(theirs: Theirs, tmp_path: Path) -> None:
    one, world = theirs.put(b"one"), World(tmp_path)
    world.secrets = SECRETS
    world.elsewhere._closing.set()
    world.elsewhere._bring("id", world.elsewhere._asked(f"['remote \"a\"']\nurl = {theirs.config()}".encode()), one)
    assert (world.arrived, world.failed) == ([], {})
    assert list((tmp_path / "scratch").iterdir()) == []
