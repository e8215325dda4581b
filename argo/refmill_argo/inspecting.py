"""Whether a cluster has what runs need, for `refmill doctor`."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Literal, Protocol, TypeAlias
from urllib.parse import urlsplit

from refmill import errors
from refmill.texts import Text, text
from refmill_argo.cluster import Thing
from refmill_argo.options import Options

GROUP = "argoproj.io/v1alpha1"
RIGHTS: tuple[tuple[str, str, str, tuple[str, ...]], ...] = (
    ("argoproj.io", "workflows", "", ("create", "get", "list", "watch", "patch")),
    ("", "pods", "", ("list", "watch", "delete")),
    ("", "pods", "log", ("get",)),
    ("", "secrets", "", ("create", "patch", "delete")),
    ("", "configmaps", "", ("get", "create")),
)
"""What the engine does in its namespace: API group, resource, sub-resource, verbs."""
State: TypeAlias = Literal["ok", "warning", "bad"]


class Questions(Protocol):
    """A cluster that answers any question."""

    address: str

    def ask(self, path: str, body: Thing | None = None) -> Thing:
        """GET, or POST with a body. Raises NotFound, WrongUse, Unavailable."""


@dataclass(frozen=True, slots=True)
class Inspection:
    """Looks at a cluster; `reach(address)` says whether an address answers from here."""

    cluster: Questions
    options: Options
    reach: Callable[[str], bool]

    def findings(self) -> Iterator[tuple[str, State, Text]]:
        """What there is and what is missing, in the order in which it would be needed."""
        try:
            version = self.cluster.ask("/version")
        except errors.RefmillError as error:
            yield "cluster", "bad", error.message
            return
        values = {"address": self.cluster.address, "version": str(version.get("gitVersion", "?"))}
        yield "cluster", "ok", text("the cluster at %(address)s answers: Kubernetes %(version)s", **values)
        looks = {"argo": self._argo, "rights": self._rights, "namespace": self._installation, "server": self._server}
        for name, look in looks.items():
            yield name, *look()

    def _argo(self) -> tuple[State, Text]:
        try:
            served = self.cluster.ask(f"/apis/{GROUP}")
        except errors.NotFound:
            return "bad", text("the cluster has no Argo Workflows: install it, with its CRDs")
        except errors.RefmillError as error:
            return "bad", error.message
        names = {item.get("name") for item in served.get("resources") or ()}
        missing = [name for name in ("workflows", "workflowtaskresults") if name not in names]
        if missing:
            return "bad", text("Argo Workflows is not whole: %(names)s missing", names=", ".join(missing))
        return "ok", text("Argo Workflows is there (%(version)s)", version=GROUP)

    def _rights(self) -> tuple[State, Text]:
        lacking = []
        for group, resource, sub, verbs in RIGHTS:
            for verb in verbs:
                attributes: dict[str, Any] = {
                    "namespace": self.options.namespace, "group": group, "resource": resource, "subresource": sub,
                    "verb": verb,
                }  # fmt: skip
                body = {
                    "apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectAccessReview",
                    "spec": {"resourceAttributes": attributes},
                }  # fmt: skip
                try:
                    answer = self.cluster.ask("/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", body)
                except errors.RefmillError as error:
                    return "bad", error.message
                if not (answer.get("status") or {}).get("allowed"):
                    lacking.append(f"{verb} {resource}{'/' if sub else ''}{sub}")
        if lacking:
            values = {"namespace": self.options.namespace, "rights": ", ".join(lacking)}
            return "bad", text("Refmill may not do all it has to in the namespace %(namespace)s: %(rights)s", **values)
        return "ok", text("Refmill has its rights in the namespace %(namespace)s", namespace=self.options.namespace)

    def _installation(self) -> tuple[State, Text]:
        missing = []
        for account in (self.options.account, self.options.executor_account):
            try:
                self.cluster.ask(f"/api/v1/namespaces/{self.options.namespace}/serviceaccounts/{account}")
            except errors.NotFound:
                missing.append(account)
            except errors.RefmillError as error:
                why = text("whether pods have their service accounts cannot be seen: %(detail)s", detail=error.message)
                return "warning", why
        if missing:
            return "bad", text(
                "the namespace %(namespace)s lacks the service accounts %(names)s: `refmill render --installation |"
                " kubectl apply -f -`",
                namespace=self.options.namespace, names=", ".join(missing),
            )  # fmt: skip
        return "ok", text("the namespace %(namespace)s is prepared for pods", namespace=self.options.namespace)

    def _server(self) -> tuple[State, Text]:
        address = self.options.server
        if _here(urlsplit(address).hostname or ""):
            return "bad", text("no pod reaches the platform at %(address)s: set `argo_pods_url`", address=address)
        if not self.reach(address):
            return "warning", text("nothing answers at %(address)s, where pods look for the platform", address=address)
        return "ok", text("pods find the platform at %(address)s", address=address)


def _here(host: str) -> bool:
    try:
        found = ipaddress.ip_address(host)
    except ValueError:
        return host in ("", "localhost")
    return found.is_loopback or found.is_unspecified
