"""Large outputs of pods, in parts past the platform into a bucket: the real step runner, platform and S3 servers."""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import json
import os
import signal
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest

import planted_runs
import podding
import s3_servers
from between import Between, Deed
from platforms import SECONDS, Platform, is_below, new_copy, wait
from played_pods import Pod, refused
from refmill.clients.s3 import Bucket, Place
from refmill.model.runs import Run
from refmill.settings import load
from refmill_web import wiring
from refmill_web.wiring import Parts
from s3_servers import BUCKET, S3Server

PART = 5 << 20
SIZE = 2 * PART + 2_000_017
FILES = {"dvc.yaml": f"stages:\n  make: {{cmd: head -c {SIZE} /dev/urandom > large, outs: [large]}}\n"}
OTHER = b"x" * 100


@dataclass
class World:
    """A platform over a bucket. Pods reach the bucket through `outer`, the platform through `inner`."""

    platform: Platform
    parts: Parts
    server: S3Server
    outer: Between
    inner: Between
    folder: Path
    numbers: Iterator[int] = field(default_factory=itertools.count)

    @property
    def bucket(self) -> Bucket:
        keys = self.server.folder / "credentials"
        return Bucket(
            Place(
                bucket=BUCKET, prefix="tests/", endpoint=self.server.address, region="us-east-1", credentials=str(keys)
            )
        )

    def planted(self, name: str = "") -> Run:
        """A run of a project with a large output, which no engine has."""
        name = name or f"project{next(self.numbers)}"
        copy = new_copy(self.folder / name, FILES)
        copy.git("push", "--quiet", "-o", "refmill.skip", self.platform.url(f"alice/{name}", "alice"), "main")
        found = self.parts.records.catalogue.find("alice", name)
        assert found is not None
        return planted_runs.plant(self.parts, found, copy.git("rev-parse", "HEAD").stdout.strip())

    def told(self, run: Run) -> dict[str, str]:
        return {
            "REFMILL_RUN": run.id, "REFMILL_TOKEN": planted_runs.token(self.parts, run), "REFMILL_PATIENCE": "60",
        }  # fmt: skip

    def played(self, run: Run) -> Pod:
        return Pod(self.platform.address, run.id, planted_runs.token(self.parts, run), self.folder / "played")

    def left(self) -> list[object]:
        """What is on its way in the bucket, and known to be."""
        known = [path for path in self.platform.data.glob("objects/r/*/refmill/parts/**/*") if path.is_file()]
        return [*self.bucket.list("incoming/"), *known]

    def made(self, run: Run) -> None:
        """The output lies in the bucket, whole, and nothing else is left."""
        (stage,) = self.parts.records.runs.stages(run.id)
        assert (stage.status, stage.attempt) == ("succeeded", 1)
        assert stage.entry is not None
        name = stage.entry["outs"][0]["md5"]
        data = b"".join(self.bucket.blocks(f"r/{run.repository_id}/files/md5/{name[:2]}/{name[2:]}"))
        assert (len(data), hashlib.md5(data).hexdigest()) == (SIZE, name)
        wait(lambda: self.left() == [], "nothing is on its way")

    def strike(self) -> None:
        """SIGKILL to the platform's web, which is started anew."""
        for place in Path("/proc").iterdir():
            with contextlib.suppress(OSError):
                mine = place.name.isdigit() and b"refmill_web.processes.web" in (place / "cmdline").read_bytes()
                if mine and is_below(int(place.name), self.platform.process.pid):
                    os.kill(int(place.name), signal.SIGKILL)


@pytest.fixture(scope="module", params=["minio", pytest.param("versitygw", marks=pytest.mark.full)])
def worlds(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """One for each kind of S3 server; in CI one: what a bucket makes of parts is `tests/contract`'s with both."""
    folder = tmp_path_factory.mktemp(request.param)
    with s3_servers.s3_server(request.param, folder / "s3") as server:
        outer, inner = Between(server.port), Between(server.port)
        settings = server.settings() | {
            "s3_endpoint": inner.address, "s3_public": outer.address, "s3_part": "5Mi", "upkeep_seconds": 1,
        }  # fmt: skip
        platform = Platform(folder / "platform" / "data").choose(settings).start()
        platform.user("alice", "--admin")
        parts = wiring.parts(load({"data": platform.data}, {}), platform.address)
        try:
            yield World(platform, parts, server, outer, inner, folder)
        finally:
            parts.records.close()
            platform.stop()
            outer.close()
            inner.close()


@pytest.fixture
def world(worlds: World) -> Iterator[World]:
    """The same, of which nothing was asked yet."""
    for between in (worlds.outer, worlds.inner):
        between.requests.clear()
    yield worlds
    for between in (worlds.outer, worlds.inner):
        between.before, between.after = lambda _: "", lambda _: None


@pytest.fixture
def runner(tmp_path: Path) -> Iterator[podding.Pod]:
    """Pods with the real step runner."""
    (tmp_path / "pods").mkdir()
    made = podding.Pod(tmp_path / "pods")
    yield made
    made.close()


def once(pattern: str, deed: Deed) -> Callable[[str], Deed]:
    """Do that with the first request in which `pattern` is."""
    done: list[str] = []

    def wanted(request: str) -> Deed:
        if pattern not in request or done:
            return ""
        done.append(request)
        return deed

    return wanted


@pytest.mark.parametrize("deed", ["cut", "refuse"])
def test_a_part_that_was_cut_off_or_refused_goes_again_and_no_other(
    world: World, runner: podding.Pod, deed: Deed
) -> None:
    run = world.planted()
    world.outer.before = once("partNumber=2", deed)
    assert runner.start(world.platform.address, **world.told(run)).wait(SECONDS) == 0, runner.said
    world.made(run)
    assert [world.outer.count(f"PUT .*partNumber={number}") for number in (1, 2, 3)] == [1, 2, 1]
    assert world.inner.count("uploadId=") == 1  # it was completed


MOMENTS = {
    "as it is begun": ("inner", r"POST .*[?&]uploads"),
    "after a part": ("outer", r"PUT .*partNumber=3"),
    "as the parts become one": ("inner", r"POST .*uploadId="),
    "as it is read": ("inner", r"GET .*/incoming/"),
    "as it gets its name": ("inner", r"PUT .*/files/md5/"),
    "as the rest is taken away": ("inner", r"POST .*[?&]delete"),
}


@pytest.mark.parametrize("moment", MOMENTS)
def test_a_platform_that_is_killed_is_gone_on_with(world: World, runner: podding.Pod, moment: str) -> None:
    run = world.planted()
    where, pattern = MOMENTS[moment]
    kills: list[str] = []
    one = world.inner if where == "inner" else world.outer

    def after(request: str) -> None:
        if not kills and one.count(pattern):
            kills.append(request)
            world.strike()

    one.after = after
    assert runner.start(world.platform.address, **world.told(run)).wait(SECONDS) == 0, runner.said
    assert len(kills) == 1
    if moment == "as it is begun":  # what nobody wrote down; the store's own rules end it, which a test cannot wait for
        for key, upload in world.bucket.multipart.begun("incoming/", 1e12):
            world.bucket.multipart.abort(key, upload)
    world.made(run)
    assert world.outer.count("PUT ") == 3


def test_what_a_killed_pod_began_to_send_is_given_up_at_the_end_of_the_run(world: World, runner: podding.Pod) -> None:
    run = world.planted()
    addresses: list[str] = []

    def kill(request: str) -> Deed:
        if "partNumber=2" in request and not addresses:
            addresses.append(f"{world.outer.address}{request.removeprefix('PUT ')}")
            process.kill()
            return "cut"
        return ""

    world.outer.before = kill
    process = runner.start(world.platform.address, **world.told(run))
    assert process.wait(SECONDS) == -signal.SIGKILL
    runner.close()
    assert runner.start(world.platform.address, **world.told(run)).wait(SECONDS) == 0, runner.said
    assert put(addresses[0]) == 200  # the run goes on: nothing was taken away yet
    assert len([path for path in world.left() if isinstance(path, Path)]) == 1
    world.parts.records.states.move(run.id, "succeeded", expected=("queued", "running"))
    wait(lambda: world.left() == [], "what was sent is given up")
    assert put(addresses[0]) == 404
    assert list(world.bucket.multipart.begun("incoming/", 1e12)) == []


def test_what_was_begun_for_a_repository_that_is_deleted_is_given_up(world: World) -> None:
    pod = world.played(world.planted("gone"))
    pod.open()
    asked = {"operation": "parts", "objects": {"0" * 32: ""}, "sizes": {"0" * 32: SIZE}}
    begun = pod.json("POST", pod.share["batch"], asked)["objects"]["0" * 32]
    assert put(begun["hrefs"][0]) == 200
    world.platform.refmill("repo", "delete", "alice/gone", "--yes")
    assert put(begun["hrefs"][0]) == 404
    assert world.left() == []


def test_uploads_of_other_runs_and_repositories_are_refused(world: World) -> None:
    first, other = world.planted("first"), world.planted("other")
    mine = world.played(first)
    mine.open()
    batch, name, said = mine.share["batch"], "0" * 32, {"sizes": {"0" * 32: SIZE}}
    begun = mine.json("POST", batch, {"operation": "parts", "objects": {name: ""}, **said})["objects"][name]
    assert (begun["count"], len(begun["hrefs"])) == (3, 3)
    etags = {"etags": {name: ["a", "b", "c"]}}
    again = world.played(planted_runs.plant(world.parts, repository(world, "first"), first.commit, attempt=2))
    theirs = world.played(other)
    for pod, place in ((again, batch), (theirs, batch.replace("first", "other"))):
        for asked in ({"operation": "parts"}, {"operation": "settle", **etags}):
            told = pod.json("POST", place, {"objects": {name: begun["ticket"]}, **said, **asked})
            assert told["objects"][name]["error"] == 404
    with refused(404):
        theirs.json("POST", batch, {"operation": "parts", "objects": {name: begun["ticket"]}, **said})
    for wrong in (
        {"sizes": {name: -1}}, {"sizes": {name: "1"}}, {"sizes": [1]}, {"first": {name: 1.5}}, {"etags": {name: "a"}},
        {"etags": {name: ["a<b"]}}, {"etags": {name: [1]}}, {"etags": {name: ["a"] * 10_001}},
    ):  # fmt: skip
        with refused(400):
            mine.json("POST", batch, {"operation": "settle", "objects": {name: begun["ticket"]}, **wrong})
    for first_part, status in ((0, 400), (4, 400), (1 << 62, 0)):
        asked: dict[str, Any] = {"operation": "parts", "objects": {name: begun["ticket"]}, "first": {name: first_part}}
        with refused(400) if not status else contextlib.nullcontext():
            assert mine.json("POST", batch, {**said, **asked})["objects"][name]["error"] == status
    settled = mine.json("POST", batch, {"operation": "settle", "objects": {name: begun["ticket"]}, **said, **etags})
    assert settled["objects"][name]["error"] == 400  # nothing was sent
    assert world.left() == []


def test_whoever_asks_again_while_an_object_is_read_is_told_to_come_back(world: World) -> None:
    pod = world.played(world.planted())
    pod.open()
    data = os.urandom(SIZE)
    name = hashlib.md5(data).hexdigest()
    said = {"sizes": {name: SIZE}}
    assert pod.json("POST", pod.share["batch"], {"operation": "upload", "objects": [name], **said})["objects"] == {
        name: {"parts": True}
    }
    begun = pod.json("POST", pod.share["batch"], {"operation": "parts", "objects": {name: ""}, **said})["objects"][name]
    etags = [put_part(href, data[n * PART :][:PART]) for n, href in enumerate(begun["hrefs"])]
    settle = {"operation": "settle", "objects": {name: begun["ticket"]}, "etags": {name: etags}, **said}
    reads, answers, go = threading.Event(), list[Any](), threading.Event()

    def after(request: str) -> None:
        if request.startswith("GET") and "/incoming/" in request:
            reads.set()
            go.wait(SECONDS)

    world.inner.after = after
    first = threading.Thread(target=lambda: answers.append(pod.json("POST", pod.share["batch"], settle)["objects"]))
    first.start()
    assert reads.wait(SECONDS)
    with refused(503) as told:
        pod.json("POST", pod.share["batch"], settle)
    assert told[0].headers["Retry-After"] == "5"
    go.set()
    first.join()
    assert answers == [{name: {"status": 201}}]
    again = pod.json("POST", pod.share["batch"], {"operation": "parts", "objects": {name: ""}, **said})["objects"]
    assert again == {name: {"present": True}}


def test_a_runner_of_before_and_many_objects_at_once_are_answered_as_ever(world: World) -> None:
    run = world.planted()
    pod = world.played(run)
    pod.open()
    data = os.urandom(SIZE)
    name = hashlib.md5(data).hexdigest()
    offer = pod.json("POST", pod.share["batch"], {"operation": "upload", "objects": [name]})["objects"][name]
    assert sorted(offer) == ["expires_in", "href", "method", "ticket"]
    assert put(offer["href"], data) == 200
    settle = {"operation": "settle", "objects": {name: offer["ticket"]}}
    assert pod.json("POST", pod.share["batch"], settle)["objects"][name] == {"status": 201}
    many = {hashlib.md5(b"%d" % number).hexdigest(): "0" * 32 for number in range(1000)}
    answer = pod.json("POST", pod.share["batch"], {"operation": "settle", "objects": many}, packed=True)
    assert {item["error"] for item in answer["objects"].values()} == {404}
    with refused(400):
        pod.ask("POST", pod.share["batch"], json.dumps(settle).encode(), {"Content-Encoding": "gzip"})


def repository(world: World, name: str) -> Any:
    found = world.parts.records.catalogue.find("alice", name)
    assert found is not None
    return found


def put_part(address: str, data: bytes) -> str:
    """The ETag."""
    asked = Request(address, data=data, method="PUT", headers={"Content-Type": "application/octet-stream"})
    with urlopen(asked, timeout=30) as answer:
        etag: str = answer.headers["ETag"]
        return etag


def put(address: str, data: bytes = OTHER) -> int:
    """What a PUT is answered."""
    asked = Request(address, data=data, method="PUT", headers={"Content-Type": "application/octet-stream"})
    try:
        with urlopen(asked, timeout=30) as answer:
            return answer.status
    except HTTPError as error:
        with error:
            return error.code
