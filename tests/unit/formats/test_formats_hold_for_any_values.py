"""Whatever files and values there are: hashes, listings and the run-cache's names are those of DVC."""

from __future__ import annotations

import copy
import hashlib
import posixpath
from pathlib import Path
from typing import Any

from dvc.stage.cache import _get_cache_hash
from dvc_data.hashfile.hash import hash_file
from dvc_data.hashfile.hash_info import HashInfo
from dvc_data.hashfile.meta import Meta
from dvc_data.hashfile.tree import Tree
from dvc_objects.fs.local import LocalFileSystem
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from refmill.formats import directories, hashing, runcache
from refmill.formats.directories import Listing

MANY = settings(max_examples=100, deadline=None)
ON_DISK = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])

md5s = st.binary(max_size=8).map(lambda data: hashlib.md5(data).hexdigest())
names = st.text(st.characters(exclude_characters="/\0", exclude_categories=["Cs"]), min_size=1, max_size=6).filter(
    lambda name: name not in {".", ".."}
)
paths = st.lists(names | st.sampled_from(["a", "b", "a.b", "ü", "-"]), min_size=1, max_size=4).map("/".join)
texts = st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=12)
scalars = texts | st.integers(-(2**70), 2**70) | st.booleans() | st.none() | st.integers(-999, 999).map(lambda n: n / 8)
values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3), max_leaves=8
)
commands = st.sampled_from(["echo a", "echo 'b'", "c: d # e"]) | st.text("ab :-#'\"", min_size=1, max_size=60)
items = st.fixed_dictionaries(
    {"path": paths, "hash": st.just("md5"), "md5": md5s, "size": st.integers(0, 10**12)},
    optional={"nfiles": st.integers(0, 99)},
)
entries = st.fixed_dictionaries(
    {"cmd": commands | st.lists(commands, min_size=1, max_size=3)},
    optional={
        "deps": st.lists(items, min_size=1, max_size=3),
        "params": st.dictionaries(
            paths, st.dictionaries(texts, values, min_size=1, max_size=3), min_size=1, max_size=2
        ),
        "outs": st.lists(items, min_size=1, max_size=3),
    },
)


def apart(found: list[str]) -> dict[str, None]:
    """Paths of which none is a directory of another."""
    parents = {posixpath.dirname(path)[:end] for path in found for end in range(1, len(path)) if "/" in path}
    return {path: None for path in found if path not in parents}


@MANY
@given(st.lists(paths, max_size=8).map(apart), md5s)
@example({"b/a": None, "b.c": None, "b/c/d": None, "ü": None, "b-": None}, "0" * 32)
def test_a_listing_has_the_bytes_and_the_name_of_dvcs_tree(found: dict[str, None], md5: str) -> None:
    pairs = [(path, hashlib.md5((path + md5).encode()).hexdigest()) for path in found]
    tree = Tree()
    for path, of in pairs:
        tree.add(tuple(path.split("/")), Meta(), HashInfo("md5", of))
    tree.digest()
    listing = Listing.of(pairs)
    assert listing.to_bytes() == tree.as_bytes()
    assert listing.name == tree.hash_info.value
    assert directories.parse(tree.as_bytes()) == listing


@ON_DISK
@given(st.binary(max_size=4000) | st.lists(st.sampled_from([b"a", b"\r\n", b"\0", b"\xff"]), max_size=60).map(b"".join))
def test_a_file_has_dvcs_hash_and_size(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "file"
    path.write_bytes(data)
    meta, found = hash_file(str(path), LocalFileSystem(), "md5")
    assert hashing.md5_file(path) == (found.value, meta.size)
    _, old = hash_file(str(path), LocalFileSystem(), "md5-dos2unix")
    assert hashing.old_md5(path) == old.value


@MANY
@given(entries)
def test_a_run_caches_key_and_value_are_dvcs(entry: dict[str, Any]) -> None:
    assert runcache.key(entry) == _get_cache_hash(copy.deepcopy(entry), key=True)
    assert runcache.value(entry) == _get_cache_hash(copy.deepcopy(entry))


@MANY
@given(entries, st.data())
def test_sizes_and_outputs_are_no_part_of_a_key_and_the_rest_is(entry: dict[str, Any], data: st.DataObject) -> None:
    other = copy.deepcopy(entry)
    for out in other.get("outs", []):
        out["md5"] = "f" * 32
    for item in [*other.get("outs", []), *other.get("deps", [])]:
        item["size"] = data.draw(st.integers(0, 9))
        item.pop("nfiles", None)
    assert runcache.key(other) == runcache.key(entry)
    assert runcache.key(other | {"cmd": "another command"}) != runcache.key(entry)
