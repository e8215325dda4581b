"""Outputs on their way into the store and back."""

from __future__ import annotations

from pathlib import Path

import pytest

from refmill.clients.objects import DirectoryObjects
from refmill.errors import Damaged, NotFound
from refmill.formats import directories
from refmill.plans.outputs import remove_output, restore_output, store_output


@pytest.fixture
def objects(tmp_path: Path) -> DirectoryObjects:
    return DirectoryObjects(tmp_path / "store")


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    root = tmp_path / "workspace"
    for path, content in {"out/a": "1", "out/b/c": "2", "out/b/same": "1", "file": "3"}.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(content)
    return root


@pytest.mark.parametrize("move", [False, True])
def test_a_directory_comes_back_as_it_was(objects: DirectoryObjects, workspace: Path, move: bool) -> None:
    before = directories.hash_directory(workspace / "out")
    found = store_output(workspace / "out", objects, move=move, inside=workspace)
    assert (found, found.nfiles, found.size) == (before.hash, 3, 3)
    assert store_output(workspace / "out", objects, move=move, inside=workspace) == found, "again, after a crash"
    for link in (False, True):
        target = workspace / f"deep/er/back-{link}"
        restore_output(found.item("x"), target, objects, link=link, inside=workspace)
        assert directories.hash_directory(target).listing == before.listing


def test_an_executable_file_comes_back_executable(objects: DirectoryObjects, workspace: Path) -> None:
    (workspace / "file").chmod(0o755)
    found = store_output(workspace / "file", objects)
    restore_output(found.item("x"), workspace / "again", objects, link=True)
    assert directories.hash_file(workspace / "again") == found
    assert found.isexec


def test_an_output_that_lives_in_git_is_stored_and_stays(objects: DirectoryObjects, workspace: Path) -> None:
    found = store_output(workspace / "file", objects, move=False)
    assert (workspace / "file").stat().st_nlink == 1
    assert objects.present([found.md5]) == {found.md5}


def test_what_a_link_leads_to_is_stored_and_never_taken(objects: DirectoryObjects, workspace: Path) -> None:
    (workspace / "out/link").symlink_to("../file")
    found = store_output(workspace / "out", objects, move=True, inside=workspace)
    assert (workspace / "file").stat().st_nlink == 1
    assert found.nfiles == 4


def test_nothing_and_too_much(objects: DirectoryObjects, workspace: Path, tmp_path: Path) -> None:
    with pytest.raises(NotFound):
        store_output(workspace / "absent", objects)
    (tmp_path / "secret").write_text("s")
    (workspace / "leak").symlink_to(tmp_path / "secret")
    with pytest.raises(Damaged):
        store_output(workspace / "leak", objects, inside=workspace)
    assert list(objects.names()) == []


def test_a_link_in_the_repository_does_not_move_an_output_outside(
    objects: DirectoryObjects, workspace: Path, tmp_path: Path
) -> None:
    found = store_output(workspace / "file", objects)
    (tmp_path / "elsewhere").mkdir()
    (workspace / "data").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(Damaged):
        restore_output(found.item("x"), workspace / "data/x", objects, inside=workspace)
    assert list((tmp_path / "elsewhere").iterdir()) == []


def test_taking_away(workspace: Path) -> None:
    (workspace / "out/b").chmod(0o500)
    (workspace / "out").chmod(0o500)
    (workspace / "link").symlink_to("file")
    for name in ("out", "link", "absent"):
        remove_output(workspace / name)
    assert [path.name for path in workspace.iterdir()] == ["file"]
