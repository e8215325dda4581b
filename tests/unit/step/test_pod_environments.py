"""Python environments of pods: made once of wheels, kept by the server, taken by other pods. The index is a folder of
the commit."""

import shutil
import sys
from collections.abc import Iterator

import pytest

from fakes.pod_server import stage
from packages import package_index, wheel
from podding import FILES, Pod, archive

TRIES = "python -c 'import small; print(small.WORD)' > o; command -v smalltool; echo $VIRTUAL_ENV"


COMMIT = {
    **FILES, "wheels/small-1.0-py3-none-any.whl": wheel(), "requirements.txt": b"--no-index\n--find-links wheels\nsmall\n",
    "wrong.txt": b"--no-index\n--find-links wheels\nno-such-package\n",
}  # fmt: skip


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
def index() -> Iterator[str]:
    """A package index without TLS, with the one wheel."""
    with package_index() as address:
        yield address


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
