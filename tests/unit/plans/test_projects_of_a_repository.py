"""Which project a file belongs to: the innermost around it, and for what lies in a .dvc also the one around that."""

import pytest

from refmill.plans import projects

ALL = ("", "a", "a/b", "c/d")


@pytest.mark.parametrize(
    ("path", "owner"),
    [("x", ""), ("c/x", ""), ("a/x", "a"), ("a/y/x", "a"), ("a/b/x", "a/b"), ("ab/x", ""), ("c/d/e/f", "c/d")],
)
def test_a_file_belongs_to_the_innermost_project(path: str, owner: str) -> None:
    assert projects.owner(path, ALL) == owner
    assert [project for project in ALL if projects.share([path], project, ALL)] == [owner]


def test_a_project_sees_its_files_from_its_own_root() -> None:
    paths = ["x", "a/dvc.yaml", "a/y/x", "a/b/dvc.yaml", "c/d/x"]
    assert projects.share(paths, "a", ALL) == {"dvc.yaml", "y/x"}
    assert projects.share(paths, "", ALL) == {"x"}


def test_a_dvc_folder_that_comes_or_goes_concerns_the_project_around_it() -> None:
    assert projects.share(["a/b/.dvc/config"], "a/b", ALL) == {".dvc/config"}
    assert projects.share(["a/b/.dvc/config"], "a", ALL) == {"b/.dvc/config"}
    assert projects.share(["a/b/.dvc/config"], "", ALL) == set()
    gone = ("", "a")
    assert projects.share(["a/b/.dvc/config"], "a", gone) == {"b/.dvc/config"}
    assert projects.share([".dvc/config"], "", ALL) == {".dvc/config"}
