"""Files of a repository at a ref: directories, files with line numbers, raw bytes."""

from __future__ import annotations

import mimetypes
import posixpath
from dataclasses import dataclass, replace
from functools import partial

from flask import Blueprint, redirect, request, url_for
from markupsafe import Markup
from werkzeug.wrappers import Response

from refmill import errors
from refmill.texts import text
from refmill_repos.history import Row
from refmill_web import auth, notebooks
from refmill_web.addresses import Spot, spot
from refmill_web.content import SHOWN_LIMIT, highlighted, markdown, readme
from refmill_web.notebooks import Notebook
from refmill_web.rawfiles import PICTURES, plain
from refmill_web.services import services
from refmill_web.shell import Frame, frame, render

blueprint = Blueprint("files", __name__, url_prefix="/<owner>/<name>")
SHOWN = 1000


@dataclass(frozen=True, slots=True)
class TreePage:
    """The context of tree.html."""

    frame: Frame
    spot: Spot
    rows: tuple[Row, ...]
    readme: Markup | None


@dataclass(frozen=True, slots=True)
class BlobPage:
    """The context of blob.html: lines of text, a picture, a notebook, or neither. `both` is set for a notebook, which
    can be looked at as it is and as text."""

    frame: Frame
    spot: Spot
    size: int
    lines: tuple[Markup, ...] = ()
    picture: bool = False
    too_large: bool = False
    notebook: Notebook | None = None
    both: bool = False


@blueprint.get("/tree/<path:rest>")
def tree(owner: str, name: str, rest: str) -> Response | str:
    """A directory."""
    access = auth.access(owner, name)
    here = spot(access.repository, rest)
    files = services().repositories.tree(access.repository.id, here.commit.sha)
    entry = files.entry(here.path) if here.path else None
    if here.path and entry is None:
        raise _missing(here)
    if entry is not None and entry.kind != "directory":
        return redirect(url_for("files.blob", owner=owner, name=name, rest=rest))
    shown = readme(files, access.repository, here, here.path)
    rows = tuple(services().past.folder(access.repository.id, here.commit.sha, here.path))[:SHOWN]
    return render("tree.html", TreePage(frame(access, "files"), here, rows, shown))


@blueprint.get("/blob/<path:rest>")
def blob(owner: str, name: str, rest: str) -> Response | str:
    """A file."""
    access = auth.access(owner, name)
    here = spot(access.repository, rest)
    files = services().repositories.tree(access.repository.id, here.commit.sha)
    entry = files.entry(here.path) if here.path else None
    if (entry is not None and entry.kind == "directory") or not here.path:
        return redirect(url_for("files.tree", owner=owner, name=name, rest=rest))
    if entry is None or entry.kind == "submodule":
        raise _missing(here)
    page = BlobPage(frame(access, "files"), here, entry.size)
    if here.path.endswith(".ipynb") and "source" not in request.args and entry.size <= notebooks.LIMIT:
        shown = notebooks.read(
            files.read(here.path, notebooks.LIMIT),
            lambda words: markdown(words, access.repository, here.ref, posixpath.dirname(here.path)),
        )
        if shown is not None:
            return render("blob.html", replace(page, notebook=shown, both=True))
    if mimetypes.guess_type(here.path)[0] in PICTURES:
        page = BlobPage(page.frame, here, entry.size, picture=True)
    elif entry.size > SHOWN_LIMIT:
        page = BlobPage(page.frame, here, entry.size, too_large=True)
    else:
        data = files.read(here.path, SHOWN_LIMIT)
        if b"\0" not in data[:8000]:
            lines = highlighted(here.path, data.decode("utf-8", "replace"))
            page = replace(page, lines=lines, both=here.path.endswith(".ipynb"))
    return render("blob.html", page)


@blueprint.get("/raw/<path:rest>")
def raw(owner: str, name: str, rest: str) -> Response:
    """A file's bytes, in a sandbox: nothing in them runs here."""
    access = auth.access(owner, name)
    here = spot(access.repository, rest)
    files = services().repositories.tree(access.repository.id, here.commit.sha)
    return plain(posixpath.basename(here.path), partial(files.read, here.path))


def _missing(here: Spot) -> errors.NotFound:
    return errors.NotFound(
        text("There is no file “%(path)s” at %(ref)s.", path=here.path, ref=here.ref),
        text("It may have been moved or deleted; look through the folders from the top."),
    )
