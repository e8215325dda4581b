"""The hashes that DVC 1 and 2 gave to files, on which the line ends of text did not count."""

from __future__ import annotations

import io

import pytest
from dvc_data.hashfile.hash import fobj_md5
from hypothesis import given
from hypothesis import strategies as st

from refmill.formats import dvcfile
from refmill.formats.hashing import FileHash, OldDigest

CONTENTS = {
    "empty": b"", "unix": b"a\nb\n", "dos": b"a\r\nb\r\n", "binary": b"\0a\r\nb", "late null": b"a\r\n" * 400 + b"\0",
    "much that is no text": b"\xff" * 31 + b"a\r\n" + b"a" * 66, "a little that is no text": b"\xff" * 29 + b"\r\n" + b"a" * 69,
    "cut": b"a" * ((1 << 20) - 1) + b"\r\nb\r\n", "second megabyte binary": b"a\r\n" * 400_000 + b"\0" * (1 << 20) + b"\r\n",
}  # fmt: skip


@pytest.mark.parametrize("name", CONTENTS)
@pytest.mark.parametrize("step", [7919, 1 << 20, 3 << 20])
def test_a_hash_is_the_one_of_dvc(name: str, step: int) -> None:
    data, digest = CONTENTS[name], OldDigest()
    for start in range(0, len(data), step):
        digest.update(data[start : start + step])
    assert digest.hexdigest() == fobj_md5(io.BytesIO(data), name="md5-dos2unix")


@given(st.lists(st.sampled_from([b"a", b"\r\n", b"\xff", b"\0", b"text "]), max_size=40).map(b"".join))
def test_what_is_text_is_decided_as_dvc_decides_it(data: bytes) -> None:
    digest = OldDigest()
    digest.update(data)
    assert digest.hexdigest() == fobj_md5(io.BytesIO(data), name="md5-dos2unix")


def test_what_dvc_2_wrote_names_objects_of_dvc_2() -> None:
    md5 = "0" * 31 + "a"
    (out,) = dvcfile.parse(f"outs:\n- md5: {md5}\n  path: x\n".encode(), "x.dvc").outs
    assert out.md5 == f"old-{md5}"
    found = FileHash("f" * 32, 1, old=f"old-{md5}")
    assert found.recorded_by({"path": "x", "md5": md5})
    assert found.recorded_by({"path": "x", "md5": "f" * 32, "hash": "md5"})
    assert not found.recorded_by({"path": "x", "md5": md5, "hash": "md5"})
    assert FileHash("f" * 32, 1).recorded_by({"path": "x", "md5": "f" * 32}), "the same where no line ends differ"
    assert not found.recorded_by({"path": "x"})
