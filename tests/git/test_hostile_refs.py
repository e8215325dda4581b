"""Names of refs that git would take and we do not."""

from pathlib import Path

import pytest

from fakes.git_hosting import Client, Hosting
from refmill_repos import names


@pytest.mark.parametrize(
    "ref",
    [
        "refs/heads/-x", "refs/heads/a/--upload-pack=id", "refs/heads/HEAD", "refs/heads/" + "a1" * 20,
        "refs/heads/a\u202eb", "refs/heads/" + "x" * 201,
    ],
)  # fmt: skip
def test_a_push_to_a_dangerous_name_is_refused(git: Client, hosting: Hosting, work: Path, ref: str) -> None:
    said = git("push", hosting.url("alice/churn"), f"main:{ref}", cwd=work, fails=True)
    assert "pre-receive hook declined" in said
    assert names.ref_fault(ref)
    assert hosting.listener.pushes == []
    assert not list((hosting.bare("alice/churn") / "refs").rglob("*x*"))


def test_a_name_that_is_no_utf_8_is_refused(git: Client, hosting: Hosting, work: Path) -> None:
    said = git("push", hosting.url("alice/churn"), "main:refs/heads/a\udcff", cwd=work, fails=True)
    assert "pre-receive hook declined" in said


@pytest.mark.parametrize(
    "ref",
    [
        "refs/heads/main", "refs/heads/feature/größer-#1", "refs/heads/模型", "refs/tags/v1.0+cu",
        "refs/exps/ab/cd/run-1", "refs/heads/a.b-c_d@e", "refs/heads/'; rm -rf $(x) `y`".replace(" ", ""),
    ],
)  # fmt: skip
def test_names_that_people_use_are_taken(git: Client, hosting: Hosting, work: Path, ref: str) -> None:
    git("push", "-q", hosting.url("alice/churn"), f"main:{ref}", cwd=work)
    assert hosting.listener.pushes[0].updates[0].ref == ref


@pytest.mark.parametrize(
    "ref",
    ["main", "refs/heads", "refs/heads/", "refs/heads/a..b", "refs/heads/.a", "refs/heads/a.lock", "refs/heads/a b",
     "refs/heads/a\n", "refs/heads/a~1", "refs/heads/@{x", "refs//heads/a", "refs/../heads/a", "refs/heads/a\udcff"],
)  # fmt: skip
def test_names_that_git_refuses_are_refused(ref: str) -> None:
    assert names.ref_fault(ref)
