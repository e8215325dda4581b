"""What the Argo Server is asked, what its answers mean, and that none of them has no end."""

import http.server
import json
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from refmill import errors
from refmill_argo import argoserver
from refmill_argo.argoserver import ArgoServer
from serving import serving

NAME = "rf-abc"
PATH = f"/api/v1/workflows/ns/{NAME}"


@dataclass
class Server:
    """Answers in their order; `asked` are request line, token and body of each question."""

    address: str = ""
    answers: list[tuple[int, bytes]] = field(default_factory=list)
    asked: list[tuple[str, str, str]] = field(default_factory=list)
    drip: float = 0.0


@pytest.fixture
def server() -> Iterator[Server]:
    made = Server()

    class Answers(http.server.BaseHTTPRequestHandler):
        def answer(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            body = self.rfile.read(length).decode()
            made.asked.append((f"{self.command} {self.path}", self.headers.get("Authorization", ""), body))
            code, said = made.answers.pop(0)
            self.send_response(code)
            self.send_header("Content-Length", str(len(said)))
            if code == 302:
                self.send_header("Location", "http://127.0.0.1:1/")
            self.end_headers()
            try:
                for at in range(0, len(said), 1 if made.drip else max(1, len(said))):
                    self.wfile.write(said[at : at + 1] if made.drip else said)
                    time.sleep(made.drip)
            except OSError:
                self.close_connection = True

        do_GET = do_PUT = answer  # noqa: N815 - the name that the library calls

        def log_message(self, *_: Any) -> None:
            pass

    with serving(Answers) as made.address:
        yield made


@pytest.fixture
def token(tmp_path: Path) -> Path:
    path = tmp_path / "token"
    path.write_text("secret\n")
    return path


@pytest.fixture
def asking(server: Server, token: Path) -> ArgoServer:
    return argoserver.connect(f"{server.address}/argo/", "ns", token_file=str(token))


def grpc(code: int, message: str) -> bytes:
    return json.dumps({"code": code, "message": message}).encode()


def test_a_workflow_is_asked_for_with_the_token_and_only_for_what_is_read(server: Server, asking: ArgoServer):
    server.answers.append((200, b'{"metadata": {"name": "rf-abc"}}'))
    assert asking.workflow(NAME) == {"metadata": {"name": NAME}}
    ((line, authorization, body),) = server.asked
    assert line.startswith(f"GET /argo{PATH}?fields=metadata.name%2Cmetadata.uid%2C")
    assert (authorization, body) == ("Bearer secret", "")


def test_the_token_is_read_anew_each_time_as_argos_command_prints_it(server: Server, asking: ArgoServer, token: Path):
    server.answers += [(200, b"{}")] * 2
    asking.workflow(NAME)
    token.write_text("Bearer another")
    asking.workflow(NAME)
    assert [authorization for _, authorization, _ in server.asked] == ["Bearer secret", "Bearer another"]


def test_a_point_is_set_by_its_id_and_by_nothing_that_an_id_could_say_beside(server: Server, asking: ArgoServer):
    server.answers += [(200, b"{}")] * 2
    asking.set_node(NAME, "rf-abc-1", "Succeeded")
    asking.set_node(NAME, "a,phase=Running", "Failed")
    told = [json.loads(body) for _, _, body in server.asked]
    assert server.asked[0][0] == f"PUT /argo{PATH}/set"
    assert (told[0]["nodeFieldSelector"], told[0]["phase"]) == ("id=rf-abc-1", "Succeeded")
    assert (told[1]["nodeFieldSelector"], told[1]["phase"]) == (r"id=a\,phase\=Running", "Failed")


@pytest.mark.parametrize(
    ("answer", "error", "words"),
    [
        ((404, grpc(5, "workflows not found")), errors.NotFound, "workflows not found"),
        ((403, grpc(7, "permission denied")), errors.WrongUse, "permission denied"),
        ((400, grpc(3, "not managed by the current Argo Server")), errors.WrongUse, "not managed"),
        ((401, grpc(16, "token not valid")), errors.Unavailable, "does not take our token: token not valid"),
        ((500, grpc(13, "database is gone")), errors.Unavailable, "database is gone"),
        ((429, b"slowly"), errors.Unavailable, "429"),
        ((502, b"<html>"), errors.Unavailable, "502"),
        ((404, b"<html>"), errors.Unavailable, "is no Argo Server"),
        ((200, b"<html>"), errors.Unavailable, "is no Argo Server"),
        ((200, b"[]"), errors.Unavailable, "is no Argo Server"),
        ((200, b"[" * 100_000), errors.Unavailable, "is no Argo Server"),
        ((302, b"{}"), errors.WrongUse, "302"),
    ],
)
def test_what_it_answers_is_one_of_our_errors_with_its_words(server, asking, answer, error, words):
    server.answers.append(answer)
    with pytest.raises(error, match=words):
        asking.workflow(NAME)


def test_an_answer_that_is_too_large_is_not_read_to_its_end(server, asking, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(argoserver, "LIMIT", 1000)
    server.answers.append((200, b" " * 5_000_000))
    with pytest.raises(errors.Unavailable, match="has no end within"):
        asking.workflow(NAME)


def test_an_answer_that_drips_is_not_waited_for(server, asking, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(argoserver, "WHOLE", 0.3)
    server.answers.append((200, b" " * 100))
    server.drip = 0.1
    with pytest.raises(errors.Unavailable, match="has no end within"):
        asking.workflow(NAME)


def test_a_server_that_does_not_answer_is_left_alone_for_a_while(server, asking, monkeypatch: pytest.MonkeyPatch):
    server.answers += [(503, b"no"), (200, b"{}")]
    for _ in range(3):
        with pytest.raises(errors.Unavailable, match="does not answer: 503"):
            asking.workflow(NAME)
    assert len(server.asked) == 1
    monkeypatch.setattr(asking, "_silent", 0.0)
    assert asking.workflow(NAME) == {}


def test_a_server_that_is_not_there_does_not_answer():
    with pytest.raises(errors.Unavailable, match="does not answer"):
        argoserver.connect("http://127.0.0.1:1", "ns").workflow(NAME)


def test_without_a_token_none_is_sent(server: Server):
    server.answers.append((200, b"{}"))
    argoserver.connect(server.address, "ns").workflow(NAME)
    assert server.asked[0][1] == ""


@pytest.mark.parametrize("written", [None, b"", b"two\nlines", "ключ".encode(), b"Bearer "])
def test_a_file_without_a_token_is_named(server: Server, asking: ArgoServer, token: Path, written: bytes | None):
    token.unlink() if written is None else token.write_bytes(written)
    with pytest.raises(errors.WrongUse, match=str(token)):
        asking.workflow(NAME)
    assert server.asked == []


def test_a_token_is_not_sent_in_the_clear(token: Path):
    with pytest.raises(errors.WrongUse, match="is not https"):
        argoserver.connect("http://argo.example.org", "ns", token_file=str(token))
    argoserver.connect("http://argo.example.org", "ns")
    argoserver.connect("https://argo.example.org", "ns", token_file=str(token))


@pytest.mark.parametrize("written", [None, "nothing signed"])
def test_a_file_that_is_no_authority_is_named(tmp_path: Path, written: str | None):
    if written is not None:
        (tmp_path / "ca").write_text(written)
    with pytest.raises(errors.WrongUse, match="argo_server_ca names, cannot be used"):
        argoserver.connect("https://127.0.0.1:1", "ns", ca=str(tmp_path / "ca"))


def test_doctor_hears_the_version_of_a_server_that_lets_us_read(server: Server, asking: ArgoServer):
    server.answers += [(200, b'{"version": "v4.1.2"}'), (200, b'{"metadata": {}}')]
    assert asking.version() == "v4.1.2"
    assert "/api/v1/workflows/ns?listOptions.limit=1" in server.asked[1][0]
    server.answers += [(200, b'{"version": "v4.1.2"}'), (403, grpc(7, "you are not allowed to list workflows"))]
    with pytest.raises(errors.WrongUse, match="not allowed to list"):
        asking.version()
