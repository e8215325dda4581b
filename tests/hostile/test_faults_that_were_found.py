"""What generated files and requests once broke, each by its name."""

from __future__ import annotations

import socket
import subprocess
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from commits import FILE, LINK, Files, Repository
from pygit2.enums import ObjectType
from watching import Watch

from platforms import Platform
from refmill import errors
from refmill.clients import dvc_parsing
from refmill.ports.resolver import Checked
from refmill_repos import objects
from refmill_repos.refs import BareRefs
from refmill_repos.trees import GitTree

STAGE = (FILE, b"stages:\n  a: {cmd: 'true', deps: [src]}\n")


def read(repository: Repository, files: Files) -> Checked:
    return dvc_parsing.check(GitTree(repository.path, repository.commit(files)), max_stages=50)


def kinds(found: Checked) -> list[str]:
    return [problem.kind for problem in found.problems]


@pytest.mark.parametrize("name", [b"src", b"src/link"])
def test_a_link_longer_than_a_link_can_be_is_a_problem(repository: Repository, name: bytes) -> None:
    found = read(repository, {b"dvc.yaml": STAGE, name: (LINK, b"x" * 5000)})
    assert kinds(found) == ["unsupported"]


def test_folders_that_are_too_deep_are_a_problem(repository: Repository) -> None:
    found = read(repository, {b"dvc.yaml": STAGE, b"src/" + b"d/" * 300 + b"x": (FILE, b"x")})
    assert kinds(found) == ["too-much"]


def test_an_item_without_a_name_is_a_problem(repository: Repository) -> None:
    body = b"stages:\n  m: {matrix: {k: ['']}, cmd: 'true ${item.k}'}\n"
    assert kinds(read(repository, {b"dvc.yaml": (FILE, body)})) == ["bad-name"]


def test_a_dvcignore_that_cannot_be_read_is_read_once(repository: Repository) -> None:
    files: Files = {b"dvc.yaml": STAGE, b".dvcignore": (FILE, b"[z-a]\n")}
    files |= {b"src/%d" % number: (FILE, b"x") for number in range(200)}
    tree = Counting(repository.path, repository.commit(files))
    assert kinds(dvc_parsing.check(tree, max_stages=50)) == ["dvcignore"]
    assert tree.reads[".dvcignore"] == 1


class Counting(GitTree):
    """Counts what is read."""

    def __init__(self, path: Path, commit: str) -> None:
        super().__init__(path, commit)
        self.reads: dict[str, int] = {}

    def read(self, path: str, limit: int = 64 << 20) -> bytes:
        self.reads[path] = self.reads.get(path, 0) + 1
        return super().read(path, limit)


def test_a_folder_that_no_disk_can_hold_is_refused(repository: Repository) -> None:
    folder = b"n" * 300
    files: Files = {folder + b"/.gitattributes": (FILE, b"* ident\n"), folder + b"/x": (FILE, b"$Id$\n")}
    with pytest.raises(errors.LimitExceeded, match="too long a name"):
        GitTree(repository.path, repository.commit(files)).md5(f"{folder.decode()}/x")


def test_attributes_of_megabytes_are_refused(repository: Repository) -> None:
    files: Files = {b".gitattributes": (FILE, b"* ident\n" * 100_000), b"x": (FILE, b"x")}
    with pytest.raises(errors.LimitExceeded, match="800000 bytes"):
        GitTree(repository.path, repository.commit(files)).md5("x")


def test_a_directory_of_gigabytes_is_not_read(repository: Repository, monkeypatch: pytest.MonkeyPatch) -> None:
    commit = repository.commit({b"%d" % number: (FILE, b"x") for number in range(100)})
    monkeypatch.setattr(objects, "MAX_TREE", 2000)
    with pytest.raises(errors.LimitExceeded, match="at most 2000 are read"):
        GitTree(repository.path, commit).children("")
    with pytest.raises(errors.LimitExceeded, match="at most 2000 are read"):
        list(BareRefs(repository.path.parent).changed_paths("hostile", None, commit))


def test_a_commit_of_megabytes_stops_nobody_from_listing_branches(repository: Repository) -> None:
    honest = repository.commit({b"x": (FILE, b"x")})
    tree = subprocess.run(
        ["git", "rev-parse", f"{honest}^{{tree}}"], cwd=repository.path, capture_output=True, text=True, check=True
    ).stdout.strip()
    who = "Eve <eve@example.org> 1700000000 +0000"
    body = f"tree {tree}\nauthor {who}\ncommitter {who}\n\n".encode() + b"x" * (5 << 20)
    huge = repository.write(ObjectType.COMMIT, body)
    for branch, sha in (("huge", huge), ("main", honest)):
        subprocess.run(["git", "update-ref", f"refs/heads/{branch}", sha], cwd=repository.path, check=True)
    refs = BareRefs(repository.path.parent)
    assert refs.list("hostile") == {"refs/heads/main": honest}
    with pytest.raises(errors.LimitExceeded):
        refs.commit("hostile", huge)


def test_a_file_is_no_commit_and_is_not_read_to_find_out(repository: Repository) -> None:
    blob = repository.write(ObjectType.BLOB, b"x" * 100)
    with pytest.raises(errors.NotFound):
        BareRefs(repository.path.parent).commit("hostile", blob)


def test_what_cannot_be_planned_is_told_and_set_aside_at_once(
    watched: Watch, platform: Platform, name: str, repository: Repository
) -> None:
    files: Files = {
        b"dvc.yaml": (FILE, b"stages:\n  a: {cmd: 'true', deps: [src]}\n"),
        b"src/" + b"n" * 300 + b"/.gitattributes": (FILE, b"* ident\n"),
        b"src/" + b"n" * 300 + b"/x": (FILE, b"$Id$\n"),
    }
    url = platform.url(f"alice/{name}", "alice")
    command = ["git", "push", "--quiet", url, f"{repository.commit(files)}:refs/heads/main"]
    done = subprocess.run(command, cwd=repository.path, capture_output=True, text=True, check=True)
    watched.settled(name)
    told = platform.query(
        "SELECT answer FROM events JOIN repositories r ON r.id = repository_id WHERE r.name = ?", name
    )
    assert "too long a name for a folder" in told[0][0], done.stderr


def test_a_repository_with_attributes_of_megabytes_is_sound_to_git(
    watched: Watch, platform: Platform, name: str, repository: Repository
) -> None:
    files: Files = {
        b"dvc.yaml": (FILE, b"stages:\n  a: {cmd: 'true'}\n"),
        b".gitattributes": (FILE, b"# %s\n" % (b"x" * 60) * (17 << 14)),  # more than git reads at once here
        b".gitmodules": (FILE, b"# %s\n" % (b"y" * 60) * (17 << 14)),
    }
    url = platform.url(f"alice/{name}", "alice")
    # No run of it: git would miss the commit of a result that comes while it looks.
    command = ["git", "push", "--quiet", "-o", "refmill.skip", url, f"{repository.commit(files)}:refs/heads/main"]
    subprocess.run(command, cwd=repository.path, capture_output=True, check=True)
    ((stored,),) = platform.query("SELECT id FROM repositories WHERE name = ?", name)
    bare = platform.data / "repos" / f"{stored}.git"
    done = subprocess.run(["git", "fsck"], cwd=bare, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def ask(platform: Platform, data: bytes) -> bytes:
    where = urlsplit(platform.address)
    with socket.create_connection((where.hostname, where.port), timeout=20) as client:
        client.sendall(data)
        client.shutdown(socket.SHUT_WR)
        answer = b""
        while piece := client.recv(1 << 16):
            answer += piece
    return answer


FORM = b"Content-Type: application/x-www-form-urlencoded\r\n"
CHUNKED = b"POST /login HTTP/1.1\r\nHost: a\r\n" + FORM + b"Transfer-Encoding: chunked\r\n\r\n"
SHAKE = b"GET /ws/runs/x HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\n"


@pytest.mark.parametrize(
    "data",
    [
        b"GET /login HTTP/1.1\r\nConnection: close\r\nHost: " + b"x" * 100 + b"\r\n\r\n",
        CHUNKED + b"5\r\na=b&c\r\n-5\r\n\r\n",
        SHAKE + b"Connection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
        SHAKE + b"Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: x\r\n\r\n",
    ],
    ids=["a host that is none", "chunks of a negative size", "no version", "no key"],
)
def test_a_request_that_is_none_is_refused(watched: Watch, platform: Platform, data: bytes) -> None:
    assert ask(platform, data).startswith(b"HTTP/1.1 400 ")
