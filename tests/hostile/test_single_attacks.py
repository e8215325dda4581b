"""Attacks that no generator makes: each by itself, on the platform that everybody else goes on using."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import socket
import subprocess
import zlib
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from commits import FILE, LINK, SUBMODULE, Files, Repository
from watching import Watch

from platforms import Platform

ZERO = "0" * 40
BLOB, COMMIT, TREE, REF_DELTA = 3, 1, 2, 7


def push(platform: Platform, name: str, repository: Repository, files: Files, *options: str) -> str:
    """Push a commit of these files; what git said."""
    command = [
        "git",
        "push",
        *options,
        platform.url(f"alice/{name}", "alice"),
        f"{repository.commit(files)}:refs/heads/main",
    ]
    done = subprocess.run(command, cwd=repository.path, capture_output=True, text=True, check=False, timeout=100)
    return done.stderr


def connection(platform: Platform) -> socket.socket:
    where = urlsplit(platform.address)
    return socket.create_connection((where.hostname, where.port), timeout=60)


def packed(kind: int, data: bytes, size: int | None = None, base: bytes = b"") -> bytes:
    """An object of a pack (gitformat-pack(5))."""
    size = len(data) if size is None else size
    head = [kind << 4 | size & 15]
    size >>= 4
    while size:
        head[-1] |= 128
        head.append(size & 127)
        size >>= 7
    return bytes(head) + base + zlib.compress(data, 9)


def varint(number: int) -> bytes:
    out = bytearray()
    while number > 127:
        out.append(number & 127 | 128)
        number >>= 7
    return bytes([*out, number])


def named(kind: bytes, data: bytes) -> bytes:
    return hashlib.sha1(b"%s %d\0%s" % (kind, len(data), data), usedforsecurity=False).digest()


def test_a_delta_that_means_gigabytes_is_refused(watched: Watch, platform: Platform, name: str) -> None:
    base = b"\0" * (1 << 16)
    delta = varint(len(base)) + varint(len(base) * 49_152) + b"\x80" * 49_152  # three gibibytes in some hundred bytes
    body = b"tree %s\nauthor a <a> 0 +0000\ncommitter a <a> 0 +0000\n\nx\n" % named(b"tree", b"").hex().encode()
    objects = [
        packed(BLOB, base), packed(REF_DELTA, delta, base=named(b"blob", base)), packed(TREE, b""), packed(COMMIT, body),
    ]  # fmt: skip
    pack = b"PACK\0\0\0\2" + len(objects).to_bytes(4, "big") + b"".join(objects)
    pack += hashlib.sha1(pack, usedforsecurity=False).digest()
    line = f"{ZERO} {named(b'commit', body).hex()} refs/heads/main\0 report-status".encode()
    sent = b"%04x%s0000%s" % (len(line) + 4, line, pack)
    assert len(sent) < 2000
    basic = base64.b64encode(f"alice:{platform.user('alice')}".encode()).decode()
    head = f"POST /alice/{name}.git/git-receive-pack HTTP/1.1\r\nHost: a\r\nConnection: close\r\nAuthorization: Basic {basic}\r\n"
    head += f"Content-Type: application/x-git-receive-pack-request\r\nContent-Length: {len(sent)}\r\n\r\n"
    with connection(platform) as client:
        client.sendall(head.encode() + sent)
        answer = b"".join(iter(lambda: client.recv(1 << 16), b""))
    assert b"unpack ok" not in answer
    assert b"ng refs/heads/main" in answer, answer
    watched.check(name)


def test_a_parameter_file_of_a_gigabyte_is_refused(
    watched: Watch, platform: Platform, name: str, tmp_path: Path
) -> None:
    work = tmp_path / "work"
    work.mkdir()
    (work / "dvc.yaml").write_text("stages:\n  a: {cmd: x, params: [lr]}\n")
    with (work / "params.yaml").open("wb") as file:
        file.truncate(1 << 30)
    git = ["git", "-c", "core.compression=1", "-c", "core.bigFileThreshold=1m"]
    for words in (["init", "--quiet"], ["add", "."], ["commit", "--quiet", "--message", "huge"]):
        subprocess.run([*git, *words], cwd=work, check=True)
    command = [*git, "push", platform.url(f"alice/{name}", "alice"), "HEAD:refs/heads/main"]
    done = subprocess.run(command, cwd=work, capture_output=True, text=True, check=False, timeout=110)
    assert "params.yaml has 1073741824 bytes; at most 8388608 are read" in done.stderr


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
            assert clients[1].recv(100) == b"", "one that never comes to its end is let go"
    finally:
        for client in clients:
            client.close()
