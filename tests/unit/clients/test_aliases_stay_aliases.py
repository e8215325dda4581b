"""What stands in two places of a lock entry is one value, and is so after it has been stored."""

import datetime as dt
from dataclasses import dataclass
from typing import Any

import pytest

from refmill import errors
from refmill.clients import codec
from refmill.formats import yamlwriter


@dataclass(frozen=True)
class Holder:
    entry: dict[str, Any]


def entry() -> dict[str, Any]:
    """As one whose parameters have aliases within aliases."""
    inner: list[Any] = [1, dt.date(2026, 1, 31)]
    outer = {"deep": inner, 3: []}
    return {"cmd": "true", "params": {"params.yaml": {"a": inner, "b": outer, "c": [outer, outer], "d": [1]}}}


def stored(value: Any, kind: Any = dict[str, Any]) -> Any:
    known = [value] if isinstance(value, dict) else [each.entry for each in value]
    return codec.from_json(kind, codec.to_json(value, known))


def test_an_entry_is_written_to_dvc_lock_as_before():
    before = entry()
    after = stored(before)
    assert after == before
    assert yamlwriter.dump(after) == yamlwriter.dump(before)
    assert yamlwriter.dump(before).count("*id") == 3


def test_what_is_equal_and_not_the_same_stays_two():
    after = stored({"a": [1], "b": [1]})
    assert after["a"] is not after["b"]


def test_aliases_are_those_of_their_own_entry_also_where_it_stands_twice():
    one, two = Holder(entry()), Holder(entry())
    after = stored([one, two, one], list[Holder])
    assert [yamlwriter.dump(each.entry) for each in after] == [yamlwriter.dump(one.entry)] * 3
    assert after[0].entry["params"]["params.yaml"]["a"] is not after[1].entry["params"]["params.yaml"]["a"]


def test_no_file_can_write_an_alias_itself():
    forged = {"$alias": 0, "b": {"$anchor": [0, "x"]}, "c": {"$alias": 0}}
    assert stored(forged) == forged


@pytest.mark.parametrize("body", ['{"a": {"$alias": 7}, "b": {"$anchor": [1, []]}}', '{"a": {"$anchor": [1]}}'])
def test_a_broken_one_is_said_to_be_damaged(body: str):
    with pytest.raises(errors.Damaged):
        codec.from_json(dict[str, Any], body)
