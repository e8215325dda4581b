"""How a cluster is reached, what its refusals mean, and what is never accepted; and what `refmill doctor` says of one."""

import http.server
import json
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from refmill import errors
from refmill_argo import kube
from refmill_argo.cluster import PODS, WORKFLOWS
from refmill_argo.inspecting import RIGHTS, Inspection
from refmill_argo.options import Options


class Server(http.server.ThreadingHTTPServer):
    answers: list[tuple[int, bytes]]
    asked: list[tuple[str, str, str]]


@pytest.fixture
def server() -> Iterator[Server]:
    class Answers(http.server.BaseHTTPRequestHandler):
        def answer(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            self.server.asked.append(
                (f"{self.command} {self.path}", self.headers.get("Authorization", ""), self.rfile.read(length).decode())
            )
            code, body = self.server.answers.pop(0)
            self.send_response(code)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_POST = do_PATCH = do_DELETE = answer  # noqa: N815 - the name that the library calls

        def log_message(self, *_: Any) -> None:
            pass

    made = Server(("127.0.0.1", 0), Answers)
    made.answers, made.asked = [], []
    thread = threading.Thread(target=made.serve_forever)
    thread.start()
    yield made
    made.shutdown()
    made.server_close()
    thread.join()


def config(folder: Path, address: str, **more: Any) -> str:
    path = folder / "config"
    cluster = {"server": address, **more}
    path.write_text(json.dumps({
        "apiVersion": "v1", "kind": "Config", "current-context": "here",
        "clusters": [{"name": "c", "cluster": cluster}], "users": [{"name": "u", "user": {"token": "secret"}}],
        "contexts": [{"name": "here", "context": {"cluster": "c", "user": "u"}}],
    }))  # fmt: skip
    return str(path)


@pytest.fixture
def cluster(server: Server, tmp_path: Path) -> kube.KubeCluster:
    return kube.connect("ns", config(tmp_path, f"http://127.0.0.1:{server.server_port}"))


def refusal(code: int, message: str) -> tuple[int, bytes]:
    return code, json.dumps({"kind": "Status", "code": code, "message": message}).encode()


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (refusal(404, 'workflows "x" not found'), errors.NotFound), (refusal(409, "x"), errors.Conflict),
        (refusal(403, "exceeded quota: few"), errors.WrongUse), (refusal(422, "spec is wrong"), errors.WrongUse),
        (refusal(401, "who are you"), errors.Unavailable), (refusal(429, "slowly"), errors.Unavailable),
        (refusal(503, "etcd"), errors.Unavailable), ((502, b"<html>"), errors.Unavailable), ((200, b"{"), errors.Unavailable),
        ((302, b"elsewhere"), errors.WrongUse),
    ],
)  # fmt: skip
def test_what_a_cluster_answers_is_one_of_our_errors_with_its_words(cluster, server, answer, error):
    server.answers.append(answer)
    with pytest.raises(error):
        cluster.get(WORKFLOWS, "x")
    assert server.asked == [("GET /apis/argoproj.io/v1alpha1/namespaces/ns/workflows/x", "Bearer secret", "")]


def test_a_list_of_several_pages_is_one(cluster, server):
    server.answers += [
        (200, b'{"metadata": {"continue": "more", "resourceVersion": "7"}, "items": [{"metadata": {"name": "a"}}]}'),
        (200, b'{"metadata": {"resourceVersion": "7"}, "items": [{"metadata": {"name": "b"}}]}'),
    ]
    found = cluster.list(PODS, "a=b")
    assert [item["metadata"]["name"] for item in found.things] == ["a", "b"]
    assert found.version == "7"
    assert "continue=more" in server.asked[1][0]


def test_a_watch_that_breaks_off_in_the_middle_of_a_line_is_no_answer(cluster, server):
    server.answers.append((200, b'{"type": "ADDED", "object": {"metadata": {"name": "a"}}}\n{"type": "ADD\n'))
    changes = cluster.watch(PODS, "", "1")
    assert next(changes).thing["metadata"]["name"] == "a"
    with pytest.raises(errors.Unavailable):
        next(changes)


def test_a_watch_of_a_version_that_is_forgotten_is_not_found(cluster, server):
    server.answers.append((200, b'{"type": "ERROR", "object": {"code": 410, "message": "too old resource version"}}\n'))
    with pytest.raises(errors.NotFound):
        list(cluster.watch(PODS, "", "1"))


def test_a_cluster_that_is_not_there_does_not_answer(tmp_path):
    with pytest.raises(errors.Unavailable, match="the cluster does not answer"):
        kube.connect("ns", config(tmp_path, "http://127.0.0.1:1")).get(WORKFLOWS, "x")


def test_certificates_are_verified_whatever_a_kubeconfig_says(tmp_path):
    with pytest.raises(errors.WrongUse, match="not to verify"):
        kube.connect("ns", config(tmp_path, "https://127.0.0.1:1", **{"insecure-skip-tls-verify": True}))


def test_a_cluster_is_not_spoken_to_in_the_clear(tmp_path):
    with pytest.raises(errors.WrongUse, match="is not https"):
        kube.connect("ns", config(tmp_path, "http://192.0.2.1"))


@pytest.mark.parametrize(
    "write", [lambda path: None, lambda path: path.write_text("{"), lambda path: path.write_text("[]")]
)
def test_a_kubeconfig_that_cannot_be_used_is_named(tmp_path: Path, write: Callable[[Path], object]):
    write(tmp_path / "config")
    with pytest.raises(errors.WrongUse, match="not known how to reach the cluster"):
        kube.connect("ns", str(tmp_path / "config"))


class Questions:
    address = "https://cluster"

    def __init__(self, **answers: Any) -> None:
        self.answers = answers
        self.denied: set[tuple[str, str]] = set()

    def ask(self, path: str, body: Any = None) -> Any:
        if body is not None:
            wanted = body["spec"]["resourceAttributes"]
            return {"status": {"allowed": (wanted["verb"], wanted["resource"]) not in self.denied}}
        found = self.answers.get(path.rpartition("/")[2], {})
        if isinstance(found, Exception):
            raise found
        return found


WHOLE = {
    "v1alpha1": {"resources": [{"name": "workflows"}, {"name": "workflowtaskresults"}]},
    "version": {"gitVersion": "v1.37"},
}
OPTIONS = Options(server="https://refmill.example.org", runner="0" * 64)


def found(questions: Questions, options: Options = OPTIONS, *, answers: bool = True) -> dict[str, tuple[str, str]]:
    return {
        name: (state, str(said)) for name, state, said in Inspection(questions, options, lambda _: answers).findings()
    }


def test_doctor_finds_a_whole_cluster_whole():
    assert {name: state for name, (state, _) in found(Questions(**WHOLE)).items()} == dict.fromkeys(
        ["cluster", "argo", "rights", "namespace", "server"], "ok"
    )


def test_doctor_names_every_right_that_is_lacking():
    questions = Questions(**WHOLE)
    questions.denied = {("patch", "workflows"), ("delete", "pods")}
    assert found(questions)["rights"] == (
        "bad", "Refmill may not do all it has to in the namespace refmill: patch workflows, delete pods"
    )  # fmt: skip
    assert {verb for _, _, _, verbs in RIGHTS for verb in verbs} == {
        "create",
        "get",
        "list",
        "watch",
        "patch",
        "delete",
    }


def test_doctor_says_what_is_not_there():
    none = errors.NotFound(errors.text("x"))
    assert found(Questions(version=errors.Unavailable(errors.text("away")))) == {"cluster": ("bad", "away")}
    assert found(Questions(**WHOLE | {"v1alpha1": none}))["argo"][1].startswith("the cluster has no Argo Workflows")
    assert (
        "workflowtaskresults missing"
        in found(Questions(**WHOLE | {"v1alpha1": {"resources": [{"name": "workflows"}]}}))["argo"][1]
    )
    said = found(Questions(**WHOLE | {"refmill-stage": none}))["namespace"]
    assert said == (
        "bad",
        "the namespace refmill lacks the service accounts refmill-stage: `refmill render --installation | kubectl apply -f -`",
    )
    assert found(Questions(**WHOLE), answers=False)["server"][0] == "warning"
    assert found(Questions(**WHOLE), Options(server="http://127.0.0.1:8700", runner="0"))["server"][0] == "bad"
