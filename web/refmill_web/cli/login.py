"""`refmill login`: credentials for git and DVC, stored once, outside of every repository.

git asks its credential helper; DVC's HTTP remote reads only `~/.netrc` (or its own config, where a secret would lie in
the project). So the token goes into both, readable by the user alone, and into no repository.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path
from urllib.parse import urlsplit

import click

from refmill import errors
from refmill.texts import text
from refmill_web.cli.options import example
from refmill_web.cli.speech import echo, say, tell

ANSWER_SECONDS = 30


@click.command(
    **example(
        text("Set up git's and DVC's credentials for a Refmill server, and the DVC remote of the repository here."),
        "refmill login http://localhost:8700",
    )
)
@click.argument("url")
@click.option("--user", help=say(text("User name (asked for if not given).")))
@click.option("--password-stdin", is_flag=True, help=say(text("Read the password or token from standard input.")))
def login(*, url: str, user: str | None, password_stdin: bool) -> None:
    """Ask the server for a token and store it."""
    address = _address(url)
    name, token = _signed_in(address, user, password_stdin=password_stdin)
    _store_for_git(address, name, token)
    _store_for_dvc(Path.home() / ".netrc", urlsplit(address).hostname or "", name, token)
    tell(text("signed in to %(address)s as %(user)s: git and DVC know the token now", address=address, user=name))
    if remote := _data_remote(address):
        tell(text("the DVC remote of this working copy is %(url)s", url=remote))
    elif Path(".dvc").is_dir():
        tell(text("no git remote here leads to that server yet; to set up DVC's remote, add it and sign in again:"))
        echo(f"  git remote add refmill {address}/OWNER/NAME.git")


def _signed_in(address: str, user: str | None, *, password_stdin: bool) -> tuple[str, str]:
    """A user's name and token: those that git knows already, if they are still good, else of whom we ask."""
    if user is None and not password_stdin and (known := _known(address)):
        try:
            return _token(address, *known)
        except errors.Unauthorized:
            pass  # revoked or expired meanwhile
    name = user or click.prompt(say(text("User name")))
    if password_stdin:
        return _token(address, name, sys.stdin.readline().rstrip("\n"))
    return _token(address, name, click.prompt(say(text("Password or token")), hide_input=True))


def _known(address: str) -> tuple[str, str] | None:
    """What git's credential helper has for the server; it is not to ask anybody."""
    parts = urlsplit(address)
    quiet = {"GIT_TERMINAL_PROMPT": "0", "GIT_ASKPASS": "true", "SSH_ASKPASS": "true"}
    done = subprocess.run(
        ["git", "credential", "fill"], input=f"protocol={parts.scheme}\nhost={parts.netloc}\n\n", text=True,
        capture_output=True, check=False, env=os.environ | quiet,
    )  # fmt: skip
    found = dict(line.partition("=")[::2] for line in done.stdout.splitlines())
    name, token = found.get("username", ""), found.get("password", "")
    return (name, token) if done.returncode == 0 and name and token.startswith("rfm_") else None


def _address(url: str) -> str:
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise errors.WrongUse(text("“%(url)s” is no address", url=url), text("Write it like http://localhost:8700."))
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"


def _token(address: str, name: str, secret: str) -> tuple[str, str]:
    """The user's name as the server spells it, and a token."""
    body = json.dumps({"username": name, "password": secret, "label": f"login from {os.uname().nodename}"}).encode()
    headers = {"Content-Type": "application/json", "Accept": "application/json"}
    request = urllib.request.Request(f"{address}/api/v1/login", body, headers)  # noqa: S310 - the scheme was checked
    try:
        with urllib.request.urlopen(request, timeout=ANSWER_SECONDS) as answer:  # noqa: S310
            found = json.load(answer)
        return str(found["username"]), str(found["token"])
    except urllib.error.HTTPError as error:
        if error.code == 401:
            raise errors.Unauthorized(text("wrong user name or password")) from error
        raise errors.Unavailable(text("%(address)s answered %(status)s", address=address, status=error.code)) from error
    except (OSError, ValueError, KeyError) as error:
        raise errors.Unavailable(
            text("%(address)s does not answer as a Refmill server: %(detail)s", address=address, detail=str(error)),
            text("Look at the address, and whether `refmill up` runs there."),
        ) from error


def _store_for_git(address: str, name: str, token: str) -> None:
    """Through git's own helper; where the user has none, in a file of ours that only they can read."""
    helper = subprocess.run(
        ["git", "config", "--get-urlmatch", "credential.helper", address], capture_output=True, text=True, check=False
    )
    if not helper.stdout.strip():
        folder = Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config") / "refmill"
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        store = f"store --file={_quoted(folder / 'git-credentials')}"
        subprocess.run(["git", "config", "--global", f"credential.{address}.helper", store], check=True)
    parts = urlsplit(address)
    told = f"protocol={parts.scheme}\nhost={parts.netloc}\nusername={name}\npassword={token}\n\n"
    subprocess.run(["git", "credential", "approve"], input=told, text=True, check=True)


def _quoted(path: Path) -> str:
    """A path as git's configuration takes it within a helper's arguments, which a shell reads."""
    return "'" + str(path).replace("'", "'\\''") + "'"


def _store_for_dvc(netrc: Path, host: str, name: str, token: str) -> None:
    """One `machine` entry, in place of an older one for the same host; everything else in the file stays as it is."""
    old = netrc.read_text(encoding="utf-8") if netrc.exists() else ""
    entry = re.compile(
        rf"^[ \t]*machine\s+{re.escape(host)}\s+(?:(?!machine\s|default\b|macdef\s)\S+\s+\S+\s*)*", re.MULTILINE
    )
    kept = entry.sub("", old)
    line = f"machine {host} login {name} password {token}\n"
    new = netrc.with_name(netrc.name + ".refmill-new")
    descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        # Ours comes first: a `default` entry ends the search of whoever reads the file.
        file.write(line + kept)
    new.replace(netrc)


def _data_remote(address: str) -> str | None:
    """Point DVC at this repository's data remote, if the repository here comes from that server."""
    listed = subprocess.run(["git", "remote", "-v"], capture_output=True, text=True, check=False).stdout
    for url in re.findall(r"\s(\S+)\s\(push\)", listed):
        if url.startswith(f"{address}/") and Path(".dvc").is_dir():
            remote = f"{url.removesuffix('/').removesuffix('.git')}.dvc"
            dvc = Path(sys.executable).with_name("dvc")
            subprocess.run(
                [str(dvc), "remote", "add", "--quiet", "--local", "--force", "--default", "refmill", remote], check=True
            )
            return remote
    return None
