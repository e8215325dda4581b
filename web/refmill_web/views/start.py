"""The start page: what needs me, what runs now, my repositories; for somebody new, how to begin."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from flask import Blueprint, redirect
from werkzeug.wrappers import Response

from refmill.model.people import Repository
from refmill.model.runs import Run
from refmill_web import auth
from refmill_web.services import services
from refmill_web.shell import render

blueprint = Blueprint("start", __name__)
SHOWN = 100


@dataclass(frozen=True, slots=True)
class StartPage:
    """The context of start.html. `attention` are newest runs that ended badly; `last` the newest run by repository."""

    repositories: Sequence[Repository]
    last: Mapping[str, Run]
    attention: Sequence[Run]
    running: Sequence[Run]
    total: int


@blueprint.get("/")
def start() -> Response | str:
    """The start page; somebody not signed in sees public repositories, or the sign-in form where there are none."""
    user = auth.user()
    visible = services().catalogue.visible(user)
    if user is None and not visible:
        return redirect("/login")
    own = user.name if user else ""
    ids = [repository.id for repository in visible]
    last = services().history.last(ids) if ids else {}
    newest = sorted(visible, key=lambda item: (-(last[item.id].created if item.id in last else 0), item.full_name))
    running = services().runs.list(ids, statuses=("running", "queued", "paused"), limit=20) if ids else ()
    bad = [
        run for run in last.values() if run.status == "failed" and own in {run.created_by, run.repository.split("/")[0]}
    ]
    attention = sorted(bad, key=lambda run: -run.created)[:10]
    return render("start.html", StartPage(newest[:SHOWN], last, attention, running, len(visible)))
