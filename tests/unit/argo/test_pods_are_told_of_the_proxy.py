"""The operator's proxy: what pods are told of it, and that nobody else is."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from werkzeug.test import Client

from planted_runs import Ground
from refmill.settings import Settings
from refmill_argo import manifests, proxies
from refmill_argo.compiling import compile_run
from refmill_argo.options import Options

URL = "http://mill:p4ssw0rd@proxy.example.org:3128"
FILES = {"dvc.yaml": "stages:\n  train: {cmd: 'true', outs: [model]}\n"}
HERE = ["localhost", "127.0.0.1", "::1"]


def told(root: Path, settings: Mapping[str, Any], *, network: bool = True) -> dict[str, Any]:
    """What a pod of a run is told; `network` is what holds for the repository."""
    ground = Ground(root, dict(settings))
    repository = ground.repository(FILES)
    ground.parts.records.catalogue.change(replace(repository, network=network))
    found: dict[str, Any] = ground.pod(ground.run(repository)).open()["proxy"]
    return found


def test_without_a_setting_none_is_told(tmp_path: Path) -> None:
    assert told(tmp_path, {"argo_no_proxy": ".svc"}) == {}


def test_the_platform_is_reached_directly_whatever_the_settings_say(tmp_path: Path) -> None:
    settings = {"argo_proxy": URL, "argo_no_proxy": ".svc, 10.0.0.0/8 localhost", "argo_pods_url": "http://mill.svc:80"}
    direct = ",".join([".svc", "10.0.0.0/8", "localhost", "mill.svc", *HERE[1:]])
    assert told(tmp_path, settings) == {"url": URL, "direct": direct, "stages": True}


def test_so_is_the_address_of_people() -> None:
    found = proxies.proxy(Settings(argo_proxy=URL), "http://[fd00::1]:8700", "https://refmill.example.org/")
    assert found.direct == ("fd00::1", "refmill.example.org", *HERE)


@pytest.mark.parametrize(("settings", "network", "stages"), [
    ({}, True, True), ({"argo_proxy_stages": False}, True, False), ({"argo_networks": "10.0.0.0/8"}, False, False),
])  # fmt: skip
def test_commands_are_told_where_the_operator_wants_it_and_they_have_the_network(
    tmp_path: Path, settings: dict[str, Any], network: bool, stages: bool
) -> None:
    found = told(tmp_path, {"argo_proxy": URL} | settings, network=network)
    assert (found["url"], found["stages"]) == (URL, stages)


def test_a_run_of_before_this_version_has_the_network() -> None:
    assert proxies.Proxy(URL).told({})["stages"] is True


def test_its_password_stands_in_no_manifest_no_file_and_on_no_page(tmp_path: Path, order: Any) -> None:
    ground = Ground(tmp_path, {"argo_proxy": URL})
    repository = ground.repository(FILES)
    ground.parts.records.catalogue.change(replace(repository, public=True))
    run = ground.run(repository)
    pod = ground.pod(run)
    pod.open()
    pod.begin()
    pod.end(code=1, reason="failed")
    page = Client(ground.application).get("/alice/digits/runs/1")
    assert (page.status_code, "p4ssw0rd" in page.get_data(as_text=True)) == (200, False)
    options = Options(server="https://refmill.example.org", runner="f" * 64)
    made = compile_run(order([()]), options)
    for text in (*made.workflows.values(), manifests.secret(run.id, "token", options), manifests.installation(options)):
        assert "p4ssw0rd" not in text
    for path in (tmp_path / "data").rglob("*"):
        assert not path.is_file() or b"p4ssw0rd" not in path.read_bytes(), path
