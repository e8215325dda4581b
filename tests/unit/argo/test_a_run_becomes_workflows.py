"""What a plan becomes, and that nothing of a repository's text becomes part of it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from refmill import errors
from refmill.model.placement import Allowed, Toleration
from refmill.ports.engines import RunOrder
from refmill_argo import contract
from refmill_argo.comments import comments
from refmill_argo.compiling import compile_run
from refmill_argo.options import Options

EVIL = (
    "'{{workflow.name}}' \"${x} `id` $(id)\n---\n- n: y # «x» [[ 7 ]] [% raw %]\t\u2028\x85\u202e\x00\x1b {{=1+1}} %s"
)
NASTY = st.text(
    st.one_of(st.sampled_from("{}[]%#$\"'\\\n\r\t:-&*!|>`«»~ny\u2028\u2029\x85\x7f\ufeff\ud800"), st.characters())
)


def only(order: RunOrder, options: Options) -> dict[str, Any]:
    (text,) = compile_run(order, options).workflows.values()
    found: dict[str, Any] = yaml.safe_load(text)
    return found


def template(workflow: dict[str, Any], name: str) -> dict[str, Any]:
    return next(item for item in workflow["spec"]["templates"] if item["name"] == name)


@given(name=NASTY, command=NASTY, value=NASTY)
@settings(deadline=None)
def test_a_workflow_is_the_same_whatever_a_repository_says(name: str, command: str, value: str, order, options) -> None:
    needs = [(), (0,), ()]
    said = {0: {"env": {"A": value}, "requirements": value}, 2: {"secrets": {"B": value}}}
    evil = compile_run(
        order(needs, names={0: f"0{name}", 2: f"2{value}"}, commands={0: (command,), 1: value}, settings=said), options
    )
    tame = compile_run(order(needs), options)
    assert evil.workflows == tame.workflows
    told = evil.plan["pods"][0][0]
    assert (told["address"], told["commands"], told["env"]) == (f"0{name}", [command], {"A": value})


@given(name=NASTY, command=NASTY)
@settings(deadline=None)
def test_comments_are_nothing_but_comments(name: str, command: str, order, options) -> None:
    made = order([()], names={0: f"s{name}"}, commands={0: (command,)}, verdicts={})
    bundle = compile_run(made, options)
    said = comments(made.plan, bundle.pods, str)
    assert all(line.startswith("#") for line in said.split("\n")[:-1])
    said.encode()
    assert list(yaml.safe_load_all(said)) == []
    text = said + next(iter(bundle.workflows.values()))
    assert yaml.safe_load(text) == yaml.safe_load(next(iter(bundle.workflows.values())))


def test_commands_can_be_read_in_the_comments(order, options: Options) -> None:
    made = order(
        [(), (0,), (), (), (3,)], names={1: "train@a"}, commands={0: "one\ntwo", 1: EVIL.split("\n", maxsplit=1)[0]},
        verdicts={2: "cached", 3: "blocked"}, settings={0: {"pause": True}},
    )  # fmt: skip
    assert comments(made.plan, compile_run(made, options).pods, str).splitlines() == [
        "# stages: 2, pods: 1",
        "# cached, without a pod: s2",
        "# cannot run: s3, s4",
        "# s0001",
        "#   waits for consent",
        "#   s0",
        "#     one",
        "#     two",
        "#   train@a",
        "#     '{{workflow.name}}' \"${x} `id` $(id)",
    ]


def test_values_of_a_run_stay_values(order, options: Options) -> None:
    run = replace(order([()]).run, ref=f"refs/heads/{EVIL}", repository="ada/n", repository_id="0x1F")
    workflow = only(order([()], run=run), options)
    assert workflow["metadata"]["annotations"]["refmill.dev/ref"] == f"refs/heads/{EVIL}"
    assert workflow["metadata"]["labels"]["refmill.dev/repository"] == "0x1F"
    assert EVIL[:10] not in str(workflow["spec"])


def test_the_same_run_is_the_same_bytes(order, options: Options) -> None:
    shape = [(), (0,), (0,), (1, 2)]
    assert compile_run(order(shape), options) == compile_run(order(shape), options)
    assert list(compile_run(order(shape), options).workflows) == ["rf-abcdefghij0123456789"]


def test_cached_and_blocked_stages_have_no_pod(order, options: Options) -> None:
    made = order([(), (0,), (), (2,), (3,)], verdicts={0: "cached", 1: "later", 2: "blocked", 3: "later"})
    assert [[item.stage.name for item in pod.stages] for pod in compile_run(made, options).pods] == [["s1"]]


def test_nothing_to_run_is_no_workflow(order, options: Options) -> None:
    assert compile_run(order([()], verdicts={0: "cached"}), options).workflows == {}


def test_a_pod_has_no_right_that_it_does_not_need(order, options: Options) -> None:
    for image in ("python:3.12", "busybox"):
        asked = replace(options, allowed=Allowed(without_python=("busybox",)))
        workflow = only(order([()], settings={0: {"image": image}}), asked)
        spec, pod = workflow["spec"], template(workflow, "t1")
        assert spec["automountServiceAccountToken"] is False
        assert spec["serviceAccountName"] != spec["executor"]["serviceAccountName"]
        assert spec["securityContext"] == {
            "runAsNonRoot": True, "runAsUser": 8737, "runAsGroup": 8737, "fsGroup": 8737,
            "seccompProfile": {"type": "RuntimeDefault"},
        }  # fmt: skip
        containers = [pod["container"]] if "container" in pod else pod["containerSet"]["containers"]
        for container in containers:
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False, "privileged": False, "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }  # fmt: skip
            assert container["resources"]["limits"] == container["resources"]["requests"]
            assert set(container["resources"]["limits"]) == {"cpu", "memory"}
            assert not [
                mount for mount in container["volumeMounts"] if mount["name"] not in {"work", "tmp", "shm", "runner"}
            ]


def test_what_a_pod_is_given_is_what_the_contract_says(order, options: Options) -> None:
    workflow = only(order([()]), options)
    container = template(workflow, "t1")["container"]
    env = {item["name"]: item for item in container["env"]}
    assert env[contract.SERVER]["value"] == "https://refmill.example.org"
    assert env[contract.RUN]["value"] == "abcdefghij0123456789"
    assert env[contract.TOKEN]["valueFrom"] == {"secretKeyRef": {"name": "rf-abcdefghij0123456789", "key": "token"}}
    assert container["command"] == ["python3", f"{contract.FOLDER}/{contract.KEY}", "run"]
    assert container["args"] == [f"{{{{inputs.parameters.{contract.PARAMETER}}}}}"]
    (task,) = template(workflow, "main")["dag"]["tasks"]
    assert task["arguments"] == {"parameters": [{"name": contract.PARAMETER, "value": "1"}]}
    (volume,) = [item for item in template(workflow, "t1")["volumes"] if item["name"] == "runner"]
    assert volume["configMap"]["name"] == contract.runner_name("f" * 64)


def test_where_the_image_has_no_python_all_volumes_are_the_templates_own(order, options: Options) -> None:
    """Argo adds no others to the pod of a set of containers, which Kubernetes then refuses."""
    plain = template(only(order([()], settings={0: {"image": "tools", "python": False}}), options), "t1")
    mounted = {mount["name"] for each in plain["containerSet"]["containers"] for mount in each["volumeMounts"]}
    assert mounted == {volume["name"] for volume in plain["volumes"]} == {"runner", "work", "tmp", "shm"}


def test_where_the_image_has_no_python_its_container_gets_no_token(order, options: Options) -> None:
    workflow = only(order([(), (0,)], settings={1: {"image": "tools", "python": False}}), options)
    fetch, main, store = template(workflow, "t2")["containerSet"]["containers"]
    assert [fetch["name"], main["name"], store["name"]] == ["fetch", "main", "store"]
    assert (main["dependencies"], store["dependencies"]) == (["fetch"], ["main"])
    assert (fetch["image"], main["image"], store["image"]) == (options.image, "tools", options.image)
    assert main["command"] == ["/bin/sh", contract.SCRIPT]
    assert contract.TOKEN not in str(main)
    assert "runner" not in str(main)


def test_an_image_without_a_shell_is_refused(order, options: Options) -> None:
    asked = replace(options, allowed=Allowed(without_shell=("scratch", "gcr.io/distroless/*")))
    for image in ("scratch", "docker.io/library/scratch", "gcr.io/distroless/python3:nonroot"):
        with pytest.raises(errors.WrongUse, match="/bin/sh"):
            compile_run(order([()], settings={0: {"image": image}}), asked)


def test_images_are_known_without_their_registry_tag_and_digest() -> None:
    known = Allowed(without_python=("busybox", "alpine"))
    for image in ("busybox", "busybox:1.37", "docker.io/library/alpine@sha256:ab", "library/busybox:x"):
        assert not known.has_python(image)
    for image in ("python:3", "ghcr.io/busybox", "me/busybox", "localhost:5000/busybox"):
        assert known.has_python(image)


def test_amounts_and_places_are_those_of_refmill_yaml(order, options: Options) -> None:
    said = {
        "cpu": 0.25, "memory": 123456789, "gpu": 2, "node_selector": {"gpu": "n", "a": "true"}, "priority_class": "low",
        "tolerations": (Toleration("gpu", "y", "NoSchedule"), Toleration("spot", exists=True)),
    }  # fmt: skip
    pod = template(only(order([()], settings={0: said}), options), "t1")
    amounts = {"cpu": "250m", "memory": "123456789", "nvidia.com/gpu": "2"}
    assert pod["container"]["resources"] == {"requests": amounts, "limits": amounts}
    assert pod["nodeSelector"] == {"a": "true", "gpu": "n"}
    assert pod["priorityClassName"] == "low"
    assert pod["tolerations"] == [
        {"key": "gpu", "operator": "Equal", "value": "y", "effect": "NoSchedule"}, {"key": "spot", "operator": "Exists"},
    ]  # fmt: skip


def test_a_pod_ends_when_all_attempts_of_its_stages_must_have_ended(order, options: Options) -> None:
    timed = {0: {"timeout": 60, "retries": 2}, 1: {"timeout": 30.5}}
    assert template(only(order([(), (0,)], settings=timed), options), "t1")["activeDeadlineSeconds"] == 811
    assert template(only(order([(), (0,)], settings=timed), options), "t1")["retryStrategy"]["limit"] == 4
    assert "activeDeadlineSeconds" not in template(only(order([(), (0,)], settings={0: {"timeout": 1}}), options), "t1")


def test_a_pause_point_is_a_task_before_its_pod(order, options: Options) -> None:
    workflow = only(order([(), (0,), (1,)], settings={1: {"pause": True}}), options)
    assert [(task["name"], task.get("dependencies")) for task in template(workflow, "main")["dag"]["tasks"]] == [
        ("s0001", None), ("p0002", ["s0001"]), ("s0002", ["p0002"]),
    ]  # fmt: skip
    assert template(workflow, "pause")["suspend"] == {}


def test_the_operator_says_how_long_things_stay(order, options: Options) -> None:
    spec = only(order([()]), options)["spec"]
    assert (spec["ttlStrategy"], spec["podGC"], spec["parallelism"]) == (
        {"secondsAfterCompletion": 86400}, {"strategy": "OnPodSuccess"}, 50,
    )  # fmt: skip
    spec = only(order([()]), replace(options, pods="Never", parallelism=0))["spec"]
    assert not {"podGC", "parallelism"} & set(spec)


def test_without_the_network_a_pod_needs_the_networks_that_every_pod_needs(order, options: Options) -> None:
    with pytest.raises(errors.WrongUse, match="network"):
        compile_run(order([()], network=False), options)
    asked = replace(options, networks=("10.0.0.0/8",))
    assert only(order([()], network=False), asked)["spec"]["podMetadata"]["labels"]["refmill.dev/network"] == "off"
