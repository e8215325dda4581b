"""Parameter files and the keys in them, held against DVC's own functions."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from dvc.dependency.param import read_param_file
from dvc.fs import localfs
from hypothesis import given, settings
from hypothesis import strategies as st

from refmill.errors import Invalid
from refmill.formats import params

keys = st.text("ab1", min_size=1, max_size=2)
values = st.recursive(
    st.integers(0, 3) | st.none() | st.text("ab", max_size=2),
    lambda below: st.lists(below, max_size=3) | st.dictionaries(keys | st.integers(0, 2), below, max_size=3),
    max_leaves=10,
)
wanted = st.lists(
    st.sampled_from(["a", "b", "1", "0", "-1", "*", "?", "[ab]", "a*", "**", "aa"]), min_size=1, max_size=4
)


def dvcs(value: Any, key: str) -> list[Any]:
    """What DVC finds for one key: nothing, or one value."""
    import dpath  # noqa: PLC0415 - DVC's own library; only the oracle uses it

    try:
        return [dpath.get(value, key, separator=".")]
    except (KeyError, ValueError, dpath.exceptions.InvalidGlob):
        return []


@settings(max_examples=250, deadline=None)
@given(st.dictionaries(keys, values, max_size=3), wanted.map(".".join))
def test_keys_find_what_dvc_finds(value: dict[str, Any], key: str) -> None:
    assert list(params.select(value, [key]).values()) == dvcs(value, key)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("p.yaml", "a: {b: 1e-3, c: [yes, 010, 0x10]}\nd: 2024-01-02\ne: ~\n"),
        ("p.YML", "a: 1\n"),
        ("p.conf", "a: 1\n"),
        ("p.json", '{"a": {"b": [1, 2.0, null, true]}, "c": "x"}'),
        ("p.toml", 'z = 1\n[a]\nb = [1, 2.5]\nc.d = "x"\n[[l]]\nx = 1\n[[l]]\nx = 2\n[when]\nday = 2024-01-02\n'),
        ("empty.yaml", ""),
        ("empty.json", "[]"),
    ],
)
def test_files_hold_what_dvc_reads(tmp_path: Path, name: str, text: str) -> None:
    (tmp_path / name).write_text(text)
    ours = params.load(text.encode(), name)
    assert repr(ours) == repr(read_param_file(localfs, str(tmp_path / name)))


def test_without_keys_the_whole_file_counts_and_missing_keys_are_left_out() -> None:
    assert params.select({"a": 1, "b": 2}, ()) == {"a": 1, "b": 2}
    assert params.select({"a": {"b": 1}}, ["a.b", "a.c", "a"]) == {"a.b": 1, "a": {"b": 1}}
    assert params.select([1, 2], ["1"]) == {"1": 2}


def test_every_key_is_answered() -> None:
    deep: Any = 1
    for _ in range(60):
        deep = {"a": deep, "b": deep if isinstance(deep, int) else 0}
    params.select(deep, ["**.**.**.**.**.x", "**.x", "*.*.*.*"])


@pytest.mark.parametrize(
    ("name", "data", "kind", "place"),
    [
        ("p.yaml", b"a: 1\na: 2\n", "duplicate-key", "p.yaml:2:1"),
        ("p.json", b'{"a":\n 1,}', "params-syntax", "p.json:2:4"),
        ("p.json", b"[" * 100_000, "params-syntax", "p.json"),
        ("p.toml", b"a = 1\nb = \n", "params-syntax", "p.toml:2:5"),
        ("p.toml", b"a = 1\nb = [\n", "params-syntax", "p.toml:3:1"),
        ("p.toml", b"a = \xff\n", "encoding", "p.toml:1:1"),
        ("p.py", b"A = 1\nB = = 2\n", "params-syntax", "p.py:2:5"),
        ("p.py", b"A = {[1]: 2}\n", "params-syntax", "p.py"),
        ("p.py", b"A = '\0'\n", "params-syntax", None),
        ("p.py", b"A = " + b"(" * 9999, "params-syntax", None),
        ("p.py", b"A = " + b"-" * 99_999 + b"1", "params-syntax", None),
        ("p.py", b"A = " + b"1 + " * 50_000 + b"1", "params-syntax", None),
        ("p.py", b"A = x" + b".y" * 99_999, "params-syntax", None),
        ("p.py", b"A = " + b"f(" * 80 + b"x" + b")" * 80 + b"\nB = 0x" + b"f" * 9999, "params-syntax", "p.py:2:5"),
        ("p.py", b"A = 1\n" * 99_999, "params-syntax", "p.py"),
    ],
)
def test_a_broken_file_is_named_with_its_place(name: str, data: bytes, kind: str, place: str | None) -> None:
    with pytest.raises(Invalid) as caught:
        params.load(data, name)
    (problem,) = caught.value.problems
    assert (problem.kind, place or str(problem.place)) == (kind, str(problem.place))


PYTHON = '''
"""Not a parameter."""
import os
LR: float = 1e-3
later: int
T = (1, (2, "x"))
L = [1, -2, [3.5, None], True]
D = {"a": {"b": (1,)}, 2: "two", **{}}
E = {"a": {"b": (1,)}, 2: "two"}
S = {1, 2}
B = b"bytes"
a = b = 5
c, d = 1, 2
NOPE = os.path
SUM = 1 + 2
C = 1 + 2j
x.y = 3
self.z = 4
if True:
    HIDDEN = 1
class Train(Base):
    """Text."""
    epochs = 3
    class Deep:
        q = "s"
    def __init__(self, n):
        self.h, self.i = 1, 2
        self.k: int = 5
        self.m = n
        local = 3
        def inner(): self.no = 1
    def other(self):
        self.w = 3
class Train2: pass
LR = "again"
'''


def test_python_files_hold_what_dvc_finds_in_them(tmp_path: Path) -> None:
    (tmp_path / "p.py").write_text(PYTHON)
    ours, theirs = params.load(PYTHON.encode(), "p.py"), read_param_file(localfs, str(tmp_path / "p.py"))
    assert repr(ours) == repr(theirs)
    assert ours["Train"] == {"epochs": 3, "Deep": {"q": "s"}, "k": 5}
    for key in ("Train.epochs", "Train.Deep", "T.1.1", "E.2", "E.a.b.0", "L.2.0", "T.*", "Train.*.q", "nothing"):
        assert repr(list(params.select(ours, [key]).values())) == repr(dvcs(theirs, key)), key


def test_what_python_alone_has_is_recorded_as_lists_or_refused() -> None:
    values = params.load(PYTHON.encode(), "p.py")
    assert params.recordable({"T": values["T"], "E": values["E"]["a"]}, "p.py") == {
        "T": [1, [2, "x"]],
        "E": {"b": [1]},
    }
    for name in ("S", "B", "C", "E"):
        with pytest.raises(Invalid) as caught:
            params.recordable({name: values[name]}, "p.py")
        assert [problem.kind for problem in caught.value.problems] == ["params-value"]
