"""Which remotes of a `.dvc/config` are read."""

import subprocess
from pathlib import Path

import pytest

from platforms import DVC
from refmill.formats.remotes import HttpRemote, S3Keys, S3Remote, remotes


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
    for key, value in {
        "endpointurl": "http://127.0.0.1:9000/", "region": "eu-west-1", "access_key_id": "key",
        "secret_access_key": "of=it", "session_token": "token", "allow_anonymous_login": "true", "version_aware": "true",
    }.items():  # fmt: skip
        dvc("remote", "modify", "bucket", key, value)
    keys = S3Keys("key", "of=it", "token")
    assert remotes((tmp_path / ".dvc/config").read_bytes()) == (
        HttpRemote("second", "https://example.org:8443/a%20b", "ann", "secret"),
        S3Remote("bucket", "s3://bucket/data", "bucket", "data", "http://127.0.0.1:9000", "eu-west-1", keys,
                 anonymous=True, versions=True),
        HttpRemote("first", "http://example.org/first"),
        HttpRemote("third", "https://example.org/third", "bob", "pass=word"),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("lines", "prefix", "endpoint"),
    [
        ("url = s3://bucket", "", "https://s3.amazonaws.com"),
        ("url = s3://bucket/a b/?c#d//\nuse_ssl = false", "a b/?c#d", "http://s3.amazonaws.com"),
        ("url = s3://bucket/x\nuse_ssl = false\nendpointurl = https://ann:secret@store:1", "x", "https://store:1"),
        ("url = s3://bucket/x\naccess_key_id = alone", "x", "https://s3.amazonaws.com"),
    ],
)
def test_places_in_buckets_are_read(lines: str, prefix: str, endpoint: str) -> None:
    (found,) = remotes(f"['remote \"x\"']\n{lines}\n".encode())
    assert found == S3Remote("x", f"s3://bucket/{prefix}".rstrip("/"), "bucket", prefix, endpoint)


@pytest.mark.parametrize(
    "config",
    [
        b"", b"\xff\xfe\x00", b"[core]\nremote = x\n", b"['remote \"x\"']\nurl = http://\n", b"['remote \"x\"']\nurl = http://[::1\n",
        b"['remote \"x\"']\nurl = file:///etc/passwd\n", b"['remote \"x\"']\nurl = http://host:port/\n",
        b"['remote \"x\"']\nurl = s3://\n", b"['remote \"x\"']\nurl = s3://a:b@bucket/x\n",
        b"['remote \"x\"']\nurl = s3://bucket/\x1b[2J\n", b"['remote \"x\"']\nurl = s3://bucket/../other\n", b"['remote \"x\"']\nurl = s3://b/./x\n",
        b"['remote \"x\"']\n# url = http://example.org\n", b"[x]\nurl = http://example.org\n",
    ],
)  # fmt: skip
def test_what_is_no_such_remote_is_passed_over(config: bytes) -> None:
    assert remotes(config) == ()


def test_a_password_is_not_shown() -> None:
    assert "secret" not in repr(remotes(b"['remote \"x\"']\nurl = http://ann:secret@example.org/\n"))
    keys = b"access_key_id = key\nsecret_access_key = hidden\nsession_token = hidden\n"
    assert "hidden" not in repr(remotes(b"['remote \"x\"']\nurl = s3://bucket\n" + keys))
