"""Versions of datasets have the form and the differences that DVC gives them."""

from __future__ import annotations

from typing import Any

import pytest
from dvc.repo.datasets import Datasets, to_spec

from refmill.formats import datasets, yamlfile

DVC = {"name": "n", "url": "u", "type": "dvc", "path": "", "rev": None, "rev_lock": "abc"}
CHAIN = {"version": 2, "type": "dc", "name": "n", "url": "dc://x@v2", "created_at": "2024-01-02T03:04:05+00:00"}
URL = {
    "name": "n", "type": "url", "url": "s3://b/x", "extra": 3,
    "files": [{"relpath": "b", "meta": {"version_id": "v", "size": 0, "etag": '"e"', "remote": "r"}},
              {"meta": {"size": 5, "isexec": False}, "relpath": "a"}],
    "meta": {"isdir": True, "nfiles": 2, "size": 5, "nlink": 1, "unknown": 7},
}  # fmt: skip
VERSIONS: dict[str, dict[str, Any]] = {
    "dvc": DVC, "dvc with path": DVC | {"path": "p", "rev": "v1"}, "chain": CHAIN, "url": URL,
    "url of a file": {"name": "n", "type": "url", "url": "u", "meta": {"size": 1, "version_id": "x"}, "files": []},
    "other meta": URL | {"meta": {"isdir": True, "nfiles": 3}},
    "other remote": URL | {"files": [{"relpath": "b", "meta": {"version_id": "v", "size": 0, "etag": '"e"', "remote": "s"}},
                                     {"meta": {"size": 5}, "relpath": "a"}]},
    "chain of today": yamlfile.load(b"a: {name: n, type: dc, url: u, version: 1, created_at: 2024-01-02T03:04:05}", "x")["a"],
}  # fmt: skip
BROKEN: dict[str, Any] = {
    "another type": DVC | {"type": "ftp"}, "no type": {"name": "n", "url": "u"}, "no rev_lock": {**DVC, "rev_lock": None},
    "a number as name": DVC | {"name": 3}, "no meta": {**URL, "meta": 3}, "files that are none": URL | {"files": [3]},
    "no date": CHAIN | {"created_at": "yesterday"}, "no version": {**CHAIN, "version": None},
}  # fmt: skip


@pytest.mark.parametrize("name", VERSIONS)
def test_a_version_is_written_as_dvc_writes_it(name: str) -> None:
    theirs = Datasets._lock_from_info(dict(VERSIONS[name]))
    assert theirs is not None
    assert list(datasets.version(VERSIONS[name]).items()) == list(theirs.to_dict().items())
    assert datasets.in_step(datasets.specification(to_spec(theirs).to_dict()), datasets.version(VERSIONS[name]))


def test_versions_differ_where_dvc_says_so() -> None:
    for one in VERSIONS.values():
        for other in VERSIONS.values():
            theirs = Datasets._lock_from_info(dict(one)) == Datasets._lock_from_info(dict(other))
            assert datasets.same(datasets.version(one), datasets.version(other)) == theirs
            step = to_spec(Datasets._lock_from_info(dict(one))) == to_spec(Datasets._lock_from_info(dict(other)))  # type: ignore[arg-type]
            assert datasets.in_step(datasets.specification(one), datasets.version(other)) == step


@pytest.mark.parametrize("name", BROKEN)
def test_what_is_no_version_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        datasets.version(BROKEN[name])
