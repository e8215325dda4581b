"""What may not stand in a log, in each form in which commands print it by accident."""

import base64
import json
import os
import random
import subprocess
from pathlib import Path
from urllib.parse import quote, quote_plus

import pytest

from refmill.step.masks import Masks
from refmill.step.output import PIECE, Log, Stream

SECRET = "s3cr3t/+ päss&word=äöü"
KEY = (
    "-----BEGIN KEY-----\n"
    + "\n".join(f"MIIEvQIBADANBgkq{n:04}hkiG9w0BAQ" for n in range(40))
    + "\n-----END KEY-----\n"
)


def logged(tmp_path: Path, pieces: list[bytes], *values: str, tick: bool = False) -> str:
    """The log of a command that writes these pieces, one after the other."""
    log = Log(str(tmp_path / "log"), 1 << 24, Masks(values))
    stream = Stream(log, "o")
    for piece in pieces:
        stream.feed(piece)
        if tick:
            stream._since = -1e9
            stream.tick()
    stream.close()
    log.close()
    return "".join(line.split(" ", 2)[2] for line in (tmp_path / "log").read_text().splitlines(keepends=True))


def forms() -> dict[str, bytes]:
    """A secret as commands print it."""
    raw = SECRET.encode()
    return {
        "plain": raw,
        "base64": base64.b64encode(raw),
        "base64 behind one byte": base64.b64encode(b"x" + raw),
        "base64 behind two bytes": base64.b64encode(b"xy" + raw + b"z"),
        "basic authentication": base64.b64encode(b"user:" + raw),
        "base64 for addresses": base64.urlsafe_b64encode(b"12" + raw),
        "URL-encoded": quote(SECRET, safe="").encode(),
        "URL-encoded path": quote(SECRET).encode(),
        "form": quote_plus(SECRET).encode(),
        "URL-encoded in small letters": quote(SECRET, safe="")
        .replace("%C3%A4", "%c3%a4")
        .replace("%2F", "%2f")
        .replace("%C3%B6", "%c3%b6")
        .replace("%C3%BC", "%c3%bc")
        .replace("%2B", "%2b")
        .replace("%3D", "%3d")
        .encode(),
        "JSON": json.dumps(SECRET).encode(),
        "JSON in Unicode": json.dumps(SECRET, ensure_ascii=False).encode(),
        "hexadecimal": raw.hex().encode(),
    }


@pytest.mark.parametrize("form", sorted(forms()))
def test_each_form_is_masked(tmp_path: Path, form: str) -> None:
    shown = forms()[form]
    found = logged(tmp_path, [b"before " + shown + b" after\n"], SECRET)
    assert "***" in found
    assert found.startswith("before ") and found.endswith(" after\n")  # noqa: PT018
    core = shown.decode().strip('"')[3:-3]
    assert core not in found


@pytest.mark.parametrize("form", sorted(forms()))
def test_each_form_is_masked_however_it_is_written(tmp_path: Path, form: str) -> None:
    shown = b"token: " + forms()[form] + b" is it"
    for seed in range(20):
        cut = random.Random(seed)
        places = sorted(cut.sample(range(1, len(shown)), 4))
        pieces = [shown[a:b] for a, b in zip([0, *places], [*places, len(shown)], strict=True)]
        found = logged(tmp_path, pieces, SECRET, tick=True)
        os.remove(tmp_path / "log")
        assert forms()[form].decode().strip('"')[3:-3] not in found, (seed, found)
        assert "s3cr" not in found


def test_a_secret_across_the_pieces_of_a_long_line_is_masked(tmp_path: Path) -> None:
    for before in (PIECE - 30, PIECE - 10, PIECE - 1, PIECE, 2 * PIECE - 8):
        found = logged(tmp_path, [b"x" * before, SECRET.encode()[:9], SECRET.encode()[9:], b"y" * 100, b"\n"], SECRET)
        os.remove(tmp_path / "log")
        joined = found.replace("\n", "")
        assert joined == "x" * before + "***" + "y" * 100


def test_a_key_of_many_lines_is_masked_line_by_line_and_encoded_by_the_real_base64(tmp_path: Path) -> None:
    encoded = subprocess.run(["base64"], input=KEY.encode(), capture_output=True, check=True).stdout
    found = logged(tmp_path, [KEY.encode(), b"--\n", encoded], KEY)
    assert "MIIE" not in found
    assert not [line for line in encoded.decode().splitlines()[:-1] if line in found]


def test_nothing_else_is_masked(tmp_path: Path) -> None:
    words = b"a secretary keeps no secrets: s3cr3t, pass, word\r\nand more\n" * 50
    assert logged(tmp_path, [words[:777], words[777:]], SECRET) == logged_without(tmp_path, words)


def logged_without(tmp_path: Path, words: bytes) -> str:
    """The same log where there are no secrets."""
    os.remove(tmp_path / "log")
    return logged(tmp_path, [words])


def test_the_longer_of_two_secrets_is_masked_whole(tmp_path: Path) -> None:
    assert logged(tmp_path, [b"hunter22hunter\n"], "hunter", "hunter22") == "******\n"
