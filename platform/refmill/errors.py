"""Every error that Refmill raises on purpose.

The rule to keep: foreign errors are translated once, at the boundary where they appear, and chained.

    RefmillError
    ├── WrongUse        the caller asked for something that makes no sense        exit 2, HTTP 400
    ├── Invalid         files of a repository cannot work; carries every problem  exit 3, HTTP 422
    ├── Unauthorized    no credentials, or wrong ones                             exit 1, HTTP 401
    ├── Forbidden       known, but not allowed                                    exit 1, HTTP 403
    ├── NotFound        there is no such thing (or it may not be seen)            exit 2, HTTP 404
    ├── Conflict        somebody else was faster, or the name is taken            exit 1, HTTP 409
    ├── LimitExceeded   a size, count or time bound was reached                   exit 1, HTTP 413
    │   └── TooOften    asked again too soon; it says when it may be              exit 1, HTTP 429
    ├── Damaged         something on disk is not what its name or hash says       exit 1, HTTP 500
    └── Unavailable     a part that is needed does not answer now                 exit 1, HTTP 503
"""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING, ClassVar

from refmill.texts import Text, counted, text

if TYPE_CHECKING:
    from collections.abc import Iterable

    from refmill.problems import Problem


class RefmillError(Exception):
    """What all the others are. `kind` is stable and goes into JSON; `message` and `remedy` are for people."""

    kind: ClassVar[str] = "error"
    status: ClassVar[int] = 500
    exit_code: ClassVar[int] = 1

    def __init__(self, message: Text, remedy: Text | None = None) -> None:
        super().__init__(str(message))
        self.message = message
        self.remedy = remedy


class WrongUse(RefmillError):
    """The caller asked for something that makes no sense."""

    kind, status, exit_code = "wrong-use", 400, 2


class Invalid(RefmillError):
    """Files of a repository cannot work; all problems at once, never only the first."""

    kind, status, exit_code = "invalid", 422, 3

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__(
            counted("%(count)s problem in the files", "%(count)s problems in the files", len(self.problems))
        )


class Unauthorized(RefmillError):
    """No credentials, or wrong ones."""

    kind, status = "unauthorized", 401


class Forbidden(RefmillError):
    """Known, but not allowed."""

    kind, status = "forbidden", 403


class NotFound(RefmillError):
    """There is no such thing, or the asker may not know that there is."""

    kind, status, exit_code = "not-found", 404, 2


class Conflict(RefmillError):
    """Somebody else was faster, or the name is taken."""

    kind, status = "conflict", 409


class LimitExceeded(RefmillError):
    """A size, count or time bound was reached."""

    kind, status = "limit-exceeded", 413


class TooOften(LimitExceeded):
    """Asked again too soon; the message says when it may be."""

    kind, status = "too-often", 429


class Damaged(RefmillError):
    """Something on disk is not what its name or its hash says."""

    kind, status = "damaged", 500


class Unavailable(RefmillError):
    """A part that is needed does not answer now; asking again later may work."""

    kind, status = "unavailable", 503


class Away(Unavailable):
    """The same of what comes back without anybody's doing: who has time waits for it."""


NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT})
READ_ONLY = frozenset({errno.EROFS})
FAULTY = frozenset({errno.EIO})
_WORDS = {"No space left on device": errno.ENOSPC, "Disk quota exceeded": errno.EDQUOT,
          "Read-only file system": errno.EROFS, "Input/output error": errno.EIO}  # fmt: skip
"""What programs in the C locale say, as git does."""


def of_disk(error: OSError | str) -> Unavailable | None:
    """What it means for people that a disk refused to work, which may be over in a minute; None for anything else.
    `error` is that of a call, or the words of a program."""
    if isinstance(error, str):
        code, file = next((code for words, code in _WORDS.items() if words in error), None), ""
    else:
        code, file = error.errno, str(error.filename or "")
    room = text("Make room on the disk of the server; what failed for want of it can then be tried again.")
    mend = text("Look at the disk of the server (`dmesg` names its faults), then try again.")
    if code in NO_ROOM:
        if not file:
            return Unavailable(text("the disk of the server is full"), room)
        return Unavailable(text("the disk of the server is full: %(file)s cannot be written", file=file), room)
    if code in READ_ONLY:
        return Unavailable(text("the disk of the server is read-only now"), mend)
    if code in FAULTY:
        return Unavailable(text("the disk of the server has a fault"), mend)
    return None
