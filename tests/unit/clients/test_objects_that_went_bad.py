"""Objects whose bytes were changed, or that cannot be read: they are named, and never handed out."""

from pathlib import Path

import pytest

from refmill import errors
from refmill.clients.objects import DirectoryObjects


def spoiled(objects: DirectoryObjects, md5: str) -> Path:
    """Change the bytes of an object, as a faulty disk does, but for the time that the file tells."""
    path = objects.path(md5)
    path.chmod(0o644)
    path.write_bytes(b"wrong" + path.read_bytes()[5:])
    return path


@pytest.mark.parametrize("link", [False, True])
def test_wrong_bytes_are_not_handed_out(tmp_path: Path, *, link: bool) -> None:
    objects = DirectoryObjects(tmp_path / "store")
    md5 = objects.write(b"right bytes")
    objects.get(md5, tmp_path / "first", link=False)
    path = spoiled(objects, md5)
    with pytest.raises(errors.Damaged, match=md5) as caught:
        objects.get(md5, tmp_path / "copy", link=link)
    assert not (tmp_path / "copy").exists()
    assert str(path) in str(caught.value.remedy)
    path.unlink()
    objects.write(b"right bytes")
    objects.get(md5, tmp_path / "copy", link=link)
    assert (tmp_path / "copy").read_bytes() == b"right bytes"


def test_a_whole_object_is_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    objects = DirectoryObjects(tmp_path / "store")
    md5 = objects.write(b"right bytes")
    objects.get(md5, tmp_path / "first")
    read: list[Path] = []
    monkeypatch.setattr("refmill.formats.hashing.md5_file", read.append)
    objects.get(md5, tmp_path / "second")
    assert read == []


def test_an_object_that_cannot_be_read_is_named_with_a_remedy(tmp_path: Path) -> None:
    objects = DirectoryObjects(tmp_path / "store")
    md5 = objects.write(b"right bytes")
    objects.path(md5).unlink()
    objects.path(md5).mkdir()  # mode 000 would not stop root
    for use in (lambda: objects.get(md5, tmp_path / "copy"), lambda: objects.read(md5)):
        with pytest.raises(errors.Damaged, match="cannot be read") as caught:
            use()
        assert str(objects.path(md5)) in str(caught.value.remedy)
