"""Downloads from addresses that other people chose, against a real server: what is taken, and what is refused."""

import http.server
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from refmill import errors
from refmill.clients import fetching
from serving import serving

DATA = b"some data" * 1000


class Handler(http.server.BaseHTTPRequestHandler):
    """Answers by path, and notes what it was asked."""

    asked: list[tuple[str, str | None]]

    def do_GET(self) -> None:
        self.asked.append((self.path, self.headers.get("Authorization")))
        port = self.server.server_address[1]
        places = {"/moved": "/data", "/away": f"http://localhost:{port}/data", "/loop": "/loop", "/file": "file:///etc/passwd",
                  "/nowhere": ""}  # fmt: skip
        if self.path.startswith("/to/"):
            places[self.path] = f"http://127.0.0.1:{self.path[4:]}/data"
        if self.path in places:
            self.send_response(302)
            self.send_header("Location", places[self.path])
            self.end_headers()
            return
        length = {"/data": len(DATA), "/short": len(DATA) + 1}.get(self.path)
        if length is None:
            self.send_error(int(self.path[1:]) if self.path[1:].isdigit() else 404)
            return
        self.send_response(200)
        self.send_header("Content-Length", str(length))
        self.end_headers()
        self.wfile.write(DATA)

    def log_message(self, *arguments: object) -> None:
        """Nothing."""


@pytest.fixture
def server() -> Iterator[str]:
    Handler.asked = []
    with serving(Handler) as address:
        yield address


def test_a_file_comes_whole_with_credentials_and_through_redirects(server: str, tmp_path: Path) -> None:
    for number, path in enumerate(("/data", "/moved")):
        fetching.download(
            server + path, tmp_path / str(number), limit=len(DATA), user="ann", password="x", private=True
        )
        assert (tmp_path / str(number)).read_bytes() == DATA
    assert Handler.asked[0] == ("/data", "Basic YW5uOng=")
    assert Handler.asked[-1] == ("/data", "Basic YW5uOng=")


def test_credentials_do_not_follow_to_another_host(server: str, tmp_path: Path) -> None:
    fetching.download(server + "/away", tmp_path / "x", limit=len(DATA), user="ann", password="x", private=True)
    assert Handler.asked == [("/away", "Basic YW5uOng="), ("/data", None)]


def test_credentials_do_not_follow_to_another_port(server: str, tmp_path: Path) -> None:
    with serving(Handler) as other:
        away = f"/to/{other.rpartition(':')[2]}"
        fetching.download(server + away, tmp_path / "x", limit=len(DATA), user="ann", password="x", private=True)
    assert Handler.asked == [(away, "Basic YW5uOng="), ("/data", None)]


@pytest.mark.parametrize(
    ("path", "kind", "words"),
    [
        ("/absent", errors.NotFound, "nothing at"),
        ("/500", errors.Unavailable, "500"),
        ("/401", errors.Forbidden, "401"),
        ("/loop", errors.Unavailable, "too many redirects"),
        ("/nowhere", errors.Unavailable, "nowhere"),
        ("/file", errors.Forbidden, "no address of http"),
        ("/short", errors.Unavailable, "broke off"),
    ],
)
def test_what_goes_wrong_is_told_and_leaves_nothing(
    server: str, tmp_path: Path, path: str, kind: type[errors.RefmillError], words: str
) -> None:
    with pytest.raises(kind, match=words):
        fetching.download(server + path, tmp_path / "x", limit=1 << 20, private=True)
    assert list(tmp_path.iterdir()) == []


def test_more_than_the_limit_is_refused(server: str, tmp_path: Path) -> None:
    with pytest.raises(errors.LimitExceeded):
        fetching.download(server + "/data", tmp_path / "x", limit=len(DATA) - 1, private=True)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1", "10.1.2.3", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1", "0.0.0.0", "224.0.0.1",
        "255.255.255.255", "::1", "::", "fe80::1", "fd00::1", "ff02::1", "::ffff:127.0.0.1", "::ffff:10.0.0.1",
        "64:ff9b::7f00:1", "2002:7f00:1::", "fe80::1%lo", "fec0::1",
    ],
)  # fmt: skip
def test_addresses_inside_the_network_are_not_asked(
    address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET

    def resolve(host: str, port: int, **options: object) -> list[tuple[object, ...]]:
        public = (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("93.184.215.14", port))
        return [public, (family, socket.SOCK_STREAM, 6, "", (address, port))]

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    with pytest.raises(errors.Forbidden, match="inside this network"):
        fetching.download("http://data.example.org/x", tmp_path / "x", limit=10)


def test_names_of_this_machine_and_redirects_to_it_are_not_followed(
    server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    port = server.rpartition(":")[2]
    for host in ("localhost", "127.0.0.1", "127.1", "2130706433", "0x7f000001"):
        with pytest.raises((errors.Forbidden, errors.Unavailable)):
            fetching.download(f"http://{host}:{port}/data", tmp_path / "x", limit=1 << 20)
    assert Handler.asked == []
    # The first host counts as public here; the one that it leads to does not.
    monkeypatch.setattr(fetching, "_is_public", lambda address: len(Handler.asked) == 0)
    with pytest.raises(errors.Forbidden):
        fetching.download(f"{server}/away", tmp_path / "x", limit=1 << 20)
    assert [path for path, _ in Handler.asked] == ["/away"]


def test_a_name_is_resolved_once_and_what_was_checked_is_connected_to(
    server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name, resolve, asked = "data.example.org", socket.getaddrinfo, list[str]()

    def rebound(host: str, *arguments: Any, **options: Any) -> Any:
        asked.append(host)
        if host == name:
            host = "127.0.0.1" if asked.count(name) == 1 else "127.0.0.2"
        return resolve(host, *arguments, **options)

    monkeypatch.setattr(socket, "getaddrinfo", rebound)
    url = f"http://{name}:{server.rpartition(':')[2]}/data"
    fetching.download(url, tmp_path / "x", limit=len(DATA), private=True)
    assert (tmp_path / "x").read_bytes() == DATA
    assert asked == [name, "127.0.0.1"]


def test_a_stop_breaks_it_off(server: str, tmp_path: Path) -> None:
    with pytest.raises(errors.Unavailable, match="stopping"):
        fetching.download(f"{server}/data", tmp_path / "x", limit=1 << 20, private=True, stopping=lambda: True)
    assert list(tmp_path.iterdir()) == []
