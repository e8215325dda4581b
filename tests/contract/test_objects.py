"""What every `ports.objects.Store` and `RunCache` does: one suite for the directory and for real S3 servers."""

from __future__ import annotations

import io
import json
import os
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.request import Request, urlopen

import pytest

from refmill import errors
from refmill.clients import uploads
from refmill.formats.hashing import OLD
from refmill.ports.objects import Store
from stores import Ground, md5

SMALL = b"some bytes\n"
LARGE = os.urandom(1 << 20) * 37  # three parts of an upload and a bit, and more than is held in memory
LIMIT = 1 << 30


def take(store: Store, data: bytes, name: str = "", limit: int = LIMIT) -> bool:
    return store.take(name or md5(data), io.BytesIO(data).read, limit=limit)


def everything(store: Store, name: str) -> bytes:
    found = store.open(name)
    try:
        return b"".join(found.blocks(0, found.size))
    finally:
        found.close()


def listing(*files: bytes) -> bytes:
    entries = [{"md5": md5(data), "relpath": f"{number}.bin"} for number, data in enumerate(files)]
    return json.dumps(entries).encode()


@pytest.mark.parametrize("data", [b"", SMALL, LARGE], ids=["empty", "small", "large"])
def test_what_was_sent_is_there_whole(ground: Ground, data: bytes) -> None:
    store = ground.store("a")
    assert store.present([md5(data)]) == set()
    assert take(store, data)
    assert not take(store, data)
    for one in (store, ground.anew("a")):
        assert one.present([md5(data), md5(b"other")]) == {md5(data)}
        assert one.sizes([md5(data)]) == {md5(data): len(data)}
        assert everything(one, md5(data)) == data
        assert one.verify(md5(data))
    assert list(store.names()) == [md5(data)]


@pytest.mark.parametrize("data", [SMALL, LARGE], ids=["small", "large"])
def test_what_is_something_else_than_its_name_is_refused_and_leaves_nothing(ground: Ground, data: bytes) -> None:
    store, name = ground.store("a"), md5(b"another")
    with pytest.raises(errors.WrongUse, match="another MD5"):
        take(store, data, name)
    assert store.present([name, md5(data)]) == set()
    assert list(store.names()) == []
    with pytest.raises(errors.NotFound):
        store.open(name)
    if ground.bucket is not None:
        assert list(ground.bucket.list("")) == []


@pytest.mark.parametrize("before", [5, len(LARGE) - 5], ids=["at once", "after some parts"])
def test_a_sender_that_breaks_off_leaves_nothing(ground: Ground, before: int) -> None:
    store, source = ground.store("a"), io.BytesIO(LARGE[:before])

    def read(size: int) -> bytes:
        if block := source.read(size):
            return block
        raise ConnectionResetError("gone")

    with pytest.raises(ConnectionResetError):
        store.take(md5(LARGE), read, limit=LIMIT)
    assert store.present([md5(LARGE)]) == set()
    if ground.bucket is not None:
        assert list(ground.bucket.list("")) == []


def test_what_is_too_long_is_refused(ground: Ground) -> None:
    store = ground.store("a")
    with pytest.raises(errors.LimitExceeded):
        take(store, LARGE, limit=len(LARGE) - 1)
    assert store.present([md5(LARGE)]) == set()


def test_a_listing_comes_after_its_files(ground: Ground) -> None:
    store, data = ground.store("a"), listing(SMALL, b"two")
    name = f"{md5(data)}.dir"
    take(store, SMALL)
    with pytest.raises(errors.Conflict, match="1 file"):
        take(store, data, name)
    take(store, b"two")
    assert take(store, data, name)
    assert store.read(name) == data
    with pytest.raises(errors.WrongUse):
        take(store, b"no listing", f"{md5(b'no listing')}.dir")


def test_parts_are_given(ground: Ground) -> None:
    store = ground.store("a")
    take(store, LARGE)
    for start, end in [(0, 10), (len(LARGE) - 7, len(LARGE)), (1 << 20, 3 << 20), (5, 6)]:
        found = store.open(md5(LARGE))
        assert b"".join(found.blocks(start, end)) == LARGE[start:end]
        found.close()


def test_a_file_is_put_and_got(ground: Ground, tmp_path: Path) -> None:
    store = ground.store("a")
    for number, data in enumerate([SMALL, LARGE, b""]):
        source, target = tmp_path / f"source{number}", tmp_path / f"target{number}"
        source.write_bytes(data)
        store.put(source, md5(data), move=number == 1)
        store.put(source, md5(data))  # again is no error
        store.get(md5(data), target, executable=number == 0)
        assert target.read_bytes() == data
        assert target.stat().st_mode & 0o777 == (0o755 if number == 0 else 0o644)
        ground.anew("a").get(md5(data), tmp_path / f"link{number}", link=True)
        assert (tmp_path / f"link{number}").read_bytes() == data
    with pytest.raises(errors.NotFound):
        store.get(md5(b"absent"), tmp_path / "absent")
    assert not (tmp_path / "absent").exists()


def test_a_file_that_is_something_else_is_not_put(ground: Ground, tmp_path: Path) -> None:
    store = ground.store("a")
    (tmp_path / "source").write_bytes(SMALL)
    with pytest.raises(errors.Damaged):
        store.put(tmp_path / "source", md5(b"another"))
    assert store.present([md5(b"another")]) == set()


def test_many_files_are_put_and_fetched(ground: Ground, tmp_path: Path) -> None:
    store, sources = ground.store("a"), dict[str, Path]()
    for number in range(50):
        sources[md5(b"%d" % number)] = tmp_path / str(number)
        (tmp_path / str(number)).write_bytes(b"%d" % number)
    store.put_all(sources)
    other = ground.anew("a")
    assert other.present(sources) == set(sources)
    other.fetch([*sources, md5(b"absent"), "no name"])
    for name, source in sources.items():
        other.get(name, source.with_name(f"{source.name}.got"))
        assert source.with_name(f"{source.name}.got").read_bytes() == source.read_bytes()


def test_small_contents_are_written_and_read(ground: Ground) -> None:
    store = ground.store("a")
    assert store.write(SMALL) == store.write(SMALL) == md5(SMALL)
    assert store.write(b"[]", ".dir") == f"{md5(b'[]')}.dir"
    other = ground.anew("a")
    assert (other.read(md5(SMALL)), other.read(f"{md5(b'[]')}.dir")) == (SMALL, b"[]")
    with pytest.raises(errors.LimitExceeded):
        other.read(md5(SMALL), 5)
    with pytest.raises(errors.NotFound):
        other.read(md5(b"absent"))


def test_repositories_see_only_their_own(ground: Ground) -> None:
    one, other = ground.store("a"), ground.store("b")
    take(one, SMALL)
    assert other.present([md5(SMALL)]) == set()
    with pytest.raises(errors.NotFound):
        other.open(md5(SMALL))
    with pytest.raises(errors.NotFound):
        other.bring(md5(b"absent"), one)
    other.bring(md5(SMALL), one)
    assert everything(ground.anew("b"), md5(SMALL)) == SMALL


@pytest.mark.parametrize("name", ["", "..", "a" * 31, "g" * 32, "A" * 32, "../" * 10 + "aa", "a" * 32 + ".dirx"])
def test_what_is_no_name_of_an_object_is_not_there(ground: Ground, name: str) -> None:
    store = ground.store("a")
    assert store.present([name]) == set()
    with pytest.raises(errors.NotFound):
        store.open(name)
    with pytest.raises(errors.NotFound):
        store.read(name)


def test_objects_of_dvc_2_lie_under_their_names_of_then_and_today(ground: Ground, tmp_path: Path) -> None:
    store, data = ground.store("a"), b"one\r\ntwo\r\n"
    name = OLD + md5(b"one\ntwo\n")
    assert take(store, data, name)
    for one in (store, ground.anew("a")):
        assert one.present([name, md5(data), OLD + md5(b"x")]) == {name, md5(data)}
        assert one.today(name) == md5(data)
        assert one.today(OLD + md5(b"x")) is None
        assert one.sizes([name]) == {name: len(data)}
        assert everything(one, name) == data
    ground.anew("a").get(name, tmp_path / "got")
    assert (tmp_path / "got").read_bytes() == data
    entries = json.dumps([{"md5": name.removeprefix(OLD), "relpath": "a.txt"}]).encode()
    directory = f"{OLD}{md5(entries)}.dir"
    assert take(store, entries, directory)
    assert ground.anew("a").read(directory) == entries
    ground.store("b").bring(name, store)
    assert ground.anew("b").today(name) == md5(data)


def test_a_link_needs_no_credentials(ground: Ground) -> None:
    store = ground.store("a")
    take(store, LARGE)
    with pytest.raises(errors.NotFound):
        store.link(md5(b"absent"), 60)
    found = store.link(md5(LARGE), 60)
    assert (found is None) == (ground.bucket is None)
    if found is not None:
        with urlopen(found, timeout=30) as answer:
            assert answer.read() == LARGE


def test_what_is_sent_past_the_platform_gets_its_name_when_it_was_compared(ground: Ground) -> None:
    store = ground.store("a")
    offer = store.offer(md5(LARGE), 60)
    assert (offer is None) == (ground.bucket is None)
    if offer is None:
        with pytest.raises(errors.NotFound):
            store.settle(md5(LARGE), "0" * 32, limit=LIMIT)
        return
    for ticket in (offer.ticket, "0" * 32, "../x"):
        with pytest.raises(errors.NotFound):
            store.settle(md5(LARGE), ticket, limit=LIMIT)
    send(offer.href, LARGE)
    assert store.present([md5(LARGE)]) == set()
    assert store.settle(md5(LARGE), offer.ticket, limit=LIMIT)
    assert everything(ground.anew("a"), md5(LARGE)) == LARGE
    for name, limit, fault in [(md5(b"x"), LIMIT, errors.WrongUse), (md5(SMALL), 3, errors.LimitExceeded)]:
        again = store.offer(name, 60)
        assert again
        send(again.href, SMALL)
        with pytest.raises(fault):
            store.settle(name, again.ticket, limit=limit)
        assert store.present([name]) == set()
    known = store.offer(md5(LARGE), 60)
    assert known
    send(known.href, LARGE)
    with pytest.raises(errors.NotFound):
        ground.store("b").settle(md5(LARGE), known.ticket, limit=LIMIT)
    assert not store.settle(md5(LARGE), known.ticket, limit=LIMIT)
    assert ground.bucket
    assert [item.key for item in ground.bucket.list("incoming/")] == []


@pytest.mark.parametrize("ground", ["minio", "versitygw"], indirect=True)
def test_what_is_sent_again_while_it_is_compared_changes_nothing(
    ground: Ground, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, real = ground.store("a"), uploads.check_hash
    offer = store.offer(md5(SMALL), 60)
    assert offer
    send(offer.href, SMALL)

    def check(name: str, digest: object) -> None:
        real(name, digest)
        send(offer.href, b"something else")

    monkeypatch.setattr(uploads, "check_hash", check)
    assert store.settle(md5(SMALL), offer.ticket, limit=LIMIT)
    assert everything(ground.anew("a"), md5(SMALL)) == SMALL


def send(address: str, data: bytes) -> None:
    headers = {"Content-Type": "application/octet-stream"}
    with urlopen(Request(address, data=data, method="PUT", headers=headers), timeout=30) as answer:
        assert answer.status == 200


def test_what_is_collected_is_gone(ground: Ground) -> None:
    store = ground.store("a")
    for data in (SMALL, b"two", listing(SMALL)):
        store.write(data, ".dir" if data.startswith(b"[") else "")
    names = {md5(SMALL): len(SMALL), md5(b"two"): 3, f"{md5(listing(SMALL))}.dir": len(listing(SMALL))}
    found = {item.name: item for item in store.kept()}
    assert {name: item.size for name, item in found.items()} == names
    assert all(abs(time.time() - item.written) < 100 for item in found.values())
    store.remove([md5(b"two"), md5(b"absent")])
    store.remove([])
    for one in (store, ground.anew("a")):
        assert one.present(names) == set(names) - {md5(b"two")}
    with pytest.raises(errors.NotFound):
        store.read(md5(b"two"))


def test_what_old_names_lead_to_is_pinned(ground: Ground) -> None:
    store, data = ground.store("a"), b"one\r\ntwo\r\n"
    take(store, data, OLD + md5(b"one\ntwo\n"))
    take(store, b"\0binary", OLD + md5(b"\0binary"))
    entries = json.dumps([{"md5": md5(b"\0binary"), "relpath": "a.bin"}]).encode()
    take(store, entries, f"{OLD}{md5(entries)}.dir")
    assert ground.anew("a").pinned() == {md5(data), md5(b"\0binary")}


def test_the_run_cache_gives_what_was_saved(ground: Ground) -> None:
    cache, entry = ground.run_cache("a"), {"cmd": "x", "outs": [{"path": "a", "md5": md5(SMALL), "size": 1}]}
    assert cache.load("a" * 64) is None
    assert cache.load("no key") is None
    cache.save("a" * 64, "b" * 64, entry)
    cache.save("a" * 64, "b" * 64, entry)
    assert cache.load("a" * 64) == entry
    assert ground.run_cache("b").load("a" * 64) is None
    assert [md5(SMALL) in one for one in cache.texts()] == [True]
    with pytest.raises(errors.WrongUse):
        cache.save("a", "b", entry)


def test_what_is_sent_while_somebody_else_sends_it_is_there_once(ground: Ground) -> None:
    store, other = ground.store("a"), ground.store("a")

    def read_slowly() -> Iterator[bytes]:
        yield LARGE[: 20 << 20]
        assert take(other, LARGE)
        yield LARGE[20 << 20 :]

    blocks = read_slowly()
    store.take(md5(LARGE), lambda _: next(blocks, b""), limit=LIMIT)
    assert list(store.names()) == [md5(LARGE)]
    assert everything(ground.anew("a"), md5(LARGE)) == LARGE


def test_asking_makes_an_old_object_young(ground: Ground, monkeypatch: pytest.MonkeyPatch) -> None:
    store = ground.store("a")
    take(store, SMALL)
    before = _written(ground, store)
    now = time.time()
    time.sleep(1.1)  # S3 counts whole seconds
    with monkeypatch.context() as clock:
        clock.setattr("time.time", lambda: now + 3 * 86_400)
        store.open(md5(SMALL)).close()
    assert _written(ground, store) > before
    assert everything(ground.anew("a"), md5(SMALL)) == SMALL


def _written(ground: Ground, store: Store) -> float:
    if ground.bucket is None:
        return Path(store.where(md5(SMALL))).stat().st_mtime
    (found,) = [item for item in ground.bucket.list("") if item.key.endswith(md5(SMALL)[2:])]
    return found.written
