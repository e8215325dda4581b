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
from pathlib import Path

from refmill import errors
from refmill.texts import text

GIT_SECONDS = 600.0  # a checkout of gigabytes from a slow disk
BUSY = 0.01  # seconds before a folder that fills while it is emptied is emptied again
CONFIG = {
    "core.hooksPath": "/dev/null",
    "core.fsmonitor": "false",
    "core.symlinks": "true",
    "core.trustctime": "false",  # copies have other times and inodes: only mtime and size tell of a change
    "core.checkStat": "minimal",
    "core.logAllRefUpdates": "false",
    "gc.auto": "0",
    "advice.detachedHead": "false",
}


def make(repository: Path, commit: str, target: Path) -> None:
    """A checkout of `commit` at `target`, whole or not at all; one that is there already stays. Raises Unavailable."""
    if target.exists():
        return
    temporary = target.with_name(target.name + ".tmp")
    remove(temporary)
    temporary.mkdir(parents=True)
    _git(temporary, "init", "--quiet", "--template=", f"--object-format={_format(commit)}")
    folder = temporary / ".git"
    (folder / "objects" / "info").mkdir(exist_ok=True)
    (folder / "objects" / "info" / "alternates").write_bytes(os.fsencode((repository / "objects").resolve()) + b"\n")
    (folder / "shallow").write_text(commit + "\n")
    (folder / "HEAD").write_text(commit + "\n")
    with (folder / "config").open("a", encoding="utf-8") as file:
        for key, value in CONFIG.items():
            section, _, name = key.partition(".")
            file.write(f"[{section}]\n\t{name} = {value}\n")
    _git(temporary, "reset", "--hard", "--quiet", commit)
    temporary.rename(target)


def copy(source: Path, target: Path) -> None:
    """A copy of a checkout that may be written to; times and modes are kept, links stay links."""
    _copy(os.fspath(source), os.fspath(target))


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


def _format(commit: str) -> str:
    return "sha256" if len(commit) == 64 else "sha1"


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
    if done.returncode != 0:
        detail = done.stderr.decode("utf-8", "replace").strip()[-500:]
        raise errors.Unavailable(text("git could not make the checkout: %(detail)s", detail=detail))


def _copy(source: str, target: str) -> None:
    os.mkdir(target)
    with os.scandir(source) as entries:
        for entry in entries:
            there = f"{target}/{entry.name}"
            if entry.is_symlink():
                os.symlink(os.readlink(entry.path), there)
            elif entry.is_dir(follow_symlinks=False):
                _copy(entry.path, there)
            else:
                _copy_file(entry.path, there)


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
