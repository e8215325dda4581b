"""Where this machine takes Python packages from: the settings of `uv`, and those of `pip` translated for it.

(uv reads neither PIP_* variables nor pip.conf; many machines have only these. Names: docs of uv, "Environment
variables"; docs of pip, "Configuration".)
"""

from __future__ import annotations

import configparser
from collections.abc import Iterable, Mapping
from pathlib import Path

FROM_PIP = {
    "index-url": "UV_DEFAULT_INDEX",
    "extra-index-url": "UV_INDEX",
    "find-links": "UV_FIND_LINKS",
    "no-index": "UV_NO_INDEX",
    "cert": "SSL_CERT_FILE",
    "timeout": "UV_HTTP_TIMEOUT",
    "default-timeout": "UV_HTTP_TIMEOUT",
}
SAME_MEANING = {"UV_DEFAULT_INDEX": "UV_INDEX_URL", "UV_INDEX": "UV_EXTRA_INDEX_URL"}
PASSED = (
    "UV_DEFAULT_INDEX", "UV_INDEX_URL", "UV_INDEX", "UV_EXTRA_INDEX_URL", "UV_FIND_LINKS", "UV_NO_INDEX",
    "UV_HTTP_TIMEOUT", "UV_INSECURE_HOST", "UV_NATIVE_TLS", "UV_SYSTEM_CERTS", "UV_OFFLINE", "SSL_CERT_FILE",
    "SSL_CERT_DIR", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "all_proxy",
    "no_proxy",
)  # fmt: skip
MANY = {"UV_INDEX": " ", "UV_FIND_LINKS": ","}
"""uv takes several values in one variable; pip separates them by white space."""


def variables(environ: Mapping[str, str], index: str = "", files: Iterable[Path] | None = None) -> dict[str, str]:
    """The variables that `uv` needs. `index` (the setting) wins, then UV_*, then PIP_*, then pip's `files`."""
    found = {name: environ[name] for name in PASSED if environ.get(name)}
    for key, value in (*_from_environ(environ), *_from_files(pip_files(environ) if files is None else files)):
        name = FROM_PIP[key]
        if name not in found and SAME_MEANING.get(name) not in found:
            found[name] = MANY.get(name, " ").join(value.split()) if name in MANY else value.strip()
    if index:
        found["UV_DEFAULT_INDEX"] = index
        found.pop("UV_INDEX_URL", None)
    return found


def pip_files(environ: Mapping[str, str]) -> list[Path]:
    """The configuration files of pip, those that win first."""
    home = Path(environ.get("HOME") or "/nonexistent")
    own = Path(environ.get("XDG_CONFIG_HOME") or home / ".config") / "pip" / "pip.conf"
    named = [Path(environ["PIP_CONFIG_FILE"])] if environ.get("PIP_CONFIG_FILE") else []
    return [*named, own, home / ".pip" / "pip.conf", Path("/etc/pip.conf")]


def _from_environ(environ: Mapping[str, str]) -> list[tuple[str, str]]:
    return [(key, value) for key in FROM_PIP if (value := environ.get("PIP_" + key.upper().replace("-", "_"), ""))]


def _from_files(files: Iterable[Path]) -> list[tuple[str, str]]:
    found: list[tuple[str, str]] = []
    for file in files:
        parser = configparser.RawConfigParser()
        try:
            parser.read_string(file.read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError, configparser.Error):
            continue  # pip tells its user of a bad file; here it is as if there were none
        for section in ("install", "global"):
            if parser.has_section(section):
                found += [(key, value) for key, value in parser.items(section) if key in FROM_PIP and value]
    return found
