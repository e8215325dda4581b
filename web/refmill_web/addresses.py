"""Addresses of files at a ref: where the ref's name ends and the path begins, since both may hold slashes."""

from __future__ import annotations

import re
from dataclasses import dataclass

from refmill import errors
from refmill.model.people import Repository
from refmill.ports.repositories import Commit
from refmill.texts import text
from refmill_web.services import services

SHA = re.compile(r"[0-9a-f]{7,40}")
LONGEST = 400
"""Letters of a ref's name; addresses have thousands."""


@dataclass(frozen=True, slots=True)
class Spot:
    """A ref as it was named, the commit it stands for, and a path ("" = the root)."""

    ref: str
    commit: Commit
    path: str

    @property
    def parts(self) -> tuple[tuple[str, str], ...]:
        """Each step of the path with the path up to it."""
        steps = self.path.split("/") if self.path else []
        return tuple((step, "/".join(steps[: index + 1])) for index, step in enumerate(steps))


def spot(repository: Repository, rest: str) -> Spot:
    """What `REF/PATH` means: the longest branch or tag that fits, else a commit's hash. Raises NotFound."""
    refs = services().refs
    steps = [step for step in rest.split("/") if step]
    if any(step in {".", ".."} for step in steps):
        raise _nothing(rest)
    for end in range(len(steps), 0, -1):
        name, path = "/".join(steps[:end]), "/".join(steps[end:])
        if len(name) > LONGEST:
            continue
        for full in (f"refs/heads/{name}", f"refs/tags/{name}"):
            if refs.tip(repository.id, full):
                return Spot(name, refs.commit(repository.id, full), path)
    if steps and SHA.fullmatch(steps[0]):
        return Spot(steps[0], refs.commit(repository.id, steps[0]), "/".join(steps[1:]))
    raise _nothing(rest)


def _nothing(rest: str) -> errors.NotFound:
    return errors.NotFound(
        text("There is no branch, tag or commit that “%(name)s” begins with.", name=rest[:200]),
        text("It may have been deleted or renamed since the link was made."),
    )


def default_spot(repository: Repository) -> Spot | None:
    """The tip of the default branch; None while there are no commits on it."""
    try:
        commit = services().refs.commit(repository.id, f"refs/heads/{repository.default_branch}")
    except errors.NotFound:
        return None
    return Spot(repository.default_branch, commit, "")
