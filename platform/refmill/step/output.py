"""What a command prints, as a log of timestamped lines.

One line of the log is ``2026-11-23T09:27:04.123456Z o text``: the time, a letter for the stream, the text in UTF-8.
Letters: `o` stdout, `e` stderr, `s` a remark of the supervisor; `O` and `E` are lines that are not finished yet
(progress bars, prompts) and are replaced by the next line of the same stream.

The rule to keep: whatever the bytes are, a line of the log is one line, and the log's size is bounded.
"""

from __future__ import annotations

import collections
import os
import re
import time

from refmill.step.masks import Masks

PIECE = 16 << 10  # bytes; longer lines are cut into pieces, so that no reader must hold 100 MB
TAIL = 256 << 10  # bytes of the end that are kept when the middle is left out: the end is where the error stands
SNAPSHOT = 1.0  # seconds between two looks at an unfinished line

_ODD = re.compile(rb"[^\t\x1b\x20-\x7e]")
_VISIBLE = {code: 0x2400 + code for code in range(0x20) if code not in (0x09, 0x1B)}  # Unicode's control pictures
_VISIBLE[0x7F] = 0x2421
_VISIBLE.update(dict.fromkeys([*range(0x80, 0xA0), 0x2028, 0x2029], 0xFFFD))


def clean(line: bytes) -> bytes:
    """`line` as valid UTF-8 without control characters but tab and escape (colours are a reader's business)."""
    if _ODD.search(line) is None:
        return line
    return line.decode("utf-8", "replace").translate(_VISIBLE).encode("utf-8", "replace")


def stamp(now: float) -> str:
    """A Unix time in seconds as RFC 3339 in UTC with microseconds."""
    micros = int(now * 1_000_000)
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(micros // 1_000_000)) + ".%06dZ" % (micros % 1_000_000)


class Log:
    """The file. Above `limit` bytes only the last TAIL bytes are kept, and written when it is closed."""

    def __init__(self, path: str, limit: int, masks: Masks | None = None) -> None:
        self.masks = masks or Masks()
        self._file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o644)
        self._left = limit - os.fstat(self._file).st_size
        self._limit = limit
        self._tail: collections.deque[bytes] = collections.deque()
        self._tail_size = 0
        self._dropped = 0
        self.broken = ""

    def write(self, letter: str, lines: list[bytes]) -> None:
        """Append clean `lines` with the time of now."""
        head = ("%s %s " % (stamp(time.time()), letter)).encode()
        records = [head + line + b"\n" for line in lines]
        if self._left > 0:
            block = b"".join(records)
            if len(block) <= self._left:
                self._left -= len(block)
                self._out(block)
                return
            self._left = 0
        for record in records:
            self._tail.append(record)
            self._tail_size += len(record)
        while self._tail_size > TAIL:
            record = self._tail.popleft()
            self._tail_size -= len(record)
            self._dropped += 1

    def note(self, remark: str) -> None:
        """Append a remark of the supervisor."""
        self.write("s", [clean(self.masks.apply(remark.encode("utf-8", "replace")))])

    def close(self) -> None:
        """Write the kept end. The engine makes all of it durable where it keeps it."""
        if self._tail:
            if self._dropped:
                size = self._limit >> 20
                remark = "the output is longer than %d MiB: %d lines are left out here" % (size, self._dropped)
                self._out(("%s s %s\n" % (stamp(time.time()), remark)).encode())
            self._out(b"".join(self._tail))
        os.close(self._file)

    def _out(self, block: bytes) -> None:
        view = memoryview(block)
        while view and not self.broken:
            try:
                view = view[os.write(self._file, view) :]
            except OSError as error:  # a full disk must not keep the command from ending in order
                self.broken = str(error)


class Stream:
    """One pipe of a command, cut into lines."""

    def __init__(self, log: Log, letter: str) -> None:
        self._log = log
        self._letter = letter
        self._rest = b""
        self._since = 0.0
        self._shown = b""

    def feed(self, data: bytes) -> None:
        """Take what came out of the pipe."""
        if not self._rest:
            self._since = time.monotonic()
        parts = (self._rest + data).split(b"\n")
        rest = parts.pop()
        mask = self._log.masks.apply
        lines = [piece for part in parts for piece in _pieces(mask(_last_segment(part)))]
        rest = _shorten(rest)
        if len(rest) > PIECE:
            rest = mask(rest)
            held = self._log.masks.undecided(rest)  # a secret that is cut here would be none to either piece
            pieces = _pieces(rest[: len(rest) - held])
            rest = pieces.pop() + rest[len(rest) - held :]
            lines += pieces
        self._rest = rest
        if lines:
            self._since, self._shown = time.monotonic(), b""
            self._log.write(self._letter, [clean(line) for line in lines])

    def tick(self) -> None:
        """Show an unfinished line that has stood for a while, so that progress can be followed."""
        now = time.monotonic()
        if self._rest and now - self._since >= SNAPSHOT:
            self._since = now
            current = self._log.masks.apply(_last_segment(self._rest))
            current = current[: len(current) - self._log.masks.undecided(current)]
            if current and current != self._shown:
                self._shown = current
                self._log.write(self._letter.upper(), [clean(current)])

    def close(self) -> None:
        """The end: what has no newline is a line too."""
        if self._rest:
            self._log.write(self._letter, [clean(self._log.masks.apply(_last_segment(self._rest)))])
            self._rest = b""


def _last_segment(line: bytes) -> bytes:
    """What a terminal would show of a line with carriage returns in it."""
    if b"\r" not in line:
        return line
    segments = [segment for segment in line.split(b"\r") if segment]
    return segments[-1] if segments else b""


def _shorten(rest: bytes) -> bytes:
    """An unfinished line without the progress that its end has overwritten; a last CR may belong to a CR LF."""
    if b"\r" not in rest:
        return rest
    return _last_segment(rest) + (b"\r" if rest.endswith(b"\r") else b"")


def _pieces(line: bytes) -> list[bytes]:
    """`line` in pieces of at most PIECE bytes, not cut inside of a UTF-8 character."""
    if len(line) <= PIECE:
        return [line]
    pieces = []
    start = 0
    while len(line) - start > PIECE:
        end = start + PIECE
        for back in range(4):  # a character has at most three bytes after its first
            if line[end - back] & 0xC0 != 0x80:
                end -= back
                break
        pieces.append(line[start:end])
        start = end
    pieces.append(line[start:])
    return pieces
