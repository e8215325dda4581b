"""Values of the model as JSON and back."""

import datetime as dt
import json
import math
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fakes.record_values import a_plan
from refmill import errors
from refmill.clients.codec import from_json, to_json
from refmill.model.plans import Plan
from refmill.model.runs import StageRun
from refmill.texts import Text, text

SCALARS = (
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text() | st.binary()
    | st.dates() | st.datetimes() | st.datetimes(timezones=st.just(dt.UTC)) | st.times()
)  # fmt: skip
KEYS = st.text() | st.sampled_from(["$date", "$map", "$set", "$"]) | st.integers() | st.booleans() | st.dates()
ANYTHING = st.recursive(
    SCALARS | st.sets(st.integers() | st.text()),
    lambda inner: st.lists(inner) | st.dictionaries(KEYS, inner),
    max_leaves=12,
)


@given(ANYTHING)
@settings(max_examples=300, deadline=None)
def test_whatever_yaml_holds_survives(value: Any) -> None:
    body = to_json(value)
    json.loads(body)
    assert body.isascii()
    back: Any = from_json(object, body)
    assert repr(back) == repr(value) or back == value


def test_types_are_told_apart() -> None:
    value = {"one": 1, "float": 1.0, "true": True, "text": "1", 1: "number", "1": "word", "big": 10**40}
    back = from_json(dict[Any, Any], to_json(value))
    assert back == value
    assert [type(item) for item in back.values()] == [type(item) for item in value.values()]
    assert math.isnan(from_json(list[float], to_json([math.nan]))[0])


def test_a_plan_comes_back_equal_to_the_last_detail() -> None:
    plan = a_plan("prepare", "train@a")
    assert from_json(Plan, to_json(plan)) == plan


def test_a_sentence_within_a_sentence() -> None:
    sentence = text("%(what)s: %(count)s of %(all)s", what=text("missing"), count=2, all=2.5)
    back = from_json(Text, to_json(sentence))
    assert back == sentence
    assert str(back) == "missing: 2 of 2.5"


@dataclass(frozen=True, slots=True)
class Newer:
    name: str
    path: Path = Path("p")
    files: Mapping[str, bytes] = field(default_factory=dict)
    added_later: tuple[int, ...] = (1,)


def test_neighbouring_versions_read_each_other() -> None:
    assert from_json(Newer, '{"name": "x", "gone": 1}') == Newer("x")
    value = Newer("x", Path("a/b"), {"$date": b"\x00\xff", "y": b""}, (1, 2))
    assert from_json(Newer, to_json(value)) == value


def test_a_parsers_own_types_become_plain_ones() -> None:
    class Word(str):
        __slots__ = ()

    class Number(float):
        pass

    back = from_json(object, to_json(OrderedDict([(Word("a"), Number(1.5)), ("b", [Word("c")])])))
    assert back == {"a": 1.5, "b": ["c"]}
    assert type(back) is dict


@pytest.mark.parametrize(
    "body",
    [
        "", "{", "[]", '{"address": "a"}', '{"address": 1, "status": "pending"}', '{"address": "a", "status": "odd"}',
        '{"address": {"$date": "yesterday"}, "status": "pending"}', '{"address": {"$bytes": "?"}, "status": "pending"}',
        '{"$map": 5}', '{"$map": [[{}, 1]]}', '{"$map": [[1]]}', '{"$set": [{}]}', "[" * 100_000,
    ],
)  # fmt: skip
def test_what_is_no_such_value_is_refused(body: str) -> None:
    with pytest.raises(errors.Damaged):
        from_json(StageRun, body)


def test_what_is_no_value_is_not_written() -> None:
    with pytest.raises(TypeError):
        to_json({"a": object()})
