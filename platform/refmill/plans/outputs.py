"""Outputs of stages on their way into the object store and back.

The rule to keep: a directory's listing is stored after all its files, so that whoever sees the listing can have them.
"""

from __future__ import annotations

import os
import shutil
import stat
import tempfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from refmill.errors import Damaged, NotFound
from refmill.formats import directories, dvcignore
from refmill.formats.directories import Hasher
from refmill.formats.hashing import OLD, FileHash, former
from refmill.ports.objects import Objects
from refmill.texts import text


def store_output(
    path: Path, objects: Objects, *, move: bool = False, inside: Path | None = None,
    hasher: Hasher = directories.hash_file, root: str = "", ignores: dvcignore.Ignores = dvcignore.nothing,
    recorded: Mapping[str, Any] | None = None,
) -> FileHash:  # fmt: skip
    """Hash the file or directory `path` and store all of it.

    With `move` the files become the objects (see the port). An output that lives in git is stored too, because stages
    elsewhere read it, but must stay as it is. `inside` is the workspace that links must not leave; `root` is the
    output's path for `ignores`, what .dvcignore hides. What still has the hash that DVC 2 `recorded` for it keeps that.
    Raises NotFound if there is nothing at `path`, Damaged for links that lead out, sockets and devices, and for an
    output that is hidden.
    """
    if not os.path.lexists(path):
        raise NotFound(text("%(path)s does not exist", path=path.name))
    if ignores(root, is_directory=path.is_dir()):
        raise Damaged(text("a pattern in .dvcignore hides it from DVC"))
    if not path.is_dir():
        found = directories.as_recorded(path, hasher(path, inside=inside), recorded)
        objects.put(path, found.md5, move=move)
        return found
    directory = directories.hash_directory(path, inside=inside, hasher=hasher, root=root, ignores=ignores)
    if (old := directory.as_recorded(path, recorded)) is not None:
        objects.put_all({OLD + entry.md5: path / entry.relpath for entry in old.entries}, move=move)
        with tempfile.NamedTemporaryFile() as file:
            file.write(old.to_bytes())
            file.flush()
            objects.put(Path(file.name), OLD + old.name)
        return replace(directory.hash, md5=OLD + old.name)
    absent = {file.md5 for file in directory.files.values()}
    absent -= objects.present(absent)
    objects.put_all(
        {file.md5: path / relative for relative, file in directory.files.items() if file.md5 in absent}, move=move
    )
    objects.write(directory.listing.to_bytes(), ".dir")
    return directory.hash


def as_stored(found: FileHash, recorded: Mapping[str, Any] | None, objects: Objects) -> FileHash:
    """As `store_output` with `recorded`, for an output that is in the store already, as `found`."""
    name = former(recorded)
    if not name or name.endswith(".dir") != found.is_directory:
        return found
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder, "output")
        restore_output(found.item(target.name), target, objects)
        return replace(found, md5=store_output(target, objects, recorded=recorded).md5)


def restore_output(
    item: Mapping[str, Any], target: Path, objects: Objects, *, link: bool = False, inside: Path | None = None
) -> None:
    """Make `target` (which is not there yet) what `item` of a lock entry's `outs` or `deps` records; parents are made.

    With `link` files may be read-only hard links into the store. With `inside`, `target` must really lie below that
    directory, whatever links the repository holds. Raises NotFound if an object is missing, Damaged.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    if inside is not None and not Path(os.path.realpath(target.parent)).is_relative_to(os.path.realpath(inside)):
        raise Damaged(text("%(path)s would lie outside of the workspace", path=target.name))
    md5 = FileHash.of(item).md5
    if not md5.endswith(".dir"):
        objects.get(md5, target, link=link, executable=bool(item.get("isexec")))
        return
    listing = directories.parse(objects.read(md5), md5)
    objects.fetch(entry.md5 for entry in listing.entries)
    target.mkdir()
    made = {""}
    for entry in listing.entries:
        folder = entry.relpath.rpartition("/")[0]
        if folder not in made:
            (target / folder).mkdir(parents=True, exist_ok=True)
            made.add(folder)
        objects.get(entry.md5, target / entry.relpath, link=link)


def free_output(target: Path) -> None:
    """Make files that are links into a store files of their own, which a command may write into."""
    files = (
        [target]
        if not target.is_dir()
        else [Path(folder, name) for folder, _, names in os.walk(target) for name in names]
    )
    for path in files:
        if path.is_symlink() or (path.exists() and path.stat().st_nlink > 1):
            mode = path.stat().st_mode
            new = path.with_name(f".{path.name[:100]}.free.tmp")
            shutil.copyfile(path, new)
            new.chmod(stat.S_IMODE(mode) | stat.S_IWUSR)
            new.replace(path)


def remove_output(target: Path) -> None:
    """Take a file, link or directory away, also one whose directories are read-only; nothing there is no error."""
    if target.is_symlink() or not target.is_dir():
        target.unlink(missing_ok=True)
        return
    try:
        shutil.rmtree(target)
    except PermissionError:
        target.chmod(0o700)
        for folder, names, _ in os.walk(target):
            for path in (Path(folder, name) for name in names):
                if not path.is_symlink():
                    path.chmod(0o700)  # before os.walk comes to it
        shutil.rmtree(target)
