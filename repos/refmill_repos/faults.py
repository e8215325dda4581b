"""What cannot be read of a repository's refs: libgit2 and git leave such refs out where they list them."""

from __future__ import annotations

import os
from collections.abc import Container, Iterator
from pathlib import Path

import pygit2

from refmill import errors
from refmill.texts import Text, text
from refmill_repos import names
from refmill_repos.objects import found_commit

HEADS = "refs/heads/"


def faults(repository: pygit2.Repository, readable: Container[str]) -> Iterator[Text]:
    """Each thing that is wrong with HEAD, the files of refs, and the branches, of which those in `readable` are not
    looked at again. Raises pygit2.GitError where the packed refs cannot be read at all."""
    yield from _fault(repository, "HEAD")
    listed = {raw.decode("utf-8", "replace") for raw in repository.raw_listall_references()}
    place = Path(repository.path)
    for folder, _, files in os.walk(place / "refs"):
        for file in files:
            ref = Path(folder, file).relative_to(place).as_posix()
            if ref not in listed and not ref.endswith(".lock"):
                yield from _fault(repository, ref)
    for ref in sorted(listed):
        if ref.startswith(HEADS) and ref not in readable:
            yield from _lost_tip(repository, ref)


def _fault(repository: pygit2.Repository, ref: str) -> Iterator[Text]:
    try:
        repository.lookup_reference(ref)
    except KeyError:
        return  # it went between two looks
    except (pygit2.GitError, ValueError) as error:
        detail = names.shown(str(error).removeprefix(f"{ref}: "), 200)
        yield text("%(ref)s cannot be read: %(detail)s", ref=names.shown(ref, 200), detail=detail)


def _lost_tip(repository: pygit2.Repository, ref: str) -> Iterator[Text]:
    try:
        found_commit(repository, ref)
    except errors.LimitExceeded:
        return
    except errors.RefmillError:
        branch = names.shown(ref.removeprefix(HEADS), 200)
        yield text("the branch %(branch)s leads to no commit that can be read", branch=branch)
