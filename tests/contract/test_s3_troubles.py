"""An S3 store that is slow, busy, away, full of wrong bytes, or set up wrongly: told in words, and tried again."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from refmill import errors
from refmill.clients.s3 import Bucket, Place
from refmill.clients.s3 import place as named_place
from refmill.clients.s3.bucket import TRIES
from s3_servers import S3Server
from stores import in_bucket, md5

DATA = b"0123456789" * 1_000_000


ERROR = '<?xml version="1.0" encoding="UTF-8"?><Error><Code>{code}</Code><Message>later</Message></Error>'
BUSY = {"SlowDown": 503, "InternalError": 500}


class Relay:
    """Stands before a server and spoils connections: the first `broken` answers end after `after` bytes, of the first
    `refused` the request is answered with an error, and all go byte by byte if it `drips`."""

    def __init__(self, port: int) -> None:
        self._server, self._listening = port, socket.create_server(("127.0.0.1", 0))
        self.broken, self.after, self.connections = 0, 0, 0
        self.refused, self.code, self.drips = 0, "SlowDown", False
        threading.Thread(target=self._serve, daemon=True).start()

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self._listening.getsockname()[1]}"

    def close(self) -> None:
        self._listening.close()

    def _serve(self) -> None:
        while True:
            try:
                client, _ = self._listening.accept()
            except OSError:
                return
            self.connections += 1
            limit = None
            if self.refused:
                self.refused -= 1
                threading.Thread(target=self._refuse, args=(client,), daemon=True).start()
                continue
            if self.broken:
                self.broken -= 1
                limit = self.after
            threading.Thread(target=self._both_ways, args=(client, limit), daemon=True).start()

    def _drip(self, target: socket.socket, block: bytes) -> None:
        head = block.find(b"\r\n\r\n") + 4 if block.startswith(b"HTTP/") else 0
        target.sendall(block[:head])
        for number in range(head, len(block)):
            target.sendall(block[number : number + 1])
            time.sleep(0.01)

    def _refuse(self, client: socket.socket) -> None:
        with client, client.makefile("rb") as asked:
            method, length = asked.readline().partition(b" ")[0], 0
            while (header := asked.readline().lower()) not in (b"\r\n", b""):
                if header.startswith(b"content-length:"):
                    length = int(header.partition(b":")[2])
            asked.read(length)
            body = ERROR.format(code=self.code)
            head = f"HTTP/1.1 {BUSY[self.code]} Busy\r\nConnection: close\r\nContent-Type: application/xml\r\n"
            told = "" if method == b"HEAD" else body
            client.sendall(f"{head}Content-Length: {len(body)}\r\n\r\n{told}".encode())

    def _both_ways(self, client: socket.socket, limit: int | None) -> None:
        with client, socket.create_connection(("127.0.0.1", self._server)) as server:
            there = threading.Thread(target=self._pass_on, args=(client, server, None), daemon=True)
            there.start()
            self._pass_on(server, client, limit)
            there.join()

    def _pass_on(self, source: socket.socket, target: socket.socket, limit: int | None) -> None:
        """Until one side ends, or `limit` bytes have gone."""
        try:
            while block := source.recv(65536):
                if self.drips and source.getpeername()[1] == self._server:
                    self._drip(target, block)
                    continue
                target.sendall(block if limit is None else block[:limit])
                if limit is not None and (limit := limit - len(block)) <= 0:
                    break
        except OSError:
            pass
        for one in (source, target):
            try:
                one.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass


@pytest.fixture
def relay(server: S3Server, place: Place) -> Iterator[Relay]:
    found = Relay(server.port)
    Bucket(place).prepare()
    yield found
    found.close()


def behind(place: Place, relay: Relay) -> Bucket:
    return Bucket(replace(place, endpoint=relay.address))


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tries come soon."""
    monkeypatch.setattr("refmill.clients.s3.bucket.BACKOFF", 0.01)


def test_a_download_that_breaks_off_is_gone_on_with(place: Place, relay: Relay) -> None:
    Bucket(place).put("some", DATA)
    relay.broken, relay.after = 3, 2_000_000
    assert b"".join(behind(place, relay).blocks("some")) == DATA
    relay.broken, relay.after = 3, 2_000_000
    assert b"".join(behind(place, relay).blocks("some", 5, 9_000_000)) == DATA[5:9_000_000]


def test_requests_that_get_no_answer_are_made_again(place: Place, relay: Relay, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(DATA * 4)
    bucket = behind(place, relay)
    relay.broken, relay.after = 2, 0
    bucket.put_file("large", tmp_path / "file")
    relay.broken, relay.after = 2, 10
    found = behind(place, relay).stat("large")
    assert found
    assert found.size == len(DATA) * 4


def test_a_store_that_never_answers_is_told_of(place: Place, relay: Relay) -> None:
    relay.broken, relay.after = 1000, 0
    with pytest.raises(errors.Unavailable, match="does not answer") as caught:
        behind(place, relay).stat("some")
    assert caught.value.remedy
    assert relay.connections > 3


@pytest.mark.parametrize("code", BUSY)
def test_a_store_that_answers_with_errors_is_asked_again(place: Place, relay: Relay, tmp_path: Path, code: str) -> None:
    (tmp_path / "file").write_bytes(DATA * 4)
    relay.code = code
    for use in (
        lambda bucket: bucket.put("some", b"x"), lambda bucket: bucket.put_file("large", tmp_path / "file"),
        lambda bucket: bucket.copy("some", "other"), lambda bucket: list(bucket.list("")),
    ):  # fmt: skip
        relay.refused = 3
        use(behind(place, relay))
        assert not relay.refused
    relay.refused = 3
    found = behind(place, relay).stat("large")
    assert found
    assert found.size == len(DATA) * 4
    relay.refused = 3
    assert behind(place, relay).read("some", 10) == b"x"
    relay.refused = 3
    behind(place, relay).remove(["some"])
    assert Bucket(place).stat("some") is None


@pytest.mark.parametrize("code", BUSY)
def test_a_store_that_answers_with_nothing_but_errors_is_told_of(
    place: Place, relay: Relay, tmp_path: Path, code: str
) -> None:
    Bucket(place).put("some", b"x")
    for use in (
        lambda bucket: bucket.put("other", b"x"), lambda bucket: bucket.read("some", 10), lambda bucket: bucket.stat("some")
    ):  # fmt: skip
        relay.refused, relay.code = 1000, code
        with pytest.raises(errors.Unavailable, match="could not answer, also when asked again: ") as caught:
            use(behind(place, relay))
        assert caught.value.remedy
        assert relay.refused <= 1000 - 1 - TRIES
    relay.refused = 0
    assert Bucket(place).stat("other") is None


def test_an_object_that_drips_is_not_waited_for(place: Place, relay: Relay, monkeypatch: pytest.MonkeyPatch) -> None:
    Bucket(place).put("some", DATA)
    monkeypatch.setattr("refmill.clients.s3.bucket.READ_SECONDS", 0.5)
    relay.drips = True
    with pytest.raises(errors.Unavailable, match="comes too slowly"):
        list(behind(place, relay).blocks("some"))
    relay.drips = False
    assert b"".join(behind(place, relay).blocks("some")) == DATA


def test_a_store_that_hangs_is_given_up(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("refmill.clients.s3.bucket.READ_SECONDS", 0.1)
    with closing(socket.create_server(("127.0.0.1", 0))) as silent:
        bucket = Bucket(replace(place, endpoint=f"http://127.0.0.1:{silent.getsockname()[1]}"))
        with pytest.raises(errors.Unavailable, match="does not answer"):
            bucket.stat("some")


def test_wrong_bytes_are_neither_used_nor_handed_out(place: Place, tmp_path: Path) -> None:
    ground = in_bucket(place, tmp_path / "near")
    assert ground.bucket
    name = md5(DATA)
    ground.bucket.put(f"r/a/files/md5/{name[:2]}/{name[2:]}", DATA[:-1] + b"x")
    store = ground.store("a")
    for use in (lambda: store.get(name, tmp_path / "target"), lambda: store.read(name)):
        with pytest.raises(errors.Damaged) as caught:
            use()
        assert f"/{name[:2]}/{name[2:]}" in str(caught.value.remedy)
    assert not (tmp_path / "target").exists()
    assert not store.verify(name)
    found, got = store.open(name), list[bytes]()
    with pytest.raises(ConnectionAbortedError):
        got.extend(found.blocks(0, found.size))
    assert sum(map(len, got)) < len(DATA)


def test_a_copy_that_went_bad_is_brought_again(place: Place, tmp_path: Path) -> None:
    ground = in_bucket(place, tmp_path / "near")
    name = ground.store("a").write(b"whole")
    (copy,) = (tmp_path / "near").rglob(name[2:])
    copy.chmod(0o644)
    copy.write_bytes(b"wrong")
    ground.store("a").get(name, tmp_path / "target")
    assert (tmp_path / "target").read_bytes() == b"whole"


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"bucket": "not-there", "create": False}, "there is no bucket"),
        ({"endpoint": "http://127.0.0.1:9"}, "does not answer"),
        ({"ca": "/no/such/file"}, "there is no file"),
        ({"endpoint": "http://127.0.0.1:9/path"}, "no endpoint"),
        ({"credentials": "/no/such/file"}, "cannot be read"),
    ],
)
def test_wrong_settings_are_told_in_words(place: Place, changes: dict[str, object], told: str) -> None:
    with pytest.raises(errors.RefmillError, match=told) as caught:
        Bucket(replace(place, **changes)).prepare()  # type: ignore[arg-type]
    assert caught.value.remedy


@pytest.mark.parametrize("name", ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"])
def test_wrong_keys_are_told_in_words(place: Place, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, "wrong-and-long-enough")
    with pytest.raises(errors.Unavailable, match="does not know these credentials"):
        Bucket(place).prepare()
    monkeypatch.delenv(name)
    with pytest.raises(errors.WrongUse, match="credentials"):
        Bucket(place)


def test_a_clock_that_is_wrong_is_told_of(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    from minio import time as clock  # noqa: PLC0415 - the one that requests are signed with

    real = clock.utcnow
    monkeypatch.setattr(clock, "utcnow", lambda: real().replace(year=real().year - 1))
    with pytest.raises(errors.Unavailable, match="clock"):
        Bucket(place).prepare()


def test_what_the_platform_needs_is_tried(place: Place) -> None:
    bucket = Bucket(place)
    bucket.probe()
    assert list(bucket.list("")) == []


@pytest.mark.parametrize("server", ["minio"], indirect=True)  # the other one encrypts nothing
def test_objects_are_encrypted_where_that_is_asked_for(server: S3Server, place: Place, tmp_path: Path) -> None:
    for number, changes in enumerate([{"encryption": "s3"}, {"encryption": "kms", "kms_key": "tests"}]):
        encrypted = replace(place, prefix=f"{place.prefix}{number}/", **changes)  # type: ignore[arg-type]
        store = in_bucket(encrypted, tmp_path / str(number)).store("a")
        name = store.write(b"a secret that is longer than nothing")
        assert in_bucket(encrypted, tmp_path / f"other{number}").store("a").read(name)
    stored = [path.read_bytes() for path in (server.folder / "data").rglob("*") if path.is_file()]
    assert not [data for data in stored if b"a secret that is longer than nothing" in data]


def test_addresses_of_places_are_read() -> None:
    assert named_place("s3://bucket/a/b").prefix == "a/b/"
    assert named_place("s3://bucket").prefix == ""
    for wrong in ("bucket", "s3://", "s3://B", "http://bucket", "s3://bucket/a b", "s3://bucket/?x"):
        with pytest.raises(errors.WrongUse):
            named_place(wrong)
    for settings in ({"kms_key": "x"}, {"encryption": "kms"}):
        with pytest.raises(errors.WrongUse, match="kms"):
            named_place("s3://bucket", **settings)
    for part in ((5 << 20) - 1, (5 << 30) + 1):
        with pytest.raises(errors.WrongUse, match="s3_part"):
            named_place("s3://bucket", part=part)
