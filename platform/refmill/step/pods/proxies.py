"""The operator's proxy: the variables by which programs of a pod find it.

The runner itself asks the platform and the store, and those never through a proxy: `wire` looks at no such variable, of
whatever image.

The rule to keep: a password in an address stands in no log and in no explanation.
"""

from __future__ import annotations

import re
from typing import Any, Dict, Iterable, List, Mapping
from urllib.parse import unquote

from refmill.step.masks import Masks

THROUGH, DIRECT = ("HTTP_PROXY", "HTTPS_PROXY"), "NO_PROXY"
PIPS_OWN = "PIP_PROXY"
"""With it pip would ask nobody directly, whatever NO_PROXY says."""
_PASSWORD = re.compile("://[^/\\s?#@:]*:([^/\\s?#@]+)@")


def variables(share: Mapping[str, Any]) -> Dict[str, str]:
    """With which programs find the proxy; none where the operator names none: then those of the image count. Some
    programs look for small letters alone, others for capitals."""
    said = share.get("proxy") or {}
    if not said.get("url"):
        return {}
    found = {**dict.fromkeys(THROUGH, str(said["url"])), DIRECT: str(said.get("direct") or "")}
    return {**found, **{name.lower(): value for name, value in found.items()}}


def making(share: Mapping[str, Any], env: Mapping[str, str]) -> Dict[str, str]:
    """`env` as those programs get it that make an environment."""
    found = variables(share)
    return {**{name: value for name, value in env.items() if not found or name != PIPS_OWN}, **found}


def of_stage(share: Mapping[str, Any], own: Mapping[str, str]) -> Dict[str, str]:
    """Those that a stage's commands get, if they get any; what a project says by itself, in capitals or not, wins."""
    if not (share.get("proxy") or {}).get("stages"):
        return {}
    theirs = {name.upper() for name in own}
    return {name: value for name, value in variables(share).items() if name.upper() not in theirs}


def passwords(addresses: Iterable[str]) -> List[str]:
    """The passwords in some addresses, as they stand there and as they are meant."""
    found = [word for address in addresses for word in _PASSWORD.findall(address)]
    return sorted({*found, *map(unquote, found)})


def hidden(share: Mapping[str, Any]) -> List[str]:
    """What is masked in logs."""
    return passwords([str((share.get("proxy") or {}).get("url") or "")])


def masked(words: str, env: Mapping[str, str]) -> str:
    """`words` of a program that had these variables, without the passwords of addresses in them."""
    data = words.encode("utf-8", "surrogateescape")
    return Masks(passwords(env.values())).apply(data).decode("utf-8", "surrogateescape")
