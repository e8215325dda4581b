"""Attacks that no generator makes: each by itself, on the platform that everybody else goes on using."""

from __future__ import annotations

import contextlib
import socket
import subprocess
import threading
from pathlib import Path

import pytest
from commits import FILE, LINK, SUBMODULE, Files, Repository
from raw import connection, push, pushed
from watching import Watch

from packs import BLOB, COMMIT, REF_DELTA, TREE, ZERO, bomb, line, named, pack, packed, varint
from platforms import Platform
from refmill_repos import writers


def test_a_delta_that_means_gigabytes_is_refused(watched: Watch, platform: Platform, name: str) -> None:
    base = b"\0" * (1 << 16)
    delta = varint(len(base)) + varint(len(base) * 49_152) + b"\x80" * 49_152  # three gibibytes in some hundred bytes
    body = b"tree %s\nauthor a <a> 0 +0000\ncommitter a <a> 0 +0000\n\nx\n" % named(b"tree", b"").hex().encode()
    objects = [
        packed(BLOB, base), packed(REF_DELTA, delta, base=named(b"blob", base)), packed(TREE, b""), packed(COMMIT, body),
    ]  # fmt: skip
    told = f"{ZERO} {named(b'commit', body).hex()} refs/heads/main\0 report-status".encode()
    sent = line(told) + b"0000" + pack(objects)
    assert len(sent) < 2000
    said = pushed(platform, name, [sent], len(sent))
    assert b"unpack ok" not in said
    assert b"ng refs/heads/main" in said, said
    watched.check(name)


@pytest.mark.full
@pytest.mark.timeout(900)
@pytest.mark.parametrize(
    ("kind", "count", "told"),
    [(BLOB, 50, b"git took longer than"), (BLOB, 2000, b"git took longer than"), (COMMIT, 50, b"Out of memory")],
)
def test_many_deltas_that_mean_gigabytes_are_given_up(
    watched: Watch, platform: Platform, name: str, kind: int, count: int, told: bytes
) -> None:
    sent, said = bomb(kind, count, 900 << 20), list[bytes]()
    assert len(sent) < 1 << 20
    pushing = threading.Thread(target=lambda: said.append(pushed(platform, name, [sent], len(sent), timeout=600)))
    pushing.start()
    while pushing.is_alive():
        watched.check(name)
        pushing.join(5)
    assert told in said[0]
    assert not [left for place in (platform.data / "repos").glob("*.git") for left in writers.left(place)]


@pytest.mark.parametrize(
    "ref",
    [
        b"refs/heads/a..b",
        b"refs/heads/../../x",
        b"refs/heads/a\nb",
        b"refs/heads/a\n%s %s refs/heads/b" % (b"0" * 40, b"1" * 40),
    ],
)
def test_a_push_by_hand_to_a_name_that_git_would_not_send_is_refused(
    watched: Watch, platform: Platform, name: str, ref: bytes
) -> None:
    sent = bomb(BLOB, 0, 0, ref=ref)
    said = pushed(platform, name, [sent], len(sent))
    assert b"pre-receive hook declined" in said, said
    assert heads_of(platform, name) == ""


def test_a_name_in_a_push_ends_with_its_nul_for_everybody(watched: Watch, platform: Platform, name: str) -> None:
    sent = bomb(BLOB, 0, 0, ref=b"refs/heads/a\0/../../x")
    pushed(platform, name, [sent], len(sent))
    assert [line.split()[1] for line in heads_of(platform, name).splitlines()] == ["refs/heads/a"]


def heads_of(platform: Platform, name: str) -> str:
    """What `git ls-remote` says."""
    command = ["git", "ls-remote", "--heads", platform.url(f"alice/{name}", "alice")]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


@pytest.mark.parametrize(
    ("path", "told"), [(b"../x", "hasDotdot"), (b".git/hooks/x", "hasDotgit"), (b"d/./x", "hasDot")]
)
def test_a_tree_that_leads_out_of_itself_is_refused(
    watched: Watch, platform: Platform, name: str, repository: Repository, path: bytes, told: str
) -> None:
    said = push(platform, name, repository, {path: (FILE, b"x")})
    assert "unpacker error" in said
    assert told in said
    assert heads_of(platform, name) == ""


@pytest.mark.parametrize("size", [32 << 20, pytest.param(1 << 30, marks=pytest.mark.full)])
def test_a_parameter_file_of_a_gigabyte_is_refused(
    watched: Watch, platform: Platform, name: str, tmp_path: Path, size: int
) -> None:
    work = tmp_path / "work"
    work.mkdir()
    (work / "dvc.yaml").write_text("stages:\n  a: {cmd: x, params: [lr]}\n")
    with (work / "params.yaml").open("wb") as file:
        file.truncate(size)
    git = ["git", "-c", "core.compression=1", "-c", "core.bigFileThreshold=1m"]
    for words in (["init", "--quiet"], ["add", "."], ["commit", "--quiet", "--message", "huge"]):
        subprocess.run([*git, *words], cwd=work, check=True)
    command = [*git, "push", platform.url(f"alice/{name}", "alice"), "HEAD:refs/heads/main"]
    done = subprocess.run(command, cwd=work, capture_output=True, text=True, check=False, timeout=110)
    assert f"params.yaml has {size} bytes; at most 8388608 are read" in done.stderr


@pytest.mark.parametrize(
    ("files", "told"),
    [
        (
            {b"x.dvc": (FILE, b"outs:\n- {path: /etc/passwd, md5: d41d8cd98f00b204e9800998ecf8427e, hash: md5}\n")},
            "/etc/passwd",
        ),
        ({b"x.dvc": (FILE, b"deps:\n- {path: 'file:///etc/passwd'}\nouts:\n- {path: x, hash: md5}\n")}, "x.dvc"),
        (
            {b"link": (LINK, b"/etc"), b"dvc.yaml": (FILE, b"stages:\n  a: {cmd: x, deps: [link/passwd]}\n")},
            "leads out of the project",
        ),
        (
            {b"sub": (SUBMODULE, b"1" * 20), b"dvc.yaml": (FILE, b"stages:\n  a: {cmd: x, deps: [sub]}\n")},
            "is a submodule",
        ),
    ],
    ids=["/etc", "file://", "a link out of the tree", "a submodule"],
)
def test_what_leads_out_of_the_repository_is_refused(
    watched: Watch, platform: Platform, name: str, repository: Repository, files: Files, told: str
) -> None:
    said = push(platform, name, repository, files)
    assert "pre-receive hook declined" in said
    assert told in said


@pytest.mark.parametrize(
    ("called", "path", "url", "told"),
    [
        ("../../hooks", "sub", "https://example.org/x", "disallowed submodule name"),
        ("sub", "-x", "https://example.org/x", "disallowed submodule path"),
        ("sub", "sub", "-u./payload", "disallowed submodule url"),
    ],
)
def test_a_submodule_that_means_harm_is_refused(
    watched: Watch, platform: Platform, name: str, repository: Repository, called: str, path: str, url: str, told: str
) -> None:
    modules = f'[submodule "{called}"]\n\tpath = {path}\n\turl = {url}\n'.encode()
    said = push(platform, name, repository, {b".gitmodules": (FILE, modules), b"sub": (SUBMODULE, b"1" * 20)})
    assert "unpacker error" in said
    assert told in said


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:{port}/x.git", "file:///etc", "ssh://localhost/x", "/etc", "http://[::1]:{port}/x"]
)
def test_an_import_from_an_internal_address_asks_nobody(
    watched: Watch, platform: Platform, name: str, repository: Repository, url: str
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as inside:
        inside.settimeout(0.5)
        where = url.format(port=inside.getsockname()[1])
        body = f"deps:\n- {{path: d, repo: {{url: '{where}', rev_lock: {'a' * 40}}}}}\nouts:\n- {{path: x, md5: {'b' * 32}, hash: md5}}\n"
        stage = b"stages:\n  a: {cmd: 'true', deps: [x]}\n"
        push(platform, name, repository, {b"x.dvc": (FILE, body.encode()), b"dvc.yaml": (FILE, stage)})
        watched.settled(name)
        with pytest.raises(TimeoutError):
            inside.accept()


def test_names_that_look_alike_stay_two_files(
    watched: Watch, platform: Platform, name: str, repository: Repository
) -> None:
    files: Files = {
        "d/caf\u00e9".encode(): (FILE, b"one\n"), "d/cafe\u0301".encode(): (FILE, b"two\n"),
        b"dvc.yaml": (FILE, b"stages:\n  a: {cmd: ls d | wc -l | grep 2, deps: [d]}\n"),
    }  # fmt: skip
    push(platform, name, repository, files)
    assert platform.ended(f"alice/{name}")["status"] == "succeeded"


def test_half_requests_keep_nobody_out(watched: Watch, platform: Platform) -> None:
    clients = [connection(platform) for _ in range(300)]
    try:
        for number, client in enumerate(clients):
            client.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\nX-Slow: " if number % 2 else b"G")
        watched.check("three hundred half requests")
        clients[0].sendall(b"ET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        assert clients[0].recv(100).startswith(b"HTTP/1.1 200"), "a slow one is answered all the same"
        clients[1].settimeout(30)
        with contextlib.suppress(ConnectionResetError):
            assert clients[1].recv(100).startswith(b"HTTP/1.1 408 "), "one that never comes to its end is let go"
    finally:
        for client in clients:
            client.close()
