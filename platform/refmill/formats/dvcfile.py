"""`*.dvc` files: what `dvc add`, `dvc import` and `dvc import-url` wrote.

The rule to keep: everything of DVC that is not supported is refused by name, never passed over.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator, Mapping
from typing import Any

from refmill.errors import Invalid
from refmill.formats import hashing, yamlfile
from refmill.formats.yamlfile import Marks
from refmill.model.pipelines import DataFile, DataOutput, RepositoryImport
from refmill.problems import Problem
from refmill.texts import Text, text

Path = tuple[str | int, ...]

_KEYS = {"md5", "wdir", "deps", "outs", "frozen", "locked", "meta", "always_changed", "desc"}
_OUT_KEYS = {
    "path", "md5", "hash", "size", "nfiles", "isexec", "cache", "persist", "metric", "plot", "remote", "push",
    "desc", "type", "labels", "meta",
}  # fmt: skip
_DEP_KEYS = {
    "path",
    "md5",
    "hash",
    "size",
    "nfiles",
    "isexec",
    "repo",
    "etag",
    "checksum",
    "fs_config",
    "db",
    "desc",
    "type",
    "labels",
    "meta",
}
_REPO_KEYS = {"url", "rev", "rev_lock", "config", "remote"}
_DB_KEYS = {"connection", "file_format", "query", "table"}
_CLOUD_KEYS = {"cloud", "files", "etag", "checksum", "version_id", "fs_config", "remote"}
_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")
_MEND = text("Write the file anew with a current DVC (`dvc add`, `dvc import`).")


def parse(data: bytes, file: str) -> DataFile:
    """What the .dvc file `file` (its path from the project's root) tracks. Raises Invalid with every problem in it."""
    value = yamlfile.load(data, file)
    problems = _Problems(data, file)
    if not isinstance(value, dict):
        problems.add("dvc-file", (), text("A .dvc file is a mapping with the key “outs”"))
        raise Invalid(problems.found)
    _check_keys(value, _KEYS, (), problems)
    wdir = value.get("wdir") or "."
    base = _root(posixpath.dirname(file), wdir, ("wdir",), problems)
    outs = tuple(_outputs(value.get("outs"), base, problems, _download(file) if value.get("deps") else _MEND))
    frozen = bool(value.get("frozen") or value.get("locked"))
    source = _source(value.get("deps"), problems)
    if value.get("deps") and not frozen:
        problems.add("unsupported", ("deps",), _NOT_FROZEN, _freeze(file), key=True)
    desc = value.get("desc", "")
    if not isinstance(desc, str):
        problems.add("dvc-file", ("desc",), text("The description is text"))
    if problems.found:
        raise Invalid(problems.found)
    return DataFile(file, outs, source, frozen, desc)


def updated(data: bytes, outs: Mapping[str, DataOutput]) -> bytes:
    """The .dvc file `data` with what `outs`, by path, say of its outputs; comments and all else stay, as in DVC."""

    def change(value: Any) -> None:
        for item in value["outs"]:
            out = outs[item["path"]]
            item["md5"] = out.md5.removeprefix(hashing.OLD)
            if not out.md5.startswith(hashing.OLD):
                item["hash"] = "md5"
            for key, new in (("size", out.size), ("nfiles", out.nfiles), ("isexec", out.isexec or None)):
                if new is not None:
                    item[key] = new
                else:
                    item.pop(key, None)

    from refmill.formats import yamlwriter  # noqa: PLC0415 - most commands get along without ruamel, which starts slowly

    return yamlwriter.edit(data.decode("utf-8"), change).encode()


class _Problems:
    """Collects what is wrong in one file, with places."""

    def __init__(self, data: bytes, file: str) -> None:
        self._marks = Marks(data)
        self._file = file
        self.found: list[Problem] = []

    def add(self, kind: str, path: Path, message: Text, remedy: Text = _MEND, *, key: bool = False) -> None:
        place = self._marks.place(self._file, path, key)
        self.found.append(Problem(kind, place, message, remedy, self._marks.excerpt(place)))


def _check_keys(value: dict[Any, Any], known: set[str], path: Path, problems: _Problems) -> None:
    for key in value:
        if key in known:
            continue
        if key == "cmd":
            problems.add(
                "dvc-stage",
                (*path, "cmd"),
                text("A command in a .dvc file, as DVC before 1.0 wrote it, is not supported"),
                text("Move the stage into dvc.yaml (`dvc stage add`) and take this file away."),
                key=True,
            )
        elif key in _CLOUD_KEYS:
            problems.add("dvc-cloud", (*path, str(key)), _unsupported(str(key)), _NO_CLOUD, key=True)
        else:
            message = text("A .dvc file has no key “%(key)s” here", key=str(key))
            problems.add("unknown-key", (*path, str(key)), message, key=True)


_NO_CLOUD = text("Track the data itself: `dvc add` a local copy, or `dvc import` it from a repository.")


_NOT_FROZEN = text("This import is not frozen: DVC would do it again before a run, which is not supported")


def _freeze(file: str) -> Text:
    return text("Freeze it with `dvc freeze %(file)s`; `dvc update %(file)s` brings it up to date then.", file=file)


def _download(file: str) -> Text:
    return text("Download it with `dvc update %(file)s`, which notes its hash.", file=file)


def _unsupported(key: str) -> Text:
    return text("“%(key)s” (data versioned by another storage) is not supported yet", key=key)


def _outputs(items: Any, base: str, problems: _Problems, bring: Text) -> Iterator[DataOutput]:
    """The outputs that are sound; `bring` says what to do about one of which no hash is known."""
    if not isinstance(items, list) or not items:
        problems.add("dvc-file", ("outs",), text("A .dvc file names at least one output"))
        return
    for number, item in enumerate(items):
        place: Path = ("outs", number)
        if not isinstance(item, dict) or not isinstance(item.get("path"), str):
            problems.add("dvc-file", place, text("An output is a mapping with the key “path”"))
            continue
        _check_keys(item, _OUT_KEYS, place, problems)
        found = _output(item, base, place, problems, bring)
        if found is not None:
            yield found


def _output(item: dict[str, Any], base: str, place: Path, problems: _Problems, bring: Text) -> DataOutput | None:
    before = len(problems.found)
    root = _root(base, item["path"], (*place, "path"), problems)
    md5 = item.get("md5")
    if md5 is None:
        problems.add("dvc-hash", place, text("%(path)s has no MD5: nothing is tracked yet", path=item["path"]), bring)
    elif not isinstance(md5, str) or not hashing.is_object_name(md5):
        problems.add("dvc-hash", (*place, "md5"), text("This is no MD5"))
    elif item.get("hash", "md5") != "md5":
        problems.add("dvc-hash", (*place, "hash"), text("Only MD5 is supported as hash"))
    kinds = {"size": int, "nfiles": int, "isexec": bool, "cache": bool}
    for key, kind in kinds.items():
        if key in item and type(item[key]) is not kind:
            problems.add("dvc-file", (*place, key), text("“%(key)s” has a value of the wrong kind", key=key))
    if len(problems.found) > before:
        return None
    return DataOutput(
        path=item["path"],
        root=root,
        md5=hashing.FileHash.of(item).md5,
        size=item.get("size"),
        nfiles=item.get("nfiles"),
        isexec=item.get("isexec", False),
        cache=item.get("cache", True),
    )


def _root(base: str, path: Any, place: Path, problems: _Problems) -> str:
    """`path`, which is relative to `base`, from the project's root; "" and a problem if it is not inside."""
    if not isinstance(path, str):
        problems.add("dvc-file", place, text("A path is text"))
        return ""
    root = posixpath.normpath(posixpath.join(base, path))
    outside = root == ".." or root.startswith("../")
    if outside or posixpath.isabs(path) or _URL.match(path) or "\0" in path or "\\" in path:
        problems.add(
            "path-outside",
            place,
            text("%(path)s lies outside of the repository", path=path[:200]),
            text("Use a path inside the repository."),
        )
        return ""
    return "" if root == "." else root


def _source(items: Any, problems: _Problems) -> RepositoryImport | None:
    if not items:
        return None
    item = items[0] if isinstance(items, list) and len(items) == 1 else None
    if not isinstance(item, dict):
        problems.add("dvc-file", ("deps",), text("A .dvc file has one dependency at most"))
        return None
    place: Path = ("deps", 0)
    _check_keys(item, _DEP_KEYS, place, problems)
    db = item.get("db")
    if db is not None and not isinstance(db, dict):
        problems.add("dvc-file", (*place, "db"), text("“%(key)s” has a value of the wrong kind", key="db"))
        return None
    _check_keys(db or {}, _DB_KEYS, (*place, "db"), problems)
    repo = item.get("repo")
    if repo is None:
        return None  # `dvc import-url`, `dvc import-db`: its outputs are data like any other, nobody here updates them
    if not isinstance(repo, dict) or not isinstance(repo.get("url"), str) or not isinstance(item.get("path"), str):
        problems.add("dvc-file", (*place, "repo"), text("An import names the “url” of a repository and a “path” in it"))
        return None
    _check_keys(repo, _REPO_KEYS, (*place, "repo"), problems)
    for key in ("rev", "rev_lock"):
        if not isinstance(repo.get(key), str | None):
            problems.add("dvc-file", (*place, "repo", key), text("A revision is text"))
            return None
    return RepositoryImport(repo["url"], item["path"], repo.get("rev"), repo.get("rev_lock"))
