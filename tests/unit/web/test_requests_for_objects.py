"""What a request for objects of the data remote may say."""

import json
from typing import Any

import pytest

from refmill import errors
from refmill_web import batch

NAMES = [f"{number:032x}" for number in range(1, 1002)]


def parsed(**said: Any) -> batch.Asked:
    return batch.parse(json.dumps({"operation": "download", **said}).encode())


@pytest.mark.parametrize(("operation", "most"), [("download", 1000), ("upload", 1000), ("settle", 1000), ("parts", 4)])
def test_it_is_for_so_many_objects_and_no_more(operation: str, most: int):
    assert len(parsed(operation=operation, objects=NAMES[:most]).objects) == most
    with pytest.raises(errors.LimitExceeded, match=f"may ask for {most} objects"):
        parsed(operation=operation, objects=NAMES[: most + 1])


@pytest.mark.parametrize(
    "said",
    [
        {"operation": "remove", "objects": NAMES[:1]},
        {"objects": ["../../etc/passwd"]},
        {"objects": {NAMES[0]: 7}},
        {"objects": NAMES[:1], "sizes": [1]},
        {"objects": NAMES[:1], "sizes": {NAMES[0]: -1}},
        {"objects": NAMES[:1], "sizes": {NAMES[0]: True}},
        {"objects": NAMES[:1], "first": {NAMES[0]: "1"}},
        {"objects": NAMES[:1], "etags": {NAMES[0]: ["<Part/>"]}},
        {"objects": NAMES[:1], "etags": {NAMES[0]: ["a"] * 10_001}},
        {"objects": NAMES[:1], "etags": {NAMES[0]: "abc"}},
        {"objects": 5},
        {},
    ],
    ids=lambda said: json.dumps(said)[:60],
)
def test_what_makes_no_sense_is_refused(said: dict[str, Any]):
    with pytest.raises(errors.WrongUse, match="no request for objects"):
        parsed(**said)


@pytest.mark.parametrize("body", [b"", b"[]", b"null", b"[" * 100_000, b'{"operation": []}'])
def test_so_is_what_is_no_request_at_all(body: bytes):
    with pytest.raises(errors.WrongUse):
        batch.parse(body)
