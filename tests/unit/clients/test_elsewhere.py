"""Objects fetched out of remotes over HTTP into a store: in their order, verified, each once."""

import json
import logging
from pathlib import Path

import pytest

from fetching_world import World
from refmill.clients.objects import DirectoryObjects
from refmill.formats.hashing import OLD, old_md5
from serving import Handler


def test_a_directory_comes_after_its_files_and_what_is_here_is_not_asked_for(
    served: tuple[Path, str], tmp_path: Path
) -> None:
    folder, url = served
    theirs, world = DirectoryObjects(folder), World(tmp_path)
    one, two = theirs.write(b"one"), theirs.write(b"two")
    listing = theirs.write(json.dumps([{"md5": two, "relpath": "b"}, {"md5": one, "relpath": "a"}]).encode(), ".dir")
    world.store.write(b"one")
    world.bring(url, listing)
    assert world.arrived == [listing]
    assert world.store.read(two) == b"two"
    assert [path.rpartition("/")[2] for path in Handler.asked] == [listing[2:], two[2:]]
    assert list((tmp_path / "scratch").iterdir()) == []


def test_a_listing_that_is_something_else_has_no_files_fetched(
    served: tuple[Path, str], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder, url = served
    theirs, world = DirectoryObjects(folder), World(tmp_path)
    one = theirs.write(b"one")
    listing = theirs.write(b"[]", ".dir")
    theirs.path(listing).chmod(0o644)
    theirs.path(listing).write_text(json.dumps([{"md5": one, "relpath": "a"}]))
    with caplog.at_level(logging.WARNING):
        world.bring(url, listing)
    assert "is something else" in caplog.text
    assert len(Handler.asked) == 1
    assert world.arrived == [] == list(world.store.names())


def test_a_directory_with_a_lacking_file_is_not_there_at_all(served: tuple[Path, str], tmp_path: Path) -> None:
    folder, url = served
    theirs, world = DirectoryObjects(folder), World(tmp_path)
    one = theirs.write(b"one")
    files = [{"md5": one, "relpath": "a"}, {"md5": "f" * 32, "relpath": "b"}]
    listing = theirs.write(json.dumps(files).encode(), ".dir")
    world.bring(url, listing)
    assert world.arrived == []
    assert list(world.store.names()) == [one]


def test_data_of_dvc_2_comes_from_its_own_place(served: tuple[Path, str], tmp_path: Path) -> None:
    folder, url = served
    source = tmp_path / "source"
    source.write_bytes(b"a\r\nb\r\n")
    old = OLD + old_md5(source)
    place = folder / old[4:6] / old[6:]
    place.parent.mkdir()
    place.write_bytes(source.read_bytes())
    world = World(tmp_path)
    world.bring(url, old)
    assert world.arrived == [old]
    assert world.store.read(old) == b"a\r\nb\r\n"


def test_the_next_remote_is_asked_where_one_has_it_not(served: tuple[Path, str], tmp_path: Path) -> None:
    folder, url = served
    world, one = World(tmp_path), DirectoryObjects(folder / "second").write(b"one")
    world.bring(f"{url}/first", one, more=f"['remote \"b\"']\nurl = {url}/second\n")
    assert world.arrived == [one]
    assert len(Handler.asked) == 2


def test_what_is_too_large_is_not_kept(served: tuple[Path, str], tmp_path: Path) -> None:
    folder, url = served
    world, one = World(tmp_path), DirectoryObjects(folder).write(b"x" * 1001)
    world.bring(url, one)
    assert world.arrived == [] == list(world.store.names())


@pytest.mark.parametrize("reach", ["off", "public", "own"])
def test_remotes_that_are_not_to_be_asked_are_not(served: tuple[Path, str], tmp_path: Path, reach: str) -> None:
    folder, url = served
    one = DirectoryObjects(folder / "a").write(b"one")
    world = World(tmp_path, own=url, reach="all") if reach == "own" else World(tmp_path, reach=reach)
    world.bring(f"{url}/a", one)
    assert Handler.asked == [] == world.arrived
    assert world.elsewhere.asks(f"['remote \"a\"']\nurl = {url}/a\n".encode()) == (
        [f"{url}/a"] if reach == "public" else []
    )
