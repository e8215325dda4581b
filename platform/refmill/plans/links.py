"""Symbolic links that a project's git tree holds: followed as a checkout would, but never out of the project."""

from __future__ import annotations

from refmill import errors
from refmill.ports.trees import Tree
from refmill.texts import text

MAX_LINKS = 40
"""As many as Linux follows for one path."""


def real(tree: Tree, path: str) -> str:
    """`path` with every link in it followed; what is not there (yet) stays as it is written.

    Raises WrongUse for a link that leads out of the project, in a circle, or is longer than links can be.
    """
    pending = path.split("/")[::-1]
    done: list[str] = []
    followed = 0
    while pending:
        part = pending.pop()
        if part in ("", "."):
            continue
        if part == "..":
            if not done:
                raise _outside(path)
            done.pop()
            continue
        here = "/".join([*done, part])
        entry = tree.entry(here)
        if entry is None or entry.kind != "link":
            done.append(part)
            continue
        try:
            target = tree.target(here)
        except errors.NotFound as error:
            message = text("“%(path)s” is a symbolic link that no disk can hold", path=here)
            raise errors.WrongUse(message, text("Let the link lead to a file or directory.")) from error
        followed += 1
        if target.startswith("/"):
            raise _outside(here)
        if followed > MAX_LINKS:
            message = text("“%(path)s” is a symbolic link that leads in a circle", path=path)
            raise errors.WrongUse(message, text("Let the link lead to a file or directory."))
        pending += target.split("/")[::-1]
    return "/".join(done)


def _outside(path: str) -> errors.WrongUse:
    return errors.WrongUse(
        text("“%(path)s” is a symbolic link that leads out of the project", path=path),
        text("Commit the files themselves, or track them with DVC; a link may be relative and lead inside."),
    )
