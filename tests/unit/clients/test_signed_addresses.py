"""Addresses for a PUT that carry more headers in their signature than `minio` can sign."""

from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qsl, urlsplit

import pytest

from refmill.clients.s3 import Bucket, Place

KEY = "incoming/ä (b)"


def bucket(monkeypatch: pytest.MonkeyPatch, **settings: str) -> Bucket:
    """One that is never asked; its credentials are those of a role, with a token."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "ID")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "se/cr+et=")
    monkeypatch.setenv("AWS_SESSION_TOKEN", "to/k+en==")
    monkeypatch.setattr("minio.time.utcnow", lambda: datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC))
    return Bucket(
        Place(bucket="bucket", prefix="pre'fix!/", endpoint="https://s3.example.org", region="eu-1", **settings)  # type: ignore[arg-type]
    )


@pytest.mark.parametrize("style", ["path", "virtual"])
def test_without_headers_they_are_those_that_minio_makes(monkeypatch: pytest.MonkeyPatch, style: str) -> None:
    made = bucket(monkeypatch, style=style)
    theirs = urlsplit(made._links.get_presigned_url("PUT", "bucket", f"pre'fix!/{KEY}", expires=timedelta(seconds=60)))
    ours = urlsplit(made.multipart._signed_with_headers(KEY, 60))
    assert ours[:3] == theirs[:3]
    assert sorted(parse_qsl(ours.query)) == sorted(parse_qsl(theirs.query))


def test_what_is_to_be_encrypted_is_signed_and_told(monkeypatch: pytest.MonkeyPatch) -> None:
    plain, headers = bucket(monkeypatch).multipart.put_link(KEY, 60)
    assert (dict(parse_qsl(urlsplit(plain).query))["X-Amz-SignedHeaders"], headers) == ("host", {})
    address, headers = bucket(monkeypatch, encryption="kms", kms_key="ours").multipart.put_link(KEY, 60)
    signed = dict(parse_qsl(urlsplit(address).query))["X-Amz-SignedHeaders"]
    assert signed == "host;x-amz-server-side-encryption;x-amz-server-side-encryption-aws-kms-key-id"
    assert sorted(name.lower() for name in headers) == signed.split(";")[1:]
