"""The one flow with the objects in a real S3 store, and with the records in a real PostgreSQL or MariaDB."""

import base64
import json
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import pytest

import database_servers
import s3_servers
from database_servers import DatabaseServer
from platforms import Copy, Platform, new_copy, wait
from refmill.clients.s3 import Bucket, Place
from s3_servers import BUCKET, KEY, SECRET, S3Server

FILES = {
    "dvc.yaml": """\
stages:
  prepare:
    cmd: sort data/numbers.txt > sorted.txt && mkdir parts && cp sorted.txt parts/a && echo b > parts/b
    deps: [data]
    outs: [sorted.txt, parts]
  report:
    cmd: echo "this is printed" && cat sorted.txt parts/b > all.txt && echo '{"count":' $(wc -l < all.txt) '}' > metrics.json
    deps: [sorted.txt, parts]
    params: [factor]
    outs: [all.txt]
    metrics:
      - metrics.json:
          cache: false
""",
    "params.yaml": "factor: 1\n",
}
USER = "alice"


@pytest.fixture(params=s3_servers.KINDS)
def s3(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[S3Server]:
    """An S3 server of the test's own, which it may stop."""
    with s3_servers.s3_server(request.param, tmp_path / request.param) as found:
        yield found


@pytest.fixture(params=database_servers.KINDS)
def database(request: pytest.FixtureRequest) -> Iterator[DatabaseServer]:
    """A database server of the test's own, which it may stop."""
    with database_servers.database_server(request.param) as found:
        yield found


@pytest.fixture
def new_platform(tmp_path: Path) -> Iterator[Callable[[dict[str, str]], Platform]]:
    """A platform with these settings; ended after the test."""
    made: list[Platform] = []

    def start(settings: dict[str, str]) -> Platform:
        platform = Platform(tmp_path / "platform" / "data").choose(settings)
        made.append(platform)
        platform.start().user(USER, "--admin")
        return platform

    yield start
    for platform in made:
        platform.stop()


def with_data(path: Path, numbers: str) -> Copy:
    """The project with a tracked directory."""
    copy = new_copy(path, {**FILES, "data/numbers.txt": numbers})
    copy.git("rm", "-r", "--quiet", "--cached", "data")
    copy.dvc("add", "--quiet", "data")
    copy.commit("data")
    return copy


def use(copy: Copy, platform: Platform, repository: str) -> None:
    """Make the repository's data remote that of the copy."""
    copy.dvc("remote", "add", "--quiet", "--local", "--force", "--default", "refmill",
             platform.url(repository, USER, ".dvc"))  # fmt: skip


def clone_of(copy: Copy, platform: Platform, repository: str, path: Path) -> Copy:
    """A clone with the result of the first run."""
    clone = Copy(path)
    copy.git("clone", "--quiet", platform.url(repository, USER), str(path))
    use(clone, platform, repository)
    clone.dvc("exp", "pull", "origin", "run-1")
    clone.dvc("exp", "apply", "run-1")
    return clone


def keys_of(server: S3Server) -> list[str]:
    """All that lies in the bucket."""
    keys = server.folder / "credentials"
    where = Place(bucket=BUCKET, prefix="tests/", endpoint=server.address, region="us-east-1", credentials=str(keys))
    return [item.key for item in Bucket(where).list("")]


def test_data_and_results_lie_in_a_bucket(
    s3: S3Server, new_platform: Callable[[dict[str, str]], Platform], tmp_path: Path
) -> None:
    platform, repository = new_platform(s3.settings()), f"{USER}/numbers"
    copy = with_data(tmp_path / "copy", "3\n1\n2\n")
    url = platform.url(repository, USER)
    copy.git("push", url, "main")
    use(copy, platform, repository)
    copy.dvc("push", "--quiet")  # the run waits for these data, and their arrival starts it
    run = platform.ended(repository)
    assert run["status"] == "succeeded", platform.log()[-3000:]
    keys = keys_of(s3)
    assert {key.split("/")[2] for key in keys if key.startswith("r/")} == {"files", "runs", "refmill"}
    assert any(key.endswith("refmill/runs/1/run.json") for key in keys)

    # Another disk: whatever was near is gone.
    for folder in (platform.data / "objects" / "r").iterdir():
        shutil.rmtree(folder)
    clone = clone_of(copy, platform, repository, tmp_path / "clone")
    clone.dvc("pull", "--quiet")
    assert "up to date" in clone.dvc("status").stdout
    assert json.loads((clone.path / "metrics.json").read_text()) == {"count": 4}
    copy.write({"params.yaml": "factor: 2\n"}).commit("another factor")
    copy.git("push", url, "main")
    second = platform.ended(repository, 2)
    assert {stage["name"]: stage["status"] for stage in second["stages"]} == {
        "prepare": "cached", "report": "succeeded"
    }, platform.log()[-3000:]  # fmt: skip
    looked = {item["name"]: item["state"] for item in json.loads(platform.refmill("doctor", "--objects", "--json"))}
    assert (looked["s3"], looked["objects"]) == ("ok", "ok")
    printed = platform.refmill("logs", f"{repository}#1", "report")
    assert "this is printed" in printed
    platform.refmill("repo", "delete", repository, "--yes")
    assert [key for key in keys_of(s3) if key.startswith("r/")] == []


def ask(platform: Platform, repository: str, operation: str, objects: object) -> dict[str, dict[str, Any]]:
    """What the repository's data remote answers for many objects."""
    key = base64.b64encode(f"{USER}:{platform.user(USER)}".encode()).decode()
    request = Request(
        f"{platform.address}/{repository}.dvc/batch", data=json.dumps({"operation": operation, "objects": objects}).encode(),
        headers={"Authorization": f"Basic {key}", "Content-Type": "application/json"},
    )  # fmt: skip
    with urlopen(request, timeout=30) as answer:
        return json.load(answer)["objects"]


def test_data_go_past_the_platform_by_addresses_that_it_gives(
    s3: S3Server, new_platform: Callable[[dict[str, str]], Platform], tmp_path: Path
) -> None:
    platform, repository = new_platform(s3.settings()), f"{USER}/numbers"
    copy = with_data(tmp_path / "copy", "3\n1\n2\n")
    copy.git("push", platform.url(repository, USER), "main")
    cache = {path.parent.name + path.name: path for path in (copy.path / ".dvc" / "cache").glob("files/md5/*/*")}
    names = sorted(cache, key=lambda name: name.endswith(".dir"))  # the listing comes last
    assert ask(platform, repository, "download", names) == {name: {"error": 404} for name in names}
    offers = ask(platform, repository, "upload", names)
    for name in names:
        kind = {"Content-Type": "application/octet-stream"}
        sent = Request(offers[name]["href"], data=cache[name].read_bytes(), method="PUT", headers=kind)
        urlopen(sent, timeout=30).close()
    settled = ask(platform, repository, "settle", {name: offers[name]["ticket"] for name in names})
    assert settled == {name: {"status": 201} for name in names}
    assert platform.ended(repository)["status"] == "succeeded", platform.log()[-3000:]  # it waited for them
    assert ask(platform, repository, "upload", names) == {name: {"present": True} for name in names}
    for name, item in ask(platform, repository, "download", names).items():
        assert item["href"].startswith(s3.address)
        with urlopen(item["href"], timeout=30) as answer:
            assert answer.read() == cache[name].read_bytes()


@pytest.mark.timeout(400)  # a dozen commands and two starts
def test_what_nothing_needs_is_told_of_and_taken_away(
    new_platform: Callable[[dict[str, str]], Platform], tmp_path: Path
) -> None:
    platform, repository = new_platform({}), f"{USER}/numbers"
    copy = with_data(tmp_path / "copy", "3\n1\n2\n")
    url = platform.url(repository, USER)
    use(copy, platform, repository)
    copy.dvc("push", "--quiet")
    copy.write({"data/more.txt": "never committed"})
    copy.dvc("add", "--quiet", "data")
    copy.dvc("push", "--quiet")
    copy.git("checkout", "--quiet", "data.dvc")
    copy.git("push", url, "main")
    assert platform.ended(repository)["status"] == "succeeded", platform.log()[-3000:]
    assert platform.refmill("gc", "--dry-run").startswith(f"{repository}: nothing needs 0 of ")
    for path in (platform.data / "objects").rglob("files/md5/*/*"):
        os.utime(path, (1_000_000_000, 1_000_000_000))
    told = json.loads(platform.refmill("gc", "--dry-run", "--json"))[repository]
    assert told["garbage"] == 2  # the file, and the listing that names it
    refused = platform.refmill("gc", "--yes", check=False, both=True)
    assert "runs in" in refused
    platform.stop()
    platform.refmill("gc", "--yes")
    platform.start()
    clone = clone_of(copy, platform, repository, tmp_path / "clone")
    clone.dvc("pull", "--quiet")
    assert "up to date" in clone.dvc("status").stdout
    assert json.loads(platform.refmill("gc", "--dry-run", "--json"))[repository]["garbage"] == 0


def test_a_store_that_is_away_is_waited_for(
    s3: S3Server, new_platform: Callable[[dict[str, str]], Platform], tmp_path: Path
) -> None:
    platform, repository = new_platform(s3.settings()), f"{USER}/numbers"
    copy = new_copy(tmp_path / "copy", FILES | {"data/numbers.txt": "2\n1\n"})
    s3.stop()
    assert copy.git("push", platform.url(repository, USER), "main").returncode == 0
    wait(lambda: "the object store" in platform.log(), "the engine finds out")
    s3.start()
    assert platform.ended(repository)["status"] == "succeeded", platform.log()[-3000:]


def test_a_store_that_goes_while_a_stage_runs_loses_nothing(
    s3: S3Server, new_platform: Callable[[dict[str, str]], Platform], tmp_path: Path
) -> None:
    platform, repository, go = new_platform(s3.settings()), f"{USER}/numbers", tmp_path / "go"
    command = f"touch {go}.began; while ! test -e {go}; do sleep 0.1; done; echo 1 >> {go}.times; echo x > a.txt"
    copy = new_copy(tmp_path / "copy", {"dvc.yaml": f"stages:\n  a: {{cmd: '{command}', outs: [a.txt]}}\n"})
    copy.git("push", platform.url(repository, USER), "main")
    wait(go.with_name("go.began").exists, "the stage has begun")
    s3.stop()
    go.touch()
    wait(lambda: "the object store" in platform.log(), "the engine finds out")
    s3.start()
    assert platform.ended(repository)["status"] == "succeeded", platform.log()[-3000:]
    assert go.with_name("go.times").read_text() == "1\n"
    shutil.rmtree(next((platform.data / "objects" / "r").iterdir()))  # what was near
    clone = clone_of(copy, platform, repository, tmp_path / "clone")
    clone.dvc("pull", "--quiet")
    assert (clone.path / "a.txt").read_text() == "x\n"
    assert "a.txt" not in clone.dvc("status").stdout


def test_wrong_settings_of_a_store_are_told_before_anything_starts(s3: S3Server, tmp_path: Path) -> None:
    platform = Platform(tmp_path / "platform" / "data")
    right = s3.settings()
    for wrong, told in [
        ({"s3_create_bucket": "false"}, "there is no bucket"),
        ({"s3_endpoint": "http://127.0.0.1:9"}, "does not answer"),
        ({"s3_credentials": str(tmp_path / "absent")}, "credentials"),
    ]:
        platform.choose({**right, **wrong})
        done = platform.refmill("up", "--port", "0", check=False, both=True)
        assert told in done
    wrong_key = tmp_path / "keys"
    wrong_key.write_text(f"[default]\naws_access_key_id = {KEY}\naws_secret_access_key = {SECRET}x\n")
    platform.choose({**right, "s3_credentials": str(wrong_key)})
    told = platform.refmill("doctor", check=False, both=True)
    assert "does not know these credentials" in told


def test_records_lie_on_a_server(
    database: DatabaseServer, new_platform: Callable[[dict[str, str]], Platform], tmp_path: Path
) -> None:
    name = database.database()
    platform, repository = new_platform({"database": database.url(name, driver=False)}), f"{USER}/numbers"
    platform.database = database.url(name)
    copy = new_copy(tmp_path / "copy", FILES | {"data/numbers.txt": "2\n1\n"})
    url = platform.url(repository, USER)
    copy.git("push", url, "main")
    assert platform.ended(repository)["status"] == "succeeded", platform.log()[-3000:]
    assert not (platform.data / "refmill.db").exists()
    clone = clone_of(copy, platform, repository, tmp_path / "clone")
    clone.dvc("pull", "--quiet")
    assert "up to date" in clone.dvc("status").stdout

    database.stop()
    copy.write({"params.yaml": "factor: 2\n"}).commit("another factor")
    refused = copy.git("push", url, "main", check=False)
    assert refused.returncode != 0  # who pushes cannot be known
    database.start()
    copy.git("push", url, "main")
    assert platform.ended(repository, 2)["status"] == "succeeded", platform.log()[-3000:]
    looked = {item["name"]: item["state"] for item in json.loads(platform.refmill("doctor", "--json"))}
    assert looked["database"] == "ok"
