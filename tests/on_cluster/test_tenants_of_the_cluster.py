"""Two owners whose runs share a cluster: what a command in the pod of one can find out of the other, or of itself."""

import base64
import hashlib
import json
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import pytest
from clusters import OnCluster
from pushing import Lead, Pushed, push_new

from platforms import Platform

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(900)]
SECRET = b"what alice alone knows\n"
INTRUDER = r"""
import json, os, pathlib, ssl, sys, urllib.error, urllib.request
given = json.loads(pathlib.Path("/tmp/tries.json").read_text())
token = given["token"][::-1]
class Stay(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_):
        return None
anybody = ssl._create_unverified_context()
opener = urllib.request.build_opener(Stay, urllib.request.HTTPSHandler(context=anybody))
def ask(method, url, headers, body):
    headers = {key: value.replace("TOKEN", token) for key, value in headers.items()}
    request = urllib.request.Request(url, body.encode() if body else None, headers, method=method)
    try:
        with opener.open(request, timeout=20) as answer:
            return [answer.status, answer.read(4000).decode("utf-8", "replace")]
    except urllib.error.HTTPError as error:
        return [error.code, error.read(4000).decode("utf-8", "replace")]
    except OSError as error:
        return [0, str(error)]
def holds(path):
    try:
        with open(path, "rb") as file:
            return token.encode() in file.read(4 << 20)
    except OSError:
        return False
places = [path for name in ("environ", "cmdline") for path in pathlib.Path("/proc").glob("[0-9]*/" + name)]
for top in ("/work", "/tmp", "/refmill", "/run", "/var", "/etc", "/dev/shm", "/mnt", "/root", "/home", "/argo"):
    for folder, _, names in os.walk(top):
        places += [os.path.join(folder, name) for name in names]
def readable(path):
    try:
        open(path, "rb").close()
    except OSError:
        return False
    return True
runners = [
    place.parent for place in pathlib.Path("/proc").glob("[0-9]*/cmdline")
    if place.parent.name != str(os.getpid()) and b"runner.pyz" in place.read_bytes()
]
found = {
    "looked": len(places),
    "token": [str(path) for path in places if holds(path)],
    "variables": sorted(name for name in os.environ if name.startswith("REFMILL")),
    "accounts": os.path.exists("/var/run/secrets/kubernetes.io"),
    "runners": len(runners),
    "open": [str(place / name) for place in runners for name in ("environ", "mem") if readable(place / name)],
    "answers": {name: ask(*what) for name, what in given["tries"].items()},
}
json.dump(found, open("found.json", "w"), indent=1)
"""


def token_of(cluster: OnCluster, namespace: str, pushed: Pushed) -> str:
    """The token that a run's pods have."""
    data = cluster.kubectl.data("get", "secret", f"rf-{pushed.run}", "-n", namespace)["data"]["token"]
    return base64.b64decode(data).decode()


def status(url: str, token: str) -> int:
    """What a GET with a run's token is answered."""
    request = urllib.request.Request(url, headers={"Authorization": f"Bearer {token}"})
    try:
        with urllib.request.urlopen(request, timeout=20) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code


@pytest.mark.ci
def test_a_command_finds_nothing_of_another_owner_and_not_its_own_token(
    platform: Platform, tmp_path: Path, workflows: OnCluster, namespace_of_all: str, led: Lead
):
    platform.user("bob")
    hers = push_new(platform, "private", tmp_path, {
        "dvc.yaml": "stages:\n  secret: {cmd: python3 led.py secret, outs: [secret.txt]}\n"
        "  hold: {cmd: python3 led.py hold, deps: [secret.txt], outs: [held.txt]}\n",
        **led.files,
    })  # fmt: skip
    led.give("secret", f"printf '{SECRET.decode().strip()}\\n' > secret.txt")
    his = push_new(platform, "own", tmp_path, {
        "dvc.yaml": "stages:\n  look:\n    cmd: python3 led.py look\n    deps: [intruder.py]\n    outs:\n"
        "    - found.json: {cache: false}\n",
        "intruder.py": INTRUDER,
        **led.files,
    }, "bob")  # fmt: skip
    led.wait_for("hold")
    led.wait_for("look")
    her_token, his_token = (token_of(workflows, namespace_of_all, pushed) for pushed in (hers, his))
    md5 = hashlib.md5(SECRET, usedforsecurity=False).hexdigest()
    data = f"/alice/private.dvc/files/md5/{md5[:2]}/{md5[2:]}"
    assert status(platform.address + data, her_token) == 200, "it is there for her own run"

    tries = tries_of(platform, hers, his, namespace_of_all, md5)
    given = json.dumps({"token": his_token[::-1], "tries": tries})
    led.give("look", f"cat > /tmp/tries.json <<'END'\n{given}\nEND\npython3 intruder.py")
    his.ended()
    found = json.loads(his.result()["found.json"][1])

    assert found["looked"] > 100
    assert found["token"] == []
    assert (found["runners"], found["open"]) == (2, []), "Argo's process, and the step runner below it"
    assert found["variables"] == ["REFMILL", "REFMILL_RUN"]
    assert found["accounts"] is False
    answers = found["answers"]
    assert answers.pop("own share")[0] == 200, "the token is in force"
    offered = json.loads(answers.pop("own batch, her object")[1])["objects"]
    assert offered[md5] == {"error": 404}
    wanted = json.loads(answers.pop("own upload, her object")[1])["objects"]
    assert wanted[md5]["method"] == "PUT", "as if it were nowhere"
    assert answers.pop("cluster")[0] in (401, 403), "whether or not the API server hears anybody"
    assert {name: answer[0] for name, answer in answers.items()} == EXPECTED
    assert not [name for name, answer in found["answers"].items() if SECRET.decode().strip() in answer[1]]

    assert status(f"{platform.address}/api/runs/{his.run}/pods/1/plan.json", his_token) == 410
    led.give("hold", "echo held > held.txt")
    hers.ended()


EXPECTED = {
    "her share": 403, "her commit": 403, "her attempt": 403, "her log": 403, "her environment": 403, "nobody": 401,
    "her data": 404, "her batch": 404, "own remote, her object": 404, "her git": 401, "own git": 401, "her page": 302,
    "her live log": 404,
}  # fmt: skip


def tries_of(platform: Platform, hers: Pushed, his: Pushed, namespace: str, md5: str) -> dict[str, Any]:
    """What a command that had its run's token would ask: method, address, headers, body."""
    mine = {"Authorization": "Bearer TOKEN"}
    basic = {"Authorization": "Bearer TOKEN"}
    api, her = f"{platform.address}/api/runs", f"{platform.address}/api/runs/{hers.run}"
    at = f"files/md5/{md5[:2]}/{md5[2:]}"
    begin = json.dumps({"who": "x", "attempt": 1})
    batch = json.dumps({"operation": "download", "objects": [md5]})
    upload = json.dumps({"operation": "upload", "objects": [md5]})
    refs = "info/refs?service=git-upload-pack"
    return {
        "own share": ("GET", f"{api}/{his.run}/pods/1/plan.json", mine, ""),
        "nobody": ("GET", f"{api}/{his.run}/pods/1/plan.json", {}, ""),
        "her share": ("GET", f"{her}/pods/1/plan.json", mine, ""),
        "her commit": ("GET", f"{her}/pods/commit.tar.gz", mine, ""),
        "her attempt": ("POST", f"{her}/pods/1/stages/0/begin", mine, begin),
        "her log": ("POST", f"{her}/pods/1/stages/0/log?attempt=1&offset=0", mine, "x"),
        "her environment": ("GET", f"{her}/environments/some", mine, ""),
        "her data": ("GET", f"{platform.address}/alice/private.dvc/{at}", mine, ""),
        "her batch": ("POST", f"{platform.address}/alice/private.dvc/batch", mine, batch),
        "own remote, her object": ("GET", f"{platform.address}/bob/own.dvc/{at}", mine, ""),
        "own batch, her object": ("POST", f"{platform.address}/bob/own.dvc/batch", mine, batch),
        "own upload, her object": ("POST", f"{platform.address}/bob/own.dvc/batch", mine, upload),
        "her git": ("GET", f"{platform.address}/alice/private.git/{refs}", basic, ""),
        "own git": ("GET", f"{platform.address}/bob/own.git/{refs}", basic, ""),
        "her page": ("GET", f"{platform.address}/alice/private", mine, ""),
        "her live log": ("GET", f"{platform.address}/ws/runs/{hers.run}.json?stage=secret&attempt=1&line=1", mine, ""),
        "cluster": (
            "GET",
            f"https://kubernetes.default.svc/api/v1/namespaces/{namespace}/secrets/rf-{hers.run}",
            {},
            "",
        ),
    }
