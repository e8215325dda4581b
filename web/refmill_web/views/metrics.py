"""What Prometheus reads."""

from __future__ import annotations

from flask import Blueprint, Response, abort, make_response, request

from refmill import errors
from refmill_web import failures
from refmill_web.monitoring import access
from refmill_web.services import services

blueprint = Blueprint("metrics", __name__)


@blueprint.get("/metrics")
def figures() -> Response:
    """All figures of the platform, for whoever may read them; nothing is here where they are switched off."""
    settings = services().settings
    if settings.metrics == "off":
        abort(404)
    if settings.metrics == "token":
        try:
            access.check(settings, request.headers.get("Authorization"))
        except errors.Unauthorized as error:
            refusal = make_response(failures.ours(error))
            refusal.headers["WWW-Authenticate"] = 'Bearer realm="Refmill metrics"'
            return refusal
    accepted = [kind.partition(";")[0].strip() for kind, _ in request.accept_mimetypes]
    body, media = services().figures(accepted)
    return Response(body, content_type=media, headers={"Cache-Control": "no-store"})
