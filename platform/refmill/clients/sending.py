"""Objects that are compared with their names while they are sent."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator

from refmill import errors
from refmill.clients.uploads import digest_for
from refmill.formats.hashing import OLD
from refmill.texts import text

LOG = logging.getLogger(__name__)


def held_back(blocks: Iterable[bytes], md5: str, where: str) -> Iterator[bytes]:
    """The blocks of a whole object; the last one is held back until all were compared with the name `md5`: of one that
    is not whole the client gets too few bytes, which it takes for a broken connection, and never for the object.

    Raises ConnectionAbortedError then; `where` tells the log which object that is.
    """
    digest, held = digest_for(md5), b""
    for block in blocks:
        digest.update(block)
        if held:
            yield held
        held = block
    if digest.hexdigest() != md5.removeprefix(OLD)[:32]:
        LOG.error("%s", damaged(md5, where))
        raise ConnectionAbortedError(where)
    yield held


def damaged(md5: str, where: str) -> errors.Damaged:
    """The error for an object that holds something else, at `where`."""
    return errors.Damaged(
        text("the object %(md5)s does not hold what its name says, and is not given out", md5=md5),
        text("Take %(path)s away; it is brought again by `dvc push` from a copy that is whole.", path=where),
    )
