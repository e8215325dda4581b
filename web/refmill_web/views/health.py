"""Whether the platform lives, and whether it can work: for supervisors and load balancers."""

from __future__ import annotations

from flask import Blueprint, Response, jsonify

from refmill_web.services import services

blueprint = Blueprint("health", __name__)


@blueprint.get("/healthz")
def alive() -> Response:
    """This process answers."""
    return jsonify({"status": "ok"})


@blueprint.get("/readyz")
def ready() -> tuple[Response, int]:
    """Every part answers (200), or which do not (503)."""
    missing = list(services().ready())
    return jsonify({"status": "unready" if missing else "ok", "missing": missing}), 503 if missing else 200
