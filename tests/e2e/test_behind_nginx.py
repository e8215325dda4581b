"""The sample deploy/nginx.conf in a real nginx before a real platform."""

import dataclasses
import json
import os
import random
import re
import shutil
import socket
import ssl
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests
from simple_websocket import Client

from loads import signed_in
from platforms import Platform, new_copy, wait
from server_processes import free_port

ROOT = Path(__file__).resolve().parents[2]
SAMPLE = (ROOT / "deploy" / "nginx.conf").read_text(encoding="utf-8")
NGINX = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")
MEGABYTES = 100
AROUND = """
daemon off; worker_processes 2; pid {folder}/nginx.pid; error_log {folder}/error.log; {user}
events {{ worker_connections 256; }}
http {{
    access_log off;
    client_body_temp_path {folder}/bodies; proxy_temp_path {folder}/answers; fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
    include {folder}/refmill.conf;
}}
"""


@dataclasses.dataclass(frozen=True)
class Behind:
    """The platform as it is reached through nginx, nginx's folder, and the certificate to be trusted."""

    platform: Platform
    folder: Path
    certificate: Path

    @property
    def gathered(self) -> list[float]:
        """When nginx last wrote a body of a question or an answer to the disk."""
        return [(self.folder / name).stat().st_mtime_ns for name in ("bodies", "answers")]


@pytest.fixture(scope="module")
def behind(platform: Platform, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Behind]:
    if NGINX is None:
        pytest.skip("there is no nginx")
    folder, port = tmp_path_factory.mktemp("nginx"), free_port()
    key, certificate = folder / "key.pem", folder / "certificate.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost", "-addext",
         "subjectAltName=DNS:localhost", "-keyout", key, "-out", certificate],
        check=True, capture_output=True,
    )  # fmt: skip
    changes = {
        "listen 443 ssl": f"listen 127.0.0.1:{port} ssl", "refmill.example.org;": "localhost;",
        "/etc/ssl/refmill.pem": str(certificate), "/etc/ssl/refmill.key": str(key),
        "http://127.0.0.1:8700": platform.address,
    }  # fmt: skip
    sample = SAMPLE
    for old, new in changes.items():
        assert old in sample
        sample = sample.replace(old, new)
    (folder / "refmill.conf").write_text(sample)
    user = "user root;" if os.geteuid() == 0 else ""
    (folder / "nginx.conf").write_text(AROUND.format(folder=folder, user=user))
    command = [NGINX, "-c", str(folder / "nginx.conf"), "-p", str(folder)]
    checked = subprocess.run([*command, "-t"], capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stderr
    server = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    try:
        wait(lambda: answers(port), "nginx is up")
        yield Behind(dataclasses.replace(platform, address=f"https://localhost:{port}"), folder, certificate)
    finally:
        server.terminate()
        server.wait(20)


def answers(port: int) -> bool:
    with socket.socket() as asking:
        return asking.connect_ex(("127.0.0.1", port)) == 0


@pytest.fixture
def trusted(behind: Behind, monkeypatch: pytest.MonkeyPatch) -> Behind:
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(behind.certificate))
    monkeypatch.setenv("GIT_SSL_CAINFO", str(behind.certificate))
    return behind


def test_the_operator_guide_shows_the_sample() -> None:
    guide = (ROOT / "docs" / "operator-guide.md").read_text(encoding="utf-8")
    shown = re.search(r"^```nginx\n(.*?)^```", guide, re.MULTILINE | re.DOTALL)
    assert shown is not None
    assert SAMPLE.endswith("\n\n" + shown[1])


def test_a_large_push_goes_through_and_is_gathered_nowhere(trusted: Behind, tmp_path: Path, name: str) -> None:
    copy = new_copy(
        tmp_path / "copy", {"dvc.yaml": "stages:\n  a: {cmd: wc -c < large > a, deps: [large], outs: [a]}\n"}
    )
    (copy.path / "large").write_bytes(random.Random(1).randbytes(MEGABYTES << 20))
    copy.commit()
    before = trusted.gathered
    copy.git("push", "--quiet", trusted.platform.url(f"alice/{name}", "alice"), "main")
    assert trusted.platform.ended(f"alice/{name}")["status"] == "succeeded"
    copy.git("clone", "--quiet", trusted.platform.url(f"alice/{name}", "alice"), str(tmp_path / "again"))
    assert (tmp_path / "again" / "large").stat().st_size == MEGABYTES << 20
    assert trusted.gathered == before


def test_a_log_is_followed_through_it_while_the_stage_runs(trusted: Behind, tmp_path: Path, name: str) -> None:
    go = tmp_path / "go"
    stage = f"stages:\n  a: {{cmd: 'echo begun; while ! test -e {go}; do sleep 0.1; done; echo 1 > a', outs: [a]}}\n"
    copy = new_copy(tmp_path / "copy", {"dvc.yaml": stage})
    copy.git("push", "--quiet", trusted.platform.url(f"alice/{name}", "alice"), "main")
    run = wait(lambda: trusted.platform.runs(f"alice/{name}"), "the run is there")[0]["id"]
    client = Client(
        f"{trusted.platform.address.replace('https', 'wss', 1)}/ws/runs/{run}?stage=a",
        headers={"Cookie": signed_in(trusted.platform, "alice")},
        ssl_context=ssl.create_default_context(cafile=str(trusted.certificate)),
    )
    try:
        rows: list[str] = []
        while "begun" not in "".join(rows):
            message = json.loads(client.receive(timeout=30))
            rows += [json.dumps(row) for row in message.get("rows", ())]
    finally:
        client.close()
        go.touch()
    assert trusted.platform.ended(f"alice/{name}")["status"] == "succeeded"


def test_who_signs_in_over_tls_has_cookies_for_tls_alone(trusted: Behind) -> None:
    answer = requests.get(f"{trusted.platform.address}/login", timeout=30)
    assert answer.status_code == 200
    assert [cookie.secure for cookie in answer.cookies] == [True]
