"""Pods on a real cluster whose packages lie behind the operator's HTTP proxy, at a name that only the proxy finds."""

from pathlib import Path

import pytest
from clusters import OnCluster
from pushing import FIT, SPEC, platform_on, push_new

from packages import http_proxy, package_index

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(600)]
PASSWORD = "p4ssw0rd"
FILES = {
    "dvc.yaml": "stages:\n  one: {cmd: 'smalltool > out.txt && env | grep -i proxy', outs: [out.txt]}\n",
    FIT: f"{SPEC}  requirements: requirements.txt\n",
    "requirements.txt": "small\n",
}


def test_packages_come_through_it_and_its_password_is_nowhere(
    workflows: OnCluster, python_image: str, namespace: str, tmp_path: Path
):
    with package_index(host=workflows.here) as index, http_proxy(f"mill:{PASSWORD}", host=workflows.here) as proxy:
        settings = {
            "argo_index": index.replace(workflows.here, "packages.test"), "argo_no_proxy": ".svc",
            "argo_proxy": f"http://mill:{PASSWORD}@{workflows.here}:{proxy.port}", "argo_pods": "Never",
        }  # fmt: skip
        with platform_on(workflows, namespace, python_image, tmp_path / "platform", **settings) as platform:
            pushed = push_new(platform, "proxied", tmp_path, FILES)
            pushed.ended()
            log = platform.refmill("logs", "alice/proxied#1", "one")
            assert f"HTTPS_PROXY=http://mill:***@{workflows.here}:{proxy.port}" in log
            host = platform.address.split("://")[1].rpartition(":")[0]
            assert f"NO_PROXY=.svc,{host},localhost,127.0.0.1,::1" in log
            assert any("packages.test" in asked for asked in proxy.asked)
            assert not [asked for asked in proxy.asked if "packages.test" not in asked]
            things = workflows.kubectl("get", "workflows.argoproj.io,pods,configmaps", "-n", namespace, "-o", "yaml")
            pods = workflows.kubectl("get", "pods", "-n", namespace, "-o", "name").split()
            said = "".join(workflows.kubectl("logs", "-n", namespace, pod, "--all-containers") for pod in pods)
            assert "HTTPS_PROXY=http://mill:***@" in said
            for words in (log, things, said, platform.log(), platform.refmill("show", "alice/proxied#1", "--json")):
                assert PASSWORD not in words
