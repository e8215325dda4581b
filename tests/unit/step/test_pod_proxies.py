"""The operator's proxy in pods: packages and commands go through it, the runner never does, and its password is shown to
nobody. The index has a name that only the proxy finds."""

import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from cluster.certificates import Authority
from fakes.pod_server import stage
from packages import Proxy, http_proxy, package_index
from podding import FILES, Pod, archive
from refmill.step.pods import proxies

NAME = "packages.test"
PASSWORD = "pa:ss/w0rd"
SAID = "pa%3Ass%2Fw0rd"
DEAD = "http://127.0.0.1:9"
COMMIT = archive(
    FILES | {"plain.txt": b"small\n", "odd.txt": b"--index-url http://127.0.0.1:9/${HTTP_PROXY}/\nsmall\n"}
)


@pytest.fixture
def certificates(tmp_path: Path) -> Path:
    """An authority, and what it signs for the index."""
    made = Authority(tmp_path / "certificates")
    made.issue("index", common_name=NAME, names=[NAME])
    return made.folder


@pytest.fixture(params=["http", "https"])
def index(request: pytest.FixtureRequest, certificates: Path) -> Iterator[str]:
    """An index; with TLS the proxy joins two sockets (CONNECT), without it asks itself."""
    keys = (certificates / "index.crt", certificates / "index.key") if request.param == "https" else None
    with package_index(keys) as address:
        yield address.replace("127.0.0.1", NAME)


@pytest.fixture
def proxy() -> Iterator[Proxy]:
    """One that asks for a user and a password."""
    with http_proxy(f"mill:{PASSWORD}") as made:
        yield made


def told(proxy: Proxy, *direct: str, stages: bool = True, login: str = f"mill:{SAID}@") -> dict[str, Any]:
    """What the platform says of it."""
    return {"url": f"http://{login}127.0.0.1:{proxy.port}", "direct": ",".join(direct), "stages": stages}


def test_packages_come_through_the_proxy(
    pod: Pod, serve, path: str, index: str, proxy: Proxy, certificates: Path
) -> None:
    server = serve(stage("s", "smalltool", requirements="plain.txt", environment="ef" * 32), commit=COMMIT)
    server.extra = {"index": index, "proxy": told(proxy)}
    trusted = dict.fromkeys(("SSL_CERT_FILE", "PIP_CERT"), str(certificates / "ca.crt"))
    others = {"HTTPS_PROXY": DEAD, "https_proxy": DEAD, "http_proxy": DEAD, "PIP_PROXY": DEAD, "ALL_PROXY": DEAD}
    assert pod.run(server, PATH=path, **trusted, **others) == 0, pod.said
    assert server.log() == "$ smalltool\nwheels"
    port, how = urlsplit(index).port, "CONNECT " if index.startswith("https") else "GET http://"
    assert f"{how}{NAME}:{port}" in "\n".join(proxy.asked)
    assert all(f"{NAME}:{port}" in asked for asked in proxy.asked)  # nothing of the platform's


def test_what_is_to_be_reached_directly_is(pod: Pod, serve, path: str, proxy: Proxy) -> None:
    with package_index() as address:
        server = serve(stage("s", "smalltool", requirements="plain.txt", environment="ef" * 32), commit=COMMIT)
        server.extra = {"index": address, "proxy": told(proxy, "127.0.0.1")}
        assert pod.run(server, PATH=path, PIP_PROXY=DEAD) == 0, pod.said
    assert proxy.asked == []


@pytest.mark.parametrize("signed", [False, True], ids=["the platform's store", "addresses that a store signed"])
def test_the_runner_goes_through_no_proxy_whatever_the_image_says(pod: Pod, serve, signed: bool) -> None:
    words = "x" * 100_000  # too much to go along with the end
    server = serve(stage("s", f"printf %s {words} > o", outs=["o"]), signed=signed)
    image = {name: DEAD for each in (*proxies.THROUGH, "ALL_PROXY") for name in (each, each.lower())}
    assert pod.run(server, **image) == 0, pod.said
    assert server.objects[server.made["o"]["md5"]] == words.encode()


SHOWS = "env | grep -i _proxy= | sort"


def lines(log: str) -> dict[str, str]:
    return dict(line.split("=", 1) for line in log.split("\n")[1:])


@pytest.mark.parametrize("command", ["run", "without python"])
def test_commands_are_told_of_the_proxy_and_its_password_is_masked(pod: Pod, serve, proxy: Proxy, command: str) -> None:
    server = serve(stage("s", SHOWS))
    server.extra = {"proxy": told(proxy, "127.0.0.1", ".example.org")}
    log = carried_out(pod, server, command, HTTP_PROXY=DEAD)
    through = f"http://mill:***@127.0.0.1:{proxy.port}"
    shown = {"HTTP_PROXY": through, "HTTPS_PROXY": through, "NO_PROXY": "127.0.0.1,.example.org"}
    assert lines(log) == shown | {name.lower(): value for name, value in shown.items()}
    assert SAID not in pod.said
    assert PASSWORD not in pod.said


def carried_out(pod: Pod, server: Any, command: str, **image: str) -> str:
    """The log of a stage, in an image with Python or in one without."""
    if command == "run":
        assert pod.run(server, **image) == 0, pod.said
    else:
        assert pod.run(server, command="fetch", **image) == 0, pod.said
        environ = {"PATH": "/usr/bin:/bin", **image}
        subprocess.run(["/bin/sh", str(pod.base / ".refmill/main.sh")], env=environ, cwd="/", check=True)
        assert pod.run(server, command="store", same=True, **image) == 0, pod.said
    log: str = server.log()
    return log


def test_a_proxy_without_a_password_is_shown(pod: Pod, serve, proxy: Proxy) -> None:
    server = serve(stage("s", "echo $HTTPS_PROXY"))
    server.extra = {"proxy": told(proxy, login="")}
    assert pod.run(server) == 0, pod.said
    assert server.log().split("\n")[1] == f"http://127.0.0.1:{proxy.port}"


def test_where_stages_are_told_of_none_those_of_the_image_stay(pod: Pod, serve, path: str, proxy: Proxy) -> None:
    with package_index() as address:
        server = serve(
            stage("s", f"smalltool; {SHOWS}", requirements="plain.txt", environment="ef" * 32), commit=COMMIT
        )
        server.extra = {"index": address.replace("127.0.0.1", NAME), "proxy": told(proxy, stages=False)}
        assert pod.run(server, PATH=path, NO_PROXY="*") == 0, pod.said
    assert server.log().split("\n")[1:] == ["wheels", "NO_PROXY=*"]
    assert proxy.asked


def test_what_a_project_says_itself_wins_in_capitals_or_not(pod: Pod, serve, proxy: Proxy) -> None:
    server = serve(stage("s", SHOWS, env={"https_proxy": "http://own.test"}, secrets={"NO_PROXY": "hidden-one"}))
    server.extra = {"proxy": told(proxy, "127.0.0.1", login="")}
    assert pod.run(server) == 0, pod.said
    through = f"http://127.0.0.1:{proxy.port}"
    assert lines(server.log()) == {
        "HTTP_PROXY": through, "http_proxy": through, "https_proxy": "http://own.test", "NO_PROXY": "***",
    }  # fmt: skip


def test_an_environment_that_cannot_be_made_tells_no_password(pod: Pod, serve, path: str, proxy: Proxy) -> None:
    server = serve(stage("s", "true", requirements="odd.txt", environment="cd" * 32), commit=COMMIT)
    server.extra = {"proxy": told(proxy, "127.0.0.1")}
    assert pod.run(server, PATH=path) == 1
    ((reason, detail),) = [(end["reason"], end["detail"]) for end in server.ends()]
    assert reason == "environment"
    told_by = "127.0.0.1:9" if "programs" in path else "mill:***@"  # pip tells what follows the host, uv does not
    assert told_by in detail
    for words in (detail, pod.said):
        assert SAID not in words
        assert "w0rd" not in words
