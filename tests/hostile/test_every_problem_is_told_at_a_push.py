"""Each kind of problem of docs/problems.md, really pushed: git's answer says what the page says, in both languages."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import examples
import pytest
from commits import Repository

from platforms import Platform
from refmill.clients.resolver import SocketResolver
from refmill.ports.resolver import Source

ROOT = Path(__file__).resolve().parents[2]
PAGES = {"en": "problems.md", "zh": "problems.zh-CN.md"}
PUSHERS = {"en": "alice", "zh": "mei"}


def rows(language: str) -> dict[str, list[str]]:
    """The cells of a page by kind: what is wrong, example, remedy."""
    page = (ROOT / "docs" / PAGES[language]).read_text(encoding="utf-8")
    cells = [line.strip("|").split(" | ") for line in page.splitlines() if line.startswith("| `")]
    return {kind.strip(" `"): [cell.strip().replace("\\\\", "\\") for cell in others] for kind, *others in cells}


TABLES = {language: rows(language) for language in PAGES}


KUBECONFIG = """\
apiVersion: v1
kind: Config
current-context: away
contexts: [{name: away, context: {cluster: away, user: away}}]
clusters: [{name: away, cluster: {server: "http://127.0.0.1:9"}}]
users: [{name: away, user: {token: x}}]
"""


@pytest.fixture(scope="session")
def pushers(platform: Platform) -> Platform:
    """The platform, with a user for each language."""
    return with_pushers(platform)


@pytest.fixture(scope="session")
def with_containers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    """One whose projects may choose a cluster, which is away just now, with the same users."""
    folder = tmp_path_factory.mktemp("containers")
    (folder / "kubeconfig").write_text(KUBECONFIG)
    running = Platform(folder / "data").choose({"engines": "argo", "kubeconfig": str(folder / "kubeconfig")}).start()
    running.user("alice", "--admin")
    yield with_pushers(running)
    running.stop()


def with_pushers(platform: Platform) -> Platform:
    platform.user("mei")
    platform.chooses("mei", "zh")
    return platform


def test_every_kind_has_an_example() -> None:
    assert set(examples.EXAMPLES) | examples.NOT_PUSHED == set(TABLES["en"]) == set(TABLES["zh"])
    told = {"en": "no push can bring", "zh": "推送不会带来"}
    for language, words in told.items():
        assert {kind for kind, row in TABLES[language].items() if words in row[0]} == examples.NOT_PUSHED


@pytest.mark.parametrize("language", PAGES)
@pytest.mark.parametrize("kind", sorted(examples.EXAMPLES))
def test_a_problem_is_told_at_a_push(
    kind: str, language: str, name: str, repository: Repository, request: pytest.FixtureRequest
) -> None:
    platform = request.getfixturevalue("with_containers" if kind in examples.IN_CONTAINERS else "pushers")
    commit = repository.commit(examples.files(kind))
    found = SocketResolver(platform.data / "run/resolver.sock").check(Source(repository.path, commit))
    assert kind in examples.AT_THE_GATE or kind in [problem.kind for problem in found.problems]
    user = PUSHERS[language]
    done = subprocess.run(
        ["git", "push", platform.url(f"{user}/{name}", user), f"{commit}:refs/heads/main"], cwd=repository.path,
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    said = " ".join(re.sub(r"^remote: ?", "", line).strip() for line in done.stderr.splitlines())
    what, message, remedy = TABLES[language][kind]
    warning = what.startswith(("*Warning.*", "*警告。*"))
    assert (done.returncode == 0) is warning, said
    assert message in said
    assert remedy in said
