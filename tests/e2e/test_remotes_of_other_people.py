"""Data that lie on a remote which the repository names, and nowhere else: they are fetched when a run needs them."""

import io
from collections.abc import Iterator
from pathlib import Path

import pytest
from minio import Minio
from minio.credentials import StaticProvider

from agreement import dvc_push
from platforms import Copy, Platform, new_copy, wait
from s3_servers import KEY, KINDS, SECRET, S3Server, s3_server
from serving import Handler

FILES = {
    "dvc.yaml": "stages:\n  use: {cmd: cat one.csv data/* > o, deps: [one.csv, data], outs: [o]}\n",
    "one.csv": "1,2\n", "data/a": "a\n", "data/b": "b\n",
}  # fmt: skip


@pytest.fixture
def own(tmp_path: Path) -> Iterator[Platform]:
    """A platform that may also ask addresses of this machine."""
    (tmp_path / "platform").mkdir()
    running = Platform(tmp_path / "platform" / "data").start("--remotes", "all")
    running.user("alice", "--admin")
    yield running
    running.stop()


def with_remote(path: Path, folder: Path, url: str) -> Copy:
    """A project whose data lie in `folder`, which its committed configuration names by `url`."""
    copy = new_copy(path, FILES)
    copy.git("rm", "-r", "--quiet", "--cached", "one.csv", "data")
    copy.dvc("add", "--quiet", "one.csv", "data")
    copy.dvc("remote", "add", "--quiet", "--default", "theirs", str(folder))
    copy.dvc("push", "--quiet")
    copy.dvc("remote", "modify", "theirs", "url", url)
    copy.commit("data elsewhere")
    return copy


def test_what_a_run_needs_is_fetched_from_the_remote_that_the_repository_names(
    own: Platform, tmp_path: Path, served: tuple[Path, str]
) -> None:
    folder, url = served
    copy = with_remote(tmp_path / "copy", folder, url)
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    answer = copy.git("push", own.url("alice/theirs", "alice"), "main").stderr
    assert own.ended("alice/theirs")["status"] == "succeeded", own.log()[-3000:]
    assert f"looked for just now in {url}" in answer or "missing data" not in answer
    assert sorted(Handler.asked) == sorted(f"/{path.relative_to(folder)}" for path in before)  # once each
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before

    # From now on they lie here.
    own.stop()
    own.start("--remotes", "off")
    copy.write({"dvc.yaml": FILES["dvc.yaml"].replace("cat", "cat -u")}).commit()
    copy.git("push", "--quiet", own.url("alice/theirs", "alice"), "main")
    assert own.ended("alice/theirs", 2)["status"] == "succeeded"


def test_other_bytes_than_the_hash_says_are_not_taken(own: Platform, tmp_path: Path, served: tuple[Path, str]) -> None:
    folder, url = served
    copy = with_remote(tmp_path / "copy", folder, url)
    victim = next(path for path in folder.rglob("*") if path.is_file() and path.read_bytes() == b"a\n")
    victim.chmod(0o644)
    victim.write_bytes(b"A\n")
    copy.git("push", "--quiet", own.url("alice/theirs", "alice"), "main")
    wait(lambda: "is something else" in own.log(), "the refusal is logged")
    run = own.runs("alice/theirs")[0]
    assert run["status"] == "queued"
    (store,) = (own.data / "objects" / "r").iterdir()
    names = {path.parent.name + path.name for path in (store / "files/md5").glob("??/*")}
    assert victim.parent.name + victim.name not in names
    assert not [name for name in names if name.endswith(".dir")]
    dvc_push(own, "theirs")(copy)
    assert own.ended("alice/theirs")["status"] == "succeeded"


def test_a_remote_inside_the_network_is_not_asked_unless_allowed(
    platform: Platform, name: str, tmp_path: Path, served: tuple[Path, str]
) -> None:
    folder, url = served
    copy = with_remote(tmp_path / "copy", folder, url)
    answer = copy.git("push", platform.url(f"alice/{name}", "alice"), "main").stderr
    assert "missing data: 2 objects" in answer
    wait(lambda: "which is not asked for data" in platform.log(), "the refusal is logged")
    assert Handler.asked == []
    assert platform.runs(f"alice/{name}")[0]["status"] == "queued"
    dvc_push(platform, name)(copy)
    assert platform.ended(f"alice/{name}")["status"] == "succeeded"
    assert Handler.asked == []


@pytest.fixture(params=KINDS)
def s3(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[S3Server]:
    """An S3 server."""
    with s3_server(request.param, tmp_path / request.param) as found:
        yield found


def test_a_bucket_that_the_repository_names_is_read_with_its_secrets(
    own: Platform, tmp_path: Path, s3: S3Server
) -> None:
    folder, full = tmp_path / "folder", "alice/theirs"
    copy = with_remote(tmp_path / "copy", folder, "s3://theirs/some/data")
    copy.dvc("remote", "modify", "theirs", "endpointurl", s3.address)
    copy.commit("the store's address")
    client = Minio(s3.address.partition("//")[2], secure=False, credentials=StaticProvider(KEY, SECRET))
    client.make_bucket("theirs")
    sent = {f"some/data/{path.relative_to(folder)}": path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    for key, data in sent.items():
        client.put_object("theirs", key, io.BytesIO(data), len(data))

    answer = copy.git("push", own.url(full, "alice"), "main").stderr
    assert "looked for just now in s3://theirs/some/data" in answer
    wait(lambda: "AccessDenied" in (own.runs(full)[0]["explanation"] or ""), "the run says what the store answered")
    said = own.runs(full)[0]["explanation"]
    assert f"s3://theirs/some/data ({s3.address}) answered: AccessDenied" in said
    assert "Set the repository's secrets AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY" in said

    own.refmill("secret", "set", full, "AWS_ACCESS_KEY_ID", stdin=KEY)
    own.refmill("secret", "set", full, "AWS_SECRET_ACCESS_KEY", stdin=SECRET)
    assert own.ended(full)["status"] == "succeeded", own.log()[-3000:]
    assert {str(item.object_name) for item in client.list_objects("theirs", recursive=True)} == set(sent)
    assert SECRET not in own.log()
