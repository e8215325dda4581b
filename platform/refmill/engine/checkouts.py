"""A commit's files as a stage finds them: a real checkout with a small `.git`, made once a run, copied for each stage.

`.git` is a repository of depth one (DVCLive and `git rev-parse` need one): a detached HEAD, an index, and the hosted
repository's objects through `objects/info/alternates`.

The rule to keep: git makes the files, so that line ends and filters are those of any checkout; and nothing of the
pushed repository, nor of this machine's configuration, can make git start a program.
"""

from __future__ import annotations

import errno
import os
import shutil
import stat
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from refmill import errors
from refmill.texts import text

GIT_SECONDS = 600.0  # a checkout of gigabytes from a slow disk
BUSY = 0.01  # seconds before a folder that fills while it is emptied is emptied again
SMALL = 64 << 10  # bytes of a file that is kept in memory: below that, opening it costs more than reading it
MEMORY = 4 << 20  # bytes of a run's small files in memory; of the others the kernel keeps what it can
PACKING = ("--threads=1", "--window=0", "--depth=0", "--no-reuse-object")
"""How objects are packed so that the same ones give the same file."""
STRIKES = 3
"""How often a checkout is made anew because git was ended by a signal."""
CONFIG = {
    "core.repositoryformatversion": "0",
    "core.filemode": "true",
    "core.bare": "false",
    "core.hooksPath": "/dev/null",
    "core.fsmonitor": "false",
    "core.symlinks": "true",
    "core.trustctime": "false",  # copies have other times and inodes: only mtime and size tell of a change
    "core.checkStat": "minimal",
    "core.logAllRefUpdates": "false",
    "gc.auto": "0",
    "advice.detachedHead": "false",
}
SHA256 = {"core.repositoryformatversion": "1", "extensions.objectFormat": "sha256"}


def make(repository: Path, commit: str, target: Path, source: str = "") -> None:
    """A checkout of `commit` at `target`, whole or not at all; one that is there already stays. With `source`, a commit
    on top of it, the files are those of that one, as if they had been changed by hand. Raises Unavailable."""
    for left in reversed(range(STRIKES)):
        try:
            _make(repository, commit, target, source or commit)
        except _Struck:
            if not left:
                raise
        else:
            return


def _make(repository: Path, commit: str, target: Path, source: str) -> None:
    if target.exists():
        return
    temporary = target.with_name(target.name + ".tmp")
    remove(temporary)
    temporary.mkdir(parents=True)
    folder = temporary / ".git"
    _begin(folder, repository, commit)
    (folder / "HEAD").write_text(source + "\n")
    _git(temporary, "reset", "--hard", "--quiet", source)
    if source != commit:
        _git(temporary, "reset", "--soft", "--quiet", commit)
    remove(folder / "ORIG_HEAD")
    temporary.rename(target)


def _begin(folder: Path, repository: Path, commit: str) -> None:
    """What `git init` makes without a template (gitrepository-layout(5)), with the objects of `repository`."""
    (folder / "objects" / "info").mkdir(parents=True)
    (folder / "refs").mkdir()
    (folder / "objects" / "info" / "alternates").write_bytes(os.fsencode((repository / "objects").resolve()) + b"\n")
    (folder / "shallow").write_text(f"{commit}\n")
    settings = {**CONFIG, **(SHA256 if len(commit) == 64 else {})}
    (folder / "config").write_text("".join(_setting(*setting) for setting in settings.items()), encoding="utf-8")


def _setting(key: str, value: str) -> str:
    section, _, name = key.partition(".")
    return f"[{section}]\n\t{name} = {value}\n"


def detach(checkout: Path, source: str) -> None:
    """Let a checkout of `source` stand by itself: with its own objects instead of those of the hosted repository, and
    an index without times, so that it can be carried elsewhere and is the same each time. Again is no error. Raises
    Unavailable."""
    alternates = checkout / ".git" / "objects" / "info" / "alternates"
    if not alternates.exists():
        return
    packs = checkout / ".git" / "objects" / "pack"
    remove(packs)  # what one that was cut off left
    packs.mkdir()
    reverse = ("-c", "pack.writeReverseIndex=false")
    wanted = ("--revs", "--all", "--indexed-objects")
    _git(checkout, *reverse, "pack-objects", "--quiet", *wanted, *PACKING, ".git/objects/pack/pack")
    _git(checkout, "read-tree", source)
    alternates.unlink()


class _Struck(errors.Unavailable):
    """Somebody else, as the kernel for want of memory, ended git: that says nothing of the repository."""


class Template:
    """A checkout of which stages get copies that they may write to; it is listed once, and its small files are read
    once. Times and modes are kept, links stay links. For any thread."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._items: list[_Item] | None = None

    def copy(self, target: Path) -> None:
        """Make the folder `target`. Raises OSError."""
        if self._items is None:
            self._items = list(_listed(os.fspath(self.path), [MEMORY]))
        os.mkdir(target)
        for item in self._items:
            item.copy(os.fspath(self.path), os.fspath(target))


def remove(path: Path) -> None:
    """Take a folder away, whatever a stage did to the rights of what is in it."""
    if path.is_symlink() or path.is_file():
        path.unlink()
        return
    while path.exists():
        try:
            shutil.rmtree(path)
        except FileNotFoundError:
            continue  # another thread is at the same work, or at a part of it
        except OSError as error:
            if error.errno == errno.ENOTEMPTY:
                time.sleep(BUSY)  # another thread still writes into it
                continue
            if not isinstance(error, PermissionError):
                raise
            for folder, _, _ in os.walk(path):
                os.chmod(folder, stat.S_IRWXU)
            shutil.rmtree(path, ignore_errors=True)
            return


def _git(folder: Path, *arguments: str) -> None:
    environment = {
        "PATH": os.environ.get("PATH", os.defpath),
        "HOME": os.devnull,
        "LC_ALL": "C",
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_CEILING_DIRECTORIES": os.fspath(folder.parent),
    }
    try:
        done = subprocess.run(
            ["git", *arguments], cwd=folder, env=environment, check=False, timeout=GIT_SECONDS,
            stdin=subprocess.DEVNULL, capture_output=True,
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired) as error:
        raise errors.Unavailable(text("git could not make the checkout: %(detail)s", detail=str(error))) from error
    if done.returncode < 0:
        why = text("it was ended by signal %(number)s", number=-done.returncode)
        raise _Struck(text("git could not make the checkout: %(detail)s", detail=why))
    if done.returncode != 0:
        detail = done.stderr.decode("utf-8", "replace").strip()[-500:]
        raise errors.Unavailable(text("git could not make the checkout: %(detail)s", detail=detail))


@dataclass(frozen=True, slots=True)
class _Item:
    """Something in a checkout. `data` is what a small file holds, or where a link leads."""

    path: str
    mode: int
    times: tuple[int, int]
    data: bytes | None = None

    def copy(self, source: str, target: str) -> None:
        there = f"{target}/{self.path}"
        if stat.S_ISDIR(self.mode):
            os.mkdir(there)
        elif stat.S_ISLNK(self.mode):
            os.symlink(os.fsdecode(self.data or b""), there)
        elif self.data is None:
            _copy_file(f"{source}/{self.path}", there)
        else:
            writer = os.open(there, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, stat.S_IMODE(self.mode))
            try:
                if self.data:
                    os.write(writer, self.data)  # whole: it is small, and a full disk is an error
                os.utime(writer, ns=self.times)
            finally:
                os.close(writer)


def _listed(root: str, left: list[int], folder: str = "") -> Iterator[_Item]:
    """What lies in a checkout, folders before what is in them; `left[0]` bytes of content may still be kept."""
    with os.scandir(f"{root}/{folder}") as entries:
        found = sorted(entries, key=lambda entry: entry.name)
    for entry in found:
        facts = entry.stat(follow_symlinks=False)
        path = f"{folder}{entry.name}"
        data = None
        if stat.S_ISLNK(facts.st_mode):
            data = os.fsencode(os.readlink(entry.path))
        elif stat.S_ISREG(facts.st_mode) and facts.st_size <= min(SMALL, left[0]):
            data = Path(entry.path).read_bytes()
            left[0] -= len(data)
        yield _Item(path, facts.st_mode, (facts.st_atime_ns, facts.st_mtime_ns), data)
        if stat.S_ISDIR(facts.st_mode):
            yield from _listed(root, left, f"{path}/")


def _copy_file(source: str, target: str) -> None:
    """One regular file; the kernel shares its blocks where the file system can (copy_file_range)."""
    reader = os.open(source, os.O_RDONLY | os.O_CLOEXEC)
    try:
        facts = os.fstat(reader)
        writer = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, stat.S_IMODE(facts.st_mode))
        try:
            _transfer(reader, writer, facts.st_size)
            os.utime(writer, ns=(facts.st_atime_ns, facts.st_mtime_ns))
        finally:
            os.close(writer)
    finally:
        os.close(reader)


def _transfer(reader: int, writer: int, size: int) -> None:
    left = size
    if hasattr(os, "copy_file_range"):
        try:
            while left > 0 and (moved := os.copy_file_range(reader, writer, left)):
                left -= moved
        except OSError:
            pass  # some file systems cannot: go on by hand from where it stands
    while left > 0 and (data := os.read(reader, 1 << 20)):
        left -= len(data)
        view = memoryview(data)
        while view:
            view = view[os.write(writer, view) :]
