"""The operator's proxy as pods are told of it: with their share, over the connection that the run's token opened, as
the values of secrets are. No manifest and no file has it, for it may hold a password."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from refmill.settings import Settings

HERE = ("localhost", "127.0.0.1", "::1")


@dataclass(frozen=True, slots=True)
class Proxy:
    """Its address ("" where there is none), what is reached without it, and whether commands of stages are told."""

    url: str = ""
    direct: tuple[str, ...] = ()
    stages: bool = True

    def told(self, document: Mapping[str, Any]) -> dict[str, Any]:
        """What the pods of a run with that plan.json are told; stages without network are told of none."""
        if not self.url:
            return {}
        return {
            "url": self.url, "direct": ",".join(self.direct), "stages": self.stages and document.get("network", True),
        }  # fmt: skip


def proxy(settings: Settings, *addresses: str) -> Proxy:
    """As the settings say; the platform, which has these addresses, is always reached directly."""
    own = [urlsplit(address).hostname or "" for address in addresses]
    direct = dict.fromkeys([*settings.listed("argo_no_proxy"), *filter(None, own), *HERE])
    return Proxy(settings.argo_proxy, tuple(direct), settings.argo_proxy_stages)
