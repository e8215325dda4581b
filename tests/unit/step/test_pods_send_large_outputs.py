"""Large outputs go in parts where the platform can take them so, each tried by itself; large inputs go on where they
broke off."""

import json
import os

import pytest

from fakes.pod_server import PodServer, md5, stage
from podding import Pod, pythons

PART = 5 << 20
MAKES = f"head -c {PART * 2 + 17} /dev/urandom > o"


def made(server: PodServer) -> bytes:
    return server.objects[server.made["o"]["md5"]]


def operations(server: PodServer) -> list[str]:
    return [asked["operation"] for asked in server.asked]


@pytest.mark.parametrize("python", pythons())
def test_a_large_output_goes_in_parts(pod: Pod, serve, python: str) -> None:
    server = serve(stage("s", MAKES, outs=["o"]), signed=True, part=PART)
    assert pod.run(server, python=python) == 0, pod.said
    assert len(made(server)) == PART * 2 + 17
    assert operations(server) == ["upload", "parts", "parts", "settle"]  # two addresses came at a time
    assert (server.count("PUT /parts/"), server.count("PUT /upload/")) == (3, 0)


@pytest.mark.parametrize(
    ("request_", "how", "times"),
    [
        ("PUT /parts/.*/1", "503", 2),
        ("PUT /parts/.*/3", "drop", 2),
        ("PUT /parts/.*/2", "answer lost", 2),
        ("PUT /parts/.*/1", "403", 1),
        ("PUT /parts/.*/3", "404", 2),
        ("batch", "503", 2),
        ("batch", "answer lost", 2),
    ],
)
def test_each_request_may_fail(pod: Pod, serve, request_: str, how: str, times: int) -> None:
    server = serve(stage("s", MAKES, outs=["o"]), signed=True, part=PART)
    server.fault(request_, how, times)
    assert pod.run(server) == 0, pod.said
    assert len(made(server)) == PART * 2 + 17
    if request_ != "batch":
        assert server.count("PUT /parts/") == 3 + times  # none but those that failed went twice


def test_a_part_that_stays_refused_fails_the_stage_by_name(pod: Pod, serve) -> None:
    server = serve(stage("s", MAKES, outs=["o"]), signed=True, part=PART)
    server.fault("PUT /parts/.*/2", "403", 1000)
    assert pod.run(server) == 1
    assert [(end["reason"], "part 2: HTTP 403" in end["detail"]) for end in server.ends()] == [("output-refused", True)]


def test_parts_that_became_something_else_on_the_way_are_sent_anew(pod: Pod, serve) -> None:
    server = serve(stage("s", MAKES, outs=["o"]), signed=True, part=PART)
    plain = server.batch

    def batch(asked):
        if asked["operation"] == "settle" and operations(server).count("settle") == 0:
            key = next(key for key in server.arriving if key.endswith("/2"))
            server.arriving[key] = bytes(PART)
        return plain(asked)

    server.batch = batch
    assert pod.run(server) == 0, pod.said
    assert len(made(server)) == PART * 2 + 17
    assert operations(server).count("settle") == 2


def test_a_platform_of_before_that_knows_of_no_parts_gets_it_in_one_piece(pod: Pod, serve) -> None:
    server = serve(stage("s", MAKES, outs=["o"]), signed=True)
    assert pod.run(server) == 0, pod.said
    assert len(made(server)) == PART * 2 + 17
    assert operations(server) == ["upload", "settle"]


def test_a_platform_that_is_set_back_in_the_middle_gets_it_in_one_piece(pod: Pod, serve) -> None:
    server = serve(stage("s", MAKES, outs=["o"]), signed=True, part=PART)
    plain = server.struck

    def struck(request):
        if "PUT /parts/" in request and server.count("PUT /parts/") == 2:
            server.part = 0
            server.fault("batch", "400", 1)
        return plain(request)

    server.struck = struck
    assert pod.run(server) == 0, pod.said
    assert len(made(server)) == PART * 2 + 17
    assert server.count("PUT /upload/") == 1


def test_nothing_is_said_of_the_sizes_of_small_outputs(pod: Pod, serve) -> None:
    server = serve(
        stage("s", "mkdir o; for n in 1 2 3; do head -c 70000 /dev/urandom > o/$n; done", outs=["o"]),
        signed=True,
        part=PART,
    )
    assert pod.run(server) == 0, pod.said
    assert [sorted(asked) for asked in server.asked] == [["objects", "operation"]] * 2
    assert len(json.dumps(server.asked[0])) < 200


def test_small_and_large_outputs_go_together(pod: Pod, serve) -> None:
    making = f"mkdir o; for n in 1 2 3; do head -c $((n * {PART} + n)) /dev/urandom > o/$n; echo $n > o/s$n; done"
    server = serve(stage("s", making.replace("$((n", "$(($n"), outs=["o"]), signed=True, part=PART)
    assert pod.run(server) == 0, pod.said
    assert server.made["o"]["nfiles"] == 6
    sizes = sorted(len(data) for name, data in server.objects.items() if not name.endswith(".dir"))
    assert sizes == [2, 2, 2, PART + 1, 2 * PART + 2, 3 * PART + 3]
    assert operations(server).count("upload") == 1


def test_a_download_goes_on_at_a_new_address_where_the_old_one_expired(pod: Pod, serve) -> None:
    server = serve(stage("s", "cp in o", outs=["o"], inputs={"in": {}}), signed=True)
    data = os.urandom(3_000_000)
    server.stages[0]["inputs"] = {"in": server.put(data)}
    server.fault("GET /../", "truncate", 1)
    server.fault("GET /../", "403", 1)
    assert pod.run(server) == 0, pod.said
    assert server.starts == [1_500_000]
    assert operations(server).count("download") == 2
    assert made(server) == data
    assert md5(data) in server.objects


def test_a_download_that_brings_something_each_time_is_not_given_up(pod: Pod, serve) -> None:
    server = serve(stage("s", "cp in o", outs=["o"], inputs={"in": {}}), signed=True)
    data = os.urandom(3_000_000)
    server.stages[0]["inputs"] = {"in": server.put(data)}
    server.fault("GET /../", "truncate", 7)
    assert pod.run(server, REFMILL_PATIENCE="0.5") == 0, pod.said  # seven pauses of a quarter of a second and more
    assert server.starts == sorted(server.starts)
    assert made(server) == data


def test_nothing_is_left_of_a_download_that_was_given_up(pod: Pod, serve) -> None:
    server = serve(stage("s", "true", inputs={"in": {}}), signed=True)
    server.stages[0]["inputs"] = {"in": server.put(os.urandom(3_000_000))}
    server.fault("GET /../", "truncate", 1)
    server.fault("GET /../", "403", 1000)
    assert pod.run(server) == 1
    assert [end["reason"] for end in server.ends()] == ["input-damaged"]
    assert [path for path in (pod.base / ".refmill" / "objects").rglob("*") if path.is_file()] == []
