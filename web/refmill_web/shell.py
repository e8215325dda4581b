"""What stands around every page: the header, who is signed in, the language, the crumbs and tabs of a repository."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from flask import Flask, render_template, request, url_for

from refmill.clients.catalogues import LANGUAGES, script_messages
from refmill.model.asides import Aside
from refmill.model.people import Repository
from refmill.texts import Text, text
from refmill_web import assets, auth, csrf
from refmill_web.addresses import default_spot
from refmill_web.auth import Access
from refmill_web.content import kind_of
from refmill_web.i18n import language
from refmill_web.services import services


@dataclass(frozen=True, slots=True)
class Tab:
    """One of a repository's tabs."""

    name: str
    label: Text
    address: str


@dataclass(frozen=True, slots=True)
class Frame:
    """The head of a repository's pages; `here` is the name of the tab one stands on, `aside` what the platform could
    not do for it, for those who may see the reason."""

    access: Access
    here: str
    kind: Text | None = None
    tabs: tuple[Tab, ...] = field(default=())
    aside: tuple[Aside, ...] = ()

    @property
    def repository(self) -> Repository:
        """The repository."""
        return self.access.repository


def frame(access: Access, here: str) -> Frame:
    """The head for a page of that repository."""
    tip = default_spot(access.repository)
    kind = kind_of(services().repositories.tree(access.repository.id, tip.commit.sha)) if tip else None
    names: dict[str, Any] = {"owner": access.repository.owner, "name": access.repository.name}
    tabs = [
        Tab("files", text("Files"), url_for("repositories.home", **names)),
        Tab("commits", text("Commits"), url_for("commits.log", **names)),
        Tab("experiments", text("Experiments"), url_for("experiments.of_repository", **names)),
        Tab("runs", text("Runs"), url_for("runs.of_repository", **names)),
    ]
    if access.may("admin"):
        tabs.append(Tab("secrets", text("Secrets"), url_for("secrets.of_repository", **names)))
    aside = services().aside(access.repository.id) if access.may("write") else ()
    return Frame(access, here, kind, tuple(tabs), tuple(aside))


def render(template: str, page: object) -> str:
    """A page from its template and its typed context."""
    return render_template(template, page=page)


def base_url() -> str:
    """Under which address people reach the platform, without a slash at the end."""
    return (services().settings.url or request.url_root).rstrip("/")


def git_address(repository: Repository) -> str:
    """What `git clone` and `dvc exp pull` take."""
    return f"{base_url()}/{repository.full_name}.git"


def install(app: Flask) -> None:
    """The values that the layout itself needs."""
    app.context_processor(_context)


def _context() -> dict[str, Any]:
    code = language()
    return {
        "user": auth.user(),
        "language": code,
        "other_languages": {other: name for other, name in LANGUAGES.items() if other != code},
        "script_messages": script_messages(code),
        "csrf_token": csrf.token,
        "csrf_field": csrf.FIELD,
        "built": assets.built(),
        "base_url": base_url(),
        "here": request.full_path.rstrip("?"),
    }
