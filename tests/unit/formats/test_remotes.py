"""Which remotes of a `.dvc/config` are read over HTTP."""

import subprocess
from pathlib import Path

import pytest

from platforms import DVC
from refmill.formats.remotes import HttpRemote, http_remotes


def test_what_dvc_writes_is_read_with_the_default_first(tmp_path: Path) -> None:
    def dvc(*arguments: str) -> None:
        subprocess.run([DVC, *arguments], cwd=tmp_path, check=True, capture_output=True)

    dvc("init", "--no-scm", "--quiet")
    for name, url in {
        "bucket": "s3://bucket/data", "first": "http://example.org/first/", "folder": "/srv/data", "far": "ssh://x/y",
        "second": "https://ann:secret@example.org:8443/a%20b", "third": "https://example.org/third",
    }.items():  # fmt: skip
        dvc("remote", "add", name, url)
    dvc("remote", "default", "second")
    for key, value in {"auth": "basic", "user": "bob", "password": "pass=word"}.items():
        dvc("remote", "modify", "third", key, value)
    assert http_remotes((tmp_path / ".dvc/config").read_bytes()) == (
        HttpRemote("second", "https://example.org:8443/a%20b", "ann", "secret"),
        HttpRemote("first", "http://example.org/first"),
        HttpRemote("third", "https://example.org/third", "bob", "pass=word"),
    )


@pytest.mark.parametrize(
    "config",
    [
        b"", b"\xff\xfe\x00", b"[core]\nremote = x\n", b"['remote \"x\"']\nurl = http://\n", b"['remote \"x\"']\nurl = http://[::1\n",
        b"['remote \"x\"']\nurl = file:///etc/passwd\n", b"['remote \"x\"']\nurl = http://host:port/\n",
        b"['remote \"x\"']\n# url = http://example.org\n", b"[x]\nurl = http://example.org\n",
    ],
)  # fmt: skip
def test_what_is_no_http_remote_is_passed_over(config: bytes) -> None:
    assert http_remotes(config) == ()


def test_a_password_is_not_shown() -> None:
    assert "secret" not in repr(http_remotes(b"['remote \"x\"']\nurl = http://ann:secret@example.org/\n"))
