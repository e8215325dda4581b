"""The remotes over HTTP and in S3 stores that a project's committed `.dvc/config` names.

DVC's files are of configobj's form: sections like `['remote "name"']`, keys and values. (Source: dvc.config_schema;
DVC takes the remote of [core] where nothing else is said.)
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeAlias
from urllib.parse import urlsplit

AMAZON = "s3.amazonaws.com"
_BUCKET = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{1,254}", re.ASCII)
_WHO = re.compile(r"//[^/@]*@")
"""Name and password in an address, which no S3 store takes."""
_SECTION = re.compile(r"""\['?\s*remote\s+"(?P<name>[^"]*)"\s*'?\]""")


@dataclass(frozen=True, slots=True)
class HttpRemote:
    """A remote that is read with GET alone. `user` and `password` are for basic authentication, "" for none."""

    name: str
    url: str
    user: str = ""
    password: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class S3Keys:
    """What requests to an S3 store are signed with."""

    id: str
    secret: str = field(repr=False)
    token: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class S3Remote:
    """A place in a bucket that is read with GET alone. `region` is "" where none is named; `keys` are those that stand
    in the configuration; an `anonymous` one is asked without any. With `versions` files lie there by their names."""

    name: str
    url: str
    bucket: str
    prefix: str
    endpoint: str
    region: str = ""
    keys: S3Keys | None = None
    anonymous: bool = False
    versions: bool = False


Remote: TypeAlias = HttpRemote | S3Remote


def remotes(config: bytes) -> tuple[Remote, ...]:
    """Those of `http://`, `https://` and `s3://`, the default one first. What cannot be read is passed over."""
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


def _remote(name: str, keys: Mapping[str, str]) -> Remote | None:
    url = keys.get("url", "")
    try:
        parts = urlsplit(url)
        host, user, password = parts.hostname, parts.username or "", parts.password or ""
        _ = parts.port
    except ValueError:
        return None
    if parts.scheme == "s3":
        return _s3_remote(name, url, keys)
    if parts.scheme not in ("http", "https") or not host:
        return None
    if keys.get("auth", "").lower() == "basic":
        user, password = keys.get("user", user), keys.get("password", password)
    bare = parts._replace(netloc=parts.netloc.rpartition("@")[2], query="", fragment="").geturl()
    return HttpRemote(name, bare.rstrip("/"), user, password)


def _s3_remote(name: str, url: str, keys: Mapping[str, str]) -> S3Remote | None:
    bucket, _, rest = url.partition("://")[2].partition("/")  # a key may hold “?” and “#”
    prefix = rest.strip("/")
    if not _BUCKET.fullmatch(bucket) or {".", ".."} & set(prefix.split("/")):
        return None
    scheme = "http" if keys.get("use_ssl", "").lower() == "false" else "https"
    endpoint = _WHO.sub("//", keys.get("endpointurl") or f"{scheme}://{AMAZON}")
    if not (prefix + endpoint).isprintable():  # both are told to people
        return None
    key, secret = keys.get("access_key_id", ""), keys.get("secret_access_key", "")
    return S3Remote(
        name, f"s3://{bucket}/{prefix}".rstrip("/"), bucket, prefix,
        endpoint.rstrip("/"), keys.get("region", ""),
        keys=S3Keys(key, secret, keys.get("session_token", "")) if key and secret else None,
        anonymous=keys.get("allow_anonymous_login", "").lower() == "true",
        versions="true" in (keys.get("version_aware", "").lower(), keys.get("worktree", "").lower()),
    )  # fmt: skip
