"""What Refmill's engine will ask of a cluster, asked of a real one."""

import http.server
import threading
import urllib.request

import pytest
from clusters import OnCluster

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(600)]
ASK = """
import ssl, sys, urllib.error, urllib.request
base = "/var/run/secrets/kubernetes.io/serviceaccount"
token = open(f"{base}/token").read()
trusted = ssl.create_default_context(cafile=f"{base}/ca.crt")
for path in sys.argv[1:]:
    asked = urllib.request.Request(f"https://kubernetes.default.svc{path}", headers={"Authorization": f"Bearer {token}"})
    try:
        print(path, urllib.request.urlopen(asked, context=trusted).status)
    except urllib.error.HTTPError as error:
        print(path, error.code)
"""


def get(url: str) -> str:
    with urllib.request.urlopen(url, timeout=10) as answer:
        return answer.read().decode()


def web(cluster: OnCluster, namespace: str) -> tuple[str, str]:
    """The addresses of a pod that serves a page, and of its service."""
    cluster.run(
        namespace, "web", "mkdir /www && echo 'a page' >/www/index.html && exec httpd -f -p 8080 -h /www",
        container={"readinessProbe": {"httpGet": {"path": "/", "port": 8080}, "periodSeconds": 1}},
    )  # fmt: skip
    spec = {"selector": {"app": "web"}, "ports": [{"port": 80, "targetPort": 8080}]}
    cluster.kubectl.apply(
        {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "web", "namespace": namespace}, "spec": spec}
    )
    pod = cluster.ready(namespace, "web")
    return pod, cluster.kubectl.data("get", "service", "web", "-n", namespace)["spec"]["clusterIP"]


def test_a_pod_runs_from_a_local_image_and_its_log_and_exit_code_are_read(cluster, namespace):
    cluster.run(namespace, "fails", "echo to the log; echo to the other >&2; exit 7")
    assert cluster.finished(namespace, "fails")["exitCode"] == 7
    assert sorted(cluster.logs(namespace, "fails").splitlines()) == ["to the log", "to the other"]


def test_a_command_runs_in_a_running_pod(cluster, namespace):
    cluster.run(namespace, "waits", "echo here >/tmp/note; sleep 600")
    cluster.ready(namespace, "waits")
    assert cluster.kubectl("exec", "waits", "-n", namespace, "--", "cat", "/tmp/note") == "here\n"
    failed = cluster.kubectl.tried("exec", "waits", "-n", namespace, "--", "sh", "-c", "exit 5")
    assert failed.returncode == 5


def test_a_log_is_followed_while_the_pod_runs(cluster, namespace):
    cluster.run(namespace, "counts", "for n in 1 2 3 4 5; do echo $n; sleep 0.2; done")
    cluster.phase(namespace, "counts", "Running", "Succeeded")
    assert cluster.kubectl("logs", "--follow", "counts", "-n", namespace).split() == ["1", "2", "3", "4", "5"]


def test_a_pod_that_wants_more_memory_than_its_limit_is_killed_and_says_so(cluster, namespace, python_image):
    script = "python3 -c 'print(len(bytearray(200 * 1024**2)))'"
    cluster.run(
        namespace, "greedy", script, image=python_image, container={"resources": {"limits": {"memory": "50Mi"}}}
    )
    ended = cluster.finished(namespace, "greedy")
    assert (ended["reason"], ended["exitCode"]) == ("OOMKilled", 137)


def test_a_pod_that_takes_too_long_is_ended(cluster, namespace):
    cluster.run(namespace, "slow", "sleep 600", activeDeadlineSeconds=2)
    assert cluster.phase(namespace, "slow", "Failed")["status"]["reason"] == "DeadlineExceeded"


def test_a_service_account_may_do_what_its_role_says_and_nothing_else(cluster, namespace, python_image):
    rules = [{"apiGroups": [""], "resources": ["configmaps"], "verbs": ["list"]}]
    about = {"name": "reads", "namespace": namespace}
    group = "rbac.authorization.k8s.io"
    cluster.kubectl.apply(
        {"apiVersion": f"{group}/v1", "kind": "Role", "metadata": about, "rules": rules},
        {
            "apiVersion": f"{group}/v1", "kind": "RoleBinding", "metadata": about,
            "roleRef": {"apiGroup": group, "kind": "Role", "name": "reads"},
            "subjects": [{"kind": "ServiceAccount", "name": "default", "namespace": namespace}],
        },
    )  # fmt: skip
    paths = [f"/api/v1/namespaces/{namespace}/configmaps", f"/api/v1/namespaces/{namespace}/secrets", "/api/v1/nodes"]
    cluster.run(namespace, "asks", "", image=python_image, container={"command": ["python3", "-c", ASK, *paths]})
    cluster.finished(namespace, "asks")
    said = dict(line.split() for line in cluster.logs(namespace, "asks").splitlines())
    assert list(said.values()) == ["200", "403", "403"]


def test_a_pods_and_a_services_address_are_reached_from_this_machine(cluster, namespace):
    if cluster.files is None:
        pytest.skip("a given cluster's addresses need not be reachable from here")
    pod, service = web(cluster, namespace)
    assert get(f"http://{pod}:8080/") == "a page\n"
    assert get(f"http://{service}/") == "a page\n"


def test_names_of_services_resolve_inside_a_pod(cluster, namespace):
    _, service = web(cluster, namespace)
    names = f"web web.{namespace} web.{namespace}.svc.cluster.local"
    cluster.run(
        namespace, "looks",
        f"for name in {names}; do wget -q -O - http://$name/ || exit 1; done; nslookup web.{namespace}.svc.cluster.local",
    )  # fmt: skip
    assert cluster.finished(namespace, "looks")["exitCode"] == 0, cluster.logs(namespace, "looks")
    said = cluster.logs(namespace, "looks")
    assert said.count("a page") == 3
    assert service in said


def test_a_pod_reaches_a_server_on_this_machine(cluster, namespace):
    with http.server.ThreadingHTTPServer((cluster.here, 0), http.server.SimpleHTTPRequestHandler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        cluster.run(namespace, "calls", f"wget -q -O /dev/null http://{cluster.here}:{server.server_port}/")
        ended = cluster.finished(namespace, "calls")
        server.shutdown()
        thread.join()
    assert ended["exitCode"] == 0, cluster.logs(namespace, "calls")


def test_a_file_goes_through_a_volume_from_one_container_to_the_next(cluster, namespace, python_image):
    mounts = {"volumeMounts": [{"name": "work", "mountPath": "/work"}]}
    first = {
        "name": "first", "image": python_image, "imagePullPolicy": "IfNotPresent",
        "command": ["sh", "-c", "git init -q /work/tree && echo made >/work/tree/file"],
    }  # fmt: skip
    cluster.run(
        namespace, "two", "cat /work/tree/file", initContainers=[first | mounts], container=mounts,
        volumes=[{"name": "work", "emptyDir": {}}],
    )  # fmt: skip
    assert cluster.finished(namespace, "two")["exitCode"] == 0
    assert cluster.logs(namespace, "two") == "made\n"
