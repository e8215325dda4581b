"""A repository's front page: what it is, whether it is healthy, how to get it."""

from __future__ import annotations

import shlex
from dataclasses import dataclass

from flask import Blueprint
from markupsafe import Markup

from refmill import errors
from refmill.model.runs import Run
from refmill.ports.repositories import Commit
from refmill_repos.history import Row
from refmill_web import auth
from refmill_web.addresses import default_spot
from refmill_web.content import readme
from refmill_web.services import services
from refmill_web.shell import Frame, frame, render

blueprint = Blueprint("repositories", __name__)
SHOWN = 1000
BRANCHES = 1000
"""Branches that are looked up for the front page, which names fewer and says how many there are."""
PROJECTS = 30


@dataclass(frozen=True, slots=True)
class ProjectRow:
    """A DVC project of the repository, with its newest run."""

    path: str
    run: Run | None


@dataclass(frozen=True, slots=True)
class RepositoryPage:
    """The context of repository.html; without commits there is only how to push the first. `projects` are told of
    where the root is not the only one."""

    frame: Frame
    run: Run | None
    ref: str = ""
    commit: Commit | None = None
    rows: tuple[Row, ...] = ()
    readme: Markup | None = None
    branches: tuple[str, ...] = ()
    projects: tuple[ProjectRow, ...] = ()

    @property
    def folder(self) -> str:
        """Where in a clone DVC is at home, quoted for a shell: the project that ran last, or the first."""
        first = self.projects[0].path if self.projects else ""
        project = self.run.project if self.run else first
        return shlex.quote(f"{self.frame.repository.name}/{project}".rstrip("/"))


@blueprint.get("/<owner>/<name>")
def home(owner: str, name: str) -> str:
    """The front page."""
    access = auth.access(owner, name)
    repository = access.repository
    run = services().history.last([repository.id]).get(repository.id)
    here = default_spot(repository)
    if here is None:
        return render("repository.html", RepositoryPage(frame(access, "files"), run))
    tree = services().repositories.tree(repository.id, here.commit.sha)
    branches = services().refs.list(repository.id, limit=BRANCHES)
    page = RepositoryPage(
        frame(access, "files"),
        run,
        here.ref,
        here.commit,
        tuple(services().past.folder(repository.id, here.commit.sha))[:SHOWN],
        readme(tree, repository, here),
        tuple(ref.removeprefix("refs/heads/") for ref in branches),
        _projects(repository.id, here.commit.sha),
    )
    return render("repository.html", page)


def _projects(repository_id: str, commit: str) -> tuple[ProjectRow, ...]:
    try:
        found = services().repositories.projects(repository_id, commit)
    except errors.LimitExceeded:
        return ()
    if set(found) <= {""}:
        return ()
    runs = services().runs
    newest = {path: runs.list([repository_id], project=path, limit=1) for path in found[:PROJECTS]}
    return tuple(ProjectRow(path, runs[0] if runs else None) for path, runs in newest.items())
