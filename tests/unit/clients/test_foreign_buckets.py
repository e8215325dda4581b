"""Requests to S3 stores of other people, against a server that answers as told: what is sent, and what is refused."""

import http.server
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from fetching_world import World
from refmill import errors
from refmill.clients import fetching
from refmill.clients.s3 import ForeignBucket
from refmill.formats.remotes import S3Keys, S3Remote
from serving import serving

DATA = b"some data"
NAME = "1e50210a0202497fb79bc38b6ade6c34"
PLACE = f"files/md5/{NAME[:2]}/{NAME[2:]}"
KEYS = S3Keys("AKIAEXAMPLE", "very-secret", "the-token")


class Handler(http.server.BaseHTTPRequestHandler):
    """Gives the answers that were put down, then the data; notes what it was asked."""

    asked: list[tuple[str, dict[str, str]]]
    answers: list[tuple[int, dict[str, str], str]]

    def do_GET(self) -> None:
        self.asked.append((self.path, dict(self.headers)))
        status, headers, code = self.answers.pop(0) if self.answers else (200, {}, "")
        body = f"<?xml version='1.0'?><Error><Code>{code}</Code></Error>".encode() if code else DATA
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *arguments: object) -> None:
        """Nothing."""


@pytest.fixture
def endpoint() -> Iterator[str]:
    Handler.asked, Handler.answers = [], []
    with serving(Handler) as address:
        yield address


def remote(endpoint: str, **more: object) -> S3Remote:
    return S3Remote("theirs", "s3://bucket/some/data", "bucket", "some/data", endpoint, **more)  # type: ignore[arg-type]


def download(one: S3Remote, target: Path, keys: S3Keys | None = KEYS, *, private: bool = True) -> None:
    ForeignBucket(one, keys).download(PLACE, target, limit=100, private=private, stopping=lambda: False)


def test_a_request_is_signed_with_the_keys_and_carries_no_secret(endpoint: str, tmp_path: Path) -> None:
    download(remote(endpoint), tmp_path / "x")
    ((path, headers),) = Handler.asked
    assert path == f"/bucket/some/data/{PLACE}"
    assert "Credential=AKIAEXAMPLE/" in headers["Authorization"]
    assert "/us-east-1/s3/" in headers["Authorization"]
    assert headers["X-Amz-Security-Token"] == "the-token"
    assert "very-secret" not in str(Handler.asked)
    assert (tmp_path / "x").read_bytes() == DATA
    assert "very-secret" not in repr(KEYS)
    assert "the-token" not in repr(KEYS)


def test_without_keys_nothing_is_signed(endpoint: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "of-the-server")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "of-the-server")
    download(remote(endpoint), tmp_path / "x", None)
    assert "Authorization" not in Handler.asked[0][1]


def test_the_region_that_the_store_names_is_signed_for(endpoint: str, tmp_path: Path) -> None:
    Handler.answers = [(400, {"x-amz-bucket-region": "eu-north-1"}, "AuthorizationHeaderMalformed")]
    download(remote(endpoint, region="us-west-2"), tmp_path / "x")
    assert "/us-west-2/s3/" in Handler.asked[0][1]["Authorization"]
    assert "/eu-north-1/s3/" in Handler.asked[1][1]["Authorization"]
    Handler.answers = [(400, {"x-amz-bucket-region": "evil.example.org/"}, "AuthorizationHeaderMalformed")]
    with pytest.raises(errors.Forbidden, match="AuthorizationHeaderMalformed") as caught:
        download(remote(endpoint), tmp_path / "y")
    assert "region" in str(caught.value.remedy)
    assert len(Handler.asked) == 3


def test_a_redirect_is_not_followed(endpoint: str, tmp_path: Path) -> None:
    Handler.answers = [(307, {"Location": f"{endpoint}/away"}, "TemporaryRedirect")]
    with pytest.raises(errors.Forbidden, match="TemporaryRedirect"):
        download(remote(endpoint), tmp_path / "x")
    assert [path for path, _ in Handler.asked] == [f"/bucket/some/data/{PLACE}"]
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("status", "code", "kind", "remedy"),
    [
        (404, "NoSuchKey", errors.NotFound, None),
        (404, "", errors.NotFound, None),
        (404, "NoSuchBucket", errors.Forbidden, "endpointurl"),
        (403, "AccessDenied", errors.Forbidden, "secrets"),
        (403, "SignatureDoesNotMatch", errors.Forbidden, "secrets"),
        (400, "ExpiredToken", errors.Forbidden, "secrets"),
        (404, "XAdminNoSuchUser", errors.Forbidden, "secrets"),
        (400, "SomethingNew", errors.Forbidden, None),
        (503, "SlowDown", errors.Unavailable, None),
        (429, "", errors.Unavailable, None),
    ],
)
def test_what_a_store_says_is_told(
    endpoint: str, tmp_path: Path, status: int, code: str, kind: type[errors.RefmillError], remedy: str | None
) -> None:
    Handler.answers = [(status, {}, code)]
    with pytest.raises(kind, match=code or str(status) if kind is not errors.NotFound else "nothing") as caught:
        download(remote(endpoint), tmp_path / "x")
    assert remedy in str(caught.value.remedy) if remedy else caught.value.remedy is None
    assert list(tmp_path.iterdir()) == []


def test_remotes_that_cannot_be_are_told_of_and_not_asked(endpoint: str, tmp_path: Path) -> None:
    wrong = {
        "version_aware": remote(endpoint, versions=True),
        "path in endpoint": remote(f"{endpoint}/path"),
        "scheme in endpoint": remote("ftp://127.0.0.1"),
        "invalid region": remote(endpoint, region="a/b"),
        "invalid Amazon AWS host": remote("https://sts.amazonaws.com"),
    }
    for words, one in wrong.items():
        with pytest.raises(errors.WrongUse, match=words) as caught:
            download(one, tmp_path / "x")
        assert caught.value.remedy
    with pytest.raises(errors.WrongUse, match="characters") as caught:
        download(remote(endpoint), tmp_path / "x", S3Keys("key\r\nX: hidden", "very-secret"))
    assert "hidden" not in str(caught.value)
    assert Handler.asked == []


@pytest.mark.parametrize(
    "endpoint_of",
    ["http://127.0.0.1:{port}", "http://localhost:{port}", "http://169.254.169.254", "http://[::1]:{port}"],
)
def test_endpoints_inside_the_network_are_not_asked(endpoint: str, tmp_path: Path, endpoint_of: str) -> None:
    address = endpoint_of.format(port=endpoint.rpartition(":")[2])
    with pytest.raises(errors.Forbidden, match="inside this network"):
        download(remote(address), tmp_path / "x", private=False)
    assert Handler.asked == []


def test_the_host_that_is_connected_to_is_checked_whatever_the_style(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a bucket's own name in an address as well, and again for another region."""
    asked: list[str] = []

    def resolve(host: str, port: int, **options: object) -> list[tuple[object, ...]]:
        asked.append(host)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("10.1.2.3", port))]

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    for bucket, region, host in (
        ("bucket", "", "bucket.s3.us-east-1.amazonaws.com"), ("bucket", "eu-west-1", "bucket.s3.eu-west-1.amazonaws.com"),
        ("a.bucket", "", "s3.us-east-1.amazonaws.com"),
    ):  # fmt: skip
        one = S3Remote("x", f"s3://{bucket}", bucket, "", "https://s3.amazonaws.com", region)
        with pytest.raises(errors.Forbidden, match="inside this network"):
            download(one, tmp_path / "x", private=False)
        assert asked.pop() == host


def test_a_store_that_is_busy_is_asked_again(endpoint: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("refmill.clients.elsewhere.PAUSES", (0.0, 0.0))
    Handler.answers = [(503, {}, "SlowDown"), (500, {}, "InternalError")]
    world = World(tmp_path)
    world.bring(f"s3://bucket\nendpointurl = {endpoint}", NAME)
    assert world.arrived == [NAME]
    assert len(Handler.asked) == 3
    Handler.answers = [(503, {}, "SlowDown")] * 3
    again = World(tmp_path / "again")
    again.bring(f"s3://bucket\nendpointurl = {endpoint}", NAME)
    assert "SlowDown" in again.failed[NAME]
    Handler.answers = [(403, {}, "AccessDenied")] * 3
    refused = World(tmp_path / "refused")
    refused.bring(f"s3://bucket\nendpointurl = {endpoint}", NAME)
    assert len(Handler.answers) == 2  # asking again would change nothing


def test_keys_of_the_configuration_go_before_those_of_the_secrets(endpoint: str, tmp_path: Path) -> None:
    secrets = {"AWS_ACCESS_KEY_ID": "of-secrets", "AWS_SECRET_ACCESS_KEY": "secret\n", "AWS_SESSION_TOKEN": "token"}
    keys = "access_key_id = of-config\nsecret_access_key = secret\n"
    for number, (more, used) in enumerate(
        {"": "of-secrets", keys: "of-config", f"{keys}allow_anonymous_login = true\n": ""}.items()
    ):
        world = World(tmp_path / str(number))
        world.secrets = secrets
        world.bring(f"s3://bucket\nendpointurl = {endpoint}\n{more}", NAME)
        assert world.arrived == [NAME]
        assert f"Credential={used}/" in Handler.asked[-1][1].get("Authorization", "Credential=/")
    assert "X-Amz-Security-Token" in Handler.asked[0][1]
    assert "X-Amz-Security-Token" not in Handler.asked[1][1]


def test_only_the_beginning_of_what_a_server_says_is_read(endpoint: str, tmp_path: Path) -> None:
    Handler.answers = [(403, {}, "A" * fetching.SAID_BYTES)]
    said = fetching.get(endpoint, tmp_path / "x", limit=1, headers={}, private=True)
    assert said
    assert len(said.body) == fetching.SAID_BYTES
    Handler.answers = [(403, {}, "A" * 200)]
    with pytest.raises(errors.Forbidden, match="answered: 403"):
        download(remote(endpoint), tmp_path / "x")
