"""Whatever the quick writer writes is what DVC's own dumper writes, and what the quick reader reads was meant."""

from __future__ import annotations

import math
from typing import Any

import pytest
from dvc.utils.serialize import dumps_yaml, loads_yaml
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from refmill.formats import blockyaml

words = st.sampled_from(
    ["python", "train.py", "--lr", "0.1", "a:", ":b", "#c", "x" * 30, "y" * 90, "'q'", '"d"', "-", "&&", "|", "{a}",
     "[b]", "é", "中文", "%", "@f", "*", "?", "true", "~", "10", "1e5", "2024-01-01", "\\", "=", "<<", "...", "---"]
)  # fmt: skip
sentences = st.lists(words, max_size=14).map(" ".join)
strings = (
    sentences
    | st.text(max_size=12)
    | st.text("0123456789abcdefxo_+-.:eE TfnN~=<", max_size=10)
    | st.text("ab :-#'\n", max_size=90)
    | st.text("0123456789abcdef", min_size=32, max_size=32)
)
scalars = (
    strings
    | st.integers()
    | st.booleans()
    | st.none()
    | st.floats()
    | st.floats(-1000, 1000).map(lambda x: round(x, 4))
)
values = st.recursive(
    scalars, lambda below: st.lists(below, max_size=4) | st.dictionaries(strings, below, max_size=4), max_leaves=12
)
mappings = st.dictionaries(strings, values, min_size=1, max_size=4)


def same(one: Any, other: Any) -> bool:
    if isinstance(one, float) and isinstance(other, float):
        return one == other or (math.isnan(one) and math.isnan(other))
    if isinstance(one, dict) and isinstance(other, dict):
        return list(one) == list(other) and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(same, one, other))
    return type(one) is type(other) and bool(one == other)


@settings(max_examples=200, deadline=None)
@given(mappings)
def test_what_the_quick_writer_writes_is_what_dvc_writes(value: dict[str, Any]) -> None:
    quick = blockyaml.emit(value)
    if quick is not None:
        assert quick == dumps_yaml(value)
        assert same(blockyaml.parse(quick), value)


@settings(max_examples=60, deadline=None)
@given(mappings)
def test_the_slow_writer_is_dvcs(value: dict[str, Any]) -> None:
    assert blockyaml.dump(value) == dumps_yaml(value)


@settings(max_examples=200, deadline=None)
@given(st.text("ab1:-# '\"\n{}[]&*|>?.~", max_size=60))
def test_what_the_quick_reader_reads_is_what_dvc_reads(text: str) -> None:
    value = blockyaml.parse(text)
    if value is not None:
        assert same(value, loads_yaml(text))


@settings(max_examples=100, deadline=None)
@given(sentences.map("run ".__add__) | sentences.map("a: ".__add__), st.integers(0, 3))
def test_long_lines_break_where_dvc_breaks_them(sentence: str, depth: int) -> None:
    value: Any = {"command": sentence, "list": [sentence]}
    for _ in range(depth):
        value = {"level": value}
    quick = blockyaml.emit(value)
    assume(quick is not None)
    assert quick == dumps_yaml(value)


@pytest.mark.parametrize(
    "value",
    [
        {"cmd": "python train.py --lr 0.1 > out.txt"},
        {"md5": "12345678901234567890123456789012", "size": 3},
        {"a": {"b": []}, "c": {}, "d": [1, 2.5, True, None, "x"]},
        {"cmd": " ".join(f"--option{i}=value{i}" for i in range(30))},
        {"a": [[1, [2]], {"b": {"c": 1}, "d": [3]}]},
    ],
)
def test_usual_values_take_the_quick_way(value: dict[str, Any]) -> None:
    assert blockyaml.emit(value) == dumps_yaml(value)


def test_a_value_in_two_places_is_left_to_ruamel() -> None:
    shared = {"lr": 1}
    assert blockyaml.emit({"a": shared, "b": shared}) is None


@pytest.mark.parametrize("start", ["x", "run", "a:"])
def test_every_length_around_the_width(start: str) -> None:
    for first in range(70, 84):
        for second in range(1, 8):
            sentence = f"{start} {'a' * (first - len(start))} {'b' * second} c d"
            value = {"k": [sentence], "deep": {"key": sentence}}
            assert blockyaml.emit(value) == dumps_yaml(value)
