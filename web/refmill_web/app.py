"""The Flask application: how its parts are put together. No state exists before `create_app` is called."""

from __future__ import annotations

from flask import Flask
from jinja2 import StrictUndefined

from refmill_web import auth, csrf, display, doorstep, failures, i18n, security, shell
from refmill_web.services import KEY, Services
from refmill_web.views import (
    accounts,
    api,
    commits,
    experiments,
    files,
    health,
    live,
    metrics,
    pods,
    repositories,
    results,
    runs,
    secrets,
    start,
)

BODY_LIMIT = 1 << 20
"""Bytes of a form: no page takes files."""


def create_app(services: Services) -> Flask:
    """The pages of one installation. Git and the data remote are plain WSGI and are mounted beside it, not in it."""
    app = Flask("refmill_web", template_folder="pages", static_folder="static")
    app.config.update(MAX_CONTENT_LENGTH=BODY_LIMIT, MAX_FORM_MEMORY_SIZE=BODY_LIMIT, MAX_FORM_PARTS=200)
    app.extensions[KEY] = services
    app.jinja_env.undefined = StrictUndefined
    app.jinja_env.trim_blocks = app.jinja_env.lstrip_blocks = True
    app.url_map.strict_slashes = False
    for part in (i18n, display, shell, security, auth, csrf, failures, live):
        part.install(app)
    app.wsgi_app = doorstep.Doorstep(app.wsgi_app)  # type: ignore[method-assign]
    for views in (
        health,
        metrics,
        api,
        pods,
        accounts,
        start,
        runs,
        results,
        live,
        experiments,
        files,
        commits,
        secrets,
        repositories,
    ):
        app.register_blueprint(views.blueprint)
    return app


def first_words(app: Flask) -> frozenset[str]:
    """First words of the pages' own addresses; no user may be called so (places.RESERVED has them all)."""
    words = {rule.rule.split("/")[1] for rule in app.url_map.iter_rules()}
    return frozenset(word.lower() for word in words if word and "<" not in word)
