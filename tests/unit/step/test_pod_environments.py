"""Python environments of pods: made once of wheels, kept by the server, taken by other pods. The index is a folder of
the commit."""

import base64
import functools
import hashlib
import http.server
import io
import shutil
import sys
import threading
import zipfile
from collections.abc import Iterator

import pytest

from fakes.pod_server import stage
from podding import FILES, Pod, archive

TRIES = "python -c 'import small; print(small.WORD)' > o; command -v smalltool; echo $VIRTUAL_ENV"


def wheel() -> bytes:
    """A package of one module and one program."""
    files = {
        "small.py": b"WORD = 'wheels'\ndef main(): print(WORD)\n",
        "small-1.0.dist-info/METADATA": b"Metadata-Version: 2.1\nName: small\nVersion: 1.0\n",
        "small-1.0.dist-info/WHEEL": b"Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        "small-1.0.dist-info/entry_points.txt": b"[console_scripts]\nsmalltool = small:main\n",
    }
    record = "".join(
        f"{name},sha256={base64.urlsafe_b64encode(hashlib.sha256(data).digest()).decode().rstrip('=')},{len(data)}\n"
        for name, data in files.items()
    )
    files["small-1.0.dist-info/RECORD"] = (record + "small-1.0.dist-info/RECORD,,\n").encode()
    whole = io.BytesIO()
    with zipfile.ZipFile(whole, "w") as packed:
        for name, data in files.items():
            packed.writestr(name, data)
    return whole.getvalue()


COMMIT = {
    **FILES, "wheels/small-1.0-py3-none-any.whl": wheel(), "requirements.txt": b"--no-index\n--find-links wheels\nsmall\n",
    "wrong.txt": b"--no-index\n--find-links wheels\nno-such-package\n",
}  # fmt: skip


@pytest.fixture(params=["uv", "pip"])
def path(request: pytest.FixtureRequest, tmp_path) -> str:
    """A PATH with `uv`, or without it."""
    if request.param == "pip":
        return "/usr/bin:/bin"
    programs = tmp_path / "programs"
    programs.mkdir()
    (programs / "uv").symlink_to(shutil.which("uv", path=f"{sys.prefix}/bin"))
    return f"{programs}:/usr/bin:/bin"


def test_an_environment_is_made_once_and_taken_by_the_next_pod(pod: Pod, serve, path: str) -> None:
    python = sys.executable
    server = serve(
        stage("s", TRIES, requirements="requirements.txt", environment="ab" * 32, outs=["o"]),
        stage("t", "smalltool", requirements="requirements.txt", environment="ab" * 32),
        commit=archive(COMMIT),
    )
    assert pod.run(server, python=python, PATH=path) == 0, pod.said
    assert server.objects[server.made["o"]["md5"]] == b"wheels\n"
    place = pod.base / ".refmill/env"
    (name,) = [item.name for item in place.iterdir()]
    assert list(server.environments) == [name]
    assert server.log().split("\n")[1:] == [f"{place}/{name}/bin/smalltool", f"{place}/{name}"]
    assert pod.said.count("making the environment") == 1
    server.done = [False, False]
    server.attempts = [[], []]
    shutil.rmtree(pod.base)  # the next pod has its volume at the same place
    pod.base.mkdir()
    assert pod.run(server, python=python, PATH=path, same=True) == 0, pod.said
    assert pod.said.count("making the environment") == 1
    assert server.log(1) == "$ smalltool\nwheels"


@pytest.fixture
def index(tmp_path) -> Iterator[str]:
    """A package index without TLS, with the one wheel."""
    folder = tmp_path / "index/simple/small"
    folder.mkdir(parents=True)
    (folder / "small-1.0-py3-none-any.whl").write_bytes(COMMIT["wheels/small-1.0-py3-none-any.whl"])
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=str(tmp_path / "index"))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/simple/"
    server.shutdown()
    server.server_close()


def test_packages_come_from_the_index_that_the_platform_names(pod: Pod, serve, path: str, index: str) -> None:
    server = serve(
        stage("s", "smalltool", requirements="plain.txt", environment="ef" * 32),
        commit=archive(FILES | {"plain.txt": b"small\n"}),
    )
    server.extra = {"index": index}
    others = {"UV_DEFAULT_INDEX": "https://127.0.0.1:9/", "PIP_INDEX_URL": "https://127.0.0.1:9/"}
    assert pod.run(server, PATH=path, **others) == 0, pod.said
    assert server.log() == "$ smalltool\nwheels"


def test_an_environment_that_cannot_be_made_is_told_in_its_own_words(pod: Pod, serve, path: str) -> None:
    server = serve(stage("s", "true", requirements="wrong.txt", environment="cd" * 32), commit=archive(COMMIT))
    assert pod.run(server, PATH=path) == 1
    assert [(end["reason"], "no-such-package" in end["detail"]) for end in server.ends()] == [("environment", True)]
    assert server.environments == {}


def test_a_kept_environment_that_is_damaged_is_made_anew(pod: Pod, serve) -> None:
    server = serve(
        stage("s", "smalltool", requirements="requirements.txt", environment="ab" * 32), commit=archive(COMMIT)
    )
    assert pod.run(server, PATH="/usr/bin:/bin") == 0, pod.said
    for name in server.environments:
        server.environments[name] = server.environments[name][:-9]
    server.done, server.attempts = [False], [[]]
    shutil.rmtree(pod.base)
    pod.base.mkdir()
    assert pod.run(server, PATH="/usr/bin:/bin", same=True) == 0, pod.said
    assert "is not fetched" in pod.said


@pytest.mark.parametrize("named", ["no.txt", "../../secret.txt", "link.txt"])
def test_requirements_outside_of_the_commit_are_refused(pod: Pod, serve, tmp_path, named: str) -> None:
    (tmp_path / "secret.txt").write_text("small")
    commit = tmp_path / "commit"
    commit.mkdir()
    (commit / "link.txt").symlink_to(tmp_path / "secret.txt")
    server = serve(stage("s", "true", requirements=named), commit=archive(folder=commit))
    assert pod.run(server) == 1
    assert [(end["reason"], named in end["detail"]) for end in server.ends()] == [("environment", True)]


def test_a_server_that_does_not_keep_environments_does_no_harm(pod: Pod, serve) -> None:
    server = serve(
        stage("s", "smalltool", requirements="requirements.txt", environment="ab" * 32), commit=archive(COMMIT)
    )
    server.fault("PUT .*environments", "404", 9)
    assert pod.run(server, PATH="/usr/bin:/bin") == 0, pod.said
    assert "the environment is not kept" in pod.said
