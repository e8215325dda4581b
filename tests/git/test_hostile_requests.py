"""Requests that no git client sends: nothing leaves its place, becomes an option, or brings the server down."""

import gzip
import http.client
from pathlib import Path

import pytest

from fakes.git_gate import basic
from fakes.git_hosting import Client, Hosting
from refmill_repos.smart_http import GitHTTP

UPLOAD = "application/x-git-upload-pack-request"
RECEIVE = "application/x-git-receive-pack-request"


@pytest.fixture
def sha(git: Client, hosting: Hosting, work: Path) -> str:
    git("push", "-q", hosting.url("alice/churn"), "main", cwd=work)
    return git("rev-parse", "HEAD", cwd=work).strip()


def ask(hosting: Hosting, method: str, path: str, body: bytes | None = None, **headers: str) -> tuple[int, bytes]:
    """One request as alice; header names with _ for -."""
    connection = http.client.HTTPConnection("127.0.0.1", hosting.port, timeout=20)
    sent = {name.replace("_", "-"): value for name, value in headers.items()} | {"Authorization": basic("alice")}
    connection.request(method, path, body, sent)
    answer = connection.getresponse()
    try:
        return answer.status, answer.read()
    finally:
        connection.close()


@pytest.mark.parametrize(
    "path",
    [
        "/alice/..%2f..%2fchurn.git/info/refs?service=git-upload-pack",
        "/alice/../churn.git/info/refs?service=git-upload-pack",
        "/..%2falice/churn.git/info/refs?service=git-upload-pack",
        "/alice/churn.git/../churn.git/info/refs?service=git-upload-pack",
        "/--upload-pack=id/churn.git/info/refs?service=git-upload-pack",
        "/alice/-churn.git/info/refs?service=git-upload-pack",
        "/alice/churn%00.git/info/refs?service=git-upload-pack",
        "/alice/churn%0a.git/info/refs?service=git-upload-pack",
        "/alice/%ff%fe.git/info/refs?service=git-upload-pack",
        "/alice/churn.git/HEAD",
        "/alice/churn.git/objects/info/packs",
        "/alice/churn.git/config",
        "/alice/churn.git/git-upload-archive",
        "/alice/churn.git",
    ],
)
def test_addresses_that_lead_nowhere(hosting: Hosting, sha: str, path: str) -> None:
    assert ask(hosting, "GET", path)[0] == 404


@pytest.mark.parametrize("query", ["", "?service=git-upload-archive", "?service=--help", "?service="])
def test_the_dumb_protocol_is_refused(hosting: Hosting, sha: str, query: str) -> None:
    status, words = ask(hosting, "GET", f"/alice/churn.git/info/refs{query}")
    assert status == 403
    assert b"smart HTTP" in words


def test_methods_and_types_are_checked(hosting: Hosting, sha: str) -> None:
    assert ask(hosting, "POST", "/alice/churn.git/info/refs?service=git-upload-pack", b"")[0] == 405
    assert ask(hosting, "GET", "/alice/churn.git/git-upload-pack")[0] == 405
    assert ask(hosting, "POST", "/alice/churn.git/git-receive-pack", b"0000", Content_Type="text/plain")[0] == 415
    status, _ = ask(
        hosting, "POST", "/alice/churn.git/git-upload-pack", b"", Content_Type=UPLOAD, Content_Encoding="br"
    )
    assert status == 400


@pytest.mark.parametrize("protocol", ["version=2", "version=2:evil=$(id)", "version=2\tx", "--help", "version=99"])
def test_the_protocol_header_is_taken_only_as_such(hosting: Hosting, sha: str, protocol: str) -> None:
    path = "/alice/churn.git/info/refs?service=git-upload-pack"
    status, body = ask(hosting, "GET", path, Git_Protocol=protocol)
    assert status == 200
    assert body.startswith(b"000eversion 2\n" if protocol == "version=2" else b"001e# service=git-upload-pack\n0000")


def _fetch(sha: str) -> bytes:
    def line(words: str) -> bytes:
        return f"{len(words) + 4:04x}{words}".encode()

    return line("command=fetch") + b"0001" + line("no-progress") + line(f"want {sha}\n") + line("done\n") + b"0000"


def test_a_gzip_body_is_understood(hosting: Hosting, sha: str) -> None:
    status, pack = ask(
        hosting, "POST", "/alice/churn.git/git-upload-pack", gzip.compress(_fetch(sha)),
        Content_Type=UPLOAD, Content_Encoding="gzip", Git_Protocol="version=2",
    )  # fmt: skip
    assert status == 200
    assert b"PACK" in pack


@pytest.mark.parametrize("body", [b"no gzip at all", gzip.compress(_fetch("0" * 40))[:30]], ids=["none", "cut"])
def test_a_broken_gzip_body_fails_cleanly(hosting: Hosting, sha: str, body: bytes) -> None:
    status, _ = ask(
        hosting, "POST", "/alice/churn.git/git-upload-pack", body,
        Content_Type=UPLOAD, Content_Encoding="gzip", Git_Protocol="version=2",
    )  # fmt: skip
    assert status == 400


def test_a_chunked_body_is_understood(hosting: Hosting, sha: str) -> None:
    body = _fetch(sha)
    connection = http.client.HTTPConnection("127.0.0.1", hosting.port, timeout=20)
    headers = {"Content-Type": UPLOAD, "Git-Protocol": "version=2", "Authorization": basic("alice")}
    pieces = (body[start : start + 7] for start in range(0, len(body), 7))
    connection.request("POST", "/alice/churn.git/git-upload-pack", pieces, headers, encode_chunked=True)
    assert b"PACK" in connection.getresponse().read()
    connection.close()


def test_garbage_for_receive_pack_moves_nothing(git: Client, hosting: Hosting, sha: str) -> None:
    zero = "0" * 40
    for body in (b"zzzz", b"0000", f"0067{zero} {sha} refs/heads/x".encode(), b"\x00" * 100_000):
        ask(hosting, "POST", "/alice/churn.git/git-receive-pack", body, Content_Type=RECEIVE)
    assert git("for-each-ref", "--format=%(refname)", cwd=hosting.bare("alice/churn")).split() == ["refs/heads/main"]
    assert len(hosting.listener.pushes) == 1


def test_only_its_own_addresses_are_handled() -> None:
    assert GitHTTP.handles("/alice/churn.git/info/refs")
    assert GitHTTP.handles("/alice/my.git.repo.git/git-upload-pack")
    assert GitHTTP.handles("/alice/churn/info/refs")
    assert not GitHTTP.handles("/alice/churn/runs/1")
    assert not GitHTTP.handles("/alice/churn.dvc/files/md5/aa/bb")
    assert not GitHTTP.handles("/healthz")
