"""Objects by their MD5: fetched into a folder of the pod, put where commands want them, and sent to the store.

The rule to keep: what lies in the folder under a name holds what the name says, or is found out before it is used. A
command gets links to it that are read-only, but as the same user it may write nevertheless: what was lent once is
read again before it is lent twice.
"""

from __future__ import annotations

import contextlib
import http.client
import os
import shutil
from typing import IO, Any, Dict, Iterable, Iterator, List, Mapping, Set, Tuple

from refmill.step.pods import hashing, pool, workspace
from refmill.step.pods.faults import AttemptFailed
from refmill.step.pods.wire import Answer, Refused, Unreadable, Wire

MOST = 1000  # objects of one request
ROUNDS = 4  # how often new addresses are asked for, where those that were given did not work
LARGE = 5 << 20  # bytes above which the size is told, so that parts may be wanted: no store takes smaller ones
READ_ONLY = 0o444
PARTLY = ".part"
SHORT = 64 << 10  # bytes that are read of an answer which says no


class Objects:
    """Those of one repository. `folder` is the pod's; `batch` is where addresses are asked for."""

    def __init__(self, folder: str, wire: Wire, batch: str) -> None:
        self._folder, self._wire, self._batch = folder, wire, batch
        self._sound: Set[str] = set()
        self._partly: Dict[str, Tuple[hashing.Digest, int]] = {}
        os.makedirs(folder, exist_ok=True)

    def bring(self, names: Iterable[str]) -> None:
        """Have these, from the store where need be. Raises AttemptFailed, Away, Refused, OSError."""
        try:
            self._bring(names)
        finally:
            for name in self._partly:  # nobody goes on with it
                workspace.remove(self._path(name) + PARTLY)
            self._partly.clear()

    def _bring(self, names: Iterable[str]) -> None:
        lacking = [name for name in dict.fromkeys(names) if not self._has(name)]
        for name in lacking:
            if not hashing.is_name(name):
                raise AttemptFailed("input-damaged", "%s is no MD5" % name[:80])
        failed: List[Tuple[str, str]] = []
        for _ in range(ROUNDS):
            failed = []
            for names_now in _chunks(lacking):
                offers = self._ask("download", names_now)
                for name in names_now:
                    if "href" not in offers.get(name, {}):
                        raise AttemptFailed("input-missing", "the store lacks %s" % name)
                pool.each(lambda name: self._fetch(name, offers[name], failed), names_now)  # noqa: B023
            if not failed:
                return
            lacking = [name for name, _ in failed]
        raise AttemptFailed("input-damaged", "%s: %s" % failed[0])

    def listing(self, name: str) -> Dict[str, str]:
        """The files of a directory, by path; its listing must be here. Raises AttemptFailed."""
        try:
            with open(self._path(name), "rb") as file:
                return hashing.parse(file.read(), name)
        except (ValueError, RecursionError) as error:
            raise AttemptFailed("input-damaged", "%s is no directory listing: %s" % (name, error)) from error

    def bring_whole(self, items: Iterable[Mapping[str, Any]]) -> None:
        """Have all that these items of `outs` or `deps` name, also what is in directories. Raises as `bring`."""
        names = [item["md5"] for item in items]
        self.bring(names)
        self.bring(md5 for name in names if name.endswith(hashing.LISTING) for md5 in self.listing(name).values())

    def restore(self, item: Mapping[str, Any], target: str, *, own: bool = False) -> None:
        """Make `target`, where nothing stands, what `item` says; all of it must be here. `own` gives the command files
        that it may write to. Raises AttemptFailed, OSError."""
        name = item["md5"]
        if not name.endswith(hashing.LISTING):
            self._lend(name, target, own=own, executable=bool(item.get("isexec")))
            return
        os.mkdir(target)
        made = {""}
        for path, md5 in self.listing(name).items():
            folder = path.rpartition("/")[0]
            if folder not in made:
                os.makedirs(os.path.join(target, folder), exist_ok=True)
                made.add(folder)
            self._lend(md5, os.path.join(target, path), own=own)

    def adopt(self, files: Mapping[str, str]) -> None:
        """Keep outputs, for the stages behind this one in the same pod: files by their names, which were just read."""
        for name, path in files.items():
            place = self._path(name)
            with contextlib.suppress(OSError):
                if os.path.islink(path):
                    continue
                os.makedirs(os.path.dirname(place), exist_ok=True)
                os.rename(path, place)
                os.chmod(place, READ_ONLY)
                self._sound.add(name)

    def keep(self, name: str, content: bytes) -> None:
        """Keep a listing."""
        self._write(name, content)
        self._sound.add(name)

    def send(self, files: Mapping[str, str]) -> None:
        """Have the store take these: paths by name. Raises AttemptFailed, Away, Refused."""
        left, why = list(files), ""
        for _ in range(ROUNDS):
            failed: List[Tuple[str, str]] = []
            for names in _chunks(left):
                self._send_some({name: files[name] for name in names}, failed)
            if not failed:
                return
            left, why = [name for name, _ in failed], failed[0][1]
        name = os.path.basename(files[left[0]])
        raise AttemptFailed("output-refused", "the store does not take %s: %s" % (name, why))

    def _send_some(self, files: Mapping[str, str], failed: List[Tuple[str, str]]) -> None:
        sizes = {name: size for name, size in ((name, _size(path)) for name, path in files.items()) if size > LARGE}
        offers = self._ask("upload", list(files), **({"sizes": sizes} if sizes else {}))
        tickets: Dict[str, str] = {}

        def put(name: str) -> None:
            offer = offers.get(name, {})
            if offer.get("present") or offer.get("parts"):
                return
            try:
                headers = {"Content-Type": "application/octet-stream", **offer.get("headers", {})}
                self._wire.ask(offer.get("method", "PUT"), offer["href"], files[name], headers)
            except KeyError:
                failed.append((name, "no address was given"))
            except Refused as error:
                failed.append((name, str(error)))
            except Unreadable as error:
                raise AttemptFailed("output-unreadable", str(error)) from error
            else:
                if offer.get("ticket"):
                    tickets[name] = offer["ticket"]

        pool.each(put, files)
        settled: Dict[str, Mapping[str, Any]] = dict(self._ask("settle", dict(tickets))) if tickets else {}
        in_parts = [name for name in sizes if offers.get(name, {}).get("parts")]
        for name in in_parts:  # one after the other: each has as many connections as there are
            settled[name] = self._send_in_parts(name, files[name], sizes[name])
        for name in [*tickets, *in_parts]:
            told = settled.get(name, {})
            if told.get("status") not in (200, 201):
                failed.append((name, str(told.get("message") or told.get("error") or "it is not settled")))

    def _send_in_parts(self, name: str, path: str, size: int) -> Mapping[str, Any]:
        from refmill.step.pods import parts  # noqa: PLC0415 - most pods never need it

        try:
            return parts.send(self._wire, self._ask, name, path, size)
        except Unreadable as error:
            raise AttemptFailed("output-unreadable", str(error)) from error

    def _ask(self, operation: str, objects: Any, **said: Any) -> Dict[str, Dict[str, Any]]:
        found = self._wire.post(self._batch, {"operation": operation, "objects": objects, **said})
        offers = found.get("objects", found)
        return offers if isinstance(offers, dict) else {}

    def _path(self, name: str) -> str:
        return os.path.join(self._folder, name[-36:][:2] if name.endswith(hashing.LISTING) else name[-32:][:2], name)

    def _has(self, name: str) -> bool:
        """Whether it is here, and is what it should be."""
        if name in self._sound:
            return True
        try:
            with open(self._path(name), "rb") as file:
                digest = hashing.Digest(name)
                for block in iter(lambda: file.read(hashing.CHUNK), b""):
                    digest.update(block)
        except OSError:
            return False
        if digest.fits():
            self._sound.add(name)
            return True
        os.unlink(self._path(name))
        return False

    def _lend(self, name: str, target: str, *, own: bool, executable: bool = False) -> None:
        """Put it at `target`. Raises OSError; FileNotFoundError if it is not here."""
        source = self._path(name)
        if not (own or executable):
            try:
                os.link(source, target)
            except OSError:
                pass  # another disk, or too many links: a copy is as good
            else:
                self._sound.discard(name)
                return
        shutil.copyfile(source, target)
        os.chmod(target, (0o644 if own else READ_ONLY) | (0o111 if executable else 0))

    def _fetch(self, name: str, offer: Mapping[str, Any], failed: List[Tuple[str, str]]) -> None:
        """Bring one object, going on where a connection broke off, or an address was no longer good."""
        digest, start = self._partly.pop(name, (hashing.Digest(name), 0))
        place = self._path(name)
        temporary = place + PARTLY
        os.makedirs(os.path.dirname(place), exist_ok=True)
        with open(temporary, "r+b" if start else "wb", buffering=0) as file:
            file.seek(start)

            def attempt() -> Answer:
                nonlocal digest
                start = file.tell()
                headers = {"Range": "bytes=%d-" % start} if start else {}
                with self._wire.reading("GET", offer["href"], b"", headers) as response:
                    if response.status == 416 and start:  # there is no more: whether it is all, the digest tells
                        return Answer(200, {}, b"")
                    if response.status >= 400:
                        return _told(response)
                    if start and response.status != 206:
                        file.seek(0)
                        file.truncate()
                        digest = hashing.Digest(name)
                    for block in _blocks(response):
                        _write(file, block)
                        digest.update(block)
                return Answer(200, {}, b"")

            try:
                self._wire.insist(attempt, file.tell)
            except Refused as error:
                failed.append((name, str(error)))
                self._partly[name] = digest, file.tell()
                return
            except BaseException:
                os.unlink(temporary)
                raise
        if digest.fits():
            os.chmod(temporary, READ_ONLY)
            os.rename(temporary, place)
            self._sound.add(name)
            return
        os.unlink(temporary)
        failed.append((name, "what arrived is something else"))

    def _write(self, name: str, content: bytes) -> None:
        place = self._path(name)
        os.makedirs(os.path.dirname(place), exist_ok=True)
        with open(place + ".new", "wb") as file:
            file.write(content)
        os.rename(place + ".new", place)


def _blocks(response: http.client.HTTPResponse) -> Iterator[bytes]:
    """The body; IncompleteRead if the connection ends before it does."""
    left = response.length
    while True:
        block = response.read(hashing.CHUNK)
        if not block:
            break
        left = None if left is None else left - len(block)
        yield block
    if left:
        raise http.client.IncompleteRead(b"", left)


def _write(file: IO[bytes], data: bytes) -> None:
    """Write all of it. A full disk is no fault of the line, that it would be tried again. Raises AttemptFailed."""
    view = memoryview(data)
    try:
        while view:
            view = view[file.write(view) :]
    except OSError as error:
        raise AttemptFailed("workspace", str(error)) from error


def _told(response: http.client.HTTPResponse) -> Answer:
    headers = {name.lower(): value for name, value in response.getheaders()}
    return Answer(response.status, headers, response.read(SHORT))


def _size(path: str) -> int:
    """Bytes of a file; 0 of one that is gone, which whoever sends it finds out."""
    try:
        return os.path.getsize(path)
    except OSError:
        return 0


def _chunks(names: List[str]) -> Iterator[List[str]]:
    for start in range(0, len(names), MOST):
        yield names[start : start + MOST]


def fetch_whole(wire: Wire, url: str, target: str) -> None:
    """Bring a file that has no MD5 to `target`. Raises Refused, Away, AttemptFailed, OSError."""

    def attempt() -> Answer:
        for _ in range(3):
            with wire.reading("GET", address[0]) as response:
                if response.status in (301, 302, 303, 307, 308) and response.getheader("location"):
                    response.read()
                    address[0] = wire.joined(address[0], response.getheader("location") or "")
                    continue
                if response.status >= 400:
                    return _told(response)
                with open(target + ".new", "wb", buffering=0) as file:
                    for block in _blocks(response):
                        _write(file, block)
                return Answer(200, {}, b"")
        raise http.client.HTTPException("too many redirections")

    address = [wire.address(url)]
    try:
        wire.insist(attempt)
        os.rename(target + ".new", target)
    finally:
        workspace.remove(target + ".new")
