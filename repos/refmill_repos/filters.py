"""What a checkout would hold: blobs after git's own eol conversion, `ident` and re-encoding.

A bare repository does not apply .gitattributes, so the attribute files are put into an otherwise empty working
directory, and one `git cat-file --batch --filters` converts blob after blob there.
"""

from __future__ import annotations

import errno
import re
import secrets
import shutil
import subprocess
import tempfile
import weakref
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO

from refmill import errors
from refmill.texts import text
from refmill_repos import children, names
from refmill_repos.objects import damaged

_CHUNK = 1 << 16
_EFFECTIVE = re.compile(rb"\beol=crlf\b|\bident\b|\bworking-tree-encoding\b")
"""Attributes that change bytes on the way out on our machines; `text` alone and `eol=lf` only do on the way in, and no
filter driver is configured."""


class _Child:
    """A running `git cat-file` and its folder, apart from their user so that they can end when he is garbage."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="refmill-attributes-"))
        self.process: subprocess.Popen[bytes] | None = None

    def end(self) -> None:
        """End the process; the next question starts another one."""
        if self.process is not None:
            self.process.kill()
            self.process.communicate()
            self.process = None

    def close(self) -> None:
        """End the process and remove the folder."""
        self.end()
        shutil.rmtree(self.folder, ignore_errors=True)


class CheckoutFilter:
    """Converts the blobs of one repository. For one thread."""

    def __init__(self, path: Path, quarantine: Path | None) -> None:
        self._path, self._quarantine = path, quarantine
        self._written: set[str] = set()
        self._child = _Child()
        weakref.finalize(self, self._child.close)

    @staticmethod
    def concerns(attributes: bytes) -> bool:
        """Whether a .gitattributes file can change any file's bytes on checkout."""
        return bool(_EFFECTIVE.search(attributes))

    def stream(self, path: str, oid: str, attributes: Mapping[str, bytes]) -> Iterator[bytes]:
        """The bytes of the blob `oid` at `path` (from the repository's root), converted as `attributes` say: the
        .gitattributes files by their folder, those of all folders above `path`. Raises LimitExceeded for a folder
        that no disk can hold."""
        for folder, data in attributes.items():
            if folder not in self._written:
                self._write(folder, data)
        if "\n" in path:
            return self._single(path, oid)
        return self._batched(path, oid)

    def _write(self, folder: str, data: bytes) -> None:
        place = self._child.folder / folder
        try:
            place.mkdir(parents=True, exist_ok=True)
            (place / ".gitattributes").write_bytes(data)
        except OSError as error:
            if error.errno != errno.ENAMETOOLONG:
                raise
            message = text("%(path)s is too long a name for a folder", path=names.shown(folder))
            raise errors.LimitExceeded(message) from error
        self._written.add(folder)

    def _batched(self, path: str, oid: str) -> Iterator[bytes]:
        """Ask for the blob, then for a name that nobody can guess: git's "missing" for it marks the blob's end.

        (The size in the header is the one before conversion, so it cannot tell the end.)
        """
        child = self._running()
        asked, answered = _pipe(child.stdin), _pipe(child.stdout)
        nonce = secrets.token_hex(20)
        end = f"\n{nonce} missing\n".encode()
        try:
            asked.write(f"{oid} ".encode() + path.encode("utf-8", "surrogateescape") + f"\n{nonce}\n".encode())
            asked.flush()
        except BrokenPipeError as error:
            raise self._ended(oid) from error
        header = answered.readline()
        if not header.startswith(f"{oid} blob ".encode()):
            raise self._ended(oid)
        held = b""
        while not held.endswith(end):
            chunk = answered.read1(_CHUNK)  # type: ignore[attr-defined]  # a BufferedReader, which IO does not say
            if not chunk:
                raise self._ended(oid)
            held += chunk
            if len(held) > len(end):
                yield held[: -len(end)]
                held = held[-len(end) :]

    def _single(self, path: str, oid: str) -> Iterator[bytes]:
        """A path with a line break in it does not fit into the batch's lines: a child of its own."""
        command = ["cat-file", "--filters", f"--path={path}", oid]
        yield from _output(command, self._options(), self._environment(), str(self._child.folder))

    def _running(self) -> subprocess.Popen[bytes]:
        if self._child.process is None:
            command = ["git", *children.OPTIONS, *self._options(), "cat-file", "--batch", "--filters"]
            try:
                self._child.process = subprocess.Popen(
                    command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                    env=self._environment(), cwd=self._child.folder,
                )  # fmt: skip
            except FileNotFoundError as error:
                raise children.no_git() from error
        return self._child.process

    def _options(self) -> list[str]:
        return [f"--git-dir={self._path}", f"--work-tree={self._child.folder!s}"]

    def _environment(self) -> dict[str, str]:
        return children.environment(children.quarantined(self._path, self._quarantine))

    def _ended(self, oid: str) -> errors.Damaged:
        self._child.end()
        return damaged(oid)


def blob_stream(path: Path, quarantine: Path | None, oid: str) -> Iterator[bytes]:
    """A blob's own bytes in pieces. Raises Damaged."""
    environment = children.environment(children.quarantined(path, quarantine))
    return _output(["cat-file", "blob", oid], [f"--git-dir={path}"], environment, "/")


def _output(command: list[str], options: list[str], environment: dict[str, str], cwd: str) -> Iterator[bytes]:
    try:
        child = subprocess.Popen(
            ["git", *children.OPTIONS, *options, *command], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL, env=environment, cwd=cwd,
        )  # fmt: skip
    except FileNotFoundError as error:
        raise children.no_git() from error
    with child:
        output = _pipe(child.stdout)
        try:
            while chunk := output.read(_CHUNK):
                yield chunk
        except GeneratorExit:
            child.kill()
            raise
    if child.returncode:
        raise errors.Damaged(text("the git object %(oid)s cannot be read", oid=command[-1]))


def _pipe(pipe: IO[bytes] | None) -> IO[bytes]:
    if pipe is None:
        raise AssertionError("started with pipes")
    return pipe
