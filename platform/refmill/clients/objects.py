"""Objects and run-cache in a directory, in DVC's own layout: a `.dvc/cache`, a directory remote, or Refmill's store.

The rule to keep: whatever stands under its final name is whole, verified and on disk; before that it has a temporary
name, in Refmill's store in a folder of such files alone (INCOMING), which start-up cleaning empties without a walk
through the whole store.
"""

from __future__ import annotations

import hashlib
import os
import secrets
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from refmill import errors
from refmill.clients import files, wholeness
from refmill.errors import Damaged, LimitExceeded, NotFound
from refmill.formats import blockyaml, hashing, lockfile, yamlfile
from refmill.model.pipelines import LockEntry
from refmill.texts import text

OBJECT_MODE = 0o444
"""DVC believes an object with this mode without hashing it again (dvc_data's LocalHashFileDB.check)."""
TEMPORARY = ".tmp-"
INCOMING = "incoming"
"""The folder of a store in which what is on its way has its temporary name."""
_RUN_LIMIT = 16 << 20
_HEX = frozenset("0123456789abcdef")


class DirectoryObjects:
    """`ports.objects.Objects` over `root/files/md5/xx/…`. Safe for several processes at once.

    With `durable` False nothing is forced to disk, and what is there is believed, as DVC itself does it in its cache:
    for a working copy, whose results can be made again. Else what is handed out was found to be whole. `aside` is the
    folder of temporary files; None: each lies beside what it becomes. With `symbolic` links to objects are such.
    """

    def __init__(
        self, root: Path, *, durable: bool = True, aside: Path | None = None, symbolic: bool = False
    ) -> None:  # fmt: skip
        self._link = files.symlink if symbolic else files.link
        self._root = root / "files" / "md5"
        self._old = root
        self._durable = durable
        self._aside = aside
        self._today: dict[tuple[str, int, int], str] = {}

    def path(self, md5: str) -> Path:
        """Where the object lies or would lie. Raises NotFound for what is no object's name."""
        if not hashing.is_stored_name(md5):
            raise NotFound(text("%(md5)s is no name of an object", md5=md5[:80]))
        name = md5.removeprefix(hashing.OLD)
        old = self._old / name[:2] / name[2:]
        if name != md5 and old.is_symlink():  # to the object's name of today
            name = old.readlink().parent.name + old.readlink().name
        elif name != md5 and old.exists():
            return old
        return self._root / name[:2] / name[2:]

    def present(self, md5s: Iterable[str]) -> set[str]:
        # Asked for every output of every stage at every push: a path made of strings is made five times as fast.
        today = f"{self._root}{os.sep}"
        return {
            md5
            for md5 in md5s
            if hashing.is_stored_name(md5)
            and os.path.isfile(self.path(md5) if md5.startswith(hashing.OLD) else f"{today}{md5[:2]}{os.sep}{md5[2:]}")
        }

    def sizes(self, md5s: Iterable[str]) -> dict[str, int]:
        """Bytes of those of `md5s` that are there."""
        found: dict[str, int] = {}
        for md5 in md5s:
            try:
                found[md5] = self.path(md5).stat().st_size
            except (FileNotFoundError, NotFound):
                continue
        return found

    def read(self, md5: str, limit: int = 256 << 20) -> bytes:
        path = self.path(md5)
        try:
            with path.open("rb") as source:
                size = os.fstat(source.fileno()).st_size
                if size > limit:
                    raise LimitExceeded(text("The object %(md5)s has %(size)s bytes", md5=md5, size=size))
                data = source.read(limit + 1)
        except FileNotFoundError as error:
            raise _absent(md5) from error
        except (PermissionError, IsADirectoryError) as error:
            raise _unreadable(md5, path, error) from error
        digest: Any = hashing.OldDigest() if md5.startswith(hashing.OLD) else hashlib.md5(usedforsecurity=False)
        digest.update(data)
        if digest.hexdigest() != md5.removeprefix(hashing.OLD)[:32]:
            raise _damaged(md5, path)
        return data

    def write(self, data: bytes, suffix: str = "") -> str:
        md5 = hashing.md5_bytes(data) + suffix
        if not self.path(md5).exists():
            with self._new(self.path(md5)) as temporary:
                temporary.write_bytes(data)
        return md5

    def put(self, source: Path, md5: str, *, move: bool = False) -> None:
        """See the port; raises Damaged if `source` does not (or no longer) hold what `md5` says.

        With `move` the object is `source` itself where that can be, now read-only, and `source` stays as a link to it:
        whoever is killed while he stores a directory finds all of it again.
        """
        if self.path(md5).exists() and (self._durable or not md5.startswith(hashing.OLD)):
            return
        if md5.startswith(hashing.OLD):
            self._put_old(source, md5.removeprefix(hashing.OLD), move=move)
            return
        with self._new(self.path(md5)) as temporary:
            if not (move and files.share(source, temporary)):
                files.copy(source, temporary)
            if hashing.md5_file(temporary)[0] != md5[:32]:
                raise Damaged(text("%(path)s changed while it was stored", path=source.name))
            if self._durable:
                wholeness.note(temporary.stat(), md5)

    def today(self, name: str) -> str | None:
        """See the port; files of a DVC 2 cache are read whole, once."""
        path = self.path(name)
        try:
            status = path.stat()
        except FileNotFoundError:
            return None
        if path.is_relative_to(self._root):
            return path.parent.name + path.name
        key = (name, status.st_mtime_ns, status.st_size)
        if key not in self._today:
            self._today[key] = hashing.md5_file(path)[0]
        return self._today[key]

    def _put_old(self, source: Path, name: str, *, move: bool) -> None:
        """Store an object of DVC 2: a file under its name of today, with a link to it where that is another one; a
        listing in the old layout, since the files in it have old names. In DVC's own cache all lie in that layout."""
        if hashing.old_md5(source) != name[:32]:
            raise Damaged(text("%(path)s changed while it was stored", path=source.name))
        final = self._old / name[:2] / name[2:]
        if name.endswith(".dir") or not self._durable:
            if not final.exists():
                with self._new(final) as temporary:
                    if not (move and files.share(source, temporary)):
                        files.copy(source, temporary)
            return
        today = hashing.md5_file(source)[0]
        self.put(source, today, move=move)
        if today != name:
            files.make_directory(final.parent, durable=self._durable)
            temporary = _temporary(final, self._aside)
            temporary.symlink_to(Path("..", "files", "md5", today[:2], today[2:]))
            temporary.replace(final)
            if self._durable:
                files.sync(final.parent)

    def get(self, md5: str, target: Path, *, link: bool = False, executable: bool = False) -> None:
        path = self.path(md5)
        try:
            if self._durable and not wholeness.holds(path, md5):
                raise _damaged(md5, path)
            # One inode has one mode: a file that must be executable cannot be a link to one that must not.
            if link and not executable and self._link(path, target):
                return
            with files.replacing(target) as temporary:
                files.copy(path, temporary)
                temporary.chmod(0o755 if executable else 0o644)
        except FileNotFoundError as error:
            if path.exists():
                raise
            raise _absent(md5) from error
        except (PermissionError, IsADirectoryError) as error:
            raise _unreadable(md5, path, error) from error

    def fetch(self, md5s: Iterable[str]) -> None:
        """See the port: everything is near."""

    def put_all(self, files: Mapping[str, Path], *, move: bool = False) -> None:
        for md5, source in files.items():
            self.put(source, md5, move=move)

    def verify(self, md5: str) -> bool:
        """Whether the object is there and holds what its name says; reads it whole."""
        try:
            return hashing.md5_file(self.path(md5))[0] == md5[:32]
        except FileNotFoundError:
            return False

    def names(self) -> Iterator[str]:
        """Every object's name, in order; for collecting garbage."""
        for folder in sorted(self._root.glob("[0-9a-f][0-9a-f]")):
            for path in sorted(folder.iterdir()):
                if hashing.is_object_name(folder.name + path.name):
                    yield folder.name + path.name

    @contextmanager
    def _new(self, final: Path) -> Iterator[Path]:
        """A temporary path that becomes the object at `final` if the block ends well, and vanishes if not."""
        files.make_directory(final.parent, durable=self._durable)
        temporary = _temporary(final, self._aside)
        try:
            yield temporary
            temporary.chmod(OBJECT_MODE)
            if not self._durable:
                # Outputs are links to objects here: whoever stored the same a moment sooner has one already.
                files.settle(temporary, final)
                return
            files.sync(temporary)
            temporary.replace(final)
            files.sync(final.parent)
        finally:
            temporary.unlink(missing_ok=True)


class DirectoryRunCache:
    """`ports.objects.RunCache` over `root/runs/xx/<key>/<value>`."""

    def __init__(self, root: Path, *, durable: bool = True, aside: Path | None = None) -> None:
        self._root = root / "runs"
        self._durable = durable
        self._aside = aside

    def texts(self) -> Iterator[str]:
        for path in sorted(self._root.glob("[0-9a-f][0-9a-f]/*/*")):
            if is_run_key(path.name):
                yield path.read_text(encoding="utf-8", errors="replace")

    def load(self, key: str) -> LockEntry | None:
        if not is_run_key(key):
            return None
        folder = self._root / key[:2] / key
        try:
            with os.scandir(folder) as items:
                found = [(item.stat().st_mtime_ns, item.name) for item in items if is_run_key(item.name)]
        except FileNotFoundError:
            return None
        for _, name in sorted(found, reverse=True):
            entry = _read_entry(folder / name)
            if entry is not None:
                return entry
        return None

    def save(self, key: str, value: str, entry: LockEntry) -> None:
        check_run_names(key, value)
        final = self._root / key[:2] / key / value
        if final.exists():
            return
        files.make_directory(final.parent, durable=self._durable)
        with files.replacing(final, durable=self._durable, beside=_temporary(final, self._aside)) as temporary:
            temporary.write_text(entry_text(entry), encoding="utf-8")


def _temporary(final: Path, aside: Path | None) -> Path:
    """A name that nobody else has, on the disk of `final`."""
    if aside is None:
        return final.with_name(TEMPORARY + secrets.token_hex(8))
    files.make_directory(aside, durable=False)
    return aside / (TEMPORARY + secrets.token_hex(8))


def _read_entry(path: Path) -> LockEntry | None:
    """The entry in `path`, or None if it is none."""
    try:
        return entry_of(path.read_bytes() if path.stat().st_size <= _RUN_LIMIT else b"", path.name)
    except FileNotFoundError:
        return None


def entry_of(data: bytes, name: str) -> LockEntry | None:
    """The entry that a file of the run-cache holds, or None if it is none; DVC writes YAML, and JSON is YAML too."""
    try:
        quick = blockyaml.parse(data.decode("utf-8"))
        entry = yamlfile.load(data, name) if quick is None else quick
    except (UnicodeDecodeError, errors.Invalid):
        return None
    return entry if lockfile.is_entry(entry) else None


def entry_text(entry: LockEntry) -> str:
    """What a file of the run-cache holds."""
    body = blockyaml.emit(entry)
    return blockyaml.dump(entry) if body is None else body


def check_run_names(key: str, value: str) -> None:
    """Raises WrongUse for what cannot name an entry of the run-cache."""
    if not (is_run_key(key) and is_run_key(value)):
        raise errors.WrongUse(text("A run-cache entry is named by two SHA-256 values"))


def is_run_key(name: str) -> bool:
    """Whether it has the form of a name in the run-cache: a SHA-256."""
    return len(name) == 64 and _HEX.issuperset(name)


def _absent(md5: str) -> NotFound:
    return NotFound(text("There is no object %(md5)s", md5=md5))


def _damaged(md5: str, path: Path) -> Damaged:
    return Damaged(
        text("The object %(md5)s does not hold what its name says", md5=md5),
        text("Take %(path)s away; it is brought again by `dvc push` from a copy that is whole.", path=str(path)),
    )


def _unreadable(md5: str, path: Path, error: OSError) -> Damaged:
    return Damaged(
        text("The object %(md5)s cannot be read: %(detail)s", md5=md5, detail=error.strerror or str(error)),
        text("Look at the owner and the mode of %(path)s, then try again.", path=str(path)),
    )
