"""Listings, logs and tokens of pods: what is not theirs, not there or too much is refused."""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
import os
from pathlib import Path
from typing import Any

import pytest

from planted_runs import Ground, NearPod
from played_pods import _hashed as hashed
from played_pods import refused
from refmill.formats import directories, dvcignore
from refmill.model.runs import Run
from refmill_argo import desk
from refmill_web import places

FILES = {
    "dvc.yaml": """\
stages:
  one: {cmd: 'true', deps: [in.txt], outs: [one.txt, folder]}
""",
    "in.txt": "in\n",
    ".dvcignore": "*.tmp\nfolder/hidden\n/folder/only/*\n!/folder/only/kept\n",
}
ONE = {"md5": hashlib.md5(b"one\n", usedforsecurity=False).hexdigest(), "size": 4}
OUTS = {"one.txt": ONE, "folder": {"files": {"a": ONE}}}


@pytest.fixture
def ground(tmp_path: Path) -> Ground:
    return Ground(tmp_path, {"stage_files": 5000, "push_limit": "4Mi"})


@pytest.fixture
def pod(ground: Ground) -> NearPod:
    repository = ground.repository(FILES)
    found = ground.pod(ground.run(repository))
    found.open()
    found.begin()
    return found


def objects(ground: Ground, pod: NearPod) -> Any:
    return ground.parts.storage.objects(ground.parts.records.runs.get(pod.run).repository_id)


def test_a_listing_is_the_one_that_dvc_makes_of_the_folder(pod: NearPod, tmp_path: Path) -> None:
    place = tmp_path / "folder"
    for path in (
        "a", "b/c", "b/x.tmp", "hidden/deep/y", "only/kept", "only/not", ".dvc/config", ".git/HEAD", "inner/.dvc/config",
        "inner/data", "inner/deep/data", "inner-not/data", "b/.git", "b/.hg/x", "ü/ö", "odd\udcff", "x.tmp/y", "z.dvc/k",
    ):  # fmt: skip
        file = Path(os.fsencode(place).decode("utf-8", "surrogateescape")) / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(path.encode("utf-8", "replace").decode())
    ignores = dvcignore.DvcIgnore(lambda path: FILES[path].encode() if path in FILES else None)
    oracle = directories.hash_directory(place, root="folder", ignores=ignores)
    found = pod.listing({"one.txt": ONE, "folder": hashed(place)})
    assert found["outs"]["folder"] == {
        "md5": oracle.listing.name, "size": oracle.size, "nfiles": len(oracle.files), "isexec": False,
    }  # fmt: skip
    assert set(found["wanted"]) == {file.md5 for file in oracle.files.values()} | {ONE["md5"]}


@pytest.mark.parametrize(
    ("outs", "word"),
    [
        ({"one.txt": ONE}, "folder"),
        ({**OUTS, "folder": {"files": {"x/.dvcignore": ONE}}}, ".dvcignore"),
        ({}, "one.txt"),
    ],
)
def test_outputs_that_are_missing_or_cannot_be_taken_fail_the_attempt(
    ground: Ground, pod: NearPod, outs: dict[str, Any], word: str
) -> None:
    objects(ground, pod).write(b"one\n")
    with refused(422) as found:
        pod.listing(outs)
    assert word in found[0].json["message"]
    assert pod.end(listing={"outs": outs, "measured": {}}) == {"again": False, "attempt": 1}
    state = ground.stages(ground.parts.records.runs.get(pod.run))["one"]
    assert (state.status, word in str(state.explanation)) == ("failed", True)


@pytest.mark.parametrize(
    "outs",
    [
        {**OUTS, "other.txt": ONE},
        {**OUTS, "../one.txt": ONE},
        {**OUTS, "folder": {"files": {"../a": ONE}}},
        {**OUTS, "folder": {"files": {"/a": ONE}}},
        {**OUTS, "folder": {"files": {"a": ONE, "a/b": ONE}}},
        {**OUTS, "folder": {"files": {"": ONE}}},
        {**OUTS, "folder": {"files": {"a\0": ONE}}},
        {**OUTS, "one.txt": {**ONE, "md5": "../../../etc/passwd"}},
        {**OUTS, "one.txt": {**ONE, "md5": ONE["md5"] + ".dir"}},
        {**OUTS, "one.txt": {**ONE, "size": -1}},
        {**OUTS, "one.txt": {**ONE, "size": True}},
        {**OUTS, "one.txt": {**ONE, "size": 1e300}},
        {**OUTS, "one.txt": "x"},
        {**OUTS, "folder": {"files": ["a"]}},
        [],
        "x",
    ],
    ids=repr,
)
def test_what_is_no_output_is_refused_and_ends_nothing(ground: Ground, pod: NearPod, outs: Any) -> None:
    objects(ground, pod).write(b"one\n")
    for told in (lambda: pod.listing(outs), lambda: pod.end(listing={"outs": outs, "measured": {}})):
        with refused(422 if outs == [] else 400):
            told()
        if outs == []:
            break
    assert ground.stages(ground.parts.records.runs.get(pod.run))["one"].status == "running"


def test_bytes_that_come_along_are_stored_under_their_own_name_and_no_others(ground: Ground, pod: NearPod) -> None:
    listing, name = {"outs": OUTS, "measured": {}}, ONE["md5"]
    for odd in ({name: "b3RoZXI="}, {name: "no base64"}, {name: 1}, {"0" * 32: "b25lCg=="}, ["x"], "x", {}):
        with refused(409) as found:
            pod.end(listing=listing, objects=odd)
        assert found[0].json["wanted"] == [name], odd
    with refused(422) as found:
        pod.end(listing={"outs": {}, "measured": {}}, objects={name: "b25lCg=="})
    assert "one.txt" in found[0].json["message"]
    assert not objects(ground, pod).present([name])
    assert pod.end(listing=listing, objects={name: "b25lCg==", "0" * 32: "b25lCg=="}) == {"again": False, "attempt": 1}
    assert objects(ground, pod).read(name) == b"one\n"
    assert ground.stages(ground.parts.records.runs.get(pod.run))["one"].status == "succeeded"


def test_the_rest_of_a_log_comes_along_with_the_end(ground: Ground, pod: NearPod) -> None:
    run = ground.parts.records.runs.get(pod.run)
    objects(ground, pod).write(b"one\n")
    said = {"listing": {"outs": OUTS, "measured": {}}}
    for odd in ("x", {}, {"offset": True, "data": ""}, {"offset": 0, "data": "?"}, {"offset": 0, "data": 1}):
        with refused(400):
            pod.end(**said, log=odd)
    assert pod.log(b"2026-11-27T05:00:00.000000Z o first\n", 0) == 36
    rest = base64.b64encode(b"2026-11-27T05:00:00.000000Z o last\n").decode()
    with refused(409) as found:
        pod.end(**said, log={"offset": 37, "data": rest})
    assert found[0].json["size"] == 36
    with refused(413):
        pod.end(**said, log={"offset": -1, "data": rest})
    assert ground.stages(run)["one"].status == "running"
    for _ in range(2):  # an answer may be lost
        pod.end(**said, log={"offset": 36, "data": rest})
    page = places.logs(ground.parts.settings).read(run, "one", 1, start=1, limit=10)
    assert [line.text for line in page.lines] == ["first", "last"]


def test_a_result_whose_bytes_are_not_there_is_not_recorded(ground: Ground, pod: NearPod) -> None:
    with refused(409) as found:
        pod.end(listing={"outs": OUTS, "measured": {}})
    assert found[0].json["wanted"] == [ONE["md5"]]
    objects(ground, pod).write(b"one\n")
    lie = {"one.txt": {**ONE, "size": 999}, "folder": {"files": {"a": {**ONE, "size": 7}}}}
    assert pod.end(listing={"outs": lie, "measured": {"in.txt": 12}}, packed=True) == {"again": False, "attempt": 1}
    entry = ground.stages(ground.parts.records.runs.get(pod.run))["one"].entry
    assert [out["size"] for out in entry["outs"]] == [4, 4], "sizes are the store's"
    assert entry["deps"][0]["size"] == 3, "what git knows is not asked for"


def test_more_files_and_bytes_than_allowed_are_refused(pod: NearPod) -> None:
    with refused(413):
        pod.listing({**OUTS, "folder": {"files": {f"f{number}": ONE for number in range(5000)}}}, packed=True)
    bomb = gzip.compress(b" " * (200 << 20))
    assert len(bomb) < 1 << 20
    for what in ("listing", "end"):
        with refused(413):
            pod.ask("POST", pod.url(f"stages/0/{what}"), bomb, {"Content-Encoding": "gzip"})
        with refused(413):
            pod.ask("POST", pod.url(f"stages/0/{what}"), b" " * (65 << 20))
    with refused(413):
        pod.ask("POST", pod.url("stages/0/begin"), b" " * ((1 << 20) + 1))


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[",
        b"[]",
        b"1",
        b"[" * 100_000,
        b"{}",
        b'{"who": 1, "attempt": 1}',
        b'{"who": "a", "attempt": true}',
        b'{"who": "a", "attempt": ' + b"9" * 5000 + b"}",
        b'{"who": "", "attempt": 1}',
    ],
)
def test_what_is_no_request_is_refused(pod: NearPod, body: bytes) -> None:
    for what in ("begin", "end"):
        with refused(400):
            pod.ask("POST", pod.url(f"stages/0/{what}"), body)
    with refused(400):
        pod.ask("POST", pod.url("stages/0/listing"), gzip.compress(body)[:-4], {"Content-Encoding": "gzip"})
    with refused(400):
        pod.ask("POST", pod.url("stages/0/listing"), body, {"Content-Encoding": "br"})


@pytest.mark.parametrize("odd", [{"code": "x"}, {"reason": 5}, {"detail": ["x"]}, {"code": 1 << 40}])
def test_an_end_that_is_none_is_refused(pod: NearPod, odd: dict[str, Any]) -> None:
    with refused(400):
        pod.end(**odd)


def test_numbers_and_words_of_an_end_are_bounded(ground: Ground, pod: NearPod) -> None:
    usage = {"cpu_seconds": float("nan"), "peak_memory": 10**400, "written_bytes": "x", "gpu_memory": -1}
    detail = "\0\x1b[31m\udcff" + "x" * 10_000
    pod.end(code=None, reason="<script>", detail=detail, seconds=float("inf"), usage=usage)
    state = ground.stages(ground.parts.records.runs.get(pod.run))["one"]
    assert (state.seconds, state.usage.cpu_seconds, state.usage.peak_memory) == (0.0, 0.0, 0)
    assert len(str(state.explanation)) < 3000
    assert "<script>" not in str(state.explanation)
    assert "\0" not in str(state.explanation)


def test_places_that_are_not_there_are_not_found(pod: NearPod) -> None:
    for path in (
        "pods/2/plan.json",
        "pods/0/plan.json",
        "pods/-1/plan.json",
        "pods/x/plan.json",
        "pods/" + "9" * 5000 + "/plan.json",
    ):
        with refused(404):
            pod.ask("GET", f"/api/runs/{pod.run}/{path}")
    with refused(404):
        pod.begin(index=1, attempt=1)


def test_a_log_has_no_gap_no_end_beyond_its_limit_and_nothing_after_its_end(ground: Ground, pod: NearPod) -> None:
    assert pod.log(b"abc\n", 0) == 4
    assert pod.log(b"abc\n", 0) == 4
    assert pod.log(b"c\nd\n", 2) == 6
    with refused(409) as found:
        pod.log(b"late", 100)
    assert found[0].json["size"] == 6
    with refused(413):
        pod.log(b"x", desk.LOG_MOST)
    with refused(413):
        pod.log(b"x" * ((1 << 20) + 1), 6)
    for attempt in (0, 2):
        with refused(409):
            pod.log(b"x", 0, attempt=attempt)
    pod.end(code=1, reason="failed")
    with refused(409):
        pod.log(b"more", 6)
    log = next(ground.parts.settings.path("work", pod.run).glob("*-1/log"))
    lines = log.read_text().splitlines()
    assert lines[:2] == ["abc", "d"]
    assert lines[2].endswith("s ended with exit code 1")


def run_of(ground: Ground, pod: NearPod) -> Run:
    return ground.parts.records.runs.get(pod.run)


def test_a_token_opens_its_own_runs_pods_alone(ground: Ground, pod: NearPod) -> None:
    repository = ground.parts.records.catalogue.get(run_of(ground, pod).repository_id)
    other = ground.run(repository, attempt=2)
    mine = pod.token
    with refused(403):
        pod.ask("GET", f"/api/runs/{other.id}/pods/1/plan.json")
    for wrong in (mine[:-1] + ("0" if mine[-1] != "0" else "1"), "", "rfm_x", mine + "x"):
        pod.token = wrong
        for method, path in (("GET", "plan.json"), ("POST", "stages/0/begin"), ("POST", "stages/0/end")):
            with refused(401):
                pod.ask(method, pod.url(path), None if method == "GET" else b"{}")
    pod.token = mine
    ground.parts.records.states.move(pod.run, "stopped", expected=("queued", "running"))
    for method, path in (("GET", "plan.json"), ("POST", "stages/0/begin"), ("POST", "stages/0/log?attempt=1&offset=0")):
        with refused(410):
            pod.ask(method, pod.url(path), None if method == "GET" else b"{}")


def test_a_token_opens_the_data_of_its_runs_repository_and_nothing_else(ground: Ground, pod: NearPod) -> None:
    ground.repository(FILES, "other")
    md5 = ONE["md5"]
    data = f"/files/md5/{md5[:2]}/{md5[2:]}"
    pod.ask("PUT", f"/alice/digits.dvc{data}", b"one\n")
    assert pod.ask("GET", f"/alice/digits.dvc{data}")[1] == b"one\n"
    wanted = json.dumps({"operation": "download", "objects": [md5]}).encode()
    found = json.loads(pod.ask("POST", "/alice/digits.dvc/batch", wanted)[1])
    assert pod.ask("GET", found["objects"][md5]["href"])[1] == b"one\n"
    for method, path, status in (
        ("GET", f"/alice/other.dvc{data}", 404),
        ("PUT", f"/alice/other.dvc{data}", 404),
        ("POST", "/alice/other.dvc/batch", 404),
        ("GET", f"/alice/absent.dvc{data}", 404),
        ("GET", "/alice/digits.git/info/refs?service=git-upload-pack", 401),
        ("GET", "/alice/digits.git/info/refs?service=git-receive-pack", 401),
        ("GET", "/alice/digits/runs/1", 302),
        ("GET", f"/ws/runs/{pod.run}.json", 404),
    ):
        with refused(status):
            pod.ask(method, path, b"one\n" if method == "PUT" else wanted if method == "POST" else None)
    mine, pod.token = pod.token, pod.token[:-1] + ("0" if pod.token[-1] != "0" else "1")
    with refused(401):
        pod.ask("GET", f"/alice/digits.dvc{data}")
    pod.token = mine
    ground.parts.records.states.move(pod.run, "failed", expected=("queued", "running"))
    for method, path in (("GET", data), ("PUT", data), ("POST", "/batch")):
        with refused(410):
            pod.ask(method, f"/alice/digits.dvc{path}", b"one\n" if method == "PUT" else wanted)


def test_environments_are_kept_for_the_repository_whole_or_not_at_all(ground: Ground, pod: NearPod) -> None:
    place = f"/api/runs/{pod.run}/environments/"
    packed = gzip.compress(os.urandom(3 << 20))
    with refused(404):
        pod.ask("GET", f"{place}abc-py3.12")
    assert pod.ask("PUT", f"{place}abc-py3.12", packed)[0] == 201
    assert pod.ask("GET", f"{place}abc-py3.12")[1] == packed
    with refused(400):
        pod.ask("PUT", f"{place}other", b"no tar")
    with refused(413):
        pod.ask("PUT", f"{place}other", packed * 2)
    with refused(404):
        pod.ask("GET", f"{place}other")
    for odd in ("A", "-", "." * 3, "x" * 129):
        with refused(404):
            pod.ask("PUT", f"{place}{odd}", packed)
    other = ground.repository(FILES, "other")
    stranger = ground.pod(ground.run(other))
    with refused(404):
        stranger.ask("GET", f"/api/runs/{stranger.run}/environments/abc-py3.12")
