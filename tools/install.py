"""Makes and fills .venv: `venv` (with any Python), then `runtime` and `dev` (with that of .venv). `packages` and
`project` are the halves of `runtime`.

The rule to keep: the standard library alone and the syntax of Python 3.7, because `venv` must be able to tell
somebody politely that their Python is too old.
"""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
PYTHON = VENV / "bin" / "python"
OLDEST = (3, 11)
PACKAGES = (
    "platform/refmill", "templates/refmill_templates", "repos/refmill_repos", "argo/refmill_argo", "web/refmill_web",
)  # fmt: skip
UV_INDEXES = ("UV_DEFAULT_INDEX", "UV_INDEX", "UV_INDEX_URL", "UV_EXTRA_INDEX_URL", "UV_CONFIG_FILE")
# What pip may have been told on this machine, and the variable by which uv hears the same.
FROM_PIP = {
    "index-url": "UV_DEFAULT_INDEX",
    "extra-index-url": "UV_INDEX",
    "trusted-host": "UV_INSECURE_HOST",
    "cert": "SSL_CERT_FILE",
}


def venv() -> None:
    """An empty .venv with uv in it."""
    found = ".".join(str(number) for number in sys.version_info[:3])
    if sys.version_info < OLDEST:
        sys.exit(
            f"Refmill needs Python 3.11 or newer; {sys.executable} is {found}.\nName another: make PYTHON=python3.12"
        )
    say(f"making .venv with Python {found}")
    if subprocess.call([sys.executable, "-m", "venv", "--clear", str(VENV)]) != 0:
        sys.exit("Python could not make .venv. On Debian and Ubuntu this helps: apt install python3-venv")
    pip = [str(PYTHON), "-m", "pip", "--disable-pip-version-check", "install", "--quiet", "--require-hashes"]
    run([*pip, "--requirement", "requirements/bootstrap.lock"], {})


def runtime() -> None:
    """The platform's packages as locked, and the project itself."""
    packages()
    project()


def packages() -> None:
    """The platform's packages as locked; an image keeps them apart from the sources, which change more often."""
    say("installing the packages of requirements/runtime.lock")
    install("--require-hashes", "--requirement", "requirements/runtime.lock")


def project() -> None:
    """The project itself, whose sources stay where they are."""
    say("building the web pages and installing refmill")
    install("--no-deps", "--build-constraints", "requirements/build.lock", "--editable", ".")
    # Python compiles a module when it is first imported and keeps that, except where it is told not to (or may not)
    # write it: there every command would compile a thousand modules anew.
    run([str(PYTHON), "-m", "compileall", "-q", *PACKAGES], {})


def dev() -> None:
    """The tools for development, as locked."""
    say("installing the packages of requirements/dev.lock")
    install("--require-hashes", "--requirement", "requirements/dev.lock")


def install(*arguments: str) -> None:
    """`uv pip install` into .venv, from the index that this machine uses."""
    uv = [str(VENV / "bin" / "uv"), "pip", "install", "--quiet", "--compile-bytecode", "--python", str(PYTHON)]
    told = index_variables(dict(os.environ), pip_configuration())
    run([*uv, *arguments], {**told, **certificates({**os.environ, **told})})


def index_variables(environ: dict[str, str], pip: dict[str, str]) -> dict[str, str]:
    """The variables that make uv use the index of `pip` (option → value), unless uv was told its own."""
    if any(environ.get(name) for name in UV_INDEXES):
        return {}
    known = {FROM_PIP[name]: value for name, value in pip.items() if name in FROM_PIP}
    return {name: value for name, value in known.items() if not environ.get(name)}


def certificates(environ: dict[str, str]) -> dict[str, str]:
    """The variable by which Node trusts the authorities that everything else on this machine was told to trust."""
    told = environ.get("SSL_CERT_FILE", "")
    return {"NODE_EXTRA_CA_CERTS": told} if told and not environ.get("NODE_EXTRA_CA_CERTS") else {}


def pip_configuration() -> dict[str, str]:
    """What pip is told on this machine, by files and environment: option → value; the strongest source wins."""
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", "config", "list"]
    shown = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=False).stdout
    found = {}
    for source in ("global.", "install.", ":env:."):
        for line in shown.decode("utf-8", "replace").splitlines():
            name, _, value = line.partition("=")
            if name.startswith(source) and value:
                found[name[len(source) :]] = " ".join(str(ast.literal_eval(value)).split())
    return found


def run(command: list[str], variables: dict[str, str]) -> None:
    """The command in the checkout; its own words are the explanation when it fails."""
    code = subprocess.call(command, cwd=str(ROOT), env={**os.environ, **variables})
    if code != 0:
        sys.exit(f"This failed with exit code {code}: {' '.join(command)}")


def say(line: str) -> None:
    """One line of progress."""
    print("refmill:", line, flush=True)


if __name__ == "__main__":
    {"venv": venv, "runtime": runtime, "packages": packages, "project": project, "dev": dev}[sys.argv[1]]()
