"""Objects that others send to a bucket in parts: made whole by the platform, or nothing stays of them."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest

from refmill import errors
from refmill.clients import uploads
from refmill.clients.s3 import Bucket, Place
from refmill.clients.s3.arrivals import Arrival
from refmill.ports.objects import PartOffers, Piecemeal, Store, Underway
from s3_servers import S3Server
from stores import Ground, in_bucket, md5

PART = 5 << 20  # the smallest that S3 takes
DATA = os.urandom(1 << 20) * 12 + b"and a bit"
NAME, RUN, LIMIT = md5(DATA), "abcdefghij0123456789", 1 << 30
WANTED = Piecemeal(NAME, len(DATA), RUN)


@pytest.fixture
def ground(place: Place, tmp_path: Path) -> Ground:
    """Stores in a bucket, which take what is larger than the smallest part in parts."""
    return in_bucket(replace(place, part=PART), tmp_path / "near")


def bucket_of(ground: Ground) -> Bucket:
    assert ground.bucket
    return ground.bucket


def put(address: str, data: bytes, **headers: str) -> str:
    """The ETag."""
    asked = Request(address, data=data, method="PUT", headers={"Content-Type": "application/octet-stream"} | headers)
    with urlopen(asked, timeout=30) as answer:
        return answer.headers["ETag"]


def refused(address: str, data: bytes) -> int:
    with pytest.raises(HTTPError) as caught:
        put(address, data)
    with caught.value as error:
        return error.code


def begun(store: Store, wanted: Piecemeal = WANTED) -> tuple[Piecemeal, PartOffers]:
    found = store.parts(wanted, 60, limit=LIMIT)
    return replace(wanted, ticket=found.ticket), found


def sent(store: Store, data: bytes = DATA, wanted: Piecemeal = WANTED) -> tuple[Piecemeal, list[str]]:
    """All parts, sent; their ETags."""
    ticketed, found = begun(store, wanted)
    return ticketed, [put(href, data[n * PART : (n + 1) * PART]) for n, href in enumerate(found.hrefs)]


def left(ground: Ground) -> list[object]:
    """What is on its way in the bucket, and known to be."""
    bucket = bucket_of(ground)
    known = [path for path in (Path(ground.near) / "a" / "refmill" / "parts").rglob("*") if path.is_file()]
    return [*bucket.list("incoming/"), *bucket.multipart.begun("incoming/", time.time() + 1000), *known]


def test_what_was_sent_in_parts_gets_its_name_when_it_was_compared(ground: Ground) -> None:
    store = ground.store("a")
    assert [store.in_parts(size) for size in (0, PART, PART + 1)] == [False, False, True]
    ticketed, found = begun(store)
    assert (found.size, found.count, found.first, len(found.hrefs)) == (PART, 3, 1, 3)
    (later,) = store.parts(replace(ticketed, first=3), 60, limit=LIMIT).hrefs
    etags = [put(href, DATA[n * PART :][:PART]) for n, href in enumerate([*found.hrefs[:2], later])]
    assert store.present([NAME]) == set()
    assert store.settle_parts(ticketed, etags, limit=LIMIT)
    reader = ground.anew("a").open(NAME)
    assert b"".join(reader.blocks(0, reader.size)) == DATA
    assert left(ground) == []
    assert refused(found.hrefs[0], b"x") == 404
    with pytest.raises(errors.NotFound):
        store.settle_parts(ticketed, etags, limit=LIMIT)
    assert not store.settle_parts(*sent(store), limit=LIMIT)  # it is there already
    assert left(ground) == []


def _last_is_missing(etags: Sequence[str]) -> list[str]:
    return list(etags[:-1])


def _one_is_another(etags: Sequence[str]) -> list[str]:
    return [etags[0], f'"{"0" * 32}"', etags[2]]


def _in_another_order(etags: Sequence[str]) -> list[str]:
    return [etags[0], etags[2], etags[1]]


@pytest.mark.parametrize("spoilt", [_last_is_missing, _one_is_another, _in_another_order])
def test_other_parts_than_those_that_were_sent_are_refused(
    ground: Ground, spoilt: Callable[[Sequence[str]], list[str]]
) -> None:
    store = ground.store("a")
    data = os.urandom(PART) + os.urandom(PART) + b"x"
    ticketed, etags = sent(store, data, Piecemeal(md5(data), len(data), RUN))
    with pytest.raises(errors.WrongUse):
        store.settle_parts(ticketed, spoilt(etags), limit=LIMIT)
    assert store.present([md5(data)]) == set()
    assert left(ground) == []


@pytest.mark.parametrize(
    ("name", "size"), [(md5(b"another"), len(DATA)), (NAME, len(DATA) - 1), (NAME, len(DATA) + 1)],
    ids=["another object", "too little", "too much"],
)  # fmt: skip
def test_something_else_than_was_said_is_refused_and_leaves_nothing(ground: Ground, name: str, size: int) -> None:
    store = ground.store("a")
    ticketed, etags = sent(store, DATA, Piecemeal(name, size, RUN))
    with pytest.raises(errors.WrongUse):
        store.settle_parts(ticketed, etags, limit=LIMIT)
    assert store.present([name, NAME]) == set()
    assert left(ground) == []


def test_ids_and_numbers_that_are_not_the_senders_own_lead_nowhere(ground: Ground) -> None:
    store = ground.store("a")
    ticketed, etags = sent(store)
    others = [
        replace(ticketed, sender="0123456789abcdefghij"), replace(ticketed, sender=""), replace(ticketed, md5=md5(b"x")),
        replace(ticketed, ticket="0" * 32), replace(ticketed, ticket=f"../{RUN}/{ticketed.ticket}"),
    ]  # fmt: skip
    for one, other in [(store, item) for item in others] + [(ground.store("b"), ticketed)]:
        with pytest.raises(errors.NotFound):
            one.parts(other, 60, limit=LIMIT)
        with pytest.raises(errors.NotFound):
            one.settle_parts(other, etags, limit=LIMIT)
    for other in (replace(ticketed, first=0), replace(ticketed, first=4), replace(ticketed, size=len(DATA) + 1)):
        with pytest.raises(errors.WrongUse):
            store.parts(other, 60, limit=LIMIT)
    with pytest.raises(errors.WrongUse):
        store.parts(replace(WANTED, size=0), 60, limit=LIMIT)
    with pytest.raises(errors.LimitExceeded):
        store.parts(WANTED, 60, limit=len(DATA) - 1)
    assert store.settle_parts(ticketed, etags, limit=LIMIT)  # none of that harmed it


def test_parts_that_are_sent_again_while_the_object_is_compared_change_nothing(
    ground: Ground, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, real = ground.store("a"), uploads.check_hash
    ticketed, found = begun(store)
    etags = [put(href, DATA[n * PART :][:PART]) for n, href in enumerate(found.hrefs)]
    seen: list[object] = []

    def check(name: str, digest: object) -> None:
        real(name, digest)
        seen.append(refused(found.hrefs[0], b"x"))
        with pytest.raises(Underway):
            ground.store("a").settle_parts(ticketed, etags, limit=LIMIT)

    monkeypatch.setattr(uploads, "check_hash", check)
    assert store.settle_parts(ticketed, etags, limit=LIMIT)
    assert seen == [404]
    assert ground.anew("a").verify(NAME)


class Killed(BaseException):
    """A SIGKILL."""


@pytest.mark.parametrize(
    ("where", "kept"),
    [("refmill.clients.s3.multipart.Multipart.complete", False), ("refmill.clients.s3.arrivals.Arrival.read", False),
     ("refmill.clients.s3.inparts.InParts._give_up", True)],
    ids=["before the parts are one", "before that is read", "before the rest is taken away"],
)  # fmt: skip
def test_a_platform_that_was_killed_while_it_settled_is_asked_again(
    ground: Ground, monkeypatch: pytest.MonkeyPatch, where: str, kept: bool
) -> None:
    store = ground.store("a")
    ticketed, etags = sent(store)

    def kill(*_: object) -> None:
        raise Killed

    with monkeypatch.context() as patched:
        patched.setattr("refmill.clients.s3.inparts.InParts._give_up", kill)  # nothing is tidied up by the dead
        patched.setattr(where, kill)
        with pytest.raises(Killed):
            store.settle_parts(ticketed, etags, limit=LIMIT)
    assert (ground.anew("a").present([NAME]) == {NAME}) == kept
    assert ground.store("a").settle_parts(ticketed, etags, limit=LIMIT) == (not kept)
    assert ground.anew("a").verify(NAME)
    assert left(ground) == []


def test_a_store_that_goes_away_while_an_object_is_read_is_waited_for(
    ground: Ground, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, real, times = ground.store("a"), Arrival.read, [0]
    ticketed, etags = sent(store)

    def read(arrival: Arrival, limit: int) -> None:
        times[0] += 1
        if times[0] == 1:
            raise errors.Away(uploads.text("the store is away"))
        real(arrival, limit)

    monkeypatch.setattr(Arrival, "read", read)
    with pytest.raises(errors.Unavailable):
        store.settle_parts(ticketed, etags, limit=LIMIT)
    assert store.settle_parts(ticketed, etags, limit=LIMIT)
    assert left(ground) == []


def test_what_was_never_settled_is_given_up_when_its_run_is_over(ground: Ground) -> None:
    store = ground.store("a")
    ticketed, found = begun(store)
    put(found.hrefs[0], DATA[:PART])
    whole, etags = sent(store)
    bucket_of(ground).multipart.complete(f"incoming/r/a/{RUN}/{whole.ticket}", _upload(ground, whole), etags)
    other, _ = begun(store, replace(WANTED, sender="0123456789abcdefghij"))
    people, addresses = begun(store, replace(WANTED, sender=""))
    told: list[str] = []
    store.forsake(lambda sender, _: told.append(sender) or sender == RUN)
    assert sorted(told) == ["", "0123456789abcdefghij", RUN, RUN]
    assert refused(found.hrefs[0], b"x") == 404
    for gone in (ticketed, whole):
        with pytest.raises(errors.NotFound):
            store.settle_parts(gone, etags, limit=LIMIT)
    etags = [put(href, DATA[n * PART :][:PART]) for n, href in enumerate(addresses.hrefs)]
    assert store.settle_parts(people, etags, limit=LIMIT)
    store.sweep(time.time() + 1000)
    with pytest.raises(errors.NotFound):
        store.parts(other, 60, limit=LIMIT)
    assert left(ground) == []


def _upload(ground: Ground, ticketed: Piecemeal) -> str:
    return ground.store("a")._in_parts._find(ticketed).id


@pytest.mark.parametrize("server", ["versitygw"], indirect=True)  # MinIO tells only of those of one key
def test_an_upload_that_nobody_wrote_down_is_found_by_its_age(ground: Ground) -> None:
    bucket, store = bucket_of(ground), ground.store("a")
    upload = bucket.multipart.begin(f"incoming/r/b/{RUN}/{'0' * 32}")
    address = bucket.multipart.link(f"incoming/r/b/{RUN}/{'0' * 32}", upload, 1, 60)
    store.sweep(time.time() - 1000)
    put(address, b"x")
    store.sweep(time.time() + 1000)
    assert refused(address, b"x") == 404
    assert left(ground) == []


def test_parts_of_very_large_objects_are_larger_and_come_by_the_hundred(ground: Ground) -> None:
    store, size = ground.store("a"), 60_000 * PART
    found = store.parts(Piecemeal(NAME, size, RUN), 60, limit=size)
    assert (found.count <= 9000, found.size * found.count >= size, len(found.hrefs)) == (True, True, 100)
    last = store.parts(Piecemeal(NAME, size, RUN, found.ticket, found.count - 1), 60, limit=size)
    assert (last.first, len(last.hrefs)) == (found.count - 1, 2)


def test_one_sender_has_so_many_uploads_and_no_more(ground: Ground, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("refmill.clients.s3.pieces.MOST", 2)
    store = ground.store("a")
    begun(store)
    begun(store)
    with pytest.raises(errors.LimitExceeded):
        begun(store)
    begun(store, replace(WANTED, sender=""))


@pytest.mark.parametrize("changes", [{"encryption": "s3"}, {"encryption": "kms", "kms_key": "tests"}])
@pytest.mark.parametrize("server", ["minio"], indirect=True)
def test_what_is_sent_past_the_platform_is_encrypted_at_once(
    server: S3Server, place: Place, tmp_path: Path, changes: dict[str, str]
) -> None:
    secret = b"a secret that is longer than nothing"
    ground = in_bucket(replace(place, part=PART, **changes), tmp_path / "near")  # type: ignore[arg-type]
    store, data = ground.store("a"), secret * (1 << 18)
    offer = store.offer(md5(secret), 60)
    assert offer
    assert refused(offer.href, secret) in (400, 403)  # without what was signed
    put(offer.href, secret, **offer.headers)
    ticketed, etags = sent(store, data, Piecemeal(md5(data), len(data), RUN))

    def stored_openly() -> bool:
        files = [path for path in (server.folder / "data").rglob("*") if path.is_file()]
        return any(secret in path.read_bytes() for path in files)

    assert not stored_openly()
    assert store.settle(md5(secret), offer.ticket, limit=LIMIT)
    assert store.settle_parts(ticketed, etags, limit=LIMIT)
    assert not stored_openly()
    assert ground.anew("a").verify(md5(secret))
    assert ground.anew("a").verify(md5(data))


@pytest.mark.parametrize("server", ["versitygw"], indirect=True)
def test_a_store_that_cannot_encrypt_takes_the_headers_as_it_does_of_the_platform(place: Place, tmp_path: Path) -> None:
    ground = in_bucket(replace(place, part=PART, encryption="s3"), tmp_path / "near")
    store = ground.store("a")
    store.write(b"of the platform")
    offer = store.offer(md5(b"x"), 60)
    assert offer
    put(offer.href, b"x", **offer.headers)
    assert store.settle(md5(b"x"), offer.ticket, limit=LIMIT)
    assert store.settle_parts(*sent(store), limit=LIMIT)


def test_two_at_a_time_do_not_disturb_each_other(ground: Ground) -> None:
    store, results = ground.store("a"), list[bool]()
    both = [sent(store), sent(store, DATA, replace(WANTED, sender=""))]
    threads = [
        threading.Thread(target=lambda told=told: results.append(ground.store("a").settle_parts(*told, limit=LIMIT)))
        for told in both
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == 2
    assert ground.anew("a").verify(NAME)
    assert left(ground) == []
