"""The data remote asked without dvc: ranges, existence, hostile paths, bodies that lie, break off or are too large."""

import hashlib
import json
import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPConnection

import pytest

from fakes.data_remote import LIMIT, Remote, serving_data


@pytest.fixture(scope="module")
def remote(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Remote]:
    with serving_data(tmp_path_factory.mktemp("served")) as running:
        yield running


def place(data: bytes, ending: str = "") -> str:
    md5 = hashlib.md5(data, usedforsecurity=False).hexdigest()
    return f"files/md5/{md5[:2]}/{md5[2:]}{ending}"


def store(remote: Remote, data: bytes, ending: str = "") -> str:
    answer, _ = remote.ask("POST", place(data, ending), iter([data]))
    assert answer.status in (200, 201)
    return place(data, ending)


def listing(**files: str) -> bytes:
    return json.dumps([{"md5": md5, "relpath": path} for path, md5 in files.items()]).encode()


def test_an_object_is_given_whole_in_parts_and_as_headers(remote: Remote) -> None:
    data = bytes(range(256)) * 10_000
    path = store(remote, data)
    answer, body = remote.ask("GET", path)
    assert (answer.status, body) == (200, data)
    assert answer.headers["Content-Security-Policy"].startswith("sandbox")
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    head, nothing = remote.ask("HEAD", path)
    assert (head.status, head.headers["Content-Length"], nothing) == (200, str(len(data)), b"")
    again, nothing = remote.ask("GET", path, If_None_Match=answer.headers["ETag"])
    assert (again.status, nothing) == (304, b"")


@pytest.mark.parametrize(
    ("asked", "status", "given"),
    [
        ("bytes=0-3", 206, b"0123"),
        ("bytes=7-", 206, b"789"),
        ("bytes=-2", 206, b"89"),
        ("bytes=-50", 206, b"0123456789"),
        ("bytes=0-9", 206, b"0123456789"),
        ("bytes=4-400", 206, b"456789"),
        ("bytes=5-2", 200, b"0123456789"),
        ("bytes=0-1,3-4", 200, b"0123456789"),
        ("lines=0-1", 200, b"0123456789"),
        ("bytes=10-", 416, b""),
        ("bytes=-0", 416, b""),
        ("bytes=99999999999999999999999-", 200, b"0123456789"),
    ],
)
def test_a_range_is_given_as_asked(remote: Remote, asked: str, status: int, given: bytes) -> None:
    answer, body = remote.ask("GET", store(remote, b"0123456789"), Range=asked)
    assert (answer.status, body) == (status, given)


def test_a_range_of_another_version_is_the_whole(remote: Remote) -> None:
    answer, body = remote.ask("GET", store(remote, b"0123456789"), Range="bytes=0-3", If_Range='"other"')
    assert (answer.status, body) == (200, b"0123456789")


def test_existence_is_told_and_the_roots_answer(remote: Remote) -> None:
    for folder in ("/ann/data.dvc", "/ann/data.dvc/", "files/md5", "files/md5/"):
        assert remote.ask("GET", folder)[0].status == 200
        assert remote.ask("HEAD", folder)[1] == b""
    assert remote.ask("GET", place(b"never stored"))[0].status == 404
    assert remote.ask("HEAD", place(b"never stored"))[0].status == 404


@pytest.mark.parametrize(
    "path",
    [
        "files/md5/../../../../arrived",
        "files/md5/%2e%2e/%2e%2e",
        "files/md5/..%2f..%2farrived",
        "files/md5/ab/..",
        "files/md5/AB/" + "C" * 30,
        "files/md5/ab/" + "c" * 29,
        "files/md5/ab/" + "c" * 30 + ".dirx",
        "files/md5/ab/" + "c" * 30 + "%0a",
        "files/md5/ab/" + "c" * 30 + "%00",
        "files/md5//ab/" + "c" * 30,
        "runs/ab/cd",
        "incoming/x",
        "/ann/../ann/data.dvc/files/md5/ab/x",
        "/ann/data.git.dvc/files/md5",
        "/%C3%A4nn/data.dvc/files/md5",
        "/ann/data/files/md5",
        "/",
    ],
)
def test_paths_that_are_no_object_lead_nowhere(remote: Remote, path: str) -> None:
    before = remote.objects()
    assert remote.ask("GET", path)[0].status == 404
    assert remote.ask("PUT", path, b"x")[0].status in (403, 404)
    assert remote.objects() == before


def test_strangers_learn_nothing(remote: Remote) -> None:
    path = store(remote, b"private")
    for where in (path, place(b"absent"), "/ann/absent.dvc/files/md5"):
        answer, body = remote.ask("GET", where, user="")
        assert (answer.status, b"private" in body) == (401, False)
        assert answer.headers["WWW-Authenticate"].startswith("Basic realm=")
    assert remote.ask("GET", path.replace("files", "/ann/models.dvc/files", 1), user="ann")[0].status == 404
    assert remote.ask("GET", "/ann/models.dvc/files/md5", user="bob")[0].status == 404
    answer, _ = remote.ask("POST", place(b"from bob"), iter([b"from bob"]), user="bob")
    assert (answer.status, answer.reason) == (403, "bob may only read")


def test_nothing_is_deleted_or_otherwise_done(remote: Remote) -> None:
    path = store(remote, b"to stay")
    for method in ("DELETE", "PATCH", "OPTIONS", "MKCOL"):
        answer, _ = remote.ask(method, path)
        assert (answer.status, answer.headers["Allow"]) == (405, "GET, HEAD, POST, PUT")
    assert remote.ask("GET", path)[1] == b"to stay"


def test_an_upload_with_a_length_is_as_good(remote: Remote) -> None:
    assert remote.ask("PUT", place(b"with a length"), b"with a length")[0].status == 201
    assert remote.ask("PUT", place(b"with a length"), b"with a length")[0].status == 200
    assert remote.ask("PUT", place(b""), b"")[0].status == 201
    assert remote.ask("GET", place(b""))[1] == b""


def test_other_bytes_than_the_name_says_are_refused_and_not_kept(remote: Remote) -> None:
    before = remote.objects()
    answer, body = remote.ask("POST", place(b"this"), iter([b"that"]))
    assert answer.status == 400
    assert "another MD5" in answer.reason
    assert b"dvc status" in body
    assert remote.objects() == before
    assert f"id-data {place(b'this')[10:].replace('/', '')}" not in remote.lines("arrived")


@pytest.mark.parametrize("sent", ["5\r\nhello\r\n", "5\r\nhel", "zz\r\nhello\r\n"])
def test_a_chunked_upload_that_breaks_off_is_not_kept(remote: Remote, sent: str) -> None:
    before = remote.objects()
    with socket.create_connection(("127.0.0.1", remote.port), timeout=10) as sender:
        login = "Authorization: Basic YW5uOnJpZ2h0"
        sender.sendall(f"POST /ann/data.dvc/{place(b'hello')} HTTP/1.1\r\nHost: x\r\n{login}\r\n".encode())
        sender.sendall(f"Transfer-Encoding: chunked\r\n\r\n{sent}".encode())
        sender.shutdown(socket.SHUT_WR)
        answer = b"".join(iter(lambda: sender.recv(65536), b""))
    assert b" 20" not in answer.partition(b"\r\n")[0]
    assert remote.objects() == before


def test_a_body_shorter_than_announced_is_not_kept(remote: Remote) -> None:
    before = remote.objects()
    with socket.create_connection(("127.0.0.1", remote.port), timeout=10) as sender:
        head = f"PUT /ann/data.dvc/{place(b'hello')} HTTP/1.1\r\nHost: x\r\nAuthorization: Basic YW5uOnJpZ2h0\r\n"
        sender.sendall(f"{head}Content-Length: 50\r\n\r\nhello".encode())
        sender.shutdown(socket.SHUT_WR)
        answer = b"".join(iter(lambda: sender.recv(65536), b""))
    assert b" 20" not in answer.partition(b"\r\n")[0]
    assert remote.objects() == before


def test_what_is_too_large_is_refused(remote: Remote) -> None:
    before = remote.objects()
    data = b"x" * (LIMIT + 1)
    assert remote.ask("PUT", place(data), data)[0].status == 413
    assert remote.ask("POST", place(data), iter([data[: 1 << 20]] * 5))[0].status == 413
    assert remote.objects() == before


def test_packed_bodies_are_refused(remote: Remote) -> None:
    assert remote.ask("PUT", place(b"packed"), b"packed", Content_Encoding="gzip")[0].status == 400


@pytest.mark.parametrize(
    "data",
    [
        b"no listing",
        b'{"md5": "x"}',
        listing(**{"../up": "0" * 32}),
        listing(**{"/root": "0" * 32}),
        listing(file="not an md5"),
    ],
)
def test_a_listing_must_be_one(remote: Remote, data: bytes) -> None:
    before = remote.objects()
    assert remote.ask("POST", place(data, ".dir"), iter([data]))[0].status == 400
    assert remote.objects() == before


def test_a_listing_comes_after_its_files(remote: Remote) -> None:
    md5 = hashlib.md5(b"the file", usedforsecurity=False).hexdigest()
    data = listing(a=md5, b=md5)
    assert remote.ask("POST", place(data, ".dir"), iter([data]))[0].status == 409
    store(remote, b"the file")
    assert remote.ask("POST", place(data, ".dir"), iter([data]))[0].status == 201
    assert remote.ask("GET", place(data, ".dir"))[1] == data


def test_the_same_object_from_many_at_once_is_stored_once(remote: Remote) -> None:
    data, start = b"popular" * 50_000, threading.Barrier(6)

    def upload(_: int) -> int:
        start.wait()
        return remote.ask("POST", place(data), iter([data[:1000], data[1000:]]))[0].status

    with ThreadPoolExecutor(6) as pool:
        assert set(pool.map(upload, range(6))) <= {200, 201}
    assert remote.ask("GET", place(data))[1] == data
    assert not [name for name in remote.objects() if name.startswith("incoming")]


def test_connections_that_stay_open_keep_nobody_waiting(remote: Remote) -> None:
    # More than there are threads, each asking again and again, and one after the other.
    path = store(remote, b"asked for often")
    login = {"Authorization": "Basic YW5uOnJpZ2h0"}
    connections = [HTTPConnection("127.0.0.1", remote.port, timeout=20) for _ in range(20)]
    try:
        for _ in range(4):
            for connection in connections:
                connection.request("GET", f"/ann/data.dvc/{path}", headers=login)
                answer = connection.getresponse()
                assert (answer.status, answer.read()) == (200, b"asked for often")
                connection.request("GET", f"/ann/data.dvc/{place(b'never stored')}", headers=login)
                answer = connection.getresponse()
                assert (answer.status, answer.reason, answer.read()) == (404, "Not Found", b"")
                assert not answer.will_close
    finally:
        for connection in connections:
            connection.close()


def test_questions_that_come_together_are_all_answered(remote: Remote) -> None:
    path = store(remote, b"two at once")
    question = f"GET /ann/data.dvc/{path} HTTP/1.1\r\nHost: x\r\nAuthorization: Basic YW5uOnJpZ2h0\r\n"
    with socket.create_connection(("127.0.0.1", remote.port), timeout=10) as sender:
        sender.sendall(f"{question}\r\n{question}Connection: close\r\n\r\n".encode())
        answers = b"".join(iter(lambda: sender.recv(65536), b""))
    assert answers.count(b"HTTP/1.1 200 OK") == answers.count(b"two at once") == 2
