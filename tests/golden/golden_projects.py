"""The projects whose Workflows are kept: each is planned as it lies in a working copy."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from refmill.model.placement import Allowed
from refmill_argo.options import Options
from refmill_argo.owntemplates import FOLDER, MAIN

OPTIONS = Options(
    server="https://refmill.example.org", runner="0123456789abcdef" * 4,
    allowed=Allowed(without_python=("busybox", "alpine"), without_shell=("scratch",)),
)  # fmt: skip
HEAD = "apiVersion: refmill/v1\nkind: Pipeline\nmetadata: {name: x}\nspec:\n"
CHAIN = """\
stages:
  prepare: {cmd: python prepare.py, deps: [prepare.py], outs: [clean]}
  features: {cmd: python features.py clean, deps: [clean], outs: [features]}
  train: {cmd: python train.py, deps: [features], params: [lr], outs: [model]}
  evaluate: {cmd: python evaluate.py, deps: [features, model], metrics: [scores.json]}
"""
SHELL = """\
stages:
  prepare: {cmd: echo 1 > clean, outs: [clean]}
  features: {cmd: cat clean > features, deps: [clean], outs: [features]}
  train: {cmd: cat features > model, deps: [features], params: [lr], outs: [model]}
  evaluate: {cmd: cat model > scores.json, deps: [features, model], metrics: [scores.json]}
"""
CODE = {"prepare.py": "", "params.yaml": "lr: 0.1\n"}
DIAMOND = """\
stages:
  split: {cmd: ./split, outs: [left, right]}
  one: {cmd: ./one, deps: [left], outs: [a]}
  two: {cmd: ./two, deps: [right], outs: [b]}
  join: {cmd: ./join, deps: [a, b], outs: [c]}
"""
PAIRS = """\
stages:
  begin: {cmd: ./begin, outs: [start]}
  first:
    foreach: ${names}
    do: {cmd: "./first ${item}", deps: [start], outs: ["${item}.a"]}
  second:
    foreach: ${names}
    do: {cmd: "./second ${item}", deps: ["${item}.a"], outs: ["${item}.b"]}
  all: {cmd: ./all, deps: [%s], outs: [end]}
"""
HOSTILE = r"""
stages:
  "naïve '{{workflow.name}}' -- #":
    cmd:
    - "echo '{{workflow.parameters.x}}' \"{{=sprig.env('HOME')}}\" \\${HOME} $(id) `id`"
    - "printf 'a\nb: c\n---\nkind: Secret\n' # {{item}}\n- n: y\n\t«%s» [[ x ]] [% raw %] [# #] \u2028\u0085\u202e\x7f"
    wdir: "a: b, [c] {d} & *e"
    outs: ["\"quoted\" 'name'\u00a0\U0001F600", "n", "null", "0x1F", "<<", "!!tag"]
  "y": {cmd: "true", deps: ["a: b, [c] {d} & *e/n"], outs: [yes]}
"""


@dataclass(frozen=True)
class Given:
    """A project: its files, the options that are other ones, the stages that dvc has run before, and what changed in
    the files since."""

    dvc: str
    spec: str = ""
    files: Mapping[str, str] = field(default_factory=dict)
    options: Options = OPTIONS
    before: tuple[str, ...] = ()
    changed: Mapping[str, str] = field(default_factory=dict)

    @property
    def all_files(self) -> dict[str, str]:
        """What lies in the working copy."""
        said = {"refmill.yaml": HEAD + self.spec} if self.spec else {}
        return {"dvc.yaml": self.dvc, **said, **self.files}


def names(count: int) -> dict[str, str]:
    """Parameters with that many names."""
    return {"params.yaml": f"names: [{', '.join(f'i{number:03d}' for number in range(count))}]\n"}


def pairs(count: int, spec: str) -> Given:
    """That many pairs of stages between a first and a last one."""
    return Given(PAIRS % ", ".join(f"i{number:03d}.b" for number in range(count)), spec, names(count))


def kinds(count: int) -> Given:
    """Stages of that many different amounts of memory."""
    said = "".join(f"    s@i{number:03d}: {{resources: {{memory: {256 + number}Mi}}}}\n" for number in range(count))
    dvc = "stages:\n  s: {foreach: '${names}', do: {cmd: 'x ${item}', outs: ['${item}']}}\n"
    return Given(dvc, f"  stages:\n{said}", names(count))


OWN = """\
[% extends "refmill/workflow.yaml.j2" %]
[% block labels %][[ dict(labels, team="vision") ]][% endblock %]
[% block annotations %][[ dict(annotations, **{"example.org/why": "a: b # {c} é"}) ]][% endblock %]
[% block pod_labels %][[ dict(pod_labels, team="vision") ]][% endblock %]
[% block pod_annotations %]
    annotations: {cluster-autoscaler.kubernetes.io/safe-to-evict: "false"}
[% endblock %]
[% block volumes %]
    - {name: scratch, emptyDir: {sizeLimit: 20Gi}}
[% endblock %]
[% block scheduling %]
    nodeSelector: {pool: [[ "large" if kind.memory | int > 1000000000 else "small" ]]}
    tolerations: [{key: spot, operator: Exists}]
    priorityClassName: batch
[% endblock %]
[% block mounts %][[ mounts + [runner_mount, {"name": "scratch", "mountPath": "/scratch"}] ]][% endblock %]
[% block mounts_without_python %][[ mounts + [{"name": "scratch", "mountPath": "/scratch"}] ]][% endblock %]
[% block sidecars %]
[% if kind.python %]
    sidecars: [% include "logs.yaml.j2" %]
[% endif %]
[% endblock %]
"""
LOGS = """

    - name: logs
      image: registry.example.org/logs:1
      imagePullPolicy: [[ pull ]]
      securityContext: {allowPrivilegeEscalation: false, privileged: false, readOnlyRootFilesystem: true,
                        capabilities: {drop: [ALL]}}
      resources: {requests: {cpu: 50m, memory: 64Mi}, limits: {cpu: 50m, memory: 64Mi}}
      args: [-f, /scratch/log]
      volumeMounts: [{name: scratch, mountPath: /scratch, readOnly: true}]
"""
PROJECTS: dict[str, Given] = {
    "one": Given("stages:\n  only: {cmd: echo}\n"),
    "chain": Given(CHAIN, files=CODE),
    "chain-not-fused": Given(CHAIN, "  fuse: false\n", CODE),
    "chain-cut-in-two": Given(CHAIN, "  stages: {train: {fuse: false}}\n", CODE),
    "chain-with-a-pause": Given(CHAIN, "  stages: {train: {pause: true}}\n", CODE),
    "chain-of-two-images": Given(CHAIN, "  stages:\n    train: {image: 'pytorch/pytorch:2.9'}\n", CODE),
    "chain-partly-cached": Given(
        SHELL, files={"params.yaml": "lr: 0.1\n"},
        before=("train",), changed={"params.yaml": "lr: 0.2\n"},
    ),
    "chain-without-its-first-input": Given(CHAIN, files={"params.yaml": "lr: 1\n"}),
    "diamond": Given(DIAMOND),
    "diamond-that-goes-on": Given(DIAMOND, "  onError: continue\n  priority: 7\n"),
    "loop": Given("stages:\n  s: {foreach: [a, b, c], do: {cmd: 'x ${item}', outs: ['${item}']}}\n"),
    "matrix": Given(
        "stages:\n  s: {matrix: {m: [a, b], n: [1, 2, 3]}, cmd: 'x ${item.m} ${item.n}'}\n",
        "  image: 'ghcr.io/ada/tools@sha256:" + "ab" * 32 + "'\n",
    ),
    "resources": Given(
        DIAMOND,
        "  resources: {cpu: 250m, memory: 1.5G}\n  stages:\n    one: {resources: {gpu: 2, cpu: 8, memory: 64Gi}}\n"
        "    two: {resources: {cpu: 1e-3}}\n",
    ),
    "placement": Given(
        DIAMOND,
        "  nodeSelector: {pool: n}\n  priorityClass: batch\n  stages:\n"
        "    one: {nodeSelector: {gpu: true}, tolerations: [{key: gpu, value: y, effect: NoSchedule}]}\n"
        "    two: {priorityClass: '', tolerations: [{key: spot, operator: Exists}]}\n",
        options=replace(OPTIONS, allowed=Allowed(nodes=("*",), taints=("gpu=y:*", "spot"), priority_classes=("batch",))),
    ),
    "retries-and-timeouts": Given(
        CHAIN, "  timeout: 10m\n  retries: 2\n  stages: {evaluate: {timeout: 1h, retries: 0}}\n", CODE
    ),
    "image-without-python": Given(
        CHAIN, "  stages:\n    train: {image: 'busybox:1.37', retries: 1, timeout: 60}\n    evaluate: {python: false}\n",
        CODE,
    ),
    "a-private-registry": Given(
        DIAMOND, "  requirements: req.txt\n  env: {A: '{{x}}'}\n  secrets: [TOKEN]\n", {"req.txt": "numpy\n"},
        replace(
            OPTIONS, namespace="ml", image="registry.example.org:5000/py:3", pull="Always", pull_secrets=("a", "b"),
            parallelism=0, pods="Never", ttl=60, user=1000, restarts=0, account="nobody", executor_account="argo",
        ),
    ),
    "a-template-of-its-own": Given(
        CHAIN, "  stages: {train: {image: 'busybox:1.37'}, evaluate: {resources: {memory: 512Mi}}}\n",
        CODE | {f"{FOLDER}/{MAIN}": OWN, f"{FOLDER}/logs.yaml.j2": LOGS},
        replace(
            OPTIONS,
            allowed=Allowed(
                nodes=("pool=*",), taints=("spot",), priority_classes=("batch",), pod_labels=("team=*",),
                pod_annotations=("cluster-autoscaler.kubernetes.io/safe-to-evict=*",),
                sidecars=("registry.example.org/*",), without_python=("busybox",),
            ),
        ),
    ),
    "hostile": Given(HOSTILE, files={"a: b, [c] {d} & *e/.gitkeep": ""}),
    "sub-directories": Given(
        "stages:\n  top: {cmd: ./top, outs: [x]}\n",
        "  stages: {'deep/er/dvc.yaml:low': {timeout: 5}}\n",
        {"deep/er/dvc.yaml": "stages:\n  low: {cmd: ./low, deps: [../../x], outs: [y]}\n"},
    ),
    "wide": Given(
        "stages:\n  b: {cmd: b, outs: [b]}\n"
        "  s: {foreach: '${names}', do: {cmd: 'x ${item}', deps: [b], outs: ['${item}']}}\n",
        files=names(250),
    ),
    "many-pairs": pairs(120, "  fuse: false\n"),
    "many-pairs-that-go-on": pairs(120, "  fuse: false\n  onError: continue\n"),
    "many-kinds": kinds(104),
}  # fmt: skip
