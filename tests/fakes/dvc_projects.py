"""Good DVC projects as mappings of paths to texts, each named by what it shows; and ways to make more of them."""

from __future__ import annotations

import random
from pathlib import Path

DATA = """\
outs:
- md5: d41d8cd98f00b204e9800998ecf8427e
  size: 0
  hash: md5
  path: {name}
"""
FOLDER = """\
outs:
- md5: d751713988987e9331980363e24189ce.dir
  size: 0
  nfiles: 0
  hash: md5
  path: {name}
"""

PROJECTS: dict[str, dict[str, str]] = {
    "chain": {
        "src.py": "",
        "params.yaml": "train: {lr: 1e-3, layers: [1, 2]}\non: yes\n",
        "raw.csv.dvc": DATA.format(name="raw.csv"),
        "dvc.yaml": """\
stages:
  evaluate:
    cmd: python src.py evaluate
    deps: [model, src.py]
    metrics: [metrics.json: {cache: false}]
    plots: [loss.csv: {x: step, y: loss, cache: false}]
  train:
    cmd: [echo one, echo two]
    deps: [clean, src.py]
    params: [train.lr, train.layers]
    outs: [model]
    desc: trains
    meta: {by: hand}
  prepare:
    cmd: python src.py prepare
    deps: [src.py, raw.csv]
    outs: [clean: {persist: true, desc: cleaned}]
""",
    },
    "templating": {
        "params.yaml": "name: demo\nmodels: {rf: {depth: 3}, gb: {depth: 5}}\nfiles: [a, b]\nflag: true\n",
        "more.toml": "[grid]\nlr = [0.1, 0.01]\n",
        "more.json": '{"seed": 7, "nested": {"x": [1, 2]}}',
        "other.yaml": "one: 1\ntwo: 2\n",
        "script.py": "CONST = 5\nclass Train:\n    lr = 0.5\n",
        "dvc.yaml": """\
vars:
  - more.toml
  - more.json:seed
  - other.yaml:one,two
  - script.py
  - local: here
    deep: {er: [5, 6]}
stages:
  plain:
    cmd: echo ${name} ${deep.er[1]} ${seed} ${one} ${two} ${CONST} ${Train.lr} \\${HOME} ${flag}
    outs: ["${local}.txt"]
  split:
    foreach: ${files}
    do:
      cmd: cp ${local}.txt ${item}.out
      deps: ["${local}.txt"]
      outs: ["${item}.out"]
  models:
    foreach: ${models}
    do:
      cmd: train ${key} --depth ${item.depth}
      deps: [a.out]
      outs: ["model-${key}"]
  grid:
    matrix:
      lr: ${grid.lr}
      model: [{kind: x}, {kind: y}]
      word: [p, q]
    cmd: fit ${item.lr} ${item.model.kind} ${item.word} > ${key}.fit
    deps: [b.out]
    outs: ["${key}.fit"]
  own:
    vars: [extra: 9, own.yaml]
    wdir: nested
    cmd: echo ${extra} ${mine}
    outs: [own.txt]
""",
        "nested/own.yaml": "mine: 4\n",
    },
    "interpolated options": {
        ".dvc/config": "[core]\n    no_scm = true\n[parsing]\n    bool = boolean_optional\n    list = append\n",
        "params.yaml": "train: {lr: 0.1, shuffle: true, cold: false, dims: [1, 2], name: a b, sub: {x: 1}}\n",
        "dvc.yaml": "stages:\n  t: {cmd: 'run ${train}', outs: [o]}\n",
    },
    "directories and wdir": {
        "data/raw.dvc": FOLDER.format(name="raw"),
        "params.yaml": "a: 1\n",
        "sub/params.yaml": "a: 2\nb: {c: 3}\n",
        "sub/here.txt": "x",
        "dvc.yaml": """\
stages:
  inside: {cmd: x, deps: [data/raw/part/file.csv], outs: [out/one]}
  all: {cmd: x, deps: [out], outs: [sum.txt]}
  second: {cmd: x, deps: [./data/raw/], outs: [out/two, out/three/]}
  deep:
    wdir: sub
    cmd: x
    deps: [here.txt, ../sum.txt]
    params: [a, b.c, ../params.yaml: [a]]
    outs: [made/deep.txt]
  back: {cmd: x, deps: [sub/made], params: [sub/params.yaml: ]}
""",
    },
    "nested files": {
        "z.txt": "z",
        "dvc.yaml": "stages:\n  root: {cmd: x, deps: [b/out.txt], outs: [root.txt]}\n",
        "a/dvc.yaml": "stages:\n  a1: {cmd: x, deps: [../root.txt], outs: [out.txt]}\n  a2: {cmd: x, deps: [out.txt]}\n",
        "b/dvc.yaml": "stages:\n  b1: {cmd: x, deps: [../z.txt, in.csv], outs: [out.txt]}\nmetrics: [m.json]\n"
        "plots: [p.csv, id: {x: a, y: {p.csv: b}}]\nparams: [own.yaml]\n"
        "artifacts:\n  net: {path: out.txt, type: model, labels: [l]}\n",
        "b/in.csv.dvc": DATA.format(name="in.csv"),
        "b/deep/er/more.bin.dvc": DATA.format(name="more.bin"),
        "b/deep/dvc.yaml": "stages:\n  d: {cmd: x, deps: [er], outs: [o]}\n",
    },
    "frozen and always": {
        "dvc.yaml": """\
stages:
  last: {cmd: x, deps: [mid], outs: [end], always_changed: true}
  mid: {cmd: x, deps: [first], outs: [mid], frozen: true}
  first: {cmd: x, outs: [first]}
""",
    },
    "parameters merged": {
        "params.yaml": "a: 1\nb: 2\nc: {d: 3}\n",
        "p.json": '{"x": 1, "y": 2}',
        "q.toml": "k = 1\n",
        "dvc.yaml": """\
stages:
  s:
    cmd: x
    params: [a, c.d, p.json: [x], b, p.json: [y], q.toml: , q.toml: [k]]
    outs: [o, p: {cache: false, push: false}, o: {persist: true}]
  whole: {cmd: x, params: [a, p.json: [x], params.yaml: ]}
""",
    },
    "output as parameters": {
        "dvc.yaml": "stages:\n  use: {cmd: x, params: [made.yaml: [k]], outs: [u]}\n"
        "  make: {cmd: x, outs: [made.yaml]}\n",
    },
    "an output hides files": {
        "dvc.yaml": "stages:\n  make: {cmd: x, outs: [made]}\n",
        "made/data.csv.dvc": "this: is not read\n",
    },
    "a project inside": {
        "dvc.yaml": "stages:\n  s: {cmd: x}\n",
        "other/.dvc/config": "",
        "other/dvc.yaml": "stages:\n  not_ours: {cmd: x}\n",
    },
    "files that .dvcignore hides": {
        ".dvcignore": "*.bak\n/old/\nhidden.dvc\n!keep.bak\n",
        "dvc.yaml": "stages:\n  s: {cmd: x, deps: [src, old], outs: [out]}\n",
        "old/dvc.yaml": "stages: [not read]\n",
        "a.bak/x.dvc": "not read",
        "hidden.dvc": "not read",
        "src/one.py": "",
        "src/two.bak": "",
        "b/.dvcignore": "/dvc.yaml\nc/**/dvc.yaml\n",
        "b/dvc.yaml": "not read",
        "b/c/d/dvc.yaml": "not read",
        "b/c/x.dvc": DATA.format(name="x"),
        "keep.bak/dvc.yaml": "stages:\n  k: {cmd: x}\n",
    },
    "no stages": {"data.csv.dvc": DATA.format(name="data.csv"), "README.md": "hello"},
    "empty file": {"dvc.yaml": ""},
}


def random_project(seed: int) -> dict[str, str]:
    """A project of up to 14 stages in one or two dvc.yaml files, with dependencies on, in and above outputs."""
    dice = random.Random(seed)
    count = dice.randint(2, 14)
    names = [f"s{number}" for number in range(count)]
    dice.shuffle(names)
    forms = ["{n}.txt", "dir/{n}", "dir/sub/{n}.bin", "{n}/deep/out"]
    outs = {
        name: [dice.choice(forms).format(n=f"{name}{part}") for part in range(dice.randint(1, 3))] for name in names
    }
    lines: dict[str, list[str]] = {"dvc.yaml": [], "low/dvc.yaml": []}
    blocks: list[tuple[str, str]] = []
    for number, name in enumerate(names):
        file = "low/dvc.yaml" if dice.random() < 0.25 else "dvc.yaml"
        up = "../" if file != "dvc.yaml" else ""
        above = [out for other in names[:number] for out in outs[other]]
        deps = dice.sample(above, min(len(above), dice.randint(0, 4)))
        deps = [dep + "/inner/x" if dice.random() < 0.2 and not dep.endswith((".txt", ".bin")) else dep for dep in deps]
        frozen = ", frozen: true" if dice.random() < 0.1 else ""
        deps_text = ", ".join(up + dep for dep in deps)
        outs_text = ", ".join(up + out for out in outs[name])
        blocks.append((file, f"  {name}: {{cmd: x, deps: [{deps_text}], outs: [{outs_text}]{frozen}}}"))
    dice.shuffle(blocks)
    for file, line in blocks:
        lines[file].append(line)
    return {file: "stages:\n" + "\n".join(body) + "\n" for file, body in lines.items() if body}


def write(files: dict[str, str], folder: Path) -> None:
    """Put a project onto disk, as one of DVC without git."""
    for path, body in {".dvc/config": "[core]\n    no_scm = true\n", **files}.items():
        place = folder / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(body, encoding="utf-8")
