"""What a standby answers at its address."""

import json
import socket
import subprocess
import time
from collections.abc import Iterator

import pytest
import requests

from refmill_web.processes import doorkeeper
from refmill_web.processes.doorkeeper import Doorkeeper


@pytest.fixture
def address() -> Iterator[str]:
    with socket.create_server(("127.0.0.1", 0)) as listener, Doorkeeper(listener, 15.0):
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"


def test_it_lives_and_is_not_ready(address: str) -> None:
    alive, ready = (requests.get(f"{address}{path}", timeout=20) for path in ("/healthz", "/readyz?from=here"))
    assert (alive.status_code, json.loads(alive.text)["status"]) == (200, "ok")
    assert (ready.status_code, json.loads(ready.text)["status"]) == (503, "unready")


@pytest.mark.parametrize("path", ["/", "/ada/churn.git/info/refs?service=git-receive-pack", "/healthz/", "/metrics"])
def test_everything_else_is_told_to_come_again_and_why(address: str, path: str) -> None:
    for method in ("GET", "POST", "PUT", "HEAD"):
        told = requests.request(method, f"{address}{path}", data=b"x" * 100_000, timeout=20)
        assert (told.status_code, told.headers["Retry-After"]) == (503, "15")
        assert told.headers["Content-Type"] == "text/plain; charset=utf-8"
        assert ("standby" in told.text and "备用" in told.text) == (method != "HEAD")


def test_a_browser_has_a_page_in_both_languages(address: str) -> None:
    page = requests.get(f"{address}/ada", headers={"Accept": "text/html,*/*"}, timeout=20)
    assert page.status_code == 503
    assert page.headers["Content-Type"] == "text/html; charset=utf-8"
    assert '<p lang="en">This server is a standby' in page.text
    assert '<p lang="zh">这是一台备用服务器' in page.text


def test_git_shows_the_words(address: str) -> None:
    done = subprocess.run(["git", "ls-remote", f"{address}/a/b.git"], capture_output=True, text=True, check=False)
    assert "remote: This server is a standby" in done.stderr


def test_who_says_nothing_or_says_it_slowly_is_let_go_and_keeps_nobody_out(
    address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(doorkeeper, "PATIENCE", 1.0)
    port = int(address.rpartition(":")[2])
    slow = [socket.create_connection(("127.0.0.1", port)) for _ in range(doorkeeper.MOST)]
    for one in slow:
        one.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n")
    while True:
        try:
            assert requests.get(f"{address}/healthz", timeout=20).status_code == 200
            break
        except requests.ConnectionError:
            time.sleep(0.1)
    for one in slow:
        assert one.recv(100) == b""
        one.close()
