"""The cluster over Kubernetes' HTTP API, with the official client's knowledge of credentials and certificates.

The rule to keep: this module alone imports `kubernetes`, and whoever needs no cluster does not import this module: the
client takes about a second to load. Every request has time limits, and certificates are always verified.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from typing import Any, cast
from urllib.parse import quote, urlencode, urlsplit

import urllib3
from kubernetes import client, config

from refmill import errors
from refmill.clients.addresses import loopback
from refmill.texts import Text, text
from refmill_argo.cluster import PODS, Change, Kind, Listing, Thing

CONNECT, READ = 10.0, 30.0
"""Seconds to reach the API server, and between two pieces of an answer."""
WATCH = 240
"""Seconds of one watch: it ends by itself, and a connection that died silently is noticed READ seconds later."""
PAGE = 250
"""Objects in one answer: a Workflow may have a mebibyte."""
LOG_LIMIT = 64 << 20
REASON = 2000
"""Characters of what an API server says that are handed on."""


class KubeCluster:
    """`Cluster` for one namespace; also what `refmill doctor` asks."""

    def __init__(self, api: client.ApiClient, namespace: str) -> None:
        self._api, self._namespace = api, namespace
        self._pool: urllib3.PoolManager = api.rest_client.pool_manager
        self.address: str = api.configuration.host

    def get(self, kind: Kind, name: str) -> Thing:
        return self._json("GET", self._path(kind, name))

    def create(self, kind: Kind, manifest: str) -> Thing:
        return self._json(
            "POST", self._path(kind), manifest.encode(), "application/yaml", {"fieldValidation": "Strict"}
        )

    def patch(self, kind: Kind, name: str, change: Thing) -> Thing:
        body = json.dumps(change).encode()
        return self._json("PATCH", self._path(kind, name), body, "application/merge-patch+json")

    def delete(self, kind: Kind, name: str) -> None:
        try:
            self._json("DELETE", self._path(kind, name))
        except errors.NotFound:
            return

    def list(self, kind: Kind, selector: str) -> Listing:
        things: list[Thing] = []
        asked = {"labelSelector": selector, "limit": str(PAGE)}
        while True:
            answer = self._json("GET", self._path(kind), query=asked)
            things += answer.get("items") or ()
            found = answer.get("metadata") or {}
            if not found.get("continue"):
                return Listing(tuple(things), str(found.get("resourceVersion", "")))
            asked["continue"] = found["continue"]

    def watch(self, kind: Kind, selector: str, version: str) -> Iterator[Change]:
        query = {
            "watch": "1", "labelSelector": selector, "resourceVersion": version, "allowWatchBookmarks": "true",
            "timeoutSeconds": str(WATCH),
        }  # fmt: skip
        response = self._ask("GET", self._path(kind), query=query, read=WATCH + READ)
        try:
            for line in _lines(response):
                told = json.loads(line)
                if told["type"] == "ERROR":
                    raise _refusal(int(told["object"].get("code") or 500), told["object"])
                yield Change(told["type"], told["object"])
        except (urllib3.exceptions.HTTPError, ValueError, KeyError, OSError) as error:
            raise errors.Unavailable(_broken(error)) from error
        finally:
            response.close()

    def log(self, pod: str, container: str) -> bytes:
        query = {"container": container, "timestamps": "true", "limitBytes": str(LOG_LIMIT)}
        return self._whole(self._ask("GET", f"{self._path(PODS, pod)}/log", query=query))

    def ask(self, path: str, body: Thing | None = None) -> Thing:
        """Any question: GET, or POST with a body. Raises as the others do."""
        return self._json("POST" if body else "GET", path, json.dumps(body).encode() if body else None)

    def _path(self, kind: Kind, name: str = "") -> str:
        root = f"/apis/{kind.group}/{kind.version}" if kind.group else f"/api/{kind.version}"
        return f"{root}/namespaces/{self._namespace}/{kind.plural}" + (f"/{quote(name, safe='')}" if name else "")

    def _json(
        self, method: str, path: str, body: bytes | None = None, kind: str = "application/json",
        query: Mapping[str, str] | None = None,
    ) -> Thing:  # fmt: skip
        said = self._whole(self._ask(method, path, body, kind, query))
        try:
            return cast(Thing, json.loads(said))
        except ValueError as error:
            raise errors.Unavailable(_broken(error)) from error

    def _whole(self, response: urllib3.BaseHTTPResponse) -> bytes:
        try:
            return response.read()
        except (urllib3.exceptions.HTTPError, OSError) as error:
            raise errors.Unavailable(_broken(error)) from error
        finally:
            response.release_conn()

    def _ask(
        self, method: str, path: str, body: bytes | None = None, kind: str = "application/json",
        query: Mapping[str, str] | None = None, read: float = READ,
    ) -> urllib3.BaseHTTPResponse:  # fmt: skip
        headers = {"Accept": "application/json", "User-Agent": "refmill"}
        if body is not None:
            headers["Content-Type"] = kind
        try:
            self._api.update_params_for_auth(headers, [], ["BearerToken"])
            response = self._pool.request(
                method, self.address + path + (f"?{urlencode(query)}" if query else ""), body=body, headers=headers,
                timeout=urllib3.Timeout(connect=CONNECT, read=read), preload_content=False, retries=False,
                redirect=False,
            )  # fmt: skip
        except (urllib3.exceptions.HTTPError, OSError, config.ConfigException) as error:
            raise errors.Unavailable(_broken(error)) from error
        if 200 <= response.status < 300:
            return response
        said = self._whole(response)
        try:
            status = json.loads(said)
        except ValueError:
            status = {"message": said.decode("utf-8", "replace")}
        raise _refusal(response.status, status if isinstance(status, dict) else {})


def connect(namespace: str, kubeconfig: str = "", context: str = "") -> KubeCluster:
    """The cluster that a kubeconfig names; without one, that of KUBECONFIG, or the one that this program runs in.
    Raises WrongUse if it cannot be known how to reach it."""
    chosen = client.Configuration()
    inside = "KUBERNETES_SERVICE_HOST" in os.environ and not (kubeconfig or context or os.environ.get("KUBECONFIG"))
    try:
        if inside:
            config.load_incluster_config(client_configuration=chosen)
        else:
            config.load_kube_config(kubeconfig or None, context or None, chosen, persist_config=False)
    except Exception as error:
        raise errors.WrongUse(
            text("it is not known how to reach the cluster: %(detail)s", detail=str(error)[:REASON]),
            text("Set `kubeconfig` and, if it has several, `kube_context`."),
        ) from error
    _safe(chosen)
    chosen.retries = False
    return KubeCluster(client.ApiClient(chosen), namespace)


def _safe(chosen: client.Configuration) -> None:
    """Refuse a conversation that anybody could listen to, or lead: the cluster is handed tokens."""
    address = urlsplit(chosen.host)
    if not chosen.verify_ssl:
        raise errors.WrongUse(
            text("the kubeconfig says not to verify the certificate of the cluster"),
            text("Give it the cluster's authority (certificate-authority) instead of insecure-skip-tls-verify."),
        )
    if address.scheme != "https" and not loopback(address.hostname or ""):
        raise errors.WrongUse(text("the cluster's address %(address)s is not https", address=chosen.host))


def _lines(response: urllib3.BaseHTTPResponse) -> Iterator[bytes]:
    rest = b""
    for piece in response.stream():
        *whole, rest = (rest + piece).split(b"\n")
        yield from filter(None, whole)


def _broken(error: Exception) -> Text:
    return text("the cluster does not answer: %(detail)s", detail=f"{type(error).__name__}: {error}"[:REASON])


def _refusal(code: int, status: Mapping[str, Any]) -> errors.RefmillError:
    """What a refusal means."""
    detail = str(status.get("message") or code)[:REASON]
    said = text("the cluster refused it: %(detail)s", detail=detail)
    if code == 401:
        return errors.Unavailable(text("the cluster does not take our credentials: %(detail)s", detail=detail))
    if code in (404, 410):
        return errors.NotFound(said)
    if code == 409:
        return errors.Conflict(said)
    if code == 429 or code >= 500:
        return errors.Unavailable(text("the cluster does not answer: %(detail)s", detail=detail))
    return errors.WrongUse(said)
