"""Every fault is told by its kind, with its line and column."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from fakes.dvc_projects import DATA
from refmill.clients import dvc_parsing
from refmill.clients.resolver.warming import MemoryTree
from refmill.ports.resolver import Checked

Files = Mapping[str, str]


def check(files: Files, *, containers: bool = False) -> Checked:
    tree = MemoryTree({path: body.encode() for path, body in files.items()})
    return dvc_parsing.check(tree, max_stages=50, containers=containers)


def yaml(body: str, **others: str) -> Files:
    return {"dvc.yaml": body, **others}


SYNTAX: dict[str, tuple[Files, list[str]]] = {
    "wrong indentation": (yaml("stages:\n  a:\n    cmd: x\n   deps: [q]\n"), ["dvc.yaml:4:4 yaml-syntax"]),
    "a stage twice": (yaml("stages:\n  a: {cmd: x}\n  a: {cmd: y}\n"), ["dvc.yaml:3:3 duplicate-key"]),
    "a list instead of a mapping": (yaml("stages: [1]\n"), ["dvc.yaml:1:9 wrong-type"]),
    "no mapping at all": (yaml("just text\n"), ["dvc.yaml:1:1 wrong-type"]),
    "an empty stage": (yaml("stages:\n  a:\n"), ["dvc.yaml:2:5 wrong-type"]),
    "a stage without command": (yaml("stages:\n  a:\n    deps: []\n"), ["dvc.yaml:2:3 missing-key"]),
    "a number as name": (yaml("stages:\n  3: {cmd: x}\n"), ["dvc.yaml:2:3 wrong-type"]),
    "all faults of a stage": (
        yaml("stages:\n  a:\n    cmd: x\n    dep: [q]\n    deps: q\n    outs: [{m: {cach: 1}}, 3]\n    params: [3]\n    frozen: 'y'\n"),
        ["dvc.yaml:4:5 unknown-key", "dvc.yaml:5:11 wrong-type", "dvc.yaml:6:17 unknown-key", "dvc.yaml:6:28 wrong-type",
         "dvc.yaml:7:14 wrong-type", "dvc.yaml:8:13 wrong-type"],
    ),
    "all faults beside the stages": (
        yaml("stage: {}\nvars: {a: 1}\nplots: [a, {x: {y: 1, zz: 3}}]\nmetrics: m\nparams: [1]\nartifacts: {m: {pat: a}}\n"),
        ["dvc.yaml:1:1 unknown-key", "dvc.yaml:2:7 wrong-type", "dvc.yaml:3:20 wrong-type", "dvc.yaml:3:23 unknown-key",
         "dvc.yaml:4:10 wrong-type", "dvc.yaml:5:10 wrong-type", "dvc.yaml:6:13 missing-key", "dvc.yaml:6:17 unknown-key"],
    ),
    "foreach without do": (yaml("stages:\n  a: {foreach: [1], cmd: x}\n"), ["dvc.yaml:2:3 missing-key", "dvc.yaml:2:21 unknown-key"]),
    "an empty command": (yaml("stages:\n  a: {cmd: ' '}\n  b: {cmd: []}\n"), ["dvc.yaml:2:12 bad-command", "dvc.yaml:3:12 bad-command"]),
    "a command that is a number": (yaml("stages:\n  a: {cmd: '${n}'}\n", **{"params.yaml": "n: 3\n"}), ["dvc.yaml:2:12 bad-command"]),
    "names that address nothing": (yaml("stages:\n  'b:c': {cmd: x}\n  a@b: {cmd: x}\n"), ["dvc.yaml:2:3 bad-name", "dvc.yaml:3:3 bad-name"]),
    "a lock of another kind": (yaml("", **{"dvc.lock": "stages: 3\n"}), ["dvc.lock:1:1 lock-schema"]),
    "a broken DVC configuration": (yaml("", **{".dvc/config": "[core\n"}), [".dvc/config:1:1 dvc-config"]),
    "bytes that are no text": ({"dvc.yaml": "stages: {a: {cmd: 'x\x07'}}\n"}, ["dvc.yaml:1:21 yaml-syntax"]),
}  # fmt: skip

TEMPLATES: dict[str, tuple[Files, list[str]]] = {
    "all unknown variables": (
        yaml("stages:\n  a:\n    cmd: x ${lr} ${train.lrr}\n    deps: ['${q}']\n  b: {cmd: '${z}'}\n", **{"params.yaml": "train: {lr: 1}\n"}),
        ["dvc.yaml:3:12 unknown-variable", "dvc.yaml:3:18 unknown-variable", "dvc.yaml:4:13 unknown-variable", "dvc.yaml:5:13 unknown-variable"],
    ),
    "expressions that are none": (yaml("stages:\n  a: {cmd: 'x ${} ${a[}'}\n"), ["dvc.yaml:2:15 bad-expression", "dvc.yaml:2:19 bad-expression"]),
    "loops over nothing": (
        yaml("stages:\n  a: {foreach: '${x}', do: {cmd: x}}\n  b: {foreach: '${n}', do: {cmd: y}}\n  c: {matrix: {k: '${n}'}, cmd: x}\n",
             **{"params.yaml": "n: 3\n"}),
        ["dvc.yaml:2:17 unknown-variable", "dvc.yaml:3:16 bad-loop", "dvc.yaml:4:19 bad-loop"],
    ),
    "an item without the key": (yaml("stages:\n  a:\n    foreach: [{k: u}, {l: v}]\n    do: {cmd: '${item.k}'}\n"), ["dvc.yaml:4:16 unknown-variable"]),
    "all bad vars": (
        yaml("vars: [no.yaml, {a: 1}, {a: 2}, 'params.yaml:zz']\nstages:\n  a: {cmd: '${nix}'}\n", **{"params.yaml": "n: 3\n"}),
        ["dvc.yaml:1:8 bad-vars", "dvc.yaml:1:25 bad-vars", "dvc.yaml:1:33 bad-vars"],
    ),
    "a date as variable": (yaml("stages:\n  a: {cmd: x}\n", **{"params.yaml": "k: {d: 2020-01-01}\n"}), ["params.yaml:1:8 bad-vars"]),
    "broken parameters": (yaml("stages:\n  a: {cmd: x}\n", **{"params.yaml": "n: [\n"}), ["params.yaml:2:1 yaml-syntax"]),
    "more stages than allowed": (yaml("stages:\n  a: {foreach: [1, 2], do: {cmd: x}}\n  b:\n    matrix: {k: [1,2,3,4,5,6,7], l: [1,2,3,4,5,6,7]}\n    cmd: x\n"), ["dvc.yaml:1:1 too-many-stages"]),
    "a mapping in a path": (yaml("stages:\n  a: {cmd: x, deps: ['${m}']}\n", **{"params.yaml": "m: {a: 1}\n"}), ["dvc.yaml:2:3 bad-template"]),
}  # fmt: skip

PATHS: dict[str, tuple[Files, list[str]]] = {
    "paths that cannot be used": (
        yaml("stages:\n  a:\n    cmd: x\n    deps: [/abs, ../x, 's3://b/k', ~/x, 'ds://d', .git/config, ., \"a\\0b\"]\n    outs: [., ../o, x.dvc, .dvc/x]\n"),
        ["dvc.yaml:4:12 absolute-path", "dvc.yaml:4:18 escaping-path", "dvc.yaml:4:24 unsupported", "dvc.yaml:4:36 absolute-path",
         "dvc.yaml:4:41 unknown-dataset", "dvc.yaml:4:51 reserved-path", "dvc.yaml:4:64 unsupported", "dvc.yaml:4:67 bad-path",
         "dvc.yaml:5:12 bad-path", "dvc.yaml:5:15 escaping-path", "dvc.yaml:5:21 definition-as-data", "dvc.yaml:5:28 reserved-path"],
    ),
    "a working directory outside": (yaml("stages:\n  a: {cmd: x, wdir: ../..}\n"), ["dvc.yaml:2:21 escaping-path"]),
    "a cycle and one with itself": (
        yaml("stages:\n  a: {cmd: x, deps: [b], outs: [a]}\n  b: {cmd: x, deps: [a/in], outs: [b]}\n  c: {cmd: x, deps: [c], outs: [c]}\n"),
        ["dvc.yaml:2:3 cycle", "dvc.yaml:4:3 cycle"],
    ),
    "outputs over each other": (
        yaml("stages:\n  a: {cmd: x, outs: [o]}\n  b: {cmd: x, outs: [o, o/in, p/q]}\n  d: {cmd: x, outs: [p]}\n", **{"o.dvc": DATA.format(name="o")}),
        ["dvc.yaml:3:22 duplicate-output", "dvc.yaml:3:25 overlapping-outputs", "dvc.yaml:4:22 overlapping-outputs", "o.dvc:5:9 duplicate-output"],
    ),
    "a definition inside an output": ({"sub/dvc.yaml": "stages:\n  a: {cmd: x, outs: [../sub]}\n"}, ["sub/dvc.yaml definition-inside-output"]),
    "parameters that are not there": (
        yaml("stages:\n  a:\n    cmd: x\n    params: [a, no.pe, q.yaml: [z], s.py: [x], d: [k]]\n", **{"params.yaml": "a: 1\n", "d/x": ""}),
        ["dvc.yaml:4:17 missing-param", "dvc.yaml:4:24 missing-params-file", "dvc.yaml:4:37 missing-params-file", "dvc.yaml:4:48 missing-params-file"],
    ),
    "data that is nowhere": (yaml("stages:\n  a: {cmd: x, deps: [nowhere.csv]}\n"), ["dvc.yaml:2:22 missing-dependency"]),
    "a bad .dvc file": (yaml("", **{"x.dvc": "outs:\n- md5: zz\n  hash: md5\n  path: x\n"}), ["x.dvc:2:8 dvc-hash"]),
    "parameters in Python": (
        yaml("stages:\n  a:\n    cmd: x\n    params: [s.py: [A, B.c, D], t.py: [X], u.py: ]\n",
             **{"s.py": "A = {1}\nclass B:\n  c = 1\n", "t.py": "X = = 1\n", "u.py": "U = b'x'\n"}),
        ["dvc.yaml:4:29 missing-param", "s.py params-value", "t.py:1:5 params-syntax", "u.py params-value"],
    ),
    "a .dvcignore that DVC cannot read": (yaml("", **{".dvcignore": "# comment\n\nx\\\n"}), [".dvcignore:3:1 dvcignore"]),
    "outputs that .dvcignore hides": (
        yaml("stages:\n  a: {cmd: x, outs: [a.tmp, d, b/c]}\n",
             **{".dvcignore": "*.tmp\nd/\n", "b/.dvcignore": "/c\n", "e.tmp.dvc": DATA.format(name="e.tmp")}),
        ["dvc.yaml:2:22 ignored-output", "dvc.yaml:2:32 ignored-output", "e.tmp.dvc:5:9 ignored-output"],
    ),
    "a .dvcignore inside of a dependency": (
        yaml("stages:\n  a: {cmd: x, deps: [src], outs: [o]}\n", **{"src/sub/.dvcignore": "x\n", "src/a": ""}),
        ["dvc.yaml:2:22 ignore-file-inside"],
    ),
    "datasets": (yaml("datasets:\n- {name: x, type: dvc, url: u}\n- [3]\n"), ["dvc.yaml:3:3 wrong-type"]),
    "datasets without a version": (
        yaml("stages:\n  a: {cmd: x, deps: ['ds://x', 'ds://y/z', 'ds://w', 'ds://[']}\n  b: {cmd: x, deps: ['ds://x'], frozen: true}\n"
             "datasets:\n- {name: x, type: dvc, url: u}\n- {name: y, type: ftp, url: u}\n- {name: w, type: dvc, url: u}\n",
             **{"dvc.lock": "schema: '2.0'\ndatasets:\n- {name: w, type: dvc, url: other, rev_lock: abc}\n"}),
        ["dvc.yaml:2:22 dataset-lock", "dvc.yaml:2:32 unknown-dataset", "dvc.yaml:2:44 dataset-lock",
         "dvc.yaml:2:54 unknown-dataset", "dvc.yaml:6:3 bad-dataset"],
    ),
}  # fmt: skip


@pytest.mark.parametrize(
    ("files", "expected"), [pytest.param(*case, id=name) for name, case in {**SYNTAX, **TEMPLATES, **PATHS}.items()]
)
def test_a_fault_is_told_with_kind_line_and_column(files: Files, expected: list[str]) -> None:
    assert [f"{problem.place} {problem.kind}" for problem in check(files).problems] == expected


def test_a_problem_shows_its_line_and_a_remedy() -> None:
    (problem,) = check(yaml("stages:\n  train:\n    cmd: x\n    dep: [q]\n")).problems
    assert problem.excerpt == "    dep: [q]"
    assert str(problem.message) == "There is no key “dep” here"
    assert str(problem.remedy) == "Did you mean “deps”?"


def test_faults_of_several_files_are_told_at_once() -> None:
    files = yaml(
        "stages: [", **{"sub/dvc.yaml": "stages:\n  a: {}\n", "x.dvc": "[", "dvc.lock": "[", "refmill.yaml": "["}
    )
    told = {problem.place.file for problem in check(files).problems}
    assert told == {"dvc.yaml", "sub/dvc.yaml", "x.dvc", "dvc.lock", "refmill.yaml"}


def test_missing_data_is_a_warning_and_refuses_nothing() -> None:
    found = check(yaml("stages:\n  a: {cmd: x, deps: [nowhere.csv]}\n"))
    assert found.errors == ()
    assert found.pipeline is not None


def test_a_frozen_stage_may_lack_its_inputs() -> None:
    assert check(yaml("stages:\n  a: {cmd: x, deps: [gone], params: [gone], frozen: true}\n")).problems == ()


def test_a_cycle_names_its_way() -> None:
    (problem,) = check(
        yaml("stages:\n  a: {cmd: x, deps: [b], outs: [a]}\n  b: {cmd: x, deps: [a], outs: [b]}\n")
    ).problems
    assert "a → b → a" in str(problem.message)


def test_warnings_stand_back_where_there_are_too_many_faults() -> None:
    gone = ", ".join(f"g{number}" for number in range(300))
    problems = check(yaml(f"stages:\n  a: {{cmd: x, deps: [{gone}]}}\n  z: {{}}\n")).problems
    assert [problem.kind for problem in problems if not problem.warning] == ["missing-key"]


def test_thousands_of_faults_are_counted_but_not_all_told() -> None:
    stages = "".join(f"  s{number}: {{}}\n" for number in range(1000))
    problems = check(yaml("stages:\n" + stages)).problems
    assert len(problems) == 201
    assert problems[-1].kind == "too-many-problems"
    assert "800" in str(problems[-1].message)


def test_beside_some_missing_files_a_similar_one_is_named_but_not_beside_each_of_many():
    names = [f"measured-{number}.cvs" for number in range(30)]
    files = {name.replace("cvs", "csv"): "" for name in names}
    found = check(yaml(f"stages:\n  a: {{cmd: x, deps: {names}}}\n", **files)).problems
    remedies = [str(problem.remedy) for problem in found]
    assert remedies[0].startswith("Did you mean “measured-0.csv”?")
    assert [remedy.startswith("Did you mean") for remedy in remedies] == [True] * 20 + [False] * 10
