"""For each kind of problem a project that has it, and that says about it what docs/problems.md gives as the example."""

from __future__ import annotations

from commits import FILE, LINK, Files

DATA = "outs:\n- {md5: d41d8cd98f00b204e9800998ecf8427e, size: 0, hash: md5, path: %s}\n"
HEAD = "apiVersion: refmill/v1\nkind: Pipeline\nmetadata: {name: x}\nspec: "
ONE = "stages:\n  train: {cmd: x}\n"


def stage(inner: str, **files: str) -> dict[str, str]:
    """A dvc.yaml of one stage `a`."""
    return {"dvc.yaml": f"stages:\n  a: {{cmd: x, {inner}}}\n"} | files


def spec(inner: str, dvc: str = ONE, **files: str) -> dict[str, str]:
    """A refmill.yaml."""
    return {"dvc.yaml": dvc, "refmill.yaml": f"{HEAD}{{{inner}}}\n"} | files


def template(inner: str) -> dict[str, str]:
    """A template of Workflows."""
    return {
        "dvc.yaml": ONE,
        ".refmill/templates/workflow.yaml.j2": f'[% extends "refmill/workflow.yaml.j2" %]\n{inner}',
    }


DATASET = "stages:\n  a: {cmd: x, deps: ['ds://faces']}\n"
EXAMPLES: dict[str, dict[str, str]] = {
    "absolute-path": stage("deps: [/data/x]"),
    "bad-command": {"dvc.yaml": "stages:\n  a: {cmd: ' '}\n"},
    "bad-dataset": {"dvc.yaml": DATASET + "datasets:\n- {name: faces, type: dvc, url: 3}\n"},
    "bad-expression": {"dvc.yaml": "stages:\n  a: {cmd: '${a[}'}\n"},
    "bad-loop": {"dvc.yaml": "stages:\n  a: {foreach: '${n}', do: {cmd: y}}\n", "params.yaml": "n: 3\n"},
    "bad-name": {"dvc.yaml": "stages:\n  'b:c': {cmd: x}\n"},
    "bad-path": stage('deps: ["a\\0b"]'),
    "bad-quantity": spec("resources: {cpu: 50z}"),
    "bad-template": stage("deps: ['${m}']", **{"params.yaml": "m: {a: 1}\n"}),
    "bad-value": spec("results: branch"),
    "bad-vars": {"dvc.yaml": "vars: [no.yaml]\nstages:\n  a: {cmd: x}\n"},
    "broken-link": stage("deps: [d]", **{"d/x": "->nowhere"}),
    "cycle": {"dvc.yaml": "stages:\n  a: {cmd: x, deps: [b], outs: [a]}\n  b: {cmd: x, deps: [a], outs: [b]}\n"},
    "dataset-lock": {"dvc.yaml": DATASET + "datasets:\n- {name: faces, type: dvc, url: u}\n"},
    "definition-as-data": stage("deps: [x.dvc]", **{"x.dvc": DATA % "x"}),
    "definition-inside-output": {"sub/dvc.yaml": "stages:\n  a: {cmd: x, outs: [../sub]}\n"},
    "duplicate-key": {"dvc.yaml": ONE + "  train: {cmd: y}\n"},
    "duplicate-output": {"dvc.yaml": "stages:\n  train: {cmd: x, outs: [model]}\n", "model.dvc": DATA % "model"},
    "dvc-cloud": {"x.dvc": "outs:\n- {path: x, cloud: {s3: {etag: a}}}\n"},
    "dvc-config": {"dvc.yaml": ONE, ".dvc/config": "[core\n"},
    "dvc-file": {"x.dvc": "wdir: .\n"},
    "dvc-hash": {"x.dvc": "outs:\n- {md5: zz, hash: md5, path: x}\n"},
    "dvc-stage": {"x.dvc": "cmd: x\n" + DATA % "x"},
    "dvcignore": {"dvc.yaml": ONE, ".dvcignore": "[z-a]\n"},
    "encoding": {"dvc.yaml": "\udcff\udcfe"},
    "escaping-path": stage("deps: [../x]"),
    "ignore-file-inside": stage("deps: [src]", **{"src/.dvcignore": "x\n", "src/a": ""}),
    "ignored-output": stage("outs: [out.tmp]", **{".dvcignore": "*.tmp\n"}),
    "image-not-used": spec("image: 'python:3.12'", **{"requirements.txt": ""}),
    "image-without-shell": spec("image: scratch"),
    "image-without-requirements": spec("image: 'python:3.12'"),
    "lfs-pointer": stage(
        "deps: [big.bin]",
        **{
            ".gitattributes": "*.bin filter=lfs\n",
            "big.bin": f"version https://git-lfs.github.com/spec/v1\noid sha256:{'a' * 64}\nsize 1\n",
        },
    ),
    "lock-entry": {"dvc.yaml": ONE, "dvc.lock": "schema: '2.0'\nstages:\n  train: {}\n"},
    "lock-schema": {"dvc.yaml": ONE, "dvc.lock": "stages: 3\n"},
    "missing-dependency": stage("deps: [raw.csv]"),
    "missing-file": spec("requirements: req.txt"),
    "missing-key": {"dvc.yaml": "stages:\n  a: {deps: []}\n"},
    "missing-param": stage("params: [train.lrr]", **{"params.yaml": "train: {lr: 1}\n"}),
    "missing-params-file": stage("params: [q.yaml: [z]]"),
    "not-allowed": spec("nodeSelector: {gpu: a100}"),
    "overlapping-outputs": {"dvc.yaml": "stages:\n  a: {cmd: x, outs: [p]}\n  b: {cmd: x, outs: [p/q]}\n"},
    "params-syntax": stage("params: [p.json: [k]]", **{"p.json": "x"}),
    "params-value": stage("params: [s.py: [S]]", **{"s.py": "S = {1}\n"}),
    "path-outside": {"x.dvc": DATA % "../x"},
    "reserved-path": stage("deps: [.git/config]"),
    "second-pipeline": {"dvc.yaml": ONE, "refmill.yaml": f"{HEAD}{{}}\n---\n{HEAD}{{}}\n"},
    "too-large": {"dvc.yaml": "#" * (8_388_608 + 1)},
    "too-many-documents": {"dvc.yaml": ONE, "refmill.yaml": "---\n{}\n" * 101},
    "too-many-problems": {"dvc.yaml": "stages:\n" + "".join(f"  s{number}: {{}}\n" for number in range(1000))},
    "too-many-projects": {f"p{number}/.dvc/config": "" for number in range(101)},
    "too-many-stages": {
        "dvc.yaml": f"stages:\n  m: {{matrix: {{a: {list(range(100))}, b: {list(range(100))}}}, cmd: x}}\n"
    },
    "too-much": stage("deps: [src]", **{"src/" + "d/" * 300 + "x": ""}),
    "tracked-output": stage("outs: [model]", model=""),
    "unknown-dataset": {"dvc.yaml": DATASET},
    "unknown-key": stage("dep: [q]"),
    "unknown-kind": {"dvc.yaml": ONE, "refmill.yaml": HEAD.replace("Pipeline", "Pipelin") + "{}\n"},
    "unknown-stage": spec("stages: {trian: {retries: 1}}"),
    "unknown-variable": {"dvc.yaml": "stages:\n  a: {cmd: '${train.lrr}'}\n", "params.yaml": "train: {lr: 1}\n"},
    "unsupported": stage("deps: ['s3://bucket/x']"),
    "workflow-limit": template(f"[% block labels %][% for n in range(99999) %]{'x' * 20}[% endfor %][% endblock %]"),
    "workflow-not-allowed": template("[% block pod_annotations %]\n  hostNetwork: true\n[% endblock %]"),
    "workflow-template": template("[% block labels %][[ team ]][% endblock %]"),
    "wrong-type": stage("deps: q"),
    "yaml-limit": stage(
        "frozen: true",
        **{
            "params.yaml": "a: &a [" + "x, " * 99 + "x]\n"
            + "".join(f"{new}: &{new} [{', '.join([f'*{old}'] * 99)}]\n" for old, new in zip("abcde", "bcdef", strict=True))
        },
    ),
    "yaml-syntax": {"dvc.yaml": "a: b: c\n"},
}  # fmt: skip
NOT_PUSHED = {"bad-parameter"}
"""Those of wishes, which no push can hold."""
IN_CONTAINERS = {"image-without-shell"}
"""Those that are told where stages may run on a cluster."""
AT_THE_GATE = {"too-many-projects"}
"""Those that are found before any project is read."""


def files(kind: str) -> Files:
    """The files of a commit; "->" begins a symbolic link."""
    made: Files = {b".dvc/config": (FILE, b"")}
    for name, body in EXAMPLES[kind].items():
        data = body.encode("utf-8", "surrogateescape")
        made[name.encode()] = (LINK, data[2:]) if data.startswith(b"->") else (FILE, data)
    return made
