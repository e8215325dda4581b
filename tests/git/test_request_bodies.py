"""What clients send as a body, and how much of it is believed."""

import gzip
import io
from typing import Any

import pytest

from refmill import errors
from refmill_repos.bodies import PIECE, Body, BrokenOff


def body(data: bytes, limit: int = 1 << 20, **environ: Any) -> Body:
    return Body({"wsgi.input": io.BytesIO(data), "CONTENT_LENGTH": str(len(data)), **environ}, limit)


def test_a_gzip_bomb_is_stopped_while_it_unfolds() -> None:
    bomb = gzip.compress(bytes(200 << 20), compresslevel=9)
    assert len(bomb) < 1 << 20
    sizes: list[int] = []
    with pytest.raises(errors.LimitExceeded):
        sizes.extend(map(len, body(bomb, HTTP_CONTENT_ENCODING="gzip")))
    assert max(sizes) <= PIECE
    assert sum(sizes) <= 1 << 20


def test_a_length_above_the_limit_is_refused_before_reading() -> None:
    with pytest.raises(errors.LimitExceeded):
        body(b"", CONTENT_LENGTH=str((1 << 20) + 1))


def test_a_chunked_body_above_the_limit_is_stopped() -> None:
    endless = body(bytes(2 << 20), CONTENT_LENGTH="", **{"wsgi.input_terminated": True})
    with pytest.raises(errors.LimitExceeded):
        list(endless)


def test_a_body_ends_at_its_length() -> None:
    assert b"".join(body(b"one request|the next", CONTENT_LENGTH="11")) == b"one request"
    assert list(body(b"the next", CONTENT_LENGTH="")) == []


def test_a_body_that_is_too_short_is_noticed() -> None:
    with pytest.raises(BrokenOff):
        list(body(b"half", CONTENT_LENGTH="8"))


def test_the_rest_is_drained_whatever_it_is() -> None:
    half = body(bytes(3 * PIECE), HTTP_CONTENT_ENCODING="gzip")
    with pytest.raises(BrokenOff):
        list(half)
    half.drain()
    body(b"half", CONTENT_LENGTH="8").drain()
