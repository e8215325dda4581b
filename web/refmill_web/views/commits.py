"""History: the commits of a ref, and what one of them changed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from flask import Blueprint, request

from refmill.model.runs import Run
from refmill.ports.repositories import Commit
from refmill_repos.history import Comparison
from refmill_web import auth
from refmill_web.addresses import Spot, default_spot, spot
from refmill_web.services import services
from refmill_web.shell import Frame, frame, render

blueprint = Blueprint("commits", __name__, url_prefix="/<owner>/<name>")
PAGE = 50


@dataclass(frozen=True, slots=True)
class LogPage:
    """The context of commits.html: a page of history with each commit's newest run."""

    frame: Frame
    spot: Spot | None
    commits: Sequence[Commit] = ()
    runs: Mapping[str, Run] | None = None
    page: int = 0
    more: bool = False


@dataclass(frozen=True, slots=True)
class CommitPage:
    """The context of commit.html."""

    frame: Frame
    commit: Commit
    runs: Sequence[Run]
    comparison: Comparison


@blueprint.get("/commits", defaults={"rest": ""})
@blueprint.get("/commits/<path:rest>")
def log(owner: str, name: str, rest: str) -> str:
    """History of a ref, newest first."""
    access = auth.access(owner, name)
    here = spot(access.repository, rest) if rest else default_spot(access.repository)
    if here is None:
        return render("commits.html", LogPage(frame(access, "commits"), None))
    page = max(0, min(request.args.get("page", 0, type=int), 10_000))
    found = services().refs.log(access.repository.id, here.commit.sha, limit=PAGE + 1, skip=page * PAGE)
    runs = {run.commit: run for run in reversed(services().runs.list([access.repository.id], limit=200))}
    shown = LogPage(frame(access, "commits"), here, found[:PAGE], runs, page, len(found) > PAGE)
    return render("commits.html", shown)


@blueprint.get("/commit/<rest>")
def commit(owner: str, name: str, rest: str) -> str:
    """One commit with its difference to its first parent."""
    access = auth.access(owner, name)
    repository = access.repository
    found = spot(repository, rest).commit
    comparison = services().past.diff_of(repository.id, found.sha)
    runs = [run for run in services().runs.list([repository.id], limit=200) if run.commit == found.sha]
    return render("commit.html", CommitPage(frame(access, "commits"), found, runs, comparison))
