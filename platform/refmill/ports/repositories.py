"""The bare repositories that Refmill hosts."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from refmill.ports.trees import Tree
from refmill.texts import Text


@dataclass(frozen=True, slots=True)
class Commit:
    """A commit: sha, parents, author name and e-mail, author time (UTC seconds), whole message."""

    sha: str
    parents: tuple[str, ...]
    author: str
    email: str
    time: int
    message: str

    @property
    def subject(self) -> str:
        """The message's first line."""
        return self.message.partition("\n")[0].strip()


@dataclass(frozen=True, slots=True)
class NewCommit:
    """A commit to be made on top of `parent`: `files` by path, None deletes. Same values give the same sha."""

    parent: str
    files: Mapping[str, bytes | None]
    message: str
    author: str
    email: str
    time: int


class Repositories(Protocol):
    """Bare repositories by their id (never by their name)."""

    def create(self, repository_id: str, default_branch: str) -> None:
        """Make an empty bare repository with our settings; whole or not at all, and again is no error."""

    def delete(self, repository_id: str) -> None:
        """Take the repository away."""

    def set_default_branch(self, repository_id: str, branch: str) -> None:
        """What a clone checks out: point HEAD at `branch`, which may still have no commit."""

    def path(self, repository_id: str) -> Path:
        """Where it lies on this machine. Raises NotFound."""

    def pack_refs(self, repository_id: str) -> None:
        """Put all refs into one file: pushes and fetches read every ref, and a file for each makes them slow."""

    def worn(self, repository_id: str) -> bool:
        """Whether so much has gathered that packing objects is worth its time; quick."""

    def maintain(self, repository_id: str, stopping: Callable[[], bool] = lambda: False) -> None:
        """Pack refs and objects; safe beside pushes, as nothing that is younger than two weeks is dropped. Takes long
        for a large repository; given up when `stopping` says so, without harm."""

    def projects(self, repository_id: str, commit: str, *, quarantine: Path | None = None) -> Sequence[str]:
        """Directories of a commit that are DVC projects of their own, sorted, "" for the root. Raises LimitExceeded
        where there are too many."""

    def tree(self, repository_id: str, commit: str, *, project: str = "", quarantine: Path | None = None) -> Tree:
        """The files of a commit below the directory `project`; with the objects of a push not yet accepted."""


class Mentions(Protocol):
    """What the history of hosted repositories says of data."""

    def of(self, repository_id: str) -> set[str]:
        """All that looks like the MD5 of an object in any .dvc file or dvc.lock of any commit that a ref leads to.
        Raises Damaged, LimitExceeded, NotFound."""


class Refs(Protocol):
    """Refs and history of the hosted repositories. Ref names are full (`refs/heads/main`)."""

    def list(self, repository_id: str, prefix: str = "refs/heads/", limit: int | None = None) -> dict[str, str]:
        """Full names and commit shas (tags are peeled) of the (first `limit`) refs under `prefix`, sorted by name."""

    def tip(self, repository_id: str, ref: str) -> str | None:
        """The commit at a full ref; None where there is none. For this the others are not read."""

    def count(self, repository_id: str) -> int:
        """How many refs there are of all kinds."""

    def faults(self, repository_id: str, readable: Container[str] = ()) -> Sequence[Text]:
        """What cannot be read of HEAD and the refs, which `list` leaves out; branches in `readable` are known to be
        well."""

    def commit(self, repository_id: str, revision: str, *, quarantine: Path | None = None) -> Commit:
        """The commit that a sha, branch, tag or full ref names. Raises NotFound."""

    def log(self, repository_id: str, revision: str, *, limit: int, skip: int = 0) -> Sequence[Commit]:
        """History from `revision`, newest first."""

    def is_ancestor(self, repository_id: str, old: str, new: str, *, quarantine: Path | None = None) -> bool:
        """Whether `old` is reachable from `new`."""

    def changed_paths(
        self, repository_id: str, old: str | None, new: str, *, quarantine: Path | None = None
    ) -> Iterable[str]:
        """Paths that differ between two commits' trees; all of `new` when `old` is None."""

    def record(self, repository_id: str, commit: NewCommit, ref: str, expected: str | None) -> str:
        """Make a commit and move `ref` to it if it stands at `expected` (None: must not exist, or is that very
        commit already, or one with the same parent and message). Durable on return; gives the sha. Raises Conflict if
        the ref stands elsewhere."""

    def remove(self, repository_id: str, refs: Mapping[str, str]) -> None:
        """Take refs away, each only if it stands at the sha given with it; all or none. Raises Conflict."""
