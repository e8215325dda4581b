"""Sends what a stage's metrics and plots say while its commands run, so that people see them grow.

The rule to keep: nothing depends on it. No stage waits for it or fails of it; it costs little of a pod's time and of
the way to the platform, and reads nothing through links, which a command may leave anywhere.
"""

from __future__ import annotations

import http.client
import os
import stat
import threading
import time
from itertools import islice
from typing import Callable, Dict, Iterator, List, NamedTuple, Optional, Sequence, Set, Tuple

from refmill.step.pods import workspace
from refmill.step.pods.following import say
from refmill.step.pods.wire import NEAR_AGAIN, Refused, Wire

LIMIT = 1 << 20  # bytes of one file; the server takes no more
FILES = 64  # of one stage
DEPTH = 4  # folders below an output; DVCLive's plots lie three deep
VISITS = 1000  # files and folders that are looked at, and names of one folder
AT_ONCE = 8  # files that are sent after one look
LOOK = 1.0  # seconds between two looks
SHARE = 50  # times as long as a look took there is none: it takes at most two hundredths of a core
RATE = 256 << 10  # bytes a second that are sent
LONGEST = 60.0  # seconds between two tries while the platform is away
UNFIT = frozenset({400, 413, 422})
"""Answers that say no to one file, and not to all."""

Sign = Tuple[int, int, int, int]
"""What is another one when a file has been written to."""


class Known(NamedTuple):
    """What was sent of a file: how it looked then, the hash of what was in it, and when it was (monotonic)."""

    sign: Sign
    content: int
    when: float


class Figures:
    """The files `roots` and those in folders of that name, in the project `project` of the workspace `tree`; `url`
    makes the address that one is sent to."""

    def __init__(self, wire: Wire, tree: str, project: str, roots: Sequence[str], url: Callable[[str], str]) -> None:
        self._wire, self._tree, self._roots, self._url = wire, tree, list(roots), url
        self._inside = project.rstrip("/") + "/" if project else ""
        self._known: Dict[str, Known] = {}
        self._unfit: Set[str] = set()

    def follow(self, over: threading.Event) -> None:
        """Look and send until it is `over`, or nobody wants them."""
        pause = 0.0
        while not over.wait(pause):
            begun = time.monotonic()
            try:
                sent = self._look(over)
            except Refused as error:
                if error.status < 500 and error.status not in NEAR_AGAIN:
                    say("figures are not taken any more: %s" % error)
                    return
                pause = min(max(LOOK, pause) * 2, LONGEST)
            except (OSError, http.client.HTTPException):
                pause = min(max(LOOK, pause) * 2, LONGEST)
            else:
                pause = max(LOOK, SHARE * (time.monotonic() - begun), sent / RATE)

    def _look(self, over: threading.Event) -> int:
        """Send what is new; gives the bytes of it. Raises Refused, OSError, HTTPException."""
        changed = [
            (path, sign) for path, sign in self._files() if path not in self._known or self._known[path].sign != sign
        ]
        changed.sort(key=lambda item: self._known[item[0]].when if item[0] in self._known else 0.0)
        files = size = 0
        for path, sign in changed:
            if files == AT_ONCE or over.is_set():
                break
            data = self._read(path)
            if data is None:
                continue
            if path not in self._known or self._known[path].content != hash(data):
                self._send(path, data)
                files, size = files + 1, size + len(data)
            self._known[path] = Known(sign, hash(data), time.monotonic())
        return size

    def _send(self, path: str, data: bytes) -> None:
        headers = {"Content-Type": "application/octet-stream"}
        answer = self._wire.once("PUT", self._url(path), data, headers)
        if answer.status in UNFIT:
            self._unfit.add(path)
        elif answer.status >= 400:
            raise Refused(answer)

    def _read(self, path: str) -> Optional[bytes]:
        """The beginning of a file, None if it is none any more."""
        descriptor = workspace.open_inside(self._tree, self._inside + path)
        if descriptor is None:
            return None
        with os.fdopen(descriptor, "rb") as file:
            return file.read(LIMIT)

    def _files(self) -> List[Tuple[str, Sign]]:
        """The files that there are, with what tells of a change."""
        return list(islice(self._walk(), FILES))

    def _walk(self) -> Iterator[Tuple[str, Sign]]:
        pending = [(path, DEPTH) for path in reversed(self._roots)]
        visits = VISITS
        while pending and visits:
            visits -= 1
            path, depth = pending.pop()
            place = os.path.join(self._tree, self._inside + path)
            try:
                found = os.lstat(place)
                if stat.S_ISREG(found.st_mode):
                    if path not in self._unfit and _can_be_said(path):
                        yield path, (found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)
                elif stat.S_ISDIR(found.st_mode) and depth:
                    with os.scandir(place) as entries:
                        names = sorted(entry.name for entry in islice(entries, VISITS))[:FILES]
                    pending += [(path + "/" + name, depth - 1) for name in reversed(names)]
            except OSError:
                continue  # it went away meanwhile


def _can_be_said(path: str) -> bool:
    try:
        path.encode()
    except UnicodeEncodeError:
        return False
    return True
