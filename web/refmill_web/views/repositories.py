"""A repository's front page: what it is, whether it is healthy, how to get it."""

from __future__ import annotations

from dataclasses import dataclass

from flask import Blueprint
from markupsafe import Markup

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


@dataclass(frozen=True, slots=True)
class RepositoryPage:
    """The context of repository.html; without commits there is only how to push the first."""

    frame: Frame
    run: Run | None
    ref: str = ""
    commit: Commit | None = None
    rows: tuple[Row, ...] = ()
    readme: Markup | None = None
    branches: tuple[str, ...] = ()


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
    branches = services().refs.list(repository.id)
    page = RepositoryPage(
        frame(access, "files"),
        run,
        here.ref,
        here.commit,
        tuple(services().past.folder(repository.id, here.commit.sha))[:SHOWN],
        readme(tree, repository, here),
        tuple(ref.removeprefix("refs/heads/") for ref in branches),
    )
    return render("repository.html", page)
