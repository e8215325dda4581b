"""The remotes over HTTP that a project's committed `.dvc/config` names.

DVC's files are of configobj's form: sections like `['remote "name"']`, keys and values. (Source: dvc.config_schema;
DVC takes the remote of [core] where nothing else is said.)
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit

_SECTION = re.compile(r"""\['?\s*remote\s+"(?P<name>[^"]*)"\s*'?\]""")


@dataclass(frozen=True, slots=True)
class HttpRemote:
    """A remote that is read with GET alone. `user` and `password` are for basic authentication, "" for none."""

    name: str
    url: str
    user: str = ""
    password: str = field(default="", repr=False)


def http_remotes(config: bytes) -> tuple[HttpRemote, ...]:
    """Those of `http://` and `https://`, the default one first. What cannot be read is passed over."""
    sections: dict[str, dict[str, str]] = {}
    default, section, in_core = "", None, False
    for raw in config.decode("utf-8", "replace").splitlines():
        line = raw.strip()
        if line.startswith("["):
            found = _SECTION.fullmatch(line)
            section = sections.setdefault(found["name"], {}) if found else None
            in_core = line.strip("[] \t") == "core"
        elif "=" in line and not line.startswith(("#", ";")):
            key, _, value = (part.strip() for part in line.partition("="))
            if section is not None:
                section[key] = value.strip("'\"")
            elif in_core and key == "remote":
                default = value.strip("'\"")
    found_remotes = [remote for name, keys in sections.items() if (remote := _remote(name, keys)) is not None]
    return tuple(sorted(found_remotes, key=lambda remote: remote.name != default))


def _remote(name: str, keys: Mapping[str, str]) -> HttpRemote | None:
    url = keys.get("url", "")
    try:
        parts = urlsplit(url)
        host, user, password = parts.hostname, parts.username or "", parts.password or ""
        _ = parts.port
    except ValueError:
        return None
    if parts.scheme not in ("http", "https") or not host:
        return None
    if keys.get("auth", "").lower() == "basic":
        user, password = keys.get("user", user), keys.get("password", password)
    bare = parts._replace(netloc=parts.netloc.rpartition("@")[2], query="", fragment="").geturl()
    return HttpRemote(name, bare.rstrip("/"), user, password)
