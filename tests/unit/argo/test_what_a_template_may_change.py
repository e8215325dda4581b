"""The result of a repository's template, held against ours: what is let in, and that everything else is refused."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from refmill.model.placement import Allowed
from refmill_argo.allowing import LOCKED, refusals, written
from refmill_argo.compiling import compile_run
from refmill_argo.options import Options

Change = Callable[[dict[str, Any]], Any]
SMALL = {"cpu": "100m", "memory": "512Mi"}
SIDECAR = {
    "name": "logs", "image": "registry.example.org/logs:1", "imagePullPolicy": "IfNotPresent", "securityContext": LOCKED,
    "resources": {"requests": SMALL, "limits": SMALL},
}  # fmt: skip
FOLDER = {"name": "scratch", "emptyDir": {"sizeLimit": "1Gi"}}
MOUNT = {"name": "scratch", "mountPath": "/scratch"}
ALLOWED = Allowed(
    nodes=("pool=*",), taints=("gpu=true:NoSchedule",), priority_classes=("batch",), pod_labels=("team=*", "*"),
    pod_annotations=("example.org/*=*", "cluster-autoscaler.kubernetes.io/safe-to-evict=false"),
    sidecars=("registry.example.org/*",),
)  # fmt: skip


@pytest.fixture(scope="module")
def ours(order, options: Options) -> dict[str, Any]:
    """A run with a pod of an image with Python, and one without; a pause point; and what refmill.yaml asks for."""
    said = {1: {"image": "busybox", "python": False, "pause": True, "node_selector": {"pool": "a"}}, 2: {"gpu": 1}}
    (text,) = compile_run(order([(), (0,), (1,)], settings=said), options).workflows.values()
    found: dict[str, Any] = yaml.safe_load(text)
    return found


def kind(workflow: dict[str, Any], name: str = "t1") -> dict[str, Any]:
    return next(item for item in workflow["spec"]["templates"] if item["name"] == name)


def main(workflow: dict[str, Any]) -> dict[str, Any]:
    """The container in which commands run, of the image with Python."""
    return kind(workflow)["container"]


def of_set(workflow: dict[str, Any], name: str) -> dict[str, Any]:
    return next(item for item in kind(workflow, "t2")["containerSet"]["containers"] if item["name"] == name)


def task(workflow: dict[str, Any], number: int) -> dict[str, Any]:
    return kind(workflow, "main")["dag"]["tasks"][number]


def scratch(workflow: dict[str, Any], name: str = "t1", **folder: Any) -> None:
    kind(workflow, name)["volumes"].append({"name": "scratch", "emptyDir": {"sizeLimit": "1Gi", **folder}})


def mounted(workflow: dict[str, Any], **more: Any) -> None:
    scratch(workflow)
    main(workflow)["volumeMounts"].append({**MOUNT, **more})


def beside(workflow: dict[str, Any], **more: Any) -> None:
    kind(workflow)["sidecars"] = [{**SIDECAR, **more}]


LET_IN: dict[str, Change] = {
    "nothing": lambda w: None,
    "labels of the Workflow": lambda w: w["metadata"]["labels"].update({"team": "vision", "example.org/a.b": ""}),
    "annotations of the Workflow": lambda w: w["metadata"]["annotations"].update({"example.org/why": "“x” {y} ${z}"}),
    "labels of pods": lambda w: w["spec"]["podMetadata"]["labels"].update(team="vision"),
    "annotations of pods": lambda w: w["spec"]["podMetadata"].update(annotations={"example.org/a": "b c"}),
    "Kubernetes' own annotation, written out": lambda w: w["spec"]["podMetadata"].update(
        annotations={"cluster-autoscaler.kubernetes.io/safe-to-evict": "false"}
    ),
    "a folder": scratch,
    "a folder in memory": lambda w: scratch(w, medium="Memory"),
    "a folder that is mounted": mounted,
    "a folder that is read": lambda w: mounted(w, readOnly=True),
    "a folder where an image has no Python": lambda w: (
        scratch(w, "t2"), of_set(w, "main")["volumeMounts"].append(MOUNT)
    ),
    "nodes": lambda w: kind(w).update(nodeSelector={"pool": "b"}),
    "other nodes": lambda w: kind(w, "t2").update(nodeSelector={"pool": "b"}),
    "any node": lambda w: kind(w, "t2").pop("nodeSelector"),
    "a taint": lambda w: kind(w).update(tolerations=[{"key": "gpu", "value": "true", "effect": "NoSchedule"}]),
    "a priority class": lambda w: kind(w).update(priorityClassName="batch"),
    "fewer pods at a time": lambda w: w["spec"].update(parallelism=2),
    "a sidecar": beside,
    "a sidecar that works": lambda w: (
        scratch(w), beside(w, command=["tail"], args=["-f", "$(X)"], env=[{"name": "X", "value": "/scratch/log"}],
                           volumeMounts=[{**MOUNT, "readOnly": True}]),
    ),
}  # fmt: skip
REFUSED: dict[str, Change] = {
    # who and where
    "another kind": lambda w: w.update(kind="CronWorkflow"),
    "another name": lambda w: w["metadata"].update(name="rf-other"),
    "another namespace": lambda w: w["metadata"].update(namespace="kube-system"),
    "an owner": lambda w: w["metadata"].update(ownerReferences=[]),
    "a finalizer": lambda w: w["metadata"].update(finalizers=["x/y"]),
    "a status": lambda w: w.update(status={"phase": "Succeeded"}),
    "our label taken away": lambda w: w["metadata"]["labels"].pop("refmill.dev/run"),
    "our label with another value": lambda w: w["metadata"]["labels"].update({"refmill.dev/run": "x"}),
    "a new label of ours": lambda w: w["metadata"]["labels"].update({"refmill.dev/installation": "x"}),
    "a label of a domain below ours": lambda w: w["metadata"]["labels"].update({"a.refmill.dev/x": "x"}),
    "a label of Argo": lambda w: w["metadata"]["labels"].update({"workflows.argoproj.io/completed": "true"}),
    "an annotation of Argo": lambda w: w["metadata"]["annotations"].update({"workflows.argoproj.io/x": "y"}),
    "a label of Kubernetes": lambda w: w["metadata"]["labels"].update({"app.kubernetes.io/name": "x"}),
    "a label that is none": lambda w: w["metadata"]["labels"].update({"a b": "x"}),
    "a label's value that is none": lambda w: w["metadata"]["labels"].update(a="x\n"),
    "a label that is a number": lambda w: w["metadata"]["labels"].update(a=1),
    "labels that are a list": lambda w: w["metadata"].update(labels=[]),
    "too many labels": lambda w: w["metadata"]["labels"].update({f"l{n}": "" for n in range(33)}),
    "an annotation that Argo fills in": lambda w: w["metadata"]["annotations"].update(a="{{workflow.parameters.x}}"),
    "a huge annotation": lambda w: w["metadata"]["annotations"].update(a="x" * 5000),
    "an account": lambda w: w["spec"].update(serviceAccountName="admin"),
    "the token of the account": lambda w: w["spec"].update(automountServiceAccountToken=True),
    "another executor": lambda w: w["spec"]["executor"].update(serviceAccountName="admin"),
    "secrets of a registry": lambda w: w["spec"].update(imagePullSecrets=[{"name": "other"}]),
    # pods
    "root": lambda w: w["spec"]["securityContext"].update(runAsNonRoot=False),
    "another user": lambda w: w["spec"]["securityContext"].update(runAsUser=0),
    "no seccomp": lambda w: w["spec"]["securityContext"].update(seccompProfile={"type": "Unconfined"}),
    "no seccomp at all": lambda w: w["spec"]["securityContext"].pop("seccompProfile"),
    "a group more": lambda w: w["spec"]["securityContext"].update(supplementalGroups=[0]),
    "true that is 1": lambda w: w["spec"]["securityContext"].update(runAsNonRoot=1),
    "a pod's own context": lambda w: kind(w).update(securityContext={"runAsUser": 0}),
    "the node's network": lambda w: w["spec"].update(hostNetwork=True),
    "a patch of pods": lambda w: w["spec"].update(podSpecPatch='{"hostPID": true}'),
    "a patch of one pod": lambda w: kind(w).update(podSpecPatch='{"hostPID": true}'),
    "a scheduler": lambda w: kind(w).update(schedulerName="mine"),
    "an affinity": lambda w: kind(w).update(affinity={}),
    "aliases of hosts": lambda w: w["spec"].update(hostAliases=[{"ip": "1.2.3.4", "hostnames": ["refmill"]}]),
    "a pod label of ours": lambda w: w["spec"]["podMetadata"]["labels"].update({"refmill.dev/network": "on-and-off"}),
    "a new pod label of ours": lambda w: w["spec"]["podMetadata"]["labels"].update({"refmill.dev/pod": "7"}),
    "a pod label of Kubernetes": lambda w: w["spec"]["podMetadata"]["labels"].update({"app.kubernetes.io/name": "x"}),
    "a pod annotation that nobody allows": lambda w: w["spec"]["podMetadata"].update(
        annotations={"iam.amazonaws.com/role": "admin"}
    ),
    "labels of one kind of pods": lambda w: kind(w)["metadata"]["labels"].update(team="x"),
    "annotations of one kind of pods": lambda w: kind(w)["metadata"].update(annotations={"example.org/a": "b"}),
    "the number of a pod": lambda w: kind(w)["metadata"]["labels"].update({"refmill.dev/pod": "1"}),
    "nodes that nobody allows": lambda w: kind(w).update(nodeSelector={"pool": "b", "gpu": "a100"}),
    "nodes that Argo fills in": lambda w: kind(w).update(nodeSelector={"pool": "{{x}}"}),
    "all taints": lambda w: kind(w).update(tolerations=[{"operator": "Exists"}]),
    "a taint that nobody allows": lambda w: kind(w).update(tolerations=[{"key": "gpu", "operator": "Exists"}]),
    "a taint for some seconds": lambda w: kind(w).update(
        tolerations=[{"key": "gpu", "value": "true", "effect": "NoSchedule", "tolerationSeconds": 1}]
    ),
    "tolerations that are none": lambda w: kind(w).update(tolerations={"key": "gpu"}),
    "a priority class that nobody allows": lambda w: kind(w).update(priorityClassName="system-node-critical"),
    "a Workflow's nodes": lambda w: w["spec"].update(nodeSelector={"pool": "b"}),
    # containers
    "another image": lambda w: main(w).update(image="evil"),
    "another image of the runner": lambda w: of_set(w, "fetch").update(image="evil"),
    "images that are not pulled": lambda w: main(w).update(imagePullPolicy="Never"),
    "another command": lambda w: main(w).update(command=["sh"]),
    "arguments": lambda w: main(w)["args"].append("x"),
    "a variable": lambda w: main(w)["env"].append({"name": "PYTHONPATH", "value": "/work"}),
    "a secret in a variable": lambda w: main(w)["env"].append(
        {"name": "X", "valueFrom": {"secretKeyRef": {"name": "rf-other", "key": "token"}}}
    ),
    "the token where there is none": lambda w: of_set(w, "main").update(env=copy.deepcopy(of_set(w, "fetch")["env"])),
    "another run's token": lambda w: main(w)["env"][-1]["valueFrom"]["secretKeyRef"].update(name="rf-other"),
    "variables from a secret": lambda w: main(w).update(envFrom=[{"secretRef": {"name": "x"}}]),
    "another server": lambda w: main(w)["env"][3].update(value="https://evil.example.org"),
    "privilege": lambda w: main(w)["securityContext"].update(privileged=True),
    "a capability": lambda w: main(w)["securityContext"]["capabilities"].update(add=["SYS_ADMIN"]),
    "a writable root": lambda w: main(w)["securityContext"].update(readOnlyRootFilesystem=False),
    "no context of security": lambda w: main(w).pop("securityContext"),
    "more memory": lambda w: main(w)["resources"]["limits"].update(memory="1Ti"),
    "no limits": lambda w: main(w)["resources"].pop("limits"),
    "a GPU": lambda w: main(w)["resources"]["limits"].update({"nvidia.com/gpu": "8"}),
    "a probe": lambda w: main(w).update(livenessProbe={"httpGet": {"port": 1}}),
    "a lifecycle": lambda w: main(w).update(lifecycle={"postStart": {"exec": {"command": ["x"]}}}),
    "containers before": lambda w: kind(w).update(initContainers=[SIDECAR]),
    "a container more": lambda w: kind(w, "t2")["containerSet"]["containers"].append({**SIDECAR, "name": "x"}),
    "a container twice": lambda w: kind(w, "t2")["containerSet"]["containers"].append(of_set(w, "main")),
    "containers in another order": lambda w: kind(w, "t2")["containerSet"]["containers"].reverse(),
    # volumes
    "a path of the node": lambda w: kind(w)["volumes"].append({"name": "scratch", "hostPath": {"path": "/"}}),
    "a secret as a volume": lambda w: kind(w)["volumes"].append({"name": "s", "secret": {"secretName": "x"}}),
    "a token as a volume": lambda w: kind(w)["volumes"].append(
        {"name": "t", "projected": {"sources": [{"serviceAccountToken": {"path": "token"}}]}}
    ),
    "two kinds of volumes in one": lambda w: kind(w)["volumes"].append({**FOLDER, "hostPath": {"path": "/"}}),
    "a claim": lambda w: w["spec"].update(volumeClaimTemplates=[]),
    "a folder without an end": lambda w: kind(w)["volumes"].append({"name": "scratch", "emptyDir": {}}),
    "a folder that is too large": lambda w: scratch(w, sizeLimit="101Gi"),
    "folders that are too large": lambda w: kind(w)["volumes"].extend(
        {"name": f"f{n}", "emptyDir": {"sizeLimit": "60Gi"}} for n in range(2)
    ),
    "too many folders": lambda w: kind(w)["volumes"].extend(
        {"name": f"f{n}", "emptyDir": {"sizeLimit": "1Mi"}} for n in range(9)
    ),
    "a folder less than nothing": lambda w: scratch(w, sizeLimit="-1Gi"),
    "a folder named as ours": lambda w: kind(w)["volumes"].append({**FOLDER, "name": "shm"}),
    "a folder named as Argo's": lambda w: kind(w)["volumes"].append({**FOLDER, "name": "var-run-argo"}),
    "our folder twice": lambda w: kind(w)["volumes"].append(kind(w)["volumes"][1]),
    "another runner": lambda w: kind(w)["volumes"][0]["configMap"].update(name="mine"),
    "a larger folder of ours": lambda w: kind(w)["volumes"][1]["emptyDir"].update(sizeLimit="1Ti"),
    "a volume beside the templates": lambda w: w["spec"].update(volumes=[FOLDER]),
    "a mount of nothing": lambda w: main(w)["volumeMounts"].append(MOUNT),
    "a mount over the runner": lambda w: mounted(w, mountPath="/refmill"),
    "a mount in the runner's folder": lambda w: mounted(w, mountPath="/refmill/runner.pyz"),
    "a mount over everything": lambda w: mounted(w, mountPath="/"),
    "a mount where tokens lie": lambda w: mounted(w, mountPath="/var/run/secrets/kubernetes.io/serviceaccount"),
    "a mount above where tokens lie": lambda w: mounted(w, mountPath="/var"),
    "a mount by a detour": lambda w: mounted(w, mountPath="/x/../refmill"),
    "a mount with two slashes": lambda w: mounted(w, mountPath="//refmill"),
    "a mount nowhere": lambda w: mounted(w, mountPath="scratch"),
    "a mount that Argo fills in": lambda w: mounted(w, mountPath="/{{x}}"),
    "a part of a volume": lambda w: mounted(w, subPathExpr="$(X)"),
    "a mount that spreads": lambda w: mounted(w, mountPropagation="Bidirectional"),
    "two mounts at one place": lambda w: (mounted(w), main(w)["volumeMounts"].append({**MOUNT, "readOnly": True})),
    "a mount twice": lambda w: main(w)["volumeMounts"].append(main(w)["volumeMounts"][0]),
    "the runner to write to": lambda w: main(w)["volumeMounts"][-1].update(readOnly=False),
    "the runner where there is none": lambda w: of_set(w, "main")["volumeMounts"].append(main(w)["volumeMounts"][-1]),
    "a mount beside the token": lambda w: (scratch(w, "t2"), of_set(w, "fetch")["volumeMounts"].append(MOUNT)),
    "a folder of another kind": lambda w: (scratch(w), of_set(w, "main")["volumeMounts"].append(MOUNT)),
    # the course of the run
    "another beginning": lambda w: w["spec"].update(entrypoint="t1"),
    "an exit handler": lambda w: w["spec"].update(onExit="t1"),
    "a hook": lambda w: w["spec"].update(hooks={"exit": {"template": "t1"}}),
    "arguments of the Workflow": lambda w: w["spec"].update(arguments={"parameters": [{"name": "x", "value": "y"}]}),
    "another template's Workflow": lambda w: w["spec"].update(workflowTemplateRef={"name": "x"}),
    "it stays for ever": lambda w: w["spec"].pop("ttlStrategy"),
    "it stays longer": lambda w: w["spec"]["ttlStrategy"].update(secondsAfterCompletion=10**9),
    "pods stay": lambda w: w["spec"].pop("podGC"),
    "it ends itself": lambda w: w["spec"].update(shutdown="Terminate"),
    "it begins suspended": lambda w: w["spec"].update(suspend=True),
    "more pods at a time": lambda w: w["spec"].update(parallelism=51),
    "no end of pods at a time": lambda w: w["spec"].pop("parallelism"),
    "no pod at a time": lambda w: w["spec"].update(parallelism=0),
    "true pods at a time": lambda w: w["spec"].update(parallelism=True),
    "more priority": lambda w: w["spec"].update(priority=100),
    "a mutex": lambda w: w["spec"].update(synchronization={"mutexes": [{"name": "x"}]}),
    "metrics": lambda w: w["spec"].update(metrics={}),
    "artifacts": lambda w: kind(w).update(outputs={"artifacts": [{"name": "x", "path": "/refmill"}]}),
    "logs elsewhere": lambda w: w["spec"].update(archiveLogs=True),
    "a template that makes resources": lambda w: w["spec"]["templates"].append(
        {"name": "x", "resource": {"action": "create", "manifest": "kind: Pod"}}
    ),
    "a script": lambda w: w["spec"]["templates"].append({"name": "x", "script": {"image": "evil", "source": "x"}}),
    "a template twice": lambda w: w["spec"]["templates"].append(kind(w)),
    "a template less": lambda w: w["spec"]["templates"].pop(),
    "a template of another kind": lambda w: kind(w).update(http={"url": "http://169.254.169.254"}),
    "defaults of templates": lambda w: w["spec"].update(templateDefaults={"container": {"image": "evil"}}),
    "other restarts": lambda w: kind(w)["retryStrategy"].update(limit=100),
    "no deadline": lambda w: kind(w).update(activeDeadlineSeconds=10**9),
    "a daemon": lambda w: kind(w).update(daemon=True),
    "a cache": lambda w: kind(w).update(memoize={"key": "x", "cache": {"configMap": {"name": "x"}}}),
    "a task less": lambda w: kind(w, "main")["dag"]["tasks"].pop(),
    "a task more": lambda w: kind(w, "main")["dag"]["tasks"].append({"name": "x", "template": "t1"}),
    "a task of another template": lambda w: task(w, 0).update(template="t2"),
    "a task with another number": lambda w: task(w, 0)["arguments"]["parameters"][0].update(value="2"),
    "a number that is none": lambda w: task(w, 0)["arguments"]["parameters"][0].update(value=1),
    "a task that waits for nothing": lambda w: task(w, 1).pop("dependencies"),
    "a task with a condition": lambda w: task(w, 0).update(when="false"),
    "a task with a hook": lambda w: task(w, 0).update(hooks={"running": {"template": "t1"}}),
    "a pause without a point": lambda w: kind(w, "pause")["suspend"].update(duration="1"),
    # beside a stage
    "a sidecar that nobody allows": lambda w: beside(w, image="docker.io/evil"),
    "a sidecar's image that Argo fills in": lambda w: beside(w, image="registry.example.org/{{x}}"),
    "a sidecar's image by a detour": lambda w: beside(w, image="registry.example.org/../evil"),
    "a sidecar with privilege": lambda w: beside(w, securityContext={**LOCKED, "privileged": True}),
    "a sidecar that is root": lambda w: beside(w, securityContext={**LOCKED, "runAsUser": 0}),
    "a sidecar without a context": lambda w: kind(w).update(
        sidecars=[{key: value for key, value in SIDECAR.items() if key != "securityContext"}]
    ),
    "a sidecar without limits": lambda w: beside(w, resources={"requests": SMALL}),
    "a sidecar that takes much": lambda w: beside(w, resources={"requests": SMALL, "limits": {**SMALL, "cpu": 2}}),
    "a sidecar with a GPU": lambda w: beside(
        w, resources={"requests": SMALL, "limits": {**SMALL, "nvidia.com/gpu": "1"}}
    ),
    "a sidecar named as ours": lambda w: beside(w, name="main"),
    "a sidecar with what stages write": lambda w: beside(w, volumeMounts=[{"name": "work", "mountPath": "/w"}]),
    "a sidecar with the runner": lambda w: beside(w, volumeMounts=[{"name": "runner", "mountPath": "/r"}]),
    "a sidecar with a secret": lambda w: beside(
        w, env=[{"name": "X", "valueFrom": {"secretKeyRef": {"name": "x", "key": "y"}}}]
    ),
    "a sidecar that Argo fills in": lambda w: beside(w, args=["{{workflow.name}}"]),
    "a sidecar with all mounts": lambda w: beside(w, mirrorVolumeMounts=True),
    "too many sidecars": lambda w: kind(w).update(sidecars=[{**SIDECAR, "name": f"s{n}"} for n in range(3)]),
}  # fmt: skip


def refused(change: Change, ours: dict[str, Any], options: Options, allowed: Allowed = ALLOWED) -> list[str]:
    theirs = copy.deepcopy(ours)
    change(theirs)
    return [written(each.path) for each in refusals(ours, theirs, replace(options, allowed=allowed))]


@pytest.mark.parametrize("what", LET_IN)
def test_it_is_let_in(what: str, ours: dict[str, Any], options: Options) -> None:
    assert refused(LET_IN[what], ours, options) == []


@pytest.mark.parametrize("what", REFUSED)
def test_it_is_refused(what: str, ours: dict[str, Any], options: Options) -> None:
    assert refused(REFUSED[what], ours, options)


@pytest.mark.parametrize(
    "what",
    ["labels of pods", "annotations of pods", "nodes", "a taint", "a priority class", "a sidecar", "other nodes"],
)
def test_without_the_operators_leave_it_is_refused(what: str, ours: dict[str, Any], options: Options) -> None:
    assert refused(LET_IN[what], ours, options, Allowed())


@pytest.mark.parametrize("theirs", [None, [], "x", 7, {}, {"spec": []}, {"kind": "Workflow", "spec": None}])
def test_what_is_no_workflow_is_refused(theirs: Any, ours: dict[str, Any], options: Options) -> None:
    assert list(refusals(ours, theirs, options))


def test_it_is_said_where_it_is(ours: dict[str, Any], options: Options) -> None:
    assert refused(REFUSED["a capability"], ours, options) == [
        "spec.templates[t1].container.securityContext.capabilities.add"
    ]
    assert refused(REFUSED["a path of the node"], ours, options) == ["spec.templates[t1].volumes[scratch]"]
    assert refused(lambda w: w["spec"].update({"x" * 5000: 1}), ours, options) == [f"spec.{'x' * 100}…"]


PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["name", "spec", "x", "[]"]), inner),
    max_leaves=6,
)


@given(value=PLAIN, data=st.data())
@settings(deadline=None)
def test_no_other_value_at_any_place_is_let_in(
    value: Any, data: st.DataObject, ours: dict[str, Any], options: Options
) -> None:
    """One place of the Workflow, whichever it is, gets another value. Nothing is raised, and nothing slips through:
    but fewer pods at a time, which a number may mean, or what says nothing (an empty list where nothing stands)."""
    theirs = copy.deepcopy(ours)
    here: Any = theirs
    path: list[Any] = []
    while isinstance(here, dict | list) and here:
        keys = sorted(here) if isinstance(here, dict) else range(len(here))
        key = data.draw(st.sampled_from(list(keys)))
        path.append(key)
        if not isinstance(here[key], dict | list) or data.draw(st.booleans()):
            break
        here = here[key]
    before = here[path[-1]]
    here[path[-1]] = value
    allowed = path[:2] == ["spec", "parallelism"] or path[-1] == "nodeSelector" or "nodeSelector" in path
    found = list(refusals(ours, theirs, options))
    same = type(before) is type(value) and before == value
    assert found or same or allowed, (path, before, value)
